"""How much memory a file may ask for: a small file that would unpack to a hundred times its size is refused.

Weights hardly compress, so an honest file stays far below both limits; a zip bomb, or a tensor of a trillion elements
over a storage of one, does not.
"""

from __future__ import annotations

import math

__all__ = ["FACTOR", "FREE", "Allowance", "Refused", "possible", "size_in_words"]

FREE = 256 << 20  # bytes that any file may ask for
FACTOR = 100  # times the file's size that a larger one may
MOST_AXES = 32
MOST_ELEMENTS = 1 << 48  # of any tensor, axes of length 0 left out: beyond it NumPy's own sizes overflow


class Refused(Exception):
    """A file that can't be read; the words complete the sentence that begins with the file's name."""


class Allowance:
    """The bytes that the content of one file may take.

    Args:
        size: of the file, in bytes.
    """

    def __init__(self, size: int):
        self.size, self.left = size, max(FREE, FACTOR * size)

    def take(self, count: int, what: str) -> None:
        """Count bytes that are about to be allocated.

        Args:
            count: bytes.
            what: they are for.

        Raises:
            Refused: together they are more than the file may ask for.
        """
        if count > self.left:
            raise Refused(
                f"is refused: {what} would take {size_in_words(count)}, and a file of {size_in_words(self.size)} may "
                f"unpack to {size_in_words(max(FREE, FACTOR * self.size))} in all"
            )
        self.left -= count


def possible(shape: tuple[int, ...]) -> bool:
    """Return whether a shape is one that an array can have.

    Args:
        shape: whole numbers.

    Example:
        >>> possible((3, 0, 4)), possible((0, 1 << 60)), possible((-1,))
        (True, False, False)
    """
    whole = all(isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in shape)
    return len(shape) <= MOST_AXES and whole and math.prod(size for size in shape if size) <= MOST_ELEMENTS


def size_in_words(count: int) -> str:
    """Return a number of bytes for a message, such as "3.2 MB"; beyond any memory "more than 1000 TB".

    Args:
        count: bytes.

    Example:
        >>> size_in_words(3_200_000), size_in_words(17)
        ('3.2 MB', '17 bytes')
    """
    if count >= 10**15:
        return "more than 1000 TB"
    for unit, word in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {word}"
    return f"{count} bytes"
