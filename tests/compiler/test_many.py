"""Many steps per native call: the bits of single calls, what ends a block early, Ctrl-C, and what is refused."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.compiler.native import uses_references
from chainrule.core.errors import (
    DTypeError,
    GradientError,
    IndexRangeError,
    NonFiniteError,
    ShapeError,
    TraceError,
)

ROWS, STEPS, BATCH = 90, 37, 16


@pytest.fixture
def references():
    """Let jit run NumPy's references: no step has a short way in."""
    uses_references(True)
    yield
    uses_references(False)


@pytest.fixture(autouse=True)
def all_threads():
    before = cr.get_num_threads()
    yield
    cr.set_num_threads(before)


def data(dtype=np.uint8):
    """Return pictures, labels and the rows of all steps."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (ROWS, 3, 8)).astype(dtype)
    return pixels, rng.integers(0, 10, ROWS), rng.integers(0, ROWS, (STEPS, BATCH))


class Training:
    """A network whose step can be run one by one or many at once."""

    def __init__(self, hidden=128):
        cr.manual_seed(1)
        self.model = nn.Sequential(
            nn.Flatten(), nn.Linear(24, hidden), nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, 10)
        )
        self.optimizer = optim.Adam(self.model.parameters(), lr=0.01)
        self.seen = cr.asarray(0)
        self.step = cr.jit(self.train)
        self.numbers = cr.default_generator.state_dict()

    def own(self, run):
        """Run something on this training's own random numbers."""
        cr.default_generator.load_state_dict(self.numbers)
        try:
            return run()
        finally:
            self.numbers = cr.default_generator.state_dict()

    def many(self, *args, **kwargs):
        return self.own(lambda: self.step.many(*args, **kwargs))

    def train(self, x, y):
        x = (x.astype(cr.float32) - 100.0) / 70.0
        scores = self.model(x)
        loss = cr.check_finite(nn.functional.cross_entropy(scores, y), what="the loss")
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.seen.assign_(self.seen + x.shape[0])
        return {"loss": loss, "seen": self.seen, "scores": scores, "name": "step"}

    def state(self):
        """Return the bytes of all state."""
        slots = self.optimizer.state_dict()["state"]
        parts = [*self.model.state_dict().values(), *(v for s in slots.values() for v in s.values()), self.seen]
        return [np.asarray(part).tobytes() for part in parts]


def one_by_one(training, x, y, indices):
    """Return the results of single calls, stacked."""
    found = training.own(lambda: [training.step(cr.asarray(x[rows]), cr.asarray(y[rows])) for rows in indices])
    return {key: np.stack([step[key].numpy() for step in found]) for key in ("loss", "seen", "scores")}


def assert_same(found, wanted):
    for key, value in wanted.items():
        np.testing.assert_array_equal(found[key].numpy(), value, err_msg=key)


# ---------------------------------------------------------------------------------------------------- the same bits
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_the_bits_are_those_of_single_calls(dtype):
    x, y, indices = data(dtype)
    single, many, parts = Training(), Training(), Training()
    wanted = one_by_one(single, x, y, indices)
    found = many.many(x, y, indices=indices)
    assert_same(found, wanted)
    assert found["name"] == "step"
    assert many.state() == single.state()
    first, rest = (parts.many(x, y, indices=part) for part in (indices[:1], indices[1:]))
    assert_same(rest, {key: value[1:] for key, value in wanted.items()})
    assert first["loss"].shape == (1,)
    assert parts.state() == single.state()
    assert len(many.step.variants) == 1
    assert many.step._fast[0].runner is not None  # it ran natively


def test_threads_do_not_change_the_bits():
    x, y, indices = data()
    states = []
    for threads in (1, 2, 3):
        cr.set_num_threads(threads)
        training = Training(512)
        training.many(x, y, indices=indices)
        assert training.step._fast[0].runner.threads is None  # long enough for a team
        states.append(training.state())
    assert states[0] == states[1] == states[2]


def test_without_indices_each_step_gets_a_row():
    x, y, indices = data()
    gathered, sliced = Training(), Training()
    wanted = gathered.many(x, y, indices=indices)
    found = sliced.many(cr.asarray(x[indices]), y[indices])
    assert_same(found, {key: wanted[key].numpy() for key in ("loss", "seen", "scores")})
    assert sliced.state() == gathered.state()


