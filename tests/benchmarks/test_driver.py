"""The driver: contestants answer one at a time, stand still in between, and drop out with a reason."""

from __future__ import annotations

import json
import pathlib
import sys
import time

import pytest

from benchmarks import driver, peers
from benchmarks.driver import Contestant, ContestantError, Outcome, Settings, take_turns
from benchmarks.workloads import WORKLOADS

FAKE = str(pathlib.Path(__file__).with_name("fake.py"))


@pytest.fixture
def start(tmp_path):
    started = []

    def make(kind, **environment):
        started.append(Contestant([sys.executable, FAKE, kind], environment, tmp_path / f"log{len(started)}"))
        return started[-1]

    yield make
    for contestant in started:
        contestant.end()


def test_a_contestant_answers(start):
    contestant = start("plain")
    assert contestant.ask(do="build") == {"version": "1.2", "parameters": 3}
    assert contestant.ask(do="steps", count=2) == {"seconds": [0.001, 0.002]}


def test_it_gets_its_variables(start):
    assert start("variables", OMP_NUM_THREADS="3").ask(do="build") == {"version": "3"}


@pytest.mark.skipif(not pathlib.Path("/proc/self/stat").exists(), reason="reads /proc")
def test_it_stands_still_between_its_turns(start):
    contestant = start("plain")
    contestant.ask(do="build")

    def state():
        return pathlib.Path(f"/proc/{contestant.process.pid}/stat").read_text().rpartition(")")[2].split()[0]

    end = time.monotonic() + 5
    while state() != "T" and time.monotonic() < end:
        time.sleep(0.01)
    assert state() == "T"
    assert contestant.ask(do="steps", count=1) == {"seconds": [0.001]}


@pytest.mark.parametrize(
    "kind, message, skip",
    [
        ("skipping", "no compiler", True),
        ("silent", "ended with code 3: it said nothing", False),
        ("loud", "ended with code 4: last words", False),
    ],
)
def test_one_that_cannot_run_says_why(start, kind, message, skip):
    with pytest.raises(ContestantError) as caught:
        start(kind).ask(do="build")
    assert (str(caught.value), caught.value.skip) == (message, skip)


def test_turns_collect_seconds_per_step_of_all_but_the_one_that_fails(start):
    running = []
    for kind, typical in (("plain", 0.01), ("failing", 0.01), ("plain", 1.0)):
        contestant = start(kind)
        contestant.typical = typical
        running.append((Outcome("peer", kind), contestant))
    said = []
    take_turns(running, Settings(threads=1, rounds=2, turn=0.05), 1, said.append)
    quick, failed, slow = (outcome for outcome, _ in running)
    assert quick.seconds == pytest.approx([0.001, 0.002, 0.003, 0.004, 0.005] * 2)
    assert slow.seconds == pytest.approx([0.001, 0.002, 0.003] * 2)  # three steps at least
    assert (failed.seconds, failed.skipped, failed.failed) == ([], "MemoryError: too large", True)
    assert said == ["round 1 of 2", "round 2 of 2"]


def test_a_call_of_many_steps_counts_as_so_many(start):
    contestant = start("plain")
    contestant.typical = 9.0
    outcome = Outcome("peer", "loop")
    take_turns([(outcome, contestant)], Settings(threads=1, rounds=1, turn=0.1), 10, lambda text: None)
    assert outcome.seconds == pytest.approx([0.0001])


def test_run_starts_compiling_modes_twice_and_ends_all(monkeypatch, start):
    modes = [peers.Mode("chainrule", "jit", compiles=True), peers.Mode("torch", "eager"), peers.Mode("jax", "skipping")]
    commands = []

    class Fake(Contestant):
        def __init__(self, command, environment, log):
            kind = "skipping" if "jax/skipping" in command[-1] else "plain"
            commands.append((command[-1], environment))
            super().__init__([sys.executable, FAKE, kind], environment, log)

    monkeypatch.setattr(driver, "Contestant", Fake)
    monkeypatch.setattr(driver.peers, "modes", lambda workload, chosen: modes)
    monkeypatch.setattr(driver.batches, "write", lambda workload, path: path)
    ours, torch, skipped = driver.run(WORKLOADS["mlp"], Settings(threads=2, rounds=1, turn=0.3))
    assert len(commands) == 4
    assert {environment["OMP_NUM_THREADS"] for _, environment in commands} == {"2"}
    assert (ours.cold, ours.cached, ours.growth, ours.growth_cold) == (0.5, 0.5, 1000, 1000)
    assert (torch.cold, torch.cached, torch.losses) == (None, 0.5, [2.0, 1.0, 0.5])
    assert len(torch.seconds) == 3  # a turn of 0.3 s at 0.15 s per step would be two; three at least
    assert (skipped.skipped, skipped.failed, skipped.median) == ("no compiler", False, None)


