"""Logic on bools and on the bits of integers, elementwise; no gradients."""

from __future__ import annotations

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.primitive import Sample
from chainrule.core.tensor import Tensor
from chainrule.ops._elementwise import ANY, elementwise
from chainrule.ops._inputs import as_tensor, pair

__all__ = [
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
]

# ---------------------------------------------------------------------------------------------------- primitives
# Shifts by the width or more, and by negative counts, move every bit out.
_shifts = [
    Sample((np.array([1, 1, -1, 5], dtype), np.array([bits, bits - 1, bits + 3, -1], dtype)), smooth=False)
    for dtype, bits in (("int8", 8), ("int64", 64))
]

logical_and_p = elementwise(
    "logical_and",
    lambda x1, x2: np.logical_and(x1, x2),
    *(ANY, ANY),
    kind="bool",
    lower=lambda k, x1, x2: k.both(x1, x2),
)
logical_or_p = elementwise(
    "logical_or",
    lambda x1, x2: np.logical_or(x1, x2),
    *(ANY, ANY),
    kind="bool",
    lower=lambda k, x1, x2: k.either(x1, x2),
)
logical_xor_p = elementwise(
    "logical_xor",
    lambda x1, x2: np.logical_xor(x1, x2),
    *(ANY, ANY),
    kind="bool",
    lower=lambda k, x1, x2: k.xor(x1, x2),
)
logical_not_p = elementwise(
    "logical_not",
    lambda x: np.logical_not(x),
    ANY,
    kind="bool",
    lower=lambda k, x: k.invert(x),
)
bitwise_and_p = elementwise(
    "bitwise_and",
    lambda x1, x2: np.bitwise_and(x1, x2),
    *(ANY, ANY),
    kind="integer or bool",
    lower=lambda k, x1, x2: k.both(x1, x2),
)
bitwise_or_p = elementwise(
    "bitwise_or",
    lambda x1, x2: np.bitwise_or(x1, x2),
    *(ANY, ANY),
    kind="integer or bool",
    lower=lambda k, x1, x2: k.either(x1, x2),
)
bitwise_xor_p = elementwise(
    "bitwise_xor",
    lambda x1, x2: np.bitwise_xor(x1, x2),
    *(ANY, ANY),
    kind="integer or bool",
    lower=lambda k, x1, x2: k.xor(x1, x2),
)
bitwise_invert_p = elementwise(
    "bitwise_invert",
    lambda x: np.invert(x),
    ANY,
    kind="integer or bool",
    lower=lambda k, x: k.invert(x),
)
bitwise_left_shift_p = elementwise(
    "bitwise_left_shift",
    lambda x1, x2: np.left_shift(x1, x2),
    *(ANY, ANY),
    kind="integer",
    ints=(0, 6),
    samples=_shifts,
    lower=lambda k, x1, x2: k.shift_left(x1, x2),
)
bitwise_right_shift_p = elementwise(
    "bitwise_right_shift",
    lambda x1, x2: np.right_shift(x1, x2),
    *(ANY, ANY),
    kind="integer",
    ints=(0, 6),
    samples=_shifts,
    lower=lambda k, x1, x2: k.shift_right(x1, x2),
)


def logical_and(x1: Tensor | bool, x2: Tensor | bool, /) -> Tensor:
    """Return whether both are true, elementwise.

    Args:
        x1: bool tensor or bool.
        x2: bool tensor or bool; shapes broadcast.

    Returns:
        Bool tensor of the broadcast shape.

    Raises:
        DTypeError: not bool tensors.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.logical_and(cr.asarray([True, False]), True)
        tensor([ True, False], shape=(2,), dtype=bool)
    """
    return bind(logical_and_p, *pair(x1, x2))


def logical_or(x1: Tensor | bool, x2: Tensor | bool, /) -> Tensor:
    """Return whether at least one is true, elementwise.

    Args:
        x1: bool tensor or bool.
        x2: bool tensor or bool; shapes broadcast.

    Returns:
        Bool tensor of the broadcast shape.

    Raises:
        DTypeError: not bool tensors.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.logical_or(cr.asarray([True, False]), True)
        tensor([ True,  True], shape=(2,), dtype=bool)
    """
    return bind(logical_or_p, *pair(x1, x2))


