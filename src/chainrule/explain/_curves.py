"""Learning curves: the data that uPlot draws in a browser, and the same curves as SVG where there are no scripts.

A chart is a dictionary {id, title, note, x, x_label, y_label, y_kind, series}; a series is {label, role, values}, its
role names a colour of report.css: "train", "second", or "low" and "high" for the two edges of a band.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule.explain._html import SPACE, embed, esc, integer, number, percent, seconds, table

if TYPE_CHECKING:
    from chainrule.explain.contents import RunReport

__all__ = ["curves_section"]

MOST_POINTS = 1000  # of the curve over steps; more would make the page heavy and look the same

Chart = dict[str, Any]


def curves_section(run: RunReport) -> str:
    """Return the section with the learning curves, their data, their SVG twins and the table of exact numbers."""
    charts = [chart for chart in (*epoch_charts(run), step_chart(run)) if chart is not None]
    if not charts:
        return ""
    figures = "".join(
        f'<figure class="chart{" wide" if chart["id"] == "steps" else ""}"><figcaption><strong>{esc(chart["title"])}'
        f"</strong> {esc(chart['note'])}</figcaption>"
        f'<div class="plot" id="chart-{chart["id"]}" role="img" aria-label="{esc(describe(chart))}"></div>'
        f"<noscript>{static_svg(chart)}</noscript></figure>"
        for chart in charts
    )
    return (
        '<section id="curves"><h2>Learning curves</h2>'
        "<p>The loss is what training makes smaller; the accuracy is what we are after. Point at a curve to read its "
        f"values; drag to look closer, double-click to come back. {esc(run.epochs_note)}</p>"
        f'<div class="charts">{figures}</div>{epoch_table(run)}'
        f'<script type="application/json" id="chart-data">{embed(charts)}</script></section>'
    )


def epoch_charts(run: RunReport) -> list[Chart | None]:
    """Return the charts of loss and accuracy over epochs; None for one of which nothing is known."""
    x = [float(row["epoch"]) for row in run.epochs]
    found: list[Chart | None] = []
    for kind, title, label in (("loss", "Loss", "mean loss (nats)"), ("accuracy", "Accuracy", "correct answers (%)")):
        series = []
        for role, key, name in (("train", "train", "training set"), ("second", run.second, run.second_label)):
            values = [plain(row.get(f"{key}_{kind}")) for row in run.epochs]
            if any(value is not None for value in values):
                series.append({"label": name, "role": role, "values": values})
        note = "mean of all samples, epoch by epoch" if kind == "loss" else "share of correct answers, epoch by epoch"
        chart = {"id": kind, "title": title, "note": note, "x": x, "x_label": "epoch", "y_label": label}
        found.append({**chart, "y_kind": kind, "series": series} if series else None)
    return found


def step_chart(run: RunReport) -> Chart | None:
    """Return the chart of the loss over steps, thinned to means of equal stretches with their lowest and highest."""
    losses = run.step_losses.astype(np.float64)
    if not np.isfinite(losses).any():
        return None
    stretch = math.ceil(len(losses) / MOST_POINTS)
    low, mean, high = thin(losses, stretch)
    x = [min((i + 1) * stretch, len(losses)) for i in range(len(mean))]
    if stretch == 1:
        series = [{"label": "batch", "role": "train", "values": mean}]
        note = f"of every one of the {integer(len(losses))} training steps"
    else:
        series = [
            {"label": "highest", "role": "high", "values": high},
            {"label": f"mean of {stretch} steps", "role": "train", "values": mean},
            {"label": "lowest", "role": "low", "values": low},
        ]
        note = f"of {integer(len(losses))} training steps: mean of every {stretch}, the band from lowest to highest"
    positive = all(value is None or value > 0 for value in low)
    kind, scale = ("log", ", log scale") if positive else ("loss", "")
    chart = {"id": "steps", "title": "Loss step by step", "note": note, "x": x, "x_label": "training step"}
    return {**chart, "y_label": f"loss (nats{scale})", "y_kind": kind, "series": series}


def thin(values: NDArray[np.float64], stretch: int) -> list[list[float | None]]:
    """Return the lowest, mean and highest of each stretch of steps; a stretch that holds a NaN has none."""
    parts = [values[i : i + stretch] for i in range(0, len(values), stretch)]
    return [[plain(float(reduce(part))) for part in parts] for reduce in (np.min, np.mean, np.max)]


def plain(value: float | None) -> float | None:
    """Return a float with six significant digits, or None where it is missing or not finite: JSON has no NaN."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def describe(chart: Chart) -> str:
    """Return one sentence for people who can't see the chart: first and last value of each curve."""
    parts = []
    for series in chart["series"]:
        values = [value for value in series["values"] if value is not None]
        if series["role"] in ("train", "second") and values:
            parts.append(f"{series['label']} from {show(chart, values[0])} to {show(chart, values[-1])}")
    return f"{chart['title']} over {chart['x_label']}: " + "; ".join(parts) + "."


