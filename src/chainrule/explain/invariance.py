"""How a layer answers to a shifted picture: convolution shifts with it, pooling stays nearly the same. Measured.

    equivariant   f(shift(x)) = shift(f(x))     a convolution: what it finds, it finds elsewhere too
    invariant     f(shift(x)) = f(x)            pooling, roughly, for shifts smaller than its window

Convolution is equivariant exactly (but for rounding) where no output looks over the border, and for shifts that its
stride divides: a stride s moves the outputs by shift / s, and between two outputs there is nothing. Padding breaks
it at the border alone: zeros stand where the shifted picture goes on. `shift_equivariance` measures both, inside and
everywhere; `shift_invariance` measures how much the outputs themselves change.

A picture is shifted along its last axis, to the right; what comes in at the left is zeros.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule.core.context import no_grad
from chainrule.core.errors import DataError, ShapeError
from chainrule.core.tensor import Tensor
from chainrule.nn._reach import ReceptiveField
from chainrule.nn.summary import summarize
from chainrule.ops import asarray

if TYPE_CHECKING:
    from chainrule.nn import Module

__all__ = ["Equivariance", "EquivarianceRow", "Invariance", "InvarianceRow", "shift_equivariance", "shift_invariance"]


@dataclass(frozen=True)
class EquivarianceRow:
    """One shift of the pictures.

    Attributes:
        shift: pixels to the right.
        outputs: by how much the outputs should move, shift / stride; where that is no whole number there is no such
            output, and the nearest is compared.
        everywhere: |f(shift(x)) - shift(f(x))| / |f(x)|, all outputs that exist on both sides.
        inside: the same for the outputs that never look over the border; None where there are none.

    Example:
        >>> EquivarianceRow(4, Fraction(2), 0.1, 0.0).outputs
        Fraction(2, 1)
    """

    shift: int
    outputs: Fraction
    everywhere: float
    inside: float | None


@dataclass(frozen=True)
class Equivariance:
    """What `shift_equivariance` measured; printed, it is a table.

    Attributes:
        layer: what was measured, in words.
        stride: distance of neighbouring outputs in the input.
        rows: one `EquivarianceRow` per shift.

    Example:
        >>> Equivariance("Conv2d", Fraction(2), (EquivarianceRow(1, Fraction(1, 2), 0.5, 0.5),))
        Conv2d, stride 2: |f(shift(x)) - shift(f(x))| / |f(x)|
        shift  moves by  everywhere   inside
            1       1/2     5.0e-01  5.0e-01
    """

    layer: str
    stride: Fraction
    rows: tuple[EquivarianceRow, ...]

    def __str__(self) -> str:
        lines = [f"{self.layer}, stride {self.stride}: |f(shift(x)) - shift(f(x))| / |f(x)|"]
        lines.append("shift  moves by  everywhere   inside")
        for row in self.rows:
            inside = "-" if row.inside is None else f"{row.inside:.1e}"
            lines.append(f"{row.shift:5}  {row.outputs!s:>8}  {row.everywhere:10.1e}  {inside:>7}")
        return "\n".join(lines)

    __repr__ = __str__


@dataclass(frozen=True)
class InvarianceRow:
    """One layer and how much its outputs change.

    Attributes:
        layer: its name.
        changes: |f(shift(x)) - f(x)| / |f(x)| for each shift.
        same: share of the outputs that did not change at all, for each shift.

    Example:
        >>> InvarianceRow("max 2", (0.5,), (0.8,)).changes
        (0.5,)
    """

    layer: str
    changes: tuple[float, ...]
    same: tuple[float, ...]


@dataclass(frozen=True)
class Invariance:
    """What `shift_invariance` measured; printed, it is a table.

    Attributes:
        shifts: pixels to the right.
        rows: one `InvarianceRow` per layer; the first is the picture itself.

    Example:
        >>> Invariance((1, 2), (InvarianceRow("the picture", (0.5, 0.9), (0.8, 0.7)),))
        |f(shift(x)) - f(x)| / |f(x)|  (outputs that stay the same)
        layer        shift 1     shift 2
        the picture  0.50 (80%)  0.90 (70%)
    """

    shifts: tuple[int, ...]
    rows: tuple[InvarianceRow, ...]

    def __str__(self) -> str:
        width = max(len("layer"), *(len(row.layer) for row in self.rows))
        lines = ["|f(shift(x)) - f(x)| / |f(x)|  (outputs that stay the same)"]
        lines.append("  ".join(["layer".ljust(width), *(f"shift {shift}".ljust(10) for shift in self.shifts)]).rstrip())
        for row in self.rows:
            cells = [f"{c:.2f} ({100 * s:.0f}%)".ljust(10) for c, s in zip(row.changes, row.same, strict=True)]
            lines.append("  ".join([row.layer.ljust(width), *cells]).rstrip())
        return "\n".join(lines)

    __repr__ = __str__


def _pictures(owner: str, pictures: Any) -> NDArray[Any]:
    """Return pictures as float [samples, channels, height, width]."""
    given: NDArray[Any] = pictures.numpy() if isinstance(pictures, Tensor) else np.asarray(pictures)
    if given.ndim == 3:
        given = given[:, None]
    if given.ndim != 4 or not given.size:
        raise ShapeError(
            f"{owner} takes pictures [samples, channels, height, width] or [samples, height, width]; got {given.shape}."
        )
    return given if given.dtype.kind == "f" else given.astype(np.float32)


def _shifts(owner: str, shifts: Sequence[int], width: int) -> tuple[int, ...]:
    found = tuple(shifts)
    if not found or any(type(shift) is not int or not 0 < shift < width for shift in found):
        raise DataError(f"{owner}.shifts must be integers from 1 to {width - 1}, below the width; got {found}.")
    return found


def _moved(x: NDArray[Any], shift: int) -> NDArray[Any]:
    """Return pictures shifted to the right, with zeros from the left."""
    moved = np.zeros_like(x)
    moved[..., shift:] = x[..., : x.shape[-1] - shift]
    return moved


def _outputs(layer: Any, x: NDArray[Any]) -> NDArray[np.float64]:
    with no_grad():
        y = layer(asarray(x))
    return np.asarray(y.numpy(), np.float64)


def _relative(difference: NDArray[np.float64], whole: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(difference) / (np.linalg.norm(whole) or 1.0))


def shift_equivariance(layer: Module, pictures: Any, shifts: Sequence[int] = (1, 2, 3, 4)) -> Equivariance:
    """Measure whether the outputs of a layer or network shift with the picture.

        |f(shift(x)) - shift(f(x))| / |f(x)|

    Zero (but for rounding) inside the picture if the stride divides the shift. Outputs whose field of view meets the
    border, before or after the shift, are left out of `inside`: there padding shows zeros where the picture went on.

    Args:
        layer: a network of convolutions, poolings and activations, in eval mode; its output has spatial axes.
        pictures: numbers [samples, channels, height, width], or [samples, height, width] for one channel.
        shifts: pixels to the right, each from 1 to the width - 1; default 1, 2, 3, 4.

    Returns:
        The measured differences, one row per shift.

    Raises:
        ShapeError: pictures of another shape, or a layer whose output has no spatial axes.
        DataError: a shift outside its range, or the layer sees the whole picture at once.

    Example:
        >>> from chainrule import nn
        >>> pictures = np.random.default_rng(0).normal(size=(4, 1, 12, 12)).astype("float32")
        >>> found = shift_equivariance(nn.Conv2d(1, 2, 3, stride=2), pictures, (1, 2))
        >>> [row.inside < 1e-6 for row in found.rows]
        [False, True]

    Source: Zhang, Making Convolutional Networks Shift-Invariant Again, ICML 2019, for what a stride does.
    """
    x = _pictures("shift_equivariance", pictures)
    chosen = _shifts("shift_equivariance", shifts, x.shape[-1])
    last = [row for row in summarize(layer, x).rows if row.fields and row.outputs][-1]
    y = _outputs(layer, x)
    if y.ndim != 4:
        raise ShapeError(
            f"shift_equivariance needs outputs [samples, channels, height, width]; the layer gives {y.shape}."
        )
    field = last.fields[-1]
    if not isinstance(field, ReceptiveField):
        raise DataError(
            "shift_equivariance: every output sees the whole width of the picture, so nothing is left inside the "
            "border; give the part of the network before its global pooling and its fully connected layers."
        )
    free = [_inside(f, size, n) for f, size, n in zip(last.fields[-2:], y.shape[2:], x.shape[2:], strict=True)]
    rows = []
    for shift in chosen:
        step = shift / field.jump
        by = round(step)
        after = _outputs(layer, _moved(x, shift))[..., by:]
        before = y[..., : y.shape[-1] - by]
        if not before.size:
            raise DataError(f"shift_equivariance: a shift of {shift} moves all outputs out of the picture; take less.")
        # An output counts as inside if its own field, and the field of the output it is compared with, avoid the
        # border and the zeros that came in.
        came = [ends is not None and ends[0] >= shift for ends in map(field.interval, range(by, y.shape[-1]))]
        columns = free[1][by:] & free[1][: y.shape[-1] - by] & np.array(came)
        part, other = (values[:, :, free[0]][..., columns] for values in (before, after))
        inside = _relative(other - part, part) if part.size else None
        rows.append(EquivarianceRow(shift, Fraction(step), _relative(after - before, before), inside))
    return Equivariance(_named(layer), field.jump, tuple(rows))


def _inside(field: Any, outputs: int, inputs: int) -> NDArray[np.bool_]:
    """Return which outputs never look over the border."""
    if not isinstance(field, ReceptiveField):
        return np.zeros(outputs, bool)
    found = [field.interval(position) for position in range(outputs)]
    return np.array([ends is not None and ends[0] >= 0 and ends[1] < inputs for ends in found], bool)


def _named(layer: Any) -> str:
    text = repr(layer)
    return (
        text if "\n" not in text else " > ".join(type(part).__name__ for part in layer.modules() if not part._modules)
    )


def shift_invariance(layers: Mapping[str, Module], pictures: Any, shifts: Sequence[int] = (1, 2, 3)) -> Invariance:
    """Measure how much the outputs of layers change when the picture shifts; the picture itself is the first row.

        |f(shift(x)) - f(x)| / |f(x)|

    Pooling over larger windows changes less: locally, it forgets where in the window the largest value stood.

    Args:
        layers: layers or networks by the name that the table shows, in eval mode.
        pictures: numbers [samples, channels, height, width], or [samples, height, width] for one channel.
        shifts: pixels to the right, each from 1 to the width - 1; default 1, 2, 3.

    Returns:
        The measured changes, one row per layer.

    Raises:
        ShapeError: pictures of another shape.
        DataError: a shift outside its range.

    Example:
        >>> from chainrule import nn
        >>> pictures = np.random.default_rng(0).normal(size=(4, 12, 12)).astype("float32")
        >>> found = shift_invariance({"max 4": nn.MaxPool2d(4)}, pictures, (1,))
        >>> [row.changes[0] < found.rows[0].changes[0] for row in found.rows]
        [False, True]

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 9.3.
    """
    x = _pictures("shift_invariance", pictures)
    chosen = _shifts("shift_invariance", shifts, x.shape[-1])
    moved = [_moved(x, shift) for shift in chosen]
    named: list[tuple[str, Any]] = [("the picture", lambda t: t), *layers.items()]
    rows = []
    for name, layer in named:
        y = _outputs(layer, x)
        others = [_outputs(layer, part) for part in moved]
        changes = tuple(_relative(other - y, y) for other in others)
        rows.append(InvarianceRow(name, changes, tuple(float((other == y).mean()) for other in others)))
    return Invariance(chosen, tuple(rows))
