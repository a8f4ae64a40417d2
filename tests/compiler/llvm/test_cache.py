"""Compiled code on the disk: found again, never believed when damaged or not ours, never in the way."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import stat
import subprocess
import sys
import textwrap
import warnings

import llvmlite
import llvmlite.binding as llvm
import pytest

from chainrule.compiler import system
from chainrule.compiler.llvm import cache
from chainrule.compiler.llvm.cache import cached, key, lookup, pack, store, unpack
from chainrule.compiler.llvm.machine import host_target
from chainrule.core import errors, files
from chainrule.core.errors import ChainruleWarning

POSIX = pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> pathlib.Path:
    """Return the folder of entries of an empty cache; no warning has been given yet."""
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_written", None)
    monkeypatch.setattr(errors, "_noticed", set())
    cache._trusted.cache_clear()
    yield tmp_path / "cache" / "code"
    cache._trusted.cache_clear()


def entry(folder: pathlib.Path, material: bytes) -> pathlib.Path:
    return folder / f"{key(material)}.code"


def made_twice(material: bytes) -> bool:
    """Return whether `make` is called again for something that was made before."""
    cached(material, lambda: b"first")
    return cached(material, lambda: b"second") == b"second"


def python(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(program), *arguments], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip


# ------------------------------------------------------------------------------------------------ entries


def test_what_was_made_is_found_again(folder):
    assert cached(b"spec", lambda: b"code" * 1000) == b"code" * 1000
    assert cached(b"spec", lambda: pytest.fail("made again")) == b"code" * 1000
    assert lookup(key(b"spec")) == b"code" * 1000
    assert lookup(key(b"other")) is None
    assert [path.name for path in folder.iterdir()] == [f"{key(b'spec')}.code"]


def test_another_process_finds_it(folder):
    store(key(b"spec"), b"from here")
    program = "import sys; from chainrule.compiler.llvm.cache import lookup; print(lookup(sys.argv[1]))"
    process = python(program, key(b"spec"))
    assert process.communicate(timeout=120) == ("b'from here'\n", "")


def test_an_empty_payload_is_a_payload(folder):
    store(key(b"spec"), b"")
    assert lookup(key(b"spec")) == b""


def test_the_name_depends_on_all_that_the_code_depends_on(folder, monkeypatch):
    name = key(b"spec")
    assert name == key(b"spec")
    assert len(name) == 64
    assert name != key(b"spec ")
    assert name != key(b"spec", dataclasses.replace(host_target(), features="+sse2"))
    assert name != key(b"spec", dataclasses.replace(host_target(), has_amx=not host_target().has_amx))
    around = cache.surroundings()
    assert f" llvmlite {llvmlite.__version__}, LLVM {'.'.join(map(str, llvm.llvm_version_info))} " in around
    monkeypatch.setattr(cache, "surroundings", lambda: around + " newer")
    assert name != key(b"spec")


def test_the_name_depends_on_the_sources(tmp_path):
    def digest() -> str:
        cache.surroundings.cache_clear()
        return cache.surroundings().split()[0]

    for name in cache._SOURCES:
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "a.py").write_text("x = 1\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "started", float("inf"))
        before = digest()
        patch.setattr(cache, "PACKAGE", str(tmp_path))
        seen = {before, digest()}
        (tmp_path / "ops" / "deep" / "a.py").write_text("x = 2\n")
        seen.add(digest())
        (tmp_path / "compiler" / "deep" / "a.py").rename(tmp_path / "compiler" / "deep" / "b.py")
        seen.add(digest())
        assert len(seen) == 4
        patch.setattr(cache, "PACKAGE", errors.PACKAGE)
        assert digest() == before
    cache.surroundings.cache_clear()


def test_a_process_whose_sources_are_edited_shares_nothing(monkeypatch):
    monkeypatch.setattr(cache, "started", 0.0)
    names = set()
    for _ in range(2):
        cache.surroundings.cache_clear()
        names.add(key(b"spec"))
    cache.surroundings.cache_clear()
    assert len(names) == 2


def test_a_header_travels_with_the_code():
    header = {"buffers": [1, 2, 3], "name": "step", "peak": 2**40, "ok": None}
    assert unpack(pack(header, b"\x7fELF\x00")) == (header, b"\x7fELF\x00")
    assert unpack(pack({}, b"")) == ({}, b"")


# ------------------------------------------------------------------------------------------------ damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:10],
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: bytes([content[0] ^ 1]) + content[1:],
        lambda content: content[:20] + bytes([content[20] ^ 1]) + content[21:],
    ],
    ids=["empty", "cut early", "cut late", "longer", "payload", "magic", "checksum"],
)
def test_a_damaged_entry_is_made_again_and_replaced(folder, damage):
    cached(b"spec", lambda: b"good")
    path = entry(folder, b"spec")
    path.write_bytes(damage(path.read_bytes()))
    assert lookup(key(b"spec")) is None
    assert cached(b"spec", lambda: b"again") == b"again"
    assert cached(b"spec", lambda: pytest.fail("made again")) == b"again"


def test_an_entry_under_another_name_is_not_believed(folder):
    cached(b"one", lambda: b"code of one")
    entry(folder, b"one").rename(entry(folder, b"two"))
    assert lookup(key(b"two")) is None


@POSIX
def test_an_entry_that_is_a_link_is_not_followed(folder, tmp_path):
    cached(b"spec", lambda: b"good")
    entry(folder, b"spec").rename(tmp_path / "elsewhere")
    entry(folder, b"spec").symlink_to(tmp_path / "elsewhere")
    assert lookup(key(b"spec")) is None
    store(key(b"spec"), b"new")
    assert lookup(key(b"spec")) == b"new"
    assert not entry(folder, b"spec").is_symlink()


@POSIX
def test_an_entry_that_is_a_folder_is_in_nobodys_way(folder):
    cached(b"spec", lambda: b"good")
    entry(folder, b"spec").unlink()
    entry(folder, b"spec").mkdir()
    assert lookup(key(b"spec")) is None
    assert cached(b"spec", lambda: b"made") == b"made"


# ------------------------------------------------------------------------------------------------ folders


@POSIX
def test_the_folder_is_the_users_own(folder):
    store(key(b"spec"), b"code")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(entry(folder, b"spec").stat().st_mode) == 0o600


def refused(folder: pathlib.Path, reason: str) -> None:
    """Assert that the folder is neither read nor written, with one warning that says why."""
    content = sorted(folder.iterdir()) if folder.is_dir() else None
    with pytest.warns(ChainruleWarning) as caught:
        found = [made_twice(b"spec"), lookup(key(b"spec"))]
    assert found == [True, None]
    assert [str(warning.message) for warning in caught] == [
        f"compiled code is not kept: {folder} can't be trusted with it, since {reason}. "
        "Remove the folder, or name another with CHAINRULE_CACHE."
    ]
    assert content == (sorted(folder.iterdir()) if folder.is_dir() else None)


@POSIX
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_can_write_to_is_refused(folder, mode):
    store(key(b"spec"), b"code")
    folder.chmod(mode)
    cache._trusted.cache_clear()
    refused(folder, f"others can write to it (mode {mode:04o})")


@POSIX
def test_a_folder_of_another_user_is_refused(folder, monkeypatch):
    folder.mkdir(parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    refused(folder, f"it belongs to user {folder.stat().st_uid}")


@POSIX
def test_a_folder_that_is_a_link_is_refused(folder, tmp_path):
    (tmp_path / "theirs").mkdir(mode=0o700)
    folder.parent.mkdir()
    folder.symlink_to(tmp_path / "theirs")
    refused(folder, "it is a symbolic link")


def test_a_file_in_the_folders_place_is_refused(folder):
    folder.parent.mkdir()
    folder.write_text("not a folder")
    refused(folder, "it is no folder")


@POSIX
def test_a_folder_that_everybody_can_replace_is_refused(folder):
    folder.mkdir(parents=True, mode=0o700)
    folder.parent.chmod(0o777)
    refused(folder, f"everybody can write to {folder.parent} (mode 0777)")
    folder.parent.chmod(0o1777)  # as /tmp: nobody but its owner can rename it
    cache._trusted.cache_clear()
    assert not made_twice(b"spec")


@POSIX
def test_a_read_only_folder_is_read_and_not_written(folder, monkeypatch):
    store(key(b"old"), b"code")
    folder.chmod(0o500)

    def denied(*arguments, **named):
        raise PermissionError(13, "Permission denied")

    if os.geteuid() == 0:  # root may write everywhere
        monkeypatch.setattr(cache.tempfile, "mkstemp", denied)
        monkeypatch.setattr(os, "utime", denied)
    try:
        assert lookup(key(b"old")) == b"code"
        assert made_twice(b"new")
        assert len(list(folder.iterdir())) == 1
    finally:
        folder.chmod(0o700)


@POSIX
def test_a_place_where_no_folder_can_be_made_costs_nothing(folder, monkeypatch):
    def denied(*arguments, **named):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(pathlib.Path, "mkdir", denied)
    assert made_twice(b"spec")


def test_no_cache_where_it_is_turned_off_or_nobody_has_a_home(folder, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE", "off")
    assert made_twice(b"spec")

    def homeless() -> pathlib.Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(cache, "cache_folder", homeless)
    assert made_twice(b"spec")
    assert not folder.exists()


# ------------------------------------------------------------------------------------------------ writing


@pytest.mark.parametrize("call", ["write", "rename"])
def test_a_full_disk_leaves_the_old_entry_and_no_rest(folder, monkeypatch, call):
    store(key(b"spec"), b"old")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, call, full)
    store(key(b"spec"), b"new")
    monkeypatch.undo()
    monkeypatch.setenv("CHAINRULE_CACHE", str(folder.parent))
    assert lookup(key(b"spec")) == b"old"
    assert len(list(folder.iterdir())) == 1


def test_processes_that_write_at_once_leave_whole_entries(folder):
    program = """
        import sys
        from chainrule.compiler.llvm import cache
        own, wrong = sys.argv[1].encode(), 0
        valid = {bytes([letter]) * 300_000 for letter in b"abc"}
        for turn in range(60):
            name = f"{turn % 3:064}"
            found = cache.lookup(name)
            wrong += found is not None and found not in valid
            cache.store(name, own * 300_000)
            found = cache.lookup(name)
            wrong += found not in valid
        print(wrong)
    """
    processes = [python(program, letter) for letter in "abc"]
    for process in processes:
        assert process.communicate(timeout=120) == ("0\n", "")
    assert len(list(folder.iterdir())) == 3


def test_the_entries_used_longest_ago_go_first(folder, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 5000)
    monkeypatch.setattr(cache, "TRIM_EVERY", 0)
    names = [key(b"%d" % number) for number in range(6)]
    for age, name in enumerate(names[:4]):
        store(name, bytes(1000))
        os.utime(folder / f"{name}.code", (1000 + age, 1000 + age))
    assert lookup(names[0]) == bytes(1000)  # used just now
    for name in names[4:]:
        store(name, bytes(1000))
    assert [lookup(name) is not None for name in names] == [True, False, False, True, True, True]


def test_the_folder_is_looked_through_only_now_and_then(folder, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 0)
    store(key(b"first"), b"x")  # the first look of a process
    assert lookup(key(b"first")) is None
    store(key(b"second"), b"x")
    assert lookup(key(b"second")) == b"x"
    store(key(b"third"), bytes(cache.TRIM_EVERY))
    assert lookup(key(b"second")) is None


def test_what_a_killed_process_left_is_removed_after_a_while(folder, monkeypatch):
    monkeypatch.setattr(cache, "TRIM_EVERY", 0)
    store(key(b"spec"), b"code")
    old, young = folder / ".old.tmp", folder / ".young.tmp"
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    os.utime(old, (1000, 1000))
    store(key(b"more"), b"code")
    assert (old.exists(), young.exists()) == (False, True)


def test_an_entry_that_another_process_removes_meanwhile_is_no_error(folder, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 0)
    monkeypatch.setattr(cache, "TRIM_EVERY", 0)
    store(key(b"spec"), b"code")
    real = os.unlink

    def gone(path, **named):
        with contextlib.suppress(OSError):
            real(path, **named)
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "unlink", gone)
    store(key(b"more"), b"code")


def test_a_trusted_folder_gives_no_warning(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not made_twice(b"spec")
    assert system.distrust(folder) is None
