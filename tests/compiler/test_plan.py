"""Compiled steps on the disk: found by another process, never shared by different steps, never believed damaged."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import plan as plans
from chainrule.compiler.jit import JitFunction
from chainrule.compiler.llvm import cache
from chainrule.compiler.program import NativeExecutor

STEP = """
    import sys
    import numpy as np
    import chainrule as cr
    from chainrule.compiler import native, passes, plan, schedule
    from chainrule.compiler.llvm import machine

    calls = {"compile": 0, "schedule": 0, "simplify": 0}

    def counted(module, name, key):
        function = getattr(module, name)

        def call(*args, **kwargs):
            calls[key] += 1
            return function(*args, **kwargs)

        setattr(module, name, call)

    counted(plan, "compile_text", "compile")
    counted(plan, "scheduled", "schedule")
    counted(plan, "simplified", "simplify")

    cr.manual_seed(3)
    net = cr.nn.Sequential(cr.nn.Linear(6, 5), cr.nn.ReLU(), cr.nn.Dropout(0.5), cr.nn.Linear(5, 4))
    optimizer = cr.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    criterion = cr.nn.CrossEntropyLoss()
    numbers = np.arange(200, dtype=np.float32).reshape(50, 4)

    @cr.jit
    def step(x, y):
        optimizer.zero_grad()
        scores = net(x) + cr.asarray(numbers)[y]
        loss = criterion(EXTRA, y)
        loss.backward()
        optimizer.step()
        return loss

    x = cr.asarray(np.linspace(-1, 1, 18, dtype=np.float32).reshape(3, 6))
    losses = [step(x, cr.asarray([0, 3, 1])).item().hex() for _ in range(3)]
    digest = step.variants[0].executor.plan.text_digest
    print(calls["compile"], calls["schedule"], calls["simplify"], digest, *losses)
