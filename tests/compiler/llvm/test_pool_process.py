"""The pool of a process: how many threads, forks, signals, the end of the process, systems that give no threads."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from tests.compiler.llvm.pool_jobs import TEXT, THREADS, compiled, pool_of, rounds, until

import chainrule as cr
from chainrule.compiler import system
from chainrule.compiler.llvm import pool as pool_module
from chainrule.compiler.llvm.pool import prepare, thread_pool
from chainrule.core import threads as threads_module


@pytest.fixture(scope="module")
def native() -> Callable[[str], int]:
    """Return the address of a job by its name."""
    return compiled().address


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


@THREADS
def test_a_prepared_call_follows_the_number_of_threads(native, chosen):
    context = np.zeros(8, np.int64)
    cr.set_num_threads(2)
    everybody = prepare(native("present"), context.ctypes.data, cost=-1)
    at_most_two = prepare(native("present"), context.ctypes.data, threads=2, cost=-1)
    assert (everybody(), at_most_two()) == (-2, -2)
    cr.set_num_threads(3)
    assert (everybody(), at_most_two()) == (-3, -2)
    pool = thread_pool()
    cr.set_num_threads(3)
    assert everybody() == -3
    assert thread_pool() is pool
    cr.set_num_threads(1)
    assert (everybody(), at_most_two()) == (-1, -1)
    assert context.tolist() == [14, 12, 6, 0, 0, 0, 0, 0]


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
        from chainrule.compiler.llvm.pool import prepare
        parent, call = thread_pool(), prepare(loaded.address("present"), context.ctypes.data, cost=-1)
        print(run(parent, "present", None, -1), call(), flush=True)
        child = os.fork()
        if child == 0:
            print(call(), flush=True)
            print(thread_pool() is not parent, run(thread_pool(), "present", None, -1), flush=True)
            print(-3 <= run(parent, "present", 3, 500) <= -1, flush=True)  # the old one is slow, but right
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(run(parent, "present", None, -1), call())
    """
    assert python(program, CHAINRULE_THREADS="3") == "-3 -3\n-3\nTrue -3\nTrue\n-3 -3\n"


@THREADS
def test_a_fork_during_a_job_harms_neither_process():
    program = """
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
    alone = compiled()
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
