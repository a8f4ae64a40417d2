"""The thread pool: a whole team runs, barriers hold, nobody waits for a sleeper, and a process always ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import system
from chainrule.compiler.llvm import pool as pool_module
from chainrule.compiler.llvm import runtime
from chainrule.compiler.llvm.machine import Loaded, compile_text, host_target
from chainrule.compiler.llvm.pool import Pool, thread_pool
from chainrule.core import threads as threads_module

THREADS = pytest.mark.skipif(system.futex_number() is None, reason="this system has one thread")
SLEEPERS, ALIVE, LATE = (runtime.system.LINE // 8 * 4 + word for word in range(3))

# The context is 64-bit words. present: word tid gets the team's size. rounds: word 0 is counted up by every thread in
# each of `word 1` rounds and compared with what it must be between two barriers; word 2 counts the errors. Thread
# `word 3` comes late to every barrier. wait: until word 0 is set. tiny: word tid gets 1 where denormals are flushed.
TEXT = """
declare void @chainrule_barrier(ptr, i64, i64)
declare i32 @sched_yield()
define i32 @present(ptr %c, i64 %tid, i64 %threads, ptr %pool) nounwind {
  %p = getelementptr i64, ptr %c, i64 %tid
  %old = atomicrmw add ptr %p, i64 %threads seq_cst
  %number = trunc i64 %threads to i32
  %r = sub i32 0, %number
  ret i32 %r
}
define i32 @rounds(ptr %c, i64 %tid, i64 %threads, ptr %pool) nounwind {
start:
  %np = getelementptr i64, ptr %c, i64 1
  %n = load i64, ptr %np, align 8
  %ep = getelementptr i64, ptr %c, i64 2
  %lp = getelementptr i64, ptr %c, i64 3
  %late = load i64, ptr %lp, align 8
  %dawdle = icmp eq i64 %late, %tid
  br label %look
look:
  %i = phi i64 [0, %start], [%i1, %meet]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %round, label %leave
round:
  %i1 = add i64 %i, 1
  br i1 %dawdle, label %yield, label %count
yield:
  %y = call i32 @sched_yield()
  br label %count
count:
  %a = atomicrmw add ptr %c, i64 1 monotonic
  call void @chainrule_barrier(ptr %pool, i64 %tid, i64 %threads)
  %v = load atomic i64, ptr %c monotonic, align 8
  %want = mul i64 %i1, %threads
  %right = icmp eq i64 %v, %want
  br i1 %right, label %meet, label %wrong
wrong:
  %e = atomicrmw add ptr %ep, i64 1 monotonic
  br label %meet
meet:
  call void @chainrule_barrier(ptr %pool, i64 %tid, i64 %threads)
  br label %look
leave:
  %r = trunc i64 %threads to i32
  ret i32 %r
}
define i32 @wait(ptr %c, i64 %tid, i64 %threads, ptr %pool) nounwind {
start:
  %sp = getelementptr i64, ptr %c, i64 1
  store atomic i64 1, ptr %sp seq_cst, align 8
  br label %look
look:
  %v = load atomic i64, ptr %c acquire, align 8
  %go = icmp ne i64 %v, 0
  br i1 %go, label %leave, label %again
again:
  %y = call i32 @sched_yield()
  br label %look
leave:
  %r = trunc i64 %threads to i32
  ret i32 %r
}
define i32 @tiny(ptr %c, i64 %tid, i64 %threads, ptr %pool) nounwind {
  %own = alloca float, align 4
  store volatile float 0x3810000000000000, ptr %own, align 4
  %x = load volatile float, ptr %own, align 4
  %half = fmul float %x, 0.5
  %out = fcmp oeq float %half, 0.0
  store volatile i32 65536, ptr %own, align 4
  %d = load volatile float, ptr %own, align 4
  %scaled = fmul float %d, 0x4630000000000000
  %in = fcmp oeq float %scaled, 0.0
  %both = and i1 %out, %in
  %r = zext i1 %both to i64
  %p = getelementptr i64, ptr %c, i64 %tid
  store i64 %r, ptr %p, align 8
  call void @chainrule_barrier(ptr %pool, i64 %tid, i64 %threads)
  ret i32 1
}
"""


@pytest.fixture(scope="module")
def native() -> Callable[[str], int]:
    """Return the address of a function of TEXT by its name."""
    return Loaded(compile_text([TEXT, runtime.barrier_text()], host_target())).address


@contextlib.contextmanager
def pool_of(size: int) -> Iterator[Pool]:
    pool = Pool(size)
    try:
        yield pool
    finally:
        pool.close()


def until(condition: Callable[[], bool]) -> None:
    """Wait for what must come; a minute is forever."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.001)


