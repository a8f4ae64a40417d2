"""From LLVM's text to machine code: instruction sets, compilation, and code that is ready to be called.

Code is generated without LLVM's middle passes: on hand-tiled kernels they doubled the time and gained nothing. The
object code holds no absolute address; `Loaded` places it in memory and says where its functions are. On Linux x86-64
it is linked when it is made and placed without LLVM (see `linking`); elsewhere LLVM's loader does that at each start.
Instruction sets come from the CPU's feature flags alone: under virtualisation its name can be wrong.

LLVM ends the process where it gets no memory or the system refuses executable memory, so both are asked for first.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import threading
import weakref
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.compiler import system
from chainrule.compiler.llvm.host import host
from chainrule.compiler.llvm.linking import is_image, link, place
from chainrule.core.config import target_word
from chainrule.core.errors import MachineError

__all__ = ["Loaded", "Target", "assembly", "compile_text", "host_target", "llvm_version"]

# What each instruction set needs of the CPU, and the processor of that level whose tuning LLVM takes.
_AVX2 = ("avx", "avx2", "fma", "f16c", "bmi", "bmi2", "lzcnt", "movbe")
_AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd")
_LEVELS = {
    "avx512": (512, "x86-64-v4", (*_AVX512, *_AVX2)),
    "avx2": (256, "x86-64-v3", _AVX2),
    "sse2": (128, "x86-64", ()),
}
_NOT_BELOW = {"avx512": (), "avx2": ("avx512", "amx", "avx10", "evex512"), "sse2": None}
# Memory of a compilation, from measurements: bytes at least, per byte of text, and per byte of the longest function (a
# straight line of 50,000 instructions took 230; 200 functions of 250 instructions took 5).
_RESERVE = 32 << 20, 8, 240
# What is called from outside is called through a table of addresses (GOT), whose size the loader knows beforehand; so
# are LLVM's own calls (memset, or fma on a CPU without it).
_DECLARED = re.compile(r"^(\s*declare\b(?:(?!@llvm\.)[^;\n])*\))", re.MULTILINE)
_THROUGH_TABLE = '!llvm.module.flags = !{!0}\n!0 = !{i32 7, !"RtLibUseGOT", i32 1}\n'
_DEFINED = re.compile(r"^\s*define\b(?![^@\n]*\b(?:internal|private)\b)[^@\n]*@([\w.$]+)\(", re.MULTILINE)
_lock = threading.Lock()


@dataclass(frozen=True)
class Target:
    """An instruction set to generate code for.

    Args:
        name: "sse2", "avx2", "avx512" or "neon".
        vector_bits: bits of a vector register.
        cpu: LLVM's name of a processor with this set, for its tuning only.
        features: LLVM's feature flags, like "+avx2,+fma".
        has_fma: whether a fused multiply-add is one instruction.
        has_avx512_bf16: whether the CPU multiplies pairs of bfloat16.
        has_amx: whether the CPU has tiles of bfloat16 and the system lets this process use them.
    """

    name: str
    vector_bits: int
    cpu: str
    features: str
    has_fma: bool
    has_avx512_bf16: bool = False
    has_amx: bool = False

    def lanes(self, bits: int) -> int:
        """Return how many elements of `bits` bits a vector register holds."""
        return self.vector_bits // bits


def host_target() -> Target:
    """Return the instruction set to compile for: what CHAINRULE_TARGET asks for, by default the best of this CPU.

    Raises:
        MachineError: the CPU lacks what CHAINRULE_TARGET asks for, or chainrule has no code for this kind of CPU.
        ChainruleError: CHAINRULE_TARGET holds an unknown word.
    """
    return _target(target_word())


@functools.cache
def _target(word: str) -> Target:
    return describe_target(word, system.architecture(), _host_flags())


def describe_target(word: str, architecture: str, flags: frozenset[str]) -> Target:
    """Return the target that `word` means on a CPU with these feature flags."""
    if architecture == "aarch64":
        if word != "native":
            raise MachineError(f"CHAINRULE_TARGET={word} needs an x86-64 CPU; this one is aarch64. Use native.")
        return Target("neon", 128, "generic", _joined(flags | {"neon"}), has_fma=True)
    if architecture != "x86-64":
        raise MachineError(f"chainrule compiles for x86-64 and aarch64; this CPU is {architecture!r}.")
    if word == "native":
        word = next(name for name, (_, _, needs) in _LEVELS.items() if flags.issuperset(needs))
    bits, cpu, needs = _LEVELS[word]
    lacking = [need for need in needs if need not in flags]
    if lacking:
        raise MachineError(
            f"CHAINRULE_TARGET={word} needs {', '.join(lacking)}, which this CPU lacks. "
            "Use native, which takes the best that is there."
        )
    above = _NOT_BELOW[word]
    used = frozenset(flag for flag in flags if above is not None and not flag.startswith(above))
    # Vector loads of 512 bits are what the kernels ask for; some CPUs' tuning would split them.
    features = _joined(used) + (",-prefer-256-bit" if word == "avx512" else "")
    tiles = word == "avx512" and {"amx-tile", "amx-bf16"} <= flags
    return Target(
        word, bits, cpu, features, "fma" in used, "avx512bf16" in used, has_amx=tiles and system.allow_tiles()
    )


def _joined(flags: frozenset[str]) -> str:
    return ",".join(f"+{flag}" for flag in sorted(flags))


def _host_flags() -> frozenset[str]:
    return host().flags


@functools.cache
def _binding() -> Any:
    """Return llvmlite's binding, ready for this machine's instructions."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


