"""Tracing a NaN or an infinity to the operation that made it, forward or backward.

Every operation is observed while the step runs eagerly. The first one whose output holds a NaN and whose inputs hold
none is the origin; if its inputs hold an infinity, the operation that made the first infinity is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.core.context import local, module_path
from chainrule.core.dtypes import dtype_of
from chainrule.core.errors import NonFiniteError, TraceError, user_location
from chainrule.core.primitive import Primitive, TensorType

__all__ = ["Finding", "debug_nans", "find_nan"]


@dataclass(frozen=True)
class Finding:
    """Where a non-finite value began.

    Args:
        operation: name of the primitive.
        module: path of the module being called, or None.
        location: the user's line, or None.
        backward: whether it began in a gradient rule.
        output: type of the output, like f32[64,10].
        count: non-finite elements.
        size: elements of the output.
        index: position of the first one.
        value: "nan", "inf" or "-inf".
        ranges: per input its type and finite range in words.

    Example:
        >>> import chainrule as cr
        >>> print(cr.find_nan(cr.sqrt, cr.asarray([4.0, -1.0])))  # doctest: +ELLIPSIS
        operation sqrt...: 1 of 2 values of its output f32[2] are not finite, first nan at [1]; its inputs: f32[2] ...
    """

    operation: str
    module: str | None
    location: str | None
    backward: bool
    output: str
    count: int
    size: int
    index: tuple[int, ...]
    value: str
    ranges: tuple[str, ...]

    def __str__(self) -> str:
        direction = "the gradient of " if self.backward else ""
        module = f"{self.module}, " if self.module else ""
        inputs = "; ".join(self.ranges)
        place = f" at {self.location}" if self.location else ""
        return (
            f"{direction}{module}operation {self.operation}{place}: {self.count} of {self.size} values of its output "
            f"{self.output} are not finite, first {self.value} at {list(self.index)}; its inputs: {inputs}"
        )


class _Watch:
    """The observer: remembers the first infinity and the first NaN."""

    def __init__(self) -> None:
        self.infinity: Finding | None = None
        self.nan: Finding | None = None
        self.nan_from_infinity = False

    def __call__(self, primitive: Primitive, inputs: Any, outputs: Any, attributes: Any) -> None:
        if self.nan is not None:
            return
        for out in outputs:
            if not isinstance(out, np.ndarray) or not dtype_of(out.dtype).is_float:
                continue
            bad = ~np.isfinite(out.astype(np.float64))
            if not bad.any():
                continue
            floats = [v for v in inputs if isinstance(v, np.ndarray) and dtype_of(v.dtype).is_float]
            if np.isnan(out.astype(np.float64)).any():
                if not any(np.isnan(v.astype(np.float64)).any() for v in floats):
                    self.nan = _finding(primitive, inputs, out, np.isnan(out.astype(np.float64)))
                    self.nan_from_infinity = any(np.isinf(v.astype(np.float64)).any() for v in floats)
            elif self.infinity is None and all(np.isfinite(v.astype(np.float64)).all() for v in floats):
                self.infinity = _finding(primitive, inputs, out, bad)

    @property
    def finding(self) -> Finding | None:
        if self.nan is None or (self.nan_from_infinity and self.infinity is not None):
            return self.infinity
        return self.nan


def _finding(primitive: Primitive, inputs: Any, out: np.ndarray, bad: np.ndarray) -> Finding:
    index = tuple(int(i) for i in np.argwhere(bad)[0]) if out.ndim else ()
    node = local.pulled
    return Finding(
        operation=primitive.name if node is None else node.name,
        module=module_path() if node is None else node.place,
        location=user_location(),
        backward=node is not None,
        output=str(TensorType(out.shape, dtype_of(out.dtype))),
        count=int(bad.sum()),
        size=out.size,
        index=index,
        value=str(out[index]),
        ranges=tuple(_range(value) for value in inputs),
    )


def _range(value: np.ndarray) -> str:
    kind = str(TensorType(value.shape, dtype_of(value.dtype)))
    finite = value[np.isfinite(value.astype(np.float64))]
    return f"{kind} in [{finite.min()}, {finite.max()}]" if finite.size else kind


@contextlib.contextmanager
def _observed(watch: Callable[..., None]) -> Iterator[None]:
    if local.interpreter is not None:
        raise TraceError("NaNs are looked for eagerly; call this outside cr.jit.")
    before, local.checks = local.checks, (*local.checks, watch)
    try:
        yield
    finally:
        local.checks = before
        local.pulled = None


def find_nan(step: Callable[..., Any], *batch: Any) -> Finding | None:
    """Run a step eagerly and return where the first NaN or infinity began, or None.

    Args:
        step: the training step or any function of tensors; a `cr.jit` function is run as its Python function.
        batch: its arguments.

    Returns:
        A `Finding`, whose text names module, operation, line, shapes and input ranges.

    Raises:
        TraceError: called while tracing.

    Example:
        >>> import chainrule as cr
        >>> found = cr.find_nan(lambda x: cr.log(x - 1).sum(), cr.ones(2))
        >>> found.operation, found.value, found.index
        ('log', '-inf', (0,))
    """
    watch = _Watch()
    with _observed(watch), contextlib.suppress(NonFiniteError):
        getattr(step, "function", step)(*batch)
    return watch.finding


@contextlib.contextmanager
def debug_nans() -> Iterator[None]:
    """Raise at the first eager operation in the block, forward or backward, whose output has a NaN or an infinity.

    Raises:
        NonFiniteError: names module, operation, line, shapes and input ranges.
        TraceError: entered while tracing.

    Example:
        >>> import chainrule as cr
        >>> with cr.debug_nans():
        ...     y = cr.sqrt(cr.ones(2))
    """

    def stop(primitive: Primitive, inputs: Any, outputs: Any, attributes: Any) -> None:
        watch = _Watch()
        watch(primitive, inputs, outputs, attributes)
        if watch.finding is not None:
            raise NonFiniteError(f"a non-finite value began in {watch.finding}.")

    with _observed(stop):
        yield
