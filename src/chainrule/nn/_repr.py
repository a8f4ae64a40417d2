"""The text of a module: each layer as the call that rebuilds it, each container as a tree of such lines."""

from __future__ import annotations

import html
import inspect
import types
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.core.dtypes import DType
from chainrule.core.tensor import Tensor
from chainrule.nn.settings import setting_value

if TYPE_CHECKING:
    from chainrule.nn.module import Module

__all__ = ["arguments", "html_tree", "kind_of", "tree"]

_SHOWN = (bool, int, float, str, tuple, list, type(None), DType, Tensor)


def tree(module: Module) -> str:
    """Return `Linear(784, 10)` for a layer, and one indented line per sub-module for a container."""
    name, extra = type(module).__name__, module.extra_repr()
    if not module._modules:
        return f"{name}({extra})"
    lines = [f"  ({key}): " + repr(part).replace("\n", "\n  ") for key, part in module._modules.items()]
    return "\n".join([f"{name}({extra}", *lines, ")"])


def html_tree(module: Module) -> str:
    """Return the tree for a notebook, under a line with the number of parameters and how many of them are trained."""
    parameters = list(module.parameters())
    trained = sum(p.size for p in parameters if p.requires_grad)
    total = sum(p.size for p in parameters)
    frozen = f", {total - trained:,} of them frozen" if trained != total else ""
    mode = "train" if module.training else "eval"
    return (
        f"<div style='font-size:90%'><b>{total:,}</b> parameters{frozen}; {mode} mode</div>"
        f"<pre style='margin:0'>{html.escape(tree(module))}</pre>"
    )


def arguments(module: Module, signature: inspect.Signature) -> str:
    """Return the arguments that rebuild the module, sizes first, then the settings that differ from their defaults.

    Empty where the module does not keep an argument as an attribute of that name.
    """
    shown = []
    for parameter in list(signature.parameters.values())[1:]:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            return ""
        value = _argument(module, parameter.name)
        if value is inspect.Parameter.empty or not isinstance(value, _SHOWN):
            return ""
        value = plain(value)
        if parameter.default is inspect.Parameter.empty:
            shown.append(text(value))
        elif type(value) is not type(parameter.default) or value != parameter.default:
            shown.append(f"{parameter.name}={text(value)}")
    return ", ".join(shown)


def _argument(module: Module, name: str) -> Any:
    arguments = getattr(module, "_arguments", None)
    if arguments is not None and name in arguments():
        return arguments()[name]
    return getattr(module, name, inspect.Parameter.empty)


def plain(value: Any) -> Any:
    """Return a setting, weight or dtype as what a user would type."""
    if isinstance(value, Tensor):
        if value.ndim == 0:
            return setting_value(value)
        return value._value.tolist() if type(value._value) is np.ndarray else "<traced>"
    return value.name if isinstance(value, DType) else value


def text(value: Any) -> str:
    """Return Python source for a value."""
    return f'"{value}"' if isinstance(value, str) else repr(value)


def kind_of(value: Any) -> str:
    """Return what a value is, in words for a message."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, types.FunctionType | types.BuiltinFunctionType):
        return f"the function {value.__name__}"
    return type(value).__name__
