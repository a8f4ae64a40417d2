"""Static arguments of `cr.jit`: values that select a variant by equality, and that the step gets as they are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from chainrule.core.errors import TraceError, nearest, user_location

__all__ = ["Static", "StaticNames"]


class Static:
    """A static argument on its way into a step.

    Args:
        value: what the step gets.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value


class StaticNames:
    """The parameters of a step that are static.

    Args:
        function: the step.
        names: of the parameters.

    Raises:
        ValueError: the step has no such parameter.
    """

    def __init__(self, function: Callable[..., Any], names: str | Sequence[str]):
        self.names = frozenset([names] if isinstance(names, str) else names)
        self.positional: list[str] = []
        if not self.names:
            return
        parameters = inspect.signature(function).parameters.values()
        self.positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        known = {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        for name in sorted(self.names - known):
            raise ValueError(
                f"jit.static_argnames: {getattr(function, '__name__', 'the function')} has no parameter {name!r}"
                f"{nearest(name, known)}."
            )

    def marked(self, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        """Return the arguments of a call with the static ones marked."""
        if not self.names:
            return args, kwargs
        given = [self._mark(self.positional[i], arg) if i < len(self.positional) else arg for i, arg in enumerate(args)]
        return tuple(given), {name: self._mark(name, arg) for name, arg in kwargs.items()}

    def _mark(self, name: str, value: Any) -> Any:
        if name not in self.names:
            return value
        try:
            hash(value)
        except TypeError:
            raise TraceError(
                f"cr.jit: the static argument {name} must be hashable, for it selects the compiled variant; "
                f"got {type(value).__name__}: give a tuple, a string or a frozen dataclass.",
                location=user_location(),
            ) from None
        return Static(value)


def given(leaf: Any) -> Any:
    """Return what the step gets for a leaf of the arguments."""
    return leaf.value if type(leaf) is Static else leaf
