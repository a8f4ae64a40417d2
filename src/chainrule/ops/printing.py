"""Printing at run time: `debug_print` shows values that a compiled step computes, in the order of the step's lines.

A `print` inside `cr.jit` runs once, while tracing, and shows symbols. `debug_print` is an operation of its own: it runs
with every call, in every step of a loop, once per sample inside `vmap`, and stays in a compiled step although nobody
reads its output, for it has none.
"""

from __future__ import annotations

import contextlib
import string
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.primitive import Sample, TensorType, primitive
from chainrule.core.tensor import Tensor

__all__ = ["debug_print"]


class Template:
    """A text with places for values: those known while tracing are in it, those of tensors are filled in at run time.

    Args:
        text: in the syntax of `str.format`.
        args: positional values; None stands for a tensor that comes with each run.
        kwargs: values by name, likewise.
    """

    def __init__(self, text: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]):
        self.text, self.args, self.kwargs = text, args, dict(kwargs)

    def __repr__(self) -> str:
        return repr(self.text)

    def filled(self, arrays: tuple[np.ndarray, ...]) -> str:
        """Return the text with the values of this run."""
        values = iter(arrays)
        args = [_shown(next(values)) if arg is _COMES else arg for arg in self.args]
        kwargs = {name: _shown(next(values)) if arg is _COMES else arg for name, arg in self.kwargs.items()}
        return self.text.format(*args, **kwargs)


class _Comes:
    """Stands in a template for the value of a tensor."""


_COMES = _Comes()


def _shown(array: np.ndarray) -> Any:
    """Return what a format sees: a number of NumPy for one without axes, so that {:.3f} works, else the array."""
    return array[()] if array.ndim == 0 else array


class _Local(threading.local):
    quiet = False


_local = _Local()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Print nothing in the block: operations that have run are run again, to find out what went wrong."""
    before, _local.quiet = _local.quiet, True
    try:
        yield
    finally:
        _local.quiet = before


def _print(*values: np.ndarray, template: Template) -> list[np.ndarray]:
    if not _local.quiet:
        sys.stdout.write(template.filled(values) + "\n")
        sys.stdout.flush()
    return []


def _nothing(*types: TensorType, template: Template) -> list[TensorType]:
    return []


def _template(text: str, count: int) -> dict[str, Any]:
    return {"template": Template(text, (_COMES,) * count, {})}


debug_print_p = primitive(
    "debug_print",
    reference=_print,
    shape=_nothing,
    multiple=True,
    effect=True,
    samples=[
        Sample(((2, 3),), _template("x = {}", 1), smooth=False),
        Sample(((), np.asarray(3)), _template("{1} steps, loss {0:.2f}", 2), smooth=False),
        Sample(((0, 2),), _template("empty: {}", 1), smooth=False),
    ],
)


def debug_print(template: str, *args: Any, **kwargs: Any) -> None:
    """Print values at run time, eagerly and inside a compiled step, a branch, a loop or a transform.

    Args:
        template: text with places {}, {0}, {name} and their format codes, as for `str.format`; a tensor without axes is
            a number in it ({:.3f}), any other a NumPy array.
        args: tensors, and anything else, for the places by position.
        kwargs: the same for the places by name.

    Raises:
        ValueError: the template is malformed, or has a place for a value that is not given.

    Example:
        >>> import chainrule as cr
        >>> @cr.jit
        ... def step(x):
        ...     cr.debug_print("x = {}, mean {mean:.2f}", x, mean=x.mean())
        ...     return x * 2
        >>> y = step(cr.asarray([1.0, 2.0]))
        x = [1. 2.], mean 1.50
        >>> y = step(cr.asarray([3.0, 5.0]))
        x = [3. 5.], mean 4.00
    """
    _check(template, args, kwargs)
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    known = tuple(_COMES if isinstance(value, Tensor) else value for value in args)
    named = {name: _COMES if isinstance(value, Tensor) else value for name, value in kwargs.items()}
    bind(debug_print_p, *tensors, template=Template(template, known, named))


def _check(template: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Refuse a template whose places and values do not fit: at run time it would be too late for a good message."""
    try:
        places = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise ValueError(f"debug_print: the template {template!r} is malformed: {error}.") from None
    numbers = iter(range(len(places)))
    for place in places:
        name = place.split(".")[0].split("[")[0]
        position = next(numbers) if not name else int(name) if name.isdecimal() else None
        if position is None and name not in kwargs:
            raise ValueError(f"debug_print: the template {template!r} needs {name}=, which is not given.")
        if position is not None and position >= len(args):
            raise ValueError(
                f"debug_print: the template {template!r} needs {position + 1} positional values; got {len(args)}."
            )
