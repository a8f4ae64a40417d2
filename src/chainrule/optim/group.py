"""Parameter groups: parameters together with the settings that the optimizer uses for them.

Every number is a cell, a float64 tensor without axes: `group["lr"] = 0.1` assigns the cell, so a compiled step sees the
new value at once and is not traced again. Flags are structure: changing one re-traces. A term whose coefficient is zero
(momentum, weight decay) is left out of the update rule until the coefficient first differs from zero, which re-traces
once.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping
from typing import Any

import numpy as np

from chainrule.core.context import Versioned, local, no_grad
from chainrule.core.dtypes import DType, bfloat16, float32, float64
from chainrule.core.errors import ChainruleError, ShapeError, nearest
from chainrule.core.tensor import Tensor
from chainrule.ops import asarray, astype
from chainrule.optim._options import Flag, Number, Option, Pair

__all__ = ["ParameterGroup", "UnknownOptionError", "new_cell", "wide"]


class UnknownOptionError(ChainruleError, KeyError):
    """A setting that the optimizer does not have."""


def new_cell(value: float) -> Tensor:
    """Return a float64 cell without axes; inside a trace too it holds data, so that it becomes captured state."""
    return Tensor(np.asarray(value, dtype=np.float64))


def wide(dtype: DType) -> DType:
    """Return the dtype in which an update of a parameter is computed and its slots are kept.

    bfloat16 keeps 8 bits: 0.999 would round to 1, and an average would stand still. So it is float32 there.
    """
    return float32 if dtype is bfloat16 else dtype


class ParameterGroup(Versioned):
    """Parameters and their settings, used like a dictionary; optimizers make groups, users read and assign settings.

    A number read from a group is a float64 tensor without axes, a copy of its cell: it stays when the cell changes.

    Args:
        owner: the optimizer's name, for messages.
        params: the parameters.
        options: the settings that the optimizer takes.
        values: setting -> value.

    Raises:
        ValueError: a value is not allowed.
        UnknownOptionError: a setting is not in `options`.

    Example:
        >>> import chainrule as cr
        >>> group = cr.optim.SGD([cr.zeros(2).requires_grad_()], lr=0.1).param_groups[0]
        >>> group["lr"] = 0.05
        >>> float(group["lr"]), "momentum" in group, group["nesterov"]
        (0.05, True, False)
    """

    def __init__(
        self, owner: str, params: tuple[Tensor, ...], options: Mapping[str, Option], values: Mapping[str, Any]
    ):
        self._owner, self._options, self._params = owner, dict(options), params
        self._cells: dict[str, tuple[Tensor, ...]] = {}
        self._flags: dict[str, bool] = {}
        self._constants: dict[str, Any] = {}  # values last assigned outside a trace
        self._terms: set[str] = set()  # coefficients that take part in the update rule
        for name, value in values.items():
            self._set(name, self._option(name).clean(value, f"{owner}.{name}"))

    # ------------------------------------------------------------------------------------------------ like a dictionary
    def __getitem__(self, name: str) -> Any:
        if name == "params":
            return self._params
        option = self._option(name)
        if isinstance(option, Flag):
            return self._flags[name]
        values = tuple(cell.detach() for cell in self._cells[name])
        return values if isinstance(option, Pair) else values[0]

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "params":
            raise UnknownOptionError(
                f"{self._owner}: the parameters of a group can't be replaced; use add_param_group."
            )
        option = self._option(name)
        traced = any(isinstance(item, Tensor) for item in (value if isinstance(value, tuple | list) else (value,)))
        if traced and isinstance(option, Number | Pair):
            self._set(name, self._from_tensors(name, value, option))
        else:
            self._set(name, option.clean(value, f"{self._owner}.{name}"))

    def __contains__(self, name: object) -> bool:
        return name in ("params", *self._cells, *self._flags)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def keys(self) -> list[str]:
        """Return "params" and the names of the settings."""
        return ["params", *(name for name in self._options if name in self._cells or name in self._flags)]

    def values(self) -> list[Any]:
        """Return the parameters and the values of the settings."""
        return [self[name] for name in self.keys()]

    def items(self) -> ItemsView[str, Any]:
        """Return (name, value) of the parameters and the settings."""
        return {name: self[name] for name in self.keys()}.items()

    def get(self, name: str, default: Any = None) -> Any:
        """Return a setting, or `default` where the optimizer has none of this name."""
        return self[name] if name in self else default  # noqa: SIM401 - this is `get`

    def setdefault(self, name: str, value: Any) -> Any:
        """Return a setting; one that is absent gets `value` first. `initial_lr` is the only one that may be absent."""
        if name not in self:
            self[name] = value
        return self[name]

    # ------------------------------------------------------------------------------------------------ for optimizers
    def uses(self, name: str) -> bool:
        """Return whether the coefficient `name` takes part in the update rule: it is, or once was, not zero."""
        return name in self._terms

    def use(self, name: str) -> None:
        """Make the coefficient `name` take part in the update rule although it is zero now."""
        if name not in self._terms:
            self._terms.add(name)
            self._touch()

    @property
    def terms(self) -> list[str]:
        """Names of the coefficients that take part in the update rule."""
        return sorted(self._terms)

    def constant(self, name: str) -> float:
        """Return a number that is used only when slots are made, so it is needed now, even inside a trace."""
        return self._constants[name]

    def plain(self) -> dict[str, Any]:
        """Return the settings as floats, tuples of floats and booleans, without the parameters."""
        found: dict[str, Any] = {}
        for name in self.keys()[1:]:
            value = self[name]
            found[name] = (
                tuple(map(float, value))
                if isinstance(value, tuple)
                else value
                if isinstance(value, bool)
                else float(value)
            )
        return found

    def _option(self, name: str) -> Option:
        if name not in self._options:
            raise UnknownOptionError(
                f"{self._owner} has no setting {name!r}{nearest(name, self._options) or '.'} "
                f"Its settings are {', '.join(self._options)}."
            )
        return self._options[name]

    def _from_tensors(self, name: str, value: Any, option: Number | Pair) -> Any:
        """Return 0-d float64 tensors; outside a trace their values are checked, inside there are none yet."""
        parts = tuple(value) if isinstance(value, tuple | list) else (value,)
        if local.interpreter is None:
            numbers = tuple(item.item() if isinstance(item, Tensor) and item.size == 1 else item for item in parts)
            return option.clean(numbers if isinstance(option, Pair) else numbers[0], f"{self._owner}.{name}")
        tensors = []
        for item in parts:
            tensor = (
                item
                if isinstance(item, Tensor)
                else asarray(option_number(option).clean(item, f"{self._owner}.{name}"))
            )
            if tensor.shape != ():
                raise ShapeError(f"{self._owner}.{name} must be {option}; got a tensor of shape {tensor.shape}.")
            tensors.append(astype(tensor, float64))
        return tuple(tensors) if isinstance(option, Pair) else tensors[0]

    def _set(self, name: str, value: Any) -> None:
        option = self._options[name]
        if isinstance(option, Flag):
            if self._flags.get(name) is not value:
                self._flags[name] = value
                self._touch()
            return
        parts = value if isinstance(value, tuple) else (value,)
        if not any(isinstance(item, Tensor) for item in parts):
            self._constants[name] = value
        if name not in self._cells:
            self._cells[name] = tuple(new_cell(0.0) for _ in parts)
        with no_grad():
            for cell, item in zip(self._cells[name], parts, strict=True):
                cell.assign_(item if isinstance(item, Tensor) else asarray(item, dtype=float64))
        if isinstance(option, Number) and option.term and (isinstance(value, Tensor) or value != 0):
            self.use(name)

    def __repr__(self) -> str:
        sizes = sum(p.size for p in self._params)
        settings = ", ".join(f"{name}={value!r}" for name, value in self.plain().items())
        return f"ParameterGroup({len(self._params)} parameters, {sizes:_} numbers, {settings})"


def option_number(option: Number | Pair) -> Number:
    """Return the kind of number that an option holds."""
    return option.number if isinstance(option, Pair) else option
