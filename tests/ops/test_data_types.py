"""Constants, questions about dtypes, and the set functions: the standard's answers, gradients, whole messages."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, TraceError
from chainrule.testing import assert_close

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def test_the_constants() -> None:
    assert (cr.pi, cr.e, cr.inf, cr.newaxis) == (math.pi, math.e, math.inf, None)
    assert math.isnan(cr.nan)
    assert cr.ones(2)[:, cr.newaxis].shape == (2, 1)


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_limits_of_floats_are_numpys(name: str) -> None:
    got, want = cr.finfo(name), np.finfo(name)
    assert (got.bits, got.eps, got.max, got.min, got.smallest_normal) == (
        want.bits, want.eps, want.max, want.min, want.smallest_normal,
    )  # fmt: skip
    assert all(type(number) is float for number in (got.eps, got.max, got.min, got.smallest_normal))
    assert cr.finfo(cr.ones(2, dtype=name)) == got
    assert got.dtype is getattr(cr, name)


def test_limits_of_bfloat16() -> None:
    found = cr.finfo(cr.bfloat16)
    assert (found.bits, found.eps, found.smallest_normal) == (16, 2.0**-7, 2.0**-126)


@pytest.mark.parametrize("name", INTEGERS)
def test_limits_of_integers_are_numpys(name: str) -> None:
    got, want = cr.iinfo(cr.zeros(1, dtype=name)), np.iinfo(name)
    assert (got.bits, got.max, got.min, got.dtype.name) == (want.bits, want.max, want.min, name)


def test_kinds() -> None:
    kinds = {
        "bool": ["bool"],
        "signed integer": INTEGERS[:4],
        "unsigned integer": INTEGERS[4:],
        "integral": INTEGERS,
        "real floating": ["bfloat16", "float32", "float64"],
        "complex floating": ["complex64", "complex128"],
    }
    every = ["bool", *INTEGERS, "bfloat16", "float32", "float64", "complex64", "complex128"]
    for kind, members in kinds.items():
        assert [name for name in every if cr.isdtype(cr.zeros(1, dtype=name).dtype, kind)] == [
            name for name in every if name in members
        ]
    assert not cr.isdtype(cr.bool, "numeric")
    assert cr.isdtype(cr.int8, ("bool", cr.int8))
    assert not cr.isdtype(cr.int8, cr.int16)


def test_casts_that_happen_by_themselves() -> None:
    assert cr.can_cast(cr.uint8, cr.int16)
    assert cr.can_cast(cr.ones(2), cr.float64)
    assert not cr.can_cast(cr.int64, cr.int32)
    assert not cr.can_cast(cr.uint64, cr.int64)


def test_the_common_dtype_takes_numbers_as_weak() -> None:
    assert cr.result_type(cr.int8, 3) is cr.int8
    assert cr.result_type(cr.ones(2, dtype=cr.float64), cr.float32, 1.5) is cr.float64
    assert cr.result_type(cr.int8, cr.uint8) is cr.int16
    assert cr.result_type(1, 2.0) is cr.float32


def test_sets_are_numpys() -> None:
    rng = np.random.default_rng(0)
    for data in (
        rng.integers(0, 5, (3, 4)),
        rng.integers(0, 2, 7).astype(bool),
        rng.integers(0, 3, (2, 0, 3)) * 0.5,
        np.array(2.5),
    ):
        values, indices, inverse, counts = cr.unique_all(cr.asarray(data))
        want, first, back, number = np.unique(data, return_index=True, return_inverse=True, return_counts=True)
        assert_close(values, want)
        assert (indices.tolist(), counts.tolist()) == (first.tolist(), number.tolist())
        assert inverse.shape == data.shape
        assert inverse.numpy().ravel().tolist() == back.ravel().tolist()
        assert_close(cr.take(values, inverse), data)
        assert_close(cr.unique_values(cr.asarray(data)), want)
        assert_close(cr.unique_counts(cr.asarray(data)).counts, number)
        assert_close(cr.unique_inverse(cr.asarray(data)).inverse_indices, back.reshape(data.shape))


def test_each_nan_is_a_value_and_the_zeros_are_one() -> None:
    x = cr.asarray([cr.nan, 0.0, -0.0, cr.nan])
    found = cr.unique_all(x)
    assert found.counts.tolist() == [2, 1, 1]
    assert found.inverse_indices.tolist() in ([1, 0, 0, 2], [2, 0, 0, 1])
    assert cr.unique_values(x.astype(cr.bfloat16)).dtype is cr.bfloat16


def test_the_values_are_differentiable() -> None:
    x = cr.asarray([3.0, 1.0, 3.0]).requires_grad_()
    (cr.unique_values(x) * cr.asarray([10.0, 20.0])).sum().backward()
    assert x.grad.tolist() == [20.0, 10.0, 0.0]


def test_the_standards_questions_about_the_library() -> None:
    info = cr.__array_namespace_info__()
    assert cr.ones(1).__array_namespace__(api_version="2024.12") is cr
    assert cr.__array_api_version__ == "2024.12"
    assert info.capabilities() == {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}
    assert (info.default_device(), info.devices()) == ("cpu", ["cpu"])
    assert info.default_dtypes(device="cpu") == {
        "real floating": cr.float32, "complex floating": cr.complex64, "integral": cr.int64, "indexing": cr.int64,
    }  # fmt: skip
    names = {"bool", *INTEGERS, "float32", "float64", "complex64", "complex128"}
    assert set(info.dtypes()) == names
    assert set(info.dtypes(kind="numeric")) == names - {"bool"}
    assert info.dtypes(kind=("bool", "complex floating")) == {
        "bool": cr.bool, "complex64": cr.complex64, "complex128": cr.complex128,
    }  # fmt: skip


REFUSED = [
    (lambda: cr.__array_namespace_info__().dtypes(kind="float"), ValueError,
     "dtypes.kind must be one of 'bool', 'signed integer', 'unsigned integer', 'integral', 'real floating', "
     "'complex floating', 'numeric'; got 'float'."),
    (lambda: cr.__array_namespace_info__().default_dtypes(device="cuda"), ValueError,
     "default_dtypes.device must be None or \"cpu\"; got 'cuda'."),
    (lambda: cr.finfo(cr.int8), DTypeError, "finfo needs a float dtype; got int8: use iinfo for integers."),
    (lambda: cr.iinfo(cr.ones(2)), DTypeError, "iinfo needs an integer dtype; got float32: use finfo for floats."),
    (lambda: cr.isdtype(cr.int8, "floating"), ValueError,
     "isdtype.kind must be a dtype or one of 'bool', 'signed integer', 'unsigned integer', 'integral', "
     "'real floating', 'complex floating', 'numeric'; got 'floating'."),
    (lambda: cr.result_type(), ValueError, "result_type needs at least one tensor, dtype or number."),
    (lambda: cr.jit(cr.unique_values)(cr.ones(2)), TraceError,
     "the shape of unique_values(x) depends on the values of x, and there are none yet while cr.jit traces. "
     "Move this line outside the step."),
]  # fmt: skip


@pytest.mark.parametrize("call, kind, message", REFUSED, ids=[message[:20] for _, _, message in REFUSED])
def test_what_is_refused(call, kind, message) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}(\n|$)"):
        call()
