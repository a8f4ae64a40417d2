"""Random bits, and the numbers that all distributions are made of.

random_bits(key, offset)[i] = word offset + i of the Philox stream `key`
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.dtypes import bfloat16, float32, float64, to_dtype, uint32, uint64
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.lowering import IndexMap
from chainrule.core.philox import MULTIPLIERS, ROUNDS, WEYL, philox_bits
from chainrule.core.primitive import Invalid, Sample, TensorType, primitive
from chainrule.core.random import Generator, default_generator
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import cast

__all__ = ["float_dtype", "inside", "unit", "word_array", "word_pair"]


def _bits_shape(key: TensorType, offset: TensorType, *, shape: tuple[int, ...]) -> TensorType:
    if key != offset or key != TensorType((), uint64):
        raise DTypeError(f"random_bits: key and offset must be uint64 without axes; got {key} and {offset}.")
    if any(n < 0 for n in shape):
        raise ShapeError(f"random_bits: sizes must be >= 0; got the shape {shape}.")
    return TensorType(shape, uint32)


def _bits_element(k: Any, at: Any, key: Any, offset: Any, *, shape: tuple[int, ...]) -> Any:
    """Return word offset + i of the stream: Philox4x32-10 on the counter (offset + i) // 4."""
    start, stream = offset(), key()
    word = k.add(start, k.cast(k.flat(at, shape), "u64"))
    carry = k.select(k.lt(word, start), k.const(1 << 62, word), 0)  # beyond 2^64 words
    block = k.either(k.shift_right(word, 2), carry)
    zero = k.const(0, "u32")
    x = [k.cast(block, "u32"), k.cast(k.shift_right(block, 32), "u32"), zero, zero]
    keys = [k.cast(stream, "u32"), k.cast(k.shift_right(stream, 32), "u32")]
    for n in range(ROUNDS):
        if n:
            keys = [k.add(a, step) for a, step in zip(keys, WEYL)]
        (high0, low0), (high1, low1) = (
            (k.multiply_high(a, m), k.mul(a, m)) for a, m in zip((x[0], x[2]), MULTIPLIERS)
        )
        x = [k.xor(k.xor(high1, x[1]), keys[0]), low1, k.xor(k.xor(high0, x[3]), keys[1]), low0]
    lane = k.cast(word, "u32")
    odd, upper = (k.ne(k.both(lane, bit), 0) for bit in (1, 2))
    return k.select(upper, k.select(odd, x[3], x[2]), k.select(odd, x[1], x[0]))


random_bits_p = primitive(
    "random_bits",
    source="Salmon et al., SC 2011",
    lower=IndexMap(_bits_element),
    reference=lambda key, offset, *, shape: philox_bits(int(key), int(offset), math.prod(shape)).reshape(shape),
    shape=_bits_shape,
    samples=[
        Sample((np.uint64(7), np.uint64(0)), {"shape": (5,)}, smooth=False),
        Sample((np.uint64(7), np.uint64(3)), {"shape": (2, 3)}, smooth=False),
        Sample((np.uint64(2**64 - 1), np.uint64(2**40)), {"shape": ()}, smooth=False),
        Sample((np.uint64(7), np.uint64(0)), {"shape": (0, 3)}, smooth=False),
    ],
    invalid=[
        Invalid(
            (np.uint64(7), np.zeros(2, np.uint64)),
            "random_bits: key and offset must be uint64 without axes; got u64[] and u64[2].",
            {"shape": (2,)},
        ),
        Invalid(
            (np.uint64(7), np.uint64(0)), "random_bits: sizes must be >= 0; got the shape (-1,).", {"shape": (-1,)}
        ),
    ],
)


def word_array(shape: tuple[int, ...], generator: Generator | None) -> Tensor:
    """Return uint32 words that nobody gets again."""
    key, offset = (generator or default_generator).take(math.prod(shape))
    return bind(random_bits_p, key, offset, shape=shape)


def word_pair(shape: tuple[int, ...], generator: Generator | None) -> tuple[Tensor, Tensor]:
    """Return two words per value."""
    words = word_array((2, *shape), generator)
    return words[0], words[1]


def unit(shape: tuple[int, ...], dtype: Any, generator: Generator | None) -> Tensor:
    """Return multiples of 2^-24 (float64: 2^-53, bfloat16: 2^-8) in [0, 1), each equally likely."""
    if dtype is float64:
        high, low = word_pair(shape, generator)
        return (cast(high >> 5, float64) * 2.0**26 + cast(low >> 6, float64)) * 2.0**-53
    kept = 8 if dtype is bfloat16 else 24
    return cast(word_array(shape, generator) >> (32 - kept), dtype) * 2.0**-kept


def inside(shape: tuple[int, ...], generator: Generator | None) -> Tensor:
    """Return odd multiples of 2^-53 in (0, 1) as float64: never 0 or 1, and symmetric around 1/2."""
    high, low = word_pair(shape, generator)
    return (cast(high >> 6, float64) * 2.0**27 + (cast(low >> 6, float64) * 2.0 + 1.0)) * 2.0**-53


def float_dtype(name: str, dtype: Any) -> Any:
    """Return the dtype of a draw of floats, float32 by default.

    Raises:
        DTypeError: it is no float.
    """
    target = float32 if dtype is None else to_dtype(dtype)
    if not target.is_float:
        raise DTypeError(f"random.{name} draws floats; got dtype {target.name}: use randint or .astype.")
    return target
