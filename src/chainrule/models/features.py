"""What a frozen body makes of a data set, computed once, in memory or on the disk.

    features = compute_features(body, pictures, transform=row.inputs)        # one pass, without gradients
    trainer = Trainer(head, loss, optimizer);  trainer.fit(DataLoader(features, ...), epochs)

Training the head on the features gives what training the whole network with a frozen body gives, many times faster, as
long as the pictures are not augmented. On the disk the features lie in a folder with a fingerprint of the body's
weights, the pictures and the transform; they are computed again where that is another.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from chainrule.compiler import jit
from chainrule.core.context import no_grad
from chainrule.core.errors import DataError
from chainrule.core.files import rename, sync_folder
from chainrule.core.tensor import Tensor
from chainrule.data import ArrayDataset
from chainrule.data.dataset import arrays_behind
from chainrule.nn._checks import integer
from chainrule.nn._modes import evaluation
from chainrule.nn.module import Module
from chainrule.ops import asarray

__all__ = ["compute_features"]


def compute_features(
    body: Module,
    dataset: Any,
    *,
    transform: Callable[[Tensor], Tensor] | None = None,
    batch_size: int = 256,
    path: str | os.PathLike[str] | None = None,
    compiled: bool = True,
) -> ArrayDataset:
    """Return what a network's body gives for each sample, in eval mode, with the labels.

    Args:
        body: a module, such as the first of `models.split`.
        dataset: an ArrayDataset (x, labels, ...) or a subset of one.
        transform: from a batch of the data set's x to the body's input, in tensor operations, such as
            `PRETRAINED[name].inputs`; default none.
        batch_size: samples at a time, >= 1; default 256.
        path: folder in which the features are kept and found again; default none: in memory.
        compiled: run the body through `cr.jit`; default True.

    Returns:
        ArrayDataset with float features [n, ...] and the other arrays of the data set; read from the disk as they are
        asked for where `path` is given.

    Raises:
        DataError: samples that lie in no arrays, or a folder that holds something else.
        ValueError: a batch size below 1.
        OSError: the folder can't be written.

    Example:
        >>> from chainrule import data, models
        >>> body, head = models.split(models.create("cifar_m2", num_classes=2))
        >>> pictures = data.ArrayDataset(np.zeros((3, 3, 32, 32), np.float32), [0, 1, 0])
        >>> compute_features(body, pictures)
        ArrayDataset(3 samples; 0: float32 (84,), 1: int64 ())
    """
    integer("compute_features", "batch_size", batch_size)
    behind = arrays_behind(dataset)
    if behind is None:
        raise DataError(
            f"compute_features needs samples that lie in arrays; got {type(dataset).__name__}. "
            "Put them into a data.ArrayDataset."
        )
    arrays, rows = behind[0].arrays, behind[1]
    classes, names = behind[0].classes, behind[0].names
    kept = tuple(array if rows is None else array[rows] for array in arrays[1:])
    x = arrays[0]
    count = len(x) if rows is None else len(rows)
    batches = _Batches(x, rows, count, min(batch_size, count))
    if path is None:
        features = None
        for start, values in _outputs(body, batches, transform, compiled):
            if features is None:
                features = np.empty((count, *values.shape[1:]), values.dtype)
            features[start : start + len(values)] = values
    else:
        facts = {"fingerprint": _fingerprint(body, batches, transform)}
        features = _on_disk(pathlib.Path(path), facts, count, lambda: _outputs(body, batches, transform, compiled))
    return ArrayDataset(features, *kept, names=("features", *names[1:]) if names else None, classes=classes)


class _Batches:
    """Equal batches of an array's rows; the last begins earlier where the rows do not fill it."""

    def __init__(self, x: np.ndarray, rows: np.ndarray | None, count: int, size: int):
        self.x, self.rows, self.count, self.size = x, rows, count, size

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        for start in range(0, self.count, self.size):
            start = min(start, self.count - self.size)
            chosen = slice(start, start + self.size)
            yield start, self.x[chosen] if self.rows is None else self.x[self.rows[chosen]]


def _outputs(
    body: Module, batches: _Batches, transform: Callable[[Tensor], Tensor] | None, compiled: bool
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield where each batch begins, and the body's output for it, in eval mode."""

    def run(x: Tensor) -> Tensor:
        with no_grad():
            return body(x if transform is None else transform(x))

    step = jit(run) if compiled else run
    with evaluation(body):
        for start, x in batches:
            yield start, step(asarray(x)).numpy()


# ------------------------------------------------------------------------------------------------ on the disk
def _fingerprint(body: Module, batches: _Batches, transform: Any) -> str:
    """Return the SHA-256 of all that the features follow from: the body and its weights, the samples, the transform."""
    total = hashlib.sha256(repr((body, batches.count, _described(transform))).encode())
    for name, tensor in body.state_dict().items():
        total.update(name.encode())
        total.update(np.ascontiguousarray(tensor.numpy()).tobytes())
    for _, x in batches:
        total.update(f"{x.dtype}{x.shape}".encode())
        total.update(np.ascontiguousarray(x).tobytes())
    return total.hexdigest()


def _described(transform: Any) -> str:
    """Return a text that tells transforms apart: of a method its object, of a function its code."""
    owner = getattr(transform, "__self__", None)
    function = getattr(transform, "__func__", transform)
    code = getattr(function, "__code__", None)
    inside = (code.co_code, code.co_consts, code.co_names) if code is not None else repr(function)
    cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    return repr((owner, getattr(function, "__qualname__", ""), inside, cells))


def _on_disk(
    folder: pathlib.Path, facts: dict[str, str], count: int, outputs: Callable[[], Iterator[tuple[int, np.ndarray]]]
) -> np.ndarray:
    """Return the features of a folder, which is written first, whole or not at all, where it holds none of these."""
    if folder.exists() and not (folder / "facts.json").is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} holds something else than features; give the path of a new folder.")
    if not _holds(folder, facts, count):
        beside = pathlib.Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp"))
        try:
            features = None
            for start, values in outputs():
                if features is None:
                    shape = (count, *values.shape[1:])
                    features = np.lib.format.open_memmap(beside / "features.npy", "w+", values.dtype, shape)
                features[start : start + len(values)] = values
            assert features is not None
            features.flush()
            del features
            (beside / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            rename(beside, folder)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
        sync_folder(folder.parent)
    return np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)


def _holds(folder: pathlib.Path, facts: dict[str, str], count: int) -> bool:
    """Return whether a folder holds the features of these facts."""
    try:
        found = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        return found == facts and len(np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)) == count
    except (OSError, ValueError, EOFError):
        return False
