"""assert_close and assert_equal: what passes, what fails, and the whole message with the worst element."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.primitive import PRIMITIVES, Sample
from chainrule.testing import TOLERANCES, assert_close, assert_equal, sample_tensors
from chainrule.testing.samples import scattered


def message(call, *args, **options):
    with pytest.raises(AssertionError) as error:
        call(*args, **options)
    return str(error.value)


def test_the_worst_element_is_shown():
    got = np.array([[1.0, 2.0, 3.0], [4.0, 5.5, 6.001]])
    assert message(assert_close, got, np.arange(1.0, 7.0).reshape(2, 3)) == (
        "2 of 6 elements differ; the worst is at [1, 1]: got 5.5, expected 5.0 "
        "(difference 0.5, allowed 6e-12: rtol 1e-12, atol 1e-12, float64)."
    )


def test_words_open_the_message():
    assert message(assert_close, 1.0, 2.0, what="loss") == (
        "loss: 1 of 1 elements differ; the worst is at []: got 1.0, expected 2.0 "
        "(difference 1, allowed 3e-12: rtol 1e-12, atol 1e-12, float64)."
    )


def test_shapes_must_agree():
    assert message(assert_close, np.zeros((2, 1)), np.zeros(2)) == "got the shape (2, 1), expected (2,)."


def test_the_less_precise_dtype_chooses_the_tolerance():
    third = 1.0 / 3.0
    assert_close(cr.asarray(np.float32(third)), np.float64(third))
    assert_close(cr.asarray([third], dtype=cr.bfloat16), np.array([third], np.float32))
    assert "rtol 1e-05, atol 1e-06, float32" in message(assert_close, np.float32(third), np.float64(third + 1e-4))
    assert "bfloat16" in message(assert_close, cr.asarray([1.0], dtype=cr.bfloat16), np.array([1.5], np.float64))


def test_stated_tolerances_win():
    assert_close(1.0, 1.05, rtol=0.1)
    assert_close(1.0, 1.05, rtol=0.0, atol=0.1)
    assert "rtol 0.01, atol 0, float64" in message(assert_close, 1.0, 1.05, rtol=0.01, atol=0.0)


def test_nan_and_infinities():
    assert_close([np.nan, np.inf, -np.inf], [np.nan, np.inf, -np.inf])
    assert "got nan, expected 1.0" in message(assert_close, [0.0, np.nan], [2.0, 1.0])
    assert "got inf, expected -inf" in message(assert_close, [np.inf], [-np.inf])
    assert "got 1.0, expected inf" in message(assert_close, [1.0], [np.inf], rtol=0.0)


def test_integers_and_bool_must_be_equal():
    assert_close(np.arange(3), np.arange(3))
    assert "exact" in message(assert_close, np.array([2**60]), np.array([2**60 + 1]))
    assert "1 of 2 elements differ" in message(assert_close, np.array([True, False]), np.array([True, True]))


def test_size_0_agrees():
    assert_close(np.zeros((0, 3)), np.ones((0, 3)))


def test_equal_wants_the_same_dtype():
    assert message(assert_equal, np.float32(1), np.float64(1), "value") == (
        "value: got the dtype float32, expected float64."
    )


def test_equal_wants_the_same_bits_but_for_nan():
    assert_equal(np.array([np.nan, 1.0]), np.array([-np.nan, 1.0]))
    assert message(assert_equal, np.array([1.0, 0.0]), np.array([1.0, -0.0])) == (
        "zeros of different sign at [1]: got 0.0, expected -0.0."
    )
    assert "allowed 0" in message(assert_equal, np.nextafter(1.0, 2.0), 1.0)
    assert "-0" in message(assert_equal, cr.asarray([0.0], dtype=cr.bfloat16), cr.asarray([-0.0], dtype=cr.bfloat16))


def test_the_table_covers_the_floats():
    assert set(TOLERANCES) == {"float64", "complex128", "complex64", "float32", "bfloat16"}


@pytest.mark.parametrize("layout", ["C", "F", "strided"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 2), (2, 3, 4)])
def test_layouts_hold_the_same_values(layout, shape):
    array = np.arange(float(np.prod(shape))).reshape(shape)
    other = scattered(array, layout)
    assert_equal(other, array)
    if array.ndim > 1 and array.size:
        assert other.flags.c_contiguous == (layout == "C")
    if layout == "strided" and array.size > 1:
        assert other.strides[-1] == 16


def test_an_unknown_layout_is_refused():
    with pytest.raises(ValueError, match=r"^layout must be 'C', 'F' or 'strided'; got 'K'\.$"):
        scattered(np.zeros(2), "K")


def test_samples_are_the_same_in_every_run_and_read_only():
    exp, item = PRIMITIVES["exp"], Sample(((2, 2), (3, -1.0, 1.0))[:1])
    first, second = sample_tensors(exp, item, 4), sample_tensors(exp, item, 4)
    assert_equal(first[0], second[0])
    assert (sample_tensors(exp, item, 5)[0].numpy() != first[0].numpy()).all()
    assert first[0]._value.flags.writeable is False
