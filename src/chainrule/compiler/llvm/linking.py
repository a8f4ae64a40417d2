"""Object code made one piece of memory: a small linker, so that code from the disk runs without LLVM.

    content = link([object, ...])          # when the code is made; None where it holds what this file does not know
    address, functions = place(content)    # at each start

LLVM's loader would do the same, but touching it brings 11 MB of LLVM into memory, more than a small network's step
needs. ELF for x86-64 is all that is known here; elsewhere `machine` hands the objects to LLVM.

The image holds the sections of all objects, each at a multiple of 64 bytes, and at the end the table of addresses (GOT)
through which functions of the system's libraries are called. What one section says of another is a distance, fixed when
linking; only the table is written when placing. Sections that can be written to would need a second piece: there are
none. Unwinding tables (.eh_frame) are left out: nothing throws through compiled code.

Source: System V ABI, AMD64 Architecture Processor Supplement 1.0, sections 4.1 to 4.4.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from chainrule.compiler import system
from chainrule.core.errors import MachineError

__all__ = ["is_image", "link", "place"]

_MAGIC = b"chainrule image 1\n"
_ALIGN = 64  # bytes: a cache line
_HEAD = b"\x7fELF\x02\x01\x01"  # 64 bits, little endian
_RELOCATABLE, _X86_64 = 1, 62
_SYMBOLS, _RELOCATIONS = 2, 4  # types of sections
_WRITE, _ALLOCATED, _CODE, _THREAD_LOCAL = 1, 2, 4, 0x400  # their flags
_LOCAL, _GLOBAL = 0, 1  # bindings of symbols
_DISTANCE, _TABLE = (2, 4), (9, 41, 42)  # relocations: PC32 and PLT32; GOTPCREL, GOTPCRELX and REX_GOTPCRELX
_UNDEFINED, _RESERVED = 0, 0xFF00  # numbers of sections that are none


class _Unknown(Exception):
    """An object holds what this linker does not know."""


@dataclass
class _Section:
    name: str
    type: int
    flags: int
    content: bytes
    link: int
    info: int
    align: int
    at: int = -1  # where it lies in the image; -1: not in it


@dataclass
class _Object:
    sections: list[_Section]
    symbols: list[tuple[str, int, int, int]] = field(default_factory=list)  # name, binding, section, value


def _unpack(form: str, data: bytes, at: int) -> tuple:
    return struct.unpack_from("<" + form, data, at)


def _text(table: bytes, at: int) -> str:
    return table[at : table.index(b"\0", at)].decode()


def _read(data: bytes) -> _Object:
    """Return the sections and symbols of an object."""
    if not data.startswith(_HEAD) or _unpack("HH", data, 16) != (_RELOCATABLE, _X86_64):
        raise _Unknown
    (start,) = _unpack("Q", data, 40)
    size, count, names = _unpack("HHH", data, 58)
    heads = [_unpack("IIQQQQIIQQ", data, start + size * n) for n in range(count)]
    contents = [data[h[4] : h[4] + h[5]] for h in heads]
    found = _Object([
        _Section(_text(contents[names], h[0]), h[1], h[2], content, h[6], h[7], h[8])
        for h, content in zip(heads, contents, strict=True)
    ])  # fmt: skip
    for section in found.sections:
        if section.type == _SYMBOLS:
            table = contents[section.link]
            for name, info, _, where, value, _ in struct.iter_unpack("<IBBHQQ", section.content):
                found.symbols.append((_text(table, name), info >> 4, where, value))
    return found


def link(objects: Sequence[bytes]) -> bytes | None:
    """Return objects as one image to be placed anywhere, or None where they hold what this linker does not know."""
    if system.architecture() != "x86-64" or not system.LINUX:
        return None
    try:
        return _linked([_read(data) for data in objects])
    except _Unknown:
        return None


def _linked(objects: Sequence[_Object]) -> bytes:
    image = _laid_out(objects)
    functions: dict[str, int] = {}
    for o in objects:
        for name, binding, where, value in o.symbols:
            if binding == _GLOBAL and where != _UNDEFINED:
                if name in functions:
                    raise _Unknown
                functions[name] = _within(o, where) + value
            elif binding not in (_LOCAL, _GLOBAL):
                raise _Unknown
    table: dict[str, int] = {}
    end = len(image)
    for o in objects:
        for section in o.sections:
            if section.type != _RELOCATIONS or o.sections[section.info].at < 0:
                continue
            base = o.sections[section.info].at
            for offset, info, addend in struct.iter_unpack("<QQq", section.content):
                kind, (name, _, where, value) = info & 0xFFFFFFFF, o.symbols[info >> 32]
                if kind in _TABLE:
                    target = end + 8 * table.setdefault(name, len(table))
                elif kind in _DISTANCE and (where != _UNDEFINED or name in functions):
                    target = functions[name] if where == _UNDEFINED else _within(o, where) + value
                else:
                    raise _Unknown
                struct.pack_into("<i", image, base + offset, target + addend - (base + offset))
    inside = [(end + 8 * n, functions[name]) for name, n in table.items() if name in functions]
    outside = [(end + 8 * n, name) for name, n in table.items() if name not in functions]
    if not all(system.has_function(name) for _, name in outside):
        raise _Unknown  # LLVM may know it
    image += bytes(8 * len(table))
    text = json.dumps({"functions": functions, "inside": inside, "outside": outside}, separators=(",", ":")).encode()
    return _MAGIC + len(text).to_bytes(8, "little") + text + bytes(image)


def _laid_out(objects: Sequence[_Object]) -> bytearray:
    """Return the sections one after the other, code first, and note in each where it lies."""
    image = bytearray()
    for code in (_CODE, 0):
        for o in objects:
            for section in o.sections:
                if not section.flags & _ALLOCATED or section.flags & _CODE != code or section.name == ".eh_frame":
                    continue
                if section.flags & (_WRITE | _THREAD_LOCAL):
                    raise _Unknown
                image += bytes(-len(image) % max(_ALIGN, section.align))
                section.at = len(image)
                image += section.content
    return image + bytes(-len(image) % _ALIGN)


def _within(o: _Object, where: int) -> int:
    """Return where a symbol's section lies."""
    if where >= _RESERVED or o.sections[where].at < 0:
        raise _Unknown
    return o.sections[where].at


def is_image(content: bytes) -> bool:
    """Return whether this is what `link` made."""
    return content.startswith(_MAGIC)


def place(content: bytes) -> tuple[int, int, dict[str, int]]:
    """Put an image into memory, ready to be called.

    Args:
        content: from `link`, now or on an earlier day.

    Returns:
        Address and bytes of the memory, for `system.release`; and the address of each function by its name.

    Raises:
        MachineError: the code calls what no library of this process has, or the system refuses executable memory.
        MemoryError: there is no memory for it.
    """
    start = len(_MAGIC) + 8
    middle = start + int.from_bytes(content[len(_MAGIC) : start], "little")
    head, image = json.loads(content[start:middle]), bytearray(content[middle:])
    addresses = {name: system.function_address(name) for _, name in head["outside"]}
    for name, address in addresses.items():
        if address is None:
            raise MachineError(f"the code calls {name!r}, which no library of this process has.")
    base = system.reserve(len(image))
    for at, name in head["outside"]:
        struct.pack_into("<Q", image, at, addresses[name])
    for at, target in head["inside"]:
        struct.pack_into("<Q", image, at, base + target)
    if not system.make_executable(base, image):
        system.release(base, len(image))
        raise MachineError("this system refuses to make memory executable.")
    return base, len(image), {name: base + at for name, at in head["functions"].items()}
