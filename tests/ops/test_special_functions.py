"""Special functions: values and gradients against Python's math and PyTorch, identities, far ends, whole messages."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError
from chainrule.testing import assert_close

RNG = np.random.default_rng(2)
INF, NAN = math.inf, math.nan


def tensor(x) -> cr.Tensor:
    return cr.asarray(np.asarray(x, np.float64))


@pytest.mark.parametrize("low, high", [(1e-8, 0.5), (0.5, 2.5), (2.5, 10), (10, 500), (1e3, 1e9), (-20, -0.01)])
def test_lgamma_is_pythons(low: float, high: float) -> None:
    x = RNG.uniform(low, high, 500)
    assert_close(cr.lgamma(tensor(x)), [math.lgamma(v) for v in x], rtol=4e-15, atol=1e-14)


def test_lgamma_is_relatively_exact_at_its_zeros() -> None:
    # lgamma(1 + h) = -gamma h + pi^2 h^2 / 12 - zeta(3) h^3 / 3 + ...; lgamma(2 + h) = that + log(1 + h)
    h = np.ldexp(np.array([1.0, -1.0, 3.0]), -20)
    gamma, zeta3 = 0.5772156649015328606, 1.2020569031595942854
    near_one = h * (-gamma + h * (math.pi**2 / 12 - h * (zeta3 / 3 - h * math.pi**4 / 360)))
    assert_close(cr.lgamma(tensor(1 + h)), near_one, rtol=1e-15, atol=0)
    assert_close(cr.lgamma(tensor(2 + h)), near_one + np.log1p(h), rtol=2e-15, atol=0)


def test_erfs_kin_is_pythons_erf() -> None:
    x = RNG.uniform(-5, 5, 500)
    assert_close(cr.ndtr(tensor(x)), [0.5 * math.erfc(-v / math.sqrt(2)) for v in x], rtol=1e-14)
    assert_close(cr.erfcx(tensor(x)), [math.exp(v * v) * math.erfc(v) for v in x], rtol=2e-14)
    assert_close(cr.log_ndtr(tensor(x)), [math.log(0.5 * math.erfc(-v / math.sqrt(2))) for v in x], rtol=1e-13)
    inside = RNG.uniform(-1, 1, 500)
    assert_close(cr.erf(cr.erfinv(tensor(inside))), inside, rtol=1e-15, atol=1e-16)
    tiny = np.array([1e-300, 1e-12, -1e-5])
    assert_close(cr.erfinv(tensor(tiny)), tiny * math.sqrt(math.pi) / 2, rtol=1e-10)


def test_the_recurrences_of_the_gamma_family() -> None:
    x = tensor(RNG.uniform(0.1, 30, 200))
    assert_close(cr.lgamma(x + 1), cr.lgamma(x) + cr.log(x), rtol=1e-14, atol=1e-14)
    assert_close(cr.digamma(x + 1), cr.digamma(x) + 1 / x, rtol=1e-14, atol=1e-14)
    for n in (1, 2, 5):
        step = (-1) ** n * math.factorial(n) / x ** (n + 1)
        assert_close(cr.polygamma(n, x + 1) - step, cr.polygamma(n, x), rtol=1e-13)
    assert_close(cr.digamma(1 - x), cr.digamma(x) + math.pi / cr.tan(math.pi * x), rtol=1e-9, atol=1e-9)
    assert_close(cr.zeta(2.0, tensor(1.0)), math.pi**2 / 6, rtol=1e-15)
    assert_close(cr.zeta(4.0, tensor(1.0)), math.pi**4 / 90, rtol=1e-15)
    assert_close(
        cr.multigammaln(x + 2, 3), 1.5 * math.log(math.pi) + sum(cr.lgamma(x + 2 - j / 2) for j in range(3)), rtol=1e-13
    )


def test_the_bessel_functions_are_their_series() -> None:
    x = np.linspace(-12, 12, 97)
    j0, j1, i0, i1 = (np.zeros_like(x) for _ in range(4))
    for k in range(80):
        even = (x / 2) ** (2 * k) / math.factorial(k) ** 2
        odd = (x / 2) ** (2 * k + 1) / (math.factorial(k) * math.factorial(k + 1))
        j0, j1, i0, i1 = j0 + (-1) ** k * even, j1 + (-1) ** k * odd, i0 + even, i1 + odd
    for function, want, size in (("bessel_j0", j0, 1e-11), ("bessel_j1", j1, 1e-11), ("i0", i0, 0), ("i1", i1, 1e-16)):
        assert_close(getattr(cr, function)(tensor(x)), want, rtol=1e-14, atol=size)  # the series of j cancels
    assert_close(cr.i0e(tensor(x)) * np.exp(np.abs(x)), i0, rtol=1e-14)
    assert_close(cr.i1e(tensor(x)) * np.exp(np.abs(x)), i1, rtol=1e-14, atol=1e-16)
    far = np.array([50.0, 300.0])
    wave = np.sqrt(2 / (np.pi * far)) * np.cos(far - np.pi / 4)
    assert_close(cr.bessel_j0(tensor(far)), wave, atol=5e-4)


def test_far_ends_and_poles() -> None:
    x = tensor([INF, -INF, NAN, 0.0])
    ends = {
        "lgamma": [INF, INF, NAN, INF],
        "digamma": [INF, NAN, NAN, -INF],
        "i0": [INF, INF, NAN, 1.0],
        "i1": [INF, -INF, NAN, 0.0],
        "i0e": [0.0, 0.0, NAN, 1.0],
        "i1e": [0.0, -0.0, NAN, 0.0],
        "bessel_j0": [0.0, 0.0, NAN, 1.0],
        "bessel_j1": [0.0, -0.0, NAN, 0.0],
        "erfinv": [NAN, NAN, NAN, 0.0],
        "erfcx": [0.0, INF, NAN, 1.0],
        "ndtr": [1.0, 0.0, NAN, 0.5],
        "log_ndtr": [0.0, -INF, NAN, -math.log(2)],
        "entr": [-INF, -INF, NAN, 0.0],
        "logit": [NAN, NAN, NAN, -INF],
        "sinc": [NAN, NAN, NAN, 1.0],
    }
    for name, want in ends.items():
        assert_close(getattr(cr, name)(x), want, what=name)
    assert cr.zeta(tensor([1.0, 0.5, 2.0, 2.5]), tensor([1.0, 1.0, -2.0, -1.5])).tolist()[:3] != [0, 0, 0]
    assert_close(
        cr.zeta(tensor([1.0, 0.5, 2.0, 2.5, 2.0]), tensor([1.0, 1.0, -2.0, -1.5, INF])), [INF, NAN, INF, NAN, 0.0]
    )
    assert_close(cr.log_ndtr(tensor(-1e100)), -INF if INF == 1e200 else -0.5e200, rtol=1e-15)
    assert_close(cr.xlogy(tensor([0.0, 0.0, NAN]), tensor([0.0, NAN, 1.0])), [0.0, NAN, NAN])
    assert_close(cr.logit(tensor([0.0, 1.0, 0.3]), eps=0.1), [math.log(1 / 9), math.log(9), math.log(3 / 7)])


def test_sinc_has_exact_derivatives_at_zero() -> None:
    x = tensor(0.0)
    derivatives, function = [], cr.sinc
    for _ in range(5):
        derivatives.append(function(x).item())
        function = cr.grad(function)
    assert_close(derivatives, [1.0, 0.0, -(math.pi**2) / 3, 0.0, math.pi**4 / 5], rtol=1e-14, atol=1e-14)
    for point in (0.2, 0.2228169, 0.25, 1.5, -3.7):
        cr.check_gradients(cr.sinc, tensor(point), order=2)


REFUSED = [
    (lambda: cr.polygamma(-1, cr.ones(2)), ValueError, "polygamma.n must be an int >= 0; got -1."),
    (lambda: cr.multigammaln(cr.ones(2), 0), ValueError, "multigammaln.p must be an int >= 1; got 0."),
    (lambda: cr.multigammaln(cr.arange(2), 1), DTypeError,
     "multigammaln needs a float tensor; got int64: use .astype(cr.float32)."),
    (lambda: cr.sinc(cr.arange(2)), DTypeError, "sinc needs a float tensor; got int64: use .astype(cr.float32)."),
]  # fmt: skip


@pytest.mark.parametrize("call, kind, message", REFUSED, ids=[message[:20] for _, _, message in REFUSED])
def test_what_is_refused(call, kind, message) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}(\n|$)"):
        call()


# --- the oracle -----------------------------------------------------------------------------------------------------
RANGES = {
    "lgamma": (0.1, 20), "digamma": (0.1, 20), "erfinv": (-0.99, 0.99), "erfcx": (-3, 20), "ndtr": (-6, 6),
    "log_ndtr": (-30, 5), "i0": (-12, 12), "i0e": (0.1, 40), "i1": (-12, 12), "i1e": (0.1, 40), "entr": (0.1, 4),
    "logit": (0.01, 0.99), "sinc": (-4, 4),
}  # fmt: skip
ORDERS = {**dict.fromkeys(RANGES, 2), "erfcx": 0}  # PyTorch has no derivative of erfcx here


@pytest.mark.oracle
@pytest.mark.parametrize("name", [*RANGES, "polygamma", "zeta", "xlogy", "xlog1py"])
def test_values_and_gradients_are_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    low, high = RANGES.get(name, (0.5, 6.0))
    data = np.random.default_rng(5).uniform(low, high, 60)
    special, first = torch.special, np.linspace(1.5, 4.0, 60)
    pairs = {
        "polygamma": (lambda x: cr.polygamma(2, x), lambda x: special.polygamma(2, x)),
        "zeta": (lambda x: cr.zeta(tensor(first), x), lambda x: special.zeta(torch.tensor(first), x)),
        "xlogy": (lambda x: cr.xlogy(x, x + 1), lambda x: special.xlogy(x, x + 1)),
        "xlog1py": (lambda x: cr.xlog1py(x, x), lambda x: special.xlog1py(x, x)),
        "lgamma": (cr.lgamma, torch.lgamma),
    }
    ours, theirs = pairs.get(name) or (getattr(cr, name), getattr(special, name))
    x, t = tensor(data).requires_grad_(), torch.tensor(data, requires_grad=True)
    y, s = ours(x), theirs(t)
    assert_close(y, s.detach().numpy(), rtol=1e-10, atol=1e-12)
    if not ORDERS.get(name, 2):
        return
    (slope,) = cr.gradients([y.sum()], [x], create_graph=True)
    (want,) = torch.autograd.grad(s.sum(), t, create_graph=True)
    # PyTorch's trigamma has 9 digits
    assert_close(slope, want.detach().numpy(), rtol=1e-8 if name == "digamma" else 1e-10, atol=1e-12)
    if want.requires_grad:
        (second,) = cr.gradients([slope.sum()], [x])
        assert_close(second, torch.autograd.grad(want.sum(), t)[0].numpy(), rtol=1e-8, atol=1e-9)
