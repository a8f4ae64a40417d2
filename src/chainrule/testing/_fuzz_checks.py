"""How compiled code may differ from the references: by what rounding does to this graph, and nothing else.

The references run the graph a few times with every rounding disturbed by some units in the last place, terms of sums
too. How far a result moves says how far native code may be off, element by element; a comparison that rounding can
turn over moves its results, so that these are not compared, and no other tolerance is needed. What rounds nowhere
must keep its bits. Inputs of native calls end where a page ends that may not be touched.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from chainrule.compiler.executor import ReferenceExecutor
from chainrule.compiler.passes import simplify
from chainrule.compiler.plan import compile_graph
from chainrule.compiler.program import NativeExecutor
from chainrule.core.dtypes import dtype_of
from chainrule.core.graph import Equation, Graph, Variable
from chainrule.core.threads import set_num_threads
from chainrule.testing._fuzz_programs import Case

__all__ = ["Mismatch", "Tolerances", "check_case", "check_native", "check_passes"]

_FUNCTIONS = (
    "exp expm1 log log2 log10 log1p logaddexp sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh"
)
_MORE = "sigmoid softplus erf erfc pow hypot rsqrt sqrt reciprocal divide ndtr xlogy xlog1py entr logit erfinv"
FUNCTIONS = frozenset([*_FUNCTIONS.split(), *_MORE.split()])
ROUNDING = FUNCTIONS | {"add", "subtract", "multiply", "square", "remainder"}
_SUMS = "sum prod matmul convolution convolution_input_gradient convolution_weight_gradient window_sum window_spread"
SUMS = frozenset([*_SUMS.split(), "overlap_add", "cumulative_sum", "cumulative_prod", "scatter_add", "add_along"])
UNITS = 4.0  # in the last place by which a rounding is disturbed; twice that for functions
FACTOR = 5.0  # by how much more native code may be off than the disturbed runs
GUARD = 1 << 21  # bytes of memory before a page that may not be touched


class Mismatch(AssertionError):
    """Native code or a pass gives something else than the references.

    Args:
        message: what and where.
        stage: "native", or "pass" with its name.
    """

    def __init__(self, message: str, stage: str):
        super().__init__(message)
        self.stage = stage


# ---------------------------------------------------------------------------------------------------- disturbed runs
class Tolerances:
    """What the references give for a graph, and how far each element may be off.

    Args:
        graph: any graph.
        arrays: its inputs.
        runs: disturbed runs.
        seed: of the disturbance.

    Attributes:
        want: the outputs of the references.
        allowed: per output the distance allowed, in float64; infinite where rounding decides.
    """

    def __init__(self, graph: Graph, arrays: Sequence[np.ndarray], runs: int = 4, seed: int = 0):
        self.want = ReferenceExecutor(graph)(arrays)
        moved = [np.zeros(x.shape) for x in self.want]
        center = [_wide(x) for x in self.want]
        rng = np.random.default_rng(seed)
        with np.errstate(all="ignore"):
            for _ in range(runs):
                for far, x, y in zip(moved, center, _disturbed(graph, arrays, rng), strict=True):
                    off = np.abs(_wide(y) - x)
                    off = np.where(np.isnan(off), np.where(_same(_wide(y), x), 0.0, np.inf), off)
                    np.maximum(far, off, out=far)
            self.allowed = [self._widened(far, x) for far, x in zip(moved, self.want, strict=True)]

    @staticmethod
    def _widened(far: np.ndarray, x: np.ndarray) -> np.ndarray:
        if not dtype_of(x.dtype).is_float or not x.size:
            return np.where(far > 0, np.inf, 0.0)
        finite = far[np.isfinite(far)]
        typical = float(np.sqrt(np.mean(finite * finite))) if finite.size else 0.0
        info = ml_dtypes.finfo(x.dtype)
        tiny = 64 * float(info.smallest_normal)  # below which native code counts as 0
        return FACTOR * far + np.where(far > 0, 0.5 * min(typical, 1e3 * float(np.median(far))), 0.0) + tiny

    def check(self, got: Sequence[np.ndarray], stage: str) -> None:
        """Compare outputs with the references'.

        Raises:
            Mismatch: an element differs by more than rounding explains.
        """
        if len(got) != len(self.want):
            raise Mismatch(f"{stage}: {len(got)} outputs, expected {len(self.want)}", stage)
        for number, (a, b, allowed) in enumerate(zip(got, self.want, self.allowed, strict=True)):
            if a.shape != b.shape or a.dtype != b.dtype:
                raise Mismatch(f"{stage}: output {number} is {a.dtype}{a.shape}, expected {b.dtype}{b.shape}", stage)
            x, y = _wide(a), _wide(b)
            with np.errstate(all="ignore"):
                bad = ~(_same(x, y) | (np.abs(x - y) <= allowed) | np.isinf(allowed))
            if bad.any():
                at = tuple(int(i) for i in np.argwhere(bad)[0])
                raise Mismatch(
                    f"{stage}: output {number} {b.dtype}{b.shape}, {int(bad.sum())} of {b.size} elements differ; "
                    f"at {at} got {a[at]!s}, expected {b[at]!s}, allowed {allowed[at]:.3g}",
                    stage,
                )


def _wide(x: np.ndarray) -> np.ndarray:
    return x if x.dtype.kind in "iu" else x.astype(np.float64)


def _same(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x == y) | ((x != x) & (y != y))


def _disturbed(graph: Graph, arrays: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Run the references with every rounding disturbed."""
    values: dict[Variable, np.ndarray] = dict(zip(graph.inputs, arrays, strict=True))
    for equation in graph.equations:
        inputs = [values[v] if v.constant is None else v.constant for v in equation.inputs]
        name = equation.primitive.name
        terms = _terms(equation)
        if name in SUMS and terms > 1:
            inputs = [_moved(x, UNITS + terms**0.5 / 4, rng) for x in inputs]
        outputs = equation.primitive.run(inputs, dict(equation.attributes))
        if name in ("equal", "not_equal") and dtype_of(inputs[0].dtype).is_float:
            outputs = [outputs[0] ^ (_almost_equal(*inputs) & (rng.random(outputs[0].shape) < 0.5))]
        for v, y in zip(equation.outputs, outputs, strict=True):
            values[v] = np.asarray(_rounded(equation, y, rng), v.dtype)
    return [values[v] if v.constant is None else v.constant for v in graph.outputs]


