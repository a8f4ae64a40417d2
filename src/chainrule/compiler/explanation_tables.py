"""An `Explanation` as a table: text of 80 columns or more, and HTML for notebooks.

A step of few kernels is printed kernel by kernel, in the order in which they run. Of hundreds, the time by kind comes
first, and then the most expensive ones, equal kernels together; a notebook folds the whole list below.
"""

from __future__ import annotations

import html
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chainrule.compiler.explanation import Explanation, KernelRow

__all__ = ["html_table", "text_table"]

WIDTH, NARROWEST, WIDEST = 100, 80, 120  # columns without a terminal, and of one
MANY = 40  # kernels from which only the most expensive ones are shown
COLUMNS = ("time", "share", "FLOP", "GFLOP/s", "peak", "read", "written", "GB/s", "peak")
MOVED = (5, 6)  # columns that stand below the row where there is no room
KINDS = {
    "contraction": "contractions",
    "loops": "loops",
    "copy": "copies to other layouts",
    "border": "borders of zeros",
    "turns": "one turn after the other",
    "reference": "NumPy references",
}


@dataclass(frozen=True)
class Line:
    """A line of a table: what it is called, how many kernels it stands for, and their work in one row."""

    label: str
    count: int
    row: KernelRow
    places: Sequence[str] = ()


# ------------------------------------------------------------------------------------------------ what is said
def head(plan: Explanation) -> list[str]:
    """Return what is said above the table, a paragraph each."""
    made = "code from the disk, compiled" if plan.from_disk else "compiled"
    lines = [
        f"{plan.name}: {_count(len(plan.rows), 'kernel')}, {_number(plan.flops)}FLOP"
        + (f", {_time(plan.seconds)}" if plan.seconds else "")
        + f" on {_count(plan.threads, 'thread')} ({plan.target}); {made} in {plan.compile_seconds:.2f} s."
    ]
    if plan.seconds and plan.kernel_seconds:
        beside = "of" if plan.kernel_seconds < plan.seconds else "one by one beside"
        text = f"Time: kernels {_time(plan.kernel_seconds)} {beside} {_time(plan.seconds)}"
        text += ", without Python's part of a call"
        kept = sum(row.prepared for row in plan.rows)
        lines.append(text + (f"; {_count(kept, 'kernel')} only when the state has changed." if kept else "."))
    memory = f"Temporaries: {_bytes(plan.temporaries)}"
    if plan.largest:
        largest = ", ".join(f"{kind}[{size:,}] {_bytes(nbytes)}" for kind, size, nbytes in plan.largest)
        memory += f", of which the largest: {largest}"
    lines.append(f"{memory}.")
    if plan.peak_gflops and plan.peak_bandwidth:
        narrow = any(row.precision == "bf16" for row in plan.rows) and plan.peak_bf16_gflops
        lines.append(
            f"This machine's measured peak: {plan.peak_gflops:.0f} GFLOP/s in float32, "
            + (f"{narrow:.0f} in bfloat16, " if narrow else "")
            + f"{plan.peak_bandwidth:.0f} GB/s with memory; more GB/s than that come from caches."
        )
    if plan.references:
        lines.append(f"Without native code, so their NumPy references are called: {', '.join(plan.references)}.")
    return lines


def cells(plan: Explanation, row: KernelRow) -> tuple[str, ...]:
    """Return the numbers of a row as text, in the order of `COLUMNS`."""
    share = plan.share(row)
    return (
        "-" if row.seconds is None else _time(row.seconds),
        "kept" if row.prepared else "-" if share is None else f"{100 * share:.1f} %",
        _number(row.flops).strip() if row.flops else "-",
        "-" if row.gflops is None or not row.flops else _rate(row.gflops),
        _percent(plan.of_peak(row)),
        _bytes(row.read),
        _bytes(row.written),
        "-" if row.bandwidth is None else _rate(row.bandwidth),
        _percent(plan.of_bandwidth(row)),
    )


def details(line: Line) -> list[str]:
    """Return what is said below a row."""
    row = line.row
    units = "" if row.kind in ("reference", "contraction") else _count(row.units, "unit")
    alone = "by one thread" if row.units > 1 and not row.shared else ""
    first = [row.shape, row.strategy, units, alone, *row.notes]
    return ["; ".join(filter(None, first)), *([", ".join(line.places)] if line.places else [])]


