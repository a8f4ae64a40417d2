"""A convolution as what it is: a matrix, sparse and with one kernel's numbers again and again (Toeplitz).

    cross_correlation_matrix        y = A x for what Conv1d, Conv2d and Conv3d compute: the kernel as it is
    convolution_matrix              the same for true convolution: the kernel flipped
    transposed_convolution_matrix   for ConvTranspose1d to 3d: the transpose of the first
    layer_matrix                    of a layer, with its weights and settings

x is the input flattened, [channels * positions], rows of a picture one after another; y likewise. In one axis A is a
Toeplitz matrix, constant along its diagonals (with stride 1): in two a block Toeplitz matrix of Toeplitz blocks, one
block per pair of rows; with several channels one such matrix per pair of output and input channel. With
padding_mode="circular" and an output as large as the input it is circulant.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.core.errors import ShapeError
from chainrule.core.tensor import Tensor
from chainrule.explain.sparse import SparseMatrix
from chainrule.nn._checks import choice, integer
from chainrule.nn.conv import _Conv
from chainrule.nn.conv_transpose import _ConvTranspose

__all__ = [
    "convolution_matrix",
    "cross_correlation_matrix",
    "layer_matrix",
    "transposed_convolution_matrix",
]

Setting = int | Sequence[int]
MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}  # NumPy's words


# ---------------------------------------------------------------------------------------------------- shared parts
def _per_axis(owner: str, name: str, value: Any, axes: int, low: int) -> tuple[int, ...]:
    found = tuple(value) if isinstance(value, list | tuple) else (value,) * axes
    if len(found) != axes or any(type(size) is not int or size < low for size in found):
        many = f", or {axes} of them" if axes > 1 else ""
        raise ValueError(f"{owner}.{name} must be an int >= {low}{many}; got {value!r}.")
    return found


def _kernel(owner: str, kernel: ArrayLike | Tensor, shape: Sequence[int]) -> tuple[NDArray[Any], tuple[int, ...]]:
    """Return weights [out, in / groups, *kernel] and the shape of the input, [channels, *spatial]."""
    w: NDArray[Any] = kernel.numpy() if isinstance(kernel, Tensor) else np.asarray(kernel)
    given = tuple(shape)
    if w.ndim == len(given) and 1 <= w.ndim <= 3:
        return w[None, None], (1, *given)  # one kernel on one plane
    if w.ndim == len(given) + 1 and 2 <= len(given) <= 4:
        return w, given
    raise ShapeError(
        f"{owner}: the kernel has the shape {w.shape} and the input {given}; give a kernel [*kernel] with an input "
        "[*spatial], or [out, in / groups, *kernel] with [channels, *spatial], of 1 to 3 spatial axes."
    )


def _borders(owner: str, padding: Any, reach: Sequence[int], stride: Sequence[int]) -> list[tuple[int, int]]:
    """Return the widths before and after each axis; "same" puts the odd one after, as `Conv2d` does."""
    if padding == "same":
        if any(step != 1 for step in stride):
            raise ValueError(f'{owner}.padding "same" needs stride 1; got {tuple(stride)}.')
        return [((r - 1) // 2, r - 1 - (r - 1) // 2) for r in reach]
    widths = _per_axis(owner, "padding", 0 if padding == "valid" else padding, len(reach), 0)
    return [(width, width) for width in widths]


def _places(spatial: Sequence[int], borders: Sequence[tuple[int, int]], mode: str) -> NDArray[np.int64]:
    """Return, for each place of the padded input, the flat position whose value stands there; -1 for a zero."""
    grid = np.arange(math.prod(spatial)).reshape(tuple(spatial))
    constant = {"constant_values": -1} if mode == "zeros" else {}
    return np.pad(grid, borders, MODES[mode], **constant)  # type: ignore[call-overload, no-any-return]


def _matrix(
    owner: str,
    w: NDArray[Any],
    shape: tuple[int, ...],
    stride: Setting,
    padding: Setting | str,
    dilation: Setting,
    groups: int,
    padding_mode: str,
    most: Sequence[int] | None = None,  # windows per axis, where more would fit
) -> SparseMatrix:
    n, (channels, *spatial) = len(shape) - 1, shape
    steps, spread = _per_axis(owner, "stride", stride, n, 1), _per_axis(owner, "dilation", dilation, n, 1)
    choice(owner, "padding_mode", padding_mode, tuple(MODES))
    parts, out, each = integer(owner, "groups", groups), w.shape[0], w.shape[1]
    if each * parts != channels or out % parts:
        raise ShapeError(
            f"{owner}: the kernel {w.shape} with {parts} groups takes {each * parts} channels and makes {out}; the "
            f"input {shape} has {channels}, and groups must divide both."
        )
    reach = [d * (k - 1) + 1 for k, d in zip(w.shape[2:], spread, strict=True)]
    borders = _borders(owner, padding, reach, steps)
    widest = {"reflect": -1, "circular": 0}.get(padding_mode)
    if widest is not None and any(max(width) > m + widest for width, m in zip(borders, spatial, strict=True)):
        raise ShapeError(
            f"{owner}: a border of {borders} is wider than what it is taken from, {tuple(spatial)} positions"
            f'{" without the edge" if widest else ""}; use less padding, or padding_mode="replicate".'
        )
    places = _places(spatial, borders, padding_mode)
    count = [(m - r) // s + 1 for m, r, s in zip(places.shape, reach, steps, strict=True)]
    if min(count) < 1 or not w.size:
        raise ShapeError(
            f"{owner}: the kernel {w.shape[2:]} reaches over {tuple(reach)} positions and the padded input has "
            f"{places.shape}; use a smaller kernel or more padding."
        )
    count = list(most or count)
    positions, plane = math.prod(count), math.prod(spatial)
    rows, columns, values = [], [], []
    o, c = np.meshgrid(np.arange(out), np.arange(each), indexing="ij")  # [out, in / groups]
    channel = c + o // (out // parts) * each
    for number, tap in enumerate(itertools.product(*map(range, w.shape[2:]))):
        starts = [k * d for k, d in zip(tap, spread, strict=True)]
        window = tuple(slice(a, a + s * m, s) for a, s, m in zip(starts, steps, count, strict=True))
        seen = places[window].reshape(-1)  # the input that each output meets at this tap
        (inside,) = np.nonzero(seen >= 0)
        rows.append((o[..., None] * positions + inside).reshape(-1))
        columns.append((channel[..., None] * plane + seen[inside]).reshape(-1))
        values.append(np.repeat(w.reshape(out, each, -1)[..., number].reshape(-1), len(inside)))
    size = (out * positions, channels * plane)
    blocks = {"row_block": count[-1] if n > 1 else positions * (out > 1), "column_block": spatial[-1] if n > 1 else 0}
    parts_of = [np.concatenate(part) for part in (rows, columns, values)]
    return SparseMatrix(size, *parts_of, **blocks)


# ---------------------------------------------------------------------------------------------------- the matrices
def cross_correlation_matrix(
    kernel: ArrayLike | Tensor,
    shape: Sequence[int],
    *,
    stride: Setting = 1,
    padding: Setting | str = 0,
    dilation: Setting = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> SparseMatrix:
    """Return the matrix of a cross-correlation, which is what deep learning calls a convolution.

        y[o, p] = sum over c, k of w[o, c, k] x[c, stride p + dilation k - padding],    y = A x

    Args:
        kernel: w, [out, in / groups, *kernel] as the weight of `Conv1d` to `Conv3d`; or one kernel [*kernel] for one
            plane.
        shape: of the input without the batch, [channels, *spatial]; with one kernel [*spatial].
        stride: step between windows, >= 1, or one per axis; default 1.
        padding: width of the border, >= 0, or one per axis; "valid" for none, "same" for an output as large as the
            input; default 0.
        dilation: step between the elements of the kernel, >= 1, or one per axis; default 1.
        groups: parts into which the channels are cut; default 1.
        padding_mode: what the border holds, as in `Conv2d`: "zeros", "reflect", "replicate" or "circular"; default
            "zeros".

    Returns:
        The matrix [outputs, inputs], of the kernel's dtype; it maps the flattened input to the flattened output.

    Raises:
        ShapeError: axes or channels that do not fit, or a kernel larger than the padded input.
        ValueError: a setting outside its range.

    Example:
        >>> x = np.array([[4, 5, 8, 7], [1, 8, 8, 8], [3, 6, 6, 4], [6, 5, 7, 8]])
        >>> a = cross_correlation_matrix([[1, 4, 1], [1, 4, 3], [3, 3, 1]], (4, 4))
        >>> print(a)
        1 4 1 . | 1 4 3 . | 3 3 1 . | . . . .
        . 1 4 1 | . 1 4 3 | . 3 3 1 | . . . .
        --------+---------+---------+--------
        . . . . | 1 4 1 . | 1 4 3 . | 3 3 1 .
        . . . . | . 1 4 1 | . 1 4 3 | . 3 3 1
        >>> (a @ x.reshape(-1)).reshape(2, 2)
        array([[122, 148],
               [126, 134]])

    Source: Dumoulin and Visin, A guide to convolution arithmetic for deep learning (2016), section 4.1.
    """
    w, given = _kernel("cross_correlation_matrix", kernel, shape)
    return _matrix("cross_correlation_matrix", w, given, stride, padding, dilation, groups, padding_mode)


def convolution_matrix(
    kernel: ArrayLike | Tensor,
    shape: Sequence[int],
    *,
    stride: Setting = 1,
    padding: Setting | str = 0,
    dilation: Setting = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> SparseMatrix:
    """Return the matrix of a true convolution, as mathematics means it: the kernel is flipped along every axis.

        y[p] = sum over k of u[k] x[p + (size - 1) - k],    here for stride 1 and no padding

    Args:
        kernel: u, [*kernel], or [out, in / groups, *kernel].
        shape: of the input without the batch, [*spatial], or [channels, *spatial].
        stride: step between windows, >= 1, or one per axis; default 1.
        padding: width of the border, >= 0, or one per axis, "valid" or "same"; kernel - 1 gives the full convolution;
            default 0.
        dilation: step between the elements of the kernel, >= 1, or one per axis; default 1.
        groups: parts into which the channels are cut; default 1.
        padding_mode: "zeros", "reflect", "replicate" or "circular"; default "zeros".

    Returns:
        The matrix [outputs, inputs]; with full padding it commutes, x * u = u * x.

    Raises:
        ShapeError: axes or channels that do not fit, or a kernel larger than the padded input.
        ValueError: a setting outside its range.

    Example:
        >>> print(convolution_matrix([1, 2, 3], (3,), padding=2))
        1 . .
        2 1 .
        3 2 1
        . 3 2
        . . 3

    Source: Gray, Toeplitz and Circulant Matrices: A Review (2006).
    """
    w, given = _kernel("convolution_matrix", kernel, shape)
    flipped = np.flip(w, tuple(range(2, w.ndim)))
    return _matrix("convolution_matrix", flipped, given, stride, padding, dilation, groups, padding_mode)


def transposed_convolution_matrix(
    kernel: ArrayLike | Tensor,
    shape: Sequence[int],
    *,
    stride: Setting = 1,
    padding: Setting = 0,
    output_padding: Setting = 0,
    groups: int = 1,
    dilation: Setting = 1,
) -> SparseMatrix:
    """Return the matrix of a transposed convolution: the transpose of a cross-correlation's with the same settings.

        y[o, stride p + dilation k - padding] += w[c, o, k] x[c, p]

    Args:
        kernel: w, [in, out / groups, *kernel] as the weight of `ConvTranspose1d` to `3d`; or one kernel [*kernel].
        shape: of the input without the batch, [channels, *spatial]; with one kernel [*spatial].
        stride: step between the places that two inputs write to, >= 1, or one per axis; default 1.
        padding: how much is cut off on both sides, >= 0, or one per axis; default 0.
        output_padding: added at the end of the output, >= 0, below stride or dilation, or one per axis; default 0.
        groups: parts into which the channels are cut; default 1.
        dilation: step between the elements of the kernel, >= 1, or one per axis; default 1.

    Returns:
        The matrix [outputs, inputs].

    Raises:
        ShapeError: axes or channels that do not fit, or no output left by the padding.
        ValueError: a setting outside its range.

    Example:
        >>> a = transposed_convolution_matrix([[0, 1], [2, 3]], (2, 2))
        >>> (a @ [0, 1, 2, 3]).reshape(3, 3)
        array([[ 0,  0,  1],
               [ 0,  4,  6],
               [ 4, 12,  9]])

    Source: Dumoulin and Visin, A guide to convolution arithmetic for deep learning (2016), chapter 4.
    """
    owner = "transposed_convolution_matrix"
    w, (channels, *spatial) = _kernel(owner, kernel, shape)
    n = len(spatial)
    names = {"stride": (stride, 1), "padding": (padding, 0), "output_padding": (output_padding, 0)}
    steps, border, extra = (_per_axis(owner, name, value, n, low) for name, (value, low) in names.items())
    spread = _per_axis(owner, "dilation", dilation, n, 1)
    if any(more >= max(s, d) for more, s, d in zip(extra, steps, spread, strict=True)):
        raise ValueError(f"{owner}.output_padding must be smaller than stride or dilation; got {output_padding!r}.")
    if w.shape[0] != channels:
        raise ShapeError(
            f"{owner}: the input has {channels} channels and the kernel {w.shape} takes {w.shape[0]}; the kernel is "
            "[in, out / groups, *kernel]."
        )
    columns = zip(spatial, w.shape[2:], steps, border, extra, spread, strict=True)
    large = [s * (m - 1) - 2 * p + d * (k - 1) + more + 1 for m, k, s, p, more, d in columns]
    if min(large) < 1:
        raise ShapeError(f"{owner}: padding {padding!r} leaves an output of {tuple(large)}; use less padding.")
    whole = (w.shape[1] * integer(owner, "groups", groups), *large)
    return _matrix(owner, w, whole, steps, border, spread, groups, "zeros", spatial).T


def layer_matrix(layer: Any, shape: Sequence[int]) -> SparseMatrix:
    """Return the matrix of a convolution or transposed convolution layer; the bias is added after it.

        layer(x) = A x + bias

    Args:
        layer: `Conv1d` to `Conv3d` or `ConvTranspose1d` to `3d`.
        shape: of the input without the batch, [channels, *spatial].

    Returns:
        The matrix [outputs, inputs] of the layer's weights.

    Raises:
        TypeError: another layer.
        ShapeError: axes or channels that do not fit.

    Example:
        >>> from chainrule import nn
        >>> layer_matrix(nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False), (2, 6, 6))
        <sparse matrix 27 x 72, 384 entries (19.8 %), float32>
    """
    settings = ("stride", "padding", "dilation", "groups")
    if isinstance(layer, _Conv):
        how = {name: getattr(layer, name) for name in (*settings, "padding_mode")}
        return cross_correlation_matrix(layer.weight, shape, **how)
    if isinstance(layer, _ConvTranspose):
        how = {name: getattr(layer, name) for name in (*settings, "output_padding")}
        return transposed_convolution_matrix(layer.weight, shape, **how)
    raise TypeError(f"layer_matrix takes a convolution or transposed convolution layer; got {layer!r}.")