def test_rounds_end_when_the_time_is_over_but_three_are_made(start):
    contestant = start("plain")
    contestant.typical = 9.0
    outcome = Outcome("peer", "slow")
    said = []
    take_turns([(outcome, contestant)], Settings(threads=1, rounds=10, seconds=1e-9), 1, said.append)
    assert (len(said), outcome.seconds) == (3, pytest.approx([0.001] * 3))  # a step per turn: three would take too long


def test_patience_ends(start):
    contestant = start("asleep")
    with pytest.raises(ContestantError) as caught:
        contestant.ask(0.2, do="first")
    assert (str(caught.value), caught.value.skip) == ("not ready within 0.2 s", True)


@pytest.fixture
def fakes(monkeypatch, start):
    """Let `run` start fake contestants, of the kind that the mode is called; the kinds are noted."""
    kinds = []

    class Fake(Contestant):
        def __init__(self, command, environment, log):
            kinds.append(json.loads(command[-1])["mode"].partition("/")[2])
            super().__init__([sys.executable, FAKE, kinds[-1]], environment, log)

    monkeypatch.setattr(driver, "Contestant", Fake)
    monkeypatch.setattr(driver.batches, "write", lambda workload, path: path)

    def choose(*modes):
        monkeypatch.setattr(driver.peers, "modes", lambda workload, chosen: modes)
        return kinds

    return choose


def test_of_heavy_workloads_the_slow_modes_leave_and_so_does_who_computes_something_else(fakes):
    kinds = fakes(
        peers.Mode("chainrule", "plain", compiles=True), peers.Mode("torch", "slow"), peers.Mode("torch", "plain"),
        peers.Mode("torch", "slow"), peers.Mode("jax", "slow"), peers.Mode("jax", "off"),
    )  # fmt: skip
    outcomes = driver.run(WORKLOADS["vgg11"], Settings(threads=1, rounds=1, once=True, seconds=9))
    assert kinds == ["plain", "slow", "plain", "slow", "slow", "off"]  # chainrule once, with an empty cache
    ours = outcomes[0]
    assert (ours.cold, ours.cached, ours.growth_cold, ours.growth) == (0.5, None, 1000, None)
    reason = "over 1.25 times the time of the library's best mode in its first steps"
    assert [o.skipped for o in outcomes[:5]] == [None, reason, None, reason, reason]
    assert (outcomes[5].skipped, outcomes[5].failed) == ("its first 3 losses are 1.0e-01 away from PyTorch's", True)
    assert [len(o.seconds) for o in outcomes] == [2, 0, 2, 0, 0, 0]


def test_losses_of_ours_that_differ_are_our_failure(fakes):
    fakes(peers.Mode("chainrule", "off"), peers.Mode("torch", "plain"))
    ours, theirs = driver.run(WORKLOADS["vgg11"], Settings(threads=1, rounds=1))
    assert (ours.failed, ours.seconds, theirs.failed) == (True, [], False)


def test_malloc_is_a_matter_of_the_environment():
    from benchmarks.peers.torch import MALLOC, MODES

    plain, twin = MODES[0], MODES[1]
    assert (plain.options, twin.options) == ((), ())
    assert driver.environment(twin, 2, pathlib.Path("cache")).items() >= MALLOC.items()
    assert not driver.environment(plain, 2, pathlib.Path("cache")).keys() & MALLOC.keys()


def test_one_thread_is_one_thread():
    from benchmarks.peers.jax import MODES

    single = next(mode for mode in MODES if mode.name == "jit 1 thread")
    assert driver.environment(single, 2, pathlib.Path("cache"))["OMP_NUM_THREADS"] == "1"
