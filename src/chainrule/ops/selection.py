"""Choosing between values, elementwise: by a condition, by size, or within bounds.

Where two values tie, `maximum` and `minimum` give each half the gradient; `clip` passes all of it on at the bounds.
"""

from __future__ import annotations

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.errors import DTypeError
from chainrule.core.primitive import Edge, Invalid, Sample, TensorType, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._elementwise import elementwise, indicator
from chainrule.ops._inputs import as_tensor, pair, scalar
from chainrule.ops._rules import broadcast_shapes, elementwise_flops, elementwise_shape
from chainrule.ops.logical import logical_and, logical_or

__all__ = ["clip", "maximum", "minimum", "where"]

# ---------------------------------------------------------------------------------------------------- primitives
maximum_p = elementwise(
    "maximum",
    lambda x1, x2: np.maximum(x1, x2),
    (-2.0, 0.4),
    (0.5, 2.0),
    kind="numeric",
    derivative=(
        lambda x1, x2: 1.0 - 0.5 * (indicator(x1 < x2, x1) + indicator(x1 <= x2, x1)),
        lambda x1, x2: 1.0 - 0.5 * (indicator(x2 < x1, x1) + indicator(x2 <= x1, x1)),
    ),
    edges=[
        Edge((1.0, 1.0), (0.5, 0.5), why="a tie is shared"),
        Edge((np.nan, 1.0), (1.0, 1.0), why="NaN: no order, both"),
        Edge((2.0, 1.0), (1.0, 0.0), why="the larger takes all"),
    ],
    lower=lambda k, x1, x2: k.maximum(x1, x2),
)

minimum_p = elementwise(
    "minimum",
    lambda x1, x2: np.minimum(x1, x2),
    (-2.0, 0.4),
    (0.5, 2.0),
    kind="numeric",
    derivative=(
        lambda x1, x2: 1.0 - 0.5 * (indicator(x1 > x2, x1) + indicator(x1 >= x2, x1)),
        lambda x1, x2: 1.0 - 0.5 * (indicator(x2 > x1, x1) + indicator(x2 >= x1, x1)),
    ),
    edges=[
        Edge((1.0, 1.0), (0.5, 0.5), why="a tie is shared"),
        Edge((np.nan, 1.0), (1.0, 1.0), why="NaN: no order, both"),
        Edge((2.0, 1.0), (0.0, 1.0), why="the smaller takes all"),
    ],
    lower=lambda k, x1, x2: k.minimum(x1, x2),
)

_bounds = np.array([0, 3]), np.array([-1, 1]), np.array([2, 2])
_clip_shapes = [
    ((), (), ()),
    ((3,), (), ()),
    ((2, 3), (3,), ()),
    ((2, 1), (1, 3), (2, 3)),
    ((1,), (1,), (1,)),
    ((0, 3), (), (3,)),
]

clip_p = primitive(
    "clip",
    reference=lambda x, low, high: np.minimum(np.maximum(x, low), high),
    shape=elementwise_shape("clip", "numeric"),
    elementwise=True,
    lower=lambda k, x, low, high: k.minimum(k.maximum(x, low), high),
    flops=elementwise_flops(2),
    derivative=(
        lambda x, low, high: indicator(logical_and(x >= low, x <= high), x),
        lambda x, low, high: indicator(logical_and(x < low, low < high), x),
        lambda x, low, high: indicator(logical_or(x > high, high < low), x),
    ),
    samples=[
        *[
            Sample(
                tuple(
                    (shape, *limits) for shape, limits in zip(shapes, (inside, (-1.5, -0.6), (0.6, 1.5)), strict=True)
                )
            )
            for shapes in _clip_shapes
            for inside in ((-0.5, 0.5), (1.6, 2.0), (-2.0, -1.6))
        ],
        Sample(_bounds, smooth=False),
        Sample(tuple(bound.astype("uint8") for bound in _bounds), smooth=False),
    ],
    edges=[
        Edge((1.0, 1.0, 2.0), (1.0, 0.0, 0.0), why="at the lower bound all goes to x"),
        Edge((2.0, 1.0, 2.0), (1.0, 0.0, 0.0), why="at the upper bound all goes to x"),
        Edge((1.0, 1.0, 1.0), (1.0, 0.0, 0.0), why="between equal bounds all goes to x"),
        Edge((0.0, 2.0, 1.0), (0.0, 0.0, 1.0), why="crossed bounds: the upper one holds"),
        Edge((np.nan, 0.0, 1.0), (0.0, 0.0, 0.0), why="NaN is on no side"),
    ],
    invalid=[
        Invalid((np.ones(2, bool),) * 3, "clip needs a numeric tensor; got bool: use .astype(cr.int64)."),
        Invalid(
            (np.ones((2, 3)), np.ones(4), np.ones(())),
            "clip: the shapes (2, 3) and (4,) and () do not broadcast; at axis -1 the sizes 3 and 4 differ and neither "
            "is 1. Reshape one of them, or add an axis with x[:, None].",
        ),
    ],
)


def _where_shape(condition: TensorType, x1: TensorType, x2: TensorType) -> TensorType:
    if condition.dtype.kind != "bool":
        raise DTypeError(
            f"where needs a bool condition; got {condition.dtype.name}: compare it with something, "
            "or use .astype(bool)."
        )
    if x1.dtype is not x2.dtype:
        raise DTypeError(f"where: the dtypes {x1.dtype.name} and {x2.dtype.name} differ; convert one with .astype.")
    return TensorType(broadcast_shapes("where", condition.shape, x1.shape, x2.shape), x1.dtype)


