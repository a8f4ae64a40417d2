"""What can be written on a tensor: operators, `.T`, and the methods of `Tensor`, attached from one table.

    x + 1,  2 ** x,  x @ w,  x > 0,  x[1:, None],  x[mask] = 0,  x += y,  x.sum(axis=1),  x.mT

The functions live in the other files of this folder; importing this one gives them to `Tensor`. Beside a tensor stand
numbers and NumPy arrays, on either side. `x += y` and `x[key] = y` put a new buffer into the cell x: whoever holds the
old buffer keeps it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.errors import DTypeError, ShapeError, user_location
from chainrule.core.tensor import Tensor
from chainrule.ops import (
    arithmetic,
    compare,
    composite,
    exponential,
    hyperbolic,
    logical,
    powers,
    product,
    reduce,
    selection,
    special,
    statistics,
)
from chainrule.ops import shape as shapes
from chainrule.ops._inputs import check_device, numbers
from chainrule.ops.astype import astype
from chainrule.ops.index import getitem, setitem
from chainrule.ops.matmul import matmul
from chainrule.ops.sort import argmax, argmin

__all__: list[str] = []

OPERANDS = (Tensor, *numbers, np.ndarray, np.generic)  # what may stand on the other side of an operator

# Python's method without its underscores -> function; `__radd__` and `__iadd__` follow.
BINARY: dict[str, Callable[..., Tensor]] = {
    "add": arithmetic.add,
    "sub": arithmetic.subtract,
    "mul": arithmetic.multiply,
    "truediv": arithmetic.divide,
    "floordiv": arithmetic.floor_divide,
    "mod": arithmetic.remainder,
    "pow": powers.pow,
    "matmul": matmul,
    "and": logical.bitwise_and,
    "or": logical.bitwise_or,
    "xor": logical.bitwise_xor,
    "lshift": logical.bitwise_left_shift,
    "rshift": logical.bitwise_right_shift,
}
COMPARISONS: dict[str, Callable[..., Tensor]] = {
    "eq": compare.equal,
    "ne": compare.not_equal,
    "lt": compare.less,
    "le": compare.less_equal,
    "gt": compare.greater,
    "ge": compare.greater_equal,
}
UNARY: dict[str, Callable[..., Tensor]] = {
    "neg": arithmetic.negative,
    "pos": arithmetic.positive,
    "abs": arithmetic.abs,
    "invert": logical.bitwise_invert,
}
METHODS: dict[str, Callable[..., Tensor]] = {
    "abs": arithmetic.abs,
    "all": reduce.all,
    "any": reduce.any,
    "argmax": argmax,
    "argmin": argmin,
    "astype": astype,
    "broadcast_to": shapes.broadcast_to,
    "clip": selection.clip,
    "exp": exponential.exp,
    "expand_dims": shapes.expand_dims,
    "flatten": shapes.flatten,
    "log": exponential.log,
    "log_softmax": composite.log_softmax,
    "matmul": matmul,
    "max": reduce.max,
    "mean": statistics.mean,
    "min": reduce.min,
    "prod": product.prod,
    "relu": special.relu,
    "sigmoid": special.sigmoid,
    "softmax": composite.softmax,
    "sqrt": powers.sqrt,
    "square": powers.square,
    "squeeze": shapes.squeeze,
    "std": statistics.std,
    "sum": reduce.sum,
    "swapaxes": shapes.swapaxes,
    "tanh": hyperbolic.tanh,
    "var": statistics.var,
}


def _binary(function: Callable[..., Tensor]) -> Callable[[Tensor, Any], Any]:
    def operator(self: Tensor, other: Any) -> Any:
        return function(self, other) if isinstance(other, OPERANDS) else NotImplemented

    return operator


def _reflected(function: Callable[..., Tensor]) -> Callable[[Tensor, Any], Any]:
    def operator(self: Tensor, other: Any) -> Any:
        return function(other, self) if isinstance(other, OPERANDS) else NotImplemented

    return operator


def _in_place(function: Callable[..., Tensor], name: str) -> Callable[[Tensor, Any], Any]:
    """Return `x op= other`, which assigns the cell x and never changes its dtype."""

    def operator(self: Tensor, other: Any) -> Any:
        if not isinstance(other, OPERANDS):
            return NotImplemented
        result = function(self, other)
        if result.dtype is not self.dtype:
            raise DTypeError(
                f"{name}: the result is {result.dtype.name} and the tensor assigned to is {self.dtype.name}; "
                f"convert the result with .astype(cr.{self.dtype.name}), or write x = x ... to make a new tensor.",
                location=user_location(),
            )
        return self.assign_(result)

    return operator


def _transpose(x: Tensor) -> Tensor:
    """The transpose of a matrix."""
    if x.ndim != 2:
        raise ShapeError(
            f".T needs a matrix; this tensor has the shape {x.shape}: use .mT for stacks of matrices, or permute_dims.",
            location=user_location(),
        )
    return shapes.matrix_transpose(x)


def _sizes(given: tuple) -> Any:
    return given[0] if len(given) == 1 else given


def _reshape(x: Tensor, /, *shape: Any) -> Tensor:
    """Return the elements in another shape: `x.reshape(2, -1)` or `x.reshape((2, -1))`; see `chainrule.reshape`."""
    return shapes.reshape(x, _sizes(shape))


def _permute_dims(x: Tensor, /, *axes: Any) -> Tensor:
    """Return x with its axes in another order: `x.permute_dims(1, 0)` or `x.permute_dims((1, 0))`."""
    return shapes.permute_dims(x, _sizes(axes) if len(axes) != 1 or not isinstance(axes[0], int) else axes)


def _to_device(x: Tensor, device: str, /, *, stream: Any = None) -> Tensor:
    """Return the tensor itself: the only device is "cpu"."""
    check_device("to_device", device)
    return x


def _array_namespace(x: Tensor, /, *, api_version: str | None = None) -> Any:
    """Return the module that holds the functions of the Array API."""
    if api_version not in (None, "2021.12", "2022.12", "2023.12", "2024.12"):
        raise ValueError(f"__array_namespace__.api_version must be None or at most '2024.12'; got {api_version!r}.")
    return importlib.import_module("chainrule")


def _attach() -> None:
    """Give Tensor everything in the tables above."""
    for name, function in BINARY.items():
        setattr(Tensor, f"__{name}__", _binary(function))
        setattr(Tensor, f"__r{name}__", _reflected(function))
        setattr(Tensor, f"__i{name}__", _in_place(function, function.__name__))
    for name, function in COMPARISONS.items():
        setattr(Tensor, f"__{name}__", _binary(function))
    for name, function in UNARY.items():
        setattr(Tensor, f"__{name}__", lambda self, function=function: function(self))
    for name, function in METHODS.items():
        setattr(Tensor, name, function)
    Tensor.reshape, Tensor.permute_dims, Tensor.to_device = _reshape, _permute_dims, _to_device
    Tensor.T, Tensor.mT = property(_transpose), property(shapes.matrix_transpose)
    Tensor.__getitem__, Tensor.__setitem__ = getitem, setitem
    Tensor.__array_namespace__ = _array_namespace
    Tensor.__array_ufunc__ = None  # so that `array * tensor` asks the tensor


_attach()
