"""Random draws: known words, moments and distributions with fixed seeds, eager = traced bit for bit, whole errors."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.philox import philox_bits
from chainrule.ops.quantile import log64

N = 200_000


def _words(seed: int, start: int, count: int) -> np.ndarray:
    return philox_bits(seed, start, count).astype(object)


def _distance(sample: np.ndarray, cdf: object) -> float:
    """Return sqrt(n) times the largest distance between the sample's and the exact distribution function."""
    x = np.sort(np.asarray(sample, np.float64))
    exact = np.array([cdf(v) for v in x])
    steps = np.arange(x.size + 1) / x.size
    return math.sqrt(x.size) * max(np.max(exact - steps[:-1]), np.max(steps[1:] - exact))


# Kolmogorov's statistic exceeds 1.95 with probability 0.001; the seeds are fixed, so the tests are too.
CRITICAL = 1.95


# ---------------------------------------------------------------------------------------------------- exact values
def test_uniforms_are_the_streams_words() -> None:
    generator = cr.Generator(9)
    words = _words(9, 0, 14)
    single = cr.random.uniform(4, generator=generator)
    double = cr.random.uniform(3, dtype=cr.float64, generator=generator)
    half = cr.random.uniform(4, dtype=cr.bfloat16, generator=generator)
    assert single.tolist() == [int(w >> 8) / 2**24 for w in words[:4]]
    assert double.tolist() == [(int(a >> 5) * 2**26 + int(b >> 6)) / 2**53 for a, b in zip(words[4:7], words[7:10])]
    assert half.tolist() == [int(w >> 24) / 256 for w in words[10:14]]
    assert generator.state_dict() == {"seed": 9, "offset": 14}


@pytest.mark.parametrize(
    "low, high, dtype",
    [
        (-5, 7, "int64"),
        (-(2**63), 2**63 - 1, "int64"),
        (0, 2**64, "uint64"),
        (3, 2**40 + 17, "uint64"),
        (-128, 128, "int8"),
    ],
)
def test_integers_are_the_high_word_of_a_product(low: int, high: int, dtype: str) -> None:
    got = cr.random.randint(500, low, high, dtype=dtype, generator=cr.Generator(3))
    words = _words(3, 0, 1000)
    want = [low + ((int(a) * 2**32 + int(b)) * (high - low) >> 64) for a, b in zip(words[:500], words[500:])]
    assert (got.tolist(), got.dtype.name) == (want, dtype)


def test_quantiles_are_those_of_the_standard_library() -> None:
    exact = statistics.NormalDist()
    u = np.concatenate(
        [np.random.default_rng(0).random(2000), 10.0 ** -np.arange(1, 300, 5), 1 - 10.0 ** -np.arange(1, 16)]
    )
    want = np.array([exact.inv_cdf(p) for p in u])
    np.testing.assert_allclose(cr.normal_quantile(cr.asarray(u)).numpy(), want, rtol=1e-15)
    ends = cr.normal_quantile(cr.asarray([0.0, 0.5, 1.0, -0.1, 1.1, float("nan")])).numpy()
    np.testing.assert_array_equal(ends, np.array([-np.inf, 0.0, np.inf, np.nan, np.nan, np.nan], np.float32))


def test_the_logarithm_is_within_one_ulp() -> None:
    x = np.concatenate([10.0 ** np.random.default_rng(1).uniform(-300, 300, 20_000), np.linspace(0.5, 2, 20_001)])
    exact = np.log(x.astype(np.longdouble))
    wrong = np.abs(log64(x) - exact) / np.spacing(np.maximum(np.abs(exact), 1e-300).astype(np.float64))
    assert wrong.max() < 1.0


# ---------------------------------------------------------------------------------------------------- distributions
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_uniform(dtype: str) -> None:
    x = cr.random.uniform(N, -2.0, 3.0, dtype=dtype).numpy()
    assert x.dtype.name == dtype
    assert x.min() >= -2
    assert x.max() < 3
    assert _distance(x[:20_000], lambda v: (v + 2) / 5) < CRITICAL
    assert abs(x.mean() - 0.5) < 4 * 5 / math.sqrt(12 * N)
    assert abs(x.var() / (25 / 12) - 1) < 0.01


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_normal(dtype: str) -> None:
    x = cr.random.normal(N, 1.0, 2.0, dtype=dtype).numpy().astype(np.float64)
    z = (x - 1) / 2
    assert _distance(x[:20_000], statistics.NormalDist(1, 2).cdf) < CRITICAL
    moments = [np.mean(z**power) for power in (1, 2, 3, 4)]
    errors = [4 * math.sqrt(v / N) for v in (1, 2, 15, 96)]  # four standard errors of each moment
    for got, want, error in zip(moments, (0, 1, 0, 3), errors):
        assert abs(got - want) < error
    tail = np.mean(np.abs(z) > 3)
    assert abs(tail - 0.0026998) < 4 * math.sqrt(0.0027 / N)


@pytest.mark.parametrize("low, high", [(-2.0, 2.0), (-0.5, 4.0), (2.5, 3.0), (-9.0, -8.0), (9.0, 10.0)])
def test_truncated_normal(low: float, high: float) -> None:
    x = cr.random.truncated_normal(20_000, low=low, high=high, dtype=cr.float64).numpy()
    assert low <= x.min()
    assert x.max() <= high
    sign = -1.0 if low > 0 else 1.0

    def below(z: float) -> float:
        return 0.5 * math.erfc(-sign * z / math.sqrt(2))

    first, last = below(low), below(high)
    assert _distance(x, lambda v: (below(v) - first) / (last - first)) < CRITICAL