def test_references_and_python_loops_give_the_same(references):
    x, y, indices = data()
    single, many = Training(), Training()
    assert_same(many.many(x, y, indices=indices), one_by_one(single, x, y, indices))
    assert many.state() == single.state()


def test_a_step_that_calls_python_back_or_gathers_gradients_is_called_in_a_loop():
    weight = cr.ones(3).requires_grad_()

    @cr.jit
    def gather(x):
        loss = (weight * x).sum()
        loss.backward()
        return loss, weight.grad

    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    loss, gradients = gather.many(rows)
    np.testing.assert_array_equal(loss.numpy(), rows.sum(axis=1))
    np.testing.assert_array_equal(gradients.numpy(), np.cumsum(rows, axis=0))


def test_data_in_files_and_strided_data_are_read_where_they_lie(tmp_path):
    x, y, indices = data()
    wanted = Training().many(x, y, indices=indices)["loss"].numpy()
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    twice = np.repeat(x, 2, axis=0)[::2]  # rows that lie apart
    backwards = np.ascontiguousarray(x[::-1])[::-1]
    columns = np.asfortranarray(x)  # rows in pieces: no native way
    for array in (mapped, twice, backwards, columns):
        training = Training()
        np.testing.assert_array_equal(training.many(array, y, indices=indices)["loss"].numpy(), wanted)
        assert (training.step._fast[0].runner is None) == (array is columns)


def test_state_that_others_hold_is_not_written_over():
    x, y, indices = data()
    training = Training()
    training.many(x, y, indices=indices)
    held = training.model[1].weight.detach()
    before = held.numpy().copy()
    single = Training()
    one_by_one(single, x, y, np.concatenate([indices, indices]))
    training.many(x, y, indices=indices)
    np.testing.assert_array_equal(held.numpy(), before)
    assert training.state() == single.state()


def test_settings_may_change_between_calls():
    x, y, indices = data()
    many, single = Training(), Training()
    for rate in (0.01, 0.5):
        for training in (many, single):
            training.optimizer.param_groups[0]["lr"] = rate
        many.many(x, y, indices=indices)
        one_by_one(single, x, y, indices)
    many.model.eval(), single.model.eval()
    many.many(x, y, indices=indices)
    one_by_one(single, x, y, indices)
    assert many.state() == single.state()
    assert len(many.step.variants) == 2  # training and eval mode


def test_partial_calls_add_up():
    x, y, indices = data()
    whole, parts = Training(), Training()
    wanted = whole.many(x, y, indices=indices)["loss"].numpy()
    found = []
    while len(found) < STEPS:
        found += parts.many(x, y, indices=indices[len(found) :], partial=True)["loss"].tolist()
    np.testing.assert_array_equal(np.float32(found), wanted)
    assert parts.state() == whole.state()


# ---------------------------------------------------------------------------------------------------- steps that refuse
def spoiled(x, y, indices, kind, at):
    """Return data of which the batch of step `at`, and no earlier one, is refused."""
    x, y, indices = x.astype(np.float32), y.copy(), indices.copy()
    indices[:at][indices[:at] == 0] = 1
    indices[at, 3] = 0
    if kind == "label":
        y[0] = 10
    else:
        x[0] = np.nan
    return x, y, indices


@pytest.mark.parametrize("at", [0, 1, 20, STEPS - 1])
@pytest.mark.parametrize("kind", ["label", "nan"])
def test_a_refused_batch_leaves_the_state_after_the_step_before(kind, at):
    x, y, indices = spoiled(*data(), kind, at)
    error = IndexRangeError if kind == "label" else NonFiniteError
    warm, many, single = (Training() for _ in range(3))
    if at:
        one_by_one(single, x, y, indices[:at])
    with pytest.raises(error) as caught:
        many.many(x, y, indices=indices)
    message = "label 10 at position 3 is out of range for 10 classes; labels must be in [0, 9]."
    assert caught.value.message == (message if kind == "label" else "the loss is nan")
    note = f"in step {at} of {STEPS} of train.many; those before it are done"
    assert note in caught.value.__notes__
    assert many.state() == single.state()
    done = 0
    while done < at:
        done += len(warm.many(x, y, indices=indices[done:], partial=True)["loss"])
    with pytest.raises(error):
        warm.many(x, y, indices=indices[done:], partial=True)
    assert warm.state() == single.state()
    good = np.maximum(indices, 1)
    assert np.isfinite(many.many(x, y, indices=good)["loss"].numpy()).all()  # and it goes on


