"""Objects linked by chainrule do what they do when LLVM loads them; what the linker does not know goes to LLVM."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from chainrule.compiler import system
from chainrule.compiler.llvm import linking, machine
from chainrule.compiler.llvm.machine import Loaded, compile_text, host_target
from chainrule.core.errors import MachineError

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or system.architecture() != "x86-64", reason="Linux x86-64 is what the linker knows"
)

# Several modules: constants of a vector, of a table that is indexed, a switch with a table of jumps, calls across.
FIRST = """
@table = internal constant [4 x i64] [i64 10, i64 20, i64 30, i64 40]
declare i64 @second(i64)
declare double @fabs(double)
define i64 @first(i64 %x) {
  %p = getelementptr [4 x i64], ptr @table, i64 0, i64 %x
  %v = load i64, ptr %p
  %w = call i64 @second(i64 %x)
  %r = add i64 %v, %w
  ret i64 %r
}
define double @magnitude(double %x) {
  %y = fmul double %x, 2.5
  %r = call double @fabs(double %y)
  ret double %r
}
"""
SECOND = """
define i64 @second(i64 %x) nounwind {
  switch i64 %x, label %other [i64 0, label %a
    i64 1, label %b
    i64 2, label %c
    i64 3, label %d
    i64 4, label %e]
a: ret i64 7
b: ret i64 5
c: ret i64 11
d: ret i64 1
e: ret i64 2
other: ret i64 -1
}
define void @weights(ptr %y) nounwind {
  store <8 x float> <float 1.0, float 2.0, float 3.0, float 5.0, float 7.0, float 11.0, float 13.0, float 17.0>, ptr %y
  ret void
}
"""


def objects(*texts: str) -> list[bytes]:
    """Return the object code of modules, as the linker gets it."""
    found = []
    for text in texts:
        with machine._module(text, machine._defined(texts)) as module:
            found.append(machine._emitted(machine._machine(host_target(), 1), module))
    return found


def results(loaded: Loaded) -> tuple[list[int], list[int], float, float]:
    """Return what the functions of both modules give."""
    number = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
    first, second = (number(loaded.address(name)) for name in ("first", "second"))
    magnitude = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(loaded.address("magnitude"))
    row = np.zeros(16, np.float32)
    aligned = row.ctypes.data + -row.ctypes.data % 32
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(loaded.address("weights"))(aligned)
    return [first(n) for n in range(4)], [second(n) for n in range(7)], magnitude(-3.0), row.sum()


def test_linked_code_does_what_loaded_code_does():
    made = objects(FIRST, SECOND)
    image = linking.link(made)
    assert linking.is_image(image)
    bundle = machine._bundled(made)
    assert not linking.is_image(bundle)
    expected = [17, 25, 41, 41], [7, 5, 11, 1, 2, -1, -1], 7.5, 59.0
    assert results(Loaded(image)) == results(Loaded(bundle)) == expected


def test_compiled_text_is_linked():
    assert linking.is_image(compile_text([FIRST, SECOND], host_target()))


def test_an_image_holds_no_address_and_may_lie_anywhere():
    image = compile_text([FIRST, SECOND], host_target())
    several = [Loaded(image) for _ in range(3)]
    assert len({loaded.address("first") for loaded in several}) == 3
    assert len({str(results(loaded)) for loaded in several}) == 1
    assert compile_text([FIRST, SECOND], host_target()) == image


def test_constants_keep_their_alignment():
    text = SECOND.replace("8 x float", "16 x float").replace(
        "float 17.0>", "float 17.0, " + ", ".join(f"float {n}.0" for n in range(8)) + ">"
    )
    loaded = Loaded(compile_text([FIRST, text], host_target()))
    row = np.zeros(32, np.float32)
    start = row.ctypes.data + -row.ctypes.data % 64
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(loaded.address("weights"))(start)
    assert row.sum() == 59 + 28


@pytest.mark.parametrize(
    "text, reason",
    [
        ("@state = global i64 3\ndefine ptr @f() {\n  ret ptr @state\n}", "memory that is written to"),
        ("define weak i64 @f() {\n  ret i64 3\n}", "a function that another may replace"),
        ("@p = constant ptr @f\ndefine ptr @f() {\n  ret ptr @p\n}", "an address as a constant"),
        ("@t = thread_local global i64 0\ndefine ptr @f() {\n  ret ptr @t\n}", "memory of a thread's own"),
    ],
)
def test_what_the_linker_does_not_know_goes_to_llvm(text, reason):
    assert linking.link(objects(text)) is None, reason


def test_other_objects_and_systems_go_to_llvm(monkeypatch):
    assert linking.link([b"no object"]) is None
    made = objects(SECOND)
    assert linking.link([bytes(16) + made[0]]) is None
    monkeypatch.setattr(system, "architecture", lambda: "aarch64")
    assert linking.link(made) is None


def test_two_functions_of_one_name_are_refused():
    assert linking.link(objects(SECOND) * 2) is None


def test_a_name_that_no_library_has_any_more_is_an_error(monkeypatch):
    image = linking.link(objects(FIRST, SECOND))
    monkeypatch.setattr(system, "function_address", lambda name: None)
    with pytest.raises(MachineError) as error:
        Loaded(image)
    assert error.value.message == "the code calls 'fabs', which no library of this process has."


def test_memory_that_may_not_run_is_an_error_and_given_back(monkeypatch):
    image, released = linking.link(objects(FIRST, SECOND)), []
    machine._may_execute()
    monkeypatch.setattr(system, "make_executable", lambda address, content: False)
    monkeypatch.setattr(system, "release", lambda address, size: released.append(size))
    with pytest.raises(MachineError) as error:
        Loaded(image)
    assert error.value.message == "this system refuses to make memory executable."
    assert len(released) == 1


def test_no_memory_for_the_code_is_a_memory_error():
    with pytest.raises(MemoryError, match=r"^the system refuses 1152921504606846976 bytes of memory\.$"):
        system.reserve(1 << 60)


def test_code_from_the_disk_runs_without_llvms_loader(tmp_path):
    """LLVM's loader brought 11 MB of LLVM into memory at each start."""
    program = """
        import numpy as np, sys
        import chainrule as cr
        from chainrule.compiler.llvm import machine
        machine.Loaded._place = staticmethod(lambda code: sys.exit("LLVM loads"))
        step = cr.jit(lambda x: (x @ x).sum())
        print(step(cr.ones((8, 8))).item(), step.variants[0].executor.plan.from_disk)
    """
    for from_disk in (False, True):
        found = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, "CHAINRULE_CACHE": str(tmp_path)},
        )  # fmt: skip
        assert found.stdout == f"512.0 {from_disk}\n", found.stderr