def _almost_equal(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return where rounding may make two values equal that are not: a disturbance hardly ever hits that."""
    far, size = np.abs(_wide(x) - _wide(y)), np.maximum(np.abs(_wide(x)), np.abs(_wide(y)))
    return (far > 0) & (far <= 4 * UNITS * float(ml_dtypes.finfo(x.dtype).eps) * size)


def _rounded(equation: Equation, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    name = equation.primitive.name
    if name in FUNCTIONS:
        return _moved(y, 2 * UNITS, rng)
    if name in ROUNDING or (name in SUMS and _terms(equation) > 1):
        return _moved(y, UNITS, rng)
    if name == "astype" and y.dtype == ml_dtypes.bfloat16 and dtype_of(equation.inputs[0].dtype).is_float:
        return _moved(y, 1.0, rng)
    if y.dtype == ml_dtypes.bfloat16 and equation.inputs and equation.primitive.contraction:
        return _moved(y, 1.0, rng)
    return y


def _terms(equation: Equation) -> float:
    """Return how many terms a result has."""
    if not equation.inputs or not equation.outputs[0].size:
        return 1.0
    if equation.primitive.name in ("cumulative_sum", "cumulative_prod"):
        axis = equation.attributes["axis"]
        return float(equation.outputs[0].shape[axis])
    if equation.primitive.name in ("scatter_add", "add_along"):
        return float(max(v.size for v in equation.inputs)) ** 0.5 + 1
    return max(1.0, equation.flops / equation.outputs[0].size)


def _moved(x: np.ndarray, units: float, rng: np.random.Generator) -> np.ndarray:
    if not dtype_of(x.dtype).is_float:
        return x
    if x.dtype == ml_dtypes.bfloat16:
        units = min(units, 1.0)  # sums of bfloat16 are summed in float32 and rounded once
    step = units * float(ml_dtypes.finfo(x.dtype).eps)
    wide = x.astype(np.float64)
    noisy = wide * (1.0 + step * rng.uniform(-1.0, 1.0, x.shape))
    tiny = float(ml_dtypes.finfo(x.dtype).smallest_normal)
    return np.asarray(np.where(np.abs(wide) < tiny, 0.0, noisy)).astype(x.dtype)


# ---------------------------------------------------------------------------------------------------- guarded memory
class _Guarded:
    """Places for arrays whose end is followed by a page that may not be touched, where the system has such."""

    def __init__(self) -> None:
        self.maps: list[Any] = []

    def place(self, number: int, array: np.ndarray) -> np.ndarray:
        """Return a copy of an array that ends where the memory ends; an array that is too large is just copied."""
        if array.nbytes > GUARD:
            return array.copy()
        while len(self.maps) <= number:
            self.maps.append(_with_guard())
        whole = np.frombuffer(self.maps[number], np.uint8, GUARD)
        flat = whole[GUARD - array.nbytes :].view(array.dtype) if array.nbytes else np.empty(0, array.dtype)
        made = flat.reshape(array.shape)
        made[...] = array
        return made


def _with_guard() -> mmap.mmap:
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, GUARD + page)
    if os.name != "posix":
        return memory
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None).mprotect
    if protect(ctypes.c_void_p(address + GUARD), ctypes.c_size_t(page), 0):
        raise OSError("mprotect refused a guard page")
    return memory


_guarded = _Guarded()


# ---------------------------------------------------------------------------------------------------- the checks
def check_case(case: Case) -> Graph:
    """Check the passes and the native code of a case, and return its simplified graph.

    Raises:
        Mismatch: something differs.
    """
    tolerances = Tolerances(case.graph, case.arrays, seed=case.seed)
    try:
        return _check_all(case, tolerances)
    except Mismatch:
        _check_all(case, Tolerances(case.graph, case.arrays, 48, case.seed + 1))  # is it not just bad luck?
        return case.graph


def _check_all(case: Case, tolerances: Tolerances) -> Graph:
    simple = check_passes(case.graph, case.arrays, tolerances)
    check_native(simple, case.arrays, case.takes, tolerances)
    return simple


def check_passes(graph: Graph, arrays: Sequence[np.ndarray], tolerances: Tolerances) -> Graph:
    """Run the references after every pass that changes something, and return the simplified graph.

    Raises:
        Mismatch: a pass changed a result.
    """

    def compare(name: str, after: Graph) -> None:
        tolerances.check(ReferenceExecutor(after)(arrays), f"pass {name}")

    return simplify(graph, compare, checked=True)


def check_native(
    graph: Graph, arrays: Sequence[np.ndarray], takes: dict[int, int], tolerances: Tolerances | None = None
) -> None:
    """Compile a graph, run it on one thread and on two, on fresh outputs and over its state, and compare.

    Args:
        graph: after the passes.
        arrays: its inputs.
        takes: which output may be written over which input.
        tolerances: what is allowed; default that of the graph itself.

    Raises:
        Mismatch: a result differs from the references', or the two runs in a bit, or an input was changed.
    """
    tolerances = tolerances or Tolerances(graph, arrays)
    run = NativeExecutor(graph, compile_graph(graph, takes))
    run.cost = -1.0  # wait for the second thread, however short the step is
    first = [_guarded.place(n, x) for n, x in enumerate(arrays)]
    one = _run(run, first, (), 1, 0xFF)
    tolerances.check(one, "native")
    _unchanged(first, arrays, [False] * len(arrays), "native")
    second = [x.copy() for x in arrays]
    owned = [n in run.states for n in range(len(arrays))]
    two = _run(run, second, owned, 2, 0x7B)
    written = [n in run.states and owned[n] for n in range(len(arrays))]
    _unchanged(second, arrays, written, "native in place")
    for number, (a, b) in enumerate(zip(one, two, strict=True)):
        if not _equal_bits(a, b):
            raise Mismatch(_which(run, arrays, one, number), "native bits")


def _run(run: NativeExecutor, arrays: list[np.ndarray], owned: Sequence[bool], threads: int, fill: int) -> list:
    set_threads(threads)
    run.memory().arena.fill(fill)
    return [np.array(x) for x in run(arrays, owned)]


_threads = [0]


def set_threads(threads: int) -> None:
    """Set the number of threads of compiled functions, if it is another."""
    from chainrule.compiler.llvm.pool import thread_pool

    if not _threads[0]:
        set_num_threads(2)
        _threads[0] = thread_pool().size
    thread_pool().size = min(threads, _threads[0])


def _unchanged(now: Sequence[np.ndarray], before: Sequence[np.ndarray], written: Sequence[bool], stage: str) -> None:
    for number, (a, b, may) in enumerate(zip(now, before, written, strict=True)):
        if not may and not _equal_bits(a, b):
            raise Mismatch(f"{stage}: input {number} was written over", stage)


def _equal_bits(a: np.ndarray, b: np.ndarray) -> bool:
    if a.dtype.kind == "f" or a.dtype == ml_dtypes.bfloat16:
        nan = (a != a) & (b != b)  # which NaN it is may depend on the order of operands
        return bool((nan | (a.view(f"u{a.itemsize}") == b.view(f"u{b.itemsize}"))).all())
    return bool(np.array_equal(a, b))


def _which(run: NativeExecutor, arrays: Sequence[np.ndarray], one: list[np.ndarray], number: int) -> str:
    """Return whether threads, writing over state or repetition changes the bits of an output."""
    owned = [n in run.states for n in range(len(arrays))]
    ways: dict[str, Callable[[], list[np.ndarray]]] = {
        "a second run": lambda: _run(run, [x.copy() for x in arrays], (), 1, 0xFF),
        "other rubbish in the arena": lambda: _run(run, [x.copy() for x in arrays], (), 1, 0x7B),
        "a second thread": lambda: _run(run, [x.copy() for x in arrays], (), 2, 0xFF),
        "state written over": lambda: _run(run, [x.copy() for x in arrays], owned, 1, 0xFF),
    }
    found = [name for name, call in ways.items() if not all(map(_equal_bits, call(), one))]
    return f"native: the bits of output {number} depend on: {', '.join(found) or 'chance'}"
