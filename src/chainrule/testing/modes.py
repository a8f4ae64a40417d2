"""What both modes of differentiation must say at an edge, where central differences can say nothing.

- forward mode: the directional derivative is the chosen gradient times the direction;
- second order: differentiating the gradient along a direction, and the directional derivative, gives one and the same
  number or gradient whichever mode is used: H t by forward over reverse, t' H by reverse over both.
At a pole all of them may be infinite or NaN together.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chainrule.autodiff.jvp import jvp
from chainrule.autodiff.transforms import grad
from chainrule.core.errors import LinAlgError
from chainrule.core.primitive import Edge, Primitive
from chainrule.core.tensor import Tensor
from chainrule.testing._values import apply
from chainrule.testing.compare import assert_close
from chainrule.testing.samples import differentiable, sample_tensors, seed_of

__all__ = ["check_edge_modes"]


def check_edge_modes(primitive: Primitive, item: Edge, number: int) -> None:
    """Compare forward mode with the chosen gradient at an edge, and second derivatives over all pairs of modes.

    Args:
        primitive: what is checked.
        item: an edge of it.
        number: position of the edge, which seeds the direction.

    Raises:
        AssertionError: two derivatives differ.

    Example:
        >>> from chainrule.core.primitive import PRIMITIVES
        >>> check_edge_modes(PRIMITIVES["abs"], PRIMITIVES["abs"].edges[0], 0)
    """
    inputs = sample_tensors(primitive, item)
    moving = differentiable(primitive, inputs)
    if not moving:
        return
    rng = np.random.default_rng(seed_of(primitive, number))
    points = tuple(inputs[i] for i in moving)
    directions = tuple(Tensor(np.asarray(rng.uniform(0.5, 2.0, x.shape))) for x in points)
    function = _summed(primitive, item, inputs, moving)
    chosen = [item.gradients[i] for i in moving]
    if all(g is not None for g in chosen):
        want = sum(float((np.asarray(g) * t.numpy()).sum()) for g, t in zip(chosen, directions, strict=True))
        assert_close(jvp(function, points, directions)[1], want, what="the directional derivative")
    try:
        _second_order(function, points, directions)
    except LinAlgError:
        return  # the second derivative has no value, and says so


def _second_order(function: Callable[..., Tensor], points: tuple, directions: tuple) -> None:
    everything = tuple(range(len(points)))
    gradient = grad(function, everything)

    def along(*xs: Tensor) -> Tensor:
        return jvp(function, xs, directions)[1]

    def times(*xs: Tensor) -> Tensor:
        return _dot(gradient(*xs), directions)

    pushed = jvp(gradient, points, directions)[1]
    over_forward, over_reverse = grad(along, everything)(*points), grad(times, everything)(*points)
    for position, (a, b) in enumerate(zip(over_forward, over_reverse, strict=True)):
        assert_close(a, b, 1e-9, what=f"reverse over forward against reverse over reverse, input {position}")
    twice = jvp(along, points, directions)[1]
    assert_close(twice, _dot(pushed, directions), 1e-9, what="forward over forward against forward over reverse")


def _dot(gradients: tuple, directions: tuple) -> Tensor:
    parts = [(g * t).sum() for g, t in zip(gradients, directions, strict=True)]
    return sum(parts[1:], start=parts[0])


def _summed(primitive: Primitive, item: Edge, inputs: list[Tensor], moving: list[int]) -> Callable[..., Tensor]:
    """Return the sum of the float outputs as a function of the inputs that have gradients."""

    def function(*xs: Tensor) -> Tensor:
        full = list(inputs)
        for i, x in zip(moving, xs, strict=True):
            full[i] = x
        parts = [out.sum() for out in apply(primitive, full, item.attributes) if out.dtype.is_float]
        return sum(parts[1:], start=parts[0])

    return function
