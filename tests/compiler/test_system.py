"""What the compiler asks of the operating system, and that it has an answer where the system has none."""

from __future__ import annotations

import ctypes
import sys

import pytest

from chainrule.compiler import system

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")


def test_memory_is_zero_aligned_and_stays():
    addresses = [system.permanent_memory(1000) for _ in range(3)]
    assert all(address % system.LINE == 0 for address in addresses)
    for address in addresses:
        assert bytes((ctypes.c_char * 1000).from_address(address)) == bytes(1000)
        ctypes.memset(address, 1, 1000)
    assert len(set(addresses)) == 3


def test_a_reservation_that_no_machine_has_is_refused():
    assert system.can_reserve(1 << 20)
    assert not system.can_reserve(1 << 60)


def test_functions_are_known_by_name():
    assert system.has_function("malloc")
    if sys.platform == "linux":
        assert not system.has_function("no_such_function")


@LINUX
def test_the_peak_grows_with_the_memory_that_is_used():
    before = system.peak_memory()
    block = bytearray(before + (32 << 20))  # larger than all that was in use at any time
    block[:: 4096] = b"x" * len(block[::4096])
    assert system.peak_memory() > before + (16 << 20)


@LINUX
def test_linux_has_what_the_pool_needs():
    if system.architecture() in ("x86-64", "aarch64"):
        assert system.futex_number() in (98, 202)
    assert system.can_execute()
    assert system.usable_cores() >= 1
    assert system.allow_tiles() in (True, False)


@pytest.mark.parametrize("machine, name", [("AMD64", "x86-64"), ("arm64", "aarch64"), ("riscv64", "riscv64")])
def test_machines_are_named_alike_on_every_system(monkeypatch, machine, name):
    monkeypatch.setattr("platform.machine", lambda: machine)
    system.architecture.cache_clear()
    try:
        assert system.architecture() == name
    finally:
        monkeypatch.undo()
        system.architecture.cache_clear()


def test_another_system_has_neither_futex_nor_tiles(monkeypatch):
    monkeypatch.setattr(system, "LINUX", False)
    system.allow_tiles.cache_clear()
    try:
        assert system.futex_number() is None
        assert system.allow_tiles() is False
    finally:
        system.allow_tiles.cache_clear()
