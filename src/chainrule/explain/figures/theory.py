"""Figures of what a convolution is: its matrix, its field of view, and what it makes of a shifted picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule.core.context import no_grad
from chainrule.core.errors import SettingError
from chainrule.explain import convolution, pictures
from chainrule.explain.convolution_pictures import field_picture, matrix_picture
from chainrule.explain.figures._panels import Panel, Row, kernel_panel, sheet
from chainrule.explain.figures.registry import Subject, figure
from chainrule.explain.receptive_field import FieldRow, ReceptiveField, _until, field_gradient, receptive_fields
from chainrule.explain.sparse import SparseMatrix
from chainrule.ops import asarray

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["draw_matrix", "draw_receptive_field", "draw_shifts"]

X = np.array([[4, 5, 8, 7], [1, 8, 8, 8], [3, 6, 6, 4], [6, 5, 7, 8]])
U = np.array([[1, 4, 1], [1, 4, 3], [3, 3, 1]])
MOST = 8  # layers of a figure


# ---------------------------------------------------------------------------------------------------- the matrix
@figure("convolution-matrix", "A convolution as a sparse matrix: padding, stride, channels, transposed.", needs=())
def draw_matrix(subject: Subject) -> Image:
    """Return the matrices of small convolutions, with numbers.

    Args:
        subject: nothing of it is looked at.
    """
    a = convolution.cross_correlation_matrix(U, X.shape)
    y = (a @ X.reshape(-1)).reshape(2, 2)
    first = [
        kernel_panel(X, "x", "4 x 4", tile=112),
        kernel_panel(U, "u", "3 x 3", tile=112),
        kernel_panel(y, "y", "2 x 2", tile=112),
    ]
    two = np.array([[[[1, 2], [0, 1]], [[-1, 0], [0, -1]]], [[[0, 3], [-3, 0]], [[2, 2], [-2, -2]]]])
    rows = [
        ("y = A x: one row per output, one block per pair of rows, the same numbers along every diagonal", a),
        ("true convolution: the kernel flipped", convolution.convolution_matrix(U, X.shape)),
        ("padding 1: at the border a part of the kernel meets zeros", _with(U, X.shape, padding=1)),
        ("padding 1, stride 2: every second row and column of the outputs", _with(U, X.shape, padding=1, stride=2)),
        ("two channels in, two out, 2 x 2: a matrix per pair of channels", _with(two, (2, 3, 3))),
        ("transposed convolution, 2 x 2 to 4 x 4: the transpose of A", a.T),
    ]
    return sheet(
        [
            Row(first, "y is x cross-correlated with u, as Conv2d does it", 112),
            *(_matrix_row(words, matrix) for words, matrix in rows),
        ],
        heading="A convolution is a matrix",
        text=["red: positive, blue: negative, grey: no connection. The dark lines part the rows of the picture."],
    )


def _with(kernel: Any, shape: Sequence[int], **settings: Any) -> SparseMatrix:
    return convolution.cross_correlation_matrix(kernel, shape, **settings)


def _matrix_row(words: str, matrix: SparseMatrix) -> Row:
    drawn = matrix_picture(matrix, cell=20)
    note = f"{matrix.shape[0]} x {matrix.shape[1]}, {len(matrix)} of {matrix.shape[0] * matrix.shape[1]} places"
    return Row([Panel(drawn, "", note)], words, tile=max(drawn.shape))


# ---------------------------------------------------------------------------------------------------- the field of view
def _spatial(subject: Subject) -> list[FieldRow]:
    """Return the layers that see windows of the picture, each new field once."""
    table = receptive_fields(subject.model, subject.inputs[:1])  # type: ignore[arg-type]
    found: list[FieldRow] = []
    paths = [row.path for row in table.rows]
    for row in table.rows:
        window = len(row.output) == 4 and len(row.fields) == 2 and "all" not in row.fields
        once = paths.count(row.path) == 1 and row.path
        if window and once and all(row.fields != other.fields for other in found) and not _trivial(row):
            found.append(row)
    if not found:
        raise SettingError(
            f"{subject.name or 'the network'} has no layer that sees a window of the picture: every output of a fully "
            "connected layer sees all of it. Choose a network with convolutions."
        )
    return found


def _trivial(row: FieldRow) -> bool:
    return all(isinstance(field, ReceptiveField) and field.size == 1 for field in row.fields)


def _chosen(subject: Subject, rows: list[FieldRow]) -> list[FieldRow]:
    if subject.layer is not None:
        found = [row for row in rows if row.path == subject.layer]
        if not found:
            paths = ", ".join(row.path for row in rows)
            raise SettingError(f"--layer must be one that sees a new window of the picture: {paths}.")
        return found
    if len(rows) <= MOST:
        return rows
    return [rows[round(k * (len(rows) - 1) / (MOST - 1))] for k in range(MOST)]


@figure("receptive-field", "What one output of each layer sees of a picture, calculated and by its gradient.")
def draw_receptive_field(subject: Subject) -> Image:
    """Return the picture with the window of the middle output of each layer, and where the gradient of it is not zero.

    Args:
        subject: its chosen picture and layer are looked at.
    """
    rows = _chosen(subject, _spatial(subject))
    picture = subject.pictures[subject.sample]
    panels, gradients = [], []
    for row in rows:
        middle = tuple(n // 2 for n in row.output[2:])
        window = row.window(middle)
        assert window is not None
        title = f"{_broken(row.path)}\n{row.kind}"
        whole = all(a <= 0 and b >= n - 1 for (a, b), n in zip(window, picture.shape[:2], strict=True))
        words = _field_words(row) + (": the whole picture" if whole else "")
        panels.append(Panel(_margin(field_picture(picture, [window], tile=130)), title, words))
        x = subject.inputs[subject.sample : subject.sample + 1]
        g = field_gradient(subject.model, x, middle, layer=row.path)  # type: ignore[arg-type]
        shades = 255 - pictures.gray_picture(np.sqrt(g), low=0.0)
        gradients.append(
            Panel(_margin(field_picture(shades, [window], tile=130)), "", f"{100 * (g > 0).mean():.0f} % of pixels")
        )
    lines = [
        "The frame is what the middle output of the layer can see; grey around the picture is padding.",
        "Below: the root of |gradient| of that output. It is strongest in the middle (Luo et al., 2016);",
        "max-pooling and relu let only some of it through.",
    ]
    parts = [slice(k, k + 4) for k in range(0, len(panels), 4)]
    sheets = [row for part in parts for row in (Row(panels[part], tile=132), Row(gradients[part], tile=132))]
    return sheet(sheets, heading=f"Receptive fields{' of ' + subject.name if subject.name else ''}", text=lines)


def _margin(picture: np.ndarray) -> np.ndarray:
    """Return a picture with a pixel around it, so that the panel's edge does not hide a frame."""
    return np.pad(picture, ((1, 1), (1, 1), (0, 0)), mode="edge")


