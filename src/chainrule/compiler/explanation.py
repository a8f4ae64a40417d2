"""What a compiled step consists of, as data: its kernels in order, what each computes, moves and takes; and as a table.

`explain` in `explaining.py` fills these classes; printing an `Explanation` gives a table of at most 100 columns, a
notebook shows one in HTML. Shares of the peak are of this machine's own, measured on as many threads.
"""

from __future__ import annotations

import html
import textwrap
from dataclasses import dataclass

__all__ = ["Explanation", "KernelRow", "Operation"]

WIDTH = 100


@dataclass(frozen=True)
class Operation:
    """An operation of the step.

    Attributes:
        name: of the primitive.
        source: the user's line, like "mlp.py:14".
        module: path of the module being called.
        view: whether it only renames or repeats elements, which costs nothing by itself.
    """

    name: str
    source: str = ""
    module: str = ""
    view: bool = False


@dataclass(frozen=True)
class KernelRow:
    """One kernel.

    Attributes:
        function: name of its native function; equal kernels share one; empty for a reference.
        kind: "loops", "copy" (into another layout), "contraction", "border", "turns" or "reference".
        operations: what it computes, each fused one included.
        shape: extents of its loops in words.
        strategy: how a contraction is computed; how loops are cut.
        notes: layouts other than the user's, borders.
        units: parts that threads share; 1 for one thread's work.
        shared: whether threads share it: small work is done by one.
        flops: floating-point operations.
        read, written: bytes of memory that it touches.
        precision: dtype of its sums or results, whose peak counts.
        seconds: median time of a run on its own, its data in cache where they fit; None where it was not measured.
    """

    function: str
    kind: str
    operations: tuple[Operation, ...]
    shape: str
    strategy: str = ""
    notes: tuple[str, ...] = ()
    units: int = 1
    shared: bool = False
    flops: int = 0
    read: int = 0
    written: int = 0
    precision: str = "f32"
    seconds: float | None = None

    @property
    def gflops(self) -> float | None:
        """GFLOP/s."""
        return None if not self.seconds else self.flops / self.seconds / 1e9

    @property
    def bandwidth(self) -> float | None:
        """GB/s read and written, from caches as well."""
        return None if not self.seconds else (self.read + self.written) / self.seconds / 1e9

    @property
    def name(self) -> str:
        """The operations in a few words: "matmul + add + relu", a repeated one once with its count, views left out."""
        counts: dict[str, int] = {}
        for operation in [o for o in self.operations if not o.view] or self.operations:
            counts[operation.name] = counts.get(operation.name, 0) + 1
        words = [name if count == 1 else f"{count} {name}" for name, count in counts.items()]
        before = {"reference": "reference of ", "copy": "copy for ", "border": "border of zeros"}
        return before.get(self.kind, "") + " + ".join(words)

    @property
    def places(self) -> tuple[str, ...]:
        """The user's lines with modules, each once."""
        texts = [" ".join(filter(None, (o.source, o.module))) for o in self.operations]
        return tuple(dict.fromkeys(filter(None, texts)))


