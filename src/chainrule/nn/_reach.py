"""Which inputs an output can see, along one axis and exactly, through any chain of windows and resamplings.

A `ReceptiveField` is periodic: output `period a + r` sees the inputs from `shift a + low[r]` to `shift a + high[r]`.
Convolutions and poolings have period 1 and low = -padding, high = dilation (kernel - 1) - padding, shift = stride, so
that one after another gives the well-known recurrences

    size += (kernel - 1) jump,     start -= padding jump,     jump *= stride

(Araujo, Norris and Sim, Distill 2019). Transposed convolutions, upsampling and adaptive pooling have longer periods:
neighbouring outputs see different numbers of inputs. `layer_fields` and `primitive_fields` say how a layer or a
primitive reads its input; `summary.py` follows the data with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from chainrule.core.graph import Equation
from chainrule.nn.adaptive import GlobalAvgPool, GlobalMaxPool, _Adaptive
from chainrule.nn.conv import _Conv
from chainrule.nn.conv_transpose import _ConvTranspose
from chainrule.nn.layer_norm import _Affine
from chainrule.nn.module import Module
from chainrule.nn.norm import _Normalised
from chainrule.nn.padding import _Border
from chainrule.nn.pool import PoolLayer, _Unpool
from chainrule.nn.resize import InvertiblePool2d, PixelShuffle, PixelUnshuffle, Upsample

__all__ = ["HERE", "ReceptiveField", "joined", "layer_fields", "primitive_fields"]

Place = int | None  # None: this output sees no input at all


@dataclass(frozen=True)
class ReceptiveField:
    """Which positions of the input each output can see, along one axis.

        output period a + r  sees  shift a + low[r], ..., shift a + high[r]

    Positions below 0 or beyond the input are padding.

    Args:
        shift: how far the window moves in one period.
        low: the first input that output r sees, for r = 0, ..., period - 1; None where it sees none.
        high: the last one.
    Attributes:
        size: the largest number of inputs between the first and the last that an output sees, both included.
        jump: distance in the input of neighbouring outputs, a fraction after upsampling.
        start: the first input that output 0 sees; negative in the padding.

    Example:
        >>> from chainrule.explain.receptive_field import ReceptiveField
        >>> conv = ReceptiveField.window(3, stride=2, padding=1)
        >>> both = conv.then(conv)
        >>> both.size, both.jump, both.start, both.interval(5)
        (7, Fraction(4, 1), -3, (17, 23))

    Source: Araujo, Norris and Sim, Distill 2019.
    """

    shift: int
    low: tuple[Place, ...]
    high: tuple[Place, ...]

    @classmethod
    def window(cls, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> ReceptiveField:
        """Return the field of a convolution or pooling.

        Args:
            kernel_size: positions in the window, >= 1.
            stride: step between windows, >= 1; default 1.
            padding: width of the border before the axis; default 0.
            dilation: step between the positions of a window, >= 1; default 1.
        """
        return cls(stride, (-padding,), (dilation * (kernel_size - 1) - padding,))

    @classmethod
    def transposed(cls, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> ReceptiveField:
        """Return the field of a transposed convolution.

        Args:
            kernel_size: positions of the kernel, >= 1.
            stride: step between the places that two inputs write to, >= 1; default 1.
            padding: how much is cut off before the axis; default 0.
            dilation: step between the positions of the kernel, >= 1; default 1.
        """
        taps = []
        for r in range(stride):
            ends = [r + padding - dilation * k for k in range(kernel_size)]
            taps.append([end // stride for end in ends if end % stride == 0])
        return cls(1, tuple(min(t, default=None) for t in taps), tuple(max(t, default=None) for t in taps))

    @classmethod
    def adaptive(cls, inputs: int, outputs: int) -> ReceptiveField:
        """Return the field of adaptive pooling.

        Args:
            inputs: positions of the input, >= 1.
            outputs: positions of the output, >= 1.
        """
        common = math.gcd(inputs, outputs) or 1
        n, m = inputs // common, outputs // common
        return cls(n, tuple(i * n // m for i in range(m)), tuple(-(-(i + 1) * n // m) - 1 for i in range(m)))

    @property
    def size(self) -> int:
        """Return the largest number of inputs between the first and the last that an output sees."""
        return max((b - a + 1 for a, b in zip(self.low, self.high, strict=True) if a is not None), default=0)  # type: ignore[operator]

    @property
    def jump(self) -> Fraction:
        """Return the distance in the input of neighbouring outputs."""
        return Fraction(self.shift, len(self.low))

    @property
    def start(self) -> int:
        """Return the first input that output 0 sees."""
        return self.low[0] if self.low[0] is not None else min((a for a in self.low if a is not None), default=0)

    def interval(self, position: int) -> tuple[int, int] | None:
        """Return the first and the last input that an output sees, or None where it sees none.

        Args:
            position: of the output, from 0; it may lie outside.
        """
        a, r = divmod(position, len(self.low))
        low, high = self.low[r], self.high[r]
        return None if low is None or high is None else (self.shift * a + low, self.shift * a + high)

    def then(self, following: ReceptiveField) -> ReceptiveField:
        """Return the field of a layer that reads the outputs of this one, in terms of the inputs of this one.

        Args:
            following: how that layer reads its own input.
        """
        period, inner = len(following.low), len(self.low)
        repeats = inner // math.gcd(inner, following.shift) if following.shift else 1
        low: list[Place] = []
        high: list[Place] = []
        for position in range(period * repeats):
            read = following.interval(position)
            first, last = read if read is not None else (0, -1)
            starts = [found for p in range(first, min(last, first + inner - 1) + 1) if (found := self.interval(p))]
            ends = [found for p in range(max(first, last - inner + 1), last + 1) if (found := self.interval(p))]
            low.append(min((a for a, _ in starts), default=None))
            high.append(max((b for _, b in ends), default=None))
        return ReceptiveField(self.shift * (following.shift * repeats) // inner, tuple(low), tuple(high))

    def union(self, other: ReceptiveField) -> ReceptiveField:
        """Return the field of an output that two paths lead to; of paths with different jumps, the larger field.

        Args:
            other: the field of the other path, of the same input.
        """
        if self == other:
            return self
        if self.jump != other.jump:
            return self if self.size >= other.size else other
        period = math.lcm(len(self.low), len(other.low))
        pairs = [[found for f in (self, other) if (found := f.interval(r))] for r in range(period)]
        low = tuple(min((a for a, _ in pair), default=None) for pair in pairs)
        high = tuple(max((b for _, b in pair), default=None) for pair in pairs)
        return ReceptiveField(int(self.jump * period), low, high)


HERE = ReceptiveField(1, (0,), (0,))
Axis = ReceptiveField | str  # or "all"
Fields = tuple[Axis, ...]  # of the last axes; one alone stands for any number of axes alike


def joined(fields: Sequence[Fields]) -> Fields:
    """Return what several inputs see together, axis by axis; "all" wins."""
    axes = max(map(len, fields))
    wide = [part * axes if len(part) == 1 else (HERE,) * (axes - len(part)) + part for part in fields]
    found: list[Axis] = []
    for column in zip(*wide, strict=True):
        reached: Axis = column[0]
        for part in column[1:]:
            reached = "all" if "all" in (reached, part) else reached.union(part)  # type: ignore[union-attr, arg-type]
        found.append(reached)
    return tuple(found)


def after(reached: Fields, read: Fields) -> Fields:
    """Return the fields of what reads, along its last axes, values that have the fields `reached`."""
    if read == ("all",):
        return ("all",) * len(reached)
    if len(reached) == 1:
        reached = reached * len(read)
    read = (HERE,) * (len(reached) - len(read)) + read[-len(reached) :]
    both = zip(reached, read, strict=True)
    return tuple("all" if "all" in (a, b) else a.then(b) for a, b in both)  # type: ignore[union-attr, arg-type]


# ---------------------------------------------------------------------------------------------------- layers
def _windows(layer: Any) -> Fields:
    border = layer._border()[::2][::-1] if isinstance(layer, _Conv) else layer.padding
    spread = layer.dilation or (1,) * layer.axes
    each = zip(layer.kernel_size, layer.stride, border, spread, strict=True)
    return tuple(ReceptiveField.window(*settings) for settings in each)


def _transposed(layer: Any) -> Fields:
    spread = layer.dilation or (1,) * layer.axes
    each = zip(layer.kernel_size, layer.stride, layer.padding, spread, strict=True)
    return tuple(ReceptiveField.transposed(*settings) for settings in each)


def _declared(layer: Module, inputs: Sequence[int], outputs: Sequence[int]) -> Fields:
    """Return what a layer states itself, (kernel, stride) per axis; the border follows from its sizes."""
    stated = layer.receptive_field
    if callable(stated):
        stated = stated(inputs)
    if stated == "all":
        return ("all",)
    found = []
    sizes = zip(stated, inputs[-len(stated) :], outputs[-len(stated) :], strict=True)
    for (kernel, stride), n, m in sizes:
        step = Fraction(stride)
        before = max(0, -((math.floor(step * (m - 1)) + kernel - n) // -2))
        low = [math.floor(step * r) - before for r in range(step.denominator)]
        found.append(ReceptiveField(step.numerator, tuple(low), tuple(a + kernel - 1 for a in low)))
    return tuple(found)


def layer_fields(layer: Module, inputs: Sequence[int], outputs: Sequence[int]) -> Fields | None:
    """Return how a layer reads its input, or None where its operations tell.

    Args:
        layer: the layer.
        inputs: shape of its first input.
        outputs: shape of its first output.
    """
    if isinstance(layer, _ConvTranspose | _Unpool):
        return _transposed(layer)
    if isinstance(layer, _Conv | PoolLayer):
        return _windows(layer)
    if isinstance(layer, GlobalAvgPool | GlobalMaxPool):
        return ("all",)
    if isinstance(layer, _Adaptive):
        n, m = inputs[-layer.axes :], outputs[-layer.axes :]
        alone = all(size == 1 for size in layer.output_size)
        return ("all",) if alone else tuple(map(ReceptiveField.adaptive, n, m))
    if isinstance(layer, _Border):
        return tuple(ReceptiveField.window(1, padding=width) for width in layer.padding[::2][::-1])
    if isinstance(layer, PixelShuffle):
        return (ReceptiveField(1, (0,) * layer.upscale_factor, (0,) * layer.upscale_factor),) * 2
    if isinstance(layer, PixelUnshuffle | InvertiblePool2d):
        factor = layer.downscale_factor if isinstance(layer, PixelUnshuffle) else layer.factor
        return (ReceptiveField.window(factor, factor),) * 2
    if isinstance(layer, Upsample):
        return tuple(map(ReceptiveField.adaptive, inputs[2:], outputs[2:])) if layer.mode == "area" else None
    if layer.receptive_field is not None:
        return _declared(layer, inputs, outputs)
    own = type(layer).__module__.startswith("chainrule.nn.") and not layer._modules
    return (HERE,) if own or isinstance(layer, _Normalised | _Affine) else None


# ---------------------------------------------------------------------------------------------------- primitives
def _first(equation: Equation) -> int:
    """Return the first axis that is neither the batch nor the channels; of two axes the second is one."""
    return min(2, max(1, len(equation.inputs[0].shape) - 1))


def _slid(equation: Equation) -> Fields:
    how = equation.attributes
    size = how["size"] if "size" in how else equation.inputs[1].shape[2:]
    border = how.get("padding", ((0, 0),) * len(size))
    each = zip(size, how["stride"], border, how["dilation"], strict=True)
    return tuple(ReceptiveField.window(k, s, low, d) for k, s, (low, _), d in each)


def _slid_back(equation: Equation) -> Fields:
    how = equation.attributes
    each = zip(equation.inputs[1].shape[2:], how["stride"], how["padding"], how["dilation"], strict=True)
    return tuple(ReceptiveField.transposed(k, s, low, d) for k, s, (low, _), d in each)


def _bordered(equation: Equation) -> Fields:
    how = equation.attributes
    if any(how["interior"]):
        return ("all",)
    return tuple(ReceptiveField.window(1, padding=width) for width in how["low"][_first(equation) :]) or (HERE,)


def _cut(equation: Equation) -> Fields:
    how = equation.attributes
    first = _first(equation)
    each = zip(how["starts"][first:], how["steps"][first:], strict=True)
    return tuple(ReceptiveField(step, (start,), (start,)) for start, step in each) or (HERE,)


def _reduced(equation: Equation) -> Fields:
    axis, [x] = equation.attributes["axis"], equation.inputs
    axes = range(len(x.shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    gone = {a % len(x.shape) for a in axes} if x.shape else set()
    return tuple("all" if a in gone else HERE for a in range(_first(equation), len(x.shape))) or (HERE,)


def _gathered(equation: Equation, index: np.ndarray | None) -> Fields:
    """Return the field of a gather along one axis whose indices are known and repeat, as those of resampling do."""
    x, axes = equation.inputs[0], equation.attributes["axes"]
    if index is None or len(axes) != 1 or index.size != max(index.shape):
        return ("all",)
    found, axis = _periodic(index.ravel()), axes[0] % len(x.shape)
    return tuple((found or "all") if a == axis else HERE for a in range(_first(equation), len(x.shape))) or (HERE,)


def _periodic(index: np.ndarray) -> ReceptiveField | None:
    """Return the rule of indices that repeat with a shift; the ends, where resampling clips, may differ."""
    count = len(index)
    for period in range(1, count // 2 + 1):
        steps = index[period:] - index[:-period]
        margin = min(len(steps) // 4, 2 * period + 1)
        middle = steps[margin : len(steps) - margin] if margin else steps
        if len(middle) and (middle == middle[0]).all() and middle[0] >= 0:
            shift = int(middle[0])
            whole = -(-margin // period)
            low = tuple(int(index[whole * period + r]) - shift * whole for r in range(period))
            return ReceptiveField(shift, low, low)
    return None


_RULES: dict[str, Callable[[Equation], Fields]] = {
    "convolution": _slid,
    "convolution_input_gradient": _slid_back,
    **dict.fromkeys(("window_sum", "window_argmax", "window_pick"), _slid),
    "pad": _bordered,
    "slice": _cut,
    **dict.fromkeys(("sum", "prod", "max", "min", "any", "all", "argmax", "argmin"), _reduced),
}
_IN_PLACE = frozenset({
    "arange", "bessel_j0", "bessel_j1", "broadcast_to", "complex", "concat", "conj", "debug_print", "digamma", "erfcx",
    "flip", "i0", "i0e", "i1", "i1e", "imag", "lgamma", "log_ndtr", "one_hot", "permute_dims", "polygamma", "real",
    "reshape", "update_slice", "zeta",
})  # fmt: skip


def primitive_fields(equation: Equation, index: np.ndarray | None = None) -> Fields | None:
    """Return how a primitive reads its input: None where each position is for itself, "all" where it is not known.

    Args:
        equation: the primitive with its inputs and settings.
        index: the positions that a gather takes, where they are known.
    """
    if equation.primitive.name == "gather":
        return _gathered(equation, index)
    rule = _RULES.get(equation.primitive.name)
    if rule is not None:
        return rule(equation)
    return None if equation.primitive.elementwise or equation.primitive.name in _IN_PLACE else ("all",)
