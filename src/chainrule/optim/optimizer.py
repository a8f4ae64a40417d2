"""The base of all optimizers: groups, slots, one step over all parameters, state dicts.

What every optimizer does around its own rule, for a parameter p with gradient g (lr and the other settings per group):

    g <- -g                              if maximize
    g <- g + weight_decay p              or, decoupled:  p <- (1 - lr weight_decay) p
    p <- the optimizer's rule for g
    p <- sign(p) max(|p| - s l1, 0)      the proximal step of the penalty l1 |p|; weights become exactly zero

s is the step size that the rule gives this weight in the steady state (lr for plain SGD; divided by the root where the
rule divides; over 1 - momentum where it sums), so that all optimizers seek the same penalised optimum.

The slots (momentum buffers, averages, step counts) are cells, made at construction, so a step is written once,
imperatively, and compiles whole. Arithmetic on the settings is done in float64 and rounded once to the parameter's
dtype, as PyTorch does it with Python's floats. Updates of bfloat16 parameters are computed, and their slots kept, in
float32. Sources: Loshchilov and Hutter, ICLR 2019 (decoupled weight decay);
Parikh and Boyd, Proximal Algorithms, 2014 (soft threshold); Duchi, Hazan and Singer, JMLR 12 (2011), section 5 (scaled
by the root).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from chainrule.core.context import Versioned, enable_grad, local, no_grad
from chainrule.core.dtypes import DType
from chainrule.core.errors import DTypeError, GradientError, TraceError, notice, user_location
from chainrule.core.tensor import Tensor
from chainrule.core.tracer import consume_grad
from chainrule.ops import clip, zeros_like
from chainrule.ops._inputs import cast
from chainrule.optim._options import Flag, Number, Option
from chainrule.optim._state import load_state, plain_state
from chainrule.optim.group import ParameterGroup, new_cell, wide

__all__ = ["Numbers", "Optimizer", "Params"]

Params = Iterable[Tensor] | Iterable[dict[str, Any]]

COMMON: dict[str, Option] = {
    "lr": Number(),
    "weight_decay": Number(term=True),
    "decoupled_weight_decay": Flag(),
    "l1": Number(term=True),
    "maximize": Flag(),
    "initial_lr": Number(),  # where schedules keep the value that they start from
}


class Numbers:
    """The settings of one group as tensors without axes: exact in float64, and rounded once to a parameter's dtype."""

    def __init__(self, exact: dict[str, Tensor], dtype: DType):
        self.exact, self.dtype = exact, dtype
        self._rounded: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._rounded:
            self._rounded[name] = self.round(self.exact[name])
        return self._rounded[name]

    def round(self, value: Tensor) -> Tensor:
        """Return a float64 number in the parameter's dtype."""
        return cast(value, self.dtype)


