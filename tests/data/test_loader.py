"""The DataLoader: order, epochs, exact resuming, the fast path against the slow one, prefetching, errors."""

from __future__ import annotations

import copy
import gc
import json
import re
import subprocess
import sys
import threading

import numpy as np
import pytest

from chainrule.core import errors
from chainrule.core.errors import ChainruleWarning, CheckpointError, DataError
from chainrule.core.philox import fold_in, permutation
from chainrule.core.tensor import Tensor
from chainrule.data import ArrayDataset, DataLoader, Dataset, Standardize, Subset


def raises(error, message):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


def numbered(samples: int = 10) -> ArrayDataset:
    x = np.arange(2 * samples, dtype=np.float32).reshape(samples, 2)
    return ArrayDataset(x, np.arange(samples), names=("x", "labels"))


class Slow(Dataset):
    """The same samples as an ArrayDataset, one by one, with one that fails."""

    def __init__(self, data, bad=None):
        self.data, self.bad = data, bad

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        if index == self.bad:
            raise KeyError("no such picture")
        return self.data[index]


def labels(loader) -> list[list[int]]:
    return [y.tolist() for _, y in loader]


def order_of(loader) -> list[int]:
    return [label for batch in labels(loader) for label in batch]


def prefetchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "chainrule-prefetch"]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    gc.collect()
    assert prefetchers() == []


# ------------------------------------------------------------------------------------------------------ batches
def test_batches_are_tuples_of_tensors():
    batch = next(iter(DataLoader(numbered(), 4)))
    assert type(batch) is tuple
    x, y = batch
    assert isinstance(x, Tensor)
    assert isinstance(y, Tensor)
    assert (x.shape, x.dtype.name) == ((4, 2), "float32")
    assert (y.shape, y.dtype.name) == ((4,), "int64")
    assert x.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]]


@pytest.mark.parametrize(
    "batch_size, drop_last, lengths",
    [
        (4, False, [4, 4, 2]),
        (4, True, [4, 4]),
        (5, True, [5, 5]),
        (10, False, [10]),
        (99, False, [10]),
        (1, False, [1] * 10),
    ],
)
def test_number_and_size_of_batches(batch_size, drop_last, lengths):
    loader = DataLoader(numbered(), batch_size, drop_last=drop_last)
    assert len(loader) == len(lengths)
    assert list(map(len, labels(loader))) == lengths


def test_a_batch_is_a_copy_of_the_data():
    data = numbered()
    x, _ = next(iter(DataLoader(data, 10)))
    data.x[:] = -1
    assert x.tolist()[0] == [0.0, 1.0]


