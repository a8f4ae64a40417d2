"""Matrix products: the one contraction that all others become.

    matmul     y[..., i, j] = sum_k x1[..., i, k] x2[..., k, j]

The primitive takes stacks of matrices; vectors, `einsum` and `tensordot` are brought there by reshapes. A stack of
matrices times a single matrix is flattened into one large product, so that its weight gradient is one product too.
`einsum` contracts its operands in pairs, from left to right. With the attribute `dtype` bfloat16 operands give a
float32 result: the products are exact, and summed in float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import DType, bfloat16, float32, float64
from chainrule.core.errors import DTypeError, ShapeError, user_location
from chainrule.core.lowering import Contraction
from chainrule.core.primitive import Invalid, Primitive, Sample, TensorType, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import axes_tuple, axis_index, cast, pair
from chainrule.ops._rules import broadcast_shapes, contraction_dtype, widened
from chainrule.ops.complex_parts import conj
from chainrule.ops.reduce import sum
from chainrule.ops.shape import matrix_transpose, permute_dims, reshape

__all__ = ["matmul", "outer", "tensordot", "vecdot"]


# ---------------------------------------------------------------------------------------------------- primitive
def _inner_differs(left: tuple[int, ...], right: tuple[int, ...]) -> ShapeError:
    rows = right[-2] if len(right) > 1 else right[-1]
    message = f"matmul: left is {left} and right is {right}; the inner sizes {left[-1]} and {rows} differ."
    if len(right) > 1 and right[-1] == left[-1]:
        hint = "x @ w.T" if len(right) == 2 else "x @ w.mT"
        message += f"\n  If the weight is stored as (out, in), write {hint}."
    else:
        message += "\n  The last axis of the left must be as long as the last but one of the right."
    return ShapeError(message)


def _matmul(x1: np.ndarray, x2: np.ndarray, *, dtype: DType | None = None) -> np.ndarray:
    return np.matmul(x1, x2) if dtype is None else np.matmul(*widened(dtype, x1, x2))


def _matmul_shape(x1: TensorType, x2: TensorType, *, dtype: DType | None = None) -> TensorType:
    for x in (x1, x2):
        if x.dtype.kind == "bool":
            raise DTypeError("matmul needs a numeric tensor; got bool: use .astype(cr.float32).")
        if x.ndim < 2:
            raise ShapeError(f"matmul: left is {x1.shape} and right is {x2.shape}; each needs at least two axes.")
    if x1.dtype is not x2.dtype:
        raise DTypeError(f"matmul: the dtypes {x1.dtype.name} and {x2.dtype.name} differ; convert one with .astype.")
    if x1.shape[-1] != x2.shape[-2]:
        raise _inner_differs(x1.shape, x2.shape)
    batch = broadcast_shapes("matmul", x1.shape[:-2], x2.shape[:-2])
    return TensorType((*batch, x1.shape[-2], x2.shape[-1]), contraction_dtype("matmul", x1.dtype, dtype))


def _product(x1: Tensor, x2: Tensor, operands: DType, dtype: DType | None) -> Tensor:
    """Return a product that a gradient consists of, with operands as narrow as those of the forward pass."""
    if dtype is None:
        return bind(matmul_p, x1, x2)
    return bind(matmul_p, cast(x1, operands), cast(x2, operands), dtype=dtype)


def _narrow(shape: tuple[int, ...]) -> np.ndarray:
    """Return bfloat16 numbers whose products need more bits than they have."""
    return (np.arange(math.prod(shape)).reshape(shape) % 29 / 8 - 1.625).astype(bfloat16.numpy)


_WIDENING = [((2, 3), (3, 4)), ((3, 1, 5), (1, 5, 2)), ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((17, 33), (33, 18))]

matmul_p: Primitive = primitive(
    "matmul",
    reference=_matmul,
    shape=_matmul_shape,
    contraction=True,
    linear="each",
    transpose=(
        lambda g, x2, *, dtype=None: _product(g, matrix_transpose(conj(x2)), x2.dtype, dtype),
        lambda g, x1, *, dtype=None: _product(matrix_transpose(conj(x1)), g, x1.dtype, dtype),
    ),
    flops=lambda x1, x2, **how: 2 * x1.shape[-1] * _matmul_shape(x1, x2).size,
    samples=[
        Sample(((2, 3), (3, 4))),
        Sample(((1, 1), (1, 1))),
        Sample(((5, 2, 3), (5, 3, 4))),
        Sample(((2, 1, 2, 3), (4, 3, 2))),
        Sample(((0, 3), (3, 2))),
        Sample(((2, 0), (0, 3))),
        Sample((np.arange(6).reshape(2, 3), np.arange(6).reshape(2, 3).T), smooth=False),
        Sample(((2, 3), (3, 4)), {"dtype": float64}),
        *[Sample((_narrow(a), _narrow(b)), {"dtype": float32}, smooth=False) for a, b in _WIDENING],
    ],
    invalid=[
        Invalid(
            (np.zeros((32, 784)), np.zeros((10, 784))),
            "matmul: left is (32, 784) and right is (10, 784); the inner sizes 784 and 10 differ."
            "\n  If the weight is stored as (out, in), write x @ w.T.",
        ),
        Invalid(
            (np.zeros((2, 3)), np.zeros((4, 5))),
            "matmul: left is (2, 3) and right is (4, 5); the inner sizes 3 and 4 differ."
            "\n  The last axis of the left must be as long as the last but one of the right.",
        ),
        Invalid(
            (np.zeros((2, 2, 3)), np.zeros((4, 3, 2))),
            "matmul: the shapes (2,) and (4,) do not broadcast; at axis -1 the sizes 2 and 4 differ "
            "and neither is 1. Reshape one of them, or add an axis with x[:, None].",
        ),
        Invalid(
            (np.zeros((2, 3)), np.zeros(3)), "matmul: left is (2, 3) and right is (3,); each needs at least two axes."
        ),
        Invalid(
            (np.zeros((2, 2)), np.zeros((2, 2), np.int64)),
            "matmul: the dtypes float64 and int64 differ; convert one with .astype.",
        ),
        Invalid(
            (np.zeros((1, 1)),) * 2,
            "matmul: the result of float64 operands is float64, not float32.",
            {"dtype": float32},
        ),
        Invalid((np.zeros((1, 1), bool),) * 2, "matmul needs a numeric tensor; got bool: use .astype(cr.float32)."),
    ],
    lower=Contraction("matmul"),
)


# ---------------------------------------------------------------------------------------------------- functions
def matmul(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Return the matrix product of x1 and x2.

        y[..., i, j] = sum_k x1[..., i, k] x2[..., k, j]

    Args:
        x1: numeric tensor [..., i, k], or a vector [k].
        x2: numeric tensor [..., k, j], or a vector [k]; the axes in front broadcast.

    Returns:
        Tensor [..., i, j] of the promoted dtype; the axis of a vector is missing from it.

    Raises:
        ShapeError: the inner sizes differ, the axes in front do not broadcast, or an argument has no axes.
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.matmul(cr.asarray([[1.0, 2.0]]), cr.asarray([[3.0], [4.0]]))
        tensor([[11.]], shape=(1, 1), dtype=float32)
    """
    x1, x2 = pair(x1, x2)
    left, right = x1.shape, x2.shape
    if not left or not right:
        raise ShapeError(
            f"matmul: left is {left} and right is {right}; a tensor without axes is multiplied with *.",
            location=user_location(),
        )
    if len(right) == 1 or len(left) == 1:
        if left[-1] != right[0 if len(right) == 1 else -2]:
            error = _inner_differs(left, right)
            error.location = user_location()
            raise error
        x1 = reshape(x1, (1, *left)) if len(left) == 1 else x1
        x2 = reshape(x2, (*right, 1)) if len(right) == 1 else x2
        y = matmul(x1, x2)  # [..., 1 or i, 1 or j]
        drop = {y.ndim - 2} if len(left) == 1 else set()
        drop |= {y.ndim - 1} if len(right) == 1 else set()
        return reshape(y, tuple(n for i, n in enumerate(y.shape) if i not in drop))
    if len(left) > 2 and len(right) == 2 and left[-1] == right[0]:
        y = bind(matmul_p, reshape(x1, (math.prod(left[:-1]), left[-1])), x2)
        return reshape(y, (*left[:-1], right[1]))
    return bind(matmul_p, x1, x2)


