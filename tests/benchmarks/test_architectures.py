"""The group of architectures: each network with its arithmetic, equal losses here and in PyTorch, the floors."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from benchmarks import batches, peers, report
from benchmarks.driver import Outcome
from benchmarks.peers import Job
from benchmarks.workload import draw, draw_like
from benchmarks.workloads import GROUPS, USUAL, WORKLOADS, architectures
from chainrule import models

TRAINED = [name for names in GROUPS.values() for name in names if not name.endswith("_infer")]


def test_the_group_has_every_architecture_in_both_uses():
    assert set(GROUPS["architectures"]) | set(GROUPS["variants"]) == {
        f"{name}{use}" for name in TRAINED for use in ("", "_infer")
    }
    small = {name for name in TRAINED if not name.endswith("_224")}
    assert small | {"cifar_m1", "cifar_m2", "cifar_m3"} == set(models.names())
    large = {"alexnet_224", "vgg16_224", "googlenet_224", "resnet50_224", "mobilenet_224"}
    assert set(TRAINED) - small == large
    assert {"resnet18", "resnet18_infer"} == set(USUAL) & set(GROUPS["architectures"])


@pytest.mark.parametrize("name", TRAINED)
def test_parameters_are_those_of_the_catalogue(name):
    workload, row = WORKLOADS[name], models.CATALOGUE[name.removesuffix("_224")]
    large = name.endswith("_224")
    assert workload.parameters == (row.parameters if large else row.cifar_parameters or row.parameters)
    assert (workload.batch, WORKLOADS[f"{name}_infer"].batch) == (8 if large else 32, 1)


@pytest.mark.oracle
@pytest.mark.parametrize("name", [name for names in GROUPS.values() for name in names if name not in USUAL])
def test_arithmetic_is_that_of_the_layers(name):
    """Hooks on the convolutions and linear layers of PyTorch's twin count it; no memory is touched."""
    torch = pytest.importorskip("torch")
    workload = WORKLOADS[name]
    found = []

    def count(layer, _inputs, output):
        pixels = math.prod(output.shape[2:])
        found.append(layer.weight.numel() * pixels)

    with torch.device("meta"):
        twin = workload.network(torch.nn, False).train(workload.trains)
        for layer in twin.modules():
            if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
                layer.register_forward_hook(count)
        twin(torch.zeros(2, 1 if workload.data == "mnist" else 3, workload.side, workload.side))
    sparse = 60 * 25 * 100 if name.removesuffix("_infer") == "lenet5" else 0  # its C3 is no layer of PyTorch's
    first, others = workload.layers
    assert (first.macs, others.macs) == (found[0], sum(found[1:]) + sparse)
    assert sum(p.numel() for p in twin.parameters()) == workload.parameters


def small(name: str) -> Job:
    """Return a job of two pictures with random pixels."""
    workload = dataclasses.replace(WORKLOADS[name], batch=2, settings={"lr": 0.001, "momentum": 0.9})
    rng, channels = np.random.default_rng(1), 1 if workload.data == "mnist" else 3
    batch = {"x": rng.standard_normal((2, channels, workload.side, workload.side), np.float32), "y": np.array([3, 1])}
    return Job(workload, (), 1, draw(workload), batch)


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["lenet5", "lenet5_modern", "resnet20", "squeezenet1_1_infer", "googlenet"])
def test_the_losses_are_pytorchs(name):
    pytest.importorskip("torch")
    found = []
    for library in ("chainrule", "torch"):
        steps = peers.peer(library).build(small(name))
        assert steps.parameters == WORKLOADS[name].parameters
        found.append([steps.value(steps.step()) for _ in range(2)])
    ours, theirs = found
    assert ours == pytest.approx(theirs, rel=1e-4)
    if WORKLOADS[name].trains:
        assert abs(ours[1] - ours[0]) > 1e-3 * ours[0]  # a step changed something


