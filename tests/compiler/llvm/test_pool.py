"""The thread pool: a whole team runs, barriers hold, nobody waits for a sleeper, denormals are flushed."""

from __future__ import annotations

import ctypes
import random
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from tests.compiler.llvm.pool_jobs import THREADS, compiled, pool_of, rounds, until

from chainrule.compiler import system
from chainrule.compiler.llvm import pool as pool_module

SLEEPERS, ALIVE, LATE = (system.LINE // 8 * 4 + word for word in range(3))


@pytest.fixture(scope="module")
def native() -> Callable[[str], int]:
    """Return the address of a job by its name."""
    return compiled().address


# ------------------------------------------------------------------------------------------------ teams


@THREADS
@pytest.mark.parametrize("size", [1, 2, 3, 8, 64])
def test_every_thread_of_a_full_team_runs_once(native, size):
    with pool_of(size) as pool:
        assert (pool.size, pool.alive) == (size, size - 1)
        for _ in range(5):
            context = np.zeros(64, np.int64)
            assert pool.run(native("present"), context.ctypes.data, cost=-1) == -size
            assert context.tolist() == [size] * size + [0] * (64 - size)
            assert pool.last_team == size


@THREADS
@pytest.mark.parametrize("size", [2, 3, 5, 64])
def test_barriers_hold(native, size):
    with pool_of(size) as pool:
        rounds(pool, native, size, 20 if size == 64 else 300)
        rounds(pool, native, size, 1)


@THREADS
def test_a_job_may_have_fewer_threads_than_the_pool(native):
    with pool_of(4) as pool:
        for threads in (1, 2, 3, 4, 9, 3, 2, 1, 2):
            context = np.zeros(8, np.int64)
            team = min(threads, 4)
            assert pool.run(native("present"), context.ctypes.data, threads, -1) == -team
            assert context.tolist() == [team] * team + [0] * (8 - team)


@THREADS
def test_thousands_of_jobs_of_changing_size_and_cost(native):
    dice = random.Random(0)
    with pool_of(4) as pool:
        for _ in range(1500):
            cost = dice.choice([-1, 0, 50, 300, 5000])
            rounds(pool, native, dice.choice([1, 2, 2, 3, 4]), dice.choice([0, 1, 3]), cost)
            if dice.random() < 0.01:
                time.sleep(0.002)  # they fall asleep


@THREADS
@pytest.mark.parametrize("cost", [10, 1e3, 1e6])
def test_whoever_joins_in_time_is_the_team(native, cost):
    with pool_of(8) as pool:
        for _ in range(100):
            context = np.zeros(8, np.int64)
            team = -pool.run(native("present"), context.ctypes.data, cost=cost)
            assert context.tolist() == [team] * team + [0] * (8 - team)
            assert team == pool.last_team


@THREADS
def test_a_short_job_does_not_wait_for_sleepers_but_wakes_them(native):
    with pool_of(3) as pool:
        context = np.zeros(8, np.int64)
        until(lambda: pool._words[SLEEPERS] == 2)
        late = pool._words[LATE]
        assert pool.run(native("present"), context.ctypes.data, cost=10) == -1
        until(lambda: pool._words[LATE] >= late + 2)  # both came, and were refused


@THREADS
def test_sleepers_are_woken_less_often_while_it_does_not_help(native):
    def woken():
        """Return the calls that woke the sleeper, and how many threads took part in each."""
        with pool_of(2) as pool:
            context, calls, took_part = np.zeros(8, np.int64), [], []
            for call in range(20):
                until(lambda: pool._words[SLEEPERS] == 1)
                generation = pool._words[0]
                took_part.append(-pool.run(native("present"), context.ctypes.data, cost=10))
                if pool._words[0] != generation:
                    calls.append(call)
            return calls, took_part

    tries = [woken() for _ in range(3)]
    while len(tries) < 30 and all(2 in took_part for _, took_part in tries):  # it came in time: that is help
        tries.append(woken())
    assert [0, 2, 5, 10, 19] in [calls for calls, took_part in tries if 2 not in took_part]


@THREADS
def test_a_long_job_wakes_sleepers(native):
    with pool_of(3) as pool:
        until(lambda: pool._words[SLEEPERS] == 2)
        context = np.zeros(8, np.int64)
        assert pool.run(native("present"), context.ctypes.data, cost=-1) == -3


@THREADS
def test_a_worker_that_missed_a_job_is_not_waited_for_until_it_runs_again(native):
    context = np.zeros(8, np.int64)
    with pool_of(2) as pool:
        until(lambda: pool._words[SLEEPERS] == 1)
        notes, sleepers = pool_module._BUSY, pool._words[SLEEPERS]
        pool._words[SLEEPERS] -= 1  # as if it were awake and the system had put it aside
        assert pool.run(native("present"), context.ctypes.data, cost=10) == -1
        assert pool._words[notes + 1] == 0  # hope for nobody
        generation = pool._words[0]
        assert pool.run(native("present"), context.ctypes.data, cost=10) == -1
        assert pool._words[0] == generation  # the second call published nothing
        pool._words[SLEEPERS] += sleepers
        assert pool.run(native("present"), context.ctypes.data, cost=-1) == -2


# ------------------------------------------------------------------------------------------------ callers


@THREADS
def test_a_second_caller_runs_alone_and_the_interpreter_goes_on(native):
    with pool_of(2) as pool:
        held, context = np.zeros(8, np.int64), np.zeros(8, np.int64)
        results = []
        first = threading.Thread(target=lambda: results.append(pool.run(native("wait"), held.ctypes.data, cost=-1)))
        first.start()
        until(lambda: held[1] == 1)  # the job runs, without the interpreter's lock
        assert pool.run(native("present"), context.ctypes.data, cost=-1) == -1
        rounds(pool, native, 2, 5)
        held[0] = 1
        first.join(60)
        assert results == [2]
        assert pool.run(native("present"), context.ctypes.data, cost=-1) == -2


@THREADS
def test_many_callers_at_once(native):
    failures = []

    def work(seed: int) -> None:
        dice = random.Random(seed)
        try:
            for _ in range(200):
                rounds(pool, native, dice.choice([1, 2, 3]), 2, dice.choice([-1, 10, 500]))
        except BaseException as error:
            failures.append(error)

    with pool_of(3) as pool:
        callers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(120)
    assert failures == []


@THREADS
def test_a_job_may_call_python_and_python_may_run_a_job(native):
    """What a callback does: while the outer job waits for it, the inner one runs alone."""
    inner = np.zeros(8, np.int64)
    with pool_of(2) as pool:

        def call(context: int, tid: int, threads: int, block: int) -> int:
            return 0 if tid else pool.run(native("present"), inner.ctypes.data, cost=-1)

        kind = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
        outer = kind(call)
        assert pool.run(ctypes.cast(outer, ctypes.c_void_p).value, 0, cost=-1) == -1
        assert pool.last_team in (1, 2)
        assert pool.run(native("present"), inner.ctypes.data, cost=-1) == -2


@pytest.mark.parametrize("size", [1, pytest.param(3, marks=THREADS)])
def test_denormals_are_flushed_on_every_thread_and_come_back(native, size):
    tiny = np.float32(1e-40)
    with pool_of(size) as pool:
        context = np.zeros(8, np.int64)
        pool.run(native("tiny"), context.ctypes.data, cost=-1)
        assert context.tolist() == [1] * size + [0] * (8 - size)
        pool.run(native("tiny"), context.ctypes.data, 1)
        assert tiny * np.float32(0.5) != 0
        assert np.float32(1.2e-38) * np.float32(0.5) != 0
