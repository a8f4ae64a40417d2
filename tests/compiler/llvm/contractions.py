"""What the tests of contractions share: random specifications, compiled kernels, and the same sums by NumPy."""

from __future__ import annotations

import ctypes
import itertools
import math
import random
import string
from collections.abc import Sequence

import ml_dtypes
import numpy as np

from chainrule.compiler import contraction
from chainrule.compiler.contraction import Axis, Contraction, ContractionPlan, plan_contraction
from chainrule.compiler.llvm.contraction import emit_contraction
from chainrule.compiler.llvm.ir import I64, PTR, VOID, Builder, Module, Place, Value
from chainrule.compiler.llvm.machine import Loaded, Target, compile_text

NUMPY = {"f32": np.float32, "f64": np.float64, "bf16": ml_dtypes.bfloat16}
GROUPS = ("batch", "rows", "columns", "sums")


def kernel_text(plan: ContractionPlan, compact: bool = False) -> str:
    """Return the IR of `k(a, b, c, scratch, begin, end)`, which stores C in the order batch, rows, columns."""
    spec = plan.spec
    strides = dense([*spec.batch, *spec.rows, *spec.columns])
    module = Module()
    b = Builder(module, "k", VOID, [PTR, PTR, PTR, PTR, I64, I64], internal=False)
    left, right, c, scratch, begin, end = b.arguments

    def epilogue(batch: list[Place], rows: list[Place], columns: list[Place], value: Value, mask: Value | None) -> None:
        start, plus = b.const(I64, 0), 0
        for place, stride in zip([*batch, *rows, *columns], strides, strict=True):
            start, plus = b.add(start, b.mul(place.value, stride)), plus + place.plus * stride
        pointer = b.offset(b.offset(c, start, spec.kind), plus, spec.kind)
        if mask is None:
            b.store(value, pointer)
        else:
            b.masked_store(value, pointer, mask)

    emit_contraction(b, plan, left, right, scratch, begin, end, epilogue, compact=compact)
    b.finish()
    return module.text()


def dense(axes: Sequence[Axis]) -> list[int]:
    return [math.prod(x.extent for x in axes[n + 1 :]) for n in range(len(axes))]


