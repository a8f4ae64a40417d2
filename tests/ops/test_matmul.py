"""Matrix products and einsum: NumPy's values, PyTorch's gradients, the size of weight gradients, whole errors."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, IndexRangeError, ShapeError

PAIRS = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((5, 6, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 1, 2, 3), (6, 3, 4)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 4)),
    ((2, 0), (0, 3)),
    ((0, 3), (3, 2)),
]


def _random(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize("shapes", PAIRS, ids=str)
def test_products_are_numpys(shapes: tuple) -> None:
    a, b = _random(*shapes)
    got = cr.matmul(cr.asarray(a), cr.asarray(b))
    assert got.shape == np.matmul(a, b).shape
    np.testing.assert_allclose(got.numpy(), np.matmul(a, b), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint16"])
def test_integers_multiply_exactly(dtype: str) -> None:
    a, b = np.arange(6, dtype=dtype).reshape(2, 3), np.arange(12, dtype=dtype).reshape(3, 4)
    got = cr.asarray(a) @ cr.asarray(b)
    assert got.dtype.name == dtype
    np.testing.assert_array_equal(got.numpy(), a @ b)


def test_bfloat16_is_rounded_once() -> None:
    a = cr.full((1, 1000), 1.0, dtype=cr.bfloat16)
    assert (a @ a.T).item() == 1000.0  # summed in float32: in bfloat16 it would stop at 256


@pytest.mark.oracle
@pytest.mark.parametrize("shapes", PAIRS, ids=str)
def test_gradients_are_pytorchs(shapes: tuple) -> None:
    torch = pytest.importorskip("torch")
    arrays = _random(*shapes)
    theirs = [torch.tensor(x, requires_grad=True) for x in arrays]
    ours = [cr.asarray(x).requires_grad_() for x in arrays]
    torch.matmul(*theirs).square().sum().backward()
    cr.sum(cr.square(cr.matmul(*ours))).backward()
    for got, want in zip(ours, theirs):
        np.testing.assert_allclose(got.grad.numpy(), want.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_the_weight_gradient_of_a_batch_is_one_product() -> None:
    x, w = cr.ones((16, 8, 3)), cr.ones((3, 2)).requires_grad_()
    shapes = []

    def step() -> cr.Tensor:
        cr.sum(x @ w).backward()
        return w.grad

    def watch(primitive: object, values: list, results: list, attributes: dict) -> None:
        if primitive.name == "matmul":
            shapes.append(results[0].shape)

    from chainrule.core.context import local

    local.checks = (watch,)
    try:
        step()
    finally:
        del local.checks
    assert shapes == [(128, 2), (3, 2)]


def test_vecdot_conjugates_the_left_vector():
    # It did not, and 1j . 1j was -1.
    a, b = np.array([1j, 2.0]), np.array([1j, 1.0 + 1j])
    assert cr.vecdot(cr.asarray(a), cr.asarray(b)).item() == np.vecdot(a, b) == 3 + 2j


def test_vecdot_outer_tensordot_are_numpys() -> None:
    a, b = _random((2, 3, 4), (3, 4, 5))
    x, y = cr.asarray(a), cr.asarray(b)
    np.testing.assert_allclose(cr.vecdot(x, x[:1], axis=-2).numpy(), np.sum(a * a[:1], axis=-2))
    np.testing.assert_allclose(cr.outer(x[0, 0], y[0, 0]).numpy(), np.outer(a[0, 0], b[0, 0]))
    for axes in (2, 0, ((1, 2), (0, 1)), ((2,), (1,)), ((-1, -2), (1, 0))):
        np.testing.assert_allclose(cr.tensordot(x, y, axes=axes).numpy(), np.tensordot(a, b, axes), rtol=1e-12)


EINSUMS = [
    ("ij,jk", [(2, 3), (3, 4)]),
    ("bij,bjk->bik", [(5, 2, 3), (5, 3, 4)]),
    ("ii", [(3, 3)]),
    ("ii->i", [(3, 3)]),
    ("iij->ji", [(3, 3, 2)]),
    ("iii->i", [(3, 3, 3)]),
    ("...ij,...jk->...ik", [(4, 1, 2, 3), (5, 3, 2)]),
    ("i,j", [(2,), (3,)]),
    ("ij->", [(2, 3)]),
    ("ji", [(2, 3)]),
    ("ij,ij", [(1, 3), (2, 3)]),
    ("abc,cd,de->ae", [(2, 3, 4), (4, 5), (5, 6)]),
    ("i...->...", [(3, 2)]),
    ("ij,jk,ki->", [(2, 3), (3, 4), (4, 2)]),
    ("...,...", [(), (3,)]),
    ("b i d, b j d -> b i j", [(2, 3, 4), (2, 5, 4)]),
    (",ij", [(), (2, 3)]),
    ("ij,k->", [(2, 3), (4,)]),
    ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]),
    ("ij,ij->ij", [(2, 3), (2, 3)]),
]


@pytest.mark.parametrize("subscripts, shapes", EINSUMS, ids=[text for text, _ in EINSUMS])
def test_einsum_is_numpys(subscripts: str, shapes: list) -> None:
    arrays = _random(*shapes)
    want = np.einsum(subscripts, *arrays)
    got = cr.einsum(subscripts, *map(cr.asarray, arrays))
    assert got.shape == want.shape
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-11, atol=1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize("subscripts, shapes", EINSUMS, ids=[text for text, _ in EINSUMS])
def test_einsum_gradients_are_pytorchs(subscripts: str, shapes: list) -> None:
    torch = pytest.importorskip("torch")
    arrays = _random(*shapes)
    theirs = [torch.tensor(x, requires_grad=True) for x in arrays]
    ours = [cr.asarray(x).requires_grad_() for x in arrays]
    torch.einsum(subscripts, *theirs).square().sum().backward()
    cr.sum(cr.square(cr.einsum(subscripts, *ours))).backward()
    for got, want in zip(ours, theirs):
        np.testing.assert_allclose(got.grad.numpy(), want.grad.numpy(), rtol=1e-9, atol=1e-11)


REFUSED = [
    (
        lambda: cr.ones((32, 784)) @ cr.ones((10, 784)),
        ShapeError,
        "matmul: left is (32, 784) and right is (10, 784); the inner sizes 784 and 10 differ."
        "\n  If the weight is stored as (out, in), write x @ w.T.",
    ),
    (
        lambda: cr.ones((2, 3, 4)) @ cr.ones((2, 5, 4)),
        ShapeError,
        "matmul: left is (2, 3, 4) and right is (2, 5, 4); the inner sizes 4 and 5 differ."
        "\n  If the weight is stored as (out, in), write x @ w.mT.",
    ),
    (
        lambda: cr.ones((2, 3)) @ cr.ones(4),
        ShapeError,
        "matmul: left is (2, 3) and right is (4,); the inner sizes 3 and 4 differ."
        "\n  The last axis of the left must be as long as the last but one of the right.",
    ),
    (
        lambda: cr.ones((2, 3)) @ 2,
        ShapeError,
        "matmul: left is (2, 3) and right is (); a tensor without axes is multiplied with *.",
    ),
    (
        lambda: cr.ones((1, 1)).astype(cr.bool) @ cr.ones((1, 1)).astype(cr.bool),
        DTypeError,
        "matmul needs a numeric tensor; got bool: use .astype(cr.float32).",
    ),
    (
        lambda: cr.vecdot(cr.ones(3), cr.ones(1)),
        ShapeError,
        "vecdot: left is (3,) and right is (1,); the sizes 3 and 1 on axis -1 differ.",
    ),
    (
        lambda: cr.outer(cr.ones((2, 2)), cr.ones(2)),
        ShapeError,
        "outer takes two vectors; got the shapes (2, 2) and (2,).",
    ),
    (
        lambda: cr.tensordot(cr.ones((2, 3)), cr.ones((2, 3)), axes=1),
        ShapeError,
        "tensordot: axis 1 of (2, 3) and axis 0 of (2, 3) are paired; their sizes 3 and 2 differ.",
    ),
    (
        lambda: cr.tensordot(cr.ones((2, 3)), cr.ones((2, 3)), axes=((0,), (0, 1))),
        ShapeError,
        "tensordot: 1 axes (0,) are paired with 2 axes (0, 1).",
    ),
    (
        lambda: cr.tensordot(cr.ones(2), cr.ones(2), axes=2),
        ShapeError,
        "tensordot: 2 axes can't be paired; the shapes are (2,) and (2,).",
    ),
    (
        lambda: cr.tensordot(cr.ones(2), cr.ones(2), axes=((1,), (0,))),
        IndexRangeError,
        "tensordot: axis 1 does not exist in a tensor with 1 axes; allowed: [-1, 0].",
    ),
    (
        lambda: cr.einsum("ij,jk", cr.ones((2, 3)), cr.ones((4, 5))),
        ShapeError,
        "einsum 'ij,jk': the letter 'j' has the sizes 3 and 4.",
    ),
    (
        lambda: cr.einsum("...,...", cr.ones(2), cr.ones(3)),
        ShapeError,
        "einsum '...,...': an axis of '...' has the sizes 2 and 3.",
    ),
    (
        lambda: cr.einsum("ij", cr.ones(2)),
        ShapeError,
        "einsum 'ij': the term 'ij' does not fit an operand of shape (2,).",
    ),
    (
        lambda: cr.einsum("i", cr.ones((2, 2))),
        ShapeError,
        "einsum 'i': the term 'i' does not fit an operand of shape (2, 2).",
    ),
    (lambda: cr.einsum("i,j", cr.ones(2)), ShapeError, "einsum 'i,j': 2 terms do not fit 1 operands."),
    (
        lambda: cr.einsum("i1", cr.ones((2, 2))),
        ShapeError,
        "einsum 'i1': a term is made of letters and one '...'; got '1' in 'i1'.",
    ),
    (lambda: cr.einsum("i->ii", cr.ones(2)), ShapeError, "einsum 'i->ii': the letter 'i' of the result stands twice."),
    (
        lambda: cr.einsum("i->j", cr.ones(2)),
        ShapeError,
        "einsum 'i->j': the letter 'j' of the result stands in no operand.",
    ),
]


@pytest.mark.parametrize("call, kind, message", REFUSED, ids=[message for *_, message in REFUSED])
def test_what_is_refused(call: object, kind: type, message: str) -> None:
    with pytest.raises(kind) as error:
        call()
    assert error.value.message == message


def test_the_message_names_the_users_line() -> None:
    for call in (lambda: cr.ones((2, 3)) @ cr.ones((2, 3)), lambda: cr.ones(3) @ cr.ones(2)):
        with pytest.raises(ShapeError) as error:
            call()
        assert error.value.location.startswith("test_matmul.py:")