def rounds(pool: Pool, native: Callable[[str], int], threads: int, count: int, cost: float = -1) -> None:
    """Assert that a job with `count` rounds of two barriers runs without an error."""
    context = np.zeros(4, np.int64)
    context[1], context[3] = count, random.randrange(threads)
    team = pool.run(native("rounds"), context.ctypes.data, threads, cost)
    assert 1 <= team <= threads
    assert context[:3].tolist() == [team * count, count, 0]


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
    with pool_of(2) as pool:
        context = np.zeros(8, np.int64)
        woken = []
        for call in range(20):
            until(lambda: pool._words[SLEEPERS] == 1)
            generation = pool._words[0]
            assert pool.run(native("present"), context.ctypes.data, cost=10) == -1
            if pool._words[0] != generation:
                woken.append(call)
        assert woken == [0, 2, 5, 10, 19]


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
        first = threading.Thread(
            target=lambda: results.append(pool.run(native("wait"), held.ctypes.data, cost=-1))
        )
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


# ------------------------------------------------------------------------------------------------ the process's pool


@pytest.fixture
def chosen() -> Iterator[None]:
    """Put back the number of threads that the process had."""
    before, limits = list(threads_module._chosen), list(threads_module._limits)
    yield
    threads_module._chosen[:], threads_module._limits[:] = before, limits


@THREADS
def test_the_pool_follows_set_num_threads(native, chosen):
    cr.set_num_threads(3)
    first = thread_pool()
    assert first is thread_pool()
    assert first.size == 3
    cr.set_num_threads(2)
    second = thread_pool()
    assert (second.size, first.size) == (2, 1)
    until(lambda: first.alive == 0)
    rounds(first, native, 3, 2)  # what is left of it runs on its caller
    rounds(second, native, 2, 2)


def test_without_a_number_the_pool_has_every_core(chosen, monkeypatch):
    threads_module._chosen.clear()
    monkeypatch.setattr(pool_module, "_cached_cores", 0)
    monkeypatch.setattr(system, "usable_cores", lambda: 3)
    assert thread_pool().wanted == 3


def python(program: str, **environment: str) -> str:
    """Run a program in a fresh interpreter and return what it printed; it must end well and say nothing else."""
    preamble = """
        import ctypes, os, sys, threading, time
        import numpy as np
        from chainrule.compiler.llvm.machine import Loaded, compile_text, host_target
        from chainrule.compiler.llvm.pool import Pool, thread_pool
        from chainrule.compiler.llvm.runtime import barrier_text
        loaded = Loaded(compile_text([os.environ["TEXT"], barrier_text()], host_target()))
        context = np.zeros(64, np.int64)
        run = lambda pool, name, *more: pool.run(loaded.address(name), context.ctypes.data, *more)
    """
    program = textwrap.dedent(preamble) + textwrap.dedent(program)
    result = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "TEXT": TEXT, **environment},
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@THREADS
def test_the_environment_names_the_number_of_threads():
    assert python("print(thread_pool().size)", CHAINRULE_THREADS="5") == "5\n"


@THREADS
def test_after_a_fork_the_child_has_a_pool_of_its_own():
    program = """
        parent = thread_pool()
        print(run(parent, "present", None, -1), flush=True)
        child = os.fork()
        if child == 0:
            print(thread_pool() is not parent, run(thread_pool(), "present", None, -1), flush=True)
            print(-3 <= run(parent, "present", 3, 500) <= -1, flush=True)  # the old one is slow, but right
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(run(parent, "present", None, -1))
    """
    assert python(program, CHAINRULE_THREADS="3") == "-3\nTrue -3\nTrue\n-3\n"


