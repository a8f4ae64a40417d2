"""Module: a part of a network that owns parameters, buffers and sub-modules, and computes `forward`.

Assigning registers: a Parameter, a sub-module, or a new value of a buffer. `structure_version` tells compiled steps
that something they froze has changed; switching between train and eval and back gives the old version again, so that
the compiled step of each mode is found. Errors that leave a forward name the path of the module, like "encoder.layers.2
(Linear)".
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from chainrule.compiler.jit import JitFunction
from chainrule.core import context
from chainrule.core.context import Versioned
from chainrule.core.dtypes import DType, to_dtype
from chainrule.core.errors import ChainruleError, TraceError, nearest, notice, user_location
from chainrule.core.tape import Leaf
from chainrule.core.tensor import Parameter, Tensor
from chainrule.nn import _repr, _state
from chainrule.nn._hooks import HookHandle, call_with_hooks
from chainrule.nn._modes import Modes

__all__ = ["Module"]

Self = TypeVar("Self", bound="Module")
_TABLES = ("_parameters", "_buffers", "_modules")


class Module(Modes):
    """Base of all layers, losses and networks: assign parameters and sub-modules in `__init__`, compute in `forward`.

    Attributes:
        training: whether the module is in train mode; `train()` and `eval()` switch it.
        receptive_field: for `summary()`: None (what its operations read), "all", a (kernel, stride) pair per spatial
            axis, or a method that returns one of these for the input's shape.
        optional_state: names of buffers that a state dict may lack; they keep their values then.

    Example:
        >>> import chainrule as cr
        >>> class Net(cr.nn.Module):
        ...     def __init__(self):
        ...         self.hidden = cr.nn.Linear(4, 3)
        ...         self.out = cr.nn.Linear(3, 2)
        ...     def forward(self, x):
        ...         return self.out(cr.relu(self.hidden(x)))
        >>> net = Net()
        >>> net(cr.ones((5, 4))).shape, [name for name, _ in net.named_parameters()]
        ((5, 2), ['hidden.weight', 'hidden.bias', 'out.weight', 'out.bias'])
    """

    receptive_field: Any = None
    optional_state: tuple[str, ...] = ()
    training: bool

    def __new__(cls: type[Self], *_args: Any, **_kwargs: Any) -> Self:
        self = super().__new__(cls)
        self.__dict__.update(
            training=True, _parameters={}, _buffers={}, _modules={}, _settings={}, _transient=set(),
            _forward_pre_hooks={}, _forward_hooks={}, _backward_hooks={}, _base_version=0, structure_version=1,
        )  # fmt: skip
        return self

    def __init__(self) -> None:
        pass

    # ------------------------------------------------------------------------------------------------ calling
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every module defines its own."""
        raise NotImplementedError(f"{type(self).__name__} has no forward: define forward(self, ...) in the class.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return `forward` of the arguments, with hooks around it, and the module's path in every error."""
        stack = context.local.modules
        stack.append(self)
        try:
            if self._forward_hooks or self._forward_pre_hooks or self._backward_hooks:
                return call_with_hooks(self, args, kwargs)
            return self.forward(*args, **kwargs)
        except ChainruleError as error:
            error.module_path = error.module_path or context.module_path()
            error.location = error.location or user_location()
            raise
        finally:
            stack.pop()

    def register_forward_pre_hook(self, hook: Callable[[Module, tuple], Any]) -> HookHandle:
        """Call `hook(module, args)` before each forward; what it returns replaces the arguments, None does not."""
        return HookHandle(self, self._forward_pre_hooks, hook)

    def register_forward_hook(self, hook: Callable[[Module, tuple, Any], Any]) -> HookHandle:
        """Call `hook(module, args, output)` after each forward; what it returns replaces the output, None does not."""
        return HookHandle(self, self._forward_hooks, hook)

    def register_full_backward_hook(self, hook: Callable[[Module, tuple, tuple], Any]) -> HookHandle:
        """Call `hook(module, grad_input, grad_output)` in backward; what it returns replaces the input gradients."""
        return HookHandle(self, self._backward_hooks, hook)

    # ------------------------------------------------------------------------------------------------ registering
    def __setattr__(self, name: str, value: Any) -> None:
        if name == "training":
            self._set_mode(bool(value))
        elif hasattr(getattr(type(self), name, None), "__set__"):
            object.__setattr__(self, name, value)
        elif isinstance(value, Parameter) or (value is None and name in self._parameters):
            self.register_parameter(name, value)
        elif isinstance(value, Module) or (value is None and name in self._modules):
            self.add_module(name, value)
        elif name in self._buffers and (value is None or isinstance(value, Tensor)):
            self._set_buffer(name, value)
        else:
            self._set_plain(name, value)

    def _set_plain(self, name: str, value: Any) -> None:
        for table, what in (("_parameters", "an nn.Parameter"), ("_modules", "a module"), ("_buffers", "a tensor")):
            if name in self.__dict__[table]:
                raise TypeError(f"{type(self).__name__}.{name} must be {what} or None; got {type(value).__name__}.")
        if isinstance(value, list | tuple | dict):
            self._warn_of_hidden_modules(name, value)
        object.__setattr__(self, name, value)
        if context.local.interpreter is None:
            self._touch()

    def _warn_of_hidden_modules(self, name: str, value: Any) -> None:
        items = value.values() if isinstance(value, dict) else value
        if any(isinstance(item, Module | Parameter) for item in items):
            kind = "ModuleDict" if isinstance(value, dict) else "ModuleList"
            notice(
                f"{type(self).__name__}.{name} is a plain {type(value).__name__} that holds modules or parameters: "
                f"they are not registered, so nothing trains or saves them. Use nn.{kind}, or assign them one by one."
            )

    def _set_buffer(self, name: str, value: Tensor | None) -> None:
        """Put a tensor into the buffer's cell; one of another shape or dtype replaces the cell."""
        cell = self._buffers[name]
        if cell is not None and value is not None and cell.shape == value.shape and cell.dtype is value.dtype:
            cell.assign_(value)
        else:
            self.register_buffer(name, value, persistent=name not in self._transient)

    def __getattr__(self, name: str) -> Any:
        for table in _TABLES:
            entries = self.__dict__.get(table, {})
            if name in entries:
                return entries[name]
        known = [n for table in _TABLES for n in self.__dict__.get(table, {})] + list(self.__dict__)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{nearest(name, known)}")

    def __delattr__(self, name: str) -> None:
        self._refuse_in_trace(f"deleting {name!r}")
        for table in _TABLES:
            if self.__dict__[table].pop(name, self) is not self:
                break
        else:
            object.__delattr__(self, name)
        self._touch()

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *self._parameters, *self._buffers, *self._modules})

    def _register(self, table: str, name: str, value: Any) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"a name inside a module is a non-empty string without a dot; got {name!r}.")
        if name not in self.__dict__[table] and hasattr(type(self), name):
            raise ValueError(f"{type(self).__name__}.{name} exists already as part of the class; choose another name.")
        self._refuse_in_trace(f"registering {name!r}")
        for other in _TABLES:
            if other != table:
                self.__dict__[other].pop(name, None)
        self.__dict__.pop(name, None)
        self.__dict__[table][name] = value
        self._touch()

    def _refuse_in_trace(self, what: str) -> None:
        if context.local.interpreter is not None:
            raise TraceError(
                f"{what} changes the structure of {type(self).__name__} while cr.jit traces, and compiled calls would "
                "not repeat it; do it in __init__, or before the step is called.",
                location=user_location(),
            )

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """Add a parameter under a name; None keeps the name for an absent one.

        Raises:
            TypeError: not a Parameter.
        """
        if parameter is not None and not isinstance(parameter, Parameter):
            raise TypeError(
                f"register_parameter({name!r}) takes an nn.Parameter or None; got {type(parameter).__name__}."
            )
        self._register("_parameters", name, parameter)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but not trained, like a running mean.

        Args:
            name: attribute name.
            tensor: its initial value; None keeps the name for an absent one.
            persistent: whether `state_dict` holds it; default True.

        Raises:
            TypeError: not a tensor.
        """
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"register_buffer({name!r}) takes a tensor or None; got {type(tensor).__name__}: use cr.asarray."
            )
        self._register("_buffers", name, tensor)
        (self._transient.discard if persistent else self._transient.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a sub-module under a name; None keeps the name for an absent one.

        Raises:
            TypeError: not a module.
        """
        if module is not None and not isinstance(module, Module):
            hint = f": write {module.__name__}()" if isinstance(module, type) and issubclass(module, Module) else ""
            raise TypeError(f"add_module({name!r}) takes an nn.Module; got {_repr.kind_of(module)}{hint}.")
        self._register("_modules", name, module)

    # ------------------------------------------------------------------------------------------------ versions
    def _touch(self) -> None:
        self.__dict__["_base_version"] = context.structure_changed()
        self._publish()

    def _publish(self) -> None:
        """Make the version from the number of the last change and the mode: each mode has its own, lasting one."""
        self.__dict__["structure_version"] = 2 * self._base_version + self.training

    def _set_mode(self, training: bool) -> None:
        if training is not self.training:
            self.__dict__["training"] = training
            context.structure_changed()
            self._publish()

    def _versioned_parts(self) -> list[Versioned]:
        return [module for module in self._modules.values() if module is not None]

    # ------------------------------------------------------------------------------------------------ modes
    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the parameters' gradients, or set them to zero with `set_to_none=False`."""
        for parameter in self.parameters():
            if set_to_none:  # not read: a compiled step may have used it up
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = parameter.grad.detach() * 0

    def to(self: Self, dtype: Any) -> Self:
        """Convert all float parameters and buffers (and gradients) to a float dtype, in place; return this module.

        Args:
            dtype: a float dtype; "cpu", the only device, changes nothing.

        Raises:
            ValueError: not a float dtype.
        """
        if dtype == "cpu":
            return self
        target = to_dtype(dtype)
        if not target.is_float:
            raise ValueError(f"{type(self).__name__}.to.dtype must be a float dtype; got {target.name}.")
        self._refuse_in_trace("converting the parameters")
        for module in self.modules():
            for entry in (*module._parameters.values(), *module._buffers.values()):
                if entry is not None and entry.dtype.is_float and entry.dtype is not target:
                    _convert(entry, target)
            module._touch()
        return self

    def astype(self: Self, dtype: Any) -> Self:
        """Convert all float parameters and buffers, like `to`; return this module."""
        return self.to(dtype)

    # ------------------------------------------------------------------------------------------------ state
    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """Return the parameters and persistent buffers by name, as values that later training does not change.

        Args:
            prefix: put before every name; default "".

        Returns:
            Name -> detached tensor, PyTorch's names and layouts, in order of registration; a shared one under every
            name.

        Example:
            >>> import chainrule as cr
            >>> list(cr.nn.Sequential(cr.nn.Linear(3, 2)).state_dict())
            ['0.weight', '0.bias']
        """
        return {prefix + name: entry.detach() for name, entry in _state.entries(self)}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> _state.LoadReport:
        """Put values into the parameters and persistent buffers; all of them, or none if anything is wrong.

        Args:
            state_dict: name -> tensor or NumPy array, of the module's shapes and dtypes.
            strict: whether missing and unexpected names are errors; default True. Wrong shapes and dtypes always are.

        Returns:
            A report with `missing_keys` and `unexpected_keys`, both empty if `strict`.

        Raises:
            StateDictError: lists every missing, unexpected, misshapen or mistyped entry.

        Example:
            >>> import chainrule as cr
            >>> a, b = cr.nn.Linear(3, 2), cr.nn.Linear(3, 2)
            >>> a.load_state_dict(b.state_dict())
            LoadReport(missing_keys=[], unexpected_keys=[])
        """
        return _state.load(self, state_dict, strict)

    def __getstate__(self) -> dict[str, Any]:
        state = {}
        for name, value in self.__dict__.items():
            if isinstance(value, JitFunction):
                if isinstance(getattr(type(self), name, None), JitFunction):
                    continue  # a decorated method: bound again at its first use
                value = JitFunction(value.function, value.keep_grads)  # traced graphs belong to the original
            state[name] = value
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._touch()

    # ------------------------------------------------------------------------------------------------ looking
    def summary(self, *inputs: Any, dtype: Any = None) -> Any:
        """Return a table with one row per layer: input and output shapes, parameters, bytes, FLOPs, receptive field.

        Nothing is computed: shapes follow from the primitives' shape rules.

        Args:
            *inputs: for each argument of forward a shape with the batch, like (32, 784), or a sample tensor.
            dtype: of inputs given as shapes; default that of the first parameter.

        Returns:
            A `Summary`; it prints as a table, and Jupyter shows it as one.

        Raises:
            ShapeError, DTypeError: the layers do not fit together; names the layer.

        Example:
            >>> import chainrule as cr
            >>> cr.nn.Linear(784, 10).summary((32, 784)).parameters
            7850
        """
        from chainrule.nn.summary import summarize

        return summarize(self, *inputs, dtype=dtype)

    def extra_repr(self) -> str:
        """Return the arguments in the `repr` line; by default those of `__init__` that are attributes."""
        return _repr.arguments(self, inspect.signature(type(self).__init__))

    def __repr__(self) -> str:
        return _repr.tree(self)

    def _repr_html_(self) -> str:
        return _repr.html_tree(self)


def _convert(entry: Tensor, target: DType) -> None:
    """Replace the buffer of a cell, and of its gradient, by one of another dtype; the cell stays the same object."""
    trained = isinstance(entry._node, Leaf)
    entry._node = None
    entry._value = np.asarray(entry._value).astype(target.numpy)
    entry._version += 1
    if isinstance(entry._grad, Tensor):
        entry._grad = Tensor(entry._grad._value.astype(target.numpy))
    if trained:
        entry._node = Leaf(entry)