def test_weights_follow_from_name_and_shape():
    shapes = {"conv.weight": (8, 3, 5, 5), "bn.weight": (8,), "bn.bias": (8,), "bn.running_var": (8,),
              "bn.running_mean": (8,), "bn.num_batches_tracked": (), "fc.weight": (8, 75)}  # fmt: skip
    found = draw_like(shapes)
    assert list(found) == [name for name in shapes if not name.endswith("tracked")]
    alone = draw_like({"fc.weight": (8, 75)})["fc.weight"]
    assert (alone == found["fc.weight"]).all()
    assert alone.std() == pytest.approx(math.sqrt(2 / 75), rel=0.1)
    assert not (alone.ravel() == found["conv.weight"].ravel()).any()
    assert [found[f"bn.{key}"][0] for key in ("weight", "bias", "running_var", "running_mean")] == [1, 0, 1, 0]


def test_pictures_of_224_repeat_each_pixel(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 3, 32, 32), np.uint8)
    monkeypatch.setattr(batches, "_cifar10", lambda count: (pixels[:count], np.arange(count)))
    x = batches.make(WORKLOADS["mobilenet_224"])["x"]
    assert (x.shape, x.dtype, x.flags["C_CONTIGUOUS"]) == ((8, 3, 224, 224), np.float32, True)
    assert (x[:, :, 3::7, 6::7] == batches.make(dataclasses.replace(WORKLOADS["vgg11"], batch=8))["x"]).all()
    assert (x[:, :, :7, :7] == x[:, :, :1, :1]).all()
    assert batches.make(WORKLOADS["lenet5"])["x"].shape == (32, 1, 28, 28)


def test_googlenets_loss_weighs_the_auxiliary_ones():
    torch = pytest.importorskip("torch")
    import chainrule as cr
    from benchmarks.peers import chainrule as ours
    from benchmarks.peers import torch as theirs
    from chainrule.models.googlenet import GoogLeNetOutputs

    logits, y = [np.array([[scale, 0.0]], np.float32) for scale in (1.0, 2.0, 4.0)], np.array([1])
    wanted = sum(weight * math.log1p(math.exp(scale)) for weight, scale in ((1, 1), (0.3, 2), (0.3, 4)))
    loss = ours._loss(cr.nn.functional, WORKLOADS["googlenet"])
    assert float(loss(GoogLeNetOutputs(*map(cr.asarray, logits)), cr.asarray(y))) == pytest.approx(wanted, rel=1e-6)
    loss = theirs._loss(torch.nn.functional, "auxiliary")
    assert float(loss([torch.from_numpy(a) for a in logits], torch.from_numpy(y))) == pytest.approx(wanted, rel=1e-6)
    assert architectures._auxiliary(10) == 6_344_704


def row_of(name: str, ours: float, cold: float | None, torch: float) -> report.Row:
    outcomes = [Outcome("chainrule", "jit", seconds=[ours], cold=cold), Outcome("torch", "eager", seconds=[torch])]
    return report.row(WORKLOADS[name], outcomes, {"float32": None})


def test_the_verdict_names_what_is_below_the_floors():
    rows = [row_of("vgg11", 1.0, 19.9, 2.0), row_of("vgg13", 1.0, 20.1, 0.5), row_of("lenet5_infer", 1.0, None, 1.2),
            row_of("mlp", 1.0, 99.0, 0.1)]  # fmt: skip
    rows.append(report.row(WORKLOADS["vgg16"], [Outcome("chainrule", "jit", skipped="x", failed=True)], {}))
    assert report.verdict(rows) == [
        "architectures, training: 2 of 3 have a ratio",
        "  [red]missed[/]  each at least 1.00; below: vgg13 0.50",
        "  [red]missed[/]  geometric mean at least 1.15: 1.00",
        "  [red]missed[/]  cold first call under 20 s; the longest: vgg13 20.1, vgg11 19.9",
        "architectures, inference: 1 of 1 have a ratio",
        "  [green]reached[/]  each at least 1.00; the least: lenet5_infer 1.20",
        "  [green]reached[/]  geometric mean at least 1.15: 1.20",
    ]
