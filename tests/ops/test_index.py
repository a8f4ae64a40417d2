"""x[key] and x[key] = value: NumPy is the oracle, for fixed keys and for thousands of random ones."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, GradientError, IndexRangeError, ShapeError, TraceError

X = np.arange(60.0).reshape(3, 4, 5)
I, J = np.array([0, 2, -1]), np.array([[1], [-2]])
MASK = X[:, :, 0] % 3 == 0

KEYS: list[Any] = [
    0,
    -1,
    slice(None),
    slice(None, None, -1),
    slice(2, None, -2),
    slice(5, 1),
    slice(-100, 100, 3),
    ...,
    None,
    (0, 1, 2),
    (slice(1), ..., None, -1),
    (..., slice(None, None, 2)),
    I,
    J,
    [0, 2],
    [],
    (I, I),
    (I, slice(None), I),
    (slice(None), I, I),
    (slice(None), J, I),
    (0, slice(None), I),
    (I, ..., 0),
    (I, None, I),
    (None, I, 0),
    (slice(None, None, -1), 1, I),
    np.array(1),
    (np.array(1), slice(None), np.array(2)),
    np.int8(2),
    MASK,
    X > 30,
    X < 0,
    (slice(None), MASK[0]),
    (MASK, 2),
    (MASK, slice(None, None, -1)),
    (MASK[:, 0], ..., [1, 2]),
    (slice(None), ..., np.array([True, False, True, False, True])),
]


def _as_tensors(key: Any) -> Any:
    items = key if isinstance(key, tuple) else (key,)
    found = tuple(cr.asarray(item) if isinstance(item, np.ndarray) else item for item in items)
    return found if isinstance(key, tuple) else found[0]


@pytest.mark.parametrize("convert", [lambda key: key, _as_tensors], ids=["array keys", "tensor keys"])
@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_reading_is_numpys(key: Any, convert: Any) -> None:
    got = cr.asarray(X)[convert(key)]
    assert got.shape == X[key].shape
    np.testing.assert_array_equal(got.numpy(), X[key])


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_writing_is_numpys(key: Any) -> None:
    value = -np.arange(1.0, 1 + X[key].size).reshape(X[key].shape)
    want, got = X.copy(), cr.asarray(X)
    want[key] = value
    got[_as_tensors(key)] = cr.asarray(value)
    np.testing.assert_array_equal(got.numpy(), want)
    want[key], got[key] = 7, 7
    np.testing.assert_array_equal(got.numpy(), want)


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_gradients_of_reading_and_writing(key: Any) -> None:
    x, value = cr.asarray(X).requires_grad_(), cr.ones(X[key].shape, dtype=cr.float64).requires_grad_()
    weights = np.random.default_rng(0).normal(size=X.shape)
    cr.sum(x[key] * cr.asarray(weights)[key]).backward()
    places = np.arange(X.size).reshape(X.shape)[key].ravel()
    want = np.bincount(places, weights=weights.ravel()[places], minlength=X.size).reshape(X.shape)
    np.testing.assert_allclose(x.grad.numpy(), want)
    x.grad = None
    cr.sum(cr.put(x, key, value) * cr.asarray(weights)).backward()
    written = np.zeros(X.shape, bool)
    written[key] = True
    np.testing.assert_allclose(x.grad.numpy(), np.where(written, 0.0, weights))
    winners = np.full(X.size, -1)
    winners[places] = np.arange(places.size)  # of equal indices the last one stays
    want = np.where(winners[places] == np.arange(places.size), weights.ravel()[places], 0.0)
    np.testing.assert_allclose(value.grad.numpy().ravel(), want)


def _random_key(pick: random.Random, rng: np.random.Generator, shape: tuple[int, ...]) -> tuple:
    items: list[Any] = []
    axis, dots = 0, False
    batch = pick.choice([(2,), (2, 3), (1,), ()])
    used = pick.randint(0, len(shape))
    while axis < used:
        kind, n = pick.choice(["int", "slice", "slice", "array", "none", "dots", "list", "mask"]), shape[axis]
        if kind == "dots" and dots:
            continue
        dots = dots or kind == "dots"
        axis += kind not in ("none", "dots")

        def bound(n: int = n) -> int | None:
            return pick.choice([None, *range(-n - 2, n + 3)])

        items.append(
            {
                "int": lambda n=n: pick.randrange(-n, n),
                "slice": lambda bound=bound: slice(bound(), bound(), pick.choice([None, 1, 2, -1, -2])),
                "array": lambda n=n: rng.integers(-n, n, batch),
                "none": lambda: None,
                "dots": lambda: ...,
                "list": lambda n=n: [pick.randrange(-n, n) for _ in range(batch[-1] if batch else 1)],
                "mask": lambda n=n: rng.random(n) < 0.6,
            }[kind]()
        )
    return tuple(items)


def test_thousands_of_random_keys() -> None:
    pick, rng = random.Random(0), np.random.default_rng(0)
    read = 0
    for _ in range(2000):
        shape = tuple(pick.randint(1, 4) for _ in range(pick.randint(1, 4)))
        x, key = rng.normal(size=shape), _random_key(pick, rng, shape)
        try:
            want = x[key]
        except IndexError:  # masks and arrays that do not broadcast
            with pytest.raises((IndexError, ValueError)):
                cr.asarray(x)[key]
            continue
        read += 1
        np.testing.assert_array_equal(cr.asarray(x)[key].numpy(), want, err_msg=f"{shape} {key}")
        value, got = rng.normal(size=want.shape), cr.asarray(x)
        x[key] = value
        got[key] = cr.asarray(value)
        np.testing.assert_array_equal(got.numpy(), x, err_msg=f"{shape} {key}")
    assert read > 1500


def test_values_broadcast_and_are_cast() -> None:
    x = cr.zeros((2, 3))
    x[0] = cr.asarray([[1, 2, 3]], dtype=cr.int8)  # a leading axis of size 1 may go
    x[:, 1] = 9
    x[1] = [4.0, 5.0, 6.0]
    assert (x.tolist(), x.dtype) == ([[1.0, 9.0, 3.0], [4.0, 5.0, 6.0]], cr.float32)
    y = cr.zeros(2, dtype=cr.bfloat16)
    y[:] = [1.5, 2]
    z = cr.zeros(2, dtype=cr.int8)
    z[:] = [1, 2]
    assert (y.tolist(), z.tolist()) == ([1.5, 2.0], [1, 2])


def test_in_place_arithmetic_on_a_part() -> None:
    x = cr.arange(4)
    x[1:3] *= 10
    x[cr.asarray([0, 0])] += 5  # both read 0 and write 5
    assert x.tolist() == [5, 10, 20, 3]


def test_writing_leaves_what_others_hold() -> None:
    x = cr.zeros(3)
    view, array, row = x[:2], x.numpy(), x.detach()
    x[0] = 5.0
    assert (view.tolist(), array.tolist(), row.tolist(), x.tolist()) == ([0, 0], [0, 0, 0], [0, 0, 0], [5, 0, 0])
    assert x.version == 1


def test_writing_to_a_recorded_result_is_differentiated() -> None:
    x, value = cr.ones(3).requires_grad_(), cr.asarray(2.0).requires_grad_()
    y = x * 3
    y[1] = value
    cr.sum(y * y).backward()
    assert (x.grad.tolist(), value.grad.item()) == ([18.0, 0.0, 18.0], 4.0)


def test_under_jit_keys_and_values_are_traced() -> None:
    def step(x: cr.Tensor, i: cr.Tensor) -> tuple:
        y = x * 1
        y[i] = 0.0
        y[1:, ::-1] += x[i]
        y[y > 50] = -1.0
        return y, x[i], x[i[0]], cr.put(x, (..., i), 2.0)

    x, i = cr.asarray(X[0]), cr.asarray([3, 0, 1])
    traced = cr.jit(step)
    for got, want in zip(traced(x, i), step(x, i)):
        np.testing.assert_array_equal(got.numpy(), want.numpy())


def test_masks_that_are_known_while_tracing_may_select() -> None:
    got = cr.jit(lambda x: x[np.array([True, False, True])])(cr.asarray([1.0, 2.0, 3.0]))
    assert got.tolist() == [1.0, 3.0]


def test_iteration_and_unpacking() -> None:
    a, b = cr.asarray([[1, 2], [3, 4]])
    assert (a.tolist(), b.tolist()) == ([1, 2], [3, 4])
    assert len(cr.zeros((3, 2))) == 3


REFUSED: list[tuple[Any, type, str]] = [
    (3, IndexRangeError, "index 3 is outside axis 0 of (3, 4, 5); allowed: [-3, 2]."),
    ((0, -5), IndexRangeError, "index -5 is outside axis 1 of (3, 4, 5); allowed: [-4, 3]."),
    ((0,) * 4, IndexRangeError, "the key has 4 indices and the tensor 3 axes; its shape is (3, 4, 5)."),
    ((..., ...), IndexRangeError, "`...` may stand only once in a key."),
    (np.array([0, 7]), IndexRangeError, "gather: index 7 is outside axis 0 of (3, 4, 5); allowed: [-3, 2]."),
    (
        np.array([True, False]),
        IndexRangeError,
        "a mask has the shape of the axes that it stands for, here (3,); got (2,).",
    ),
    (
        1.5,
        DTypeError,
        "an index is an int, a slice, ..., None, an integer tensor or a bool mask; got 1.5 of type float.",
    ),
    (
        True,
        DTypeError,
        "an index is an int, a slice, ..., None, an integer tensor or a bool mask; got the bool True.",
    ),
    (
        np.zeros(2),
        DTypeError,
        "an index is an int, a slice, ..., None, an integer tensor or a bool mask; got a float64 tensor.",
    ),
    (
        (np.array([0, 1]), np.array([0, 1, 2])),
        ShapeError,
        "index: the shapes (2,) and (3,) do not broadcast; at axis -1 the sizes 2 and 3 differ and neither is 1. "
        "Reshape one of them, or add an axis with x[:, None].",
    ),
]


@pytest.mark.parametrize("key, kind, message", REFUSED, ids=[message for *_, message in REFUSED])
def test_what_is_refused(key: Any, kind: type, message: str) -> None:
    x = cr.asarray(X)
    with pytest.raises(kind) as error:
        x[key]
    assert error.value.message == message
    assert str(error.value) == message + "\n  (" + error.value.location + ")"
    assert error.value.location.startswith("test_index.py:")
    with pytest.raises(kind):
        x[key] = 0.0


def test_values_that_do_not_fit() -> None:
    x = cr.zeros((2, 3), dtype=cr.int64)
    with pytest.raises(DTypeError) as error:
        x[0] = 1.5
    assert error.value.message == (
        "x[key] = value: the value is float32 and the tensor int64; convert the value with .astype(cr.int64)."
    )
    with pytest.raises(ShapeError) as error:
        x[0] = cr.arange(2)
    assert error.value.message == (
        "broadcast_to: (2,) does not broadcast to (3,); at axis -1 the size 2 is neither 3 nor 1."
    )
    w = cr.zeros(2).requires_grad_()
    with pytest.raises(GradientError) as error:
        w[0] = 1.0
    assert error.value.message == (
        "a leaf that requires a gradient was assigned while operations are recorded; "
        "put the assignment into `with cr.no_grad():`, or assign to a copy."
    )
    with cr.no_grad():
        w[0] = 1.0
    assert w.tolist() == [1.0, 0.0]


def test_a_mask_of_unknown_values_can_not_select_while_tracing() -> None:
    with pytest.raises(TraceError) as error:
        cr.jit(lambda x: x[x > 0])(cr.ones((2, 3)))
    assert error.value.message == (
        "the shape of x[mask] depends on the values of the mask bool[2, 3], and there are none yet "
        "while cr.jit traces. Use cr.where(mask, x, 0), or move this line outside the step."
    )
