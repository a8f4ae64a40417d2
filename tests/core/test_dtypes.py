"""Dtypes: promotion against the tables of the Array API standard and what goes beyond them, weak scalars, names."""

from __future__ import annotations

import copy
import pickle

import ml_dtypes
import numpy as np
import pytest

import chainrule as cr
from chainrule.core.dtypes import ALL, dtype_of, result_dtype, scalar_dtype, to_dtype
from chainrule.core.errors import DTypeError

BY_SHORT = {dtype.short: dtype for dtype in ALL}
DTYPES = (
    "float64, float32, bfloat16, complex64, complex128, int8, int16, int32, int64, uint8, uint16, uint32, uint64, bool"
)

# The standard's tables "Integers", "Floating-point" and "Mixed integers" (section Type promotion rules), row by row.
STANDARD = """
i8  i8  i8  | i8  i16 i16 | i8  i32 i32 | i8  i64 i64 | i16 i16 i16 | i16 i32 i32 | i16 i64 i64
i32 i32 i32 | i32 i64 i64 | i64 i64 i64 | u8  u8  u8  | u8  u16 u16 | u8  u32 u32 | u8  u64 u64
u16 u16 u16 | u16 u32 u32 | u16 u64 u64 | u32 u32 u32 | u32 u64 u64 | u64 u64 u64
i8  u8  i16 | i8  u16 i32 | i8  u32 i64 | i16 u8  i16 | i16 u16 i32 | i16 u32 i64
i32 u8  i32 | i32 u16 i32 | i32 u32 i64 | i64 u8  i64 | i64 u16 i64 | i64 u32 i64
f32 f32 f32 | f32 f64 f64 | f64 f64 f64 | bool bool bool
f32 c64 c64 | f32 c128 c128 | f64 c64 c128 | f64 c128 c128 | c64 c64 c64 | c64 c128 c128 | c128 c128 c128
"""
ROWS = [cell.split() for line in STANDARD.strip().splitlines() for cell in line.split("|")]


@pytest.mark.parametrize("left, right, result", ROWS)
def test_promotion_follows_the_standard_and_commutes(left, right, result):
    assert cr.promote(BY_SHORT[left], BY_SHORT[right]) is BY_SHORT[result]
    assert cr.promote(BY_SHORT[right], BY_SHORT[left]) is BY_SHORT[result]


def test_the_table_holds_every_pair_that_the_standard_defines():
    integers = {frozenset(row[:2]) for row in ROWS if row[0][0] in "iu"}
    assert len(integers) == 8 * 9 // 2 - 4  # all pairs but uint64 with the four signed types


@pytest.mark.parametrize("signed", ["int8", "int16", "int32", "int64"])
def test_uint64_with_a_signed_integer_has_no_type(signed):
    message = (
        rf"^uint64 and {signed} have no common integer type; convert one with \.astype, say \.astype\(cr\.int64\)\.$"
    )
    with pytest.raises(DTypeError, match=message):
        cr.promote(cr.uint64, to_dtype(signed))


@pytest.mark.parametrize("dtype", ALL, ids=lambda dtype: dtype.name)
def test_beyond_the_standard(dtype):
    assert cr.promote(cr.bool, dtype) is dtype
    for floating in (cr.bfloat16, cr.float32, cr.float64):
        if not dtype.is_inexact:
            assert cr.promote(dtype, floating) is floating
    for complex_dtype in (cr.complex64, cr.complex128):
        if not dtype.is_inexact:
            assert cr.promote(dtype, complex_dtype) is complex_dtype
    assert cr.promote(cr.bfloat16, cr.complex64) is cr.complex64
    assert cr.promote(cr.bfloat16, cr.float32) is cr.float32


def test_promotion_is_associative_where_it_is_defined():
    """(a + b) + c = a + (b + c) but for uint64 with signed integers, which a float beside them hides."""
    for a in ALL:
        for b in ALL:
            for c in ALL:
                if "uint64" in (a.name, b.name, c.name) and any(d.kind == "int" for d in (a, b, c)):
                    continue
                assert cr.promote(cr.promote(a, b), c) is cr.promote(a, cr.promote(b, c))


