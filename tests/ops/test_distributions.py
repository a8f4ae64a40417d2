"""Distributions made of logarithms: exact distribution functions, counts, eager = traced bit for bit, whole errors."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, IndexRangeError, ShapeError
from chainrule.ops._fixed import exp64
from chainrule.ops.quantile import log64
from chainrule.testing import assert_close

N = 100_000
CRITICAL = 1.95  # Kolmogorov's statistic exceeds it with probability 0.001; the seeds are fixed, so the tests are too


def distance(sample: np.ndarray, cdf: object) -> float:
    """Return sqrt(n) times the largest distance between the sample's and the exact distribution function."""
    x = np.sort(np.asarray(sample, np.float64))
    exact = np.array([cdf(v) for v in x.tolist()])
    steps = np.arange(x.size + 1) / x.size
    return math.sqrt(x.size) * max(np.max(exact - steps[:-1]), np.max(steps[1:] - exact))


def erlang(k: int) -> object:
    """Return the distribution function of a gamma variable of whole concentration."""
    return lambda x: 1.0 - math.exp(-x) * sum(x**i / math.factorial(i) for i in range(k))


EXACT = {
    "exponential": (lambda g: cr.random.exponential(N, 2.0, generator=g), lambda x: 1 - math.exp(-2 * x)),
    "gumbel": (lambda g: cr.random.gumbel(N, generator=g), lambda x: math.exp(-math.exp(-x))),
    "gamma 1": (lambda g: cr.random.gamma(N, 1.0, generator=g), erlang(1)),
    "gamma 3, rate 4": (lambda g: cr.random.gamma(N, 3.0, 4.0, generator=g) * 4.0, erlang(3)),
    "gamma 30": (lambda g: cr.random.gamma(N, 30.0, generator=g), erlang(30)),
    "gamma 1/2": (lambda g: cr.random.gamma(N, 0.5, generator=g), lambda x: math.erf(math.sqrt(x))),
    "gamma 3/2": (
        lambda g: cr.random.gamma(N, 1.5, generator=g),
        lambda x: math.erf(math.sqrt(x)) - 2 * math.sqrt(x / math.pi) * math.exp(-x),
    ),
    "beta 1, 1": (lambda g: cr.random.beta(N, generator=g), lambda x: x),
    "beta 2, 3": (lambda g: cr.random.beta(N, 2.0, 3.0, generator=g), lambda x: 6 * x**2 - 8 * x**3 + 3 * x**4),
    "beta 1/2, 1/2": (
        lambda g: cr.random.beta(N, 0.5, 0.5, dtype="float64", generator=g),
        lambda x: 2 / math.pi * math.asin(math.sqrt(x)),
    ),
}


@pytest.mark.parametrize("name", EXACT)
def test_the_distribution_function(name: str) -> None:
    draw, cdf = EXACT[name]
    assert distance(draw(cr.Generator(5)).numpy(), cdf) < CRITICAL


def test_a_tiny_concentration_stays_finite() -> None:
    y = cr.random.gamma(2000, 1e-3, dtype=cr.float64, generator=cr.Generator(1)).numpy()
    assert np.isfinite(y).all()
    assert (y >= 0).all()
    assert 0.4 < np.mean(y < 1e-300) < 0.6  # P(y < t) is about t^a: 1e-300^0.001 = 0.501


def test_dirichlet_vectors_have_their_mean_and_variance() -> None:
    a = np.array([0.5, 2.0, 3.5])
    y = cr.random.dirichlet(cr.asarray(a), 50_000, dtype="float64", generator=cr.Generator(2)).numpy()
    mean = a / a.sum()
    assert_close(y.sum(-1), np.ones(50_000), rtol=1e-14)
    assert_close(y.mean(0), mean, atol=0.004)
    assert_close(y.var(0), mean * (1 - mean) / (a.sum() + 1), atol=0.002)


def _chi_squared(counts: np.ndarray, chances: np.ndarray) -> float:
    want = counts.sum() * chances
    return float(((counts - want) ** 2 / want).sum())


def test_classes_are_drawn_with_their_probabilities() -> None:
    logits = np.array([[0.0, 1.0, -1.0, 2.0], [3.0, 0.0, 0.0, -np.inf]])
    y = cr.random.categorical(cr.asarray(logits), N, generator=cr.Generator(3))
    assert (y.shape, y.dtype) == ((N, 2), cr.int64)
    for row in range(2):
        chances = np.exp(logits[row]) / np.exp(logits[row]).sum()
        counts = np.bincount(y.numpy()[:, row], minlength=4)
        live = chances > 0
        assert counts[~live].sum() == 0
        assert _chi_squared(counts[live], chances[live]) < 16.3  # 0.999 quantile with 3 degrees of freedom
    along = cr.random.categorical(cr.asarray(logits.T), axis=0, generator=cr.Generator(3))
    assert along.shape == (2,)


