"""Weights on disk: round trips in every dtype, and damage that is noticed wherever it is."""

from __future__ import annotations

import json
import os
import stat

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.core.dtypes import ALL
from chainrule.core.errors import CheckpointError


@pytest.mark.parametrize("dtype", ALL, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3)], ids=str)
def test_every_dtype_and_shape_comes_back(dtype, shape, tmp_path):
    values = cr.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape) % 2, dtype=dtype)
    cr.save(tmp_path / "a.safetensors", {"a": values})
    back = cr.load(tmp_path / "a.safetensors")["a"]
    assert (back.shape, back.dtype) == (shape, dtype)
    assert back.tolist() == values.tolist()


def test_order_of_names_and_transposed_arrays(tmp_path):
    weights = {"z": cr.asarray(np.arange(6.0).reshape(2, 3).T), "a": np.arange(3), "m": cr.ones(1)}
    cr.save(tmp_path / "w.safetensors", weights)
    back = cr.load(tmp_path / "w.safetensors")
    assert list(back) == ["z", "a", "m"]
    assert back["z"].tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    assert back["a"].tolist() == [0, 1, 2]


def test_a_module_travels_through_a_file(tmp_path):
    source, target = nn.Sequential(nn.Linear(3, 2), nn.PReLU()), nn.Sequential(nn.Linear(3, 2), nn.PReLU())
    cr.save(tmp_path / "m.safetensors", source)
    target.load_state_dict(cr.load(tmp_path / "m.safetensors"))
    assert target(cr.ones((1, 3))).tolist() == source(cr.ones((1, 3))).tolist()


def test_the_same_weights_give_the_same_bytes(tmp_path):
    layer = nn.Linear(3, 2)
    for name in ("a", "b"):
        cr.save(tmp_path / name, layer)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) & 0o400


def test_loaded_tensors_can_be_assigned_and_trained(tmp_path):
    cr.save(tmp_path / "a", {"a": cr.ones(2)})
    x = cr.load(tmp_path / "a")["a"].requires_grad_()
    (x * x).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 40, -1])
def test_a_truncated_file_is_refused(keep, tmp_path):
    path = tmp_path / "m.safetensors"
    cr.save(path, nn.Linear(3, 2))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError) as caught:
        cr.load(path)
    assert caught.value.message.startswith(f"{path} is no safetensors file, or is truncated or damaged: ")
    assert caught.value.message.endswith(".")


def test_every_flipped_byte_of_the_data_is_noticed(tmp_path):
    path = tmp_path / "m.safetensors"
    cr.save(path, nn.Linear(3, 2))
    good = path.read_bytes()
    for position in range(len(good) - 32, len(good)):  # 2 x 3 weights and 2 biases of 4 bytes
        damaged = bytearray(good)
        damaged[position] ^= 0x10
        path.write_bytes(bytes(damaged))
        with pytest.raises(CheckpointError) as caught:
            cr.load(path)
        assert caught.value.message == f"{path} is damaged: its content does not match its checksum."


def test_a_flipped_bit_anywhere_is_refused_or_harmless(tmp_path):
    path = tmp_path / "m.safetensors"
    layer = nn.Linear(3, 2)
    cr.save(path, layer)
    good, want = path.read_bytes(), {name: value.tolist() for name, value in layer.state_dict().items()}
    refused = 0
    for position in range(len(good)):
        damaged = bytearray(good)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(bytes(damaged))
        try:
            assert {name: value.tolist() for name, value in cr.load(path).items()} == want, position
        except CheckpointError:
            refused += 1
    assert refused > len(good) // 2


def test_a_changed_name_is_noticed(tmp_path):
    path = tmp_path / "m.safetensors"
    cr.save(path, nn.Linear(3, 2))
    path.write_bytes(path.read_bytes().replace(b'"bias":', b'"bios":'))
    with pytest.raises(CheckpointError) as caught:
        cr.load(path)
    assert caught.value.message == f"{path} is damaged: its content does not match its checksum."


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError) as caught:
        cr.load(tmp_path / "none")
    assert caught.value.message == f"{tmp_path / 'none'} can't be read: No such file or directory."


def write_foreign(path, dtype, shape, data):
    header = json.dumps({"w": {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


def test_files_of_other_programs_are_read(tmp_path):
    path = tmp_path / "other"
    write_foreign(path, "BF16", [2], np.asarray([0x3F80, 0x4000], "<u2").tobytes())
    back = cr.load(path)["w"]
    assert back.dtype is cr.bfloat16
    assert back.astype(cr.float32).tolist() == [1.0, 2.0]
    write_foreign(path, "F16", [1], b"\x00\x3c")
    half = cr.load(path)["w"]
    assert (half.dtype, half.tolist()) == (cr.float32, [1.0])
    write_foreign(path, "F8_E5M2", [1], b"\x00")
    with pytest.raises(CheckpointError) as caught:
        cr.load(path)
    assert caught.value.message == f"{path}: w has the dtype F8_E5M2, which no tensor has."


def test_what_cannot_be_saved(tmp_path):
    path = tmp_path / "x"
    for obj, message in [
        ([cr.ones(1)], "save takes a module or a mapping of names to tensors; got list."),
        ({1: cr.ones(1)}, "save: names must be strings; got 1."),
        ({"lr": 0.1}, "save: lr must be a tensor or a NumPy array; got float."),
        (
            {"state": {}, "param_groups": []},
            "save: state must be a tensor or a NumPy array; got dict. Nested state is saved by cr.train.Checkpoints.",
        ),
        ({"h": np.ones(1, np.float16)}, "save: h has the dtype float16, which no tensor has; convert it with .astype."),
    ]:
        with pytest.raises(TypeError) as caught:
            cr.save(path, obj)
        assert str(caught.value) == message
    assert not path.exists()


def test_a_wrong_order_and_a_missing_folder_are_named(tmp_path):
    with pytest.raises(TypeError) as caught:
        cr.save({"a": cr.ones(1)}, tmp_path / "x")
    assert str(caught.value) == "save: the path comes first, then what to save; got dict as the path."
    with pytest.raises(FileNotFoundError) as missing:
        cr.save(tmp_path / "no" / "x", {"a": cr.ones(1)})
    assert str(missing.value) == f"save: there is no folder {tmp_path / 'no'}; make it first."
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    from chainrule.core import files

    path = tmp_path / "m.safetensors"
    cr.save(path, {"a": cr.ones(2)})
    for call in ("write", "fsync", "rename"):
        with monkeypatch.context() as patch:
            patch.setattr(files, call, lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            with pytest.raises(OSError):
                cr.save(path, {"a": cr.zeros(2)})
        assert cr.load(path)["a"].tolist() == [1.0, 1.0]
        assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]
