"""Native code against references: each primitive on all its samples, in every dtype it takes, and its gradients too.

A kernel costs tens of milliseconds to compile, so all cases of a primitive stand in one graph, which is compiled once
and run on several memory layouts; `full` compiles each case on its own too. Elementwise primitives meet further shapes,
around the widths of vectors; those of the others are in `_wide.py`. Results agree within `ULPS` units in the last
place; without an entry they are equal. Numbers below the smallest normal one count as 0.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from chainrule.compiler.executor import ReferenceExecutor
from chainrule.compiler.passes import simplify
from chainrule.compiler.program import NativeExecutor
from chainrule.compiler.trace import trace
from chainrule.core import tree
from chainrule.core.context import enable_grad
from chainrule.core.dtypes import bfloat16, dtype_of, float32, float64
from chainrule.core.errors import DTypeError
from chainrule.core.graph import Equation, Graph, Variable, check
from chainrule.core.primitive import Primitive, Sample, TensorType, sample_arrays
from chainrule.core.tensor import Tensor
from chainrule.testing._wide import WIDE
from chainrule.testing.compare import TOLERANCES, assert_close, assert_equal
from chainrule.testing.gradients import pull
from chainrule.testing.samples import differentiable, scattered, seed_of

__all__ = ["ULPS", "Case", "check_compiled", "check_compiled_gradients", "compiled_cases"]

FLOATS = (float32, bfloat16, float64)
LAYOUTS = ("C", "F", "strided")
SHAPES = ((17,), (2, 33), (63, 1), (1, 17), (1, 1), (4, 0))  # around the widths of vectors; broadcast in pairs


@dataclass(frozen=True)
class Case:
    """One application of a primitive.

    Args:
        inputs: arrays.
        attributes: keyword attributes.

    Example:
        >>> print(Case((np.zeros((2, 3)),), {"axis": 0}))
        f64[2,3], axis=0
    """

    inputs: tuple[np.ndarray, ...]
    attributes: dict[str, Any]

    def __str__(self) -> str:
        words = [str(TensorType(x.shape, dtype_of(x.dtype))) for x in self.inputs]
        return ", ".join([*words, *(f"{k}={v}" for k, v in self.attributes.items())])


# ---------------------------------------------------------------------------------------------------- tolerances
_FUNCTIONS = (
    "acos acosh asin asinh atan atan2 atanh cos cosh erf erfc exp expm1 hypot log log10 log1p log2 ndtr pow rsqrt "
    "sigmoid sin sinh softplus tan tanh"
)
_PRODUCTS = ("entr", "xlog1py", "xlogy")  # a logarithm and a product
ULPS: dict[str, float] = {**dict.fromkeys(_FUNCTIONS.split(), 4.0), **dict.fromkeys(_PRODUCTS, 5.0)}
"""Units in the last place of the reference's result by which native code may differ; bfloat16: at most one.

