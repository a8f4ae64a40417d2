"""What a notebook shows: one line of facts, the values, a picture in shades; no script, and nothing unescaped."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.html import png, shades, size_text
from chainrule.core.tensor import Parameter


def _notes(html: str) -> str:
    return re.search(r"&nbsp; (.*?)</span>", html)[1]


def _decoded(picture: bytes) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


def test_a_scalar_shows_its_dtype_and_value():
    html = cr.asarray(3.5)._repr_html_()
    assert ">float32 []<" in html
    assert ">3.5<" in html
    assert "<img" not in html


def test_the_line_of_facts_has_size_gradient_and_range():
    x = cr.asarray([[-1.5, 2.0], [0.25, np.nan]], dtype=cr.float64).requires_grad_()
    html = x._repr_html_()
    assert ">float64 [2, 2]<" in html
    assert _notes(html) == "32 B · requires a gradient · −1.5 to 2, 1 NaN or infinite"


def test_a_parameter_says_so():
    assert ">Parameter float32 [3]<" in Parameter(cr.zeros(3))._repr_html_()


def test_large_tensors_are_elided():
    assert len(cr.zeros((1000, 1000, 2))._repr_html_()) < 2000


@pytest.mark.parametrize("shape", [(0,), (0, 3), (8, 0), (20, 20, 0)])
def test_a_tensor_without_elements_has_a_repr(shape):
    assert f">float32 {list(shape)}<" in cr.zeros(shape)._repr_html_()


@pytest.mark.parametrize("dtype", [cr.float64, cr.bfloat16, cr.int8, cr.uint64, cr.bool])
def test_a_matrix_of_every_kind_is_drawn_in_shades(dtype):
    html = cr.eye(8).astype(dtype)._repr_html_()
    data = re.search(r'src="data:image/png;base64,([^"]+)"', html)[1]
    picture = _decoded(base64.b64decode(data))
    assert np.array_equal(picture, np.repeat(255 * np.eye(8)[..., None], 3, axis=-1))
    assert 'width="64" height="64"' in html


def test_shades_run_from_the_smallest_to_the_largest_and_mark_what_is_no_number():
    values = np.asarray([[-2.0, 0.0, 2.0], [np.nan, np.inf, 1.0]])
    assert shades(values).tolist() == [[0, 127, 254], [255, 255, 190]]
    picture = _decoded(png(shades(values)))
    assert picture[0].tolist() == [[0, 0, 0], [128, 128, 128], [255, 255, 255]]
    assert picture[1, 0].tolist() == picture[1, 1].tolist() == [214, 45, 32]


def test_equal_values_are_black_and_no_numbers_at_all_are_red():
    assert shades(np.full((2, 2), 7.0)).tolist() == [[0, 0], [0, 0]]
    assert shades(np.full((1, 2), np.nan)).tolist() == [[255, 255]]


def test_a_large_matrix_is_drawn_with_every_kth_row_and_column():
    values = np.arange(600 * 300).reshape(600, 300)
    drawn = shades(values)
    assert drawn.shape == (200, 150)
    assert drawn[1, 1] == round((3 * 300 + 2) / values[::3, ::2].max() * 254)


def test_sizes_as_people_say_them():
    assert [size_text(n) for n in (0, 1023, 1024, 1024 * 1023.94, 1024 * 1023.95, 5 << 29)] == [
        "0 B", "1023 B", "1.0 KiB", "1023.9 KiB", "1.0 MiB", "2.5 GiB",
    ]  # fmt: skip


def test_a_traced_tensor_says_that_it_has_no_values_yet():
    seen = []

    @cr.jit
    def step(x):
        seen.append((x + 1)._repr_html_())
        return x

    step(cr.ones((9, 9)))
    assert _notes(seen[0]) == "324 B · being traced: no values yet"
    assert "<img" not in seen[0]


def test_a_graph_shows_its_operations_with_the_lines_set_back():
    step = cr.jit(lambda x: cr.exp(x) * 2)
    step(cr.ones(3))
    html = step.graph()._repr_html_()
    assert "graph &lt;lambda&gt;" in html
    assert _notes(html) == "2 operations, 6 FLOP"
    assert re.search(r'%0: f32\[3\] = exp\(x\) +<span style="opacity:.55">  # test_html.py:\d+</span>', html)
    assert repr(step.graph()) == str(step.graph())


def test_nothing_from_outside_is_unescaped():
    for html in (cr.ones((9, 9))._repr_html_(), cr.asarray(1)._repr_html_()):
        assert "<script" not in html
        assert "http" not in html