@dataclass(frozen=True)
class Explanation:
    """A compiled step; see the module's docstring.

    Attributes:
        name: of the step.
        rows: its kernels, in the order in which they run.
        target: the instruction set.
        threads: how many share a kernel.
        seconds: median time of the whole step, or None.
        temporaries: bytes of the arena.
        scratch: bytes of private memory per thread.
        largest: kind, elements and bytes of the largest temporaries.
        compile_seconds: what compiling took, on the day it was done.
        from_disk: whether the code came from the disk.
        peak_gflops: this machine's float32 peak on `threads` threads, or None.
        peak_bandwidth: GB/s between memory and the cores.
    """

    name: str
    rows: tuple[KernelRow, ...]
    target: str
    threads: int
    seconds: float | None = None
    temporaries: int = 0
    scratch: int = 0
    largest: tuple[tuple[str, int, int], ...] = ()
    compile_seconds: float = 0.0
    from_disk: bool = False
    peak_gflops: float | None = None
    peak_bandwidth: float | None = None

    @property
    def flops(self) -> int:
        """Floating-point operations of all kernels."""
        return sum(row.flops for row in self.rows)

    @property
    def references(self) -> tuple[str, ...]:
        """Primitives that run their NumPy references, each once."""
        return tuple(dict.fromkeys(o.name for row in self.rows if row.kind == "reference" for o in row.operations))

    @property
    def kernel_seconds(self) -> float:
        """Sum of the kernels' times."""
        return sum(row.seconds or 0.0 for row in self.rows)

    def of_peak(self, row: KernelRow) -> float | None:
        """Return which part of the machine's arithmetic peak, for its precision, a kernel reaches, or None."""
        scale = {"f32": 1.0, "f64": 0.5}.get(row.precision)
        if row.gflops is None or not self.peak_gflops or not row.flops or scale is None:
            return None
        return row.gflops / (scale * self.peak_gflops)

    def of_bandwidth(self, row: KernelRow) -> float | None:
        """Return a kernel's traffic over what memory gives; above 1 where caches hold its data."""
        if row.bandwidth is None or not self.peak_bandwidth:
            return None
        return row.bandwidth / self.peak_bandwidth

    def share(self, row: KernelRow) -> float | None:
        """Return a kernel's part of the kernels' time."""
        return row.seconds / self.kernel_seconds if row.seconds and self.kernel_seconds else None

    # ------------------------------------------------------------------------------------------------ text
    def head(self) -> list[str]:
        """Return what is said above the table, a sentence each."""
        made = "code from the disk, compiled" if self.from_disk else "compiled"
        lines = [
            f"{self.name}: {_count(len(self.rows), 'kernel')}, {_number(self.flops)}FLOP"
            + (f", {_time(self.seconds)}" if self.seconds else "")
            + f" on {_count(self.threads, 'thread')} ({self.target}); {made} in {self.compile_seconds:.2f} s."
        ]
        memory = f"Temporaries: {_bytes(self.temporaries)}"
        if self.largest:
            largest = ", ".join(f"{kind}[{size:,}] {_bytes(nbytes)}" for kind, size, nbytes in self.largest)
            memory += f", of which the largest: {largest}"
        lines.append(f"{memory}.")
        if self.peak_gflops and self.peak_bandwidth:
            lines.append(
                f"This machine's measured peak: {self.peak_gflops:.0f} GFLOP/s in float32, "
                f"{self.peak_bandwidth:.0f} GB/s; more GB/s than that come from caches."
            )
        if self.references:
            lines.append(f"Without native code, so their NumPy references are called: {', '.join(self.references)}.")
        return lines

    def cells(self, row: KernelRow) -> tuple[str, ...]:
        """Return the numbers of a row as text, in the order of `COLUMNS`."""
        return (
            "-" if row.seconds is None else _time(row.seconds),
            _percent(self.share(row)),
            _number(row.flops).strip() if row.flops else "-",
            "-" if row.gflops is None or not row.flops else _rate(row.gflops),
            _percent(self.of_peak(row)),
            _bytes(row.read),
            _bytes(row.written),
            "-" if row.bandwidth is None else _rate(row.bandwidth),
            _percent(self.of_bandwidth(row)),
        )

    def details(self, row: KernelRow) -> list[str]:
        """Return what is said below a row."""
        units = "" if row.kind in ("reference", "contraction") else _count(row.units, "unit")
        alone = "by one thread" if row.units > 1 and not row.shared else ""
        first = [row.shape, row.strategy, units, alone, *row.notes]
        return ["; ".join(filter(None, first)), *([", ".join(row.places)] if row.places else [])]

    def __str__(self) -> str:
        table = [self.cells(row) for row in self.rows]
        widths = [max(len(column), *(len(cells[n]) for cells in table), 0) for n, column in enumerate(COLUMNS)]
        room = WIDTH - sum(widths) - 2 * len(widths) - 4
        lines = [line for text in self.head() for line in textwrap.wrap(text, WIDTH)]
        right = "  ".join(column.rjust(width) for column, width in zip(COLUMNS, widths, strict=True))
        lines += ["", f"{'#':>3} {'kernel':<{room}}  {right}"]
        for number, (row, cells) in enumerate(zip(self.rows, table, strict=True)):
            name, below = row.name, self.details(row)
            if len(name) > room:
                name, below = name[: room - 3] + "...", [name, *below]
            right = "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
            lines.append(f"{number:>3} {name:<{room}}  {right}")
            for text in below:
                lines += textwrap.wrap(text, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6, max_lines=3)
        return "\n".join(line.rstrip() for line in lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head, *rest = self.head()
        cell = "text-align:right;padding:0 .6em;white-space:nowrap"
        small = "opacity:.65;font-size:11px;text-align:left;padding:0 .6em .4em 2em"
        rows = []
        for number, row in enumerate(self.rows):
            numbers = "".join(f'<td style="{cell}">{html.escape(text)}</td>' for text in self.cells(row))
            name = f'<td style="text-align:left;padding:0 .6em">{number} &nbsp;<b>{html.escape(row.name)}</b></td>'
            below = "<br>".join(map(html.escape, self.details(row)))
            rows.append(f"<tr>{name}{numbers}</tr>")
            rows.append(f'<tr><td colspan="{1 + len(COLUMNS)}" style="{small}">{below}</td></tr>')
        titles = "".join(f'<th style="{cell}">{html.escape(column)}</th>' for column in COLUMNS)
        notes = "".join(f'<div style="opacity:.65">{html.escape(text)}</div>' for text in rest)
        return (
            '<div style="font:12px/1.5 system-ui,sans-serif;margin:.3em 0">'
            f"<div><b>{html.escape(head)}</b></div>{notes}"
            '<table style="border-collapse:collapse;font:12px/1.4 system-ui,sans-serif;margin:.4em 0">'
            f'<tr><th style="text-align:left;padding:0 .6em">kernel</th>{titles}</tr>{"".join(rows)}</table></div>'
        )


COLUMNS = ("time", "share", "FLOP", "GFLOP/s", "peak", "read", "written", "GB/s", "peak")


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
