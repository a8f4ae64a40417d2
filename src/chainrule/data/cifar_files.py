"""The files of CIFAR-10: what the python and the binary version look like inside, packed and unpacked.

    python   a pickle per batch: {b"data": uint8 [10000, 3072], b"labels": list of 10000}
    binary   10000 rows of 3073 bytes per batch: label, then 1024 red, 1024 green, 1024 blue
    JPEG     train/<class>/NNNN.jpg and test/<class>/NNNN.jpg, sorted by name, then shuffled with a fixed seed

Nothing is unpacked to the disk, and no code in a pickle runs: classes of this file stand for what it names. Sums: the
download page, and for the single files of the python version `torchvision.datasets.CIFAR10`.
"""

from __future__ import annotations

import hashlib
import io
import pathlib
import pickle
import tarfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from chainrule.core.errors import ChecksumError, DataError, MissingDataError, notice
from chainrule.data.folder import read_picture

__all__ = ["ARCHIVES", "CLASSES", "SOURCES", "read_source"]

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SOURCES = (
    "cifar-10-batches-py",
    "cifar-10-python.tar.gz",
    "cifar-10-batches-bin",
    "cifar-10-binary.tar.gz",
    "cifar10-jpeg.tar.gz",
)
ARCHIVES = {
    "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a",
    "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
    "cifar10-jpeg.tar.gz": "e5a82889c3c05bcc3f419b51a7823e32",
}
SIZES = {  # of the archives, in bytes
    "cifar-10-python.tar.gz": 170_498_071,
    "cifar-10-binary.tar.gz": 170_052_171,
    "cifar10-jpeg.tar.gz": 19_214_839,
}
PYTHON = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
SHUFFLE = 10  # seed of the order of the JPEG copy, the same as where it is made into the python version
PIXELS = 3 * 32 * 32
ROWS = 10_000  # pictures of a batch

Pair = tuple[np.ndarray, np.ndarray]


def read_source(source: pathlib.Path, verify: bool) -> dict[str, Pair]:
    """Return the pictures and labels of both splits.

    Args:
        source: a folder or an archive named as in `SOURCES`.
        verify: check the sums.

    Returns:
        "train" and "test" -> (uint8 [n, 3, 32, 32], int64 [n]).

    Raises:
        DataError: a file is missing, truncated or holds something else.
        ChecksumError: a file is whole, but not the published one.
    """
    if source.name == "cifar10-jpeg.tar.gz":
        _check_sum(source, verify)
        notice(f"{source} is CIFAR-10 recompressed as JPEG: not the official pixels, and not their order.")
        return _read_jpeg(source)
    binary = "bin" in source.name
    names = [f"{name}.bin" for name in PYTHON] if binary else list(PYTHON)
    if source.is_dir():
        missing = [name for name in names if not (source / name).is_file()]
        contents = {name: (source / name).read_bytes() for name in names if name not in missing}
    else:
        _check_sum(source, verify)
        contents = {pathlib.PurePosixPath(name).name: content for name, content in members(source, names)}
        missing = [name for name in names if name not in contents]
    if missing:
        raise MissingDataError(f"{source} lacks {', '.join(missing)}; get CIFAR-10 again, or unpack it whole.")
    pairs = []
    for name in names:
        place = f"{source / name}"
        pairs.append(_binary_batch(place, contents[name]) if binary else _python_batch(place, contents[name], verify))
        if verify and len(pairs[-1][0]) != ROWS:
            raise DataError(
                f"{place} has {len(pairs[-1][0]):,} pictures; a batch of CIFAR-10 has {ROWS:,}. Get it again."
            )
    images, labels = zip(*pairs, strict=True)
    return {"train": (np.concatenate(images[:-1]), np.concatenate(labels[:-1])), "test": (images[-1], labels[-1])}