@pytest.mark.parametrize("prefetch", [0, 1, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_arrays_subsets_and_single_samples_give_equal_batches(shuffle, prefetch):
    data = numbered(50)
    rows = np.arange(49, 9, -1)
    options = {"batch_size": 7, "shuffle": shuffle, "seed": 5}
    fast = DataLoader(Subset(Subset(data, rows), range(40)), prefetch=prefetch, **options)
    slow = DataLoader(Slow(Subset(data, rows)), **options)
    for _ in range(2):
        for (x, y), (x_slow, y_slow) in zip(fast, slow, strict=True):
            assert np.array_equal(x.numpy(), x_slow.numpy())
            assert np.array_equal(y.numpy(), y_slow.numpy())
            assert (x.dtype, y.dtype) == (x_slow.dtype, y_slow.dtype)


def test_the_fast_path_never_asks_for_single_samples(monkeypatch):
    def refuse(self, index):
        raise AssertionError("asked for a single sample")

    data = numbered()
    loader = DataLoader(Subset(data, range(10)), 3)
    monkeypatch.setattr(Subset, "__getitem__", refuse)
    assert sum(map(len, labels(loader))) == 10


def test_transform_works_on_the_first_array_only():
    loader = DataLoader(numbered(), 5, transform=Standardize(1.0, 2.0))
    x, y = next(iter(loader))
    assert x.tolist()[1] == [0.5, 1.0]
    assert y.tolist() == [0, 1, 2, 3, 4]
    whole = DataLoader([1.0, 2.0, 3.0], 3, transform=lambda values: values * 10)
    assert next(iter(whole)).tolist() == [10.0, 20.0, 30.0]


def test_own_collate():
    pairs = DataLoader(numbered(), 4, collate=lambda samples: {"sum": np.array(sum(int(y) for _, y in samples))})
    assert [batch["sum"].item() for batch in pairs] == [6, 22, 17]


def test_float64_becomes_float32_with_one_notice(monkeypatch):
    monkeypatch.setattr(errors, "_noticed", set())
    loader = DataLoader(ArrayDataset(np.ones((4, 2))), 2)
    with pytest.warns(ChainruleWarning) as caught:
        batches = list(loader)
    assert [str(warning.message) for warning in caught] == [
        "DataLoader converts float64 arrays to float32, the default float. To silence this, give float32 "
        "(array.astype(np.float32)); for float64 tensors, write .astype(cr.float64) on the batch."
    ]
    assert [x.dtype.name for (x,) in batches] == ["float32", "float32"]
    assert next(iter(loader))[0].tolist() == [[1.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize("dtype", ["uint8", "int32", "bool", "float32", ">f4", "float16"])
def test_other_dtypes_stay(dtype):
    (x,) = next(iter(DataLoader(ArrayDataset(np.ones(3, dtype=dtype)), 3)))
    assert x.dtype.name == {">f4": "float32", "float16": "float32"}.get(dtype, dtype)
    assert x.numpy().dtype.isnative
    assert x.tolist() == [1, 1, 1]


# ------------------------------------------------------------------------------------------------------ order
def test_shuffling_is_keyed_by_seed_and_epoch():
    loader = DataLoader(numbered(100), 8, shuffle=True, seed=3)
    for epoch in range(3):
        assert loader.epoch == epoch
        assert order_of(loader) == permutation(fold_in(3, epoch), 100).tolist()
    assert loader.order(1).tolist() == permutation(fold_in(3, 1), 100).tolist()
    loader.set_epoch(1)
    assert order_of(loader) == permutation(fold_in(3, 1), 100).tolist()
    assert order_of(DataLoader(numbered(100), 8, shuffle=True, seed=4)) != loader.order(0).tolist()


def test_a_loop_left_early_begins_its_epoch_again():
    loader = DataLoader(numbered(), 2, shuffle=True)
    first = next(iter(loader))[1].tolist()
    assert loader.epoch == 0
    assert labels(loader)[0] == first
    assert loader.epoch == 1


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("stop", range(13))
def test_resuming_gives_exactly_the_next_batch(stop, prefetch):
    def make():
        return DataLoader(numbered(23), 4, shuffle=True, seed=9, prefetch=prefetch)

    whole = make()
    expected = [batch for _ in range(3) for batch in labels(whole)]  # 6 batches an epoch
    loader, seen, state = make(), [], make().state_dict()
    for _ in range(stop // 6 + 1):
        for _, y in loader:
            if len(seen) == stop:
                break
            seen.append(y.tolist())
            state = json.loads(json.dumps(loader.state_dict()))
    again = make()
    again.load_state_dict(state)
    while again.epoch < 3:
        seen += labels(again)
    assert seen == expected


def test_state_inside_the_last_batch_resumes_to_the_end_of_the_epoch():
    loader = DataLoader(numbered(), 5)
    states = [loader.state_dict() for _ in loader]
    assert [(state["epoch"], state["position"]) for state in states] == [(0, 1), (0, 2)]
    assert (loader.epoch, loader.state_dict()["position"]) == (1, 0)
    loader.load_state_dict(states[-1])
    assert labels(loader) == []
    assert loader.epoch == 1


def test_an_abandoned_loop_does_not_move_its_successor():
    loader = DataLoader(numbered(), 2)
    old = iter(loader)
    next(old)
    new = iter(loader)
    next(new)
    list(old)
    assert loader.state_dict()["position"] == 1
    assert loader.epoch == 0


def test_a_loaded_state_can_be_copied_and_dropped():
    loader = DataLoader(numbered(), 2)
    next(iter(loader))
    twin = copy.deepcopy(loader)
    assert labels(twin) == labels(loader)
    loader.load_state_dict({**loader.state_dict(), "position": 3})
    loader.set_epoch(0)
    assert len(labels(loader)) == 5


def test_states_that_do_not_fit():
    state = DataLoader(numbered(), 2, shuffle=True, seed=1).state_dict()
    with raises(
        CheckpointError,
        "the loader can't continue: samples was 10, now 8; batch_size was 2, now 4; seed was 1, now 0. "
        "Use the settings of the run that is resumed.",
    ):
        DataLoader(numbered(8), 4, shuffle=True).load_state_dict(state)
    loader = DataLoader(numbered(), 2, shuffle=True, seed=1)
    with raises(CheckpointError, "the loader's state lacks epoch, drop_last; it is not from DataLoader.state_dict()."):
        loader.load_state_dict({k: v for k, v in state.items() if k not in ("epoch", "drop_last")})
    with raises(CheckpointError, "the loader's state is out of range: epoch 0, position 6 of 5 batches."):
        loader.load_state_dict({**state, "position": 6})


# ------------------------------------------------------------------------------------------------------ errors
@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"batch_size": 0}, ValueError, "DataLoader.batch_size must be an int >= 1; got 0."),
        ({"batch_size": 2.0}, TypeError, "DataLoader.batch_size must be an int >= 1; got 2.0."),
        ({"batch_size": True}, TypeError, "DataLoader.batch_size must be an int >= 1; got True."),
        ({"prefetch": -1}, ValueError, "DataLoader.prefetch must be an int >= 0; got -1."),
        ({"seed": -1}, ValueError, f"DataLoader.seed must be an int in [0, {2**64 - 1}]; got -1."),
        ({"collate": "stack"}, TypeError, "DataLoader.collate must be a function or None; got 'stack'."),
        ({"transform": 2}, TypeError, "DataLoader.transform must be a function or None; got 2."),
        (
            {"batch_size": 64, "drop_last": True},
            DataError,
            "drop_last=True leaves no batch: the data set has 10 samples and batch_size is 64. "
            "Make batch_size smaller, or leave drop_last out.",
        ),
    ],
)
def test_settings(options, error, message):
    with raises(error, message):
        DataLoader(numbered(), **options)


def test_data_sets_that_are_none():
    with raises(DataError, "DataLoader got an empty data set: list has 0 samples."):
        DataLoader([])
    with raises(
        TypeError,
        "DataLoader.dataset must have __len__ and __getitem__; generator has no __len__. "
        "For arrays, write ArrayDataset(x, y).",
    ):
        DataLoader(x for x in "abc")
    with raises(ValueError, f"DataLoader.set_epoch.epoch must be an int in [0, {2**64 - 1}]; got -2."):
        DataLoader([1]).set_epoch(-2)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_failing_sample_is_named(prefetch):
    loader = DataLoader(Slow(numbered(), bad=7), 3, prefetch=prefetch)
    seen = []
    with raises(KeyError, "'no such picture'\nwhile loading sample 7 of Slow"):
        seen.extend(y.tolist() for _, y in loader)
    assert seen == [[0, 1, 2], [3, 4, 5]]
    assert loader.state_dict()["position"] == 2


@pytest.mark.parametrize("prefetch", [0, 1])
def test_failing_functions_are_named(prefetch):
    def fail(*_):
        raise ZeroDivisionError("oh")

    with raises(ZeroDivisionError, "oh\nin the loader's transform, for batch 0 of epoch 0"):
        next(iter(DataLoader(numbered(), 3, transform=fail, prefetch=prefetch)))
    with raises(
        ZeroDivisionError, "oh\nin the loader's collate function, for the samples 0, 1, 2, 3, 4, 5, 6, 7 and 2 more"
    ):
        next(iter(DataLoader(numbered(), 10, collate=fail, prefetch=prefetch)))


def test_ragged_samples_are_named_by_their_number_in_the_data_set():
    shapes = [(3, 32, 32), (3, 32, 32), (3, 30, 32)]
    pictures = [(np.zeros(shape, dtype=np.uint8), 0) for shape in shapes]
    assert next(iter(DataLoader(pictures, 2)))[0].shape == (2, 3, 32, 32)
    with raises(
        DataError,
        "the samples of one batch must have equal shapes at [0]; sample 2 has (3, 30, 32) and sample 0 has "
        "(3, 32, 32). Bring them to one shape (crop, resize or pad), or pass collate= to the loader.",
    ):
        list(DataLoader(pictures, 3))


# ------------------------------------------------------------------------------------------------------ threads
def test_prefetching_works_ahead_in_one_thread():
    asked, enough = [], threading.Event()

    class Watched(Slow):
        def __getitem__(self, index):
            asked.append((index, threading.current_thread().name))
            if index == 7:
                enough.set()
            return super().__getitem__(index)

    loop = iter(DataLoader(Watched(numbered(40)), 2, prefetch=2))
    next(loop)
    assert enough.wait(10)  # batch 3 is begun: two are ready, one more is waiting for room
    assert len(prefetchers()) == 1
    assert {name for _, name in asked} == {"chainrule-prefetch"}
    loop.close()
    assert max(index for index, _ in asked) <= 7
    assert prefetchers() == []


@pytest.mark.parametrize("way", ["break", "error", "forgotten"])
def test_a_consumer_that_stops_early_leaves_no_thread(way):
    loader = DataLoader(Slow(numbered(100)), 2, prefetch=3)
    if way == "break":
        for _ in loader:
            break
    elif way == "error":
        with raises(ZeroDivisionError, "division by zero"):
            _ = [1 / 0 for _ in loader]
    else:
        loop = iter(loader)
        next(loop)
        assert len(prefetchers()) == 1
        del loop
    gc.collect()
    assert prefetchers() == []


@pytest.mark.parametrize("keep", ["", "sys.modules['keep'] = loop", "import atexit; atexit.register(next, loop)"])
def test_a_program_may_end_in_the_middle_of_a_loop(keep):
    program = f"""
import sys
from chainrule.data import DataLoader
loop = iter(DataLoader(list(range(1000)), 2, prefetch=2))
print(next(loop).tolist())
{keep}
"""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "[0, 1]\n", "")


def test_no_thread_without_prefetch():
    before = threading.active_count()
    loop = iter(DataLoader(numbered(), 2))
    next(loop)
    assert threading.active_count() == before


# ------------------------------------------------------------------------------------------------------ real data
def test_all_digits_once(digits):
    loader = DataLoader(digits, 64, shuffle=True, prefetch=2, transform=Standardize(33.3, 78.6))
    counts = np.zeros(10, dtype=int)
    total = 0.0
    for x, y in loader:
        assert x.dtype.name == "float32"
        counts += np.bincount(y.numpy(), minlength=10)
        total += float(x.numpy().sum(dtype=np.float64))
    assert counts.tolist() == np.bincount(digits.labels).tolist()
    assert total == pytest.approx(((digits.images - 33.3) / 78.6).sum(), rel=1e-5)
