"""How the elementwise families declare a primitive: one line for what is special, everything shared filled in.

From the number of domains and the kinds of dtype a primitive takes follow its shape rule, its samples (the shape grid
in floats, integers, bool) and what it must refuse (other kinds, shapes that do not broadcast, two dtypes).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.core.dtypes import DType
from chainrule.core.primitive import Invalid, Primitive, Sample, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import cast
from chainrule.ops._rules import FIX, KINDS, elementwise_flops, elementwise_shape, grid, integers

__all__ = ["ANY", "POSITIVE", "elementwise", "indicator", "zero"]

ANY, POSITIVE = (-2.0, 2.0), (0.3, 3.0)  # domains that several primitives share
Domain = tuple[float, float]

# kind -> a dtype that it takes, one that it refuses, another that it takes but not beside the first
_EXAMPLES: dict[str, tuple[str, str | None, str | None]] = {
    "float": ("float64", "int64", None),
    "float or complex": ("float64", "int64", None),
    "numeric": ("float64", "bool", "int64"),
    "numeric or complex": ("float64", "bool", "int64"),
    "integer": ("int64", "float64", "int32"),
    "integer or bool": ("int64", "float64", "bool"),
    "bool": ("bool", "int64", None),
    "any": ("float64", None, "int64"),
}


def zero() -> float:
    """Local derivative of a function that is constant between its jumps."""
    return 0.0


def indicator(condition: Tensor, like: Tensor) -> Tensor:
    """Return 1 where `condition` holds and 0 elsewhere, in the dtype of `like`."""
    return cast(condition, like.dtype)


def elementwise(
    name: str,
    reference: Callable,
    *domains: Domain,
    kind: str = "float",
    result: DType | Callable[[DType], DType] | None = None,
    flops: int = 1,
    ints: tuple[int, int] = (-5, 6),
    smooth: bool = True,
    samples: Sequence[Sample] = (),
    **options: Any,
) -> Primitive:
    """Declare an elementwise primitive.

    Args:
        name: unique name.
        reference: NumPy meaning.
        domains: per input a range of floats in which it is smooth.
        kind: which dtypes it takes: a key of `KINDS`; default "float".
        result: dtype of the output, or a function that gives it from that of the inputs; default that of the inputs.
        flops: floating-point operations per element; a function like exp or sin counts as 1.
        ints: range of the integer samples.
        smooth: whether gradients may be compared with central differences on the float samples.
        samples: further samples.
        options: derivative or linear + transpose, edges, source, as in `primitive`.

    Returns:
        The registered primitive.
    """
    return primitive(
        name,
        reference=reference,
        shape=elementwise_shape(name, kind, result),
        elementwise=True,
        flops=elementwise_flops(flops),
        samples=[*_samples(KINDS[kind][0], domains, ints, smooth and not isinstance(result, DType)), *samples],
        invalid=_invalid(name, kind, len(domains)),
        **options,
    )


def _samples(kinds: Sequence[str], domains: Sequence[Domain], ints: tuple[int, int], smooth: bool) -> list[Sample]:
    """Return the shape grid in every kind of dtype."""
    count, found = len(domains), []
    if "float" in kinds:
        found += grid(*domains, smooth=smooth)
    if "int" in kinds:
        found += integers(count, *ints)
        found += [integers(count, max(ints[0], 0), ints[1], dtype)[2] for dtype in ("uint8", "int32")]
    if "bool" in kinds:
        found += integers(count, 0, 2, "bool")
    return found


def _invalid(name: str, kind: str, count: int) -> list[Invalid]:
    """Return what an elementwise primitive with `count` inputs refuses, with the messages."""
    takes, refuses, other = _EXAMPLES[kind]
    found = []
    if refuses:
        message = f"{name} needs {KINDS[kind][1]}; got {refuses}{FIX[kind]}."
        found.append(Invalid((np.ones(2, refuses),) * count, message))
    if count == 2:
        message = (
            f"{name}: the shapes (2, 3) and (4,) do not broadcast; at axis -1 the sizes 3 and 4 differ and neither is "
            "1. Reshape one of them, or add an axis with x[:, None]."
        )
        found.append(Invalid((np.ones((2, 3), takes), np.ones(4, takes)), message))
        if other:
            message = f"{name}: the dtypes {takes} and {other} differ; convert one with .astype."
            found.append(Invalid((np.ones(2, takes), np.ones(2, other)), message))
    return found
