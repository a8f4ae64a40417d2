"""What the current thread is doing: recording gradients, tracing, and which modules are being called.

`epoch` counts structural changes (a layer replaced, train/eval switched, a parameter frozen) over the whole process, so
that a compiled step checks one integer per call instead of walking its modules.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["Versioned", "enable_grad", "is_grad_enabled", "no_grad", "structure_changed"]


class _Local(threading.local):
    grad = True  # record operations on the tape
    precision: Any = None  # the dtype that contractions cast float32 operands to, or None: see `core.precision`
    interpreter: Any = None  # the tracer of the step being traced, or None: run eagerly
    transform: Any = None  # the innermost level of jvp and vmap, or None
    checks: tuple = ()  # observers called after each operation: (primitive, inputs, outputs, attributes)
    recomputed: Any = None  # during a walk down the tape: what checkpointed blocks have computed again
    pulled: Any = None  # while observed: the node whose gradient rule is running

    def __init__(self) -> None:
        self.modules: list[Any] = []  # modules being called, outermost first


local = _Local()
_counter = itertools.count(1)
_epoch = [0]


def structure_changed() -> int:
    """Note that something a compiled step depends on has changed; return a new version number."""
    _epoch[0] += 1
    return next(_counter)


def epoch() -> int:
    """Return the number of structural changes so far."""
    return _epoch[0]


class Versioned:
    """Base of objects that compiled steps depend on: `structure_version` changes when their structure does.

    A subclass calls `self._touch()` whenever something that a trace would have frozen changes, and lists the parts
    that have versions of their own in `_versioned_parts()`. What is switched to and fro, like train and eval, it
    returns from `_mode()` instead, and calls `structure_changed()`, so that a trace fits again when it is switched
    back.
    """

    structure_version: int = 0

    def _touch(self) -> None:
        object.__setattr__(self, "structure_version", structure_changed())

    def _versioned_parts(self) -> list[Versioned]:
        return []

    def _mode(self) -> Any:
        return None

    def _fingerprint(self) -> tuple:
        """Return the versions and modes of this object and all its parts."""
        versions: list[Any] = []
        stack, seen = [self], set()
        while stack:
            part = stack.pop()
            if id(part) not in seen:
                seen.add(id(part))
                versions.append((part.structure_version, part._mode()))
                stack.extend(part._versioned_parts())
        return tuple(versions)


class _GradMode(contextlib.ContextDecorator):
    """A block, or decorated function, in which operations are recorded or not."""

    def __init__(self, *, enabled: bool):
        self.enabled = enabled
        self.before: list[bool] = []

    def __enter__(self) -> None:
        self.before.append(local.grad)
        local.grad = self.enabled

    def __exit__(self, *exc: object) -> None:
        local.grad = self.before.pop()

    def _recreate_cm(self) -> _GradMode:
        return _GradMode(enabled=self.enabled)  # so that a decorated function may recurse


def no_grad(function: Callable | None = None) -> Any:
    """Stop recording operations, inside a block or a decorated function.

    Args:
        function: the function to decorate; default none, for `with no_grad():`.

    Returns:
        The decorated function, or a context manager.

    Example:
        >>> import chainrule as cr
        >>> w = cr.ones(2).requires_grad_()
        >>> with cr.no_grad():
        ...     (w * 2).requires_grad
        False
    """
    return _mode(False, function)


def enable_grad(function: Callable | None = None) -> Any:
    """Record operations again, inside a block or a decorated function within `no_grad`.

    Args:
        function: the function to decorate; default none, for `with enable_grad():`.

    Returns:
        The decorated function, or a context manager.

    Example:
        >>> import chainrule as cr
        >>> w = cr.ones(2).requires_grad_()
        >>> with cr.no_grad(), cr.enable_grad():
        ...     (w * 2).requires_grad
        True
    """
    return _mode(True, function)


def _mode(enabled: bool, function: Callable | None) -> Any:
    mode = _GradMode(enabled=enabled)
    return mode if function is None else functools.wraps(function)(mode(function))


def is_grad_enabled() -> bool:
    """Return whether operations on tensors that require a gradient are being recorded.

    Example:
        >>> import chainrule as cr
        >>> cr.is_grad_enabled()
        True
    """
    return local.grad


def module_path() -> str | None:
    """Return the path of the module being called, like "encoder.layers.2 (Linear)", or None outside all modules."""
    stack = local.modules
    if not stack:
        return None
    names = []
    for parent, child in itertools.pairwise(stack):
        names.append(_name_inside(parent, child) or type(child).__name__)
    kind = type(stack[-1]).__name__
    return f"{'.'.join(names)} ({kind})" if names else kind


def _name_inside(parent: Any, child: Any) -> str | None:
    """Return the path of `child` below `parent`, through containers that are not called themselves, like "layers.2"."""
    level, seen = [("", parent)], {id(parent)}
    while level:
        below = []
        for prefix, module in level:
            for name, part in module._modules.items():
                if part is child:
                    return prefix + name
                if part is not None and id(part) not in seen:
                    seen.add(id(part))
                    below.append((f"{prefix}{name}.", part))
        level = below
    return None
