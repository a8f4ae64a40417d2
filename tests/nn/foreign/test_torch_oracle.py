"""PyTorch writes, chainrule reads: every type, shared storages, views, parameters, checkpoints, both formats."""

from __future__ import annotations

import collections

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import CheckpointError

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.oracle


def tensors():
    base = torch.arange(24, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    found = {
        name: torch.randn(3, 4, generator=generator).to(getattr(torch, name))
        for name in ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8")
    }
    found |= {name: torch.arange(5).to(getattr(torch, name)) for name in ("uint8", "uint16", "uint32", "uint64")}
    found |= {name: torch.randn(3, dtype=getattr(torch, name)) for name in ("complex64", "complex128")}
    return found | {
        "bool": torch.tensor([[True], [False]]),
        "transposed": torch.randn(3, 4).t(),
        "slice": base[4:10],
        "columns": base.view(4, 6)[:, ::2],
        "expanded": torch.ones(1).expand(4, 5),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(7),
        "conjugated": torch.randn(3, dtype=torch.complex64).conj(),
        "negated": torch.randn(3, dtype=torch.complex64).conj().imag,
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }


@pytest.mark.parametrize("new", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("nested", [False, True])
def test_what_torch_saves_is_read(tmp_path, new, protocol, nested):
    state = collections.OrderedDict(tensors())
    content = state
    if nested:
        content = {
            "epoch": 3, "arch": "resnet18", "state_dict": state, "size": torch.Size([3, 4]), "type": torch.float32,
            "device": torch.device("cuda:0"), "best": None, "rate": 0.1, "seed": 2**62,
            "optimizer": {"state": {0: {"m": torch.ones(3)}}, "param_groups": [{"betas": (0.9, 0.99)}]},
        }  # fmt: skip
    path = tmp_path / "a.pt"
    torch.save(content, path, _use_new_zipfile_serialization=new, pickle_protocol=protocol)
    found = cr.load(path)
    assert list(found) == list(state)
    for name, want in state.items():
        want = want.detach().resolve_conj().resolve_neg()
        kept = "float32" if want.dtype is torch.float16 else str(want.dtype).removeprefix("torch.")
        assert found[name].dtype.name == kept
        want = want.float() if want.dtype in (torch.float16, torch.bfloat16) else want
        got = found[name].numpy().astype(np.float32) if name == "bfloat16" else found[name].numpy()
        np.testing.assert_array_equal(got, want.numpy(), strict=True)


def test_a_module_with_shared_weights(tmp_path):
    twin = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(2, 2))
    twin.add_module("tied", twin[2])
    torch.save(twin.state_dict(), tmp_path / "a.pt")
    found = cr.load(tmp_path / "a.pt")
    assert list(found) == list(twin.state_dict())
    assert found["2.weight"] is found["tied.weight"]
    ours = cr.nn.Sequential(cr.nn.Conv2d(3, 4, 3), cr.nn.BatchNorm2d(4), cr.nn.Linear(2, 2))
    ours.add_module("tied", ours[2])
    ours.load_state_dict(found)
    np.testing.assert_array_equal(ours[0].weight.numpy(), twin[0].weight.detach().numpy())


@pytest.mark.parametrize("new", [True, False], ids=["zip", "old"])
def test_a_whole_module_is_refused_with_the_way_out(tmp_path, new):
    path = tmp_path / "a.pt"
    torch.save(torch.nn.Linear(2, 2), path, _use_new_zipfile_serialization=new)
    with pytest.raises(CheckpointError) as caught:
        cr.load(path)
    assert str(caught.value) == (
        f"{path} asks for the global torch.nn.modules.linear.Linear. Weights need only tensors, so it was not looked "
        "up and nothing was run. If you trust the file, save its weights alone, with PyTorch: "
        "torch.save(model.state_dict(), path)."
    )


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: torch.eye(2).to_sparse(), "holds a sparse tensor, which can't be read; with PyTorch, save "
         "x.to_dense() in its place."),
        (lambda: torch.ones(2).to(torch.float8_e4m3fn), "holds numbers of type torch.float8_e4m3fn, which no tensor "
         "here has: convert them with PyTorch."),
        (lambda: torch.ones(2, device="meta"), "holds a tensor without values (device meta), which can't be read; with "
         "PyTorch, save the model on a real device in its place."),
    ],
    ids=["sparse", "float8", "meta"],
)  # fmt: skip
def test_tensors_that_have_no_counterpart(tmp_path, make, message):
    path = tmp_path / "a.pt"
    torch.save({"w": make()}, path)
    with pytest.raises(CheckpointError) as caught:
        cr.load(path)
    assert str(caught.value) == f"{path} {message}"


def test_safetensors_of_torch(tmp_path):
    write = pytest.importorskip("safetensors.torch").save_file
    state = {"w": torch.randn(2, 3), "h": torch.randn(3).half(), "b": torch.randn(3).bfloat16()}
    write(state, tmp_path / "a.safetensors")
    found = cr.load(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(found["w"].numpy(), state["w"].numpy())
    np.testing.assert_array_equal(found["h"].numpy(), state["h"].float().numpy())
    np.testing.assert_array_equal(found["b"].numpy().astype(np.float32), state["b"].float().numpy())