def test_denormals_and_infinite_losses_are_told_from_each_other():
    cell = cr.asarray(1e-30)

    @cr.jit
    def shrink(x):
        cell.assign_(cr.check_finite(cell * x, what="the cell"))
        return cell

    rows = np.array([1e-3, 1e30, 1e38, 1e38, 1.0], np.float32)
    with pytest.raises(NonFiniteError) as caught:
        shrink.many(rows)
    assert caught.value.message == "the cell is inf"
    assert cell.item() == pytest.approx(1e35, rel=1e-4)


# ---------------------------------------------------------------------------------------------------- Ctrl-C
@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs a signal for one thread")
def test_ctrl_c_is_answered_between_native_calls_and_the_state_is_whole():
    weight, count = cr.zeros(20_000), cr.asarray(0)

    @cr.jit
    def step(x):
        weight.assign_(weight + x)
        count.assign_(count + 1)
        return count

    rows = np.broadcast_to(np.float32(1), (1 << 22,))

    def run_for_ever():
        while True:
            step.many(rows)

    step.many(np.ones(1000, np.float32))
    sent = []

    def interrupt():
        time.sleep(0.3)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            run_for_ever()
        answered = time.monotonic() - sent[0]
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert answered < 1.0  # 0.05 s on a quiet machine
    assert step._fast[0].runner is not None
    assert count.item() > 1000
    assert (weight.numpy() == np.float32(count.item())).all()


# ---------------------------------------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    "arguments, indices, error, wanted",
    [
        ((), None, ShapeError, "f.many needs at least one argument: an array with the data of all steps."),
        ((np.ones((3, 2)), np.ones(4)), None, ShapeError, "f.many needs arguments of equal length; got 3, 4 rows."),
        ((np.ones((0, 2)),), None, ShapeError, "f.many needs at least one step; got none."),
        ((cr.asarray(1.0),), None, ShapeError,
         "f.many takes a row per step or sample; argument 0 has no axes."),
        (([1.0],), None, TypeError, "f.many takes arrays and tensors; argument 0 is list. Anything else belongs into "
         "the step, or into its closure."),
        ((np.ones(3), cr.ones(3).requires_grad_()), None, GradientError,
         "f.many takes data; argument 1 requires a gradient: give it as x.detach()."),
        ((np.ones(3, ">f4"),), None, DTypeError, "f.many: argument 0 has foreign byte order (>f4): use "
         "array.astype(array.dtype.newbyteorder('='))."),
        ((np.ones(3),), [0, 1], ShapeError,
         "f.many: indices must be integers [steps, batch]; got int64 of shape (2,)."),
        ((np.ones(3),), [[0.0]], ShapeError,
         "f.many: indices must be integers [steps, batch]; got float64 of shape (1, 1)."),
        ((np.ones(3),), [[0, 1], [2, 3]], IndexRangeError, "f.many: the index 3 at position (1, 1) is out of range; "
         "the arguments have 3 rows, so indices must be in [0, 2]."),
        ((np.ones(3),), [[-1]], IndexRangeError, "f.many: the index -1 at position (0, 0) is out of range; "
         "the arguments have 3 rows, so indices must be in [0, 2]."),
    ],
)  # fmt: skip
def test_what_is_refused(arguments, indices, error, wanted):
    calls = []

    def f(*args):
        calls.append(args)
        return args[0]

    with pytest.raises(error) as caught:
        cr.jit(f).many(*arguments, indices=indices)
    assert getattr(caught.value, "message", str(caught.value)) == wanted
    assert not calls


def test_results_of_different_shapes_or_structures_are_refused(references):
    lengths = iter([1, 2])
    step = cr.jit(lambda x: x[: next(lengths)], static_argnames=())
    step.__name__ = "step"
    values = np.ones((2, 3), np.float32)
    assert step.many(values).shape == (2, 1)  # traced once: the second call runs the first's graph


def test_inside_a_trace_it_is_refused():
    inner = cr.jit(lambda x: x + 1)
    inner.__name__ = "inner"
    with pytest.raises(TraceError) as caught:
        cr.jit(lambda x: inner.many(x))(cr.ones(3))
    assert caught.value.message == (
        "inner.many runs whole steps and can't be part of a trace, jvp or vmap: call it outside, or write cr.scan "
        "inside."
    )
