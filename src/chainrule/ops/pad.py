"""Borders around a tensor: a constant, the mirrored inside, the repeated edge, or the other end.

    constant    0 0 | a b c d | 0 0          pad and update_slice
    reflect     c b | a b c d | c b          the edge itself is not repeated
    replicate   a a | a b c d | d d
    circular    c d | a b c d | a b

The last three are slices of x joined to it, one axis after the other, so their gradients follow; a border of negative
width cuts off. `nn.functional.pad` reads PyTorch's order of widths and calls `bordered` too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import promote
from chainrule.core.errors import DTypeError, ShapeError, nearest, user_location
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, cast, constant
from chainrule.ops.creation import full
from chainrule.ops.gather import take
from chainrule.ops.join import concat_p, flip
from chainrule.ops.shape import broadcast_to
from chainrule.ops.slices import narrow, pad_p, update_slice_p

__all__ = ["pad"]

MODES = ("constant", "reflect", "replicate", "circular")
SYNONYMS = {"edge": "replicate", "wrap": "circular"}  # NumPy's names


def pad(
    x: Tensor,
    /,
    pad_width: int | tuple[int, int] | Sequence[tuple[int, int]],
    *,
    mode: str = "constant",
    constant_values: float | Tensor = 0,
) -> Tensor:
    """Return x with a border.

    Args:
        x: tensor of any shape and dtype.
        pad_width: per axis the elements before and after it, >= 0; one pair, or one int, serves all axes.
        mode: "constant"; "reflect", x mirrored at its edge; "replicate" (or "edge"), the edge repeated; "circular" (or
            "wrap"), the other end of x; default "constant".
        constant_values: number, or tensor without axes, that fills a constant border; default 0.

    Returns:
        Tensor whose axes are longer by their two widths, and the dtype of x.

    Raises:
        ShapeError: negative widths, another number of pairs than axes, or a border wider than what it is taken from.
        DTypeError: a border that the dtype of x can't hold.
        ValueError: another mode.

    Example:
        >>> import chainrule as cr
        >>> cr.pad(cr.ones(2), (1, 2))
        tensor([0., 1., 1., 0., 0.], shape=(5,), dtype=float32)
        >>> cr.pad(cr.arange(4), 2, mode="reflect")
        tensor([2, 1, 0, 1, 2, 3, 2, 1], shape=(8,), dtype=int64)
    """
    x = as_tensor(x)
    widths = _pairs(pad_width, x.ndim)
    if any(n < 0 for pair in widths for n in pair):
        low, high = tuple(a for a, _ in widths), tuple(b for _, b in widths)
        raise ShapeError(
            f"pad: widths must be >= 0; got {low} before and {high} after the axes.", location=user_location()
        )
    return bordered(x, widths, mode, constant_values)


def _pairs(pad_width: int | Sequence, ndim: int) -> list[tuple[int, int]]:
    """Return one (before, after) per axis."""
    if isinstance(pad_width, int):
        return [(pad_width, pad_width)] * ndim
    widths = list(pad_width)
    if len(widths) == 2 and all(isinstance(n, int) for n in widths):
        return [(widths[0], widths[1])] * ndim
    if len(widths) == 1 and ndim != 1:
        widths = widths * ndim
    if len(widths) != ndim or any(isinstance(pair, int) or len(pair) != 2 for pair in widths):
        raise ShapeError(f"pad: {ndim} axes need one (before, after) each; got {pad_width!r}.")
    return [(int(a), int(b)) for a, b in widths]


def bordered(x: Tensor, widths: Sequence[tuple[int, int]], mode: str, value: float | Tensor = 0) -> Tensor:
    """Return x with a border of one (before, after) per axis; negative widths cut off.

    Raises:
        ShapeError: a border wider than what it is taken from, or more is cut off than there is.
        DTypeError: a value that the dtype of x can't hold.
        ValueError: an unknown mode.
    """
    mode = SYNONYMS.get(mode, mode)
    if mode not in MODES:
        listed = ", ".join(f'"{name}"' for name in MODES)
        close = nearest(mode, MODES) if isinstance(mode, str) else ""
        raise ValueError(f"pad.mode must be one of {listed}; got {mode!r}{close or '.'}")
    if mode == "replicate" and any(n < 0 for pair in widths for n in pair):
        return _repeated(x, widths)
    if any(n < 0 for pair in widths for n in pair):
        x = _cut(x, widths)
        widths = [(max(a, 0), max(b, 0)) for a, b in widths]
    if mode == "constant":
        return _constant(x, widths, value)
    for axis, (before, after) in enumerate(widths):
        if before or after:
            x = _extended(x, axis, before, after, mode)
    return x


def _cut(x: Tensor, widths: Sequence[tuple[int, int]]) -> Tensor:
    """Return x without what negative widths cut off."""
    for axis, (before, after) in enumerate(widths):
        start, limit = max(-before, 0), x.shape[axis] - max(-after, 0)
        if start > limit:
            raise ShapeError(
                f"pad: the widths ({before}, {after}) cut more than the {x.shape[axis]} elements off axis {axis} "
                f"of {x.shape}.",
                location=user_location(),
            )
        if (start, limit) != (0, x.shape[axis]):
            x = narrow(x, axis, start, limit)
    return x


def _repeated(x: Tensor, widths: Sequence[tuple[int, int]]) -> Tensor:
    """Return x seen through a window that may lie beside it: positions outside are those of the nearest edge."""
    for axis, (before, after) in enumerate(widths):
        n = x.shape[axis]
        m = before + n + after
        if m < 0 or (m and not n):
            raise ShapeError(
                f"pad: the widths ({before}, {after}) do not fit axis {axis} of {x.shape}.", location=user_location()
            )
        if before or after:
            x = take(x, constant(np.clip(np.arange(m) - before, 0, max(n - 1, 0))), axis=axis)
    return x


def _constant(x: Tensor, widths: Sequence[tuple[int, int]], value: float | Tensor) -> Tensor:
    low, high = tuple(a for a, _ in widths), tuple(b for _, b in widths)
    if not isinstance(value, Tensor) and value == 0:
        return bind(pad_p, x, low=low, high=high, interior=(0,) * x.ndim)
    fill = as_tensor(value, x)
    if promote(fill.dtype, x.dtype) is not x.dtype:
        raise DTypeError(
            f"pad: the border is {fill.dtype.name} and the tensor {x.dtype.name}; convert one with .astype."
        )
    shape = tuple(a + n + b for n, a, b in zip(x.shape, low, high))
    return bind(update_slice_p, full(shape, cast(fill, x.dtype)), x, starts=low, steps=(1,) * x.ndim)


def _extended(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """Return x with parts of itself before and after one axis."""
    n = x.shape[axis]
    room = {"reflect": n - 1, "circular": n, "replicate": before + after if n else 0}[mode]
    if max(before, after) > room:
        raise ShapeError(
            f"pad: a {mode} border on axis {axis} of {x.shape} may be at most {max(room, 0)} wide; "
            f"got ({before}, {after}).",
            location=user_location(),
        )
    if mode == "reflect":
        first, last = flip(narrow(x, axis, 1, before + 1), axis), flip(narrow(x, axis, n - 1 - after, n - 1), axis)
    elif mode == "circular":
        first, last = narrow(x, axis, n - before, n), narrow(x, axis, 0, after)
    else:
        first, last = _edge(x, axis, 0, before), _edge(x, axis, n - 1, after)
    parts = [part for part, width in ((first, before), (x, 1), (last, after)) if width]
    return bind(concat_p, *parts, axis=axis)


def _edge(x: Tensor, axis: int, place: int, width: int) -> Tensor:
    """Return one row of an axis repeated."""
    row = narrow(x, axis, place, place + 1)
    return broadcast_to(row, (*x.shape[:axis], width, *x.shape[axis + 1 :]))