_row, _column = np.array([True, False, True]), np.array([[True], [False]])

where_p = primitive(
    "where",
    reference=lambda condition, x1, x2: np.where(condition, x1, x2),
    shape=_where_shape,
    linear=(1, 2),
    transpose=(
        None,
        lambda g, condition: where(condition, g, 0),
        lambda g, condition: where(condition, 0, g),
    ),
    elementwise=True,
    flops=elementwise_flops(1),
    samples=[
        Sample((np.array(True), (), ())),
        Sample((_row, (3,), (3,))),
        Sample((_row, (2, 3), ())),
        Sample((_column, (1, 3), (2, 3))),
        Sample((_column, (), ())),
        Sample((np.zeros((0, 3), bool), (3,), ())),
        Sample((np.array(False), (1,), (1,))),
        Sample((_row, np.arange(3), np.arange(3) - 5), smooth=False),
        Sample((_row, _row, ~_row), smooth=False),
    ],
    edges=[
        Edge((np.array([True, False]), np.array([1.0, np.nan]), np.array([np.inf, 2.0])),
             (None, np.array([1.0, 0.0]), np.array([0.0, 1.0])), why="what is not taken gets 0, whatever it is"),
    ],
    invalid=[
        Invalid(
            (np.arange(3), np.ones(3), np.ones(3)),
            "where needs a bool condition; got int64: compare it with something, or use .astype(bool).",
        ),
        Invalid(
            (_row, np.ones(3), np.arange(3)), "where: the dtypes float64 and int64 differ; convert one with .astype."
        ),
        Invalid(
            (_row, np.ones((2, 4)), np.ones(1)),
            "where: the shapes (3,) and (2, 4) and (1,) do not broadcast; at axis -1 the sizes 3 and 4 differ and "
            "neither is 1. Reshape one of them, or add an axis with x[:, None].",
        ),
    ],
    lower=lambda k, condition, x1, x2: k.select(condition, x1, x2),
)  # fmt: skip


# ---------------------------------------------------------------------------------------------------- functions
def where(condition: Tensor | bool, x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return x1 where the condition holds and x2 elsewhere, elementwise.

    Gradients reach only what was taken, so a NaN or an infinity in the other branch does not leak.

    Args:
        condition: bool tensor or bool.
        x1: tensor or number of any dtype.
        x2: tensor or number of any dtype; all three shapes broadcast.

    Returns:
        Tensor of the broadcast shape and the promoted dtype of x1 and x2.

    Raises:
        DTypeError: the condition is not bool.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> x = cr.asarray([-1.0, 2.0])
        >>> cr.where(x > 0, x, 0.1 * x)
        tensor([-0.1,  2. ], shape=(2,), dtype=float32)
    """
    return bind(where_p, as_tensor(condition), *pair(x1, x2))


def maximum(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return the larger of two, elementwise; a tie shares the gradient, NaN wins.

    Args:
        x1: numeric tensor or number.
        x2: numeric tensor or number; shapes broadcast.

    Returns:
        Tensor of the broadcast shape and the promoted dtype.

    Raises:
        ShapeError: the shapes do not broadcast.
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.maximum(cr.asarray([-1.0, 2.0]), 0)
        tensor([0., 2.], shape=(2,), dtype=float32)
    """
    return bind(maximum_p, *pair(x1, x2))


def minimum(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return the smaller of two, elementwise; a tie shares the gradient, NaN wins.

    Args:
        x1: numeric tensor or number.
        x2: numeric tensor or number; shapes broadcast.

    Returns:
        Tensor of the broadcast shape and the promoted dtype.

    Raises:
        ShapeError: the shapes do not broadcast.
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.minimum(cr.asarray([-1.0, 2.0]), 0)
        tensor([-1.,  0.], shape=(2,), dtype=float32)
    """
    return bind(minimum_p, *pair(x1, x2))


def clip(x: Tensor, /, min: Tensor | float | None = None, max: Tensor | float | None = None) -> Tensor:
    """Return x within bounds, elementwise; at a bound the gradient passes to x.

        y = min(max(x, lower bound), upper bound)

    Args:
        x: numeric tensor of any shape.
        min: lower bound, a number or a tensor whose shape broadcasts; default None, no bound.
        max: upper bound, a number or a tensor whose shape broadcasts; default None, no bound.

    Returns:
        Tensor of the broadcast shape and the dtype of x; the upper bound where the bounds cross.

    Raises:
        DTypeError: a bool tensor, or a bound whose dtype does not fit that of x.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.clip(cr.asarray([-2.0, 0.5, 2.0]), -1, 1)
        tensor([-1. ,  0.5,  1. ], shape=(3,), dtype=float32)
    """
    x = as_tensor(x)
    return bind(clip_p, x, _bound(x, min, "min"), _bound(x, max, "max"))


def _bound(x: Tensor, bound: Tensor | float | None, name: str) -> Tensor:
    """Return a bound as a tensor of the dtype of `x`; None becomes one that no value passes."""
    if bound is None:
        dtype = x.dtype
        if dtype.is_float:
            return scalar(-np.inf if name == "min" else np.inf, dtype)
        return scalar(getattr(np.iinfo(dtype.numpy), name), dtype) if dtype.is_integer else scalar(name == "max", dtype)
    bound, other = pair(bound, x)
    if other.dtype is not x.dtype:
        raise DTypeError(f"clip: {name} is {bound.dtype.name} and x is {x.dtype.name}; convert x with .astype first.")
    return bound
