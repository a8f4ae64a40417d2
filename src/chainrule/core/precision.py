"""Mixed precision: the policy by which `bind` casts the operands of matrix products and convolutions.

    y = bf16(x) @ bf16(w), each product exact, summed and kept in float32

Only contractions (primitives so declared) follow it, and only where all their operands are float32. Weights stay
float32, and so do sums, norms, softmax, losses and optimizers. A gradient is cast as its forward pass was, wherever
`backward` is called, so the policy is off while gradient rules run: what they bind says its dtypes itself.

Source: Micikevicius et al., Mixed precision training, 2018; Kalamkar et al., A study of bfloat16, 2019.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

from chainrule.core.context import local
from chainrule.core.dtypes import DType, bfloat16
from chainrule.core.errors import SettingError, nearest

__all__ = ["PRECISIONS", "Operands", "name_of", "operand_dtype", "precision"]

PRECISIONS: dict[str, DType | None] = {"float32": None, "bf16": bfloat16}  # what float32 operands are cast to


def operand_dtype(name: str, where: str = "precision") -> DType | None:
    """Return what a precision casts float32 operands to; None where they stay.

    Args:
        name: "float32" or "bf16".
        where: the setting, for the message; default "precision".

    Raises:
        SettingError: no such precision; lists those there are.

    Example:
        >>> operand_dtype("bf16"), operand_dtype("float32")
        (chainrule.bfloat16, None)
    """
    if not isinstance(name, str) or name not in PRECISIONS:
        hint = nearest(name, PRECISIONS) if isinstance(name, str) else ""
        choices = " or ".join(f'"{choice}"' for choice in PRECISIONS)
        raise SettingError(f"{where} must be {choices}; got {name!r}{hint or '.'}")
    return PRECISIONS[name]


def name_of(dtype: DType | None) -> str:
    """Return the name of the precision that casts float32 operands to `dtype`.

    Example:
        >>> name_of(None)
        'float32'
    """
    return next(name for name, operands in PRECISIONS.items() if operands is dtype)


class Operands(contextlib.ContextDecorator):
    """A block, or decorated function, in which contractions cast float32 operands to a dtype; None: they stay.

    Args:
        dtype: from `operand_dtype`.

    Example:
        >>> import chainrule as cr
        >>> with Operands(None):
        ...     (cr.ones((1, 1)) @ cr.ones((1, 1))).item()
        1.0
    """

    def __init__(self, dtype: DType | None):
        self.dtype = dtype
        self.before: list[DType | None] = []

    def __enter__(self) -> None:
        self.before.append(local.precision)
        local.precision = self.dtype

    def __exit__(self, *exc: object) -> None:
        local.precision = self.before.pop()

    def _recreate_cm(self) -> Operands:
        return Operands(self.dtype)  # so that a decorated function may recurse


def precision(name: str, function: Callable | None = None) -> Any:
    """Choose how precise matrix products and convolutions are, inside a block or a decorated function.

    With "bf16" their float32 operands are rounded to bfloat16 (8 bits of precision, the range of float32), which fast
    hardware multiplies; products are exact, sums and results float32. All else stays float32, and float64 stays
    float64. Blocks nest; "float32" inside "bf16" turns it off. Gradients have the precision of their forward pass.

    Args:
        name: "float32" or "bf16".
        function: the function to decorate; default none, for `with precision("bf16"):`.

    Returns:
        The decorated function, or a context manager that also decorates.

    Raises:
        SettingError: an unknown name.

    Example:
        >>> import chainrule as cr
        >>> x = cr.asarray([[1.001]])
        >>> with cr.precision("bf16"):
        ...     (x @ x).item()
        1.0
    """
    mode = Operands(operand_dtype(name))
    return mode if function is None else functools.wraps(function)(mode(function))
