"""MNIST: the packaged copy is the official one, the cache never changes a result, folders are checked."""

from __future__ import annotations

import hashlib
import importlib
import lzma
import pathlib
import re
import threading

import numpy as np
import pytest

from chainrule.core.errors import ChecksumError, DataError, MissingDataError
from chainrule.data import mnist, read_idx, standardization, write_idx
from chainrule.data.mnist import FILES, PACKAGED, unpacked

module = importlib.import_module("chainrule.data.mnist")  # chainrule.data.mnist itself is the function


def raises(error, message):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


@pytest.fixture
def small(tmp_path, digits) -> pathlib.Path:
    """A folder with official names and the first 20 test digits in both splits."""
    for (_, part), file in FILES.items():
        write_idx(tmp_path / f"{file.name}.gz", getattr(digits, part)[:20].astype(np.uint8))
    return tmp_path


@pytest.mark.parametrize("file", FILES.values(), ids=lambda file: file.name)
def test_packaged_content_is_the_official_one(file):
    content = unpacked(file)
    assert hashlib.md5(content, usedforsecurity=False).hexdigest() == file.md5


def test_package_stays_under_ten_megabytes_and_carries_its_licence():
    sizes = {path.name: path.stat().st_size for path in PACKAGED.iterdir()}
    assert sum(sizes.values()) < 10_000_000
    assert "LICENSE" in sizes
    assert "MIT License" in (PACKAGED / "LICENSE").read_text()


@pytest.mark.parametrize("split, samples", [("train", 60_000), ("test", 10_000)])
def test_arrays(split, samples):
    data = mnist(split)
    assert len(data) == samples
    assert data.images.shape == (samples, 28, 28)
    assert data.images.dtype == np.uint8
    assert data.labels.dtype == np.int64
    assert data.classes == tuple("0123456789")
    assert data.labels[:5].tolist() == {"train": [5, 0, 4, 1, 9], "test": [7, 2, 1, 0, 4]}[split]
    assert (
        np.bincount(data.labels).tolist()
        == {
            "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
            "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
        }[split]
    )


def test_mean_and_deviation_are_the_known_ones():
    mean, std = standardization(mnist().images)
    assert mean / 255 == pytest.approx(0.1306604762738429, rel=1e-12)
    assert std / 255 == pytest.approx(0.30810780385646264, rel=1e-12)


def test_two_calls_share_no_memory(digits):
    digits.images[:] = 0
    assert mnist("test").images.any()


def test_the_cache_is_used_and_repaired(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    file = FILES["test", "labels"]
    content = unpacked(file)
    cached = tmp_path / "mnist" / file.name
    assert cached.read_bytes() == content
    cached.write_bytes(content[:-1] + b"\x0c")
    assert unpacked(file) == content
    assert cached.read_bytes() == content
    cached.write_bytes(b"")
    assert unpacked(file) == content
    assert [path.name for path in cached.parent.iterdir()] == [file.name]


def test_a_sound_cache_is_read_instead_of_the_package(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    content = unpacked(FILES["test", "labels"])
    monkeypatch.setattr(module, "PACKAGED", tmp_path / "nowhere")
    assert unpacked(FILES["test", "labels"]) == content


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(28, "No space left on device")])
def test_a_read_only_or_full_cache_costs_only_time(tmp_path, monkeypatch, error):
    def refuse(path, data):
        tried.append(path)
        raise error

    tried: list[pathlib.Path] = []
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "atomic_write", refuse)
    file = FILES["test", "labels"]
    assert hashlib.md5(unpacked(file), usedforsecurity=False).hexdigest() == file.md5
    assert tried == [tmp_path / "mnist" / file.name]


def test_a_cache_that_can_not_be_a_folder_costs_only_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "file"))
    assert mnist("test").labels[:2].tolist() == [7, 2]
    assert (tmp_path / "file").read_text() == "in the way"


def test_many_first_uses_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    file = FILES["test", "labels"]
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(hashlib.md5(unpacked(file), usedforsecurity=False).hexdigest()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [file.md5] * 8
    assert [path.name for path in (tmp_path / "mnist").iterdir()] == [file.name]


def test_a_damaged_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "PACKAGED", tmp_path)
    file = FILES["test", "labels"]
    packed = tmp_path / f"{file.name}.xz"
    packed.write_bytes((PACKAGED / packed.name).read_bytes()[:1000])
    with raises(
        ChecksumError,
        f"{packed} is truncated: its compressed stream ends early, after 1000 bytes. Download or copy it again. "
        "Install chainrule again.",
    ):
        unpacked(file)
    packed.write_bytes(lzma.compress(b"something else"))
    with raises(
        ChecksumError,
        f"{packed} is damaged: its content is not the published {file.name}. Install chainrule again.",
    ):
        unpacked(file)


def test_unknown_split():
    with raises(ValueError, "mnist.split must be 'train' or 'test'; got 'validation'."):
        mnist("validation")


def test_official_files_in_a_folder_are_the_same(data_folder, digits):
    for place in (data_folder, str(data_folder / "mnist")):
        again = mnist("test", place)
        assert np.array_equal(again.images, digits.images)
        assert np.array_equal(again.labels, digits.labels)


def test_other_files_of_the_same_format_need_verify_off(small, digits):
    path = small / "t10k-images-idx3-ubyte.gz"
    with pytest.raises(ChecksumError, match=rf"^{re.escape(str(path))} is not the published file: the MD5 sum of its"):
        mnist("test", small)
    data = mnist("test", small, verify=False)
    assert np.array_equal(data.images, digits.images[:20])
    assert data.labels.dtype == np.int64


def test_a_truncated_file_says_so_before_its_checksum(small):
    path = small / "t10k-images-idx3-ubyte"
    write_idx(path, np.zeros((10, 28, 28), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:5000])
    with raises(
        DataError,
        f"{path} is truncated: its header promises 10 x 28 x 28 values of uint8, 7840 bytes; 4984 are there. "
        "Download or copy it again.",
    ):
        mnist("test", small)


def test_missing_files_list_what_is_needed(tmp_path):
    with raises(
        MissingDataError,
        f"{tmp_path} has no train-images-idx3-ubyte (plain, .gz or .xz), nor has mnist/ in it. Put the four official "
        "files there, train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, "
        "t10k-labels-idx1-ubyte, or leave folder= out: MNIST is inside the package.",
    ):
        mnist("train", tmp_path)


def test_images_and_labels_must_fit(small):
    write_idx(small / "t10k-labels-idx1-ubyte", np.zeros(19, dtype=np.uint8))
    with raises(
        DataError,
        "ArrayDataset needs arrays of equal length; got 20, 19. Row i of each array must belong to sample i.",
    ):
        mnist("test", small, verify=False)
    write_idx(small / "t10k-labels-idx1-ubyte", np.zeros(20, dtype=np.int32))
    with raises(
        DataError,
        f"mnist expects images uint8 [n, height, width] and labels uint8 [n]; {small} has images uint8 (20, 28, 28) "
        "and labels int32 (20,).",
    ):
        mnist("test", small, verify=False)


def test_packaged_files_are_plain_idx_in_xz(digits):
    labels = read_idx(PACKAGED / "t10k-labels-idx1-ubyte.xz", md5=FILES["test", "labels"].md5)
    assert np.array_equal(labels, digits.labels)