def vecdot(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """Return the inner products of vectors that lie along an axis.

        y = sum over axis of conj(x1) x2

    Args:
        x1: numeric tensor; complex numbers are conjugated.
        x2: numeric tensor; the shapes broadcast.
        axis: the axis of the vectors, in [-min(ndim), -1]; default -1.

    Returns:
        Tensor of the broadcast shape without that axis.

    Raises:
        ShapeError: the vectors differ in length, or the shapes do not broadcast.
        IndexRangeError: the axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.vecdot(cr.asarray([1.0, 2.0]), cr.asarray([3.0, 4.0]))
        tensor(11., shape=(), dtype=float32)
    """
    x1, x2 = pair(x1, x2)
    n1, n2 = (x.shape[axis_index(axis, x.ndim, "vecdot")] for x in (x1, x2))
    if n1 != n2:
        raise ShapeError(
            f"vecdot: left is {x1.shape} and right is {x2.shape}; the sizes {n1} and {n2} on axis {axis} differ."
        )
    product = conj(x1) * x2
    return sum(product, axis, dtype=product.dtype)


def outer(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Return all products of an element of x1 and an element of x2.

        y[i, j] = x1[i] x2[j]

    Args:
        x1: numeric vector [i].
        x2: numeric vector [j].

    Returns:
        Tensor [i, j].

    Raises:
        ShapeError: an argument is no vector.

    Example:
        >>> import chainrule as cr
        >>> cr.outer(cr.arange(2), cr.arange(3))
        tensor([[0, 0, 0],
                [0, 1, 2]], shape=(2, 3), dtype=int64)
    """
    x1, x2 = pair(x1, x2)
    if x1.ndim != 1 or x2.ndim != 1:
        raise ShapeError(f"outer takes two vectors; got the shapes {x1.shape} and {x2.shape}.")
    return reshape(x1, (x1.shape[0], 1)) * reshape(x2, (1, x2.shape[0]))


def tensordot(x1: Tensor, x2: Tensor, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Tensor:
    """Return x1 and x2 multiplied and summed over pairs of axes.

    Args:
        x1: numeric tensor.
        x2: numeric tensor.
        axes: n for the last n axes of x1 with the first n of x2, or the axes of x1 and, in the same order, those of x2;
            default 2.

    Returns:
        Tensor with the other axes of x1, then those of x2.

    Raises:
        ShapeError: two paired axes differ in size, or the lists in length.
        IndexRangeError: an axis does not exist.

    Example:
        >>> import chainrule as cr
        >>> cr.tensordot(cr.ones((2, 3, 4)), cr.ones((3, 4, 5))).shape
        (2, 5)
    """
    x1, x2 = pair(x1, x2)
    if isinstance(axes, int):
        if not 0 <= axes <= min(x1.ndim, x2.ndim):
            raise ShapeError(f"tensordot: {axes} axes can't be paired; the shapes are {x1.shape} and {x2.shape}.")
        first = tuple(range(x1.ndim - axes, x1.ndim))
        second = tuple(range(axes))
    else:
        first, second = ((a,) if isinstance(a, int) else tuple(a) for a in axes)
    if len(first) != len(second):
        raise ShapeError(f"tensordot: {len(first)} axes {first} are paired with {len(second)} axes {second}.")
    axes_tuple(first, x1.ndim, "tensordot"), axes_tuple(second, x2.ndim, "tensordot")  # each exists, none stands twice
    first = tuple(axis_index(a, x1.ndim, "tensordot") for a in first)
    second = tuple(axis_index(a, x2.ndim, "tensordot") for a in second)
    for a, b in zip(first, second):
        if x1.shape[a] != x2.shape[b]:
            raise ShapeError(
                f"tensordot: axis {a} of {x1.shape} and axis {b} of {x2.shape} are paired; "
                f"their sizes {x1.shape[a]} and {x2.shape[b]} differ."
            )
    rows = tuple(i for i in range(x1.ndim) if i not in first)
    columns = tuple(i for i in range(x2.ndim) if i not in second)
    inner = math.prod(x1.shape[a] for a in first)
    outside = [x1.shape[i] for i in rows], [x2.shape[i] for i in columns]
    left = reshape(permute_dims(x1, rows + first), (math.prod(outside[0]), inner))
    right = reshape(permute_dims(x2, second + columns), (inner, math.prod(outside[1])))
    return reshape(bind(matmul_p, left, right), (*outside[0], *outside[1]))
