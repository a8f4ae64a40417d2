"""Distributions that need a logarithm: exponential, Gumbel, gamma and what is made of gammas, categories.

Every value takes a fixed number of words from the generator, also where candidates can be refused: all candidates are
drawn, and the first good one counts. So the offset after a draw follows from its shape alone.
"""

from __future__ import annotations

from typing import Any

from chainrule.core.bind import bind
from chainrule.core.dtypes import float64
from chainrule.core.errors import ShapeError
from chainrule.core.random import Generator
from chainrule.core.tensor import Tensor
from chainrule.ops._bits import float_dtype, inside
from chainrule.ops._fixed import fixed_exp_p, fixed_log_p
from chainrule.ops._inputs import as_tensor, axis_index, cast, sizes_tuple
from chainrule.ops.arithmetic import divide
from chainrule.ops.logical import logical_and
from chainrule.ops.powers import sqrt
from chainrule.ops.quantile import normal_quantile
from chainrule.ops.reduce import sum
from chainrule.ops.selection import maximum, where
from chainrule.ops.shape import broadcast_to, moveaxis
from chainrule.ops.slices import narrow
from chainrule.ops.sort import argmax, argsort

__all__ = ["beta", "categorical", "dirichlet", "exponential", "gamma", "gumbel", "multinomial"]

Shape = int | tuple[int, ...] | list[int]
Number = float | Tensor
_CANDIDATES = 8  # at least 95 % of them are good: all are refused once in 10^10


def _log(x: Tensor) -> Tensor:
    return bind(fixed_log_p, x)


def _positive(name: str, value: Number) -> Tensor:
    """Return a parameter as a float64 tensor.

    Raises:
        ValueError: a number that is not positive.
    """
    if not isinstance(value, Tensor) and not value > 0:
        raise ValueError(f"{name} must be a float > 0; got {value}.")
    return cast(as_tensor(value), float64)


def exponential(shape: Shape, rate: Number = 1.0, *, dtype: Any = None, generator: Generator | None = None) -> Tensor:
    """Return numbers drawn from an exponential distribution: times between events.

        y = -log(u) / rate,   density rate e^(-rate y)

    Args:
        shape: sizes of the axes.
        rate: events per unit of time, > 0; number or tensor that broadcasts to the shape; default 1.
        dtype: float type; default float32.
        generator: source of random numbers; default `cr.default_generator`.

    Returns:
        Tensor of the given shape, > 0.

    Raises:
        ValueError: a number `rate` that is not positive.
        DTypeError: the dtype is not a float.

    Example:
        >>> import chainrule as cr
        >>> _ = cr.manual_seed(0)
        >>> abs(cr.random.exponential(10000, 2.0).mean().item() - 0.5) < 0.02
        True
    """
    target = float_dtype("exponential", dtype)
    times = -_log(inside(sizes_tuple(shape, "random.exponential"), generator))
    return cast(times / _positive("exponential.rate", rate), target)


def gumbel(shape: Shape, *, dtype: Any = None, generator: Generator | None = None) -> Tensor:
    """Return numbers drawn from the standard Gumbel distribution, that of the largest of many.

        y = -log(-log(u)),   argmax(logits + y) is a draw from softmax(logits)

    Args:
        shape: sizes of the axes.
        dtype: float type; default float32.
        generator: source of random numbers; default `cr.default_generator`.

    Returns:
        Tensor of the given shape.

    Raises:
        DTypeError: the dtype is not a float.

    Example:
        >>> import chainrule as cr
        >>> _ = cr.manual_seed(0)
        >>> abs(cr.random.gumbel(10000).mean().item() - 0.5772) < 0.03
        True
    """
    target = float_dtype("gumbel", dtype)
    return cast(_gumbel(sizes_tuple(shape, "random.gumbel"), generator), target)


def _gumbel(sizes: tuple[int, ...], generator: Generator | None) -> Tensor:
    return -_log(-_log(inside(sizes, generator)))