def llvm_version() -> str:
    """Return the versions of llvmlite and of its LLVM, like "llvmlite 0.50.0, LLVM 22.1.0"."""
    import llvmlite

    return f"llvmlite {llvmlite.__version__}, LLVM {host().llvm}"


def compile_text(texts: Sequence[str], target: Target, *, level: int = 1) -> bytes:
    """Return the object code of modules of LLVM's text, compiled side by side on all cores.

    Args:
        texts: one module each; what one declares another may define.
        target: the instruction set.
        level: LLVM's level of code generation, 0 to 3; default 1. 0 makes slow code, 3 costs three times 1.

    Raises:
        MachineError: LLVM refuses the text, and the message holds its reason and the line; or no library has what it
            calls.
        MemoryError: there is not enough memory to compile in.
    """
    defined = _defined(texts)
    with _compiling(texts):

        def compiled(text: str) -> bytes:
            with _module(text, defined) as module:
                return _emitted(_machine(target, level), module)

        longest = sorted(range(len(texts)), key=lambda n: -len(texts[n]))  # first, so that no core waits at the end
        workers = min(len(texts), system.usable_cores())
        if workers < 2:
            codes = {n: compiled(texts[n]) for n in longest}
        else:
            from concurrent.futures import ThreadPoolExecutor  # not loaded by `import chainrule`

            with ThreadPoolExecutor(workers) as pool:
                codes = dict(zip(longest, pool.map(compiled, (texts[n] for n in longest)), strict=True))
    objects = [codes[n] for n in range(len(texts))]
    return link(objects) or _bundled(objects)


def assembly(texts: Sequence[str], target: Target, *, level: int = 1) -> str:
    """Return what `compile_text` would make, as assembly language to read."""
    defined, found = _defined(texts), []
    with _compiling(texts):
        for text in texts:
            with _module(text, defined) as module:
                found.append(_machine(target, level).emit_assembly(module))
    return "\n".join(found)


def _defined(texts: Sequence[str]) -> frozenset[str]:
    return frozenset(name for text in texts for name in _DEFINED.findall(text))


def _bundled(codes: Sequence[bytes]) -> bytes:
    """Return objects as one string of bytes: each after its length."""
    return b"".join(len(code).to_bytes(8, "little") + code for code in codes)


def _unbundled(content: bytes) -> list[bytes]:
    """Return the objects of a bundle; of what is none, an empty list."""
    codes, at = [], 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 8], "little")
        codes.append(content[at + 8 : at + 8 + size])
        at += 8 + size
    return codes if at == len(content) else []


def _emitted(machine: Any, module: Any) -> bytes:
    """Return a module's object code, as `machine.emit_object` does, but while other threads do the same.

    llvmlite holds one lock around every call of LLVM. Modules in contexts of their own may be compiled side by side, so
    the long call goes past that lock where this version of llvmlite lets it.
    """
    from ctypes import string_at

    from llvmlite.binding import ffi

    emit = getattr(ffi.lib.LLVMPY_TargetMachineEmitToMemory, "_cfn", None)
    if emit is None:
        return machine.emit_object(module)
    with ffi.OutputString() as problem:
        memory = emit(machine, module, 1, problem)
        if not memory:
            raise MachineError(f"LLVM can't make code of the text: {problem}")
    try:
        return string_at(ffi.lib.LLVMPY_GetBufferStart(memory), ffi.lib.LLVMPY_GetBufferSize(memory))
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(memory)