def kinds(plan: Explanation) -> list[Line]:
    """Return a line per kind of kernel, without those whose results are kept."""
    found: dict[tuple[str, str], list[int]] = {}
    for number, row in enumerate(plan.rows):
        if not row.prepared:
            found.setdefault((row.kind, row.precision if row.kind == "contraction" else ""), []).append(number)
    lines = []
    for (kind, precision), numbers in found.items():
        row = plan.together(numbers)
        lines.append(Line(KINDS[kind] + (f" in {precision}" if precision else ""), len(numbers), row))
    return sorted(lines, key=lambda line: -(line.row.seconds or 0.0))


def every(plan: Explanation) -> list[Line]:
    """Return a line per kernel, in the order of the step."""
    return [Line(str(n), 1, row, row.places) for n, row in enumerate(plan.rows)]


def expensive(plan: Explanation, top: int) -> tuple[list[Line], str]:
    """Return a line per group of equal kernels, the most expensive ones, and what is said of the rest."""
    groups = plan.alike()
    lines = []
    for numbers in groups[:top]:
        places = dict.fromkeys(place for n in numbers for place in plan.rows[n].places)
        lines.append(Line(str(numbers[0]), len(numbers), plan.together(numbers), list(places)))
    rest = [n for numbers in groups[top:] for n in numbers]
    if not rest:
        return lines, ""
    shares = [share for n in rest if (share := plan.share(plan.rows[n])) is not None]
    time = f" with {100 * sum(shares):.1f} % of the time" if shares else ""
    return lines, f"{_count(len(rest), 'more kernel')}{time}."


# ------------------------------------------------------------------------------------------------ text
def text_table(plan: Explanation, top: int | None = 20, width: int | None = None) -> str:
    """Return an explanation as text; see `Explanation.table`."""
    if width is not None and width < NARROWEST:
        raise ValueError(f"Explanation.table: width must be at least {NARROWEST} columns; got {width}.")
    if width is None:
        width = max(NARROWEST, min(WIDEST, shutil.get_terminal_size((WIDTH, 24)).columns))
    lines = [line for text in head(plan) for line in textwrap.wrap(text, width)] + [""]
    if top is None or len(plan.rows) <= MANY:
        lines += _rows(every(plan), plan, width, 3)
    else:
        shown, rest = expensive(plan, top)
        lines += [*_kinds_text(plan, width), ""]
        lines += ["The most expensive kernels, equal ones together (# is the number of the first):", ""]
        lines += _rows(shown, plan, width, 1)
        lines += ["", *textwrap.wrap(f"{rest} All, in the order of the step: table(top=None).".strip(), width)]
    return "\n".join(line.rstrip() for line in lines)


def _aligned(table: Sequence[Sequence[str]], skipped: Sequence[int]) -> list[str]:
    """Return the columns of numbers as text of one length per row."""
    kept = [n for n in range(len(COLUMNS)) if n not in skipped]
    widths = [max(len(row[n]) for row in table) for n in kept]
    return ["  ".join(row[n].rjust(width) for n, width in zip(kept, widths, strict=True)) for row in table]


def _kinds_text(plan: Explanation, width: int) -> list[str]:
    """Return the table of kinds."""
    found = kinds(plan)
    right = _aligned([COLUMNS, *(cells(plan, line.row) for line in found)], MOVED if width < WIDTH else ())
    names = [("kind", "kernels"), *((line.label, f"{line.count:,}") for line in found)]
    room = max(len(name) for name, _ in names)
    return [f"{name:<{room}} {count:>7}  {text}" for (name, count), text in zip(names, right, strict=True)]


def _rows(lines: Sequence[Line], plan: Explanation, width: int, most: int) -> list[str]:
    """Return a table of kernels, each with what is said below it in at most `most` lines a paragraph."""
    skipped = MOVED if width < WIDTH else ()
    numbers = [cells(plan, line.row) for line in lines]
    title, *right = _aligned([COLUMNS, *numbers], skipped)
    room = width - len(title) - 6
    found = [f"{'#':>3} {'kernel':<{room}}  {title}"]
    for line, texts, values in zip(lines, numbers, right, strict=True):
        name = (f"{line.count} x " if line.count > 1 else "") + line.row.name
        shape, *places = details(line)
        full = [line.row.name] if len(name) > room else []
        moved = [f"reads {texts[MOVED[0]]}, writes {texts[MOVED[1]]}"] if skipped else []
        name = name[: room - 3] + "..." if full else name
        found.append(f"{line.label:>3} {name:<{room}}  {values}")
        for text in (*full, shape, *moved, *places):
            found += textwrap.wrap(text, width, initial_indent=" " * 6, subsequent_indent=" " * 6, max_lines=most)
    return found


