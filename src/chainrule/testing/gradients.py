"""What the gradient rules of a primitive must satisfy: central differences, forward against reverse, chosen edges.

- first and second order against central differences in float64, along random directions;
- <jvp(t), c> = <t, vjp(c)> for random tangents t and covectors c, with each input moving alone and all together;
- at every edge the stated gradient, eagerly and traced;
- the gradient traced by `cr.jit`, run by references, has the bits of the eager one.

Each function checks one sample and raises if something is wrong; `primitives.py` lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.autodiff.backward import gradients
from chainrule.autodiff.forward import block, primitive_jvp
from chainrule.autodiff.numerical import check_gradients
from chainrule.compiler import jit
from chainrule.compiler.native import references
from chainrule.core.context import enable_grad
from chainrule.core.dtypes import float64
from chainrule.core.primitive import Edge, Primitive, Sample, TensorType
from chainrule.core.tensor import Tensor
from chainrule.testing._values import apply
from chainrule.testing.compare import TOLERANCES, assert_close, assert_equal
from chainrule.testing.samples import differentiable, sample_tensors, seed_of

__all__ = ["check_edge", "check_forward", "check_gradient", "check_rules", "check_traced_gradient", "pull"]


def check_rules(primitive: Primitive, item: Sample, number: int) -> None:
    """Require a gradient rule for every float input that reaches a float output, and a forward rule beside it.

    An input without a gradient is declared with an explicit None, `vjp=(None, ...)`.

    Args:
        primitive: what is checked.
        item: a sample of it.
        number: position of the sample.

    Raises:
        AssertionError: a rule is missing; the message says where to write it.

    Example:
        >>> from chainrule.core.primitive import PRIMITIVES
        >>> check_rules(PRIMITIVES["exp"], PRIMITIVES["exp"].samples[0], 0)
    """
    inputs = sample_tensors(primitive, item, number)
    moving = [i for i, x in enumerate(inputs) if x.dtype.is_float]
    if not moving or not any(out.dtype.is_float for out in apply(primitive, inputs, item.attributes)):
        return
    where = block(primitive)
    if not primitive.rules:
        raise AssertionError(
            f"{primitive.name} has no gradient for input {moving[0]}; "
            f"add derivative=, transpose= or vjp= to its block in {where}."
        )
    if not primitive.variadic and len(primitive.rules) != len(primitive.inputs):
        raise AssertionError(
            f"{primitive.name} has {len(primitive.inputs)} inputs and {len(primitive.rules)} gradient rules; "
            f"write one per input, None for those without a gradient, in {where}."
        )
    if differentiable(primitive, inputs) and not (primitive.derivatives or primitive.linear or primitive.pushforward):
        raise AssertionError(f"{primitive.name} has no forward rule; add jvp= or linear= to its block in {where}.")


def check_gradient(primitive: Primitive, item: Sample, number: int, order: int = 2) -> None:
    """Compare the gradient of a primitive with central differences at a sample, up to `order`, in float64.

    Args:
        primitive: what is checked.
        item: a smooth sample of it.
        number: position of the sample, which seeds its random numbers.
        order: 1 checks the gradient, 2 also the gradient of the gradient; default 2.

    Raises:
        GradientError: a gradient differs; the message holds the order and both numbers.

    Example:
        >>> from chainrule.core.primitive import PRIMITIVES
        >>> check_gradient(PRIMITIVES["exp"], PRIMITIVES["exp"].samples[1], 1)
    """
    inputs = sample_tensors(primitive, item, number)
    moving = differentiable(primitive, inputs)
    if moving:
        function = _of_moving(primitive, inputs, moving, item.attributes)
        check_gradients(function, *(inputs[i] for i in moving), order=order, seed=seed_of(primitive, number))


def check_forward(primitive: Primitive, item: Sample, number: int) -> None:
    """Compare the forward rule of a primitive with its reverse rule: <jvp(t), c> = <t, vjp(c)>.

    Args:
        primitive: what is checked.
        item: a sample of it.
        number: position of the sample, which seeds its random numbers.

    Raises:
        AssertionError: the two numbers differ, or a tangent has another shape or dtype than its output.

    Example:
        >>> from chainrule.core.primitive import PRIMITIVES
        >>> check_forward(PRIMITIVES["multiply"], PRIMITIVES["multiply"].samples[1], 1)
    """
    inputs = sample_tensors(primitive, item, number)
    moving = differentiable(primitive, inputs)
    if not moving:
        return
    rng = np.random.default_rng(seed_of(primitive, number))
    tangents = {i: Tensor(np.asarray(rng.standard_normal(inputs[i].shape))) for i in moving}
    outputs = [out for out in apply(primitive, inputs, item.attributes) if out.dtype.is_float]
    covectors = [Tensor(np.asarray(rng.standard_normal(out.shape)).astype(out.dtype.numpy)) for out in outputs]
    pulled = pull(primitive, inputs, moving, item.attributes, covectors)
    for group in [*([i] for i in moving), moving] if len(moving) > 1 else [moving]:
        chosen = [tangents[i] if i in group else None for i in range(len(inputs))]
        pushed = _push(primitive, inputs, chosen, item.attributes)
        left = [_wide(t) * _wide(c) for t, c in zip(pushed, covectors, strict=True)]
        right = [_wide(tangents[i]) * _wide(g) for i, g in zip(moving, pulled, strict=True) if i in group]
        what = f"<jvp(t), c> against <t, vjp(c)> with input {', '.join(map(str, group))} moving"
        _agree(left, right, _relative(outputs), what)


def check_edge(primitive: Primitive, item: Edge) -> None:
    """Compare the gradient of the sum of the output with the one chosen at an edge, eagerly and traced.

    Args:
        primitive: what is checked.
        item: an edge of it.

    Raises:
        AssertionError: a gradient is another than the chosen one.

    Example:
        >>> from chainrule.core.primitive import PRIMITIVES
        >>> for edge in PRIMITIVES["abs"].edges:
        ...     check_edge(PRIMITIVES["abs"], edge)
    """
    inputs = sample_tensors(primitive, item)
    moving = differentiable(primitive, inputs)
    if len(item.gradients) != len(inputs):
        raise AssertionError(
            f"the edge states {len(item.gradients)} gradients for {len(inputs)} inputs; write one per input, or None."
        )

    def pulled(*xs: Tensor) -> tuple[Tensor, ...]:
        full = list(inputs)
        for i, x in zip(moving, xs, strict=True):
            full[i] = x
        return tuple(pull(primitive, full, moving, item.attributes, None))

    points = [inputs[i] for i in moving]
    with references():
        traced = jit(pulled)(*points)
    for how, found in (("eager", pulled(*points)), ("traced", traced)):
        given = dict(zip(moving, found, strict=True))
        for position, want in enumerate(item.gradients):
            if want is None:
                continue
            if position not in given:
                raise AssertionError(f"input {position} has no gradient; the edge states {want}.")
            expected = np.broadcast_to(np.asarray(want, np.float64), inputs[position].shape)
            reason = f" ({item.why})" if item.why else ""
            assert_close(given[position], expected, what=f"{how} gradient of input {position}{reason}")


def check_traced_gradient(primitive: Primitive, item: Sample, number: int) -> None:
    """Require the bits of the eager gradient from the gradient that `cr.jit` traces.

    Args:
        primitive: what is checked.
        item: a sample of it.
        number: position of the sample, which seeds its random numbers.

    Raises:
        AssertionError: an element differs.

    Example:
        >>> from chainrule.core.primitive import PRIMITIVES
        >>> check_traced_gradient(PRIMITIVES["exp"], PRIMITIVES["exp"].samples[1], 1)
    """
    inputs = sample_tensors(primitive, item, number)
    moving = differentiable(primitive, inputs)
    if not moving:
        return
    rng = np.random.default_rng(seed_of(primitive, number))
    outputs = [out for out in apply(primitive, inputs, item.attributes) if out.dtype.is_float]
    covectors = [Tensor(np.asarray(rng.standard_normal(out.shape)).astype(out.dtype.numpy)) for out in outputs]

    def pulled(*arguments: Tensor) -> tuple[Tensor, ...]:
        full = list(arguments[: len(inputs)])
        return tuple(pull(primitive, full, moving, item.attributes, list(arguments[len(inputs) :])))

    want = pulled(*inputs, *covectors)
    with references():
        traced = jit(pulled)(*inputs, *covectors)
    for position, got, expected in zip(moving, traced, want, strict=True):
        assert_equal(got, expected, f"gradient of input {position}")


def _of_moving(primitive: Primitive, inputs: list[Tensor], moving: list[int], attributes: dict[str, Any]) -> Callable:
    """Return the primitive as a function of its differentiable inputs that returns its float outputs."""

    def function(*xs: Tensor) -> tuple[Tensor, ...]:
        full = list(inputs)
        for i, x in zip(moving, xs, strict=True):
            full[i] = x
        return tuple(out for out in apply(primitive, full, attributes) if out.dtype.is_float)

    return function


def pull(
    primitive: Primitive, inputs: list[Tensor], moving: list[int], attributes: dict[str, Any], covectors: list | None
) -> list[Tensor]:
    """Return the gradients of the moving inputs; without covectors those of the sum of the outputs."""
    with enable_grad():
        aliases = [inputs[i].detach().requires_grad_() for i in moving]
        outputs = _of_moving(primitive, inputs, moving, attributes)(*aliases)
        if covectors is None:
            covectors = [Tensor(np.ones(out.shape, out.dtype.numpy)) for out in outputs]
        live = [(out, c) for out, c in zip(outputs, covectors, strict=True) if out.requires_grad]
        found: list[Tensor | None] = [None] * len(aliases)
        if live and aliases:
            found = gradients([out for out, _ in live], aliases, [c for _, c in live])
    return [alias.detach() * 0 if g is None else g for g, alias in zip(found, aliases, strict=True)]


def _push(primitive: Primitive, inputs: list[Tensor], tangents: list, attributes: dict[str, Any]) -> list[Tensor]:
    """Return the tangents of the float outputs, after checking their types; zeros where an output does not move."""
    output, found = primitive_jvp(primitive, inputs, tangents, attributes)
    pairs = zip(output, found, strict=True) if primitive.multiple else [(output, found)]
    pushed = []
    for position, (out, t) in enumerate((out, t) for out, t in pairs if out.dtype.is_float):
        t = Tensor(np.zeros(out.shape, out.dtype.numpy)) if t is None else t
        if t.shape != out.shape or t.dtype is not out.dtype:
            made, stated = TensorType(t.shape, t.dtype), TensorType(out.shape, out.dtype)
            raise AssertionError(f"the tangent of output {position} is {made}, the output {stated}.")
        pushed.append(t)
    return pushed


def _wide(x: Tensor) -> np.ndarray:
    return x.numpy().astype(np.float64)


def _relative(outputs: list[Tensor]) -> float:
    """Return the allowed difference relative to the sum of magnitudes: low precision rounds tangents."""
    return max((TOLERANCES[out.dtype.name].rtol for out in outputs if out.dtype is not float64), default=1e-11)


def _agree(left: list[np.ndarray], right: list[np.ndarray], rtol: float, what: str) -> None:
    """Compare two sums, relative to their largest terms; at a singular point both must be infinite or NaN."""
    with np.errstate(all="ignore"):
        sums = [float(sum(part.sum() for part in parts)) for parts in (left, right)]
        scale = sum(float(np.abs(part).sum()) for part in (*left, *right))
    if np.isfinite(scale):
        assert_close(sums[0], sums[1], rtol=1e-10, atol=rtol * scale, what=what)
    elif np.isfinite(sums).any():
        raise AssertionError(f"{what}: one of the two is finite and the other is not: {sums[0]} and {sums[1]}.")
