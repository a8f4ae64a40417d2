"""The background thread alone: order, bound, errors, ends."""

from __future__ import annotations

import re
import threading

import pytest

from chainrule.data.prefetch import ahead


def test_order_and_end():
    for size in (1, 2, 100):
        assert list(ahead(iter(range(50)), size)) == list(range(50))
    assert list(ahead(iter(()), 1)) == []


def test_never_more_than_size_items_are_ready():
    made = []

    def items():
        for i in range(20):
            made.append(i)
            yield i

    for i in ahead(items(), 3):
        assert len(made) <= i + 5  # this one, three ready, one that waits for room


def test_the_same_exception_arrives_after_the_items_before_it():
    error = LookupError("seven")

    def items():
        yield from range(7)
        raise error

    loop = ahead(items(), 2)
    assert [next(loop) for _ in range(7)] == list(range(7))
    with pytest.raises(LookupError, match=r"^seven$") as caught:
        next(loop)
    assert caught.value is error
    assert list(loop) == []


def test_stopping_early_closes_the_source_in_its_thread():
    closed = []

    def items():
        try:
            yield from range(100)
        finally:
            closed.append(threading.current_thread().name)

    loop = ahead(items(), 2)
    assert next(loop) == 0
    loop.close()
    assert closed == ["chainrule-prefetch"]


def test_a_generator_never_begun_starts_no_thread():
    before = threading.active_count()
    ahead(iter("abc"), 2).close()
    assert threading.active_count() == before


def test_size():
    with pytest.raises(ValueError, match=f"^{re.escape('ahead.size must be an int >= 1; got 0.')}$"):
        ahead(iter(()), 0)
