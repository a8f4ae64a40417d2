"""Guards: identities that refuse bad data at run time, eagerly and inside a compiled step.

What cannot be told from shapes (a NaN loss, a class label out of range, a probability above 1) is looked at when the
data is there. A guard returns its input unchanged, passes gradients through, and stays in a compiled step even where
nobody reads its output.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.bind import bind
from chainrule.core.errors import DataError, IndexRangeError, NonFiniteError
from chainrule.core.lowering import Pointwise
from chainrule.core.primitive import Edge, Invalid, Sample, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor
from chainrule.ops._rules import elementwise_shape, grid

__all__ = ["check_finite", "check_indices", "check_labels", "check_probabilities"]


def _position(bad: np.ndarray) -> str:
    """Return " at position 3" of the first True; nothing for a tensor without axes."""
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    return f" at position {index[0] if len(index) == 1 else index}" if index else ""


def _unchanged(g: Tensor) -> Tensor:
    return g


def _tangent(tangents: tuple[Tensor]) -> Tensor:
    return tangents[0]  # not looked at: a direction is no probability


# ---------------------------------------------------------------------------------------------------- finite numbers
def _finite(x: np.ndarray, *, what: str) -> np.ndarray:
    bad = ~np.isfinite(x)
    if bad.any():
        raise NonFiniteError(f"{what} is {x[bad][0]}{_position(bad)}")
    return x


check_finite_p = primitive(
    "check_finite",
    reference=_finite,
    lower=Pointwise(lambda k, x, *, what: k.check(k.lt(k.abs(x), float("inf")), x)),
    shape=elementwise_shape("check_finite", "float"),
    vjp=_unchanged,
    jvp=_tangent,
    effect=True,
    flops=lambda x, *, what: 0,
    samples=grid((-2.0, 2.0), what="the loss"),
    edges=[Edge((0.0,), (1.0,), {"what": "the loss"}, why="an identity everywhere")],
    invalid=[
        Invalid((np.asarray(np.nan),), "the loss is nan", {"what": "the loss"}),
        Invalid((np.asarray([1.0, -np.inf]),), "the gradient is -inf at position 1", {"what": "the gradient"}),
        Invalid(
            (np.arange(3),), "check_finite needs a float tensor; got int64: use .astype(cr.float32).", {"what": "x"}
        ),
    ],
)


def check_finite(x: Tensor, what: str = "the value") -> Tensor:
    """Return the tensor unchanged; raise where the data holds a NaN or an infinity.

    Args:
        x: float tensor of any shape.
        what: its name in the message; default "the value".

    Returns:
        Tensor with the same values; gradients pass through.

    Raises:
        NonFiniteError: a value is NaN or infinite; "the loss is nan", with the position where there are several values.

    Example:
        >>> import chainrule as cr
        >>> cr.check_finite(cr.asarray(2.0), "the loss")
        tensor(2., shape=(), dtype=float32)
    """
    return bind(check_finite_p, as_tensor(x), what=what)


# ---------------------------------------------------------------------------------------------------- class labels
def _labels(labels: np.ndarray, *, classes: int, ignore: int | None) -> np.ndarray:
    bad = (labels < 0) | (labels >= classes)
    if ignore is not None:
        bad &= labels != ignore
    if bad.any():
        raise IndexRangeError(
            f"label {labels[bad][0]}{_position(bad)} is out of range for {classes} classes; "
            f"labels must be in [0, {classes - 1}]."
        )
    return labels


def _inside(k: Any, x: Any, size: int) -> Any:
    wide = k.cast(x, "i64")  # in which every size and bound is exact; a uint64 beyond it becomes negative
    return k.both(k.ge(wide, 0), k.lt(wide, size))


def _labels_element(k: Any, labels: Any, *, classes: int, ignore: int | None) -> Any:
    good = _inside(k, labels, classes)
    if ignore is not None:
        good = k.either(good, k.eq(k.cast(labels, "i64"), ignore))
    return k.check(good, labels)


_TEN = {"classes": 10, "ignore": None}

check_labels_p = primitive(
    "check_labels",
    reference=_labels,
    lower=Pointwise(_labels_element),
    shape=elementwise_shape("check_labels", "integer"),
    effect=True,
    flops=lambda labels, *, classes, ignore: 0,
    samples=[
        Sample((np.asarray([0, 9, 3]),), _TEN, smooth=False),
        Sample((np.asarray([[0, -100], [2, 1]]),), {"classes": 3, "ignore": -100}, smooth=False),
        Sample((np.asarray(4, dtype=np.uint8),), _TEN, smooth=False),
        Sample((np.zeros((0, 2), dtype=np.int32),), _TEN, smooth=False),
    ],
    invalid=[
        Invalid(
            (np.asarray([1, 2, 3, 12]),),
            "label 12 at position 3 is out of range for 10 classes; labels must be in [0, 9].",
            _TEN,
        ),
        Invalid(
            (np.asarray([[0, 1], [-1, 2]]),),
            "label -1 at position (1, 0) is out of range for 3 classes; labels must be in [0, 2].",
            {"classes": 3, "ignore": -100},
        ),
        Invalid(
            (np.asarray(3),),
            "label 3 is out of range for 3 classes; labels must be in [0, 2].",
            {"classes": 3, "ignore": 0},
        ),
        Invalid((np.ones(2),), "check_labels needs an integer tensor; got float64: use .astype(cr.int64).", _TEN),
    ],
)


def check_labels(labels: Tensor, classes: int, ignore: int | None = None) -> Tensor:
    """Return class labels unchanged; raise where one is out of range.

    Args:
        labels: integer tensor of any shape.
        classes: number of classes, >= 1; labels lie in [0, classes - 1].
        ignore: a label that is allowed besides; default none.

    Returns:
        Tensor with the same values.

    Raises:
        IndexRangeError: names the label, its position, and the range.

    Example:
        >>> import chainrule as cr
        >>> cr.check_labels(cr.asarray([0, 2]), classes=3)
        tensor([0, 2], shape=(2,), dtype=int64)
    """
    return bind(check_labels_p, as_tensor(labels), classes=classes, ignore=ignore)


# --------------------------------------------------------------------------------------------------- indices of a table
def _indices(indices: np.ndarray, *, size: int, what: str) -> np.ndarray:
    bad = (indices < 0) | (indices >= size)
    if bad.any():
        raise IndexRangeError(
            f"{what}: the index {indices[bad][0]}{_position(bad)} is out of range; indices must be in [0, {size - 1}]."
        )
    return indices


_TABLE = {"size": 5, "what": "Embedding(5, 3)"}

check_indices_p = primitive(
    "check_indices",
    reference=_indices,
    lower=Pointwise(lambda k, x, *, size, what: k.check(_inside(k, x, size), x)),
    shape=elementwise_shape("check_indices", "integer"),
    effect=True,
    flops=lambda indices, *, size, what: 0,
    samples=[
        Sample((np.asarray([[0, 4], [2, 2]]),), _TABLE, smooth=False),
        Sample((np.asarray(3, dtype=np.uint8),), _TABLE, smooth=False),
        Sample((np.zeros((0,), dtype=np.int32),), _TABLE, smooth=False),
    ],
    invalid=[
        Invalid(
            (np.asarray([[0, 1], [2, 5]]),),
            "Embedding(5, 3): the index 5 at position (1, 1) is out of range; indices must be in [0, 4].",
            _TABLE,
        ),
        Invalid((np.asarray(-1),), "Embedding(5, 3): the index -1 is out of range; indices must be in [0, 4].", _TABLE),
        Invalid((np.ones(2),), "check_indices needs an integer tensor; got float64: use .astype(cr.int64).", _TABLE),
    ],
)


def check_indices(indices: Tensor, size: int, what: str = "indices") -> Tensor:
    """Return indices unchanged; raise where one is outside [0, size), negative ones included.

    Args:
        indices: integer tensor of any shape.
        size: number of things they point to, >= 1.
        what: who asks, for the message; default "indices".

    Returns:
        Tensor with the same values.

    Raises:
        IndexRangeError: names the index, its position, and the range.

    Example:
        >>> import chainrule as cr
        >>> cr.check_indices(cr.asarray([0, 2]), size=3)
        tensor([0, 2], shape=(2,), dtype=int64)
    """
    return bind(check_indices_p, as_tensor(indices), size=size, what=what)


# ---------------------------------------------------------------------------------------------------- probabilities
def _probabilities(x: np.ndarray) -> np.ndarray:
    bad = (x < 0) | (x > 1)  # NaN is no range error: it goes on, and the guard of the loss names it
    if bad.any():
        raise DataError(
            f"the probability {x[bad][0]:g}{_position(bad)} is outside [0, 1]; for logits use the loss with logits."
        )
    return x


check_probabilities_p = primitive(
    "check_probabilities",
    reference=_probabilities,
    lower=Pointwise(lambda k, x: k.check(k.invert(k.either(k.lt(x, 0), k.gt(x, 1))), x)),
    shape=elementwise_shape("check_probabilities", "float"),
    vjp=_unchanged,
    jvp=_tangent,
    effect=True,
    flops=lambda x: 2 * x.size,
    samples=[*grid((0.1, 0.9)), Sample((np.asarray([0.0, 1.0]),), smooth=False)],
    edges=[Edge((0.0,), (1.0,), why="an identity everywhere"), Edge((1.0,), (1.0,), why="an identity everywhere")],
    invalid=[
        Invalid(
            (np.asarray([[0.5, 1.5]]),),
            "the probability 1.5 at position (0, 1) is outside [0, 1]; for logits use the loss with logits.",
        ),
        Invalid((np.arange(2),), "check_probabilities needs a float tensor; got int64: use .astype(cr.float32)."),
    ],
)


def check_probabilities(x: Tensor) -> Tensor:
    """Return probabilities unchanged; raise where one lies outside [0, 1].

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor with the same values; gradients pass through.

    Raises:
        DataError: names the value and its position.

    Example:
        >>> import chainrule as cr
        >>> cr.check_probabilities(cr.asarray([0.0, 1.0]))
        tensor([0., 1.], shape=(2,), dtype=float32)
    """
    return bind(check_probabilities_p, as_tensor(x))
