"""Counter-based random bits: Philox4x32-10, the one source of randomness in chainrule.

A block is four 32-bit words, a pure function of a 128-bit counter and a 64-bit key, so any word of any stream can be
computed on its own: no state but (key, offset), nothing to share between threads, and a run resumes by its offset.

    one round, on words (x0, x1, x2, x3) with round key (k0, k1):
        p0 = 0xD2511F53 * x0,  p1 = 0xCD9E8D57 * x2                                     64-bit products
        (x0, x1, x2, x3) = (hi(p1) ^ x1 ^ k0, lo(p1), hi(p0) ^ x3 ^ k1, lo(p0))
        (k0, k1) = (k0 + 0x9E3779B9, k1 + 0xBB67AE85) mod 2**32                         after each of the ten rounds

The map: `philox_block` is the definition on Python integers; `philox_bits` is the same on arrays, in chunks that stay
in cache (about 4 ns per word; NumPy's own C generator takes half of that); `fold_in` derives keys; `permutation`
shuffles.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011; the Philox4x32 variant with
10 rounds, word order as in their Random123 library.
"""

from __future__ import annotations

import operator

import numpy as np

__all__ = ["fold_in", "permutation", "philox_bits", "philox_block"]

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)  # added to the key after each round: golden ratio, sqrt(3) - 1
WORD = 0xFFFFFFFF
KEY_LIMIT = 1 << 64
OFFSET_LIMIT = 1 << 130  # 2**128 blocks of four words
FOLD_TAG = 0x666F6C64  # "fold": derived keys use counters that no stream shorter than 2**128 words reaches

# Blocks per chunk: three arrays of [2, 8192] uint64 are 393 kB, inside a 1 MB second-level cache. Measured per word:
# 4096 blocks 7.8 ns (call overhead), 8192 blocks 3.9 ns, 16384 blocks 3.6 ns, 65536 blocks 4.2 ns.
CHUNK = 8192

_MASK = np.uint64(WORD)
_HALF = np.uint64(32)
# Row 0 of the state holds x0 before even rounds and x2 before odd ones (see `_rounds`), so constants alternate too.
_FACTORS = np.array(
    [[[MULTIPLIERS[i % 2]], [MULTIPLIERS[1 - i % 2]]] for i in range(2)], dtype=np.uint64
)  # [parity, row, 1]
_STEPS = np.array(
    [[[i * WEYL[1 - i % 2]], [i * WEYL[i % 2]]] for i in range(ROUNDS)], dtype=np.uint64
)  # [round, row, 1]


