"""Running maxima, minima and log-sum-exps along an axis.

The position of a running maximum is a primitive with integer outputs, and the value is taken there, so the gradient
goes to the latest of equal ones, as in PyTorch. The running log-sum-exp is a scan by doubling (Kogge and Stone, 1973)
over logaddexp: log2(n) steps that neither overflow nor cancel, and whose derivatives of every order follow.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import int64
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.lowering import Loop
from chainrule.core.primitive import Invalid, Primitive, Sample, TensorType, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._along import take_along
from chainrule.ops._inputs import as_tensor, axis_index
from chainrule.ops._windows import fail
from chainrule.ops.exponential import logaddexp
from chainrule.ops.join import concat
from chainrule.ops.slices import narrow

__all__ = ["cumulative_logsumexp", "cumulative_max", "cumulative_min"]


# ---------------------------------------------------------------------------------------------------- primitives
def _position(name: str, function: np.ufunc, better: np.ufunc) -> Primitive:
    """Declare the position of the latest largest (or smallest) element so far; a NaN counts as that."""

    def reference(x: np.ndarray, *, axis: int) -> np.ndarray:
        if not x.size:
            return np.zeros(x.shape, np.int64)
        reached = better(x, function.accumulate(x, axis=axis))
        if x.dtype.kind not in "iub":
            reached |= np.isnan(x)
        place = np.arange(x.shape[axis]).reshape((-1,) + (1,) * (x.ndim - axis - 1))
        return np.maximum.accumulate(np.where(reached, place, 0), axis=axis)

    def shape(x: TensorType, *, axis: int) -> TensorType:
        if not 0 <= axis < x.ndim:
            raise ShapeError(f"{name}: axis {axis} does not exist in {x.shape}.")
        if x.dtype.kind == "complex":
            raise DTypeError(f"{name} needs a real tensor; got {x.dtype.name}: complex numbers have no order.")
        return TensorType(x.shape, int64)

    return primitive(
        name,
        lower=Loop(name),
        reference=reference,
        shape=shape,
        flops=lambda x, *, axis: x.size,
        samples=[
            Sample(((4,),), {"axis": 0}, smooth=False),
            Sample(((2, 5),), {"axis": 1}, smooth=False),
            Sample(((3, 2),), {"axis": 0}, smooth=False),
            Sample(((0, 3),), {"axis": 0}, smooth=False),
            Sample((np.array([1, 3, 3, 2]),), {"axis": 0}, smooth=False),
            Sample((np.array([1.0, np.nan, 3.0, np.nan, 0.0]),), {"axis": 0}, smooth=False),
            Sample((np.array([True, False]),), {"axis": 0}, smooth=False),
        ],
        invalid=[Invalid((np.zeros(3),), f"{name}: axis 1 does not exist in (3,).", {"axis": 1})],
    )


cumulative_argmax_p = _position("cumulative_argmax", np.maximum, np.greater_equal)
cumulative_argmin_p = _position("cumulative_argmin", np.minimum, np.less_equal)


# ---------------------------------------------------------------------------------------------------- functions
def cumulative_max(
    x: Tensor, /, *, axis: int | None = None, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Return the largest of all elements up to each place; of equal ones the latest gets the gradient.

        y_k = max(x_0, ..., x_k)

    Args:
        x: numeric tensor of any shape.
        axis: the axis; it may be left out where there is only one.
        return_indices: whether the positions are returned too, as int64; default False.

    Returns:
        Tensor of the shape and dtype of x; with `return_indices` also the positions. A NaN stays.

    Raises:
        ShapeError: no axis is given and there is not exactly one.
        IndexRangeError: the axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.cumulative_max(cr.asarray([1.0, 3.0, 2.0]))
        tensor([1., 3., 3.], shape=(3,), dtype=float32)
    """
    return _running(cumulative_argmax_p, "cumulative_max", x, axis, return_indices)


def cumulative_min(
    x: Tensor, /, *, axis: int | None = None, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Return the smallest of all elements up to each place; of equal ones the latest gets the gradient.

        y_k = min(x_0, ..., x_k)

    Args:
        x: numeric tensor of any shape.
        axis: the axis; it may be left out where there is only one.
        return_indices: whether the positions are returned too, as int64; default False.

    Returns:
        Tensor of the shape and dtype of x; with `return_indices` also the positions. A NaN stays.

    Raises:
        ShapeError: no axis is given and there is not exactly one.
        IndexRangeError: the axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.cumulative_min(cr.asarray([2.0, 3.0, 1.0]))
        tensor([2., 2., 1.], shape=(3,), dtype=float32)
    """
    return _running(cumulative_argmin_p, "cumulative_min", x, axis, return_indices)


def _running(p: Primitive, name: str, x: Tensor, axis: int | None, return_indices: bool) -> Any:
    x = as_tensor(x)
    a = _axis(name, x, axis)
    places = bind(p, x, axis=a)
    y = take_along(x, places, a)
    return (y, places) if return_indices else y


def _axis(name: str, x: Tensor, axis: int | None) -> int:
    if axis is None and x.ndim != 1:
        raise fail(ShapeError, f"{name}: x has the shape {x.shape}; without axis= it must be a vector.")
    return axis_index(0 if axis is None else axis, x.ndim, name)


def cumulative_logsumexp(x: Tensor, /, *, axis: int | None = None) -> Tensor:
    """Return the logarithm of the sum of exponentials of all elements up to each place, without overflow.

        y_k = log(e^x_0 + ... + e^x_k)

    Args:
        x: float tensor of any shape.
        axis: the axis; it may be left out where there is only one.

    Returns:
        Tensor of the shape and dtype of x.

    Raises:
        ShapeError: no axis is given and there is not exactly one.
        IndexRangeError: the axis does not exist.
        DTypeError: not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.cumulative_logsumexp(cr.asarray([1000.0, -1000.0]))
        tensor([1000., 1000.], shape=(2,), dtype=float32)
    """
    x = as_tensor(x)
    if not x.dtype.is_float:
        raise fail(
            DTypeError, f"cumulative_logsumexp needs a float tensor; got {x.dtype.name}: use .astype(cr.float32)."
        )
    a = _axis("cumulative_logsumexp", x, axis)
    reach = 1  # x holds the log-sum-exp of the last `reach` places
    size = x.shape[a]
    while reach < size:
        first, rest = narrow(x, a, 0, reach), logaddexp(narrow(x, a, reach, size), narrow(x, a, 0, size - reach))
        x = concat([first, rest], axis=a)
        reach *= 2
    return x
