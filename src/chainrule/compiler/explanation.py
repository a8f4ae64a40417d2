"""What a compiled step consists of, as data: its kernels in order, what each computes, moves and takes.

`explain` in `explaining.py` fills these classes, and `explanation_tables.py` prints them, as text and in notebooks.
Shares of the peak are of this machine's own, measured on as many threads, in the precision in which a kernel computes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

__all__ = ["Explanation", "KernelRow", "Operation"]


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
        precision: kind in which it computes, whose peak counts: f32, f64, bf16, or "" for integers.
        seconds: median time among the others, in the order of the step; None where it was not measured.
        prepared: whether calls keep its result as long as the state that it reads stays as it is; then its time is no
            part of the step's.
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
    prepared: bool = False

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
        """The user's lines with modules, each once; a line that stands there with a module does not stand alone."""
        named = {o.source for o in self.operations if o.module}
        shown = [o for o in self.operations if o.module or o.source not in named]
        texts = [" ".join(filter(None, (o.source, o.module))) for o in shown]
        return tuple(dict.fromkeys(filter(None, texts)))


@dataclass(frozen=True)
class Explanation:
    """A compiled step; see the module's docstring.

    Attributes:
        name: of the step.
        rows: its kernels, in the order in which they run.
        target: the instruction set.
        threads: how many share a kernel.
        seconds: median time of the whole step without Python's part of a call, or None.
        temporaries: bytes of the arena.
        scratch: bytes of private memory per thread.
        largest: kind, elements and bytes of the largest temporaries.
        compile_seconds: what compiling took, on the day it was done.
        from_disk: whether the code came from the disk.
        peak_gflops: this machine's float32 peak on `threads` threads, or None.
        peak_bf16_gflops: its peak for products of bfloat16.
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
    peak_bf16_gflops: float | None = None
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
        """Sum of the kernels' times, without those whose results are kept."""
        return sum(row.seconds or 0.0 for row in self.rows if not row.prepared)

    def peak(self, precision: str) -> float | None:
        """Return the GFLOP/s that this machine does at most in a precision, or None."""
        if precision == "f64":
            return self.peak_gflops and self.peak_gflops / 2  # half as many fit a register
        return {"f32": self.peak_gflops, "bf16": self.peak_bf16_gflops}.get(precision)

    def of_peak(self, row: KernelRow) -> float | None:
        """Return which part of the machine's arithmetic peak, for its precision, a kernel reaches, or None."""
        highest = self.peak(row.precision)
        return row.gflops / highest if row.gflops and highest else None

    def of_bandwidth(self, row: KernelRow) -> float | None:
        """Return a kernel's traffic over what memory gives; above 1 where caches hold its data."""
        if row.bandwidth is None or not self.peak_bandwidth:
            return None
        return row.bandwidth / self.peak_bandwidth

    def share(self, row: KernelRow) -> float | None:
        """Return a kernel's part of the kernels' time; None for one whose result is kept."""
        if not row.seconds or row.prepared or not self.kernel_seconds:
            return None
        return row.seconds / self.kernel_seconds

    def alike(self) -> tuple[tuple[int, ...], ...]:
        """Return the numbers of kernels that do the same on other memory; first those with the most time, then work."""
        found: dict[tuple, list[int]] = {}
        for number, row in enumerate(self.rows):
            key = (row.function, row.name, row.prepared) if row.function else (number,)
            found.setdefault(key, []).append(number)

        def work(numbers: tuple[int, ...]) -> tuple[float, int]:
            row = self.together(numbers)
            return 0.0 if row.prepared else row.seconds or 0.0, row.flops

        return tuple(sorted(map(tuple, found.values()), key=work, reverse=True))

    def together(self, numbers: Iterable[int]) -> KernelRow:
        """Return one row for several kernels: the first with all their work and time."""
        rows = [self.rows[n] for n in numbers]
        times = [row.seconds for row in rows if row.seconds is not None]
        flops, read, written = (sum(getattr(row, name) for row in rows) for name in ("flops", "read", "written"))
        return replace(rows[0], flops=flops, read=read, written=written, seconds=sum(times) if times else None)

    # ------------------------------------------------------------------------------------------------ printing
    def table(self, top: int | None = 20, width: int | None = None) -> str:
        """Return the step as text: every kernel in order or, where there are many, the most expensive ones.

        Args:
            top: of a step of more than 40 kernels, how many to show, equal ones together; None: all, in order.
            width: columns, at least 80; default those of the terminal, between 80 and 120; 100 where there is none.

        Raises:
            ValueError: a width below 80.
        """
        from chainrule.compiler.explanation_tables import text_table

        return text_table(self, top, width)

    def __str__(self) -> str:
        return self.table()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from chainrule.compiler.explanation_tables import html_table

        return html_table(self)
