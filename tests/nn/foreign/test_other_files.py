"""NumPy's archives and TensorFlow.js's weights: what is read, and what damaged and malicious files are told."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import CheckpointError


def refusal(path, **settings):
    with pytest.raises(CheckpointError) as caught:
        cr.load(path, **settings)
    message = str(caught.value)
    assert message.startswith(f"{path} ")
    return message.removeprefix(f"{path} ")


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def archive_of(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


# ---------------------------------------------------------------------------------------------------- npz
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_an_archive_of_numpy(tmp_path, write):
    arrays = {
        "a/w": np.arange(6, dtype=np.float32).reshape(2, 3), "t": np.arange(6.0).reshape(2, 3).T,
        "half": np.array([0.5], np.float16), "big": np.array([1.5, 2.5], ">f4"), "n": np.array(3),
        "b": np.array([True]), "empty": np.zeros((0, 2), np.float32),
    }  # fmt: skip
    write(tmp_path / "a.npz", **arrays)
    found = cr.load(tmp_path / "a.npz")
    assert list(found) == list(arrays)
    assert {name: value.dtype.name for name, value in found.items()} == {
        "a/w": "float32", "t": "float64", "half": "float32", "big": "float32", "n": "int64", "b": "bool",
        "empty": "float32",
    }  # fmt: skip
    for name, value in arrays.items():
        np.testing.assert_array_equal(found[name].numpy(), value)


def test_archives_that_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, w=np.array([{"a": 1}], dtype=object))
    assert refusal(path) == "holds Python objects in w, and such a pickle could run code: it was not opened."
    np.savez(path, w=np.array(["text"]))
    assert refusal(path) == "holds w with the dtype <U4, which no tensor has."
    archive_of(path, w=b"\x93NUMPY\x01\x00")
    assert refusal(path) == "is damaged: w is no array."
    archive_of(path, w=npy(np.ones(2)).replace(b"'shape'", b"'shaqe'"))
    assert refusal(path) == "holds w with a header that is damaged, or of a dtype that no tensor has."
    np.savez(path, w=np.zeros(2, [("a", "f4"), ("b", "i4")]))
    assert refusal(path) == "holds w with a header that is damaged, or of a dtype that no tensor has."
    archive_of(path, w=npy(np.zeros((0, 5))).replace(b"(0, 5), }" + b" " * 20, b"(0, 5" + b"0" * 19 + b" ), }"))
    assert refusal(path) == f"is damaged: w has 0 bytes for the shape (0, {5 * 10**19}) of float64."
    archive_of(path, w=npy(np.ones(4))[:-1])
    assert refusal(path) == "is damaged: w has 31 bytes for the shape (4,) of float64."
    huge = npy(np.ones(4)).replace(b"(4,), }", b"(400000000000,), }").replace(b" " * 11 + b"\n", b"\n")
    archive_of(path, w=huge)
    assert refusal(path) == "is damaged: w has 32 bytes for the shape (400000000000,) of float64."
    archive_of(path, w=npy(np.zeros(1 << 26)))
    assert refusal(path) == (
        f"is refused: its part w.npy would take 536.9 MB, and a file of {path.stat().st_size / 1000:.1f} kB may "
        "unpack to 268.4 MB in all."
    )
    np.save(tmp_path / "a.npy", np.ones(3))
    assert refusal(tmp_path / "a.npy") == (
        "is one array without a name; put it into an archive: numpy.savez(path, name=array)."
    )
    np.savez(path, w=np.ones(2))
    assert refusal(path, key="w") == "is no PyTorch checkpoint, so it has no dicts to choose from: leave out key=."


def test_keras_files_are_named(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert refusal(path) == (
        "is HDF5, which is not read; in Keras, numpy.savez the arrays of model.weights by their paths."
    )


# ---------------------------------------------------------------------------------------------------- TensorFlow.js
def manifest(folder, weights, data, paths=("g1",)):
    folder.mkdir(exist_ok=True)
    (folder / "model.json").write_text(json.dumps({"weightsManifest": [{"paths": list(paths), "weights": weights}]}))
    for path, part in zip(paths, data, strict=True):
        if "/" not in path:
            (folder / path).write_bytes(part)
    return folder


def test_weights_of_tensorflow_js(tmp_path):
    values = np.arange(6, dtype="<f4")
    codes = np.array([0, 10, 255], np.uint8)
    weights = [
        {"name": "a", "shape": [2, 3], "dtype": "float32"},
        {"name": "q", "shape": [3], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0}},
        {"name": "h", "shape": [2], "dtype": "float32", "quantization": {"dtype": "float16"}},
        {"name": "b", "shape": [2], "dtype": "bool"},
        {"name": "i", "shape": [], "dtype": "int32"},
    ]
    rest = codes.tobytes() + np.array([1.5, 2.0], "<f2").tobytes() + b"\x00\x01" + np.array(7, "<i4").tobytes()
    data = values.tobytes() + rest
    folder = manifest(tmp_path / "m", weights, [data[:20], data[20:]], ("g1", "g2"))
    for path in (folder, folder / "model.json"):
        found = {name: value.tolist() for name, value in cr.load(path).items()}
        assert found == {
            "a": [[0, 1, 2], [3, 4, 5]], "q": [-1.0, 4.0, 126.5], "h": [1.5, 2.0], "b": [False, True], "i": 7,
        }  # fmt: skip


def test_damaged_weights_of_tensorflow_js(tmp_path):
    one = [{"name": "a", "shape": [2], "dtype": "float32"}]
    folder = tmp_path / "m"
    assert refusal(manifest(folder, one, [bytes(7)])) == "has too few numbers for a: g1 is truncated."
    assert refusal(manifest(folder, one, [bytes(9)])) == "has 1 bytes in g1 that belong to no weight."
    assert refusal(manifest(folder, one, [b""], ("../secret",))) == (
        "names the file '../secret', which does not lie beside it."
    )
    (folder / "g1").unlink()
    assert refusal(folder) == "names the file '../secret', which does not lie beside it."
    manifest(folder, one, [bytes(8)])
    (folder / "g1").unlink()
    assert refusal(folder) == "needs the file g1 beside it, which is missing."
    no_list = "is no list of TensorFlow.js weights: it has no weightsManifest of names, shapes and files."
    for weights in ([{"name": "a", "shape": [-2], "dtype": "float32"}], [{"name": "a", "dtype": "float32"}],
                    [{"name": "a", "shape": [1], "dtype": "string"}]):  # fmt: skip
        assert refusal(manifest(folder, weights, [bytes(8)])) == no_list
    (folder / "model.json").write_text("[1, 2")
    assert refusal(folder / "model.json") == no_list
    assert refusal(tmp_path) == "is a folder without a model.json; give the file of the weights."
