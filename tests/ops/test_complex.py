"""Complex numbers: parts, dtypes, what refuses them, and gradients as PyTorch defines them."""

from __future__ import annotations

import cmath
import pickle
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, GradientError
from chainrule.testing import assert_close

RNG = np.random.default_rng(9)
Z = RNG.normal(size=(3, 4)) + 1j * RNG.normal(size=(3, 4))
W = RNG.normal(size=(4, 3)) + 1j * RNG.normal(size=(4, 3))


def test_numbers_lists_and_arrays_become_complex_tensors() -> None:
    assert cr.asarray(2j).dtype is cr.complex64
    assert cr.asarray([1, 2.5, 1j]).tolist() == [1, 2.5, 1j]
    assert cr.asarray(Z).dtype is cr.complex128
    assert cr.zeros(2, dtype="complex64").tolist() == [0j, 0j]
    assert cr.full(2, 1 + 1j).dtype is cr.complex64
    assert cr.astype(cr.arange(2), complex).dtype is cr.complex64
    assert cr.eye(2, dtype=cr.complex128)[0, 0].item() == 1 + 0j
    assert complex(cr.asarray(3 - 2j)) == 3 - 2j
    assert bool(cr.asarray(1j))
    assert pickle.loads(pickle.dumps(cr.asarray(Z))).tolist() == Z.tolist()
    assert repr(cr.asarray([1j])) == "tensor([0.+1.j], shape=(1,), dtype=complex64)"
    assert_close(np.from_dlpack(cr.asarray(Z)), Z)


def test_the_trapezoidal_rule_takes_complex_values() -> None:
    assert_close(cr.trapezoid(cr.asarray(Z), axis=0), np.trapezoid(Z, axis=0))
    assert_close(cr.trapezoid(cr.asarray(Z), cr.asarray([0.0, 1.0, 3.0, 4.0])), np.trapezoid(Z, [0.0, 1.0, 3.0, 4.0]))


def test_parts_and_their_dtypes() -> None:
    z = cr.asarray(Z)
    assert_close(cr.real(z), Z.real)
    assert_close(cr.imag(z), Z.imag)
    assert_close(cr.conj(z), Z.conj())
    assert_close(cr.complex(cr.real(z), cr.imag(z)), Z)
    assert (cr.real(z).dtype, cr.abs(z.astype(cr.complex64)).dtype) == (cr.float64, cr.float32)
    x = cr.ones(2)
    assert cr.real(x) is x
    assert cr.conj(x) is x
    assert cr.sign(cr.asarray([3 + 4j, 0j])).tolist() == pytest.approx([0.6 + 0.8j, 0])
    assert np.isneginf(cr.complex(cr.asarray(0.0), cr.asarray(-cr.inf)).numpy().imag)


CMATH = "acos acosh asin asinh atan atanh cos cosh exp log log10 log2 sin sinh sqrt tan tanh"


@pytest.mark.parametrize("name", CMATH.split())
def test_elementwise_functions_are_cmaths(name: str) -> None:
    want = [cmath.log(v) / cmath.log(2) if name == "log2" else getattr(cmath, name)(v) for v in Z.ravel()]
    assert_close(getattr(cr, name)(cr.asarray(Z)), np.reshape(want, Z.shape), rtol=1e-12)


def test_what_real_tensors_do_complex_ones_do() -> None:
    z, w = cr.asarray(Z), cr.asarray(W)
    assert_close(z @ w, Z @ W, rtol=1e-12)
    assert_close(z**2 + 1 / z - z * 1j, Z**2 + 1 / Z - Z * 1j, rtol=1e-12)
    assert_close(cr.mean(z, axis=0), Z.mean(0), rtol=1e-12)
    assert_close(cr.prod(z, axis=1), Z.prod(1), rtol=1e-12)
    assert_close(cr.cumulative_sum(z, axis=1), Z.cumsum(1), rtol=1e-12)
    assert_close(cr.where(cr.real(z) > 0, z, 0), np.where(Z.real > 0, Z, 0))
    assert_close(cr.round(z * 10), np.round(Z * 10))
    assert_close(cr.einsum("ij,jk->ik", z, w), Z @ W, rtol=1e-12)
    assert (z == z).all()
    assert cr.isnan(cr.asarray([complex(0, cr.nan), 1j])).tolist() == [True, False]
    assert_close(cr.linspace(0, 1j, 3, dtype=cr.complex64), [0, 0.5j, 1j])


def test_the_gradient_of_a_real_loss_points_uphill() -> None:
    z = cr.asarray([3 + 4j, 1j]).requires_grad_()
    cr.sum(cr.abs(z) ** 2).backward()
    assert z.grad.tolist() == [6 + 8j, 2j]  # 2 z: along it the loss grows fastest
    x = cr.asarray([1.0, 2.0]).requires_grad_()
    cr.real(cr.sum(x * cr.asarray([1 + 5j, 3j]))).backward()
    assert (x.grad.dtype, x.grad.tolist()) == (cr.float32, [1.0, 0.0])  # a real tensor gets the real part


def test_transforms_take_complex_arguments() -> None:
    assert cr.grad(lambda z: cr.real(z * z))(cr.asarray(1 + 2j)).item() == 2 - 4j  # 2 conj(z)
    value, pushed = cr.jvp(lambda z: cr.exp(z), (cr.asarray(1j),), (cr.asarray(2j),))
    assert pushed.item() == pytest.approx(2j * cmath.exp(1j))
    assert value.item() == pytest.approx(cmath.exp(1j))
    z = cr.asarray(Z)
    assert_close(
        cr.jit(lambda z: cr.grad(lambda v: cr.sum(cr.abs(v @ v.mT)))(z))(z),
        cr.grad(lambda v: cr.sum(cr.abs(v @ v.mT)))(z),
    )
    assert_close(cr.vmap(lambda v: v * 1j)(z), Z * 1j)


