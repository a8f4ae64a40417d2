"""How tensors and graphs look in a notebook: what they are in one line, the values below, a picture where it helps.

A matrix of at least 8 x 8 is also drawn in shades: its smallest value black, its largest white, NaN and infinities red.
Styles stand inline and take the page's own colours, so that light and dark notebooks both read well; the PNG is written
here, with zlib, so that a notebook needs no library for it.
"""

from __future__ import annotations

import base64
import html
import re
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from chainrule.core.graph import Graph
    from chainrule.core.tensor import Tensor

__all__ = ["graph_html", "png", "shades", "size_text", "tensor_html"]

SMALLEST = 8  # rows and columns from which a matrix is drawn
LARGEST = 256  # pixels per side; of a larger matrix every k-th row or column is drawn
RED = 255  # index in the palette of a value that is no number

_BOX = "display:flex;gap:1.2em;align-items:flex-start;flex-wrap:wrap;margin:.3em 0"
_HEAD = "font:600 12px/1.5 system-ui,sans-serif"
_NOTE = "font:12px/1.5 system-ui,sans-serif;opacity:.65"
_TEXT = "margin:.2em 0 0;padding:0;font-size:12px;line-height:1.4;background:none;white-space:pre;overflow:auto"


def size_text(count: int) -> str:
    """Return a number of bytes as people read it.

    Args:
        count: bytes, >= 0.

    Returns:
        Text like "96 B", "3.1 KiB", "1.2 MiB": units of 1024.

    Example:
        >>> size_text(96), size_text(3136), size_text(188_160_000)
        ('96 B', '3.1 KiB', '179.4 MiB')
    """
    if count < 1024:
        return f"{count} B"
    size, units = count / 1024, ["KiB", "MiB", "GiB", "TiB"]
    while size >= 1023.95 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.1f} {units[0]}"


def shades(values: np.ndarray) -> np.ndarray:
    """Return a matrix as indices of the palette: 0 black for the smallest value to 254 white for the largest.

    Args:
        values: [rows, columns] of any real dtype; NaN and infinities become red.

    Returns:
        uint8 [rows, columns], at most 256 rows and columns.

    Example:
        >>> shades(np.asarray([[0.0, 0.5, 1.0, np.nan]]))
        array([[  0, 127, 254, 255]], dtype=uint8)
    """
    rows, columns = (-(-size // LARGEST) for size in values.shape)
    drawn = values[::rows, ::columns].astype(np.float64)
    finite = np.isfinite(drawn)
    low, high = (drawn[finite].min(), drawn[finite].max()) if finite.any() else (0.0, 0.0)
    scale = 254 / (high - low) if high > low else 0.0
    level = np.rint(np.where(finite, drawn - low, 0.0) * scale)
    return np.where(finite, level, RED).astype(np.uint8)


def png(indices: np.ndarray) -> bytes:
    """Return palette indices as the bytes of a PNG file.

    Args:
        indices: uint8 [rows, columns] from `shades`.

    Returns:
        The file; the same bytes for the same picture.

    Example:
        >>> png(np.zeros((2, 3), np.uint8))[1:4]
        b'PNG'

    Source: the PNG specification, colour type 3.
    """

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows, columns = indices.shape
    grey = np.rint(np.arange(RED) * 255 / 254).astype(np.uint8)
    palette = np.concatenate([np.repeat(grey[:, None], 3, axis=1), [[214, 45, 32]]]).astype(np.uint8)
    lines = np.concatenate([np.zeros((rows, 1), np.uint8), indices], axis=1)  # each line starts with its filter: none
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)),
            chunk(b"PLTE", palette.tobytes()),
            chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            chunk(b"IEND", b""),
        ]
    )


def tensor_html(tensor: Tensor) -> str:
    """Return what a notebook shows for a tensor.

    Args:
        tensor: any tensor, also one that is being traced.

    Returns:
        HTML without scripts.

    Example:
        >>> import chainrule as cr
        >>> "float32 [2, 3]" in tensor_html(cr.ones((2, 3)))
        True
    """
    value = tensor._value
    kind = "" if type(tensor).__name__ == "Tensor" else f"{type(tensor).__name__} "
    head = f"{kind}{tensor.dtype.name} {list(tensor.shape)}"
    notes = [size_text(tensor.nbytes)] if tensor.ndim else []
    notes += ["requires a gradient"] if tensor._node is not None else []
    if type(value) is not np.ndarray:
        return _box(head, [*notes, "being traced: no values yet"], "")
    if value.size > 1 and value.dtype.kind != "b":
        notes.append(_range(value))
    text = np.array2string(value, separator=", ", threshold=100, edgeitems=3, precision=5, max_line_width=88)
    picture = _picture(value) if value.ndim == 2 and min(value.shape) >= SMALLEST else ""
    return _box(head, notes, f'<pre style="{_TEXT}">{html.escape(text)}</pre>', picture)


def graph_html(graph: Graph) -> str:
    """Return what a notebook shows for a traced graph: its text, the user's lines and modules set back.

    Args:
        graph: any graph.

    Returns:
        HTML without scripts.

    Example:
        >>> import chainrule as cr
        >>> f = cr.jit(lambda x: x + x)
        >>> _ = f(cr.ones(2))
        >>> "add(x, x)" in graph_html(f.graph())
        True
    """
    lines = []
    for line in str(graph).splitlines():
        code, mark, place = line.partition("  # ")
        back = f'<span style="opacity:.55">{mark}{html.escape(place)}</span>' if mark else ""
        lines.append(html.escape(code) + back)
    count = f"{len(graph.equations)} operations, {graph.flops:,} FLOP"
    return _box(f"graph {graph.name}", [count], f'<pre style="{_TEXT};max-height:30em">' + "\n".join(lines) + "</pre>")


def _range(value: np.ndarray) -> str:
    """Return "0.1 to 2.5", and how many values are no numbers."""
    wide = value.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    text = f"{finite.min():.4g} to {finite.max():.4g}" if finite.size else ""
    lost = value.size - finite.size
    return ", ".join(filter(None, (text, f"{lost} NaN or infinite" if lost else "")))


def _picture(value: np.ndarray) -> str:
    indices = shades(value)
    zoom = max(1, min(8, 140 // max(indices.shape)))
    rows, columns = indices.shape
    size = f'width="{columns * zoom}" height="{rows * zoom}"'
    style = "image-rendering:pixelated;border:1px solid rgba(128,128,128,.5);max-width:100%;margin:0"
    data = base64.b64encode(png(indices)).decode("ascii")
    return f'<img alt="values as shades" {size} style="{style}" src="data:image/png;base64,{data}">'


def _box(head: str, notes: list[str], body: str, picture: str = "") -> str:
    line = f'<span style="{_HEAD}">{html.escape(head)}</span>'
    if notes:
        line += f' <span style="{_NOTE}">&nbsp; {html.escape(re.sub("-(?=[0-9])", "−", " · ".join(notes)))}</span>'
    return f'<div style="{_BOX}">{picture}<div style="min-width:0;max-width:100%"><div>{line}</div>{body}</div></div>'
