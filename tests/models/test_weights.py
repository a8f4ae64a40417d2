"""Weights put into networks: names, axes, dtypes, the report, every problem in one message, and nothing half loaded."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import models, nn
from chainrule.core.errors import CheckpointError, StateDictError


def net():
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))


def arrays(model):
    return {name: value.numpy().copy() for name, value in model.state_dict().items()}


def same(model, wanted):
    found = arrays(model)
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("kind", ["safetensors", "npz", "mapping"])
def test_a_file_of_the_same_names(tmp_path, kind):
    source, target = net(), net()
    wanted = arrays(source)
    path = tmp_path / f"a.{kind}"
    if kind == "safetensors":
        cr.save(path, source)
    elif kind == "npz":
        np.savez(path, **wanted)
    report = models.load_weights(target, wanted if kind == "mapping" else path)
    same(target, wanted)
    assert [row.name for row in report.loaded] == list(wanted)
    assert (report.changed, report.missing, report.extra, report.left_out) == ((), (), (), ())


def test_names_types_and_axes_of_length_one_are_mapped_and_reported(tmp_path):
    source, target = net(), net()
    wanted = arrays(source)
    given = {f"model.{name}": value for name, value in wanted.items()}
    given["model.head.kernel"] = given.pop("model.3.weight").astype(np.float64)
    given["model.3.bias"] = given["model.3.bias"].reshape(1, 3, 1)
    given["model.1.num_batches_tracked"] = given["model.1.num_batches_tracked"].astype(np.int32)
    given["step"] = np.array(7)
    np.savez(tmp_path / "a.npz", **given)
    rename = {r"model\.head\.kernel": "3.weight", r"model\.(.*)": r"\1", "step": None}
    report = models.load_weights(target, tmp_path / "a.npz", rename=rename)
    same(target, wanted)
    rows = {row.name: row for row in report.loaded}
    assert rows["0.weight"].changes == ("renamed",)
    assert rows["3.weight"].source == "model.head.kernel"
    assert rows["3.weight"].changes == ("renamed", "from float64")
    assert rows["3.bias"].changes == ("renamed", "reshaped from (1, 3, 1)")
    assert rows["1.num_batches_tracked"].changes == ("renamed", "from int32")
    assert report.left_out == ("step",)
    text = str(report).splitlines()
    assert text[0] == "a.npz -> Sequential: 9 tensors, 144 numbers loaded"
    assert text[1].split() == ["name", "from", "shape", "changes"]
    assert text[-1] == "left out by rename: step"
    assert len(text) == 13


def test_a_function_renames():
    source, target = net(), net()
    given = {name.replace(".", "/"): value for name, value in arrays(source).items()}
    models.load_weights(target, given, rename=lambda name: name.replace("/", "."))
    same(target, arrays(source))


def test_bfloat16_becomes_float32():
    layer = nn.Linear(2, 2)
    weights = {"weight": cr.asarray([[1.5, 2.0], [3.0, 4.0]], dtype=cr.bfloat16), "bias": cr.zeros(2)}
    assert models.load_weights(layer, weights).loaded[0].changes == ("from bfloat16",)
    assert layer.weight.tolist() == [[1.5, 2.0], [3.0, 4.0]]
    assert layer.weight.dtype is cr.float32


class Layers(nn.Module):
    def __init__(self):
        self.conv = nn.Conv2d(2, 5, (3, 4))
        self.depth = nn.Conv2d(3, 6, 3, groups=3)
        self.up = nn.ConvTranspose2d(2, 5, 3)
        self.line = nn.Conv1d(2, 5, 3)
        self.dense = nn.Linear(4, 4)
        self.point = nn.Linear(3, 2)


def test_tensorflows_kernels_are_turned_even_where_the_shape_does_not_tell():
    model = Layers()
    wanted = {name: np.random.default_rng(0).normal(size=p.shape).astype("f") for name, p in model.named_parameters()}
    given = dict(wanted)
    given["conv.weight"] = wanted["conv.weight"].transpose(2, 3, 1, 0)  # [height, width, in, out]
    given["depth.weight"] = wanted["depth.weight"].reshape(3, 2, 3, 3).transpose(2, 3, 0, 1)  # [h, w, in, multiplier]
    given["up.weight"] = wanted["up.weight"].transpose(2, 3, 1, 0)  # [height, width, out, in]
    given["line.weight"] = wanted["line.weight"].transpose(2, 1, 0)
    given["dense.weight"] = wanted["dense.weight"].T  # square
    given["point.weight"] = wanted["point.weight"].T.reshape(1, 1, 3, 2)
    report = models.load_weights(model, given, layout="tensorflow")
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(parameter.numpy(), wanted[name])
    changes = {row.name: row.changes for row in report.loaded}
    assert changes["dense.weight"] == ("transposed from (4, 4)",)
    assert changes["point.weight"] == ("transposed from (1, 1, 3, 2)", "reshaped from (2, 3, 1, 1)")
    assert changes["dense.bias"] == ()


def test_every_problem_in_one_message_and_nothing_is_loaded():
    target = net()
    before, given = arrays(target), arrays(net())
    given["3.wieght"] = given.pop("3.weight")
    given["0.weight"] = given["0.weight"].transpose(2, 3, 1, 0)
    given["3.bias"] = np.zeros(10, np.float32)
    given["1.weight"] = np.zeros(4, np.int64)
    given["1.bias"] = [1.0]
    given["old.0.bias"] = given["0.bias"]
    given["other"] = given["0.bias"]
    with pytest.raises(StateDictError) as caught:
        models.load_weights(target, given, rename={r"old\.(.*)": r"\1", "other": "spare"})
    assert str(caught.value) == (
        "load_weights: 8 problems with a mapping and Sequential, nothing was loaded:\n"
        "  0.bias would be both 0.bias and old.0.bias of the file\n"
        "  3.weight is missing; the nearest is '3.wieght'\n"
        "  3.wieght is unexpected; did you mean '3.weight'?\n"
        "  spare (in the file other) is unexpected\n"
        "  0.weight has the shape (4, 2, 3, 3); the file has (3, 3, 2, 4) (transposed?)\n"
        "  1.weight is float32; the file has int64\n"
        "  1.bias must be a tensor or a NumPy array; the mapping has list\n"
        "  3.bias has the shape (3,); the file has (10,)\n"
        "rename= gives the file's names other names, or leaves them out; strict=False loads what both have.\n"
        "Make the network with the sizes of the weights, load, then change it: models.replace_head(model, classes). "
        'Kernels that Keras wrote need layout="tensorflow".'
    )
    same(target, before)


def test_what_both_have(tmp_path):
    target, given = net(), arrays(net())
    before = arrays(target)
    del given["3.weight"], given["1.num_batches_tracked"]
    given["extra"] = np.zeros(1)
    report = models.load_weights(target, given, strict=False)
    assert (report.missing, report.extra) == (("3.weight",), ("extra",))
    assert str(report).splitlines()[-2:] == [
        "missing, kept as they were: 3.weight",
        "in the file only, not used: extra",
    ]
    np.testing.assert_array_equal(target[3].weight.numpy(), before["3.weight"])
    np.testing.assert_array_equal(target[0].weight.numpy(), given["0.weight"])
    given["3.bias"] = np.zeros(5, np.float32)
    with pytest.raises(StateDictError) as caught:
        models.load_weights(target, given, strict=False)
    assert str(caught.value) == (
        "load_weights: 1 problem with a mapping and Sequential, nothing was loaded:\n"
        "  3.bias has the shape (3,); the file has (5,)\n"
        "Make the network with the sizes of the weights, load, then change it: models.replace_head(model, classes). "
        'Kernels that Keras wrote need layout="tensorflow".'
    )
    with pytest.raises(CheckpointError) as caught:
        models.load_weights(target, tmp_path / "none.pt")
    assert str(caught.value) == f"{tmp_path / 'none.pt'} can't be read: No such file or directory."
    with pytest.raises(ValueError) as caught:
        models.load_weights(target, given, layout="keras")
    assert str(caught.value) == ('load_weights.layout must be one of "auto", "torch", "tensorflow"; got \'keras\'.')


def test_hundreds_of_wrong_names_take_no_time():
    wrong = {f"layer{number}.block.{number}.weight": np.zeros(1, np.float32) for number in range(900)}
    with pytest.raises(StateDictError) as caught:
        models.load_weights(models.create("resnet20"), wrong)
    assert len(str(caught.value).splitlines()) == 999


@pytest.mark.oracle
def test_the_weights_of_a_network_of_pytorch(tmp_path):
    torch = pytest.importorskip("torch")
    twin = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(),
                               torch.nn.Linear(16, 3)).eval()  # fmt: skip
    parallel = torch.nn.Module()
    parallel.module = twin
    torch.save({"epoch": 2, "state_dict": parallel.state_dict(), "optimizer": {"state": {}}}, tmp_path / "a.pth.tar")
    ours = net().eval()
    with pytest.raises(StateDictError) as caught:
        models.load_weights(ours, tmp_path / "a.pth.tar")
    assert "  module.0.weight is unexpected; did you mean '0.weight'?\n" in str(caught.value)
    report = models.load_weights(ours, tmp_path / "a.pth.tar", rename={r"module\.(.*)": r"\1"})
    assert len(report.changed) == len(report.loaded) == 9
    x = np.random.default_rng(0).normal(size=(3, 2, 4, 4)).astype("f")
    np.testing.assert_allclose(ours(cr.asarray(x)).numpy(), twin(torch.from_numpy(x)).detach().numpy(), atol=1e-6)
