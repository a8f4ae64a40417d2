"""Text and numbers for the page: everything that comes from outside passes through `esc` or a number format here."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from chainrule.explain import pictures

__all__ = ["embed", "esc", "integer", "number", "percent", "picture_uri", "seconds", "table"]

SPACE = "\u202f"  # narrow and not breaking, before a unit
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def esc(text: object) -> str:
    """Return text that is safe between tags and inside quoted attributes."""
    return html.escape(str(text), quote=True)


def number(value: float | None, digits: int = 4, *, pad: bool = False) -> str:
    """Return a number with `digits` significant digits, tiny and huge ones as 1.2 × 10⁻⁵; None as a dash.

    With `pad=True` zeros at the end are kept, so that numbers below each other look alike.
    """
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"
    text = f"{value:#.{digits}g}".rstrip(".") if pad else f"{value:.{digits}g}"
    mantissa, _, exponent = text.partition("e")
    if exponent:
        mantissa += f"{SPACE}×{SPACE}10" + str(int(exponent)).translate(SUPERSCRIPTS)
    return mantissa.replace("-", "−")


def percent(share: float | None, digits: int = 2) -> str:
    """Return a share in [0, 1] as percent; None and NaN, a share of nothing, as a dash.

    Only nothing is 0 % and only everything is 100 %: what rounding would move there becomes "under 0.01 %" or
    "over 99.99 %".
    """
    if share is None or math.isnan(share):
        return "–"
    step = 10.0**-digits
    if 0 < share < step / 200:
        return f"under {step:.{digits}f}{SPACE}%"
    if 1 - step / 200 <= share < 1:
        return f"over {100 - step:.{digits}f}{SPACE}%"
    return f"{100 * share:.{digits}f}{SPACE}%"


def integer(value: int) -> str:
    """Return an integer with commas between thousands."""
    return f"{value:,}"


def seconds(value: float) -> str:
    """Return a time as people say it: 0.42 s, 5.4 s, 3 min 20 s, 2 h 05 min."""
    if value < 59.95:  # 59.96 would be shown as 60.0
        return f"{value:.{2 if value < 0.995 else 1}f}{SPACE}s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes}{SPACE}min {rest}{SPACE}s"
    return f"{minutes // 60}{SPACE}h {minutes % 60:02d}{SPACE}min"


def embed(data: object) -> str:
    """Return data as JSON that may stand inside a `<script>` element: no character in it can close the element."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"), sort_keys=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def table(head: Iterable[str], rows: Iterable[Iterable[str]], *, name: str) -> str:
    """Return a table from cells that are already HTML; the first cell of each row is its heading."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = []
    for row in rows:
        first, *rest = row
        body.append(f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in rest) + "</tr>")
    whole = f'<table class="{name}"><thead><tr>{top}</tr></thead><tbody>{"".join(body)}</tbody></table>'
    return f'<div class="scroll">{whole}</div>'


def picture_uri(picture: NDArray[np.generic]) -> str:
    """Return a sample as an address: [height, width] or [1, height, width] as shades, [3, height, width] in colour."""
    values = picture.astype(np.float64)
    if values.ndim == 3:
        values = values[0] if len(values) == 1 else values.reshape(-1, values.shape[2])  # the channels below each other
    shades = pictures.gray_picture(values)
    if picture.ndim == 3 and len(picture) == 3:
        shades = np.moveaxis(shades.reshape(picture.shape), 0, -1)  # [height, width, 3]
    return pictures.data_uri(pictures.to_png(shades))
