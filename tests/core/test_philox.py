"""Philox: the published vectors, the array form against the definition, cuts, carries, key derivation, shuffles."""

from __future__ import annotations

import re

import numpy as np
import pytest

from chainrule.core import philox
from chainrule.core.philox import fold_in, permutation, philox_bits, philox_block

# counter, key, result: tests/kat_vectors of Random123 1.14, lines "philox4x32 10"
VECTORS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def join(words: tuple[int, ...]) -> int:
    return sum(word << 32 * i for i, word in enumerate(words))


def by_definition(key: int, offset: int, count: int) -> list[int]:
    words = []
    for i in range(offset, offset + count):
        block = i // 4
        counter = tuple(block >> 32 * j & 0xFFFFFFFF for j in range(4))
        words.append(philox_block(counter, (key & 0xFFFFFFFF, key >> 32))[i % 4])
    return words


@pytest.mark.parametrize(("counter", "key", "result"), VECTORS, ids=["zeros", "ones", "pi"])
def test_random123_known_answers(counter, key, result):
    assert philox_block(counter, key) == result
    assert tuple(philox_bits(join(key), 4 * join(counter), 4)) == result


@pytest.mark.parametrize("key", [0, 1, 2**32 - 1, 2**32, 0x299F31D0A4093822, 2**64 - 1])
@pytest.mark.parametrize("offset", [0, 1, 2, 3, 5, 4 * 2**32 - 7, 4 * 2**64 - 9, 4 * 2**96 - 6, 2**130 - 23], ids=hex)
def test_arrays_follow_the_definition(key, offset):
    bits = philox_bits(key, offset, 22)
    assert bits.dtype == np.uint32
    assert bits.tolist() == by_definition(key, offset, 22)


def test_chunks_and_the_carry_into_the_upper_counter_join_seamlessly():
    start = 4 * (2**64 - philox.CHUNK - 3) + 1
    count = 4 * 3 * philox.CHUNK + 2
    bits = philox_bits(99, start, count)
    for i in (0, 4 * philox.CHUNK - 2, 4 * philox.CHUNK + 10, 8 * philox.CHUNK + 11, count - 3):
        assert bits[i : i + 3].tolist() == by_definition(99, start + i, 3)


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 4, 7, 99, 100])
def test_any_cut_of_a_stream_gives_the_same_words(cut):
    whole = philox_bits(3, 10, 100)
    parts = np.concatenate([philox_bits(3, 10, cut), philox_bits(3, 10 + cut, 100 - cut)])
    assert np.array_equal(whole, parts)


def test_no_words_is_an_empty_array():
    assert philox_bits(0, 0, 0).shape == (0,)
    assert philox_bits(0, 3, 0).shape == (0,)
    assert philox_bits(0, 2**130 - 1, 1).shape == (1,)


def test_numpy_integers_are_integers():
    assert np.array_equal(philox_bits(np.uint64(2**63), np.int64(5), np.int32(3)), philox_bits(2**63, 5, 3))


def test_bits_are_balanced_and_streams_uncorrelated():
    a = np.unpackbits(philox_bits(1, 0, 1 << 15).view(np.uint8)).astype(np.float64)
    b = np.unpackbits(philox_bits(2, 0, 1 << 15).view(np.uint8)).astype(np.float64)
    limit = 5 / (2 * np.sqrt(a.size))  # five standard deviations of a mean of fair bits
    assert abs(a.mean() - 0.5) < limit
    assert abs((a != b).mean() - 0.5) < limit
    assert abs((a[1:] != a[:-1]).mean() - 0.5) < limit


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: philox_bits(-1, 0, 1), ValueError, "philox_bits.key must be an int in [0, 2**64); got -1."),
        (
            lambda: philox_bits(2**64, 0, 1),
            ValueError,
            "philox_bits.key must be an int in [0, 2**64); got 18446744073709551616.",
        ),
        (lambda: philox_bits(0, -4, 1), ValueError, "philox_bits.offset must be an int in [0, 2**130); got -4."),
        (lambda: philox_bits(0, 0, -1), ValueError, f"philox_bits.count must be an int in [0, {2**130}]; got -1."),
        (lambda: philox_bits(0, 2**130 - 1, 2), ValueError, "philox_bits.count must be an int in [0, 1]; got 2."),
        (
            lambda: philox_bits(0.5, 0, 1),
            TypeError,
            "philox_bits.key must be an int; got 0.5 of type float.",
        ),
        (lambda: fold_in(0, -3), ValueError, "fold_in.data must be an int in [0, 2**64); got -3."),
        (lambda: fold_in("a"), TypeError, "fold_in.key must be an int; got 'a' of type str."),
        (lambda: permutation(0, -2), ValueError, "permutation.count must be an int in [0, 2**129); got -2."),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()


def test_fold_in_composes_and_depends_on_every_argument_and_their_order():
    assert fold_in(5) == 5
    assert fold_in(5, 1, 2) == fold_in(fold_in(5, 1), 2)
    keys = {fold_in(key, a, b) for key in range(8) for a in range(8) for b in range(8)}
    assert len(keys) == 512
    assert all(0 <= key < 2**64 for key in keys)
    assert fold_in(0, 2**32) != fold_in(0, 0)


def test_fold_in_is_frozen():
    # a checkpoint of an older version must shuffle the same way: these values may never change
    assert fold_in(0, 0) == join(philox_block((0, 0, 0, 0x666F6C64), (0, 0))[:2])
    assert fold_in(0, 0) == 11614381834307470932
    assert permutation(fold_in(0, 1), 10).tolist() == [2, 4, 7, 8, 0, 3, 5, 6, 9, 1]


def test_derived_keys_do_not_repeat_words_of_the_stream():
    stream = set(philox_bits(11, 0, 4000).view("<u8").tolist())
    assert not stream & {fold_in(11, i) for i in range(1000)}


@pytest.mark.parametrize("count", [0, 1, 2, 17, 60_000])
def test_permutation_holds_each_index_once(count):
    order = permutation(123, count)
    assert order.dtype == np.int64
    assert np.array_equal(np.sort(order), np.arange(count))


def test_permutation_is_uniform():
    # 6 orders of 3 items over 6000 keys: chi-squared with 5 degrees of freedom stays under 20.5 with p = 0.999
    orders = [tuple(permutation(fold_in(0, i), 3)) for i in range(6000)]
    counts = np.array([orders.count(order) for order in sorted(set(orders))])
    assert counts.size == 6
    assert ((counts - 1000.0) ** 2 / 1000.0).sum() < 20.5
