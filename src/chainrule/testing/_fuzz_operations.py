"""What the compiler's random programs are made of: each maker chooses inputs and settings, or refuses what it is given.

A maker gets the generator and a `Pool` of values and returns which of them it takes and what it does with them. The
values come from an eager run, so a maker may look at shapes and dtypes; `sane` throws out what overflows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.core.tensor import Tensor

__all__ = ["MAKERS", "SIZES", "Made", "Pool", "random_array", "random_shape", "sane"]

SIZES = (0, 1, 1, 2, 3, 3, 4, 5, 7, 8, 9, 16, 17, 33)
LARGEST, MOST = 1e4, 12_000  # of a value, and of the elements of one
FLOATS = ("float32", "float64", "bfloat16")
INTEGERS = ("int32", "int64", "int8", "uint8")
Made = tuple[tuple[int, ...], Callable[..., Any]]


@dataclass
class Pool:
    """The values that a program has so far.

    Args:
        rng: what chooses.
        values: one tensor per leaf and step.
        wide: whether sizes go beyond three register tiles.
    """

    rng: np.random.Generator
    values: list[Tensor] = field(default_factory=list)
    wide: bool = False

    def pick(self, fits: Callable[[Tensor], bool]) -> int | None:
        """Return the number of a value that fits, more often a new one; None if there is none."""
        found = [n for n, v in enumerate(self.values) if fits(v)]
        if not found:
            return None
        if self.rng.random() < 0.6:
            found = found[-4:]
        return int(self.rng.choice(found))

    def floating(self, *ranks: int) -> int | None:
        """Return a float value, of one of these ranks if any are given."""
        return self.pick(lambda v: v.dtype.is_float and (not ranks or v.ndim in ranks))

    def constant(self, shape: Sequence[int], dtype: str) -> Tensor:
        """Return a new constant of the graph."""
        return Tensor(random_array(self.rng, shape, dtype))

    def one_of(self, *choices: Any) -> Any:
        """Return one of the choices."""
        return choices[self.rng.integers(len(choices))]


def random_shape(rng: np.random.Generator, most: int = 600) -> tuple[int, ...]:
    """Return a shape of rank 0 to 4; sizes 0 are rare, for nothing follows them."""
    rank = int(rng.choice([0, 1, 2, 2, 2, 3, 3, 4]))
    while True:
        shape = tuple(int(n) for n in rng.choice(SIZES if rng.random() < 0.08 else SIZES[1:], rank))
        if math.prod(shape) <= most:
            return shape


def random_array(rng: np.random.Generator, shape: Sequence[int], dtype: str) -> np.ndarray:
    """Return an array that compiled and eager code can both work on."""
    kind = cr.result_type(getattr(cr, dtype))
    if dtype == "bool":
        array: Any = rng.random(shape) < 0.5
    elif dtype in INTEGERS:
        array = rng.integers(0 if dtype[0] == "u" else -5, 8, shape)
    else:
        array = rng.uniform(-2.0, 2.0, shape)
        if rng.random() < 0.2:
            array = np.round(array)  # ties, and zeros
    return np.asarray(array).astype(kind.numpy)


def sane(value: Tensor) -> bool:
    """Return whether a value is neither large nor so small that flushing denormals would show."""
    if value.size > MOST:
        return False
    if not value.dtype.is_float:
        return value.dtype.name == "bool" or value.size == 0 or bool(np.abs(value.numpy().astype(float)).max() < 1e9)
    array = np.abs(value.numpy().astype(np.float64))
    return bool(((array <= LARGEST) & ((array > 1e-9) | (array == 0))).all())


MAKERS: dict[str, list[Callable[[Pool], Made | None]]] = {}


def _maker(family: str) -> Callable:
    def register(function: Callable[[Pool], Made | None]) -> Callable[[Pool], Made | None]:
        MAKERS.setdefault(family, []).append(function)
        return function

    return register


def _axis(pool: Pool, v: Tensor) -> int:
    return int(pool.rng.integers(-v.ndim, v.ndim))


# ---------------------------------------------------------------------------------------------------- elementwise
_SMOOTH = "negative sin cos tanh sigmoid erf square abs relu silu gelu softplus atan asinh expm1 exp sign elu"
SMOOTH = _SMOOTH.split()
DOMAINS: dict[str, Callable[[Tensor], Tensor]] = {
    "sqrt": lambda x: cr.sqrt(cr.abs(x) + 0.125),
    "log": lambda x: cr.log(cr.abs(x) + 0.5),
    "log1p": lambda x: cr.log1p(x * x),
    "rsqrt": lambda x: cr.rsqrt(x * x + 1.0),
    "reciprocal": lambda x: cr.reciprocal(cr.abs(x) + 1.0),
    "asin": lambda x: cr.asin(cr.tanh(x) * 0.75),
    "pow": lambda x: cr.pow(cr.abs(x) + 0.25, 1.5),
    "log2": lambda x: cr.log2(cr.exp(-cr.abs(x)) + 1.0),
    "clip": lambda x: cr.clip(x, -0.5, 1.5),
    "leaky_relu": lambda x: cr.leaky_relu(x),
    "floor": lambda x: cr.floor(x * 3.0),
    "round": lambda x: cr.round(x * 2.0),
    "where": lambda x: cr.where(x > 0.25, x, x * x),
}
BINARY = ("add", "subtract", "multiply", "maximum", "minimum", "hypot", "atan2", "logaddexp", "copysign")
COMPARISONS = ("less", "less_equal", "greater", "equal", "not_equal", "greater_equal")


@_maker("elementwise")
def _unary(pool: Pool) -> Made | None:
    x = pool.floating()
    if x is None:
        return None
    if pool.rng.random() < 0.5:
        return (x,), getattr(cr, str(pool.rng.choice(SMOOTH)))
    return (x,), DOMAINS[str(pool.rng.choice(list(DOMAINS)))]


def _partner(pool: Pool, x: int, dtype: str | None = None) -> tuple[tuple[int, ...], Callable[..., Any]]:
    """Return how to get a second operand that broadcasts against the first, from the first or another value."""
    v = pool.values[x]
    name = dtype or v.dtype.name

    def fits(o: Tensor) -> bool:
        pairs = zip(reversed(o.shape), reversed(v.shape), strict=False)
        return o.dtype.name == name and all(a == b or 1 in (a, b) for a, b in pairs)

    other = pool.pick(fits)
    if other is not None and pool.rng.random() < 0.75:
        return (x, other), lambda a, b: (a, b)
    shape = tuple(1 if pool.rng.random() < 0.4 else n for n in v.shape)[int(pool.rng.integers(0, v.ndim + 1)) :]
    constant = pool.constant(shape, name)
    return (x,), lambda a: (a, constant)


@_maker("elementwise")
def _binary(pool: Pool) -> Made | None:
    x = pool.floating()
    if x is None:
        return None
    inputs, operands = _partner(pool, x)
    name = str(pool.rng.choice(BINARY[:5] if pool.rng.random() < 0.85 else BINARY))
    if pool.rng.random() < 0.12:
        return inputs, lambda *v: (lambda a, b: a / (cr.abs(b) + 0.5))(*operands(*v))
    swap = pool.rng.random() < 0.5
    return inputs, lambda *v: getattr(cr, name)(*(operands(*v)[::-1] if swap else operands(*v)))


@_maker("elementwise")
def _number(pool: Pool) -> Made | None:
    x = pool.floating()
    number = pool.one_of(2.0, 0.5, -1.0, 1.0, 0.0, 3.0)
    what = pool.one_of(lambda v: v * number, lambda v: v + number, lambda v: number - v, lambda v: v / (number or 4.0))
    return None if x is None else ((x,), what)


@_maker("choices")
def _compare(pool: Pool) -> Made | None:
    x = pool.pick(lambda v: v.dtype.name != "bool")
    if x is None:
        return None
    inputs, operands = _partner(pool, x)
    name = str(pool.rng.choice(COMPARISONS))
    return inputs, lambda *v: getattr(cr, name)(*operands(*v))


@_maker("choices")
def _where(pool: Pool) -> Made | None:
    x = pool.floating()
    if x is None:
        return None
    inputs, operands = _partner(pool, x)
    condition = pool.pick(lambda c: c.dtype.name == "bool" and _broadcasts(c.shape, pool.values[x].shape))
    if condition is None:
        return inputs, lambda *v: (lambda a, b: cr.where(a > b, b, a * 2.0))(*operands(*v))
    return (condition, *inputs), lambda c, *v: cr.where(c, *operands(*v))


def _broadcasts(a: Sequence[int], b: Sequence[int]) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(reversed(a), reversed(b), strict=False))


@_maker("choices")
def _logic(pool: Pool) -> Made | None:
    x = pool.pick(lambda v: v.dtype.name == "bool")
    if x is None:
        return None
    if pool.rng.random() < 0.3:
        return (x,), cr.logical_not
    inputs, operands = _partner(pool, x)
    name = str(pool.rng.choice(["logical_and", "logical_or", "logical_xor"]))
    return inputs, lambda *v: getattr(cr, name)(*operands(*v))


@_maker("choices")
def _integers(pool: Pool) -> Made | None:
    x = pool.pick(lambda v: v.dtype.name in INTEGERS)
    if x is None:
        return None
    inputs, operands = _partner(pool, x)
    name = str(pool.rng.choice(["add", "subtract", "maximum", "bitwise_and", "bitwise_or", "bitwise_xor", "multiply"]))
    if pool.rng.random() < 0.25:
        divide = pool.one_of(cr.floor_divide, cr.remainder)
        return inputs, lambda *v: (lambda a, b: divide(a, cr.maximum(b, cr.ones_like(b))))(*operands(*v))
    return inputs, lambda *v: getattr(cr, name)(*operands(*v))


@_maker("casts")
def _astype(pool: Pool) -> Made | None:
    x = pool.pick(lambda v: True)
    if x is None:
        return None
    source = pool.values[x].dtype
    to = str(pool.rng.choice([*FLOATS, "float32", "float32", "int32", "int64", "int8", "uint8", "bool"]))
    if source.is_float and to in INTEGERS:
        low = 0.0 if to[0] == "u" else -100.0
        return (x,), lambda v: cr.astype(cr.clip(v * 2.0, low, 100.0), getattr(cr, to))
    return (x,), lambda v: cr.astype(v, getattr(cr, to))


# ---------------------------------------------------------------------------------------------------- along axes
REDUCTIONS = ("sum", "sum", "mean", "max", "min", "var", "logsumexp", "prod")
SCANS = ("cumulative_sum", "cumulative_prod", "cumulative_max", "cumulative_min")


@_maker("reductions")
def _reduce(pool: Pool) -> Made | None:
    x = pool.floating(1, 2, 3, 4, 5)
    if x is None:
        return None
    v = pool.values[x]
    name = str(pool.rng.choice(REDUCTIONS))
    axes: Any = tuple(a for a in range(v.ndim) if pool.rng.random() < 0.5) or None
    if pool.rng.random() < 0.4:
        axes = _axis(pool, v)
    keep = bool(pool.rng.random() < 0.5)
    return (x,), lambda v: getattr(cr, name)(v, axis=axes, keepdims=keep)


@_maker("reductions")
def _count(pool: Pool) -> Made | None:
    x = pool.pick(lambda v: not v.dtype.is_float and v.ndim > 0)
    if x is None:
        return None
    v = pool.values[x]
    name = str(pool.rng.choice(["any", "all"] if v.dtype.name == "bool" else ["sum", "max", "min", "any", "all"]))
    axis = _axis(pool, v)
    return (x,), lambda v: getattr(cr, name)(v, axis=axis)


@_maker("reductions")
def _along(pool: Pool) -> Made | None:
    x = pool.floating(1, 2, 3, 4)
    if x is None:
        return None
    axis = _axis(pool, pool.values[x])
    name = str(pool.rng.choice(["softmax", "log_softmax", *SCANS]))
    return (x,), lambda v: getattr(cr, name)(v, axis=axis)


@_maker("reductions")
def _positions(pool: Pool) -> Made | None:
    x = pool.floating(1, 2, 3)
    if x is None:
        return None
    axis = _axis(pool, pool.values[x])
    what = pool.one_of(cr.argmax, cr.argmin, cr.argsort, cr.sort)
    return (x,), lambda v: what(v, axis=axis)


@_maker("norms")
def _layer_norm(pool: Pool) -> Made | None:
    x = pool.floating(2, 3, 4)
    if x is None:
        return None
    v = pool.values[x]
    axes = tuple(range(-int(pool.rng.integers(1, v.ndim)), 0))
    scale = pool.constant([v.shape[a] for a in axes], v.dtype.name)

    def normed(v: Tensor) -> Tensor:
        centred = v - cr.mean(v, axis=axes, keepdims=True)
        return centred * cr.rsqrt(cr.mean(centred * centred, axis=axes, keepdims=True) + 0.01) * scale

    return (x,), normed


@_maker("norms")
def _batch_norm(pool: Pool) -> Made | None:
    x = pool.floating(2, 3, 4)
    if x is None:
        return None
    v = pool.values[x]
    weight, bias = (pool.constant((v.shape[1],), v.dtype.name) for _ in range(2))
    return (x,), lambda v: cr.nn.functional.batch_norm(v, None, None, weight, bias, training=True, eps=0.01)


@_maker("norms")
def _dropout(pool: Pool) -> Made | None:
    x = pool.floating()
    p = float(pool.rng.choice([0.1, 0.5]))
    return None if x is None else ((x,), lambda v: cr.nn.functional.dropout(v, p))
