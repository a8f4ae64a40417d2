"""CIFAR-10 from its official files; small sets in the same formats stand in for the real ones, which are 170 MB."""

from __future__ import annotations

import io
import os
import pathlib
import pickle
import tarfile
import warnings

import numpy as np
import pytest
from PIL import Image

from chainrule import data
from chainrule.core.errors import ChainruleWarning, ChecksumError, DataError, MissingDataError
from chainrule.data import cifar, cifar_files

NAMES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """Give each test a cache folder of its own, and no folder with data sets."""
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CHAINRULE_DATA", raising=False)
    return tmp_path / "cache"


def rows(number, samples=10):
    """Return uint8 [samples, 3072] and labels of one batch."""
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (samples, 3072), dtype=np.uint8), (np.arange(samples) + number) % 10


def pickled(number, **more):
    images, labels = rows(number)
    return pickle.dumps({b"data": images, b"labels": labels.tolist(), **more}, protocol=2)


def binary(number):
    images, labels = rows(number)
    return np.concatenate([labels.astype(np.uint8)[:, None], images], axis=1).tobytes()


def contents(kind):
    if kind == "python":
        return {f"cifar-10-batches-py/{name}": pickled(i) for i, name in enumerate(NAMES)}
    return {f"cifar-10-batches-bin/{name}.bin": binary(i) for i, name in enumerate(NAMES)}