# ---------------------------------------------------------------------------------------------------- gamma
def gamma(
    shape: Shape,
    concentration: Number = 1.0,
    rate: Number = 1.0,
    *,
    dtype: Any = None,
    generator: Generator | None = None,
) -> Tensor:
    """Return numbers drawn from a gamma distribution.

        density rate^a y^(a - 1) e^(-rate y) / gamma(a),   a the concentration; mean a / rate, variance a / rate^2

    Args:
        shape: sizes of the axes.
        concentration: a > 0; number or tensor that broadcasts to the shape; no gradient flows to it; default 1.
        rate: > 0; number or tensor that broadcasts to the shape; default 1.
        dtype: float type; default float32.
        generator: source of random numbers; default `cr.default_generator`.

    Returns:
        Tensor of the given shape, >= 0.

    Raises:
        ValueError: a number `concentration` or `rate` that is not positive.
        DTypeError: the dtype is not a float.

    Example:
        >>> import chainrule as cr
        >>> _ = cr.manual_seed(0)
        >>> abs(cr.random.gamma(10000, 3.0, 2.0).mean().item() - 1.5) < 0.03
        True

    Source: Marsaglia and Tsang, ACM TOMS 26 (2000), with 8 candidates per value (all are refused once in 10^10; then
        the last one counts).
    """
    target = float_dtype("gamma", dtype)
    sizes = sizes_tuple(shape, "random.gamma")
    y = _gamma(sizes, _positive("gamma.concentration", concentration), generator)
    return cast(y / _positive("gamma.rate", rate), target)


def _gamma(sizes: tuple[int, ...], concentration: Tensor, generator: Generator | None) -> Tensor:
    """Return gamma variables of rate 1: d v with v = (1 + x / (3 sqrt d))^3, for the first good normal x."""
    a = broadcast_to(concentration.detach(), sizes)
    small = a < 1.0  # gamma(a) = gamma(a + 1) u^(1 / a)
    d = where(small, a + 1.0, a) - 1.0 / 3.0
    x = normal_quantile(inside((_CANDIDATES, *sizes), generator))
    u = inside((_CANDIDATES, *sizes), generator)
    lifting = inside(sizes, generator)
    root = 1.0 + x / (3.0 * sqrt(d))
    v = root * root * root
    inside_domain = v > 0.0
    limit = 0.5 * x * x + d - d * v + d * _log(where(inside_domain, v, 1.0))
    good = logical_and(inside_domain, _log(u) < limit)
    y = d * maximum(v[_CANDIDATES - 1], 0.0)
    for candidate in reversed(range(_CANDIDATES)):
        y = where(good[candidate], d * v[candidate], y)
    return where(small, y * bind(fixed_exp_p, _log(lifting) / where(small, a, 1.0)), y)


def beta(
    shape: Shape, a: Number = 1.0, b: Number = 1.0, *, dtype: Any = None, generator: Generator | None = None
) -> Tensor:
    """Return numbers drawn from a beta distribution: probabilities.

        y = g1 / (g1 + g2) with gamma variables g1 of concentration a and g2 of b;   mean a / (a + b)

    Args:
        shape: sizes of the axes.
        a: > 0; number or tensor that broadcasts to the shape; no gradient flows to it; default 1.
        b: > 0; number or tensor that broadcasts to the shape; no gradient flows to it; default 1.
        dtype: float type; default float32.
        generator: source of random numbers; default `cr.default_generator`.

    Returns:
        Tensor of the given shape, in [0, 1].

    Raises:
        ValueError: a number a or b that is not positive.
        DTypeError: the dtype is not a float.

    Example:
        >>> import chainrule as cr
        >>> _ = cr.manual_seed(0)
        >>> abs(cr.random.beta(10000, 2.0, 6.0).mean().item() - 0.25) < 0.01
        True
    """
    target = float_dtype("beta", dtype)
    sizes = sizes_tuple(shape, "random.beta")
    first = _gamma(sizes, _positive("beta.a", a), generator)
    second = _gamma(sizes, _positive("beta.b", b), generator)
    return cast(first / (first + second), target)


