"""MNIST: 70,000 handwritten digits, 28 x 28 grey, inside the package; no download.

The package holds the four official IDX files recompressed with xz (9.2 MB). The first use unpacks them (about 0.6 s)
into the user's cache folder; later uses read them from there. Whatever the source, the uncompressed content has the
published MD5 sum before anything is returned; a damaged or unwritable cache costs time, never correctness.

`mnist` is the function; `FILES` the official names, sums and shapes; `unpacked` the way through the cache.

Source: LeCun, Bottou, Bengio, Haffner, Proc. IEEE 86 (1998). Rebuilt from the PNG files of github.com/rasbt/mnist-pngs
(MIT; licence beside the files), content identical to the official download.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
from dataclasses import dataclass

import numpy as np

from chainrule.core.config import cache_folder
from chainrule.core.errors import ChecksumError, DataError, MissingDataError
from chainrule.core.files import atomic_write
from chainrule.data.dataset import ArrayDataset
from chainrule.data.idx import parse_idx, read_bytes, read_idx

__all__ = ["FILES", "PACKAGED", "OfficialFile", "mnist", "unpacked"]

PACKAGED = pathlib.Path(__file__).parent / "files" / "mnist"
CLASSES = tuple(str(digit) for digit in range(10))


@dataclass(frozen=True)
class OfficialFile:
    """One file of the official download: the MD5 sum of its uncompressed content, and its shape."""

    name: str
    md5: str
    shape: tuple[int, ...]


FILES = {
    ("train", "images"): OfficialFile("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb", (60_000, 28, 28)),
    ("train", "labels"): OfficialFile("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624", (60_000,)),
    ("test", "images"): OfficialFile("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea", (10_000, 28, 28)),
    ("test", "labels"): OfficialFile("t10k-labels-idx1-ubyte", "27ae3e4e09519cfbb04c329615203637", (10_000,)),
}


def mnist(split: str = "train", folder: str | os.PathLike[str] | None = None, *, verify: bool = True) -> ArrayDataset:
    """Return the MNIST digits of one split, with their labels.

    Args:
        split: "train" (60,000 digits) or "test" (10,000); default "train".
        folder: read the official IDX files (plain, .gz or .xz) from this folder, or from mnist/ in it; default the copy
            inside the package.
        verify: check the published MD5 sums of the files in `folder`; default True. False reads other sets in
            the same files, such as Fashion-MNIST.

    Returns:
        ArrayDataset with `images` uint8 [n, 28, 28], 0 paper and 255 ink, and `labels` int64 [n] in [0, 9].

    Raises:
        ValueError: an unknown split.
        MissingDataError: the folder lacks a file; the message lists the names.
        DataError: a file is truncated or no IDX file, or images and labels do not fit together.
        ChecksumError: a file is whole, but not the published one.

    Example:
        >>> digits = mnist("test")
        >>> len(digits), digits.images.shape, digits.labels[:4]
        (10000, (10000, 28, 28), array([7, 2, 1, 0]))

    Source: LeCun, Bottou, Bengio, Haffner, Proc. IEEE 86 (1998).
    """
    if split not in ("train", "test"):
        raise ValueError(f"mnist.split must be 'train' or 'test'; got {split!r}.")
    arrays = []
    for part in ("images", "labels"):
        file = FILES[split, part]
        if folder is None:
            arrays.append(parse_idx(unpacked(file), file.name))
        else:
            arrays.append(_read_official(pathlib.Path(folder), file, verify))
    images, labels = arrays
    if images.dtype != np.uint8 or labels.dtype != np.uint8 or images.ndim != 3 or labels.ndim != 1:
        raise DataError(
            f"mnist expects images uint8 [n, height, width] and labels uint8 [n]; {folder} has images {images.dtype} "
            f"{images.shape} and labels {labels.dtype} {labels.shape}."
        )
    return ArrayDataset(images, labels.astype(np.int64), names=("images", "labels"), classes=CLASSES)


def unpacked(file: OfficialFile) -> bytes:
    """Return the content of a packaged file, from the cache where a sound copy is, else from the package.

    Args:
        file: an entry of `FILES`.

    Returns:
        The bytes of the official uncompressed file.

    Raises:
        ChecksumError: the package itself is damaged.
    """
    with contextlib.suppress(OSError, RuntimeError):  # unreadable cache; a machine without a home folder
        content = (cache_folder() / "mnist" / file.name).read_bytes()
        if _md5(content) == file.md5:
            return content
    packed = PACKAGED / f"{file.name}.xz"
    try:
        content = read_bytes(packed)
    except DataError as error:
        raise ChecksumError(f"{error.message.rstrip('.')}. Install chainrule again.") from None
    if _md5(content) != file.md5:
        raise ChecksumError(
            f"{packed} is damaged: its content is not the published {file.name}. Install chainrule again."
        )
    with contextlib.suppress(OSError, RuntimeError):  # a read-only or full cache only costs the time
        folder = cache_folder() / "mnist"
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(folder / file.name, content)
    return content


def _read_official(folder: pathlib.Path, file: OfficialFile, verify: bool) -> np.ndarray:
    for place in (folder, folder / "mnist"):
        for suffix in ("", ".gz", ".xz"):
            path = place / (file.name + suffix)
            if path.is_file():
                return read_idx(path, md5=file.md5 if verify else None)
    raise MissingDataError(
        f"{folder} has no {file.name} (plain, .gz or .xz), nor has mnist/ in it. Put the four official files there, "
        f"{', '.join(f.name for f in FILES.values())}, or leave folder= out: MNIST is inside the package."
    )


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