def philox_block(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Encrypt one 128-bit counter with one 64-bit key: the definition of the generator, on Python integers.

    Args:
        counter: four words, each in [0, 2**32), least significant first.
        key: two words, each in [0, 2**32), least significant first.

    Returns:
        Four words of random bits, each in [0, 2**32).

    Example:
        >>> [hex(word) for word in philox_block((0, 0, 0, 0), (0, 0))]
        ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']

    Source: Salmon et al., SC 2011, section 3.3.
    """
    x0, x1, x2, x3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        p0, p1 = MULTIPLIERS[0] * x0, MULTIPLIERS[1] * x2
        x0, x1, x2, x3 = (p1 >> 32) ^ x1 ^ k0, p1 & WORD, (p0 >> 32) ^ x3 ^ k1, p0 & WORD
        k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
    return x0, x1, x2, x3


def philox_bits(key: int, offset: int, count: int) -> np.ndarray:
    """Return `count` random words of the stream `key`, beginning at word `offset`.

        word[i] = philox_block(counter=(offset + i) // 4, key)[(offset + i) % 4]

    Args:
        key: the stream, in [0, 2**64).
        offset: words before the first one wanted, >= 0; any cut of a stream gives the same words.
        count: words wanted, >= 0.

    Returns:
        uint32 array [count].

    Raises:
        TypeError: an argument that is no integer.
        ValueError: an argument outside its range.

    Example:
        >>> philox_bits(0, 2, 3)
        array([3159862348, 2600524760, 4175744164], dtype=uint32)
        >>> philox_bits(7, 0, 10)[4:].tolist() == philox_bits(7, 4, 6).tolist()
        True

    Source: Salmon et al., SC 2011.
    """
    key = _integer("philox_bits", "key", key, KEY_LIMIT)
    offset = _integer("philox_bits", "offset", offset, OFFSET_LIMIT)
    count = _integer("philox_bits", "count", count, OFFSET_LIMIT - offset + 1)  # up to the last word there is
    first, skip = divmod(offset, 4)
    blocks = -(-(skip + count) // 4)
    words = np.empty((blocks, 4), dtype=np.uint32)
    round_keys = _round_keys(key)
    width = min(CHUNK, blocks)
    scratch = np.empty((3, 2, width), dtype=np.uint64)
    done = 0
    while done < blocks:
        low = (first + done) & (KEY_LIMIT - 1)
        n = min(width, blocks - done, KEY_LIMIT - low)  # a chunk never carries out of the counter's lower 64 bits
        _rounds(low, (first + done) >> 64, round_keys, scratch[:, :, :n], words[done : done + n])
        done += n
    return words.reshape(-1)[skip : skip + count]


def fold_in(key: int, *data: int) -> int:
    """Derive an independent key from a key and integers, such as (seed, epoch, sample index).

        fold_in(key, a, b) = fold_in(fold_in(key, a), b),   fold_in(key, a) = the first 64 bits of a tagged block

    Args:
        key: in [0, 2**64).
        *data: integers, each in [0, 2**64); the order counts.

    Returns:
        A key in [0, 2**64).

    Raises:
        TypeError: an argument that is no integer.
        ValueError: an argument outside its range.

    Example:
        >>> fold_in(0, 1) != fold_in(0, 2)
        True
        >>> fold_in(0, 1, 2) == fold_in(fold_in(0, 1), 2)
        True

    Source: the idea is `jax.random.fold_in`; there the block cipher is Threefry.
    """
    key = _integer("fold_in", "key", key, KEY_LIMIT)
    for item in data:
        item = _integer("fold_in", "data", item, KEY_LIMIT)
        low, high, _, _ = philox_block((item & WORD, item >> 32, 0, FOLD_TAG), (key & WORD, key >> 32))
        key = low | high << 32
    return key


def permutation(key: int, count: int) -> np.ndarray:
    """Return a random order of the integers 0 to count - 1, the same for the same key everywhere.

        order = stable argsort of r,   r[i] = word[2 i] + 2**32 word[2 i + 1]

    Args:
        key: in [0, 2**64).
        count: how many integers, >= 0.

    Returns:
        int64 array [count]; each of 0 .. count - 1 once.

    Raises:
        TypeError: an argument that is no integer.
        ValueError: an argument outside its range.

    Example:
        >>> permutation(0, 5)
        array([3, 4, 2, 1, 0])

    Source: sorting by random keys, Knuth, The Art of Computer Programming 2, 3.4.2; two of 60,000 keys tie with
        probability 1e-10, and then keep their order.
    """
    key = _integer("permutation", "key", key, KEY_LIMIT)
    count = _integer("permutation", "count", count, OFFSET_LIMIT // 2)
    pairs = philox_bits(key, 0, 2 * count).astype("<u4", copy=False).view("<u8")  # [count]
    return np.argsort(pairs, kind="stable").astype(np.int64, copy=False)


def _round_keys(key: int) -> np.ndarray:
    """Return the two key words of each round in the row order of `_rounds`, uint64 [10, 2, 1]."""
    low, high = key & WORD, key >> 32
    words = np.array([[[high], [low]], [[low], [high]]], dtype=np.uint64)  # [parity, row, 1]
    return (np.tile(words, (ROUNDS // 2, 1, 1)) + _STEPS) & _MASK


def _rounds(low: int, high: int, round_keys: np.ndarray, scratch: np.ndarray, out: np.ndarray) -> None:
    """Write the blocks of counters high * 2**64 + low + (0 .. n - 1) to out [n, 4].

    Both halves of a block go through one array operation: row r of `a` is multiplied (x0 or x2), row r of `b` holds the
    word behind it (x1 or x3). A round swaps the halves; instead of moving them back, odd rounds use swapped constants.
    """
    a, b, product = scratch  # each [2, n]
    counter = np.arange(out.shape[0], dtype=np.uint64) + np.uint64(low)
    np.bitwise_and(counter, _MASK, out=a[0])
    np.right_shift(counter, _HALF, out=b[0])
    a[1] = high & WORD
    b[1] = high >> 32
    for i in range(ROUNDS):
        np.multiply(a, _FACTORS[i % 2], out=product)
        np.right_shift(product, _HALF, out=a)
        np.bitwise_xor(a, b[::-1], out=a)
        np.bitwise_xor(a, round_keys[i], out=a)
        np.bitwise_and(product, _MASK, out=b)
    out[:, 0] = a[0]
    out[:, 1] = b[0]
    out[:, 2] = a[1]
    out[:, 3] = b[1]


def _integer(function: str, name: str, value: int, limit: int) -> int:
    """Return value as a Python integer in [0, limit), or raise the one sentence for bad settings."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{function}.{name} must be an int; got {value!r} of type {type(value).__name__}.") from None
    if not 0 <= number < limit:
        power = limit > WORD and limit & (limit - 1) == 0
        bound = f"[0, 2**{limit.bit_length() - 1})" if power else f"[0, {limit - 1}]"
        raise ValueError(f"{function}.{name} must be an int in {bound}; got {number}.")
    return number