def logical_xor(x1: Tensor | bool, x2: Tensor | bool, /) -> Tensor:
    """Return whether exactly one is true, elementwise.

    Args:
        x1: bool tensor or bool.
        x2: bool tensor or bool; shapes broadcast.

    Returns:
        Bool tensor of the broadcast shape.

    Raises:
        DTypeError: not bool tensors.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.logical_xor(cr.asarray([True, False]), True)
        tensor([False,  True], shape=(2,), dtype=bool)
    """
    return bind(logical_xor_p, *pair(x1, x2))


def logical_not(x: Tensor, /) -> Tensor:
    """Return whether x is false, elementwise.

    Args:
        x: bool tensor of any shape.

    Returns:
        Bool tensor of the same shape.

    Raises:
        DTypeError: not a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.logical_not(cr.asarray([True, False]))
        tensor([False,  True], shape=(2,), dtype=bool)
    """
    return bind(logical_not_p, as_tensor(x))


def bitwise_and(x1: Tensor | int, x2: Tensor | int, /) -> Tensor:
    """Return the bits set in both, elementwise; for bools the logical and.

    Args:
        x1: integer or bool tensor or number.
        x2: integer or bool tensor or number; shapes broadcast.

    Returns:
        Tensor of the broadcast shape and the promoted dtype.

    Raises:
        DTypeError: a float tensor.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.bitwise_and(cr.asarray([5, 6]), 3)
        tensor([1, 2], shape=(2,), dtype=int64)
    """
    return bind(bitwise_and_p, *pair(x1, x2))


def bitwise_or(x1: Tensor | int, x2: Tensor | int, /) -> Tensor:
    """Return the bits set in at least one, elementwise; for bools the logical or.

    Args:
        x1: integer or bool tensor or number.
        x2: integer or bool tensor or number; shapes broadcast.

    Returns:
        Tensor of the broadcast shape and the promoted dtype.

    Raises:
        DTypeError: a float tensor.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.bitwise_or(cr.asarray([5, 6]), 3)
        tensor([7, 7], shape=(2,), dtype=int64)
    """
    return bind(bitwise_or_p, *pair(x1, x2))


def bitwise_xor(x1: Tensor | int, x2: Tensor | int, /) -> Tensor:
    """Return the bits set in exactly one, elementwise; for bools the exclusive or.

    Args:
        x1: integer or bool tensor or number.
        x2: integer or bool tensor or number; shapes broadcast.

    Returns:
        Tensor of the broadcast shape and the promoted dtype.

    Raises:
        DTypeError: a float tensor.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.bitwise_xor(cr.asarray([5, 6]), 3)
        tensor([6, 5], shape=(2,), dtype=int64)
    """
    return bind(bitwise_xor_p, *pair(x1, x2))


def bitwise_invert(x: Tensor, /) -> Tensor:
    """Return x with every bit inverted, elementwise; for bools the logical not.

    Args:
        x: integer or bool tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        DTypeError: a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.bitwise_invert(cr.asarray([0, 5]))
        tensor([-1, -6], shape=(2,), dtype=int64)
    """
    return bind(bitwise_invert_p, as_tensor(x))


def bitwise_left_shift(x1: Tensor | int, x2: Tensor | int, /) -> Tensor:
    """Return x1 with its bits moved x2 places up, elementwise.

    Args:
        x1: integer tensor or number.
        x2: integer tensor or number, bits; shapes broadcast. The width or more, or a negative count, gives 0.

    Returns:
        Tensor of the broadcast shape and the promoted dtype.

    Raises:
        DTypeError: not integer tensors.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.bitwise_left_shift(cr.asarray([1, 3]), 2)
        tensor([ 4, 12], shape=(2,), dtype=int64)
    """
    return bind(bitwise_left_shift_p, *pair(x1, x2))


def bitwise_right_shift(x1: Tensor | int, x2: Tensor | int, /) -> Tensor:
    """Return x1 with its bits moved x2 places down, elementwise; the sign is kept.

    Args:
        x1: integer tensor or number.
        x2: integer tensor or number, bits; shapes broadcast. The width or more, or a negative count, gives 0, or -1
            where x1 is negative.

    Returns:
        Tensor of the broadcast shape and the promoted dtype.

    Raises:
        DTypeError: not integer tensors.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.bitwise_right_shift(cr.asarray([9, -9]), 2)
        tensor([ 2, -3], shape=(2,), dtype=int64)
    """
    return bind(bitwise_right_shift_p, *pair(x1, x2))
