"""Instruction sets from feature flags; text to code to results; what the machine refuses is an error, never a crash."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from chainrule.compiler import system
from chainrule.compiler.llvm import machine
from chainrule.compiler.llvm.machine import Loaded, Target, assembly, compile_text, describe_target, host_target
from chainrule.core.errors import ChainruleError, MachineError

X86 = pytest.mark.skipif(system.architecture() != "x86-64", reason="x86-64 only")

AVX2 = frozenset({"sse2", "avx", "avx2", "fma", "f16c", "bmi", "bmi2", "lzcnt", "movbe"})
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd", "avx512bf16"}

SQUARES = """
define void @squares(ptr %x, ptr %y, i64 %n) nounwind {
start: br label %look
look: %i = phi i64 [0, %start], [%next, %work]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %work, label %leave
work: %p = getelementptr float, ptr %x, i64 %i
  %v = load <8 x float>, ptr %p, align 4
  %s = call <8 x float> @llvm.fma.v8f32(<8 x float> %v, <8 x float> %v, <8 x float> splat (float 1.0))
  %q = getelementptr float, ptr %y, i64 %i
  store <8 x float> %s, ptr %q, align 4
  %next = add i64 %i, 8
  br label %look
leave: ret void
}
declare <8 x float> @llvm.fma.v8f32(<8 x float>, <8 x float>, <8 x float>)
"""


def run_squares(code: bytes) -> np.ndarray:
    loaded = Loaded(code)
    x, y = np.linspace(-3, 3, 64, dtype=np.float32), np.empty(64, np.float32)
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(loaded.address("squares"))
    function(x.ctypes.data, y.ctypes.data, 64)
    return y


def expected_squares() -> np.ndarray:
    x = np.linspace(-3, 3, 64, dtype=np.float32).astype(np.float64)
    return (x * x + 1).astype(np.float32)


def python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------ instruction sets


@pytest.mark.parametrize("flags, name, bits", [(AVX512, "avx512", 512), (AVX2, "avx2", 256), ({"sse2"}, "sse2", 128)])
def test_native_is_the_best_that_the_flags_allow(flags, name, bits):
    target = describe_target("native", "x86-64", frozenset(flags))
    assert (target.name, target.vector_bits, target.lanes(32)) == (name, bits, bits // 32)
    assert target.has_fma == (name != "sse2")


def test_without_a_single_flag_of_a_level_the_level_below_is_taken():
    assert describe_target("native", "x86-64", AVX512 - {"avx512vl"}).name == "avx2"
    assert describe_target("native", "x86-64", AVX512 - {"fma"}).name == "sse2"


def test_a_lower_target_uses_nothing_above_it():
    target = describe_target("avx2", "x86-64", AVX512 | {"amx-tile", "amx-bf16", "avx10.1-512"})
    assert target.features == "+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+sse2"
    assert not target.has_avx512_bf16
    assert not target.has_amx
    assert describe_target("sse2", "x86-64", AVX512).features == ""


def test_tiles_need_the_flags_and_the_systems_permission(monkeypatch):
    flags = AVX512 | {"amx-tile", "amx-bf16"}
    for allowed in (True, False):
        monkeypatch.setattr(system, "allow_tiles", lambda allowed=allowed: allowed)
        assert describe_target("native", "x86-64", flags).has_amx is allowed
        assert not describe_target("native", "x86-64", AVX512).has_amx


def test_more_than_the_cpu_has_is_an_error():
    with pytest.raises(MachineError) as error:
        describe_target("avx512", "x86-64", AVX2)
    assert error.value.message == (
        "CHAINRULE_TARGET=avx512 needs avx512f, avx512bw, avx512dq, avx512vl, avx512cd, which this CPU lacks. "
        "Use native, which takes the best that is there."
    )


def test_other_cpus():
    assert describe_target("native", "aarch64", frozenset({"fullfp16"})) == Target(
        "neon", 128, "generic", "+fullfp16,+neon", has_fma=True
    )
    with pytest.raises(MachineError) as error:
        describe_target("avx2", "aarch64", frozenset())
    assert error.value.message == "CHAINRULE_TARGET=avx2 needs an x86-64 CPU; this one is aarch64. Use native."
    with pytest.raises(MachineError) as error:
        describe_target("native", "riscv64", frozenset())
    assert error.value.message == "chainrule compiles for x86-64 and aarch64; this CPU is 'riscv64'."


def test_the_switch_is_read_and_checked(monkeypatch):
    monkeypatch.setenv("CHAINRULE_TARGET", "avx")
    with pytest.raises(ChainruleError) as error:
        host_target()
    assert error.value.message == "CHAINRULE_TARGET takes native, avx512, avx2, sse2; got 'avx'; did you mean 'avx2'?"
    monkeypatch.setenv("CHAINRULE_TARGET", "native")
    assert host_target() is host_target()


# ------------------------------------------------------------------------------------------------ compilation


@pytest.mark.parametrize("word", ["native", "sse2", "avx2", "avx512"])
def test_every_target_computes_the_same(word, monkeypatch):
    monkeypatch.setenv("CHAINRULE_TARGET", word)
    try:
        target = host_target()
    except MachineError as error:
        pytest.skip(error.message)
    np.testing.assert_array_equal(run_squares(compile_text([SQUARES], target)), expected_squares())


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_every_level_of_code_generation_computes_the_same(level):
    np.testing.assert_array_equal(run_squares(compile_text([SQUARES], host_target(), level=level)), expected_squares())


@X86
def test_the_assembly_uses_the_targets_registers(monkeypatch):
    wide = SQUARES.replace("8 x float", "16 x float").replace("v8f32", "v16f32")
    monkeypatch.setenv("CHAINRULE_TARGET", "sse2")
    assert "ymm" not in assembly([wide], host_target())
    if host_target().name == "avx512":
        monkeypatch.setenv("CHAINRULE_TARGET", "native")
        assert "vfmadd213ps" in assembly([wide], host_target())
        assert "zmm" in assembly([wide], host_target())


def test_equal_texts_make_equal_code():
    assert compile_text([SQUARES], host_target()) == compile_text([SQUARES], host_target())


def test_one_text_may_define_what_another_declares():
    texts = [
        "declare i32 @other(i32)\ndefine i32 @first(i32 %x) {\n  %r = call i32 @other(i32 %x)\n  ret i32 %r\n}",
        "define i32 @other(i32 %x) {\n  %r = mul i32 %x, 3\n  ret i32 %r\n}",
    ]
    loaded = Loaded(compile_text(texts, host_target()))
    assert ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(loaded.address("first"))(14) == 42


def test_functions_of_the_c_library_are_found():
    text = """
    declare double @fabs(double)
    declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
    define double @f(double %x, ptr %p) {
      call void @llvm.memset.p0.i64(ptr %p, i8 7, i64 5000, i1 false)
      %r = call double @fabs(double %x)
      ret double %r
    }"""
    loaded = Loaded(compile_text([text], host_target()))
    room = np.zeros(5000, np.uint8)
    function = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_void_p)(loaded.address("f"))
    assert function(-3.0, room.ctypes.data) == 3.0
    assert (room == 7).all()


@X86
def test_whatever_is_called_from_outside_is_called_through_the_table():
    """The loader has no room for jumps to what is far away: it ends the process."""
    text = """
    declare double @sin(double) nounwind ; a comment (in brackets)
      declare void @free(ptr)
    declare noalias ptr @malloc(i64) #0
    declare double @llvm.exp.f64(double)
    attributes #0 = { nounwind }
    define double @f(double %x) {
      %p = call ptr @malloc(i64 8)
      call void @free(ptr %p)
      %s = call double @sin(double %x)
      %r = call double @llvm.exp.f64(double %s)
      ret double %r
    }"""
    lines = [line.split() for line in assembly([text], host_target()).splitlines()]
    calls = [line[1] for line in lines if line and line[0] in ("callq", "jmpq")]
    assert calls == [f"*{name}@GOTPCREL(%rip)" for name in ("malloc", "free", "sin", "exp")]
    loaded = Loaded(compile_text([text], host_target()))
    assert ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(loaded.address("f"))(0.0) == 1.0


def test_text_that_llvm_refuses_is_an_error():
    with pytest.raises(MachineError) as error:
        compile_text(["define i32 @f() { ret float 0.0 }"], host_target())
    first, *_ = error.value.message.splitlines()
    assert first == "LLVM refuses the text it was given: LLVM IR parsing error"
    assert "value doesn't match function result type 'i32'" in error.value.message


def test_an_unknown_function_is_an_error_before_the_code_is_loaded():
    with pytest.raises(MachineError) as error:
        compile_text(["declare void @no_such_name()\ndefine void @f() {\n  call void @no_such_name()\n  ret void\n}"],
                     host_target())  # fmt: skip
    assert error.value.message == "the code calls 'no_such_name', which no library of this process has."


def test_a_missing_name_and_damaged_code_are_errors():
    with pytest.raises(MachineError) as error:
        Loaded(compile_text([SQUARES], host_target())).address("cubes")
    assert error.value.message == "the code has no function 'cubes'."
    with pytest.raises(MachineError) as error:
        Loaded(b"no object file")
    assert error.value.message == "these 14 bytes are no object code of this machine."


def test_errors_leave_nothing_for_the_collector_to_trip_over():
    for text in ("define i32 @f() { ret float 0.0 }", "nonsense"):
        with pytest.raises(MachineError):
            compile_text([SQUARES, text], host_target())
        with pytest.raises(MachineError):
            assembly([text, SQUARES], host_target())
    gc.collect()


def test_code_goes_with_its_object_and_many_can_live_at_once():
    code = compile_text([SQUARES], host_target())
    several = [Loaded(code) for _ in range(20)]
    assert len({loaded.address("squares") for loaded in several}) == 20
    del several
    gc.collect()
    np.testing.assert_array_equal(run_squares(code), expected_squares())


# ------------------------------------------------------------------------------------------------ refusals


def test_no_memory_to_compile_in_is_a_memory_error(monkeypatch):
    monkeypatch.setattr(system, "can_reserve", lambda size: False)
    with pytest.raises(MemoryError, match="compiling needs about 32 MB of memory, which the system refuses."):
        compile_text([SQUARES], host_target())
    with pytest.raises(MemoryError, match="loading 100 bytes of code needs more memory than the system gives."):
        Loaded(bytes(100))


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space")
def test_a_real_limit_of_memory_does_not_end_the_process():
    result = python("""
        import resource
        from chainrule.compiler.llvm.machine import compile_text, host_target
        host_target()
        used = 1024 * int(open("/proc/self/status").read().split("VmSize:")[1].split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (used + (20 << 20), resource.RLIM_INFINITY))
        try:
            compile_text(["define void @f() { ret void }"], host_target())
        except MemoryError as error:
            print(error)
    """)
    assert result.stdout == "compiling needs about 32 MB of memory, which the system refuses.\n", result.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="prctl")
def test_refused_executable_memory_is_an_error():
    result = python("""
        import ctypes
        from chainrule.compiler.llvm.machine import Loaded, compile_text, host_target
        from chainrule.core.errors import MachineError
        code = compile_text(["define void @f() { ret void }"], host_target())
        if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):  # PR_SET_MDWE, Linux 6.3
            print("unknown")
        else:
            try:
                Loaded(code)
            except MachineError as error:
                print(error.message)
    """)
    if result.stdout == "unknown\n":
        pytest.skip("this Linux can't refuse executable memory to a process")
    assert result.stdout == (
        "this system refuses executable memory, so nothing can be compiled. "
        "Use eager mode, or allow this program to map memory as executable.\n"
    ), result.stderr


def test_llvm_comes_with_the_first_compilation_and_not_before():
    result = python("""
        import sys
        import chainrule
        import chainrule.compiler.llvm.machine as machine
        assert "llvmlite" not in sys.modules
        machine.compile_text(["define void @f() { ret void }"], machine.host_target())
        assert "llvmlite" in sys.modules
    """)
    assert result.returncode == 0, result.stderr


def test_the_text_of_the_other_architecture_compiles(monkeypatch):
    """Nobody has run the aarch64 runtime; LLVM at least makes code of it."""
    llvm = machine._binding()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    from chainrule.compiler.llvm import runtime

    monkeypatch.setattr(system, "architecture", lambda: "aarch64")
    monkeypatch.setattr(system, "futex_number", lambda: 98)
    try:
        other = llvm.Target.from_triple("aarch64-unknown-linux-gnu")
    except RuntimeError:
        pytest.skip("this llvmlite has no aarch64")
    for text in (runtime.runtime_text(), runtime.barrier_text()):
        module = llvm.parse_assembly(text, llvm.create_context())
        module.verify()
        assert other.create_target_machine(features="+neon").emit_object(module)
    assert "fpcr" in runtime.runtime_text()