def dirichlet(
    concentration: Tensor, shape: Shape = (), *, dtype: Any = None, generator: Generator | None = None
) -> Tensor:
    """Return vectors of probabilities drawn from a Dirichlet distribution.

        y = g / sum(g) with gamma variables g;   mean concentration / sum(concentration)

    Args:
        concentration: tensor [..., n] of numbers > 0; no gradient flows to it.
        shape: sizes of the axes in front; default none.
        dtype: float type; default float32.
        generator: source of random numbers; default `cr.default_generator`.

    Returns:
        Tensor [*shape, ..., n] whose last axis adds up to 1.

    Raises:
        ShapeError: a concentration without axes.
        DTypeError: the dtype is not a float.

    Example:
        >>> import chainrule as cr
        >>> _ = cr.manual_seed(0)
        >>> y = cr.random.dirichlet(cr.asarray([1.0, 2.0, 3.0]), 4)
        >>> y.shape, bool(cr.all(cr.abs(cr.sum(y, axis=-1) - 1) < 1e-6))
        ((4, 3), True)
    """
    target = float_dtype("dirichlet", dtype)
    weights = cast(as_tensor(concentration), float64)
    if not weights.ndim:
        raise ShapeError("random.dirichlet needs a vector of concentrations; got the shape ().")
    g = _gamma((*sizes_tuple(shape, "random.dirichlet"), *weights.shape), weights, generator)
    return cast(divide(g, sum(g, -1, keepdims=True)), target)


# ---------------------------------------------------------------------------------------------------- categories
def categorical(logits: Tensor, shape: Shape = (), *, axis: int = -1, generator: Generator | None = None) -> Tensor:
    """Return classes drawn with the probabilities softmax(logits).

        y = argmax(logits + gumbel noise)

    Args:
        logits: float tensor [..., n, ...]; -infinity stands for a class that is never drawn.
        shape: sizes of the axes in front: how many draws; default one.
        axis: the axis of the classes; default -1.
        generator: source of random numbers; default `cr.default_generator`.

    Returns:
        int64 tensor [*shape, ...] of classes in [0, n), without the axis of the classes.

    Raises:
        IndexRangeError: the axis does not exist.
        ShapeError: there is no class.

    Example:
        >>> import chainrule as cr
        >>> cr.random.categorical(cr.asarray([-float("inf"), 0.0]), 4)
        tensor([1, 1, 1, 1], shape=(4,), dtype=int64)

    Source: Gumbel, Statistical Theory of Extreme Values, 1954; computed in float64.
    """
    logits = cast(as_tensor(logits), float64).detach()
    logits = moveaxis(logits, axis_index(axis, logits.ndim, "random.categorical"), logits.ndim - 1)
    sizes = sizes_tuple(shape, "random.categorical")
    return argmax(logits + _gumbel((*sizes, *logits.shape), generator), axis=-1)


def multinomial(
    weights: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Return classes drawn in proportion to weights.

    Args:
        weights: tensor [n] or [batch, n] of numbers >= 0; they need not add up to 1.
        num_samples: how many to draw from each row, >= 1; without replacement at most as many as have a weight > 0.
        replacement: whether a class can be drawn again; default False.
        generator: source of random numbers; default `cr.default_generator`.

    Returns:
        int64 tensor [num_samples] or [batch, num_samples], in the order in which they were drawn.

    Raises:
        ShapeError: weights without axes, or, without replacement, fewer classes than samples.
        ValueError: num_samples below 1.

    Example:
        >>> import chainrule as cr
        >>> cr.random.multinomial(cr.asarray([0.0, 3.0, 0.0]), 2, replacement=True)
        tensor([1, 1], shape=(2,), dtype=int64)

    Source: the largest of logarithms with Gumbel noise, Efraimidis and Spirakis, Inf. Process. Lett. 97 (2006).
    """
    w = cast(as_tensor(weights), float64).detach()
    if num_samples < 1:
        raise ValueError(f"multinomial.num_samples must be an int >= 1; got {num_samples}.")
    if not w.ndim:
        raise ShapeError("random.multinomial needs a vector of weights; got the shape ().")
    if not replacement and w.shape[-1] < num_samples:
        raise ShapeError(
            f"random.multinomial: {num_samples} samples without replacement need as many classes; "
            f"the weights are {w.shape}."
        )
    logits = _log(w)
    if replacement:
        return moveaxis(categorical(logits, num_samples, generator=generator), 0, -1)
    order = argsort(logits + _gumbel(logits.shape, generator), axis=-1, descending=True)
    return narrow(order, order.ndim - 1, 0, num_samples)
