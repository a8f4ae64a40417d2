"""From samples to a batch: stack what can be stacked, and say which sample does not fit.

    sample (image [h, w], 3)   times 64   ->   (image [64, h, w], label [64])

Tuples, lists and dicts are taken apart, arrays and numbers stacked in NumPy, text is kept as a list; `to_tensors` then
wraps each array as a Tensor without copying it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.core.dtypes import dtype_of
from chainrule.core.errors import DataError, notice

__all__ = ["default_collate", "to_tensors"]


def default_collate(samples: Sequence[Any], indices: Sequence[int | str] | None = None) -> Any:
    """Stack samples of one structure into a batch of the same structure.

    Args:
        samples: at least one; each an array, a tensor, a number, text, or a tuple, list or dict of these.
        indices: what error messages call the samples: their numbers in the data set; default their places in the batch.

    Returns:
        The structure of one sample with arrays [batch, ...] for arrays and numbers (Python ints become int64, floats
        float32), and lists for text.

    Raises:
        DataError: no samples; shapes, dtypes or structures that differ; a type that can't be stacked.

    Example:
        >>> default_collate([(1.5, {"label": 0}), (2.5, {"label": 1})])
        (array([1.5, 2.5], dtype=float32), {'label': array([0, 1])})
    """
    if len(samples) == 0:
        raise DataError("a batch needs at least one sample; got none.")
    return _collate(samples, range(len(samples)) if indices is None else indices, "")


def _collate(samples: Sequence[Any], indices: Sequence[int | str], place: str) -> Any:
    first = samples[0]
    kind = type(first)
    if isinstance(first, str | bytes):
        return list(samples)
    if isinstance(first, Mapping):
        keys = set(first)
        for sample, index in zip(samples, indices):
            if not isinstance(sample, Mapping) or set(sample) != keys:
                raise DataError(_differ("keys", place, index, _keys(sample), indices[0], _keys(first)))
        return {key: _collate([sample[key] for sample in samples], indices, f"{place}[{key!r}]") for key in first}
    if isinstance(first, tuple | list):
        for sample, index in zip(samples, indices):
            if not isinstance(sample, tuple | list) or len(sample) != len(first):
                raise DataError(_differ("parts", place, index, _parts(sample), indices[0], _parts(first)))
        parts = [_collate(part, indices, f"{place}[{i}]") for i, part in enumerate(zip(*samples))]
        return kind(*parts) if hasattr(first, "_fields") else kind(parts)
    return _stack(samples, indices, place)


def _stack(samples: Sequence[Any], indices: Sequence[int | str], place: str) -> np.ndarray:
    arrays = [np.asarray(sample) for sample in samples]
    first = arrays[0]
    for sample, array, index in zip(samples, arrays, indices):
        if array.dtype.kind in "OUSM":
            raise DataError(
                f"sample {index}{_at(place)} is {type(sample).__name__}, which can't be stacked into a tensor. "
                "Return arrays or numbers from the data set, or pass collate= to the loader."
            )
        if array.shape != first.shape:
            raise DataError(
                _differ("shapes", place, index, array.shape, indices[0], first.shape)
                + " Bring them to one shape (crop, resize or pad), or pass collate= to the loader."
            )
    batch = np.stack(arrays)
    if batch.dtype == np.float64 and all(type(sample) in (float, int) for sample in samples):
        return batch.astype(np.float32)  # Python floats are weak: they take the default dtype
    return batch


def to_tensors(batch: Any) -> Any:
    """Return the batch with each numeric array as a Tensor that shares its memory.

    Args:
        batch: an array, a tensor, anything else, or a tuple, list or dict of these.

    Returns:
        The same structure; float64 arrays become float32, which is said once per process; text and the like stay.

    Example:
        >>> to_tensors((np.zeros((2, 3), np.float32), ["a", "b"]))[0].shape
        (2, 3)
    """
    from chainrule.core.tensor import Tensor

    if isinstance(batch, Mapping):
        return {key: to_tensors(value) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        parts = [to_tensors(part) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    if not isinstance(batch, np.ndarray | np.generic) or batch.dtype.kind in "OUSM":
        return batch
    array = np.asarray(batch)
    if array.dtype == np.float64:
        notice(
            "DataLoader converts float64 arrays to float32, the default float. To silence this, give float32 "
            "(array.astype(np.float32)); for float64 tensors, write .astype(cr.float64) on the batch."
        )
        array = array.astype(np.float32)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)  # exact; no tensor is float16
    dtype = dtype_of(array.dtype)  # the error for a type that no tensor has
    return Tensor(array.astype(dtype.numpy, copy=False))  # a copy only for foreign byte order


def _at(place: str) -> str:
    return f" at {place}" if place else ""


def _differ(what: str, place: str, index: int | str, given: Any, other_index: int | str, other: Any) -> str:
    return (
        f"the samples of one batch must have equal {what}{_at(place)}; "
        f"sample {index} has {given} and sample {other_index} has {other}."
    )


def _keys(sample: Any) -> str:
    return str(list(sample)) if isinstance(sample, Mapping) else f"none (it is {type(sample).__name__})"


def _parts(sample: Any) -> str:
    return str(len(sample)) if isinstance(sample, tuple | list) else f"none (it is {type(sample).__name__})"
