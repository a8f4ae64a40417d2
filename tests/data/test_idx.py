"""IDX files: every dtype both ways, every field damaged, each with its message."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import re

import numpy as np
import pytest

from chainrule.core.errors import ChecksumError, DataError, MissingDataError
from chainrule.data import read_idx, write_idx
from chainrule.data.idx import parse_idx

LABELS = bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4])


def raises(error, message):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "float32", "float64"])
def test_what_is_written_is_read(tmp_path, dtype, suffix):
    values = np.arange(-12, 12).reshape(2, 3, 4).astype(dtype)
    path = tmp_path / f"values.idx{suffix}"
    write_idx(path, values)
    again = read_idx(path)
    assert again.dtype == values.dtype
    assert again.dtype.isnative
    assert again.flags.writeable
    assert np.array_equal(again, values)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (0, 28, 28), (2, 1, 1, 2)])
def test_odd_shapes(tmp_path, shape):
    values = np.ones(shape, dtype=np.float32)
    write_idx(tmp_path / "a.idx", values)
    again = read_idx(tmp_path / "a.idx")
    assert again.shape == shape
    assert np.array_equal(again, values)


def test_the_bytes_are_the_official_ones(tmp_path):
    write_idx(tmp_path / "labels", np.array([5, 0, 4], dtype=np.uint8))
    assert (tmp_path / "labels").read_bytes() == LABELS
    write_idx(tmp_path / "numbers", np.array([[1, -2]], dtype=">i2"))
    assert (tmp_path / "numbers").read_bytes() == bytes([0, 0, 11, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 255, 254])


def test_equal_arrays_make_equal_gzip_files(tmp_path):
    for name in ("a.gz", "b.gz"):
        write_idx(tmp_path / name, np.zeros(5, dtype=np.uint8))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


@pytest.mark.parametrize(
    "content, message",
    [
        (b"\x00\x00", "t is truncated: it has 2 bytes, an IDX file begins with 4 of magic number."),
        (
            b"\x89PNG....",
            "t is no IDX file: its magic number is 0x89504e47; expected two zero bytes, a type (08 uint8, 09 int8, "
            "0b int16, 0c int32, 0d float32, 0e float64) and the number of axes.",
        ),
        (
            bytes([0, 0, 10, 1, 0, 0, 0, 0]),
            "t is no IDX file: its magic number is 0x00000a01; expected two zero bytes, a type (08 uint8, 09 int8, "
            "0b int16, 0c int32, 0d float32, 0e float64) and the number of axes.",
        ),
        (LABELS[:7], "t is truncated: it has 7 bytes, its header of 1 sizes needs 8."),
        (
            LABELS[:-1],
            "t is truncated: its header promises 3 values of uint8, 3 bytes; 2 are there. Download or copy it again.",
        ),
        (LABELS + b"xy", "t has 2 bytes too many: its header promises 3 values of uint8, 3 bytes; 5 are there."),
        (
            bytes([0, 0, 13, 3]) + b"\xff" * 12,
            "t is truncated: its header promises 4294967295 x 4294967295 x 4294967295 values of float32, "
            f"{4 * (2**32 - 1) ** 3} bytes; 0 are there. Download or copy it again.",
        ),
    ],
)
def test_damaged_content(content, message):
    with raises(DataError, message):
        parse_idx(content, "t")


def test_truncated_gzip(tmp_path):
    path = tmp_path / "labels.gz"
    path.write_bytes(gzip.compress(LABELS, mtime=0)[:-9])
    size = path.stat().st_size
    with raises(
        DataError,
        f"{path} is truncated: its compressed stream ends early, after {size} bytes. Download or copy it again.",
    ):
        read_idx(path)


def test_truncated_xz(tmp_path):
    path = tmp_path / "labels.xz"
    path.write_bytes(lzma.compress(LABELS)[:40])
    with raises(
        DataError, f"{path} is truncated: its compressed stream ends early, after 40 bytes. Download or copy it again."
    ):
        read_idx(path)


def test_bytes_behind_xz(tmp_path):
    path = tmp_path / "labels.xz"
    path.write_bytes(lzma.compress(LABELS) + b"12345")
    with raises(DataError, f"{path} has 5 bytes behind the end of its xz stream."):
        read_idx(path)


def test_flipped_bits_in_gzip_and_xz(tmp_path):
    for suffix, packed in ((".gz", gzip.compress(LABELS, mtime=0)), (".xz", lzma.compress(LABELS))):
        damaged = bytearray(packed)
        damaged[len(packed) // 2] ^= 0xFF
        path = tmp_path / f"labels{suffix}"
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=rf"^{re.escape(str(path))} is (no readable|truncated)"):
            read_idx(path)


def test_gzip_that_is_none(tmp_path):
    path = tmp_path / "labels.gz"
    path.write_bytes(LABELS)
    with raises(
        DataError, f"{path} is no readable gzip file: Not a gzipped file (b'\\x00\\x00'). Download or copy it again."
    ):
        read_idx(path)


def test_missing_file(tmp_path):
    with raises(MissingDataError, f"there is no file {tmp_path / 'none.idx'}; check the name and the folder."):
        read_idx(tmp_path / "none.idx")


def test_folder_instead_of_a_file(tmp_path):
    with raises(DataError, f"{tmp_path} is a folder; give the file itself."):
        read_idx(tmp_path)


def test_checksum(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(LABELS)
    md5 = hashlib.md5(LABELS, usedforsecurity=False).hexdigest()
    assert read_idx(path, md5=md5).tolist() == [5, 0, 4]
    path.write_bytes(LABELS[:-1] + b"\x07")
    found = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    with raises(
        ChecksumError,
        f"{path} is not the published file: the MD5 sum of its content is {found}, expected {md5}. Download it again.",
    ):
        read_idx(path, md5=md5)


@pytest.mark.parametrize("dtype", ["int64", "bool", "uint16", "complex64"])
def test_dtypes_that_idx_lacks(tmp_path, dtype):
    with raises(
        DataError,
        f"IDX files hold uint8, int8, int16, int32, float32, float64; got {dtype}: convert with .astype first.",
    ):
        write_idx(tmp_path / "a.idx", np.zeros(2, dtype=dtype))
    assert list(tmp_path.iterdir()) == []
