"""The suite that every primitive passes, built-in or written by a user: which checks there are, and running them.

For each primitive: its samples are complete; native code gives the reference's values and gradients; for each sample
the FLOP count, shape rule against reference in every float dtype, other memory layouts, low precision against float64,
eager against traced, vmap against a loop, NaN, gradients to second order against central differences, forward against
reverse; each edge has its gradient in both modes, each invalid input its message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from chainrule.autodiff.forward import block
from chainrule.compiler import control as _control  # noqa: F401 - its primitives are checked too
from chainrule.core.primitive import Primitive, Sample
from chainrule.testing import _values as values
from chainrule.testing import batched, compiled, gradients, modes
from chainrule.testing.complex_numbers import check_complex, takes_complex
from chainrule.testing.samples import sample_tensors

__all__ = ["KINDS", "Check", "Tally", "check_primitive", "primitive_checks", "run_checks"]

KINDS: dict[str, str] = {
    "declaration": "samples exist, one of size 0 among them; FLOPs are counted; no gradient rule is missing",
    "types": "the shape rule states the reference's shapes and dtypes; inputs are left alone",
    "layout": "buffers in columns or with gaps give the same values",
    "precision": "float32 and bfloat16 agree with float64",
    "traced": "a trace run by references gives the eager bits",
    "nan": "NaN propagates",
    "gradient": "first and second order against central differences, in both modes",
    "forward": "<jvp(t), c> = <t, vjp(c)>",
    "traced gradient": "a trace run by references gives the bits of the eager gradient",
    "compiled": "native code gives the reference's values, on three memory layouts",
    "compiled gradient": "native code gives the references' gradients",
    "complex": "the same with complex numbers, as functions of their parts",
    "batched": "vmap gives what a loop gives, whichever inputs are batched",
    "edge": "the chosen gradient at kinks, ties and singular points",
    "modes": "at edges forward mode gives the chosen gradient, and second derivatives agree over all pairs of modes",
    "invalid": "what is refused, with the whole message",
}


@dataclass(frozen=True)
class Check:
    """One thing to check about a primitive.

    Args:
        primitive: what is checked.
        kind: a key of `KINDS`.
        place: which sample, edge or invalid input, in words.
        run: does the check; raises if it fails.

    Example:
        >>> from chainrule.core.primitive import PRIMITIVES
        >>> from chainrule.testing import primitive_checks
        >>> print(next(primitive_checks(PRIMITIVES["exp"])))
        exp: declaration, samples
    """

    primitive: Primitive
    kind: str
    place: str
    run: Callable[[], object]

    def __str__(self) -> str:
        return f"{self.primitive.name}: {self.kind}, {self.place}"


@dataclass
class Tally:
    """How many checks ran and which failed.

    Attributes:
        primitives: number of primitives.
        samples: number of samples.
        edges: number of edges.
        invalid: number of invalid inputs.
        run: kind -> number of checks run.
        failures: (check, message) of each check that failed.

    Example:
        >>> from chainrule.core.primitive import PRIMITIVES
        >>> from chainrule.testing import run_checks
        >>> run_checks([PRIMITIVES["exp"]]).samples
        5
    """

    primitives: int = 0
    samples: int = 0
    edges: int = 0
    invalid: int = 0
    run: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    failures: list[tuple[Check, str]] = field(default_factory=list)


def primitive_checks(primitive: Primitive, full: bool = False) -> Iterator[Check]:
    """Yield every check of the suite for one primitive.

    Args:
        primitive: a registered primitive with samples.
        full: compile each sample on its own, in more shapes; default False, all samples at once.

    Yields:
        Checks, to be run with `check.run()`.

    Example:
        >>> from chainrule.core.primitive import PRIMITIVES
        >>> sorted({check.kind for check in primitive_checks(PRIMITIVES["equal"])})
        ['batched', 'compiled', 'complex', 'declaration', 'invalid', 'layout', 'traced', 'types']
    """
    yield Check(primitive, "declaration", "samples", partial(values.check_samples_exist, primitive, block(primitive)))
    if primitive.lower is not None:
        yield Check(primitive, "compiled", "all samples", partial(compiled.check_compiled, primitive, full))
        if primitive.rules:
            run = partial(compiled.check_compiled_gradients, primitive, full)
            yield Check(primitive, "compiled gradient", "all samples", run)
    for number, item in enumerate(primitive.samples):
        yield from _sample_checks(primitive, item, number)
    for number, edge in enumerate(primitive.edges):
        place = f"edge {number} at {edge.inputs}"
        yield Check(primitive, "edge", place, partial(gradients.check_edge, primitive, edge))
        yield Check(primitive, "modes", place, partial(modes.check_edge_modes, primitive, edge, number))
    for number, invalid in enumerate(primitive.invalid):
        yield Check(primitive, "invalid", f"invalid {number}", partial(values.check_invalid, primitive, invalid))


def _sample_checks(primitive: Primitive, item: Sample, number: int) -> Iterator[Check]:
    inputs = sample_tensors(primitive, item, number)
    words = ", ".join([*map(str, values.types_of(inputs)), *(f"{k}={v}" for k, v in item.attributes.items())])
    place = f"sample {number} ({words})"

    def check(kind: str, function: Callable[..., None], *extra: object, suffix: str = "") -> Check:
        return Check(primitive, kind, place + suffix, partial(function, primitive, item, number, *extra))

    floats = values.has_floats(item)
    yield check("declaration", values.check_flops)
    yield check("declaration", gradients.check_rules)
    taken = [d for d in values.FLOATS if values.takes(primitive, item, number, d)] if floats else [values.FLOATS[0]]
    for dtype in taken:
        suffix = f" in {dtype.name}" if floats else ""
        yield check("types", values.check_types, dtype, suffix=suffix)
        yield check("traced", values.check_traced, dtype, suffix=suffix)
        if dtype is not values.FLOATS[0] and item.smooth:
            yield check("precision", values.check_precision, dtype, suffix=suffix)
    if takes_complex(primitive, item, number):
        yield check("complex", check_complex)
    if item.inputs:
        yield check("batched", batched.check_batched)
    for layout in ("F", "strided"):
        yield check("layout", values.check_layout, layout, suffix=f", {layout}")
    if floats and _gives_floats(primitive, item, number):
        yield check("nan", values.check_nan)
        if primitive.rules:
            if item.smooth:
                yield check("gradient", gradients.check_gradient)
            yield check("forward", gradients.check_forward)
            yield check("traced gradient", gradients.check_traced_gradient)


def _gives_floats(primitive: Primitive, item: Sample, number: int) -> bool:
    types = values.types_of(sample_tensors(primitive, item, number))
    return any(out.dtype.is_float for out in primitive.infer(types, item.attributes))


def run_checks(primitives: Iterable[Primitive], full: bool = False) -> Tally:
    """Run the suite for some primitives and count; a failing check does not stop the others.

    Args:
        primitives: what to check.
        full: compile each sample on its own, in more shapes; default False.

    Returns:
        The counts and the failures.

    Example:
        >>> from chainrule.core.primitive import PRIMITIVES
        >>> run_checks([PRIMITIVES["exp"]]).failures
        []
    """
    tally = Tally()
    for primitive in primitives:
        tally.primitives += 1
        tally.samples += len(primitive.samples)
        tally.edges += len(primitive.edges)
        tally.invalid += len(primitive.invalid)
        for check in primitive_checks(primitive, full):
            tally.run[check.kind] += 1
            message = failure(check)
            if message:
                tally.failures.append((check, message))
    return tally


def failure(check: Check) -> str:
    """Run a check and return what is wrong, or an empty string."""
    try:
        check.run()
    except Exception as error:
        name = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        return f"{check}: {name}{error}"
    return ""


def check_primitive(primitive: Primitive) -> int:
    """Run the whole suite for one primitive: yours is then tested as completely as the built-in ones.

    Args:
        primitive: a registered primitive with samples.

    Returns:
        The number of checks that ran.

    Raises:
        AssertionError: a check fails; the message lists all that do.

    Example:
        >>> import chainrule as cr
        >>> from chainrule.core.primitive import PRIMITIVES, Edge, Sample, primitive
        >>> cube = primitive(
        ...     "cube",
        ...     reference=lambda x: x * x * x,
        ...     shape=lambda x: x,                                  # the output has the type of the input
        ...     derivative=lambda x: 3 * x * x,
        ...     flops=lambda x: 2 * x.size,
        ...     samples=[Sample(((3,),)), Sample(((0, 2),))],
        ...     edges=[Edge((0.0,), (0.0,))],
        ... )
        >>> cr.testing.check_primitive(cube) > 20
        True
        >>> del PRIMITIVES["cube"]                                  # only for this example
    """
    tally = run_checks([primitive])
    if tally.failures:
        listed = "\n".join(message for _, message in tally.failures)
        raise AssertionError(f"{len(tally.failures)} of {sum(tally.run.values())} checks failed:\n{listed}")
    return sum(tally.run.values())