def test_truncated_normal_scales() -> None:
    x = cr.random.truncated_normal(20_000, mean=5.0, std=0.1, low=4.9, high=5.3, dtype=cr.float64).numpy()
    below = statistics.NormalDist(5.0, 0.1).cdf
    assert _distance(x, lambda v: (below(v) - below(4.9)) / (below(5.3) - below(4.9))) < CRITICAL


def test_bernoulli() -> None:
    for p in (0.0, 0.1, 0.5, 1.0):
        assert abs(cr.random.bernoulli(p, N).numpy().mean() - p) <= 4 * math.sqrt(p * (1 - p) / N)
    p = cr.asarray([0.0, 1.0])
    assert cr.random.bernoulli(p).tolist() == [False, True]
    assert cr.random.bernoulli(p, (3, 2), dtype=cr.float32).tolist() == [[0.0, 1.0]] * 3


def test_randint_is_even() -> None:
    counts = np.bincount(cr.random.randint(N, 0, 10).numpy())
    assert ((counts - N / 10) ** 2 / (N / 10)).sum() < 27.9  # chi squared with 9 degrees of freedom, p = 0.001


def test_permutations_are_even_and_move_rows() -> None:
    orders = [tuple(cr.random.permutation(3).tolist()) for _ in range(600)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    assert sum((n - 100) ** 2 / 100 for n in counts) < 20.5  # chi squared with 5 degrees of freedom, p = 0.001
    rows = cr.random.permutation(cr.asarray([[1, 2], [3, 4], [5, 6]]))
    assert sorted(rows.tolist()) == [[1, 2], [3, 4], [5, 6]]
    assert cr.random.permutation(0).shape == (0,)


# ---------------------------------------------------------------------------------------------------- streams
def _draws() -> list[cr.Tensor]:
    return [
        cr.random.uniform((2, 3)),
        cr.random.normal(5, dtype=cr.float64),
        cr.random.truncated_normal(4),
        cr.random.bernoulli(0.5, 7),
        cr.random.randint(3, -9, 9),
        cr.random.permutation(6),
        cr.random.uniform(2, dtype=cr.bfloat16),
    ]


def test_eager_and_traced_draw_the_same_bits_call_after_call() -> None:
    traced = cr.jit(lambda: tuple(_draws()))
    cr.manual_seed(11)
    eager = [_draws() for _ in range(3)]
    state = cr.default_generator.state_dict()
    cr.manual_seed(11)
    for want in eager:
        for got, expected in zip(traced(), want):
            np.testing.assert_array_equal(got.numpy(), expected.numpy())
    assert cr.default_generator.state_dict() == state


def test_draws_never_overlap() -> None:
    a, b = cr.random.uniform(1000).numpy(), cr.random.uniform(1000).numpy()
    assert not np.array_equal(a, b)
    assert np.intersect1d(a, b).size < 5


def test_parameters_are_differentiable() -> None:
    mean, std = cr.asarray(1.0).requires_grad_(), cr.asarray([2.0, 3.0]).requires_grad_()
    z = cr.random.normal((4, 2), generator=cr.Generator(5))
    cr.sum(cr.random.normal((4, 2), mean, std, generator=cr.Generator(5))).backward()
    assert mean.grad.item() == 8.0
    np.testing.assert_allclose(std.grad.numpy(), z.numpy().sum(0), rtol=1e-6)


REFUSED = [
    (
        lambda: cr.random.uniform(2, dtype=cr.int64),
        DTypeError,
        "random.uniform draws floats; got dtype int64: use randint or .astype.",
    ),
    (lambda: cr.random.normal((2, -1)), ShapeError, "random.normal: sizes must be >= 0; got the shape (2, -1)."),
    (lambda: cr.random.truncated_normal(2, std=0.0), ValueError, "truncated_normal.std must be a float > 0; got 0.0."),
    (
        lambda: cr.random.truncated_normal(2, low=2.0, high=1.0),
        ValueError,
        "truncated_normal.high must be a float > low = 2.0; got 1.0.",
    ),
    (lambda: cr.random.bernoulli(1.5, 2), ValueError, "bernoulli.p must be a float in [0, 1]; got 1.5."),
    (lambda: cr.random.randint(2, 3, 3), ValueError, "randint.high must be an int > low = 3; got 3."),
    (lambda: cr.random.randint(2, 0, 300, dtype=cr.uint8), ValueError, "randint: uint8 holds [0, 255], not [0, 299]."),
    (
        lambda: cr.random.randint(2, 0, 3, dtype=cr.float32),
        DTypeError,
        "random.randint draws integers; got dtype float32: use uniform or .astype.",
    ),
    (
        lambda: cr.random.permutation(cr.asarray(3)),
        ShapeError,
        "random.permutation needs an int, or a tensor with axes; got a tensor of shape ().",
    ),
]


@pytest.mark.parametrize("call, kind, message", REFUSED, ids=[message for *_, message in REFUSED])
def test_what_is_refused(call: object, kind: type, message: str) -> None:
    with pytest.raises(kind) as error:
        call()
    assert getattr(error.value, "message", str(error.value)) == message
