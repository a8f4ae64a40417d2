"""The tour runs from top to bottom in a fresh kernel, gives what the page shows, and Jupyter gets all that it displays.

Cells tagged `varies` train a network: their last digits depend on the machine's BLAS, so they are run, not compared.
"""

from __future__ import annotations

import pathlib
import re

import nbformat
import pytest


@pytest.fixture(scope="module")
def tool():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(pathlib.Path(__file__).resolve().parent.parent / "tools")
        import run_tour

        yield run_tour


@pytest.fixture(scope="module")
def tour(tool, tmp_path_factory):
    """Return the notebook as it is stored, and as it comes out of a fresh kernel."""
    stored = nbformat.read(tool.NOTEBOOK, as_version=4)
    nbformat.validate(stored)
    fresh = nbformat.read(tool.NOTEBOOK, as_version=4)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    return stored, tool.clean(tool.execute(fresh, tmp_path_factory.mktemp("tour")))


def _shown(cell):
    """Return the text of a cell's outputs; pictures by their kind, since encoders differ in their bytes."""
    lines = []
    for output in cell.outputs:
        data = output.get("data", {})
        text = output.get("text") or output.get("evalue") or data.get("image/svg+xml") or data.get("text/plain")
        lines.append(f"{output.output_type} {sorted(data)}\n{text}")
    return "\n".join(lines)


def _with(cells, words):
    (found,) = (cell for cell in cells if cell.cell_type == "code" and words in cell.source)
    return found


def test_the_outputs_on_the_page_are_what_a_fresh_kernel_gives(tour):
    stored, fresh = tour
    compared = 0
    for page, run in zip(stored.cells, fresh.cells, strict=True):
        if page.cell_type == "code" and "varies" not in page.metadata.get("tags", ()):
            assert _shown(run) == _shown(page), f"run: python tools/run_tour.py; differs after: {page.source}"
            compared += bool(page.outputs)
    assert compared > 15


def test_no_cell_prints_a_warning(tour):
    for cell in tour[1].cells:
        for output in cell.get("outputs", ()):
            assert output.get("name") != "stderr", f"{cell.source}\nwrote to standard error: {output.text}"


def test_tensors_summaries_and_graphs_are_shown_as_html(tour):
    for words in ("cr.asarray(training.images[0])", "model.summary(", "compiled.graph()", "model[0].weight.grad[5]"):
        outputs = _with(tour[1].cells, words).outputs
        assert "text/html" in outputs[-1].data, words


def test_progress_ends_as_a_list_of_epochs_without_its_bar(tour):
    (output,) = _with(tour[1].cells, "trainer.fit(").outputs
    html = output.data["text/html"]
    assert re.findall(r"^ *(\d)/3 ", html, re.MULTILINE) == ["1", "2", "3"]
    assert "<progress" not in html


def test_an_error_names_the_line_of_the_cell_and_the_layer(tour):
    (output,) = _with(tour[1].cells, "model(cr.asarray(standardize(").outputs
    assert output.ename == "ShapeError"
    assert output.evalue == (
        "Linear(784, 64) got (64, 28, 28); its last axis must be 784: flatten first.\n  (cell, line 1, in 0 (Linear))"
    )


def test_an_error_while_tracing_names_the_line_of_the_cell(tour):
    (output,) = _with(tour[1].cells, "def wrong(x):").outputs
    assert output.ename == "TraceError"
    assert output.evalue.endswith("move this line outside the step.\n  (cell, line 3)")


def test_the_network_of_the_tour_learns(tour):
    (output,) = _with(tour[1].cells, "test_accuracy").outputs
    assert float(output.text.split("%")[0]) > 95


def test_the_notebook_is_stored_without_what_differs_from_run_to_run(tour):
    stored, _ = tour
    text = nbformat.writes(stored)
    assert "execution_count\": 1" not in text
    assert " at 0x" not in text
    assert "Traceback" not in text
