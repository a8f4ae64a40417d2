"""One fixed batch of real data per workload, as an .npz file that every contestant reads.

MNIST comes with chainrule; the pictures of CIFAR-10 from the archive under CHAINRULE_DATA. Pixels are standardised with
the mean and deviation of the batch. Larger pictures repeat each pixel. `mlp_loop` gets all training digits as bytes and
the order of an epoch.
"""

from __future__ import annotations

import functools
import io
import pathlib
import re
import tarfile

import numpy as np

from benchmarks.workload import Workload

__all__ = ["MEAN", "STD", "MissingDataError", "make", "write"]

MEAN, STD = 33.318, 78.567  # of MNIST's training pixels, in bytes
ARCHIVE = pathlib.Path("cifar10", "cifar10-jpeg.tar.gz")


class MissingDataError(Exception):
    """The data of a workload are not there; the message says what to do."""


def _mnist(count: int) -> tuple[np.ndarray, np.ndarray]:
    from chainrule import data

    digits = data.mnist("train")
    images, labels = np.asarray(digits.images), np.asarray(digits.labels)
    return images.reshape(len(images), 784)[:count], labels[:count].astype(np.int64)


def _cifar10(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first pictures of each class in turn, bytes [count, 3, 32, 32], and their labels."""
    from chainrule.core.config import data_folder

    folder = data_folder()
    if folder is None or not (folder / ARCHIVE).exists():
        raise MissingDataError(f"no CIFAR-10: set CHAINRULE_DATA to the folder that has {ARCHIVE}")
    return _pictures(folder / ARCHIVE, count)


@functools.cache
def _pictures(path: pathlib.Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    from PIL import Image

    wanted = re.compile(r"train/([a-z]+)/(\d+)\.jpg")
    found = []
    with tarfile.open(path) as archive:
        for member in archive:
            match = wanted.fullmatch(member.name)
            if match and 10 * int(match[2]) < count:
                picture = np.asarray(Image.open(io.BytesIO(archive.extractfile(member).read())).convert("RGB"))
                found.append((int(match[2]), match[1], picture.transpose(2, 0, 1)))
    classes = sorted({name for _, name, _ in found})
    found = sorted(found, key=lambda item: item[:2])[:count]
    images = np.stack([picture for *_, picture in found])
    return images, np.array([classes.index(name) for _, name, _ in found], np.int64)


def make(workload: Workload) -> dict[str, np.ndarray]:
    """Return x and y of the batch; of `mlp_loop` all digits as bytes and `order`, the rows of each step.

    Raises:
        MissingDataError: the data set is not there.
    """
    if workload.calls > 1:
        x, y = _mnist(60_000)
        steps = workload.calls * workload.batch
        order = np.resize(np.random.default_rng(0).permutation(len(x)), steps)  # the last batch takes first rows again
        return {"x": x, "y": y, "order": order.reshape(workload.calls, workload.batch).astype(np.int32)}
    pixels, y = (_mnist if workload.data == "mnist" else _cifar10)(workload.batch)
    axes = None if workload.data == "mnist" else (0, 2, 3)
    x = pixels.astype(np.float32)
    x = (x - x.mean(axes, keepdims=True)) / x.std(axes, keepdims=True)
    if workload.side:
        x = x.reshape(len(x), 1, 28, 28) if workload.data == "mnist" else x
        times = workload.side // x.shape[-1]
        x = x.repeat(times, 2).repeat(times, 3)
    return {"x": np.ascontiguousarray(x.reshape(len(x), -1) if workload.flat else x, np.float32), "y": y}


def write(workload: Workload, path: pathlib.Path) -> pathlib.Path:
    """Write the batch and return the file's path."""
    np.savez(path, **make(workload))
    return path
