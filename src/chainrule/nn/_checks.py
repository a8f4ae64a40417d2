"""What layers, losses and initialisers refuse, each in one sentence form.

A bad setting reads `Dropout.p must be a float in [0, 1); got 1.5.`; a bad input is refused before anything is computed,
with the layer's own words, the user's line and the path of the module.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from chainrule.core.context import module_path
from chainrule.core.dtypes import DType, float32, to_dtype
from chainrule.core.errors import ChainruleError, DTypeError, IndexRangeError, ShapeError, nearest, user_location
from chainrule.core.tensor import Tensor

__all__ = [
    "choice",
    "equal_shapes",
    "flag",
    "float_dtype",
    "integer",
    "number",
    "refuse",
    "same_dtype",
    "tensor_input",
]


def number(
    owner: str,
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    ends: str = "[]",
    kind: str = "float",
) -> float:
    """Return `value` as a float, if it lies between `low` and `high`; `ends` says which ends belong to the range.

    Raises:
        ValueError: it is no number or outside; `owner.name must be a float in [low, high); got ...`.
    """
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    inside = (
        plain
        and (low < value or (low == value and ends[0] == "["))
        and (value < high or (value == high and ends[1] == "]"))
    )
    if not inside:
        raise ValueError(f"{owner}.{name} must be a {kind}{_range(low, high, ends)}; got {value!r}.")
    return float(value)


def _range(low: float, high: float, ends: str) -> str:
    if low == -math.inf and high == math.inf:
        return ""
    if high == math.inf:
        return f" {'>=' if ends[0] == '[' else '>'} {low:g}"
    return f" in {ends[0]}{low:g}, {high:g}{ends[1]}"


def integer(owner: str, name: str, value: Any, low: int | None = 1) -> int:
    """Return `value`, if it is an int of at least `low`.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or (low is not None and value < low):
        raise ValueError(f"{owner}.{name} must be an int{'' if low is None else f' >= {low}'}; got {value!r}.")
    return value


def flag(owner: str, name: str, value: Any) -> bool:
    """Return `value`, if it is True or False.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{owner}.{name} must be True or False; got {value!r}.")
    return value


def choice(owner: str, name: str, value: Any, options: Sequence[str]) -> str:
    """Return `value`, if it is one of `options`.

    Raises:
        ValueError: it is not; the message lists the options and the nearest.
    """
    if value not in options:
        listed = ", ".join(f'"{option}"' for option in options)
        close = nearest(value, options) if isinstance(value, str) else ""
        raise ValueError(f"{owner}.{name} must be one of {listed}; got {value!r}{close or '.'}")
    return value


def float_dtype(owner: str, dtype: Any) -> DType:
    """Return the DType of parameters; None means float32.

    Raises:
        DTypeError: not the name of a dtype.
        ValueError: not a float dtype.
    """
    found = float32 if dtype is None else to_dtype(dtype)
    if not found.is_float:
        raise ValueError(f"{owner}.dtype must be a float dtype; got {found.name}.")
    return found


def refuse(kind: type[ChainruleError], message: str) -> ChainruleError:
    """Return an error that knows the user's line and the path of the module being called."""
    error = kind(message, location=user_location())
    error.module_path = module_path()
    return error


def tensor_input(owner: Any, x: Any, name: str = "input") -> Tensor:
    """Return `x`, if it is a tensor.

    Raises:
        DTypeError: it is not.
    """
    if not isinstance(x, Tensor):
        kind = f"{type(x).__module__.split('.')[0]}.{type(x).__name__}".removeprefix("builtins.")
        raise refuse(DTypeError, f"{owner}: the {name} must be a tensor; got {kind}: convert it with cr.asarray.")
    return x


def same_dtype(owner: Any, x: Tensor, dtype: DType) -> None:
    """Refuse an input whose dtype differs from the parameters'.

    Raises:
        DTypeError: names both dtypes and `.astype`.
    """
    if x.dtype is not dtype:
        other = f", or convert the parameters with .astype(cr.{x.dtype.name})" if x.dtype.is_float else ""
        raise refuse(
            DTypeError,
            f"{owner} got a {x.dtype.name} input and its parameters are {dtype.name}; "
            f"write x.astype(cr.{dtype.name}){other}.",
        )


def equal_shapes(owner: str, input: Tensor, target: Tensor) -> None:
    """Refuse a prediction and a target of different shapes, which would broadcast to a wrong mean.

    Raises:
        ShapeError: names both shapes and, where it helps, the reshape.
    """
    if input.shape != target.shape:
        fix = f": write target.reshape({input.shape})" if input.size == target.size else ""
        raise refuse(
            ShapeError,
            f"{owner}: the input has the shape {input.shape} and the target {target.shape}; they must be equal{fix}.",
        )


def axis_of(owner: str, dim: int, ndim: int) -> int:
    """Return a non-negative axis.

    Raises:
        IndexRangeError: the tensor has no such axis.
    """
    if not -ndim <= dim < ndim:
        allowed = f"[{-ndim}, {ndim - 1}]" if ndim else "none: it has no axes"
        raise refuse(
            IndexRangeError, f"{owner}: dim {dim} does not exist in a tensor with {ndim} axes; allowed: {allowed}."
        )
    return dim % ndim