@contextlib.contextmanager
def _compiling(texts: Sequence[str]) -> Iterator[None]:
    """Hold the lock around LLVM, where there is memory for what it is to do."""
    least, each, longest = _RESERVE
    functions = sorted(len(function) for text in texts for function in text.split("\ndefine "))
    size = least + each * sum(functions) + longest * sum(functions[-system.usable_cores() :])
    if not system.can_reserve(size):
        raise MemoryError(f"compiling needs about {size >> 20} MB of memory, which the system refuses.")
    with _lock:
        yield


def _machine(target: Target, level: int) -> Any:
    llvm = _binding()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=target.cpu, features=target.features, opt=level, reloc="pic", codemodel="small", jit=True
    )


@contextlib.contextmanager
def _module(text: str, defined: Collection[str]) -> Iterator[Any]:
    """Give a text parsed and verified, in a context of its own that ends with the block.

    Modules end before their context; left to the garbage collector, the order is chance, and the wrong one a crash.
    """
    llvm = _binding()
    context, modules = llvm.create_context(), []
    try:
        try:
            for part in (_DECLARED.sub(r"\1 nonlazybind", text), _THROUGH_TABLE):
                modules.append(llvm.parse_assembly(part, context))
            modules[0].link_in(modules[1])
            modules[0].verify()
        except RuntimeError as error:
            raise MachineError(f"LLVM refuses the text it was given: {str(error).strip()}") from None
        _check_names(modules[0], defined)
        yield modules[0]
    finally:
        for module in modules:
            module.close()
        context.close()


def _check_names(module: Any, defined: Collection[str]) -> None:
    """Refuse functions from outside that nobody has: the loader would end the process at such a name."""
    for function in module.functions:
        name = function.name
        known = not function.is_declaration or name.startswith("llvm.") or name in defined
        if not known and not system.has_function(name):
            raise MachineError(f"the code calls {name!r}, which no library of this process has.")


class Loaded:
    """Object code in memory, ready to be called; it stays there as long as this object.

    Args:
        code: what `compile_text` returned, now or on an earlier day.

    Raises:
        MachineError: the system refuses executable memory, or the bytes are no code for this machine.
        MemoryError: there is not enough memory to load it.
    """

    def __init__(self, code: bytes):
        if not _may_execute():
            raise MachineError(
                "this system refuses executable memory, so nothing can be compiled. "
                "Use eager mode, or allow this program to map memory as executable."
            )
        if not system.can_reserve((16 << 20) + 4 * len(code)):
            raise MemoryError(f"loading {len(code)} bytes of code needs more memory than the system gives.")
        self._functions: dict[str, int] = {}
        self._engine: Any = None
        if is_image(code):
            address, size, self._functions = place(code)
            end = weakref.finalize(self, system.release, address, size)
            end.atexit = False  # other threads may still run it
        else:
            with _lock:
                self._engine = self._place(code)

    @staticmethod
    def _place(code: bytes) -> Any:
        llvm = _binding()
        objects = [llvm.ObjectFileRef.from_data(part) for part in _unbundled(code)]
        if not objects or not all(objects):
            raise MachineError(f"these {len(code)} bytes are no object code of this machine.")
        try:
            # An engine owns its target machine, so each has one of its own. Its memory manager keeps all sections
            # of an object within reach of each other's 32-bit offsets.
            owner = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
                reloc="pic", codemodel="small", jit=True
            )
            engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), owner, use_lmm=True)
            for part in objects:
                engine.add_object_file(part)
            engine.finalize_object()
        except RuntimeError as error:
            raise MachineError(f"LLVM can't load the code: {str(error).strip()}") from None
        return engine

    def address(self, name: str) -> int:
        """Return the address of a function.

        Raises:
            MachineError: the code has no function of this name.
        """
        address = self._functions.get(name)
        if address is None and self._engine:
            with _lock:
                address = self._engine.get_function_address(name)
        if not address:
            raise MachineError(f"the code has no function {name!r}.")
        return address


@functools.cache
def _may_execute() -> bool:
    return system.can_execute()


# A child of fork must not inherit a lock that another thread of its parent held.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