# ------------------------------------------------------------------------------------------------ notebooks
_FONT = "font:12px/1.5 system-ui,sans-serif"
_TABLE = f"border-collapse:collapse;{_FONT};margin:.4em 0"
_LEFT = "text-align:left;vertical-align:top;padding:.1em .6em"
_NAME = "text-align:left;vertical-align:top;padding:.1em .6em .1em 3.2em;text-indent:-2.6em"
_NUMBER = "opacity:.6;display:inline-block;width:2.6em;text-indent:0"
_RIGHT = "text-align:right;vertical-align:top;padding:.1em .6em;white-space:nowrap;font-variant-numeric:tabular-nums"
_BELOW = "opacity:.7;font-size:11px;text-align:left;padding:0 .6em .5em 3.2em"
_ROW = "background:none;border-top:1px solid rgba(128,128,128,.25)"


def html_table(plan: Explanation, top: int = 20) -> str:
    """Return an explanation as HTML."""
    first, *rest = head(plan)
    notes = "".join(f'<div style="opacity:.7">{html.escape(text)}</div>' for text in rest)
    body = _table(every(plan), plan, "kernel")
    if len(plan.rows) > MANY:
        shown, more = expensive(plan, top)
        body = (
            f"{_table(kinds(plan), plan, 'kind', False)}"
            '<div style="margin-top:.8em"><b>The most expensive kernels</b>, equal ones together</div>'
            f"{_table(shown, plan, 'kernel')}<div>{html.escape(more)}</div>"
            f'<details style="margin:.4em 0"><summary style="cursor:pointer">All {len(plan.rows)} kernels, '
            f"in the order of the step</summary>{body}</details>"
        )
    return (
        f'<div style="{_FONT};margin:.3em 0;overflow-x:auto"><div><b>{html.escape(first)}</b></div>{notes}{body}</div>'
    )


def _table(lines: Sequence[Line], plan: Explanation, what: str, kernels: bool = True) -> str:
    names = ("of peak" if column == "peak" else column for column in COLUMNS)
    titles = "".join(f'<th style="{_RIGHT}">{html.escape(name)}</th>' for name in names)
    rows = [f'<tr style="background:none"><th style="{_LEFT}">{what}</th>{titles}</tr>']
    for line in lines:
        row, times = line.row, f"{line.count:,} &times; " if line.count > 1 else ""
        bold = html.escape(row.name if kernels else line.label)
        number = f'<span style="{_NUMBER}">{line.label}</span>' if kernels else ""
        numbers = "".join(_cell(n, text, plan.share(row)) for n, text in enumerate(cells(plan, row)))
        style = _NAME if kernels else _LEFT
        rows.append(f'<tr style="{_ROW}"><td style="{style}">{number}{times}<b>{bold}</b></td>{numbers}</tr>')
        if kernels:
            below = "<br>".join(map(html.escape, details(line)))
            cell = f'<td colspan="{1 + len(COLUMNS)}" style="{_BELOW}">{below}</td>'
            rows.append(f'<tr style="background:none">{cell}</tr>')
    return f'<table style="{_TABLE}">{"".join(rows)}</table>'


def _cell(column: int, text: str, share: float | None) -> str:
    """Return a number; behind the share of the time stands a bar as long."""
    bar = ""
    if column == 1 and share:
        part = f"{100 * share:.1f}%"
        bar = f";background:linear-gradient(90deg,rgba(66,133,244,.35) {part},rgba(66,133,244,.08) {part})"
    return f'<td style="{_RIGHT}{bar}">{html.escape(text)}</td>'


# ------------------------------------------------------------------------------------------------ numbers
def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _number(value: float) -> str:
    """Return a number of operations: "512 ", "6.4 M"."""
    for unit in ("", "k", "M", "G"):
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} T"


def _bytes(value: int) -> str:
    return f"{_number(value)}B"


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= 0.9995 * size:
            return f"{seconds / size:.3g} {unit}" if seconds < 999.5 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds / 1e-9:.0f} ns"


def _rate(value: float) -> str:
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def _percent(part: float | None) -> str:
    return "-" if part is None else f"{100 * part:.0f} %"
