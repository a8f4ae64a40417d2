"""Numbers of a layer that may change while it is used: each lives in a cell, so nothing is traced again.

`Dropout.p` and `CrossEntropyLoss.label_smoothing` are settings. Reading one gives a 0-d float64 tensor; assigning a
number puts it into the cell. A compiled step reads the cell at run time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.context import no_grad
from chainrule.core.dtypes import float64
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import cast, constant

__all__ = ["Setting"]


class Setting:
    """A number of a module that is kept in a cell; used as a class attribute.

    Args:
        check: `check(owner, name, value) -> float`, raises ValueError for a bad value.
        off_at_zero: a setting made as 0 is off: reading it gives 0.0, and the layer leaves out its arithmetic. The
            first other value makes a cell, which is a change of structure; from then on the cell stays.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.Dropout(0.5)
        >>> layer.p = 0.25
        >>> float(layer.p)
        0.25
    """

    def __init__(self, check: Callable[[str, str, Any], float], off_at_zero: bool = False):
        self.check = check
        self.off_at_zero = off_at_zero
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, module: Any, owner: type | None = None) -> Any:
        if module is None:
            return self
        try:
            return module._settings[self.name]
        except KeyError:
            raise AttributeError(f"{type(module).__name__}.{self.name} was not set yet") from None

    def __set__(self, module: Any, value: Any) -> None:
        cell = module._settings.get(self.name)
        if isinstance(value, Tensor):
            new = cast(value.detach(), float64)
        else:
            number = self.check(type(module).__name__, self.name, value)
            if self.off_at_zero and number == 0.0 and not isinstance(cell, Tensor):
                module._settings[self.name] = 0.0
                return
            new = constant(np.asarray(number, dtype=np.float64))
        if isinstance(cell, Tensor):
            with no_grad():
                cell.assign_(new)
        else:
            module._settings[self.name] = new
            module._touch()


def setting_value(value: Any) -> Any:
    """Return a setting as a number for `repr`; while tracing, where it has none, the text "<traced>"."""
    if isinstance(value, Tensor):
        return value._value.item() if type(value._value) is np.ndarray else "<traced>"
    return value
