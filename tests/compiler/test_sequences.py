"""Scatters and running sums in native code: the same bits on any number of threads, errors before state changes."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler.program import NativeExecutor
from chainrule.core.errors import IndexRangeError
from chainrule.core.primitive import PRIMITIVES
from chainrule.testing.compiled import Case, graph_of


def _rng():
    return np.random.default_rng(0)


@pytest.fixture
def threads():
    """Set the number of threads; put back afterwards."""
    before = cr.get_num_threads()
    yield cr.set_num_threads
    cr.set_num_threads(before)


@pytest.mark.parametrize(
    "name, shape, indices, attributes",
    [
        ("scatter_add", (50, 128), (1, 700), {"axes": (0,)}),
        ("scatter_add", (50, 48), (1, 20, 40), {"axes": (0,)}),
        ("add_along", (40, 90), (40, 300), {"axis": 1}),
        ("add_along", (40, 90), (200, 90), {"axis": 0}),
    ],
)
def test_bits_do_not_depend_on_threads(threads, name, shape, indices, attributes):
    rng = _rng()
    axis = attributes.get("axis", 0)
    picked = rng.integers(0, shape[axis], indices)
    updates = picked.shape if "axis" in attributes else (*picked.shape[1:], shape[1])
    arrays = [rng.standard_normal(shape), picked, rng.standard_normal(updates)]
    arrays = [a.astype(np.float32) if a.dtype == np.float64 else a for a in arrays]
    found = []
    for count in (1, 2, 3):
        threads(count)
        found.append(NativeExecutor(graph_of(PRIMITIVES[name], [Case(tuple(arrays), attributes)]))(arrays)[0])
    want = PRIMITIVES[name].run(arrays, attributes)[0]
    for result in found:
        assert result.tobytes() == want.tobytes()


def test_equal_indices_are_taken_in_order():
    x, picked = cr.zeros((3, 40)), cr.asarray([[1, 1, 1]])
    updates = cr.asarray(np.array([1e8, 1.0, -1e8], np.float32).reshape(3, 1).repeat(40, 1))
    arrays = [x.numpy(), picked.numpy(), updates.numpy()]
    (added,) = NativeExecutor(graph_of(PRIMITIVES["scatter_add"], [Case(tuple(arrays), {"axes": (0,)})]))(arrays)
    (last,) = NativeExecutor(graph_of(PRIMITIVES["scatter_set"], [Case(tuple(arrays), {"axes": (0,)})]))(arrays)
    assert added[1].tolist() == [0.0] * 40  # 1e8 + 1 is 1e8
    assert last[1].tolist() == [-1e8] * 40


def test_an_index_outside_stops_the_step_before_state_changes():
    table = cr.ones((5, 4))
    count = cr.asarray(0.0)

    @cr.jit
    def step(indices):
        count.assign_(count + 1.0)
        rows = cr.take(table, indices, axis=0)
        table.assign_(table - 0.5)
        return rows.sum()

    assert step(cr.asarray([0, 4])).item() == 8.0
    with pytest.raises(IndexRangeError, match=r"index 5 is outside axis 0 of \(5, 4\)"):
        step(cr.asarray([0, 5]))
    assert count.item() == 1.0
    assert table.numpy().tolist() == [[0.5] * 4] * 5


def test_a_gradient_scattered_into_an_embedding_is_the_eager_one():
    rng = _rng()
    values, picked = rng.standard_normal((20, 33)).astype(np.float32), cr.asarray(rng.integers(0, 20, (4, 7)))
    weights = cr.asarray(rng.standard_normal((4, 7, 33)).astype(np.float32))
    loss = lambda table: (cr.take(table, picked, axis=0) * weights).sum()  # noqa: E731
    table = cr.asarray(values)
    eager = cr.grad(loss)(table).numpy()
    native = cr.jit(cr.grad(loss))(table).numpy()
    assert native.tobytes() == eager.tobytes()


def test_a_check_under_a_mask_counts_only_where_something_is_read():
    """In the border of the pad no index is read: 0 - 5 there was refused as an index."""
    x, picked = cr.arange(4), cr.asarray([6, 7, 8])
    step = cr.jit(lambda x, picked: cr.pad(cr.take(x, picked - 5, axis=0), 2))
    assert step(x, picked).tolist() == [0, 0, 1, 2, 3, 0, 0]
    with pytest.raises(IndexRangeError, match=r"index 4 is outside axis 0 of \(4,\)"):
        step(x, picked + 1)
