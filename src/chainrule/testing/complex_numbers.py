"""What a primitive that takes complex numbers must do with them: the suite of real numbers, on the parts.

A function of complex numbers is a function of their real and imaginary parts, so its gradient is checked against
central differences in the parts, and its forward rule with the inner product Re(conj(a) b). The sample's floats are the
real parts; the imaginary ones are drawn from [-0.2, 0.2], near enough that the sample stays what it was chosen to be.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chainrule.autodiff.backward import gradients
from chainrule.autodiff.forward import primitive_jvp
from chainrule.autodiff.numerical import check_gradients
from chainrule.compiler import jit
from chainrule.compiler.native import references
from chainrule.core.context import enable_grad
from chainrule.core.dtypes import complex128
from chainrule.core.errors import PACKAGE, DTypeError
from chainrule.core.primitive import Primitive, Sample
from chainrule.core.tensor import Tensor
from chainrule.ops.complex_parts import complex, imag, real
from chainrule.testing._values import apply, has_floats, types_of
from chainrule.testing.compare import assert_close, assert_equal
from chainrule.testing.samples import sample_tensors, seed_of

__all__ = ["check_complex", "takes_complex"]

# The vectors of a complex factorisation are free to turn by a phase, so they have no difference quotient. Functions of
# them that do not depend on the phase are compared in tests/ops/linalg.
TURNING = frozenset({"eig", "eigh", "svd", "complement"})


def takes_complex(primitive: Primitive, item: Sample, number: int) -> bool:
    """Return whether the sample is checked with complex numbers, or because it gives some.

    A built-in primitive is, wherever it takes them for the sample's floats; one of a user, where a sample has some.
    """
    given = any(not isinstance(spec, tuple) and np.asarray(spec).dtype.kind == "c" for spec in item.inputs)
    if not given and not (has_floats(item) and primitive.reference.__code__.co_filename.startswith(PACKAGE)):
        return False
    inputs = _inputs(primitive, item, number)
    types = [*types_of(inputs), *primitive.infer(types_of(inputs), item.attributes)]
    return any(type.dtype.is_complex for type in types)


def check_complex(primitive: Primitive, item: Sample, number: int) -> None:
    """Check types, tracing, gradients to second order and the forward rule of a primitive with complex numbers.

    Args:
        primitive: what is checked.
        item: a sample of it that it also takes as complex numbers, or that gives some.
        number: position of the sample, which seeds its random numbers.

    Raises:
        AssertionError, GradientError: something is wrong; the message says what.

    Example:
        >>> from chainrule.core.primitive import PRIMITIVES
        >>> check_complex(PRIMITIVES["exp"], PRIMITIVES["exp"].samples[1], 1)
    """
    inputs = _inputs(primitive, item, number)
    stated = primitive.infer(types_of(inputs), item.attributes)
    outputs = apply(primitive, inputs, item.attributes)
    if tuple(types_of(list(outputs))) != stated:
        raise AssertionError(f"the shape rule states {stated} and the reference gives {types_of(list(outputs))}.")
    step = jit(lambda *xs: apply(primitive, list(xs), item.attributes))
    with references():
        traced = step(*inputs)
    for position, (got, want) in enumerate(zip(traced, outputs, strict=True)):
        assert_equal(got, want, f"traced output {position} of complex inputs")
    moving = [i for i, x in enumerate(inputs) if x.dtype.is_inexact and _has_rule(primitive, i)]
    if not moving or not item.smooth or not any(out.dtype.is_inexact for out in outputs):
        return
    if primitive.name not in TURNING:
        parts = [part(inputs[i]) for i in moving for part in (real, imag) if part is real or inputs[i].dtype.is_complex]
        check_gradients(_of_parts(primitive, inputs, moving, item), *parts, order=2, seed=seed_of(primitive, number))
    _check_forward(primitive, inputs, moving, item, number)


def _has_rule(primitive: Primitive, position: int) -> bool:
    return bool(primitive.rules) and (primitive.variadic or primitive.rules[position] is not None)


def _inputs(primitive: Primitive, item: Sample, number: int) -> list[Tensor]:
    """Return the inputs of the sample with complex numbers for its floats; as they are, if it does not take these."""
    rng = np.random.default_rng(seed_of(primitive, number) + 1)
    inputs = sample_tensors(primitive, item, number)
    turned = [_complex(x, rng) if x.dtype.is_float else x for x in inputs]
    try:
        primitive.infer(types_of(turned), item.attributes)
    except DTypeError:
        return inputs
    return turned


def _complex(x: Tensor, rng: np.random.Generator) -> Tensor:
    return Tensor(np.asarray(x.numpy() + 1j * rng.uniform(-0.2, 0.2, x.shape), complex128.numpy))


def _of_parts(primitive: Primitive, inputs: list[Tensor], moving: list[int], item: Sample) -> Callable:
    """Return the primitive as a function of the parts of its inputs that returns the parts of its outputs."""

    def function(*parts: Tensor) -> tuple[Tensor, ...]:
        left = iter(parts)
        full = list(inputs)
        for i in moving:
            full[i] = complex(next(left), next(left)) if inputs[i].dtype.is_complex else next(left)
        outputs = [out for out in apply(primitive, full, item.attributes) if out.dtype.is_inexact]
        return tuple(part for out in outputs for part in ((real(out), imag(out)) if out.dtype.is_complex else (out,)))

    return function


def _check_forward(primitive: Primitive, inputs: list[Tensor], moving: list[int], item: Sample, number: int) -> None:
    """Compare Re <jvp(t), c> with Re <t, vjp(c)>."""
    rng = np.random.default_rng(seed_of(primitive, number))
    tangents = [_like(x, rng) if i in moving else None for i, x in enumerate(inputs)]
    output, pushed = primitive_jvp(primitive, inputs, tangents, item.attributes)
    outputs, pushed = (output, pushed) if primitive.multiple else ((output,), (pushed,))
    covectors = [_like(out, rng) for out in outputs]
    with enable_grad():
        aliases = [inputs[i].detach().requires_grad_() for i in moving]
        full = list(inputs)
        for i, alias in zip(moving, aliases, strict=True):
            full[i] = alias
        again = apply(primitive, full, item.attributes)
        live = [(out, c) for out, c in zip(again, covectors, strict=True) if out.requires_grad]
        pulled = gradients([out for out, _ in live], aliases, [c for _, c in live])
    left = [_inner(t, c) for t, c in zip(pushed, covectors, strict=True) if t is not None]
    moved = [t for t in tangents if t is not None]
    right = [_inner(t, g) for t, g in zip(moved, pulled, strict=True) if g is not None]
    scale = 1.0 + float(np.sum(np.abs(left)) + np.sum(np.abs(right)))
    assert_close(sum(left), sum(right), rtol=0, atol=1e-10 * scale, what="Re <jvp(t), c> against Re <t, vjp(c)>")


def _like(x: Tensor, rng: np.random.Generator) -> Tensor:
    values = rng.standard_normal(x.shape) + (1j * rng.standard_normal(x.shape) if x.dtype.is_complex else 0)
    return Tensor(np.asarray(values).astype(x.dtype.numpy))


def _inner(a: Tensor, b: Tensor) -> float:
    return float(np.sum(np.real(np.conj(a.numpy()) * b.numpy())))
