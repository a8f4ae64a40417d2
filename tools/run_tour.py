"""Run docs/tour.ipynb and store its outputs in it, as the documentation shows them.

Usage: python tools/run_tour.py      (needs the extra `test`)
A test runs the notebook too, and compares the outputs of cells that are not tagged `varies`.
"""

from __future__ import annotations

import pathlib
import re

import nbclient
import nbformat

NOTEBOOK = pathlib.Path(__file__).resolve().parent.parent / "docs" / "tour.ipynb"
SECONDS = 300  # for the longest cell


def execute(notebook: nbformat.NotebookNode, folder: pathlib.Path) -> nbformat.NotebookNode:
    """Run every cell and return the notebook with what they gave.

    Args:
        notebook: nbformat 4.
        folder: where it runs.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed that is not tagged `raises-exception`.
    """
    client = nbclient.NotebookClient(
        notebook, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    return client.execute()


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the notebook without what differs from run to run: times, counters, colours and paths of a traceback.

    Args:
        notebook: as executed.
    """
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        cell.execution_count = None
        cell.outputs = _joined(cell.outputs)
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = None
            output.pop("transient", None)
            if output.output_type == "error":
                output.traceback = [f"{output.ename}: {output.evalue}"]
            elif "text/plain" in output.get("data", {}):
                output.data["text/plain"] = re.sub(r" at 0x[0-9a-f]+", "", output.data["text/plain"])
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def _joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Return the outputs with what was printed in one piece; the kernel sends it in as many as its timer makes."""
    found: list[nbformat.NotebookNode] = []
    for output in outputs:
        if found and output.output_type == found[-1].output_type == "stream" and output.name == found[-1].name:
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def main() -> None:
    """Write the notebook."""
    notebook = clean(execute(nbformat.read(NOTEBOOK, as_version=4), NOTEBOOK.parent))
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
