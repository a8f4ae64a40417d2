"""The fault injector fails exactly the call that was asked for, and puts everything back."""

from __future__ import annotations

import errno
import os

import pytest

from chainrule.core import files
from chainrule.testing import Fault, fail_at


def test_the_nth_call_fails_and_the_others_do_not(tmp_path):
    path = tmp_path / "a"
    with fail_at("rename", 2) as fault:
        files.atomic_write(path, "one")
        with pytest.raises(OSError) as caught:
            files.atomic_write(path, "two")
        files.atomic_write(path, "three")
    assert (caught.value.errno, fault.calls, fault.fired) == (errno.EIO, 3, True)
    assert path.read_text() == "three"


def test_a_partial_write_leaves_half_of_the_data_in_the_open_file(tmp_path):
    handle = os.open(tmp_path / "a", os.O_WRONLY | os.O_CREAT)
    with (
        fail_at("write", 1),
        pytest.raises(OSError, match=r"^\[Errno 28\] No space left on device: '<write number 1>'$"),
    ):
        files.write(handle, b"12345678")
    with fail_at("write", 1, partial=False), pytest.raises(OSError):
        files.write(handle, b"12345678")
    os.close(handle)
    assert (tmp_path / "a").read_bytes() == b"1234"


def test_a_lasting_fault_fails_every_later_call_of_any_kind(tmp_path):
    with fail_at("fsync", 1, lasting=True):
        for _ in range(2):
            with pytest.raises(OSError):
                files.atomic_write(tmp_path / "a", "x")
        with pytest.raises(OSError):
            files.rename(tmp_path, tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_everything_is_back_after_the_block(tmp_path):
    before = files.write, files.fsync, files.rename
    with pytest.raises(KeyError), fail_at("write", 5) as fault:
        raise KeyError
    assert (files.write, files.fsync, files.rename) == before
    assert not fault.fired


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("read", 1), "Fault.kind must be one of write, fsync, rename; got 'read'."),
        (("write", 0), "Fault.n must be an integer >= 1; got 0."),
    ],
)
def test_a_wrong_setting_is_refused(arguments, message):
    with pytest.raises(ValueError) as caught:
        Fault(*arguments)
    assert str(caught.value) == message
