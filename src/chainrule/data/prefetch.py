"""One background thread that makes the next items while the consumer works on this one.

`ahead(items, size)` yields what `items` yields, in order. The thread holds at most `size` finished items. An exception
in `items` reaches the consumer at the item where it happened, as the same object. When the consumer stops early (break,
an error, garbage collection) the thread is told, `items` is closed, and the thread is joined: none is left behind.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator
from typing import Any

__all__ = ["ahead"]


class _Buffer:
    """What the two threads share: finished items, and the two signals."""

    def __init__(self, size: int):
        self.size = size
        self.items: deque[tuple[bool, Any]] = deque()  # (is it an exception, the item or the exception)
        self.finished = False
        self.stopped = False
        self.changed = threading.Condition()


def ahead(items: Iterator[Any], size: int) -> Generator[Any, None, None]:
    """Yield the items of an iterator, computed in one background thread up to `size` items ahead.

    Args:
        items: any iterator or generator; only the background thread touches it.
        size: the number of finished items kept ready, >= 1.

    Returns:
        A generator; closing it ends the thread.

    Raises:
        ValueError: size below 1.

    Example:
        >>> list(ahead(iter("abc"), 2))
        ['a', 'b', 'c']
    """
    if size < 1:
        raise ValueError(f"ahead.size must be an int >= 1; got {size}.")
    return _consume(items, size)


def _consume(items: Iterator[Any], size: int) -> Generator[Any, None, None]:
    buffer = _Buffer(size)
    thread = threading.Thread(target=_produce, args=(items, buffer), name="chainrule-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            with buffer.changed:
                buffer.changed.wait_for(lambda: buffer.items or buffer.finished)
                if not buffer.items:
                    return
                failed, item = buffer.items.popleft()
                buffer.changed.notify_all()
            if failed:
                raise item
            yield item
            del item  # the consumer alone decides how long a batch lives
    finally:
        if not sys.is_finalizing():  # at exit the thread may be frozen already (always from Python 3.14 on)
            with buffer.changed:
                buffer.stopped = True
                buffer.changed.notify_all()
            thread.join()


def _produce(items: Iterator[Any], buffer: _Buffer) -> None:
    try:
        for item in items:
            if not _put(buffer, False, item):
                break
            del item
    except BaseException as error:  # whatever it is, it belongs to the consumer
        _put(buffer, True, error)
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()
        with buffer.changed:
            buffer.finished = True
            buffer.changed.notify_all()


def _put(buffer: _Buffer, failed: bool, item: Any) -> bool:
    """Store an item when there is room; False where nobody wants it any more."""
    with buffer.changed:
        buffer.changed.wait_for(lambda: len(buffer.items) < buffer.size or buffer.stopped)
        if buffer.stopped:
            return False
        buffer.items.append((failed, item))
        buffer.changed.notify_all()
        return True