@pytest.mark.parametrize(
    "value, other, result",
    [
        (True, cr.bool, cr.bool),
        (True, cr.int8, cr.int8),
        (True, cr.bfloat16, cr.bfloat16),
        (2, cr.bool, cr.int64),
        (2, cr.uint8, cr.uint8),
        (2, cr.float32, cr.float32),
        (2.5, cr.bool, cr.float32),
        (2.5, cr.int64, cr.float32),
        (2.5, cr.bfloat16, cr.bfloat16),
        (2.5, cr.float64, cr.float64),
        (2, cr.complex128, cr.complex128),
        (2.5, cr.complex64, cr.complex64),
        (2j, cr.bool, cr.complex64),
        (2j, cr.int64, cr.complex64),
        (2j, cr.bfloat16, cr.complex64),
        (2j, cr.float32, cr.complex64),
        (2j, cr.float64, cr.complex128),
        (2j, cr.complex64, cr.complex64),
    ],
)
def test_python_scalars_are_weak(value, other, result):
    assert scalar_dtype(value, other) is result
    if other is not cr.bool or value is not True:  # bool + bool is refused
        assert (cr.zeros(2, dtype=other) + value).dtype is result
    assert result_dtype(cr.zeros(2, dtype=other), value) is result


def test_result_dtype_of_scalars_alone():
    assert result_dtype(1, 2.0) is cr.float32
    assert result_dtype(True, 2) is cr.int64
    assert result_dtype(True, False) is cr.bool


def test_a_numpy_float64_scalar_is_a_weak_float():
    x = cr.ones(2)
    assert (x * np.sqrt(2.0)).dtype is cr.float32
    assert (x * np.asarray(2.0)).dtype is cr.float64


@pytest.mark.parametrize("dtype", ALL, ids=lambda dtype: dtype.name)
def test_one_object_per_type(dtype):
    assert to_dtype(dtype) is dtype
    assert to_dtype(dtype.name) is dtype
    assert to_dtype(dtype.numpy) is dtype
    assert dtype_of(dtype.numpy) is dtype
    assert pickle.loads(pickle.dumps(dtype)) is dtype
    assert copy.deepcopy(dtype) is dtype
    assert repr(dtype) == f"chainrule.{dtype.name}"
    assert dtype.itemsize == dtype.numpy.itemsize
    assert getattr(cr, dtype.name) is dtype


def test_python_types_and_byte_orders():
    assert (to_dtype(float), to_dtype(int), to_dtype(bool)) == (cr.float32, cr.int64, cr.bool)
    assert (to_dtype(complex), dtype_of(np.dtype(">c8"))) == (cr.complex64, cr.complex64)
    assert dtype_of(np.dtype(">f4")) is cr.float32
    assert dtype_of(np.dtype(ml_dtypes.bfloat16)) is cr.bfloat16
    assert (cr.float32.is_float, cr.int8.is_float, cr.bool.is_float) == (True, False, False)
    assert [d.name for d in ALL if d.is_complex] == ["complex64", "complex128"]
    assert [d.name for d in ALL if d.is_inexact] == ["float64", "float32", "bfloat16", "complex64", "complex128"]
    assert (cr.uint8.is_integer, cr.bool.is_integer, cr.float64.is_integer) == (True, False, False)


@pytest.mark.parametrize(
    "given, message",
    [
        ("float23", f"no dtype is named 'float23'; did you mean 'float32'? The dtypes are {DTYPES}."),
        ("xyzzy", f"no dtype is named 'xyzzy'; the dtypes are {DTYPES}."),
        (np.dtype(object), f"no tensor has the dtype object; the dtypes are {DTYPES}."),
        (np.dtype("U3"), f"no tensor has the dtype <U3; the dtypes are {DTYPES}."),
        (np.dtype("float16"), f"no tensor has the dtype float16; the dtypes are {DTYPES}."),
        (np.dtype("clongdouble"), f"no tensor has the dtype {np.dtype('clongdouble')}; the dtypes are {DTYPES}."),
        (3, f"3 is not a dtype; the dtypes are {DTYPES}."),
    ],
    ids=str,
)
def test_what_is_no_dtype(given, message):
    with pytest.raises(DTypeError) as error:
        to_dtype(given)
    assert error.value.message == message