class Kernel:
    """A contraction compiled for a target."""

    def __init__(self, spec: Contraction, target: Target, pairs: bool = False, compact: bool = False, **limits: int):
        registers = 32 if target.name in ("avx512", "neon") else 16
        lanes = target.lanes(32 if spec.kind == "f32" else 64)
        with changed(limits):
            self.plan = plan_contraction(spec, lanes, registers=registers, fma=target.has_fma, pairs=pairs)
        self.text = kernel_text(self.plan, compact)
        self.code = Loaded(compile_text([self.text], target))
        kinds = *[ctypes.c_void_p] * 4, *[ctypes.c_int64] * 2
        self.function = ctypes.CFUNCTYPE(None, *kinds)(self.code.address("k"))

    def __call__(self, a: np.ndarray, b: np.ndarray, parts: Sequence[tuple[int, int]] | None = None) -> np.ndarray:
        """Return C in dense order; NaN where a kernel wrote nothing. Each part of the units has its own call."""
        spec = self.plan.spec
        shape = [x.extent for x in (*spec.batch, *spec.rows, *spec.columns)]
        c = np.full(math.prod(shape) + 64, np.nan, NUMPY[spec.kind])
        for begin, end in [(0, self.plan.units)] if parts is None else parts:
            scratch = np.full(self.plan.scratch_bytes // 4 + 16, np.nan, np.float32)
            scratch[-16:] = 7
            self.function(a.ctypes.data, b.ctypes.data, c.ctypes.data, scratch.ctypes.data, begin, end)
            assert (scratch[-16:] == 7).all(), "wrote past its scratch"
        assert np.isnan(c[math.prod(shape) :]).all(), "wrote past C"
        return c[: math.prod(shape)].reshape(shape)


class changed:
    """The planner's constants, other than usual: small ones bring blocks and groups to small problems."""

    def __init__(self, values: dict[str, int]):
        self.values = values

    def __enter__(self) -> None:
        self.before = {name: getattr(contraction, name) for name in self.values}
        vars(contraction).update(self.values)

    def __exit__(self, *_: object) -> None:
        vars(contraction).update(self.before)


def operands(spec: Contraction, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random memory that reaches to the last element of A and B, and no further."""
    rng = np.random.default_rng(seed)
    axes = [x for group in GROUPS for x in getattr(spec, group)]
    spans = [1 + sum((x.extent - 1) * getattr(x, name) for x in axes if x.extent) for name in "ab"]
    kinds = spec.a_kind or spec.kind, spec.b_kind or spec.kind
    a, b = (rng.standard_normal(n).astype(NUMPY[kind]) for n, kind in zip(spans, kinds, strict=True))
    return a, b


def expected(spec: Contraction, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return C by NumPy in double precision."""
    letters = iter(string.ascii_letters)
    names = {group: "".join(next(letters) for _ in getattr(spec, group)) for group in GROUPS}

    def view(memory: np.ndarray, groups: Sequence[str], operand: str) -> np.ndarray:
        axes = [x for group in groups for x in getattr(spec, group)]
        steps = [getattr(x, operand) * memory.itemsize for x in axes]
        return np.lib.stride_tricks.as_strided(memory, [x.extent for x in axes], steps).astype(np.float64)

    left, right = ("batch", "rows", "sums"), ("batch", "columns", "sums")
    equation = ",".join("".join(names[g] for g in groups) for groups in (left, right))
    result = names["batch"] + names["rows"] + names["columns"]
    return np.einsum(f"{equation}->{result}", view(a, left, "a"), view(b, right, "b"), optimize=True)


def random_parts(units: int, seed: int) -> list[tuple[int, int]]:
    """Return a random split of the units, in random order."""
    r = random.Random(seed)
    cuts = sorted(r.choices(range(units + 1), k=3))
    parts = list(itertools.pairwise([0, *cuts, units]))
    r.shuffle(parts)
    return parts


def random_spec(seed: int) -> Contraction:
    """Return a specification with few to many axes in any order of memory, gaps between them, sizes 0 and 1 as well.

    Of ten, seven have B side by side along the last column, two have both operands so along the last sum, one neither.
    """
    r = random.Random(seed)
    sizes = {0: 1, 1: 90, 2: 20, 3: 8}
    batch = [r.randint(1, 3) for _ in range(r.choice([0, 0, 1, 2]))]
    counts = r.choice([0, 1, 1, 2, 3]), r.choice([0, 1, 1, 2, 3])
    rows, sums = ([r.choice([1, 2, r.randint(1, sizes[n]), r.randint(1, sizes[n])]) for _ in range(n)] for n in counts)
    columns = [r.randint(1, 4) for _ in range(r.choice([0, 0, 0, 1]))] + [r.choice([1, 10, 16, 32, r.randint(1, 70)])]
    if r.random() < 0.04:
        group = r.choice([g for g in (rows, columns, sums) if g])
        group[r.randrange(len(group))] = 0
    mode = r.choice("ccccccckkn") if sums else "c"
    a = _strides(r, [*batch, *rows, *sums], -1 if mode == "k" else None)
    first = {"c": len(batch) + len(columns) - 1, "k": -1, "n": 0 if batch else None}[mode]
    b = _strides(r, [*batch, *columns, *sums], first)
    at_sums, at_sums_b = len(batch) + len(rows), len(batch) + len(columns)
    return Contraction(
        tuple(map(Axis, batch, a, b)),
        tuple(map(Axis, rows, a[len(batch) :])),
        tuple(Axis(e, 0, s) for e, s in zip(columns, b[len(batch) :], strict=False)),
        tuple(map(Axis, sums, a[at_sums:], b[at_sums_b:])),
        r.choice(["f32", "f32", "f64"]),
    )


def _strides(r: random.Random, extents: Sequence[int], innermost: int | None) -> list[int]:
    """Return strides of axes laid out in random order, now and then with a gap; `innermost` has stride 1."""
    order = list(range(len(extents)))
    r.shuffle(order)
    if innermost is not None:
        order.sort(key=lambda n: n != innermost % len(extents))
    strides, step = [0] * len(extents), 1
    for n in order:
        strides[n] = step
        step *= max(extents[n], 1) + r.choice([0, 0, 0, 1])
    return strides