class Optimizer(Versioned):
    """Base of the optimizers; a subclass states its settings, its slots and its rule.

    Args:
        params: parameters, or one dict per group: {"params": parameters, setting: value, ...}.
        defaults: setting -> value, for groups that do not state it.

    Raises:
        ValueError: no parameters, one given twice, or a setting outside its range.
        GradientError: a parameter is the result of an operation.
        DTypeError: a parameter is not a float tensor.

    Example:
        >>> from chainrule.optim._options import Number
        >>> class SignDescent(Optimizer):
        ...     def __init__(self, params, lr=0.1):
        ...         super().__init__(params, {"lr": lr})
        ...     def update(self, p, g, slots, numbers, group):
        ...         return p - numbers["lr"] * cr.sign(g)
        >>> w = cr.asarray([1.0, -2.0]).requires_grad_()
        >>> (w * w).sum().backward()
        >>> SignDescent([w]).step()
        >>> w.tolist()
        [0.8999999761581421, -1.899999976158142]
    """

    options: ClassVar[Mapping[str, Option]] = {}

    def __init__(self, params: Params, defaults: dict[str, Any]):
        name = type(self).__name__
        if local.interpreter is not None:
            raise TraceError(
                f"{name} can't be made while cr.jit traces; make it before the step.", location=user_location()
            )
        taken = {"weight_decay": 0.0, "decoupled_weight_decay": False, "l1": 0.0, "maximize": False, **defaults}
        own = {key: option for key, option in self.options.items() if key not in COMMON}
        self._options = {"lr": COMMON["lr"], **own, **COMMON, **self.options}  # in this order they are shown
        self.defaults = taken
        self._groups: list[ParameterGroup] = []
        self._state: dict[Tensor, dict[str, Tensor]] = {}
        for group in _as_groups(name, params):
            self.add_param_group(group)

    # ------------------------------------------------------------------------------------------------ for subclasses
    def slot_values(self, group: ParameterGroup) -> dict[str, float]:
        """Return the slots that a parameter of `group` needs, with the value they start from; "step" is a count.

        Args:
            group: the parameter group; flags and used terms decide which slots there are.
        """
        return {}

    def numbers(self, group: ParameterGroup) -> dict[str, Tensor]:
        """Return the numbers of the rule that are the same for all parameters of `group`, in float64.

        Args:
            group: the parameter group.
        """
        return {}

    def update(self, p: Tensor, g: Tensor, slots: dict[str, Tensor], numbers: Numbers, group: ParameterGroup) -> Tensor:
        """Return the new value of a parameter, and assign its slots.

        Args:
            p: the parameter.
            g: its gradient, weight decay included, of the same shape.
            slots: name -> cell.
            numbers: "lr" and what `numbers` returned, in the dtype of `p`; `numbers.exact` holds them in float64.
            group: the parameter group.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no update rule: write update(p, g, slots, numbers, group)."
        )

    def step_size(self, slots: dict[str, Tensor], numbers: Numbers, group: ParameterGroup) -> Tensor:
        """Return by how much a steady gradient of 1 moves a weight per step, after `update`: the scale of the L1 step.

        Args:
            slots: name -> cell, already updated.
            numbers: as in `update`.
            group: the parameter group.
        """
        return numbers["lr"]

    # ------------------------------------------------------------------------------------------------ what users call
    @property
    def param_groups(self) -> tuple[ParameterGroup, ...]:
        """The parameter groups; `optimizer.param_groups[0]["lr"] = 0.1` changes a setting."""
        return tuple(self._groups)

    @property
    def state(self) -> Mapping[Tensor, dict[str, Tensor]]:
        """Parameter -> its slots; read-only, because compiled steps hold the cells: `load_state_dict` changes them."""
        return MappingProxyType(self._state)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with settings of their own.

        Args:
            param_group: {"params": parameters, setting: value, ...}; settings not given are the optimizer's.

        Raises:
            ValueError: no parameters, one that is here already, or a setting outside its range.
        """
        name = type(self).__name__
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise ValueError(f'{name}: a parameter group must be a dict with the key "params"; got {param_group!r}.')
        known = {id(p) for group in self._groups for p in group["params"]}
        params = _checked(name, param_group["params"], known)
        settings = {key: value for key, value in param_group.items() if key != "params"}
        group = ParameterGroup(name, params, self._options, {**self.defaults, **settings})
        self.check_settings(group.plain())
        self._groups.append(group)
        for p in params:
            self._slots(p, group)
        self._touch()

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Raise a ValueError if the settings of a new or loaded group contradict each other.

        Args:
            settings: setting -> number, tuple of numbers or flag.
        """

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Update every parameter that has a gradient.

        Args:
            closure: computes the loss and calls backward, run first; default none.

        Returns:
            The closure's result, or None.

        Raises:
            DTypeError: a parameter changed its dtype after the optimizer was made.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            updated = [self._step_group(group) for group in self._groups]
        if not any(updated):
            notice(
                f"{type(self).__name__}.step() found no gradient in any parameter and changed nothing; "
                "call loss.backward() first."
            )
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of all parameters.

        Args:
            set_to_none: False fills present gradients with zeros instead; then `step` still counts them; default True.
        """
        with no_grad():
            for group in self._groups:
                for p in group["params"]:
                    if set_to_none:
                        p.grad = None
                    elif p.grad is not None:
                        p.grad = zeros_like(p.grad)

    def state_dict(self) -> dict[str, Any]:
        """Return slots and settings in PyTorch's form: {"state": {index: slots}, "param_groups": [settings]}."""
        return plain_state(self._groups, self._state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Put saved slots and settings into this optimizer's cells; nothing changes if anything does not fit.

        Args:
            state_dict: from `state_dict` of an optimizer of this class over parameters of the same shapes.

        Raises:
            StateDictError: lists everything that is missing, unexpected or of another shape.
        """
        load_state(self, state_dict)
        self._touch()

    # ------------------------------------------------------------------------------------------------ the step
    def _step_group(self, group: ParameterGroup) -> bool:
        exact = {"lr": group["lr"], **self.numbers(group)}
        if group.uses("weight_decay"):
            exact["weight_decay"] = group["weight_decay"]
            exact["keep"] = 1 - group["lr"] * group["weight_decay"]
        if group.uses("l1"):
            exact["l1"] = group["l1"]
        by_dtype: dict[DType, Numbers] = {}
        found = False
        for p in group["params"]:
            g = consume_grad(p)
            if g is not None:
                found = True
                dtype = wide(p.dtype)
                numbers = by_dtype.setdefault(dtype, Numbers(exact, dtype))
                value = self._updated(p, cast(p, dtype), cast(g, dtype), numbers, group)
                p.assign_(cast(value, p.dtype))
        return found

    def _updated(self, p: Tensor, value: Tensor, g: Tensor, numbers: Numbers, group: ParameterGroup) -> Tensor:
        """Return the new value of `p`, which has the value `value` and the gradient `g`."""
        slots = self._slots(p, group)
        if "step" in slots:
            slots["step"].assign_(slots["step"] + 1)
        if group["maximize"]:
            g = -g
        if group.uses("weight_decay"):
            if group["decoupled_weight_decay"]:
                value = value * numbers["keep"]
            else:
                g = g + value * numbers["weight_decay"]
        value = self.update(value, g, slots, numbers, group)
        if group.uses("l1"):
            limit = self.step_size(slots, numbers, group) * numbers["l1"]
            value = value - clip(value, -limit, limit)  # exactly zero where |value| <= limit
        return value

    def _slots(self, p: Tensor, group: ParameterGroup) -> dict[str, Tensor]:
        """Return the slots of a parameter; those that it lacks are made: new cells, outside of any trace."""
        slots = self._state.setdefault(p, {})
        for name, value in self.slot_values(group).items():
            if name not in slots:
                shaped = np.full(p.shape, value, dtype=wide(p.dtype).numpy)
                slots[name] = new_cell(value) if name == "step" else Tensor(shaped)
            elif name != "step" and slots[name].dtype is not wide(p.dtype):
                raise DTypeError(
                    f"{type(self).__name__} keeps {slots[name].dtype.name} slots for a parameter of shape {p.shape}, "
                    f"which is {p.dtype.name} now: convert the model first, then make the optimizer."
                )
        return slots

    # ------------------------------------------------------------------------------------------------ as an object
    def _versioned_parts(self) -> list[Versioned]:
        return list(self._groups)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if not name.startswith("_"):
            self._touch()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._touch()

    def __repr__(self) -> str:
        parameters = inspect.signature(type(self).__init__).parameters.values()
        standard = {p.name: p.default for p in parameters if p.default is not p.empty}
        plain = [{k: v for k, v in group.plain().items() if k in standard} for group in self._groups]
        shared = {k: v for k, v in plain[0].items() if all(group[k] == v for group in plain)}
        said = [f"{k}={v!r}" for k, v in shared.items() if k == "lr" or v != standard[k]]
        if len(plain) == 1:
            return f"{type(self).__name__}({', '.join(said)})"
        own = [{k: v for k, v in group.items() if k not in shared} for group in plain]
        groups = ", ".join(
            "{" + ", ".join(['"params": ...', *(f'"{k}": {v!r}' for k, v in group.items())]) + "}" for group in own
        )
        return f"{type(self).__name__}({', '.join([f'[{groups}]', *said])})"


def _as_groups(name: str, params: Any) -> list[dict[str, Any]]:
    """Return the groups that a constructor was given."""
    if isinstance(params, Tensor):
        raise ValueError(f"{name}: params must be a list of parameters; got a single tensor: write [parameter].")
    if hasattr(params, "parameters"):
        raise ValueError(
            f"{name}: params must be a list of parameters; got a {type(params).__name__}: write model.parameters()."
        )
    items = list(params)
    if not items:
        raise ValueError(f"{name} got no parameters: the list is empty, or a generator that was used up before.")
    return items if all(isinstance(item, dict) for item in items) else [{"params": items}]


def _checked(name: str, params: Any, known: set[int]) -> tuple[Tensor, ...]:
    """Return the parameters of one group, each checked."""
    items = [params] if isinstance(params, Tensor) else list(params)
    if not items:
        raise ValueError(f"{name} got no parameters: the list is empty, or a generator that was used up before.")
    seen = set(known)
    for position, p in enumerate(items):
        if not isinstance(p, Tensor):
            way = ": write model.parameters() for model.named_parameters()" if isinstance(p, tuple) else ""
            raise ValueError(f"{name}: params[{position}] must be a tensor; got {type(p).__name__}{way}.")
        if not p.dtype.is_float:
            raise DTypeError(f"{name}: params[{position}] is {p.dtype.name}; only float tensors can be optimized.")
        if not p.is_leaf:
            raise GradientError(
                f"{name}: params[{position}], of shape {p.shape}, is the result of an operation; "
                "only leaves can be optimized: use .detach().requires_grad_()."
            )
        if id(p) in seen:
            raise ValueError(
                f"{name}: params[{position}], of shape {p.shape}, is given twice; each parameter belongs to one group."
            )
        seen.add(id(p))
    return tuple(items)
