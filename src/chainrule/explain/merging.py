"""Two convolutions with no activation between them are one: its kernel, its settings, and where that is exact.

    (w2 * (w1 * x))[p] = sum over j, k of w2[j] w1[k] x[s1 (s2 p + d2 j) + d1 k]

So the merged kernel has w2[j] w1[k], summed over the channels between, at place s1 d2 j + d1 k; its size is
s1 d2 (k2 - 1) + d1 (k1 - 1) + 1 and its stride s1 s2. Depth without an activation gains nothing but a factored kernel,
as with two linear layers: merge(w1, w2) = w1 @ w2.

The border decides whether the two are equal everywhere. The second convolution pads with zeros what the first made,
where the merged one would continue with the first convolution of the padded input. That is the same

- if the second has no padding;
- or if the first reaches out so far (padding = d1 (k1 - 1), stride 1, no bias) that beyond it there are zeros anyway;
- or if both are circular, the first as large as its input, with stride 1.

Otherwise the outputs next to the border differ, as many as `border` says, and all others are equal.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule.core.context import no_grad
from chainrule.core.errors import ShapeError
from chainrule.nn.conv import Conv1d, Conv2d, Conv3d
from chainrule.ops import asarray

if TYPE_CHECKING:
    from chainrule.nn import Module

__all__ = ["MergedConvolution", "merge_convolutions"]

_KINDS = (Conv1d, Conv2d, Conv3d)


@dataclass(frozen=True)
class MergedConvolution:
    """One convolution in place of two.

    Attributes:
        layer: a `Conv1d` to `Conv3d` of its own weights, without groups.
        exact: whether it equals the two everywhere, but for rounding.
        border: per spatial axis, how many outputs at either end may differ; 0 where it is exact.
        why: in words.

    Example:
        >>> from chainrule import nn
        >>> merge_convolutions(nn.Conv2d(3, 8, 3, bias=False), nn.Conv2d(8, 4, 5, bias=False))
        Conv2d(3, 4, kernel_size=7, bias=False), exact: the second has no padding
    """

    layer: Module
    exact: bool
    border: tuple[int, ...]
    why: str

    def __repr__(self) -> str:
        ends = "" if self.exact else f" but for {' x '.join(map(str, self.border))} outputs at each border"
        return f"{self.layer}, exact{ends}: {self.why}"


def merge_convolutions(first: Any, second: Any) -> MergedConvolution:
    """Return the one convolution that does what two do, one after the other with no activation between.

        w[o, i, s1 d2 j + d1 k] += sum over m of w2[o, m, j] w1[m, i, k],    b = b2 + sum over m, j of w2[o, m, j] b1[m]

    Args:
        first: a `Conv1d`, `Conv2d` or `Conv3d`; groups, stride, dilation and bias are allowed.
        second: one of the same kind, for the channels that the first makes.

    Returns:
        The layer, with weights of the first one's dtype, and where it equals the two.

    Raises:
        TypeError: not two convolution layers of one kind.
        ShapeError: the second takes another number of channels than the first makes.
        ValueError: padding="same" with a border that is wider on one side.

    Example:
        >>> import chainrule as cr
        >>> from chainrule import nn
        >>> first, second = nn.Conv1d(1, 2, 3, dtype=cr.float64), nn.Conv1d(2, 1, 3, stride=2, dtype=cr.float64)
        >>> x, one = cr.random.normal((1, 1, 20), dtype=cr.float64), merge_convolutions(first, second).layer
        >>> one, bool(cr.max(abs(one(x) - second(first(x)))) < 1e-12)
        (Conv1d(1, 1, kernel_size=5, stride=2, dtype="float64"), True)
    """
    kind = next((kind for kind in _KINDS if isinstance(first, kind) and isinstance(second, kind)), None)
    if kind is None:
        raise TypeError(f"merge_convolutions takes two Conv1d, Conv2d or Conv3d; got {first!r} and {second!r}.")
    if first.out_channels != second.in_channels:
        raise ShapeError(
            f"merge_convolutions: {first!r} makes {first.out_channels} channels and {second!r} takes "
            f"{second.in_channels}; they must be equal."
        )
    pads = [_padding(layer) for layer in (first, second)]
    w1, w2 = _dense(first), _dense(second)
    settings = {
        "stride": tuple(a * b for a, b in zip(first.stride, second.stride, strict=True)),
        "padding": tuple(a + s * b for a, s, b in zip(pads[0], first.stride, pads[1], strict=True)),
        "padding_mode": first.padding_mode,
        "bias": first.bias is not None or second.bias is not None,
        "dtype": first.weight.dtype,
    }
    steps = [s * d for s, d in zip(first.stride, second.dilation, strict=True)]
    w = _merged(w1, w2, first.dilation, steps)
    layer = kind(first.in_channels, second.out_channels, w.shape[2:], **settings)
    with no_grad():
        layer.weight.assign_(asarray(w.astype(first.weight.dtype.numpy)))
        if layer.bias is not None:
            layer.bias.assign_(asarray(_bias(first, second, w2).astype(first.weight.dtype.numpy)))
    exact, why = _where(first, second, pads)
    border = tuple(0 if exact else -(-p // s) for p, s in zip(pads[1], second.stride, strict=True))
    return MergedConvolution(layer, exact, border, why)


def _padding(layer: Any) -> tuple[int, ...]:
    """Return the width of the border per axis."""
    flat = layer._border()[::-1]  # (after, before) from the first axis on
    if flat[::2] != flat[1::2]:
        raise ValueError(
            f'merge_convolutions: {layer!r} pads one side more than the other, as padding="same" does for an even '
            "kernel; give an odd kernel, or padding as ints."
        )
    return tuple(flat[::2])


def _dense(layer: Any) -> NDArray[np.float64]:
    """Return the weight [out, in, *kernel] with zeros between the groups."""
    w = np.asarray(layer.weight.numpy(), np.float64)
    whole = np.zeros((w.shape[0], layer.in_channels, *w.shape[2:]))
    out, each = w.shape[0] // layer.groups, w.shape[1]
    for g in range(layer.groups):
        rows, columns = slice(g * out, (g + 1) * out), slice(g * each, (g + 1) * each)
        whole[rows, columns] = w[rows]
    return whole


def _merged(w1: Any, w2: Any, spread: Sequence[int], steps: Sequence[int]) -> NDArray[np.float64]:
    """Return the merged kernel: a copy of w1, its elements `spread` apart, for every element of w2, `steps` apart."""
    sizes = zip(w1.shape[2:], w2.shape[2:], spread, steps, strict=True)
    w: Any = np.zeros((w2.shape[0], w1.shape[1], *(s * (k2 - 1) + d * (k1 - 1) + 1 for k1, k2, d, s in sizes)))
    for tap in itertools.product(*map(range, w2.shape[2:])):
        starts = [s * j for s, j in zip(steps, tap, strict=True)]
        reach = zip(starts, w1.shape[2:], spread, strict=True)
        window = tuple(slice(a, a + d * (k - 1) + 1, d) for a, k, d in reach)
        w[(slice(None), slice(None), *window)] += np.tensordot(w2[(slice(None), slice(None), *tap)], w1, 1)
    return w  # type: ignore[no-any-return]


def _bias(first: Any, second: Any, w2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the bias that the second makes of the first's, plus its own."""
    b1, b2 = (0.0 if layer.bias is None else np.asarray(layer.bias.numpy(), np.float64) for layer in (first, second))
    return w2.reshape(*w2.shape[:2], -1).sum(-1) @ np.broadcast_to(b1, (w2.shape[1],)) + b2


def _where(first: Any, second: Any, pads: Sequence[tuple[int, ...]]) -> tuple[bool, str]:
    """Return whether the border is the same too, and why."""
    reach = [d * (k - 1) for d, k in zip(first.dilation, first.kernel_size, strict=True)]
    still = all(step == 1 for step in first.stride)
    if not any(pads[1]):
        return True, "the second has no padding"
    modes = {first.padding_mode, second.padding_mode}
    if modes == {"zeros"} and still and first.bias is None and all(p >= r for p, r in zip(pads[0], reach, strict=True)):
        return True, "the first reaches so far out that beyond it are zeros anyway"
    if modes == {"circular"} and still and all(2 * p == r for p, r in zip(pads[0], reach, strict=True)):
        return True, "both are circular"
    return False, "the second pads what the first made, where one convolution pads the input"