@THREADS
def test_a_fork_during_a_job_harms_neither_process():
    program = """
        import contextlib
        pool, other = thread_pool(), np.zeros(8, np.int64)
        job = threading.Thread(target=lambda: run(pool, "wait", None, -1))
        job.start()
        while not context[1]:
            time.sleep(0.001)
        child = os.fork()
        if child == 0:
            print(thread_pool().run(loaded.address("present"), other.ctypes.data, None, -1), flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        context[0] = 1
        job.join()
        print("ended")
    """
    assert python(program, CHAINRULE_THREADS="2") == "-2\nended\n"


@THREADS
def test_the_process_ends_while_workers_spin_sleep_or_work():
    assert python("run(thread_pool(), 'present', None, -1); print('spinning')", CHAINRULE_THREADS="4") == "spinning\n"
    assert python("thread_pool(); time.sleep(0.05); print('asleep')", CHAINRULE_THREADS="4") == "asleep\n"
    program = """
        threading.Thread(target=lambda: run(thread_pool(), "wait", None, -1), daemon=True).start()
        while not context[1]:
            time.sleep(0.001)
        print("working")
    """
    assert python(program, CHAINRULE_THREADS="2") == "working\n"


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space")
def test_where_threads_cant_be_started_the_pool_is_smaller():
    program = """
        import resource
        Pool(1)
        used = 1024 * int(open("/proc/self/status").read().split("VmSize:")[1].split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (used + (40 << 20), resource.RLIM_INFINITY))
        pool = Pool(64)
        print(pool.size < 64, pool.alive == pool.size - 1, run(pool, "present", None, -1) == -pool.size)
    """
    assert python(program) == "True True True\n"


@THREADS
def test_ctrl_c_arrives_after_the_native_call():
    program = """
        import signal
        def interrupt():
            while not context[1]:
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            context[0] = 1
        threading.Thread(target=interrupt).start()
        try:
            print(run(thread_pool(), "wait", None, -1))
            time.sleep(60)
        except KeyboardInterrupt:
            print("interrupted")
        print(context[:2].tolist(), run(thread_pool(), "present", None, -1))
    """
    printed = python(program, CHAINRULE_THREADS="2").splitlines()
    assert printed[-2:] == ["interrupted", "[1, 1] -2"]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_workers_take_no_signals():
    program = """
        before = set(os.listdir("/proc/self/task"))
        Pool(3)
        own = set(os.listdir("/proc/self/task")) - before
        blocked = [open(f"/proc/self/task/{task}/status").read().split("SigBlk:")[1].split()[0] for task in own]
        import signal
        wanted = sum(1 << (number - 1) for number in signal.valid_signals()) & ~(1 << 8 | 1 << 18)  # not KILL and STOP
        print(len(own), all(int(mask, 16) & wanted == wanted for mask in blocked), signal.pthread_sigmask(0, ()))
    """
    assert python(program) == "2 True set()\n"


def test_without_a_futex_there_is_one_thread_and_the_same_result(native, monkeypatch):
    monkeypatch.setattr(system, "futex_number", lambda: None)
    monkeypatch.setattr(pool_module, "_cached_runtime", None)
    alone = Loaded(compile_text([TEXT, runtime.barrier_text()], host_target()))
    with pool_of(4) as pool:
        assert pool.size == 1
        rounds(pool, alone.address, 4, 3)
        context = np.zeros(8, np.int64)
        assert pool.run(alone.address("tiny"), context.ctypes.data) == 1
        assert context[0] == 1


def test_usable_cores_follow_affinity_and_quota(monkeypatch, tmp_path):
    monkeypatch.setattr(system.os, "sched_getaffinity", lambda process: {0, 1, 2, 5}, raising=False)
    monkeypatch.setattr(system, "_quota", lambda: 1 << 30)
    assert system.usable_cores() == 4
    monkeypatch.setattr(system, "_quota", lambda: 2)
    assert system.usable_cores() == 2
    monkeypatch.undo()
    for text, cores in (("150000 100000\n", 2), ("max 100000\n", 1 << 30), ("50000 100000\n", 1)):
        monkeypatch.setattr(system.pathlib.Path, "read_text", lambda path, text=text: text)
        assert system._quota() == cores