NumPy's float32 functions are off by up to 4 of them themselves.
"""

# Sums of many numbers, in another order, and logarithms near 1: compared with `TOLERANCES`.
_SUMS = "sum prod matmul convolution convolution_input_gradient convolution_weight_gradient window_sum window_spread"
_NEAR = frozenset([*_SUMS.split(), "overlap_add", "logaddexp", "logit"])


def _compare(name: str, got: np.ndarray, want: np.ndarray, what: str, terms: float = 1.0) -> None:
    if got.dtype != want.dtype or got.shape != want.shape:
        raise AssertionError(f"{what}: got {got.dtype}{got.shape}, expected {want.dtype}{want.shape}.")
    if name in _NEAR and dtype_of(got.dtype).is_float:
        atol = TOLERANCES[got.dtype.name].atol * max(1.0, 4.0 * terms) ** 0.5  # operations of numbers up to 4
        assert_close(got, want, atol=atol, what=what)
        return
    got, want = _flushed(got), _flushed(want)
    allowed = ULPS.get(name, 0.0)
    if not allowed or not dtype_of(got.dtype).is_float:
        assert_equal(got, want, what)
        return
    if got.dtype == bfloat16.numpy:
        allowed = 1.0
    wide_got, wide_want = got.astype(np.float64), want.astype(np.float64)
    with np.errstate(all="ignore"):
        spacing = np.spacing(np.abs(want)).astype(np.float64)
        off = np.abs(wide_got - wide_want) / spacing
    good = (off <= allowed) | (wide_got == wide_want) | (np.isnan(wide_got) & np.isnan(wide_want))
    if not good.all():
        worst = np.unravel_index(np.argmax(np.where(good, -1.0, np.nan_to_num(off, nan=np.inf))), off.shape)
        raise AssertionError(
            f"{what}: at {tuple(map(int, worst))} got {got[worst]}, expected {want[worst]}: {off[worst]:.1f} units in "
            f"the last place, allowed {allowed:g}."
        )


# ---------------------------------------------------------------------------------------------------- cases
def compiled_cases(primitive: Primitive, full: bool = False) -> list[Case]:
    """Return what a primitive is compiled for: its samples and edges, and wider shapes, in every float dtype.

    Args:
        primitive: a registered primitive.
        full: all wider shapes in all dtypes; default False, a choice.

    Returns:
        The cases that the primitive takes.
    """
    found: list[Case] = []
    items = [*primitive.samples, *(Sample(e.inputs, e.attributes, smooth=False) for e in primitive.edges)]
    for number, item in enumerate([*items, *_wider(primitive, full)]):
        dtypes = FLOATS if _has_floats(item) else FLOATS[:1]
        for dtype in dtypes:
            rng = np.random.default_rng(seed_of(primitive, number))
            with np.errstate(over="ignore"):
                case = Case(tuple(map(_flushed, sample_arrays(item, rng, dtype))), item.attributes)
            if _takes(primitive, case):
                found.append(case)
    return found


def _flushed(x: np.ndarray) -> np.ndarray:
    """Return an array with what is below the smallest normal number as 0, as native code counts it."""
    if not dtype_of(x.dtype).is_float:
        return x
    with np.errstate(all="ignore"):
        return np.where(np.abs(x) < ml_dtypes.finfo(x.dtype).smallest_normal, np.copysign(x.dtype.type(0), x), x)


def _has_floats(item: Sample) -> bool:
    return any(isinstance(spec, tuple) or np.asarray(spec).dtype.kind == "f" for spec in item.inputs)


def _types(case: Case) -> list[TensorType]:
    return [TensorType(x.shape, dtype_of(x.dtype)) for x in case.inputs]


def _takes(primitive: Primitive, case: Case) -> bool:
    try:
        primitive.infer(_types(case), case.attributes)
    except DTypeError:
        return False
    return not any(dtype_of(x.dtype).is_complex for x in case.inputs)


def _wider(primitive: Primitive, full: bool) -> Iterator[Sample]:
    """Yield samples of more shapes: of an elementwise primitive like its own, of the others those of `WIDE`."""
    yield from WIDE.get(primitive.name, ())
    if not primitive.elementwise or not primitive.samples:
        return
    seen: set[tuple] = set()
    rng = np.random.default_rng(seed_of(primitive, 1000))
    for item in primitive.samples:
        key = tuple("float" if isinstance(s, tuple) else np.asarray(s).dtype.name for s in item.inputs)
        key += tuple(str(v) for v in item.attributes.values())
        if key in seen or not all(isinstance(s, tuple) or np.asarray(s).size for s in item.inputs):
            continue
        seen.add(key)
        choice = SHAPES if full or "float" in key else SHAPES[1:2]
        for n, shape in enumerate(choice):
            shapes = [shape, *(SHAPES[2] if m % 2 else shape for m in range(1, len(item.inputs)))] if n == 3 else None
            specs = zip(item.inputs, shapes or [shape] * len(item.inputs), strict=True)
            yield Sample(tuple(_resized(spec, to, rng) for spec, to in specs), item.attributes, item.smooth)


def _resized(spec: Any, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    if isinstance(spec, tuple):
        return (shape, *spec[1:]) if spec and isinstance(spec[0], tuple) else shape
    values = np.asarray(spec).reshape(-1)
    return rng.choice(values, shape).astype(values.dtype)


# ---------------------------------------------------------------------------------------------------- graphs
def graph_of(primitive: Primitive, cases: Sequence[Case]) -> Graph:
    """Return a graph with one equation per case.

    Args:
        primitive: a registered primitive.
        cases: what it is applied to.
    """
    inputs: list[Variable] = []
    equations: list[Equation] = []
    for case in cases:
        own = tuple(Variable(TensorType(x.shape, dtype_of(x.dtype))) for x in case.inputs)
        types = primitive.infer([v.type for v in own], case.attributes)
        outputs = tuple(map(Variable, types))
        inputs += own
        equations.append(Equation(primitive, own, case.attributes, outputs))
    outputs = tuple(v for e in equations for v in e.outputs)
    return check(Graph(primitive.name, tuple(inputs), tuple(equations), outputs))


def check_compiled(primitive: Primitive, full: bool = False) -> int:
    """Compile a primitive for all its cases, and compare native results with the reference's, on three layouts.

    Args:
        primitive: a registered primitive.
        full: compile each case on its own too, and see `compiled_cases`; default False.

    Returns:
        The number of cases.

    Raises:
        AssertionError: a result differs by more than is allowed.

    Example:
        >>> from chainrule.core.primitive import PRIMITIVES
        >>> check_compiled(PRIMITIVES["flip"]) > 10
        True
    """
    cases = compiled_cases(primitive, full)
    for group in _groups(cases, full):
        graph = graph_of(primitive, group)
        native = NativeExecutor(graph)
        arrays = [x for case in group for x in case.inputs]
        want = ReferenceExecutor(graph)(arrays)
        owners = [case for case, e in zip(group, graph.equations, strict=True) for _ in e.outputs]
        for layout in LAYOUTS:
            got = native([scattered(x, layout) for x in arrays])
            for case, a, b in zip(owners, got, want, strict=True):
                terms = primitive.flops(*_types(case), **case.attributes) / max(b.size, 1)
                _compare(primitive.name, a, b, f"{primitive.name}({case}), {layout}", terms)
    return len(cases)


def _groups(cases: list[Case], full: bool) -> list[list[Case]]:
    return [cases, *([case] for case in cases if full)] if cases else []


def check_compiled_gradients(primitive: Primitive, full: bool = False) -> int:
    """Compile the gradients of a primitive for all its cases, and compare them with the references'.

    Args:
        primitive: a registered primitive.
        full: compile each case on its own too, and see `compiled_cases`; default False.

    Returns:
        The number of cases.

    Raises:
        AssertionError: a gradient differs by more than `TOLERANCES`.

    Example:
        >>> from chainrule.core.primitive import PRIMITIVES
        >>> check_compiled_gradients(PRIMITIVES["flip"]) > 10
        True
    """
    cases = [c for c in compiled_cases(primitive, full) if _moving(primitive, c)]
    for group in _groups(cases, full):
        rng = np.random.default_rng(seed_of(primitive, 2000))
        arguments: list[Tensor] = []
        for case in group:
            types = primitive.infer(_types(case), case.attributes)
            seeds = [np.asarray(rng.standard_normal(t.shape)).astype(t.dtype.numpy) for t in types if t.dtype.is_float]
            arguments += [Tensor(x) for x in (*case.inputs, *seeds)]
        graph, order = _traced(functools.partial(_pulled, primitive, group), arguments)
        arrays = [arguments[i].numpy() for i in order]
        want, got = ReferenceExecutor(graph)(arrays), NativeExecutor(simplify(graph))(arrays)
        owners = [case for case in group for _ in _moving(primitive, case)]
        for case, a, b in zip(owners, got, want, strict=True):
            atol = TOLERANCES[dtype_of(b.dtype).name].atol * _scale(b)
            assert_close(_flushed(a), _flushed(b), atol=atol, what=f"gradient of {primitive.name}({case})")
    return len(cases)


def _scale(x: np.ndarray) -> float:
    """Return the largest finite size in an array, at least 1."""
    sizes = np.abs(x.astype(np.float64))
    return max(1.0, float(np.max(sizes, initial=0.0, where=np.isfinite(sizes))))


def _moving(primitive: Primitive, case: Case) -> list[int]:
    types = primitive.infer(_types(case), case.attributes)
    if not any(t.dtype.is_float for t in types):
        return []
    return differentiable(primitive, [Tensor(x) for x in case.inputs])


def _pulled(primitive: Primitive, cases: Sequence[Case], *arguments: Tensor) -> list[Tensor]:
    """Return the gradients of all cases, one after the other."""
    rest = iter(arguments)
    found: list[Tensor] = []
    for case in cases:
        inputs = [next(rest) for _ in case.inputs]
        types = primitive.infer(_types(case), case.attributes)
        seeds = [next(rest) for t in types if t.dtype.is_float]
        found += pull(primitive, inputs, _moving(primitive, case), case.attributes, seeds)
    return found


def _traced(function: Any, arguments: list[Tensor]) -> tuple[Graph, list[int]]:
    """Return the graph of a function, and which argument each of its inputs is."""
    leaves, structure = tree.flatten((tuple(arguments), {}))
    with enable_grad():
        variant = trace(function, "gradients", (), leaves, structure, False)
    assert all(kind == "cell" and isinstance(owner, int) for kind, owner in variant.sources)
    return variant.graph, [owner for _, owner in variant.sources]
