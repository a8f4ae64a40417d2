"""Augmentation: a pipeline of random changes to pictures, each drawn from (seed, epoch, sample number) alone.

    x', y' = augment(x, y, index, key)      x float or uint8 [batch, channels, height, width], values 0 to 1 or 0 to 255

Each transform is written once, in functions of the Array API. Given NumPy arrays it is NumPy, as a loader prepares
batches (`DataLoader(augment=...)`, in the background with `prefetch`); given tensors it is chainrule operations, which
`cr.jit` compiles into the training step. Both give the same pictures: moves, flips, noise and mixing to the bit, means
(contrast) to rounding. The transforms stand in `geometry`, `colour` and `mixing`.

The key is a number, or a uint64 tensor that may change between compiled calls: `augment.key(epoch)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.errors import DTypeError, SettingError, ShapeError
from chainrule.core.philox import fold_in
from chainrule.core.tensor import Tensor
from chainrule.data.dataset import ArrayDataset, check_labels
from chainrule.data.keyed import Draws, namespace
from chainrule.ops.gather import one_hot

__all__ = ["Augment", "Transform", "numbered"]

MOST = 256  # transforms in a pipeline; a place is one byte of the counter


class Transform:
    """Base of the transforms: define `apply`, or `mix` where labels change too.

    Attributes:
        mixes: whether labels become distributions; default False.

    Example:
        >>> class Darker(Transform):
        ...     def apply(self, x, draws):
        ...         (u,) = draws.units(1)
        ...         return x * draws.xp.reshape(u, (-1, 1, 1, 1))
        >>> Augment([Darker()])(np.ones((1, 1, 1, 2), np.float32), np.zeros(1), np.arange(1))[0].shape
        (1, 1, 1, 2)
    """

    mixes = False

    def apply(self, x: Any, draws: Draws) -> Any:
        """Return the changed pictures.

        Args:
            x: float32 [batch, channels, height, width], values 0 to 1 unless normalised before.
            draws: random numbers of these samples; `draws.xp` is the namespace of x.
        """
        raise NotImplementedError(f"{type(self).__name__} must define apply(x, draws): the changed pictures.")

    def mix(self, x: Any, y: Any, draws: Draws) -> tuple[Any, Any]:
        """Return changed pictures and labels; by default the labels stay.

        Args:
            x: float32 [batch, channels, height, width].
            y: labels [batch], or where any transform of the pipeline mixes, float32 [batch, classes].
            draws: random numbers of these samples.
        """
        return self.apply(x, draws), y

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"{type(self).__name__}({settings})"


class Augment:
    """Transforms in a row, with the seed of their random numbers.

    Args:
        transforms: in the order in which they are applied, at most 256.
        seed: with epoch and sample number it fixes each change, in [0, 2**64); default 0.
        classes: number of classes; needed where labels are mixed, else not used; default none.

    Call:
        x: uint8 or float array or tensor [batch, channels, height, width]; uint8 is divided by 255.
        y: labels [batch] of integers.
        index: integers [batch], the samples' numbers in their data set.
        key: from `key(epoch)`, a number or a uint64 tensor; default that of epoch 0.
        Returns (pictures float32, labels); labels float32 [batch, classes] where a transform mixes.

    Raises:
        SettingError: something else than transforms, or mixing without classes.
        ShapeError, DTypeError: pictures of another shape or dtype.

    Example:
        >>> from chainrule.data import RandomHorizontalFlip
        >>> augment = Augment([RandomHorizontalFlip(p=1.0)], seed=3)
        >>> x, y = augment(np.array([[[[0, 51, 255]]]], np.uint8), np.array([4]), np.array([0]))
        >>> x[0, 0].tolist(), y.tolist()
        ([[1.0, 0.20000000298023224, 0.0]], [4])
    """

    def __init__(self, transforms: Sequence[Transform], seed: int = 0, classes: int | None = None):
        self.transforms = tuple(transforms)
        for transform in self.transforms:
            if not isinstance(transform, Transform):
                raise SettingError(
                    f"Augment takes transforms such as RandomHorizontalFlip(); got {transform!r}. "
                    "A transform of your own is a class with the base data.Transform."
                )
        if len(self.transforms) > MOST:
            raise SettingError(f"Augment takes at most {MOST} transforms; got {len(self.transforms)}.")
        self.seed, self.classes = seed, classes
        self.key(0)  # the error for a seed outside its range
        self.mixes = any(transform.mixes for transform in self.transforms)
        if self.mixes and classes is None:
            mixing = next(transform for transform in self.transforms if transform.mixes)
            raise SettingError(
                f"{type(mixing).__name__} makes labels distributions over the classes, so Augment needs their number: "
                "pass classes=10, for example."
            )

    def key(self, epoch: int) -> int:
        """Return the key of an epoch's random numbers.

        Args:
            epoch: its number, >= 0.

        Example:
            >>> augment = Augment([], seed=1)
            >>> augment.key(0) != augment.key(1)
            True
        """
        return fold_in(self.seed, epoch)

    def __call__(self, x: Any, y: Any, index: Any, key: Any = None) -> tuple[Any, Any]:
        xp = namespace(x)
        _check_pictures(x)
        samples = xp.asarray(index).astype(xp.uint64)
        if samples.shape != (x.shape[0],):
            raise ShapeError(
                f"Augment got {x.shape[0]} pictures and sample numbers of shape {samples.shape}; "
                f"it needs one number per picture, shape ({x.shape[0]},)."
            )
        chosen = self.key(0) if key is None else key
        if isinstance(chosen, int):
            chosen = xp.asarray(np.asarray(chosen, np.uint64))
        x = x.astype(xp.float32) / 255.0 if x.dtype == xp.uint8 else x.astype(xp.float32)
        y = self._distributions(y) if self.mixes else y
        for place, transform in enumerate(self.transforms):
            x, y = transform.mix(x, y, Draws(xp, chosen, samples, place))
        return x, y

    def _distributions(self, y: Any) -> Any:
        """Return labels as float32 [batch, classes]."""
        assert self.classes is not None
        if isinstance(y, Tensor):
            return y if y.dtype.is_float else one_hot(y, self.classes)
        if y.dtype.kind == "f":
            return y.astype(np.float32)
        check_labels(y, self.classes)
        return np.equal(y[:, None], np.arange(self.classes)).astype(np.float32)

    def __repr__(self) -> str:
        return f"Augment([{', '.join(map(repr, self.transforms))}], seed={self.seed}, classes={self.classes})"


def numbered(dataset: ArrayDataset) -> ArrayDataset:
    """Return the data set with the samples' numbers as one more array: for augmentation inside of a step.

    Args:
        dataset: of arrays, (pictures, labels).

    Returns:
        ArrayDataset of the same arrays and int64 [n], 0 to n - 1.

    Example:
        >>> numbered(ArrayDataset(np.zeros((3, 1, 2, 2)), [5, 6, 7]))[1][1:]
        (np.int64(6), np.int64(1))
    """
    return ArrayDataset(*dataset.arrays, np.arange(len(dataset)), classes=dataset.classes)


def _check_pictures(x: Any) -> None:
    if x.ndim != 4 or 0 in x.shape:
        raise ShapeError(
            f"Augment needs pictures [batch, channels, height, width]; got the shape {tuple(x.shape)}. "
            "For grey pictures without that axis write x[:, None]."
        )
    name = getattr(x.dtype, "name", str(x.dtype))
    if name not in ("uint8", "float16", "bfloat16", "float32", "float64"):
        raise DTypeError(f"Augment needs uint8 pictures, or floats from 0 to 1; got {name}.")


def number(owner: Any, name: str, value: Any, low: float, high: float | None = None) -> float:
    """Return a setting of a transform as a float, checked.

    Args:
        owner: the transform.
        name: of the setting.
        value: what was given.
        low: least value.
        high: greatest value; default none.

    Raises:
        ValueError: no finite number in that range.
    """
    allowed = f"a number >= {low:g}" if high is None else f"a number in [{low:g}, {high:g}]"
    plain = isinstance(value, int | float | np.number) and not isinstance(value, bool) and np.isfinite(value)
    if not plain or value < low or (high is not None and value > high):
        raise ValueError(f"{type(owner).__name__}.{name} must be {allowed}; got {value!r}.")
    return float(value)


def whole(owner: Any, name: str, value: Any, low: int) -> int:
    """Return a setting of a transform as an int, checked.

    Args:
        owner: the transform.
        name: of the setting.
        value: what was given.
        low: least value.

    Raises:
        ValueError: no integer in that range.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
        raise ValueError(f"{type(owner).__name__}.{name} must be an int >= {low}; got {value!r}.")
    return int(value)


def per_picture(xp: Any, values: Any) -> Any:
    """Return [batch] as [batch, 1, 1, 1], to go with pictures."""
    return xp.reshape(values, (-1, 1, 1, 1))