def unpack(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def pack(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("kind", ["python", "binary"])
@pytest.mark.parametrize("packed", [False, True], ids=["unpacked", "packed"])
@pytest.mark.parametrize("below", ["", "cifar10"])
def test_all_layouts_give_the_same_arrays(kind, packed, below, tmp_path):
    place = tmp_path / "sets" / below
    pack(place / f"cifar-10-{kind}.tar.gz", contents(kind)) if packed else unpack(place, contents(kind))
    train = data.cifar10("train", tmp_path / "sets", verify=False)
    test = data.cifar10("test", tmp_path / "sets", verify=False)
    assert train.images.shape == (50, 3, 32, 32)
    assert train.images.dtype == np.uint8
    assert train.labels.dtype == np.int64
    assert train.classes == test.classes == cifar_files.CLASSES
    np.testing.assert_array_equal(train.images, np.concatenate([rows(i)[0] for i in range(5)]).reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(train.labels, np.concatenate([rows(i)[1] for i in range(5)]))
    np.testing.assert_array_equal(test.images.reshape(10, -1), rows(5)[0])
    np.testing.assert_array_equal(test.labels, rows(5)[1])


def test_the_folder_that_chainrule_data_names_is_searched(tmp_path, monkeypatch):
    unpack(tmp_path / "sets" / "cifar10", contents("python"))
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path / "sets"))
    assert len(data.cifar10("test", verify=False)) == 10


def test_the_batches_folder_itself_may_be_named(tmp_path):
    unpack(tmp_path, contents("python"))
    assert len(data.cifar10("test", tmp_path / "cifar-10-batches-py", verify=False)) == 10


def test_the_converted_copy_is_used_and_a_damaged_one_made_again(tmp_path, monkeypatch, own_cache):
    unpack(tmp_path, contents("python"))
    first = data.cifar10("train", tmp_path, verify=False)
    calls = []
    monkeypatch.setattr(cifar, "read_source", lambda *a: calls.append(a) or cifar_files.read_source(*a))
    again = data.cifar10("train", tmp_path, verify=False)
    np.testing.assert_array_equal(first.images, again.images)
    assert calls == []
    copy = next((own_cache / "cifar10").glob("*-train-images.npy"))
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    np.testing.assert_array_equal(data.cifar10("train", tmp_path, verify=False).images, first.images)
    assert len(calls) == 1


def test_another_source_makes_another_copy(tmp_path):
    unpack(tmp_path, contents("python"))
    data.cifar10("test", tmp_path, verify=False)
    target = tmp_path / "cifar-10-batches-py" / "test_batch"
    target.write_bytes(pickled(9))
    os.utime(target, (1, 1))
    np.testing.assert_array_equal(data.cifar10("test", tmp_path, verify=False).images.reshape(10, -1), rows(9)[0])


def test_without_a_cache_it_works_too(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE", "off")
    unpack(tmp_path, contents("binary"))
    assert len(data.cifar10("train", tmp_path, verify=False)) == 50


# ---------------------------------------------------------------------------------------------------- errors
def error(kind, *arguments, **settings):
    with pytest.raises(kind) as caught:
        data.cifar10(*arguments, **settings)
    return str(caught.value)


def test_a_missing_set_says_where_to_get_it_and_where_to_put_it(tmp_path, own_cache):
    tail = (
        "Get cifar-10-python.tar.gz (170 MB, MD5 c58f30108f718f92721af3b95e74349a) from www.cs.toronto.edu/~kriz/"
        "cifar.html and put it, packed or unpacked, into the folder that CHAINRULE_DATA names, or pass folder=."
    )
    assert error(MissingDataError) == f"CIFAR-10 is not on this machine; looked in {own_cache}. {tail}"
    assert error(MissingDataError, "test", tmp_path / "no") == (
        f"CIFAR-10 is not on this machine; looked in {tmp_path / 'no'}. {tail}"
    )


def test_an_unknown_split():
    assert error(ValueError, "valid") == "cifar10.split must be 'train' or 'test'; got 'valid'."


def test_a_file_that_is_missing(tmp_path):
    files = contents("python")
    del files["cifar-10-batches-py/data_batch_3"]
    unpack(tmp_path, files)
    assert error(MissingDataError, "train", tmp_path, verify=False) == (
        f"{tmp_path / 'cifar-10-batches-py'} lacks data_batch_3; get CIFAR-10 again, or unpack it whole."
    )


def test_an_archive_that_is_not_the_published_one(tmp_path, monkeypatch):
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(b"hello")
    assert error(DataError, "train", tmp_path) == (f"{path} is truncated: it has 5 bytes of 170,498,071. Get it again.")
    monkeypatch.setitem(cifar_files.SIZES, path.name, 5)
    assert error(ChecksumError, "train", tmp_path) == (
        f"{path} is not the published file: its MD5 sum is 5d41402abc4b2a76b9719d911017c592, expected "
        "c58f30108f718f92721af3b95e74349a. Get it again, or pass verify=False for a set of your own in these files."
    )


def test_a_batch_that_is_not_the_published_one(tmp_path):
    unpack(tmp_path, contents("python"))
    message = error(ChecksumError, "train", tmp_path)
    assert message.startswith(f"{tmp_path / 'cifar-10-batches-py' / 'data_batch_1'} is not the published file: its MD5")


def test_unpacked_binary_files_are_counted(tmp_path):
    unpack(tmp_path, contents("binary"))
    assert error(DataError, "train", tmp_path) == (
        f"{tmp_path / 'cifar-10-batches-bin' / 'data_batch_1.bin'} has 10 pictures; a batch of CIFAR-10 has 10,000. "
        "Get it again."
    )


def test_truncated_files(tmp_path):
    files = contents("binary")
    files["cifar-10-batches-bin/data_batch_2.bin"] = files["cifar-10-batches-bin/data_batch_2.bin"][:-5]
    unpack(tmp_path / "a", files)
    place = tmp_path / "a" / "cifar-10-batches-bin" / "data_batch_2.bin"
    assert error(DataError, "train", tmp_path / "a", verify=False) == (
        f"{place} has 30725 bytes, which is no multiple of 3073; it is truncated."
    )
    files = contents("python")
    files["cifar-10-batches-py/test_batch"] = files["cifar-10-batches-py/test_batch"][:2000]
    unpack(tmp_path / "b", files)
    assert "test_batch is no batch of CIFAR-10, or damaged or truncated: pickle data was truncated." in error(
        DataError, "train", tmp_path / "b", verify=False
    )
    pack(tmp_path / "c" / "cifar-10-python.tar.gz", contents("python"))
    whole = (tmp_path / "c" / "cifar-10-python.tar.gz").read_bytes()
    (tmp_path / "c" / "cifar-10-python.tar.gz").write_bytes(whole[: len(whole) // 2])
    assert "is damaged, truncated or no tar archive: " in error(DataError, "train", tmp_path / "c", verify=False)


def test_labels_out_of_range(tmp_path):
    files = contents("binary")
    files["cifar-10-batches-bin/test_batch.bin"] = b"\x0b" + files["cifar-10-batches-bin/test_batch.bin"][1:]
    unpack(tmp_path, files)
    assert error(DataError, "train", tmp_path, verify=False) == (
        f"{tmp_path / 'cifar-10-batches-bin'} has labels outside [0, 9] in the split 'test'; it is damaged."
    )


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, path: pathlib.Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_no_code_in_a_pickle_runs(tmp_path):
    files = contents("python")
    files["cifar-10-batches-py/data_batch_1"] = pickle.dumps({b"data": Malicious(tmp_path / "owned")}, protocol=2)
    unpack(tmp_path, files)
    message = error(DataError, "train", tmp_path, verify=False)
    assert message.endswith("and a batch of CIFAR-10 has no use for that.")
    assert f"{os.mkdir.__module__}.mkdir" in message
    assert not (tmp_path / "owned").exists()


class State:
    """Is pickled as a call and a state, whatever they are."""

    def __init__(self, function, arguments, state=None):
        self.parts = function, arguments, state

    def __reduce__(self):
        return self.parts


RECONSTRUCT = np.empty(0).__reduce__()[0]


def array(dtype, shape=(2,), content=b"\x41" * 16):
    return State(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, shape, dtype, False, content))


def dtype(code, flags=0):
    return State(np.dtype, (code, False, True), (3, "|", None, None, None, -1, -1, flags))


@pytest.mark.parametrize(
    "value, reason",
    [
        # with real dtypes these 16 bytes would be taken for pointers to objects, and crash or do worse
        (array(dtype("O8")), "an array of |O8 where whole numbers must be"),
        (array(dtype("f8")), "an array of |f8 where whole numbers must be"),
        (array(dtype("u1"), (10**12,)), "cannot reshape array of size 16 into shape (1000000000000,)"),
        (array(np.dtype, (2,)), "an array without whole numbers"),
        (array(dtype("u1"), (2,), [1, 2]), "an array without whole numbers"),
        ([b"1", b"2"], "list where whole numbers must be"),
        (State(np.ndarray, ((10**6,),)), "'str' object is not callable"),
        (State(np.load, ("x",)), f"it asks for {np.load.__module__}.load, and a batch of CIFAR-10 has no use for that"),
        (State(eval, ("1",)), "it asks for __builtin__.eval, and a batch of CIFAR-10 has no use for that"),
    ],
    ids=["objects", "floats", "short", "type", "list", "text", "call", "load", "eval"],
)
@pytest.mark.parametrize("key", [b"data", b"labels"])
def test_content_that_is_no_batch(key, value, reason, tmp_path):
    files = contents("python")
    images, labels = rows(0)
    batch = {b"data": images, b"labels": labels.tolist(), key: value}
    files["cifar-10-batches-py/data_batch_1"] = pickle.dumps(batch, protocol=2)
    unpack(tmp_path, files)
    place = tmp_path / "cifar-10-batches-py" / "data_batch_1"
    assert error(DataError, "train", tmp_path, verify=False) == (
        f"{place} is no batch of CIFAR-10, or damaged or truncated: {reason}."
    )


def test_labels_may_be_an_array_and_arrays_lie_as_they_like(tmp_path):
    files = contents("python")
    images, labels = rows(0)
    batch = {b"data": np.asfortranarray(images), b"labels": labels.astype(">i4")}
    files["cifar-10-batches-py/data_batch_1"] = pickle.dumps(batch, protocol=2)
    unpack(tmp_path, files)
    found = data.cifar10("train", tmp_path, verify=False)
    np.testing.assert_array_equal(found.images[:10].reshape(10, -1), images)
    np.testing.assert_array_equal(found.labels[:10], labels)


def test_file_names_that_are_none(tmp_path):
    unpack(tmp_path, contents("python"))
    for names in (7, [7], [], {}):
        batch = {b"data": rows(0)[0], b"labels": rows(0)[1].tolist(), b"filenames": names}
        (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(pickle.dumps(batch, protocol=2))
        assert "is not the published file" in error(ChecksumError, "train", tmp_path)


# ---------------------------------------------------------------------------------------------------- the JPEG copy
def jpeg(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (colour, colour, colour)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_the_jpeg_copy_has_the_order_of_the_batches_made_from_it(tmp_path):
    files = {
        f"{split}/{name}/{i:04}.jpg": jpeg(20 * c + i)
        for split in ("train", "test")
        for c, name in enumerate(cifar_files.CLASSES)
        for i in range(2)
    }
    pack(tmp_path / "cifar10-jpeg.tar.gz", files)
    with pytest.warns(ChainruleWarning, match="recompressed as JPEG: not the official pixels, and not their order"):
        found = data.cifar10("train", tmp_path, verify=False)
    order = np.random.RandomState(10).permutation(20)
    np.testing.assert_array_equal(found.labels, order // 2)
    np.testing.assert_allclose(found.images[:, 0, 0, 0], 20 * (order // 2) + order % 2, atol=1)


def test_batches_made_from_the_jpeg_copy_pass_with_a_notice(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "COUNTS", {"train": 50, "test": 10})
    monkeypatch.setattr(cifar_files, "ROWS", 10)
    names = [f"train/{name}/0001.jpg".encode() for name in cifar_files.CLASSES]
    unpack(tmp_path, {f"cifar-10-batches-py/{n}": pickled(i) for i, n in enumerate(NAMES)})
    for i, name in enumerate(NAMES):
        images, labels = rows(i)
        batch = {b"data": images, b"labels": labels.tolist(), b"filenames": names}
        (tmp_path / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(batch, protocol=2))
    with pytest.warns(ChainruleWarning, match="recompressed as JPEG"):
        assert len(data.cifar10("train", tmp_path)) == 50


@pytest.mark.slow
def test_the_set_at_hand(data_folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChainruleWarning)
        train, test = (data.cifar10(split, data_folder) for split in ("train", "test"))
    assert np.bincount(train.labels).tolist() == [5000] * 10
    assert np.bincount(test.labels).tolist() == [1000] * 10
    pixels = train.images.transpose(0, 2, 3, 1) / 255.0
    np.testing.assert_allclose(pixels.mean((0, 1, 2)), data.CIFAR10_MEAN, atol=2e-4)
    np.testing.assert_allclose(pixels.std((0, 1, 2)), data.CIFAR10_STD, atol=2e-3)
