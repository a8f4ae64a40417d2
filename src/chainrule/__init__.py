"""chainrule: a deep-learning framework in pure Python.

Write an ordinary eager training step and look at every value and every gradient; then put `@cr.jit` above it.
Tensor functions (`cr.*`) follow the Python Array API standard, `cr.nn` and `cr.optim` PyTorch's names and defaults.
"""

from __future__ import annotations

import importlib
from typing import Any

from chainrule import autodiff as _autodiff
from chainrule import ops as _ops
from chainrule.autodiff import *  # noqa: F403
from chainrule.compiler import jit
from chainrule.core.config import show
from chainrule.core.context import enable_grad, is_grad_enabled, no_grad
from chainrule.core.dtypes import (
    DType,
    bfloat16,
    complex64,
    complex128,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    promote,
    uint8,
    uint16,
    uint32,
    uint64,
)
from chainrule.core.dtypes import bool_ as bool
from chainrule.core.errors import nearest as _nearest
from chainrule.core.precision import precision
from chainrule.core.tensor import Tensor
from chainrule.core.threads import get_num_threads, requested_threads, set_num_threads
from chainrule.ops import *  # noqa: F403

__version__ = "0.1.0"
__array_api_version__ = "2024.12"

_LAZY = ("data", "debug", "explain", "fft", "linalg", "metrics", "models", "nn", "optim", "recipes", "testing", "train")
_LAZY_NAMES = {
    **dict.fromkeys(("load", "save"), "chainrule.nn.files"),
    **dict.fromkeys(("cond", "scan", "while_loop"), "chainrule.compiler.control"),
    **dict.fromkeys(("debug_nans", "find_nan", "graph", "trace_backward"), "chainrule.debug"),
}

# PyTorch's names for functions that the Array API calls otherwise.
_PYTORCH = {
    "cat": "concat",
    "tensor": "asarray",
    "from_numpy": "asarray",
    "rand": "random.uniform(shape)",
    "randn": "random.normal(shape)",
    "randint": "random.randint",
    "randperm": "random.permutation",
    "permute": "permute_dims",
    "unsqueeze": "expand_dims",
    "mm": "matmul",
    "bmm": "matmul",
    "clamp": "clip",
    "arccos": "acos",
    "arcsin": "asin",
    "arctan": "atan",
    "cumsum": "cumulative_sum",
    "cumprod": "cumulative_prod",
    "topk": "top_k",
    "transpose": "swapaxes",
    "index_select": "take",
    "amax": "max",
    "amin": "min",
    "float": "float32",
    "long": "int64",
}

__all__ = [
    *_autodiff.__all__,
    *_ops.__all__,
    "DType",
    "Tensor",
    "bfloat16",
    "bool",
    "complex128",
    "complex64",
    "enable_grad",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "get_num_threads",
    "is_grad_enabled",
    "jit",
    "no_grad",
    "precision",
    "promote",
    "set_num_threads",
    "show",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    *_LAZY,
    *_LAZY_NAMES,
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"chainrule.{name}")
    if name in _LAZY_NAMES:
        return getattr(importlib.import_module(_LAZY_NAMES[name]), name)
    hint = f": write cr.{_PYTORCH[name]}" if name in _PYTORCH else _nearest(name, __all__)
    raise AttributeError(f"module 'chainrule' has no attribute {name!r}{hint}", name=name, obj=None)


def __dir__() -> list[str]:
    return sorted(__all__)


if (_threads := requested_threads()) is not None:
    set_num_threads(_threads)
