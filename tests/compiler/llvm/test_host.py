"""What LLVM says of the machine is remembered, and asked anew where the machine or the library is another."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import textwrap

import llvmlite.binding as llvm
import pytest

from chainrule.compiler import system
from chainrule.compiler.llvm import cache, host
from chainrule.compiler.llvm.host import Host

LINUX = pytest.mark.skipif(
    sys.platform != "linux" or system.architecture() != "x86-64", reason="Linux x86-64 describes its cores"
)


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Return a list that grows with each question to LLVM; the cache is empty."""
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    cache._trusted.cache_clear()
    questions: list[Host] = []
    ask = host._asked

    def counted() -> Host:
        questions.append(ask())
        return questions[-1]

    monkeypatch.setattr(host, "_asked", counted)
    yield questions
    cache._trusted.cache_clear()


def answer() -> Host:
    """Return the answer of a process that has not asked before."""
    return host.host.__wrapped__()


def test_the_answer_is_llvms(asked):
    flags = {name for name, present in llvm.get_host_cpu_features().items() if present}
    expected = Host(frozenset(flags), ".".join(map(str, llvm.llvm_version_info)))
    assert answer() == expected
    assert answer() == expected


@LINUX
def test_llvm_is_asked_once(asked):
    assert answer() == answer() == answer()
    assert len(asked) == 1


@LINUX
def test_another_cpu_or_library_is_asked_anew(asked, monkeypatch):
    first, described = answer(), system.describe_cpu()
    monkeypatch.setattr(system, "describe_cpu", lambda: described.replace("sse2", "sse3"))
    answer()
    assert len(asked) == 2
    monkeypatch.setattr(system, "describe_cpu", lambda: described)
    assert (answer(), len(asked)) == (first, 2)
    stat = pathlib.Path.stat
    newer = lambda path, **how: os.stat_result([0] * 6 + [7] + [0] * 3)  # noqa: E731
    monkeypatch.setattr(pathlib.Path, "stat", lambda path, **how: (newer if "llvmlite" in path.name else stat)(path))
    answer()
    assert len(asked) == 3


def test_without_a_cache_or_a_description_llvm_is_asked(asked, monkeypatch):
    monkeypatch.setattr(system, "describe_cpu", lambda: None)
    answer(), answer()
    assert len(asked) == 2


def test_with_the_cache_turned_off_nothing_is_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE", "off")
    found: list[int] = []
    monkeypatch.setattr(host, "_asked", lambda: found.append(1) or Host(frozenset(), "0"))
    answer(), answer()
    assert len(found) == 2


@LINUX
def test_the_description_is_of_one_core_and_holds_still():
    first = system.describe_cpu()
    assert first == system.describe_cpu()
    assert first.count("flags") == 1
    assert "MHz" not in first


def test_elsewhere_cores_are_not_described(monkeypatch):
    monkeypatch.setattr(system, "architecture", lambda: "aarch64")
    assert system.describe_cpu() is None


@LINUX
def test_a_start_with_all_its_code_on_the_disk_loads_no_llvm(tmp_path):
    """A small step took 120 MB at its peak; without LLVM it takes 47."""
    program = """
        import sys
        import chainrule as cr
        step = cr.jit(lambda x: (x @ x).sum())
        print(step(cr.ones((8, 8))).item(), "llvmlite.binding" in sys.modules)
    """
    for loaded in (True, False):
        found = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, "CHAINRULE_CACHE": str(tmp_path)},
        )  # fmt: skip
        assert found.stdout == f"512.0 {loaded}\n", found.stderr