def _broken(path: str) -> str:
    """Return a long path in two lines."""
    if len(path) <= 16 or "." not in path:
        return path
    cut = min((k for k, mark in enumerate(path) if mark == "."), key=lambda k: abs(k - len(path) / 2)) + 1
    return f"{path[:cut]}\n{path[cut:]}"


def _field_words(row: FieldRow) -> str:
    known = [field for field in row.fields if isinstance(field, ReceptiveField)]
    size, jump, start = (
        "x".join(str(v) for v in values) for values in zip(*((f.size, f.jump, f.start) for f in known))
    )
    return f"sees {size}, jump {jump}, start {start}"


# ---------------------------------------------------------------------------------------------------- shifts
@figure("shift", "The feature maps of a shifted picture beside the shifted feature maps: what stride and padding do.")
def draw_shifts(subject: Subject) -> Image:
    """Return, for layers of different strides, the map of a picture, that of the shifted picture, and what differs.

    Args:
        subject: its chosen picture is looked at; `layer` and `channel` choose the map.
    """
    rows, drawn, seen = _spatial(subject), [], set()
    if subject.layer is not None:
        rows = _chosen(subject, rows)
    x = subject.inputs[subject.sample : subject.sample + 1]
    for row in rows:
        field = row.fields[-1]
        assert isinstance(field, ReceptiveField)
        jump = field.jump
        if jump in seen or row.output[-1] < 4 or jump > x.shape[-1] // 4 or jump < 1:
            continue
        seen.add(jump)
        drawn += [_shift_row(subject, row, x, shift) for shift in sorted({1, int(jump)})]
    if not drawn:
        raise SettingError("the layer's maps are too small to be compared with shifted ones: choose an earlier one.")
    lines = [
        "Difference: map of the shifted picture minus the shifted map, red and blue; only the overlap is compared."
    ]
    lines.append("A shift that the stride divides moves the map exactly, but at the border; another shift does not.")
    return sheet(drawn, heading=f"Shifted pictures{' in ' + subject.name if subject.name else ''}", text=lines)


def _shift_row(subject: Subject, row: FieldRow, x: NDArray[Any], shift: int) -> Row:
    moved = np.zeros_like(x)
    moved[..., shift:] = x[..., :-shift]
    with no_grad():
        maps = [np.asarray(_until(subject.model, row.path)(asarray(part)).numpy()) for part in (x, moved)]  # type: ignore[arg-type]
    channel = int(maps[0][0].std(axis=(1, 2)).argmax()) if subject.channel is None else subject.channel
    if not 0 <= channel < maps[0].shape[1]:
        raise SettingError(f"--channel must be from 0 to {maps[0].shape[1] - 1} in {row.path}; got {channel}.")
    before, after = (part[0, channel].astype(np.float64) for part in maps)
    field = row.fields[-1]
    assert isinstance(field, ReceptiveField)
    by = round(shift / field.jump)
    difference = np.zeros_like(after)
    difference[:, by:] = after[:, by:] - before[:, : before.shape[1] - by]
    low, high = min(before.min(), after.min()), max(before.max(), after.max())
    scale = max(abs(low), abs(high)) or 1.0
    shades = [pictures.gray_picture(part, low=low, high=high) for part in (before, after)]
    share = np.linalg.norm(difference) / (np.linalg.norm(before) or 1.0)
    panels = [
        Panel(_shifted(subject.pictures[subject.sample], shift), "picture", f"shifted by {shift}"),
        Panel(shades[0], "map", "of the picture"),
        Panel(shades[1], "map", "of the shifted one"),
        Panel(pictures.signed_picture(difference, scale=scale), "difference", f"{100 * share:.2g} % of the map"),
    ]
    words = f"{row.path} ({row.kind}), channel {channel}: stride {field.jump}, a shift by {shift} moves it by "
    return Row(panels, words + str(shift / field.jump), tile=128)


def _shifted(picture: NDArray[np.uint8], shift: int) -> NDArray[np.uint8]:
    moved = np.zeros_like(picture)
    moved[:, shift:] = picture[:, :-shift]
    return moved
