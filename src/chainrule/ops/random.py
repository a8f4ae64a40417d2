"""Random numbers: distributions made of random bits by exact arithmetic.

A generator (`chainrule.core.random`) holds key and offset; each draw takes its words from it, one per value of float32
and bfloat16, two per value of all else. Bits become numbers by shifts, integer arithmetic and, where a distribution
needs more, fixed polynomials (`normal_quantile`, `fixed_log`, `fixed_exp`): so eager and compiled steps, on all
machines, draw equal numbers. Draws are differentiable in their tensor parameters `low`, `high`, `mean`, `std`, `rate`.
Those made of logarithms stand in `_distributions.py`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.dtypes import bool_, float32, int64, to_dtype, uint64
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.random import Generator, default_generator, manual_seed
from chainrule.core.tensor import Tensor
from chainrule.ops._bits import float_dtype, inside, unit, word_pair
from chainrule.ops._distributions import beta, categorical, dirichlet, exponential, gamma, gumbel, multinomial
from chainrule.ops._inputs import as_tensor, cast, sizes_tuple
from chainrule.ops.gather import take
from chainrule.ops.quantile import normal_quantile
from chainrule.ops.selection import clip
from chainrule.ops.sort import argsort

__all__ = [
    "Generator",
    "bernoulli",
    "beta",
    "categorical",
    "default_generator",
    "dirichlet",
    "exponential",
    "gamma",
    "gumbel",
    "manual_seed",
    "multinomial",
    "normal",
    "permutation",
    "randint",
    "truncated_normal",
    "uniform",
]

Shape = int | tuple[int, ...] | list[int]
Number = float | Tensor


# ---------------------------------------------------------------------------------------------------- floats
def uniform(
    shape: Shape, low: Number = 0.0, high: Number = 1.0, *, dtype: Any = None, generator: Generator | None = None
) -> Tensor:
    """Return numbers drawn evenly from [low, high).

        y = low + (high - low) u,   u a multiple of 2^-24 in [0, 1) (float64: 2^-53, bfloat16: 2^-8)

    Args:
        shape: sizes of the axes.
        low: lower end, included; number or tensor that broadcasts to the shape; default 0.
        high: upper end, left out up to rounding; default 1.
        dtype: float type; default float32.
        generator: source of random numbers; default `cr.default_generator`.

    Returns:
        Tensor of the given shape.

    Raises:
        DTypeError: the dtype is not a float.

    Example:
        >>> import chainrule as cr
        >>> _ = cr.manual_seed(0)
        >>> x = cr.random.uniform(1000, -1.0, 1.0)
        >>> bool(cr.all(x >= -1)), bool(cr.all(x < 1))
        (True, True)
    """
    u = unit(sizes_tuple(shape, "random.uniform"), float_dtype("uniform", dtype), generator)
    if not isinstance(low, Tensor) and not isinstance(high, Tensor):
        return u if (low, high) == (0.0, 1.0) else u * float(high - low) + float(low)
    return u * (high - low) + low


def normal(
    shape: Shape, mean: Number = 0.0, std: Number = 1.0, *, dtype: Any = None, generator: Generator | None = None
) -> Tensor:
    """Return numbers drawn from a normal distribution.

        y = mean + std quantile(u),   u odd multiples of 2^-53 in (0, 1), so |quantile| <= 8.21

    Args:
        shape: sizes of the axes.
        mean: of the distribution; number or tensor that broadcasts to the shape; default 0.
        std: its standard deviation; default 1.
        dtype: float type; default float32; the standard normal number is computed in float64 and rounded once.
        generator: source of random numbers; default `cr.default_generator`.

    Returns:
        Tensor of the given shape.

    Raises:
        DTypeError: the dtype is not a float.

    Example:
        >>> import chainrule as cr
        >>> _ = cr.manual_seed(0)
        >>> abs(cr.random.normal(10000).mean().item()) < 0.05
        True

    Source: inversion, with Wichura's AS 241 (1988); see `normal_quantile`.
    """
    sizes, target = sizes_tuple(shape, "random.normal"), float_dtype("normal", dtype)
    z = cast(normal_quantile(inside(sizes, generator)), target)
    plain = not isinstance(mean, Tensor) and not isinstance(std, Tensor) and (mean, std) == (0.0, 1.0)
    return z if plain else z * std + mean


def truncated_normal(
    shape: Shape,
    mean: float = 0.0,
    std: float = 1.0,
    low: float = -2.0,
    high: float = 2.0,
    *,
    dtype: Any = None,
    generator: Generator | None = None,
) -> Tensor:
    """Return numbers drawn from a normal distribution within bounds; those outside are never drawn.

        y = mean + std quantile(F(a) + u (F(b) - F(a))),   a = (low - mean) / std,  b = (high - mean) / std

    Args:
        shape: sizes of the axes.
        mean: of the distribution before it is cut; default 0.
        std: its standard deviation before it is cut, > 0; default 1.
        low: lower bound of the results; default -2.
        high: upper bound of the results; default 2.
        dtype: float type; default float32.
        generator: source of random numbers; default `cr.default_generator`.

    Returns:
        Tensor of the given shape.

    Raises:
        ValueError: bounds that do not ascend, or a std that is not positive.
        DTypeError: the dtype is not a float.

    Example:
        >>> import chainrule as cr
        >>> _ = cr.manual_seed(0)
        >>> bool(cr.all(cr.abs(cr.random.truncated_normal(1000)) <= 2))
        True

    Source: inversion, as `torch.nn.init.trunc_normal_`; F is Python's `math.erfc`.
    """
    sizes, target = sizes_tuple(shape, "random.truncated_normal"), float_dtype("truncated_normal", dtype)
    if not std > 0:
        raise ValueError(f"truncated_normal.std must be a float > 0; got {std}.")
    if not low < high:
        raise ValueError(f"truncated_normal.high must be a float > low = {low}; got {high}.")
    a, b = (low - mean) / std, (high - mean) / std
    sign = -1.0 if a > 0 else 1.0  # both bounds in the upper tail: draw in the lower one, where F has its digits
    first, last = (_below(a), _below(b)) if sign > 0 else (_below(-b), _below(-a))
    z = normal_quantile(inside(sizes, generator) * (last - first) + first)
    return clip(cast(z * (sign * std) + mean, target), low, high)


def _below(z: float) -> float:
    """Return the probability that a standard normal variable is below z."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


