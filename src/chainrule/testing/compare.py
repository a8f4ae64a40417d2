"""Comparing two results: one table of tolerances per dtype, and a message that shows the worst element.

An element agrees where |got - want| <= atol + rtol * |want|, where both are NaN, or where both are the same infinity.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from chainrule.core.tensor import Tensor

__all__ = ["TOLERANCES", "Tolerance", "assert_close", "assert_equal", "assert_near"]


class Tolerance(NamedTuple):
    """How far a value may be from the expected one: at most atol + rtol * |expected|.

    Args:
        rtol: relative part, >= 0.
        atol: absolute part, >= 0, in the unit of the values.

    Example:
        >>> from chainrule.testing import TOLERANCES
        >>> TOLERANCES["float32"]
        Tolerance(rtol=1e-05, atol=1e-06)
    """

    rtol: float
    atol: float


# About 50 units in the last place relative, and as much absolute for values near 1 that cancel; bfloat16 has 8 bits.
TOLERANCES: dict[str, Tolerance] = {
    "float64": Tolerance(1e-12, 1e-12),
    "complex128": Tolerance(1e-12, 1e-12),
    "complex64": Tolerance(1e-5, 1e-6),
    "float32": Tolerance(1e-5, 1e-6),
    "bfloat16": Tolerance(2e-2, 1e-2),
}
EXACT = Tolerance(0.0, 0.0)  # integers and bool


def assert_close(got: Any, want: Any, rtol: float | None = None, atol: float | None = None, what: str = "") -> None:
    """Compare two results element by element, and show the worst element where they differ.

    Args:
        got: tensor, array or number.
        want: tensor, array or number of the same shape.
        rtol: relative tolerance, >= 0; default from `TOLERANCES`, of the less precise of the two dtypes.
        atol: absolute tolerance, >= 0; default likewise; integers and bool must be equal.
        what: words that open the message; default none.

    Raises:
        AssertionError: the shapes differ, or an element differs by more than atol + rtol * |want|.

    Example:
        >>> import chainrule as cr
        >>> cr.testing.assert_close(cr.exp(cr.zeros(2)), [1.0, 1.0])
        >>> cr.testing.assert_close([1.0, 2.0], [1.0, 2.5])
        Traceback (most recent call last):
            ...
        AssertionError: 1 of 2 elements differ; the worst is at [1]: got 2.0, expected 2.5 (difference 0.5, allowed 3.5e-12: rtol 1e-12, atol 1e-12, float64).
    """  # noqa: E501 - one message
    opening = f"{what}: " if what else ""
    a, b = _array(got), _array(want)
    if a.shape != b.shape:
        raise AssertionError(f"{opening}got the shape {a.shape}, expected {b.shape}.")
    name = _coarser(a.dtype, b.dtype)
    table = TOLERANCES.get(name, EXACT)
    rtol, atol = table.rtol if rtol is None else rtol, table.atol if atol is None else atol
    wide_a, wide_b = _wide(a), _wide(b)
    with np.errstate(all="ignore"):
        difference = np.abs(wide_a - wide_b) if wide_a.dtype.kind in "fc" else _integer_difference(wide_a, wide_b)
        allowed = atol + rtol * np.abs(wide_b)
        near = (difference <= allowed) & (np.isfinite(allowed))  # an expected infinity allows nothing but itself
        bad = ~(near | (wide_a == wide_b) | ((wide_a != wide_a) & (wide_b != wide_b)))
    if not bad.any():
        return
    index = _worst(bad, difference, allowed)
    raise AssertionError(
        f"{opening}{int(bad.sum())} of {bad.size} elements differ; the worst is at {_place(index)}: "
        f"got {a[index]!s}, expected {b[index]!s} (difference {float(difference[index]):.3g}, "
        f"allowed {float(allowed[index]):.3g}: rtol {rtol:g}, atol {atol:g}, {name})."
    )


def assert_equal(got: Any, want: Any, what: str = "") -> None:
    """Require the same shape, the same dtype and the same bits, but for the sign and payload of NaN.

    Args:
        got: tensor, array or number.
        want: tensor, array or number.
        what: words that open the message; default none.

    Raises:
        AssertionError: the shapes, the dtypes or an element differ.

    Example:
        >>> import chainrule as cr
        >>> cr.testing.assert_equal(cr.ones(2) + cr.ones(2), cr.full((2,), 2.0))
    """
    opening = f"{what}: " if what else ""
    a, b = _array(got), _array(want)
    if a.dtype != b.dtype:
        raise AssertionError(f"{opening}got the dtype {a.dtype}, expected {b.dtype}.")
    assert_close(a, b, 0.0, 0.0, what)
    if a.dtype.kind == "c":
        assert_equal(a.real, b.real, what)
        assert_equal(a.imag, b.imag, what)
    if a.dtype.kind == "f" or a.dtype == ml_dtypes.bfloat16:
        signs = (np.signbit(_wide(a)) != np.signbit(_wide(b))) & ~np.isnan(_wide(a))
        if signs.any():
            index = tuple(int(i) for i in np.argwhere(signs)[0])
            raise AssertionError(
                f"{opening}zeros of different sign at {_place(index)}: got {a[index]!s}, expected {b[index]!s}."
            )


def assert_near(got: Any, want: Any, what: str = "", scale: float = 1.0) -> None:
    """Require the same shape and dtype, and floats within what sums in another order may differ by.

        |got - want| <= rtol |want| + atol max(scale, max |want|)

    This is how compiled results are compared with eager ones; integers and bool must be equal.

    Args:
        got: tensor, array or number.
        want: tensor, array or number.
        what: words that open the message; default none.
        scale: size of the terms whose sum the values are, > 0; default 1.

    Raises:
        AssertionError: the shapes, the dtypes or an element differ.

    Example:
        >>> import chainrule as cr
        >>> x = cr.linspace(0, 1, 1000)
        >>> cr.testing.assert_near(cr.jit(cr.sum)(x), cr.sum(x))
    """
    a, b = _array(got), _array(want)
    if a.dtype != b.dtype:
        raise AssertionError(f"{what}: " * bool(what) + f"got the dtype {a.dtype}, expected {b.dtype}.")
    if b.dtype.name not in TOLERANCES:
        assert_equal(a, b, what)
        return
    with np.errstate(all="ignore"):
        size = np.abs(_wide(b))
        largest = float(np.max(size[np.isfinite(size)], initial=scale))
    assert_close(a, b, atol=TOLERANCES[b.dtype.name].atol * largest, what=what)


def _array(value: Any) -> np.ndarray:
    return value.numpy() if isinstance(value, Tensor) else np.asarray(value)


def _wide(array: np.ndarray) -> np.ndarray:
    """Return the values in a dtype in which differences are exact enough: 64 bits, or the integers themselves."""
    if array.dtype.kind == "c":
        return array.astype(np.complex128)
    return array.astype(np.float64) if array.dtype.kind not in "iub" else array


def _integer_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a.astype(np.float64) - b.astype(np.float64)) + (a != b)  # int64 beyond 2^53 must not look equal


def _coarser(a: np.dtype, b: np.dtype) -> str:
    """Return the name of the less precise float dtype of two, or "exact" for integers and bool."""
    floats = [dtype.name for dtype in (a, b) if dtype.name in TOLERANCES]
    order = list(TOLERANCES)
    return max(floats, key=order.index) if floats else "exact"


def _worst(bad: np.ndarray, difference: np.ndarray, allowed: np.ndarray) -> tuple[int, ...]:
    """Return the index of the bad element that is furthest outside its tolerance; a NaN counts as infinitely far."""
    with np.errstate(all="ignore"):
        excess = np.where(np.isnan(difference), np.inf, difference - allowed)
    excess = np.where(bad, excess, -np.inf)
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(excess)), bad.shape))


def _place(index: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, index))}]"