def test_samples_without_replacement_are_drawn_one_after_another() -> None:
    weights = np.array([1.0, 2.0, 0.0, 5.0])
    batch = cr.asarray(np.tile(weights, (40_000, 1)))
    y = cr.random.multinomial(batch, 2, generator=cr.Generator(4)).numpy()
    for first, second in itertools.permutations((0, 1, 3), 2):
        chance = weights[first] / 8 * weights[second] / (8 - weights[first])
        assert abs(np.mean((y == [first, second]).all(-1)) - chance) < 0.01
    assert not (y == 2).any()
    again = cr.random.multinomial(cr.asarray(weights), 40_000, True, generator=cr.Generator(4)).numpy()
    assert _chi_squared(np.bincount(again, minlength=4)[[0, 1, 3]], weights[[0, 1, 3]] / 8) < 13.8


def test_every_draw_takes_a_number_of_words_that_follows_from_its_shape() -> None:
    generator = cr.Generator(0)
    for draw, words in (
        (lambda: cr.random.exponential(5, generator=generator), 10),
        (lambda: cr.random.gumbel((2, 3), generator=generator), 12),
        (lambda: cr.random.gamma(5, 0.3, generator=generator), 5 * (16 + 16 + 2)),
        (lambda: cr.random.categorical(cr.zeros((3, 4)), 2, generator=generator), 48),
        (lambda: cr.random.multinomial(cr.ones((3, 4)), 2, generator=generator), 24),
    ):
        before = generator.state_dict()["offset"]
        draw()
        assert generator.state_dict()["offset"] - before == words


def test_traced_draws_are_the_eager_bits() -> None:
    eager, traced = cr.Generator(6), cr.Generator(6)

    def draw(generator, a):
        return (
            cr.random.gamma((3, 2), a, 2.0, generator=generator),
            cr.random.exponential(3, generator=generator),
            cr.random.categorical(cr.asarray([0.0, 1.0, 2.0]), 5, generator=generator),
            cr.random.multinomial(cr.asarray([1.0, 2.0, 3.0]), 2, generator=generator),
            cr.random.dirichlet(cr.asarray([1.0, 2.0]), generator=generator),
        )

    step = cr.jit(lambda a: draw(traced, a))
    a = cr.asarray([0.5, 4.0])
    for _ in range(3):
        for got, want in zip(step(a), draw(eager, a), strict=True):
            assert_close(got, want, rtol=0, atol=0)
    assert eager.state_dict() == traced.state_dict()


def test_the_rate_has_a_gradient_and_the_concentration_none() -> None:
    rate = cr.asarray([2.0, 4.0]).requires_grad_()
    y = cr.random.exponential(2, rate, generator=cr.Generator(1))
    y.sum().backward()
    assert_close(rate.grad, -y.detach() / rate.detach(), rtol=1e-6)
    a = cr.asarray([2.0]).requires_grad_()
    assert not cr.random.gamma(1, a).requires_grad
    assert cr.random.gamma(3, 2.0, rate[0]).requires_grad


def test_the_fixed_functions_are_within_a_unit_in_the_last_place() -> None:
    x = np.random.default_rng(0).uniform(-708, 709, 50_000)
    assert np.max(np.abs(exp64(x) - np.exp(x)) / np.spacing(np.exp(x))) <= 1
    y = np.exp(x)
    assert np.max(np.abs(log64(y) - np.log(y)) / np.spacing(np.abs(np.log(y)))) <= 1


REFUSED = [
    (lambda: cr.random.exponential(2, 0.0), ValueError, "exponential.rate must be a float > 0; got 0.0."),
    (lambda: cr.random.gamma(2, -1.0), ValueError, "gamma.concentration must be a float > 0; got -1.0."),
    (lambda: cr.random.gamma(2, rate=0), ValueError, "gamma.rate must be a float > 0; got 0."),
    (lambda: cr.random.beta(2, 1.0, 0.0), ValueError, "beta.b must be a float > 0; got 0.0."),
    (lambda: cr.random.gumbel(2, dtype="int64"), DTypeError,
     "random.gumbel draws floats; got dtype int64: use randint or .astype."),
    (lambda: cr.random.dirichlet(cr.asarray(1.0)), ShapeError,
     "random.dirichlet needs a vector of concentrations; got the shape ()."),
    (lambda: cr.random.categorical(cr.zeros(2), axis=1), IndexRangeError,
     "random.categorical: axis 1 does not exist in a tensor with 1 axes; allowed: [-1, 0]."),
    (lambda: cr.random.multinomial(cr.ones(3), 0), ValueError, "multinomial.num_samples must be an int >= 1; got 0."),
    (lambda: cr.random.multinomial(cr.ones(3), 4), ShapeError,
     "random.multinomial: 4 samples without replacement need as many classes; the weights are (3,)."),
    (lambda: cr.random.multinomial(cr.ones(()), 1), ShapeError,
     "random.multinomial needs a vector of weights; got the shape ()."),
]  # fmt: skip


@pytest.mark.parametrize("call, kind, message", REFUSED, ids=[message[:24] for _, _, message in REFUSED])
def test_what_is_refused(call, kind, message) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}(\n|$)"):
        call()