# ---------------------------------------------------------------------------------------------------- choices
def bernoulli(
    p: Number, shape: Shape | None = None, *, dtype: Any = None, generator: Generator | None = None
) -> Tensor:
    """Return True with probability p, else False.

        y = u < p,   u a multiple of 2^-24 in [0, 1)

    Args:
        p: probability in [0, 1]; number or tensor.
        shape: sizes of the axes; default those of p.
        dtype: element type; default bool.
        generator: source of random numbers; default `cr.default_generator`.

    Returns:
        Tensor of the given shape.

    Raises:
        ValueError: a number p outside [0, 1].

    Example:
        >>> import chainrule as cr
        >>> cr.random.bernoulli(1.0, 3)
        tensor([ True,  True,  True], shape=(3,), dtype=bool)
    """
    if not isinstance(p, Tensor) and not 0.0 <= p <= 1.0:
        raise ValueError(f"bernoulli.p must be a float in [0, 1]; got {p}.")
    chance = as_tensor(p)
    sizes = chance.shape if shape is None else sizes_tuple(shape, "random.bernoulli")
    hits = unit(sizes, float32, generator) < cast(chance, float32)
    return cast(hits, bool_ if dtype is None else to_dtype(dtype))


def randint(shape: Shape, low: int, high: int, *, dtype: Any = None, generator: Generator | None = None) -> Tensor:
    """Return integers drawn evenly from low to high - 1.

        y = low + floor(r (high - low) / 2^64),   r 64 random bits

    Args:
        shape: sizes of the axes.
        low: smallest integer.
        high: the integer after the largest, > low.
        dtype: integer type that holds both ends; default int64.
        generator: source of random numbers; default `cr.default_generator`.

    Returns:
        Tensor of the given shape.

    Raises:
        ValueError: an empty range, or one that the dtype does not hold.
        DTypeError: the dtype is not an integer.

    Example:
        >>> import chainrule as cr
        >>> _ = cr.manual_seed(0)
        >>> sorted(set(cr.random.randint(100, 1, 7).tolist()))
        [1, 2, 3, 4, 5, 6]

    Source: multiplication instead of division, Lemire, ACM TOMACS 29 (2019), without its rejection: no probability is
        off by more than 2^-64.
    """
    target = int64 if dtype is None else to_dtype(dtype)
    if not target.is_integer:
        raise DTypeError(f"random.randint draws integers; got dtype {target.name}: use uniform or .astype.")
    limits = np.iinfo(target.numpy)
    if not low < high:
        raise ValueError(f"randint.high must be an int > low = {low}; got {high}.")
    if low < limits.min or high - 1 > limits.max:
        raise ValueError(f"randint: {target.name} holds [{limits.min}, {limits.max}], not [{low}, {high - 1}].")
    r1, r0 = (cast(word, uint64) for word in word_pair(sizes_tuple(shape, "random.randint"), generator))
    n1, n0 = divmod(high - low, 1 << 32)
    low_word = (1 << 32) - 1
    middle = ((r0 * n0) >> 32) + ((r1 * n0) & low_word) + ((r0 * n1) & low_word)
    product = r1 * n1 + ((r1 * n0) >> 32) + ((r0 * n1) >> 32) + (middle >> 32)  # upper 64 of 128 bits
    shifted = product + low % (1 << 64)  # modulo 2^64, as two's complement
    return cast(cast(shifted, int64) if target.kind == "int" else shifted, target)


def permutation(x: int | Tensor, *, generator: Generator | None = None) -> Tensor:
    """Return the integers below x, or the rows of x, in random order.

    Args:
        x: number of integers, >= 0, or a tensor with at least one axis.
        generator: source of random numbers; default `cr.default_generator`.

    Returns:
        int64 tensor [x], or a tensor of the shape and dtype of x.

    Raises:
        ShapeError: a tensor without axes.

    Example:
        >>> import chainrule as cr
        >>> _ = cr.manual_seed(0)
        >>> sorted(cr.random.permutation(5).tolist())
        [0, 1, 2, 3, 4]

    Source: sorting by random 64-bit keys, Knuth, The Art of Computer Programming 2, 3.4.2.
    """
    if isinstance(x, Tensor) and not x.ndim:
        raise ShapeError("random.permutation needs an int, or a tensor with axes; got a tensor of shape ().")
    high, low = word_pair(sizes_tuple(x.shape[0] if isinstance(x, Tensor) else x, "random.permutation"), generator)
    order = argsort((cast(high, uint64) << 32) | cast(low, uint64))
    return take(x, order, axis=0) if isinstance(x, Tensor) else order