def show(chart: Chart, value: float) -> str:
    """Return a value of the chart in its unit."""
    return percent(value) if chart["y_kind"] == "accuracy" else number(value)


def epoch_table(run: RunReport) -> str:
    """Return the numbers behind the curves, one row per epoch, folded away."""
    if not run.epochs:
        return ""
    rows = []
    for row in run.epochs:
        cells = [integer(int(row["epoch"])), number(row.get("train_loss")), percent(row.get("train_accuracy"))]
        cells += [number(row.get(f"{run.second}_loss")), percent(row.get(f"{run.second}_accuracy"))]
        rows.append([*cells, seconds(row["seconds"]) if "seconds" in row else "–"])
    second = esc(run.second)
    head = ("epoch", "training loss", "training accuracy", f"{second} loss", f"{second} accuracy", "time")
    return f"<details><summary>The numbers, epoch by epoch</summary>{table(head, rows, name='numbers')}</details>"


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Return round numbers between low and high, about `wanted` of them.

    >>> ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    rough = (high - low) / wanted or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [float(f"{k * step:.10g}") for k in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return the powers of ten and their 2 and 5 folds from 10**low to 10**high, as exponents.

    >>> [round(10**tick, 6) for tick in log_ticks(-1.2, 0.4)]
    [0.1, 0.2, 0.5, 1.0, 2.0]
    """
    powers = range(math.floor(low), math.ceil(high) + 1)
    marks = [power + math.log10(fold) for power in powers for fold in (1, 2, 5)]
    return [mark for mark in marks if low - 1e-9 <= mark <= high + 1e-9]


def static_svg(chart: Chart, height: int = 300) -> str:
    """Return the chart as SVG: axes with titles and units, the curves, a legend."""
    width = 1160 if chart["id"] == "steps" else 560
    log = chart["y_kind"] == "log"
    to_y = math.log10 if log else float
    values = [to_y(value) for series in chart["series"] for value in series["values"] if value is not None]
    if not values:
        return ""
    x0, x1 = chart["x"][0], max(chart["x"][-1], chart["x"][0] + 1)
    y0, y1 = min(values), max(values)
    margin = (y1 - y0) * 0.04 or 1.0
    y0, y1 = y0 - margin, y1 + margin
    left, right, top, bottom = 66, width - 12, 34, height - 44

    def at(x: float, y: float) -> tuple[float, float]:
        return left + (x - x0) / (x1 - x0) * (right - left), bottom - (y - y0) / (y1 - y0) * (bottom - top)

    parts = [f'<svg class="static" viewBox="0 0 {width} {height}" role="img" aria-label="{esc(describe(chart))}">']
    for tick in log_ticks(y0, y1) if log else ticks(y0, y1):
        _, y = at(x0, tick)
        text = f"{100 * tick:.6g}{SPACE}%" if chart["y_kind"] == "accuracy" else number(10**tick if log else tick)
        parts.append(f'<path class="rule" d="M{left} {y:.1f}H{right}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    for tick in ticks(x0, x1, 6):
        x, _ = at(tick, y0)
        parts.append(f'<path class="rule" d="M{x:.1f} {top}V{bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{tick:,g}</text>')
    parts.append(f'<text x="{(left + right) / 2}" y="{height - 6}" text-anchor="middle">{esc(chart["x_label"])}</text>')
    turned = f'transform="translate(13 {(top + bottom) / 2}) rotate(-90)" text-anchor="middle"'
    parts.append(f"<text {turned}>{esc(chart['y_label'])}</text>")
    for series in chart["series"]:
        points = [at(x, to_y(y)) for x, y in zip(chart["x"], series["values"], strict=True) if y is not None]
        parts.append(f'<path class="curve {series["role"]}" d="{path(points)}"/>')
    return "".join(parts) + legend([s for s in chart["series"] if s["role"] in ("train", "second")], left) + "</svg>"


def path(points: Sequence[tuple[float, float]]) -> str:
    """Return the path through points; a single point becomes a short stroke that can be seen."""
    if len(points) == 1:
        return f"M{points[0][0] - 3:.1f} {points[0][1]:.1f}h6"
    return "".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(points))


def legend(series: Sequence[Chart], left: int) -> str:
    """Return a row of strokes with their names above the chart."""
    parts, x = [], left
    for one in series:
        parts.append(f'<path class="curve {one["role"]}" d="M{x} 16h18"/>')
        parts.append(f'<text x="{x + 24}" y="20">{esc(one["label"])}</text>')
        x += 24 + 7 * len(one["label"]) + 18
    return "".join(parts)
