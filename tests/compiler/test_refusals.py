"""Where the machine refuses: no memory for a step's temporaries, and no right to run compiled code."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import warnings

import pytest

import chainrule as cr
from chainrule.compiler import native
from chainrule.compiler.executor import ReferenceExecutor
from chainrule.compiler.llvm import machine
from chainrule.core import errors

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of address space as Linux has them")


def python(program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(program)]
    return subprocess.run(command, text=True, capture_output=True, timeout=300, check=True)


@LINUX
def test_without_memory_a_step_names_what_takes_most_and_changes_nothing():
    """The limit is that of `ulimit -v`: what is there, and 500 MB more."""
    run = python("""
        import resource
        import chainrule as cr
        from chainrule.compiler.llvm.pool import thread_pool

        thread_pool()
        state = cr.zeros(())
        few = cr.ones((100, 1))

        class Net(cr.nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = cr.nn.Parameter(cr.ones((1, 20_000)))

            def forward(self, x):
                return x @ self.weight

        net = Net()

        @cr.jit
        def step(x):
            state.assign_(state + 1)
            y = net(x)
            return (y @ y.T).sum() + y.max()

        step(few)
        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + (500 << 20), resource.RLIM_INFINITY))
        for _ in range(2):
            try:
                step(cr.ones((10_000, 1)))
            except MemoryError as error:
                print(error)
        print(state.item(), step(few).item(), state.item())
    """)
    lines = run.stdout.splitlines()
    assert len(lines) == 3, run.stderr
    assert lines[0] == lines[1]
    assert lines[0] == (
        "step: the compiled step needs 1,200 MB for temporaries, which this machine does not have; the largest: "
        "800 MB (f32[200000000]) for matmul at <string>:16 in Net; 400 MB (f32[100000000]) for matmul at <string>:24. "
        "Use a smaller batch, or cr.checkpoint."
    )
    assert lines[2] == "1.0 200000000.0 2.0"


@pytest.fixture
def no_code(monkeypatch):
    """Let the system refuse executable memory, as hardened ones do."""
    monkeypatch.setattr(machine, "_may_execute", lambda: False)
    monkeypatch.setattr(errors, "_noticed", set())
    native._warn.cache_clear()
    yield
    native._warn.cache_clear()


def test_where_compiled_code_is_refused_the_references_run_after_one_warning(no_code):
    state = cr.zeros(3)

    def step(x):
        state.assign_(state + x)
        return cr.exp(state).sum()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        first, second = cr.jit(step), cr.jit(lambda x: x * 2)
        values = [first(cr.ones(3)).item() for _ in range(3)]
        assert second(cr.ones(2)).tolist() == [2.0, 2.0]
    assert [str(warning.message) for warning in caught] == [
        "cr.jit runs the NumPy references, which are slow: this system refuses executable memory, so nothing can be "
        "compiled. Use eager mode, or allow this program to map memory as executable."
    ]
    assert isinstance(first.variants[0].executor, ReferenceExecutor)
    assert state.tolist() == [3.0] * 3
    assert values == [pytest.approx(3 * 2.718281828**k, rel=1e-6) for k in (1, 2, 3)]
    with pytest.raises(errors.TraceError, match=r"^step runs the NumPy references here, so there are no kernels"):
        first.explain()


def test_a_target_that_the_cpu_lacks_leaves_the_references(no_code, monkeypatch):
    """Asked for by CHAINRULE_TARGET; the message says what is missing."""
    monkeypatch.setattr(machine, "_may_execute", lambda: True)
    monkeypatch.setattr(machine, "_host_flags", lambda: frozenset({"sse2"}))
    monkeypatch.setenv("CHAINRULE_TARGET", "avx2")
    machine._target.cache_clear()
    try:
        with pytest.warns(errors.ChainruleWarning, match=r"CHAINRULE_TARGET=avx2 needs avx, avx2, fma, .* Use native"):
            assert cr.jit(lambda x: x + 5)(cr.ones(2)).tolist() == [6.0, 6.0]
    finally:
        machine._target.cache_clear()
