"""CIFAR-10: 60,000 pictures, 32 x 32 RGB, of ten classes; read from its official archives, python or binary.

    folder given, else CHAINRULE_DATA, else the cache folder; in it, or in cifar10/ in it, the first of
    cifar-10-batches-py/   cifar-10-python.tar.gz   cifar-10-batches-bin/   cifar-10-binary.tar.gz   cifar10-jpeg.tar.gz

The first use converts what is there into uint8 arrays in the user's cache folder (184 MB); later uses read these. The
pickles of the python version are read without running any code in them: only NumPy arrays, lists and text are let in.
The last name is a copy recompressed as JPEG; its order is a fixed shuffle, and a notice says that it is not official.

Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009), www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pathlib

import numpy as np

from chainrule.core.config import cache_folder, data_folder
from chainrule.core.errors import ChecksumError, DataError, MissingDataError
from chainrule.core.files import atomic_write
from chainrule.data.cifar_files import ARCHIVES, CLASSES, SOURCES, read_source
from chainrule.data.dataset import ArrayDataset

__all__ = ["CIFAR10_MEAN", "CIFAR10_STD", "cifar10"]

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)  # of the official 50,000 training pictures, red, green, blue, values 0 to 1
CIFAR10_STD = (0.2470, 0.2435, 0.2616)

VERSION = 1  # of the converted copy
COUNTS = {"train": 50_000, "test": 10_000}


def cifar10(split: str = "train", folder: str | os.PathLike[str] | None = None, *, verify: bool = True) -> ArrayDataset:
    """Return the pictures of CIFAR-10 of one split, with their labels.

    Args:
        split: "train" (50,000 pictures) or "test" (10,000); default "train".
        folder: where the archives or the unpacked files are, directly or in cifar10/; default the folder that
            CHAINRULE_DATA names, then chainrule's cache folder.
        verify: check the published MD5 sums; default True. The unpacked binary files have none: of these sizes, labels
            and counts are checked.

    Returns:
        ArrayDataset with `images` uint8 [n, 3, 32, 32] and `labels` int64 [n] in [0, 9].

    Raises:
        ValueError: an unknown split.
        MissingDataError: the set is nowhere; the message says where to get it and where to put it.
        DataError: a file is truncated or holds something else.
        ChecksumError: a file is whole, but not the published one.

    Example:
        >>> pictures = cifar10("test")                                                              # doctest: +SKIP
        >>> pictures.images.shape, pictures.classes[pictures.labels[0]]                             # doctest: +SKIP
        ((10000, 3, 32, 32), 'cat')

    Source: Krizhevsky (2009).
    """
    if split not in COUNTS:
        raise ValueError(f"cifar10.split must be 'train' or 'test'; got {split!r}.")
    source = _find(folder)
    key = _identity(source, verify)
    arrays = _cached(key, split)
    if arrays is None:
        found = read_source(source, verify)
        for name, (images, labels) in found.items():
            _check(source, name, images, labels, verify)
            _keep(key, name, images, labels)
        arrays = found[split]
    return ArrayDataset(*arrays, names=("images", "labels"), classes=CLASSES)


def _find(folder: str | os.PathLike[str] | None) -> pathlib.Path:
    """Return the first source that is there."""
    places = [pathlib.Path(folder)] if folder is not None else []
    if folder is None:
        places += [place for place in (data_folder(),) if place is not None]
        with contextlib.suppress(OSError, RuntimeError):
            places.append(cache_folder())
    for place in places:
        for within in (place, place / "cifar10"):
            for name in SOURCES:
                if (within / name).exists():
                    return within / name
            if within.name in SOURCES and within.is_dir():
                return within
    looked = " and ".join(str(place) for place in places) or "no folder: CHAINRULE_DATA is not set, and nothing is kept"
    name, md5 = next(iter(ARCHIVES.items()))
    raise MissingDataError(
        f"CIFAR-10 is not on this machine; looked in {looked}. Get {name} (170 MB, MD5 {md5}) from "
        "www.cs.toronto.edu/~kriz/cifar.html and put it, packed or unpacked, into the folder that CHAINRULE_DATA "
        "names, or pass folder=."
    )


def _check(source: pathlib.Path, split: str, images: np.ndarray, labels: np.ndarray, verify: bool) -> None:
    """Raise where a split is not what was published, as far as numbers tell."""
    if verify and len(images) != COUNTS[split]:
        raise DataError(f"{source} has {len(images)} pictures in the split {split!r}; CIFAR-10 has {COUNTS[split]}.")
    if labels.min(initial=0) < 0 or labels.max(initial=0) > 9:
        raise DataError(f"{source} has labels outside [0, 9] in the split {split!r}; it is damaged.")
    counts = np.bincount(labels, minlength=10)
    if verify and (counts != COUNTS[split] // 10).any():
        wrong = int((counts != COUNTS[split] // 10).argmax())
        raise ChecksumError(
            f"{source} has {counts[wrong]} pictures of the class {CLASSES[wrong]} in the split {split!r}; CIFAR-10 has "
            f"{COUNTS[split] // 10} of each. Get it again, or pass verify=False for a set of your own in these files."
        )


# ---------------------------------------------------------------------------------------------------- converted copies
def _identity(source: pathlib.Path, verify: bool) -> str:
    """Return a name for the state of a source: files, sizes, times."""
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    text = json.dumps([VERSION, str(source.resolve()), facts, verify])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _cached(key: str, split: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the converted copy of a split, or None where there is no sound one."""
    with contextlib.suppress(OSError, RuntimeError, ValueError, KeyError):
        folder = cache_folder() / "cifar10"
        found = []
        for part in ("images", "labels"):
            content = (folder / f"{key}-{split}-{part}.npy").read_bytes()
            expected = (folder / f"{key}-{split}-{part}.sha256").read_text(encoding="ascii")
            if hashlib.sha256(content).hexdigest() != expected:
                return None
            found.append(np.load(io.BytesIO(content), allow_pickle=False))
        return found[0], found[1]
    return None


def _keep(key: str, split: str, images: np.ndarray, labels: np.ndarray) -> None:
    """Write a converted copy; a read-only or full cache only costs the time next time."""
    with contextlib.suppress(OSError, RuntimeError):
        folder = cache_folder() / "cifar10"
        folder.mkdir(parents=True, exist_ok=True)
        for part, array in (("images", images), ("labels", labels)):
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            atomic_write(folder / f"{key}-{split}-{part}.npy", buffer.getvalue())
            atomic_write(folder / f"{key}-{split}-{part}.sha256", hashlib.sha256(buffer.getbuffer()).hexdigest())
