"""Comparisons and tests of floats, elementwise: tensors in, bool tensors out, no gradients."""

from __future__ import annotations

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import bool_
from chainrule.core.primitive import Sample
from chainrule.core.tensor import Tensor
from chainrule.ops._elementwise import ANY, elementwise
from chainrule.ops._inputs import as_tensor, pair

__all__ = [
    "equal",
    "greater",
    "greater_equal",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "not_equal",
]

# ---------------------------------------------------------------------------------------------------- primitives
_special = [Sample((np.array([-np.inf, -1.0, -0.0, 0.0, 1.0, np.inf, np.nan]),), smooth=False)]
_ties = [Sample((np.array([1.0, 2.0, -0.0, np.nan, np.inf]), np.array([1.0, 1.0, 0.0, np.nan, np.inf])), smooth=False)]

equal_p = elementwise(
    "equal",
    lambda x1, x2: np.equal(x1, x2),
    *(ANY, ANY),
    kind="any",
    result=bool_,
    samples=_ties,
    lower=lambda k, x1, x2: k.eq(x1, x2),
)
not_equal_p = elementwise(
    "not_equal",
    lambda x1, x2: np.not_equal(x1, x2),
    *(ANY, ANY),
    kind="any",
    result=bool_,
    samples=_ties,
    lower=lambda k, x1, x2: k.ne(x1, x2),
)
less_p = elementwise(
    "less",
    lambda x1, x2: np.less(x1, x2),
    *(ANY, ANY),
    kind="numeric",
    result=bool_,
    samples=_ties,
    lower=lambda k, x1, x2: k.lt(x1, x2),
)
less_equal_p = elementwise(
    "less_equal",
    lambda x1, x2: np.less_equal(x1, x2),
    *(ANY, ANY),
    kind="numeric",
    result=bool_,
    samples=_ties,
    lower=lambda k, x1, x2: k.le(x1, x2),
)
greater_p = elementwise(
    "greater",
    lambda x1, x2: np.greater(x1, x2),
    *(ANY, ANY),
    kind="numeric",
    result=bool_,
    samples=_ties,
    lower=lambda k, x1, x2: k.gt(x1, x2),
)
greater_equal_p = elementwise(
    "greater_equal",
    lambda x1, x2: np.greater_equal(x1, x2),
    *(ANY, ANY),
    kind="numeric",
    result=bool_,
    samples=_ties,
    lower=lambda k, x1, x2: k.ge(x1, x2),
)
isnan_p = elementwise(
    "isnan",
    lambda x: np.isnan(x),
    ANY,
    kind="numeric or complex",
    result=bool_,
    samples=_special,
    lower=lambda k, x: k.ne(x, x),
)
isinf_p = elementwise(
    "isinf",
    lambda x: np.isinf(x),
    ANY,
    kind="numeric or complex",
    result=bool_,
    samples=_special,
    lower=lambda k, x: k.eq(k.abs(x), np.inf) if x.is_float else k.const(False, "bool"),
)
isfinite_p = elementwise(
    "isfinite",
    lambda x: np.isfinite(x),
    ANY,
    kind="numeric or complex",
    result=bool_,
    samples=_special,
    lower=lambda k, x: k.lt(k.abs(x), np.inf) if x.is_float else k.const(True, "bool"),
)


def equal(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return x1 == x2 elementwise; NaN equals nothing.

    Args:
        x1: tensor or number of any dtype.
        x2: tensor or number of any dtype; shapes broadcast.

    Returns:
        Bool tensor of the broadcast shape.

    Raises:
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.equal(cr.arange(3), 1)
        tensor([False,  True, False], shape=(3,), dtype=bool)
    """
    return bind(equal_p, *pair(x1, x2))


def not_equal(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return x1 != x2 elementwise; NaN differs from everything.

    Args:
        x1: tensor or number of any dtype.
        x2: tensor or number of any dtype; shapes broadcast.

    Returns:
        Bool tensor of the broadcast shape.

    Raises:
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.not_equal(cr.arange(3), 1)
        tensor([ True, False,  True], shape=(3,), dtype=bool)
    """
    return bind(not_equal_p, *pair(x1, x2))


def less(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return x1 < x2 elementwise; False beside NaN.

    Args:
        x1: numeric tensor or number.
        x2: numeric tensor or number; shapes broadcast.

    Returns:
        Bool tensor of the broadcast shape.

    Raises:
        ShapeError: the shapes do not broadcast.
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.less(cr.arange(3), 1)
        tensor([ True, False, False], shape=(3,), dtype=bool)
    """
    return bind(less_p, *pair(x1, x2))


def less_equal(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return x1 <= x2 elementwise; False beside NaN.

    Args:
        x1: numeric tensor or number.
        x2: numeric tensor or number; shapes broadcast.

    Returns:
        Bool tensor of the broadcast shape.

    Raises:
        ShapeError: the shapes do not broadcast.
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.less_equal(cr.arange(3), 1)
        tensor([ True,  True, False], shape=(3,), dtype=bool)
    """
    return bind(less_equal_p, *pair(x1, x2))


def greater(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return x1 > x2 elementwise; False beside NaN.

    Args:
        x1: numeric tensor or number.
        x2: numeric tensor or number; shapes broadcast.

    Returns:
        Bool tensor of the broadcast shape.

    Raises:
        ShapeError: the shapes do not broadcast.
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.greater(cr.arange(3), 1)
        tensor([False, False,  True], shape=(3,), dtype=bool)
    """
    return bind(greater_p, *pair(x1, x2))


def greater_equal(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return x1 >= x2 elementwise; False beside NaN.

    Args:
        x1: numeric tensor or number.
        x2: numeric tensor or number; shapes broadcast.

    Returns:
        Bool tensor of the broadcast shape.

    Raises:
        ShapeError: the shapes do not broadcast.
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.greater_equal(cr.arange(3), 1)
        tensor([False,  True,  True], shape=(3,), dtype=bool)
    """
    return bind(greater_equal_p, *pair(x1, x2))


def isnan(x: Tensor, /) -> Tensor:
    """Return whether x is NaN, elementwise.

    Args:
        x: numeric tensor of any shape.

    Returns:
        Bool tensor of the same shape.

    Raises:
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.isnan(cr.asarray([0.0, float("nan")]))
        tensor([False,  True], shape=(2,), dtype=bool)
    """
    return bind(isnan_p, as_tensor(x))


def isinf(x: Tensor, /) -> Tensor:
    """Return whether x is infinite, elementwise.

    Args:
        x: numeric tensor of any shape.

    Returns:
        Bool tensor of the same shape.

    Raises:
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.isinf(cr.asarray([0.0, float("-inf")]))
        tensor([False,  True], shape=(2,), dtype=bool)
    """
    return bind(isinf_p, as_tensor(x))


def isfinite(x: Tensor, /) -> Tensor:
    """Return whether x is neither infinite nor NaN, elementwise.

    Args:
        x: numeric tensor of any shape.

    Returns:
        Bool tensor of the same shape.

    Raises:
        DTypeError: a bool tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.isfinite(cr.asarray([0.0, float("nan")]))
        tensor([ True, False], shape=(2,), dtype=bool)
    """
    return bind(isfinite_p, as_tensor(x))