REFUSED = [
    (lambda: cr.asarray([1j]) < 2, DTypeError,
     "less needs a numeric tensor; got complex64: use cr.real, cr.imag or cr.abs."),
    (lambda: cr.max(cr.asarray([1j])), DTypeError,
     "max needs a numeric tensor; got complex64: use cr.real, cr.imag or cr.abs."),
    (lambda: cr.sigmoid(cr.asarray(1j)), DTypeError,
     "sigmoid needs a float tensor; got complex64: use cr.real, cr.imag or cr.abs."),
    (lambda: cr.asarray(1j).astype(cr.float32), DTypeError,
     "astype: complex64 does not become float32 by itself; use cr.real, cr.imag or cr.abs first."),
    (lambda: float(cr.asarray(1j)), DTypeError,
     "float() of a complex64 tensor: take cr.real(x), cr.imag(x) or cr.abs(x) first."),
    (lambda: cr.full(2, 1j, dtype=cr.float32), DTypeError, "full: the number 1j does not fit float32."),
    (lambda: cr.imag(cr.ones(2)), DTypeError, "imag needs a complex tensor; got float32: use .astype(cr.complex64)."),
    (lambda: cr.complex(cr.arange(2), 1), DTypeError,
     "complex needs two float32 or two float64 tensors; got int64: use .astype."),
    (lambda: cr.asarray(1j).requires_grad_().backward(), GradientError,
     "backward needs a real scalar; this one is complex64: take cr.real, cr.imag or cr.abs of it, or pass the upstream "
     "gradient: backward(gradient)."),
]  # fmt: skip


@pytest.mark.parametrize("call, kind, message", REFUSED, ids=[message[:24] for _, _, message in REFUSED])
def test_what_is_refused(call, kind, message) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}(\n|$)"):
        call()


# --- the oracle -----------------------------------------------------------------------------------------------------
ELEMENTWISE = f"{CMATH} abs reciprocal rsqrt sign square"
PAIRS = {
    **{name: (name, "sgn" if name == "sign" else name) for name in ELEMENTWISE.split()},
    "product": (lambda z: cr.prod(z, axis=1), lambda z: z.prod(1)),
    "cumulative product": (lambda z: cr.cumulative_prod(z, axis=1), lambda z: z.cumprod(1)),
    "matmul": (lambda z: z @ cr.asarray(W), lambda z: z @ torch_of(W)),
    "matmul with itself": (lambda z: z @ cr.conj(z).mT, lambda z: z @ z.conj().mT),
    "power": (lambda z: z ** (1.5 - 0.5j), lambda z: z ** (1.5 - 0.5j)),
    "power of itself": (lambda z: z**z, lambda z: z**z),
    "quotient": (lambda z: 1j / z, lambda z: 1j / z),
    "parts": (lambda z: cr.real(z) * cr.imag(z), lambda z: z.real * z.imag),
    "complex": (lambda z: cr.complex(cr.real(z), cr.real(z) ** 2), lambda z: complex_of(z.real, z.real**2)),
    "mean": (lambda z: cr.mean(z * z, axis=0), lambda z: (z * z).mean(0)),
    "where": (lambda z: cr.where(cr.real(z) > 0, z * z, 1j), lambda z: where_of(z.real > 0, z * z, 1j)),
    "norm": (lambda z: cr.linalg.vector_norm(z, axis=1), lambda z: norm_of(z)),
}  # fmt: skip


def torch_of(x):
    import torch

    return torch.tensor(x)


def complex_of(a, b):
    import torch

    return torch.complex(a, b)


def where_of(condition, a, b):
    import torch

    return torch.where(condition, a, torch.tensor(b, dtype=a.dtype))


def norm_of(z):
    import torch

    return torch.linalg.vector_norm(z, dim=1)


@pytest.mark.oracle
@pytest.mark.parametrize("name", PAIRS)
def test_values_and_gradients_are_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = PAIRS[name]
    ours = getattr(cr, ours) if isinstance(ours, str) else ours
    theirs = getattr(torch, theirs) if isinstance(theirs, str) else theirs
    z, t = cr.asarray(Z).requires_grad_(), torch.tensor(Z, requires_grad=True)
    y, s = ours(z), theirs(t)
    assert_close(y, s.detach().numpy(), rtol=1e-11)
    rng = np.random.default_rng(1)
    seed = rng.normal(size=y.shape) + (1j * rng.normal(size=y.shape) if y.dtype.is_complex else 0)
    (slope,) = cr.gradients([y], [z], [cr.asarray(seed)], create_graph=True)
    (want,) = torch.autograd.grad(s, t, torch.tensor(seed), create_graph=True)
    assert_close(slope, want.detach().resolve_conj().numpy(), rtol=1e-10, atol=1e-11)
    if not slope.requires_grad:
        return
    direction = rng.normal(size=Z.shape) + 1j * rng.normal(size=Z.shape)
    (second,) = cr.gradients([slope], [z], [cr.asarray(direction)])
    (want,) = torch.autograd.grad(want, t, torch.tensor(direction))
    assert_close(second, want.resolve_conj().numpy(), rtol=1e-9, atol=1e-10)