"""
PLAIN, CALLING = "scores", "cr.linalg.inv(cr.eye(4) + scores.T @ scores)[:3]"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> pathlib.Path:
    """Return the folder of entries of an empty cache."""
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "surroundings", lambda: "of this test")  # whatever is edited meanwhile
    cache._trusted.cache_clear()
    yield tmp_path / "cache" / "code"
    cache._trusted.cache_clear()


def run(extra: str) -> list[str]:
    program = textwrap.dedent(STEP).replace("EXTRA", extra)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=200, check=True)
    return done.stdout.split()


def compiled(function, *args) -> tuple[JitFunction, NativeExecutor]:
    step = cr.jit(function)
    step(*args)
    executor = step.variants[-1].executor
    assert isinstance(executor, NativeExecutor)
    return step, executor


def entries(folder: pathlib.Path) -> set[str]:
    return {path.name for path in folder.glob("*.code")}


# ------------------------------------------------------------------------------------------------ found again


def test_a_second_process_compiles_nothing(folder):
    first, second = run(PLAIN), run(PLAIN)
    assert first[:3] == ["1", "1", "1"]
    assert second[:3] == ["0", "0", "0"]
    assert first[3:] == second[3:]
    assert len(set(first[4:])) == 3  # the step trains


def test_a_second_process_finds_the_references_that_are_called(folder):
    first, second = run(CALLING), run(CALLING)
    assert first[:3] == ["1", "1", "1"]
    assert second[:3] == ["0", "0", "1"]  # the passes say which equation a call means
    assert first[3:] == second[3:]


def test_without_a_cache_each_process_compiles(folder, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE", "off")
    first, second = run(PLAIN), run(PLAIN)
    assert first[:3] == ["1", "1", "1"]
    assert first == second  # the code too: nothing in it depends on where an object lies or on the hash's seed
    assert not folder.exists()


def test_an_equal_step_in_the_same_process_is_found(folder):
    x = cr.asarray([1.0, 2.0])
    _, one = compiled(lambda x: cr.exp(x) * 2, x)
    step, other = compiled(lambda value: cr.exp(value) * 2, x)
    assert (one.plan.from_disk, other.plan.from_disk) == (False, True)
    assert one.plan.code == other.plan.code
    np.testing.assert_allclose(step(x).numpy(), 2 * np.exp([1.0, 2.0]), rtol=1e-6)


def test_a_plan_from_the_disk_is_the_plan_that_was_made(folder):
    numbers = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)

    def f(x, i):
        return cr.linalg.inv(x @ x.T + cr.eye(3)), x, cr.asarray(numbers)[i] * cr.asarray([1.0, 2.0, 4.0]), x

    x, i = cr.asarray(np.arange(12, dtype=np.float32).reshape(3, 4)), cr.asarray([1, 39, 7])
    (one_step, one), (other_step, other) = compiled(f, x, i), compiled(f, x, i)
    assert other.plan.from_disk
    for name in (*plans._SIMPLE, "code"):
        assert _plain(getattr(one.plan, name)) == _plain(getattr(other.plan, name)), name
    assert [type(x) for x in one.stretches] == [type(x) for x in other.stretches]
    assert [c.tobytes() for c in one.constants] == [c.tobytes() for c in other.constants]
    assert [c.shape for c in one.constants] == [c.shape for c in other.constants]
    assert all(c.flags.c_contiguous for c in other.constants)
    for a, b in zip(one_step(x, i), other_step(x, i), strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()


def _plain(value):
    return [list(x) if isinstance(x, tuple) else x for x in value] if isinstance(value, list) else value


# ------------------------------------------------------------------------------------------------ never shared


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda x: x * 2.0, lambda x: x * 3.0),
        (lambda x: x.sum(axis=0), lambda x: x.sum(axis=1)),
        (lambda x: x + cr.asarray([1.0, 2.0]), lambda x: x + cr.asarray([1.0, 3.0])),
        (lambda x: cr.exp(x), lambda x: cr.expm1(x)),
        (lambda x: (x, x + 1), lambda x: (x + 1, x)),
        (lambda x: x.astype(cr.float64) + 1, lambda x: x.astype(cr.float32) + 1),
    ],
)
def test_different_steps_have_different_entries(folder, one, other):
    x = cr.asarray([[1.0, 2.0], [5.0, 7.0]])
    for count, function in enumerate((one, other, one, other), 1):
        step, executor = compiled(function, x)
        assert executor.plan.from_disk == (count > 2)
        for a, b in zip(_list(step(x)), _list(function(x)), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)


def _list(value) -> list:
    return list(value) if isinstance(value, tuple) else [value]


def test_types_of_arguments_are_told_apart(folder):
    step = cr.jit(lambda x: x + x)
    for dtype in (cr.float32, cr.float64, cr.int32):
        for shape in ((3,), (1, 3), (3, 1)):
            x = cr.ones(shape, dtype=dtype)
            assert step(x).numpy().tobytes() == (x + x).numpy().tobytes()
            assert not step.variants[-1].executor.plan.from_disk


def test_state_that_may_be_written_over_is_told_apart(folder):
    """The same graph, once with an output over its input, once without."""
    state, other = cr.zeros(3), cr.zeros(3)

    def assigns(x):
        state.assign_(state + x)

    def returns(x):
        return other + x

    for function, taken in ((assigns, True), (returns, False)):
        step, executor = compiled(function, cr.ones(3))
        assert any(number >= 0 for number in executor.states) is taken
        step(cr.ones(3))
    assert state.numpy().tolist() == [2.0] * 3
    assert other.numpy().tolist() == [0.0] * 3


# ------------------------------------------------------------------------------------------------ damage


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "of another"])
def test_a_damaged_entry_is_compiled_again_and_replaced(folder, damage):
    x = cr.asarray([1.0, 2.0])
    compiled(lambda x: x * 5.0, x)
    step_entries = entries(folder)
    compiled(lambda x: x * 6.0, x)
    (mine,) = entries(folder) - step_entries
    path = folder / mine
    good = path.read_bytes()
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 1
    donor = next(folder / name for name in step_entries)
    path.write_bytes({"cut": good[:-9], "flipped": bytes(bad), "empty": b"", "of another": donor.read_bytes()}[damage])
    step, executor = compiled(lambda x: x * 6.0, x)
    assert not executor.plan.from_disk
    assert step(x).numpy().tolist() == [6.0, 12.0]
    _, executor = compiled(lambda x: x * 6.0, x)
    assert executor.plan.from_disk


def test_a_step_that_prints_is_kept_and_prints_its_own_text(folder, capsys):
    def printing(text):
        def function(x):
            cr.debug_print(text, x.sum())
            return x + 1

        return function

    for text in ("first {}", "second {}"):
        compiled(printing(text), cr.ones(2))
    assert capsys.readouterr().out == "first 2.0\nsecond 2.0\n"


def test_what_passes_computed_is_in_the_entry_and_what_the_step_holds_is_not(folder, monkeypatch):
    x = cr.ones(4000)
    given = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    compiled(lambda x: x + cr.asarray(given), x)
    (mine,) = folder.glob("*.code")
    assert mine.stat().st_size < given.nbytes
    few = np.float32([0.5, 1.5, 2.5])
    for again in (False, True):
        step, executor = compiled(lambda x: x * cr.exp(cr.asarray(few)), x[:3])
        assert executor.plan.from_disk is again
        assert len(executor.constants) == 1
        np.testing.assert_allclose(step(x[:3]).numpy(), np.exp([0.5, 1.5, 2.5]), rtol=1e-6)
    monkeypatch.setattr(plans, "LARGEST", 11)
    for _ in range(2):
        _, executor = compiled(lambda x: x * cr.log(cr.asarray(few)), x[:3])
        assert not executor.plan.from_disk