def members(path: pathlib.Path, names: list[str] | None = None) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of the files of a tar archive, in their order.

    Args:
        path: the archive.
        names: last parts of the wanted names; default all.

    Raises:
        DataError: no tar archive, or a truncated one.
    """
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and (names is None or pathlib.PurePosixPath(member.name).name in names):
                    file = archive.extractfile(member)
                    assert file is not None
                    yield member.name, file.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(f"{path} is damaged, truncated or no tar archive: {error}. Get it again.") from None


def _check_sum(path: pathlib.Path, verify: bool) -> None:
    if not verify:
        return
    size, published = path.stat().st_size, SIZES[path.name]
    if size < published:
        raise DataError(f"{path} is truncated: it has {size:,} bytes of {published:,}. Get it again.")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != ARCHIVES[path.name]:
        raise ChecksumError(
            f"{path} is not the published file: its MD5 sum is {found}, expected {ARCHIVES[path.name]}. "
            "Get it again, or pass verify=False for a set of your own in these files."
        )


# ---------------------------------------------------------------------------------------------------- binary
def _binary_batch(place: str, content: bytes) -> Pair:
    row = PIXELS + 1
    if not content or len(content) % row:
        raise DataError(f"{place} has {len(content)} bytes, which is no multiple of {row}; it is truncated.")
    rows = np.frombuffer(content, np.uint8).reshape(-1, row)
    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0].astype(np.int64)


# ---------------------------------------------------------------------------------------------------- pickles
class _Dtype:
    """What stands for a NumPy dtype in a pickle; a real one could be given a state with which arrays are no arrays."""

    def __init__(self, code: Any):
        self.code, self.order = _text(code), "|"

    def __setstate__(self, state: Any) -> None:
        self.order = _text(state[1])

    def found(self) -> np.dtype:
        """Return the dtype: whole numbers only."""
        if self.code not in ("u1", "i1", "i2", "i4", "i8") or self.order not in ("|", "<", ">"):
            raise ValueError(f"an array of {self.order}{self.code} where whole numbers must be")
        return np.dtype(self.order + self.code)


class _Array:
    """What stands for a NumPy array in a pickle: its state, from which `found` makes one."""

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def found(self) -> np.ndarray:
        """Return the array, a view of the bytes that were read."""
        _, shape, dtype, fortran, content = self.state
        if not isinstance(dtype, _Dtype) or not isinstance(content, bytes):
            raise ValueError("an array without whole numbers")
        return np.frombuffer(content, dtype.found()).reshape(shape, order="F" if fortran else "C")


class _Reader(pickle.Unpickler):
    """An unpickler that makes lists, dicts, numbers, text and `_Array`s; it calls nothing that a file names."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a part of a NumPy array; refuse everything else."""
        allowed = {
            ("numpy", "ndarray"): "ndarray",
            ("numpy", "dtype"): lambda code, *_: _Dtype(code),
            ("_codecs", "encode"): lambda text, _: text.encode("latin1"),  # bytes, pickled by Python 3
            **{(f"numpy.{core}.multiarray", "_reconstruct"): lambda *_: _Array() for core in ("core", "_core")},
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, and a batch of CIFAR-10 has no use for that")
        return allowed[module, name]


def _text(value: Any) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


def _numbers(value: Any) -> np.ndarray:
    """Return an array of a pickle, or a list of whole numbers, as an array."""
    if isinstance(value, _Array):
        return value.found()
    if not isinstance(value, list) or not all(type(x) is int for x in value):
        raise ValueError(f"{type(value).__name__} where whole numbers must be")
    return np.array(value, np.int64)


def _python_batch(place: str, content: bytes, verify: bool) -> Pair:
    try:
        batch = _Reader(io.BytesIO(content), encoding="bytes").load()
        images = _numbers(batch[b"data"]).reshape(-1, 3, 32, 32)
        numbers = _numbers(batch[b"labels"]).astype(np.int64)
        if images.dtype != np.uint8 or numbers.shape != (len(images),):
            raise ValueError(f"data are {images.dtype} {images.shape}, labels {numbers.shape}")
    except Exception as error:  # an unpickler raises whatever damaged bytes lead to
        raise DataError(f"{place} is no batch of CIFAR-10, or damaged or truncated: {error}.") from None
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    expected = PYTHON[pathlib.PurePath(place).name]
    if verify and found != expected:
        if not _from_jpeg(batch):
            raise ChecksumError(
                f"{place} is not the published file: its MD5 sum is {found}, expected {expected}. "
                "Get it again, or pass verify=False for a set of your own in these files."
            )
        notice(
            f"{pathlib.PurePath(place).parent} is CIFAR-10 recompressed as JPEG: not the official pixels, and not "
            "their order."
        )
    return images, numbers


def _from_jpeg(batch: dict[bytes, Any]) -> bool:
    """Return whether a batch was made from the JPEG copy: it says so by its names of files."""
    names = batch.get(b"filenames")
    if not isinstance(names, list) or not names or not all(isinstance(name, bytes) for name in names):
        return False
    parts = [name.decode("ascii", "replace").split("/") for name in names]
    return all(len(part) == 3 and part[1] in CLASSES and part[2].endswith(".jpg") for part in parts)


# ---------------------------------------------------------------------------------------------------- JPEG
def _read_jpeg(source: pathlib.Path) -> dict[str, Pair]:
    found: dict[str, list[tuple[str, int, np.ndarray]]] = {"train": [], "test": []}
    for name, content in members(source):
        parts = name.split("/")
        if len(parts) != 3 or parts[0] not in found or parts[1] not in CLASSES:
            raise DataError(f"{source} has {name}; expected train/<class>/NNNN.jpg or test/<class>/NNNN.jpg.")
        picture = read_picture(io.BytesIO(content), name=f"{name} in {source}")
        if picture.shape != (3, 32, 32):
            raise DataError(f"{source}: {name} has {picture.shape[1]} x {picture.shape[2]} pixels; expected 32 x 32.")
        found[parts[0]].append((name, CLASSES.index(parts[1]), picture))
    result = {}
    for split, rows in found.items():
        rows.sort(key=lambda row: row[0])
        rows = [rows[i] for i in np.random.RandomState(SHUFFLE).permutation(len(rows))]
        if not rows:
            raise DataError(f"{source} has no pictures in {split}/; get it again.")
        result[split] = (np.stack([row[2] for row in rows]), np.array([row[1] for row in rows]))
    return result
