"""The workloads: arithmetic and parameters, one batch of real data, and one step in every library that is installed."""

from __future__ import annotations

import io
import json
import math
import tarfile

import numpy as np
import pytest

from benchmarks import batches, contestant, peers
from benchmarks.workload import Workload, conv, dense, draw, norm
from benchmarks.workloads import USUAL, WORKLOADS

WIDTHS = {"mnist": (784,), "cifar10": (3, 32, 32)}


def batch_of(workload: Workload) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    shape = (workload.batch, math.prod(WIDTHS[workload.data])) if workload.flat else (
        workload.batch, *WIDTHS[workload.data])  # fmt: skip
    return {"x": rng.standard_normal(shape, np.float32), "y": rng.integers(0, 10, workload.batch)}


@pytest.mark.parametrize("name", USUAL)
def test_layers_state_the_parameters(name):
    workload = WORKLOADS[name]
    assert workload.counted == workload.parameters
    assert workload.goal is None or 1 <= workload.goal.least < workload.goal.aim


@pytest.mark.parametrize(
    "name, milliseconds",  # the floors at 439 GFLOP/s that the goals were set with
    [("mlp", 0.031), ("cifar_m2", 0.467), ("cifar_m1", 2.08), ("mlp_wide", 2.79), ("autoencoder", 0.643),
     ("cifar_m3", 120.2), ("resnet18", 242.7), ("cifar_m2_infer", 0.003), ("resnet18_infer", 2.53)],
)  # fmt: skip
def test_arithmetic_of_a_step(name, milliseconds):
    assert 1e3 * WORKLOADS[name].flops / 439e9 == pytest.approx(milliseconds, rel=0.02)


def test_layers():
    assert dense("0", 3, 5).shapes == {"weight": (5, 3), "bias": (5,)}
    assert conv("0", 3, 6, 5, 28).macs == 3 * 6 * 25 * 28 * 28
    assert conv("0", 3, 6, 5, 28, bias=False).shapes == {"weight": (6, 3, 5, 5)}
    assert norm("1", 7).macs == 0


def test_weights_are_the_same_in_every_process_and_within_the_bound():
    first, second = draw(WORKLOADS["cifar_m2"]), draw(WORKLOADS["cifar_m2"])
    assert all((first[name] == second[name]).all() for name in first)
    assert 0.9 / math.sqrt(75) < np.abs(first["0.weight"]).max() <= 1 / math.sqrt(75)
    norms = draw(WORKLOADS["cifar_m3"])
    assert (norms["1.running_var"].min(), norms["1.running_mean"].max(), norms["1.bias"].max()) == (1, 0, 0)


def test_a_batch_of_digits():
    found = batches.make(WORKLOADS["mlp"])
    assert (found["x"].shape, found["x"].dtype, found["y"].dtype) == ((64, 784), np.float32, np.int64)
    assert abs(found["x"].mean()) < 1e-5
    assert found["x"].std() == pytest.approx(1, abs=1e-4)


def test_an_epoch_takes_every_digit():
    found = batches.make(WORKLOADS["mlp_loop"])
    assert (found["x"].shape, found["x"].dtype, found["order"].shape) == ((60_000, 784), np.uint8, (938, 64))
    assert len(np.unique(found["order"])) == 60_000
    assert found["x"].mean() == pytest.approx(batches.MEAN, abs=1e-3)
    assert found["x"].std() == pytest.approx(batches.STD, abs=1e-3)


def test_a_batch_of_pictures_takes_the_classes_in_turn(tmp_path, monkeypatch):
    from PIL import Image

    (tmp_path / "cifar10").mkdir()
    with tarfile.open(tmp_path / batches.ARCHIVE, "w:gz") as archive:
        for number, name in enumerate(("airplane", "bird", "cat")):
            for index in range(7):
                file = io.BytesIO()
                Image.new("RGB", (32, 32), (80 * number, 10 * index, 7)).save(file, "jpeg")
                member = tarfile.TarInfo(f"train/{name}/{index:04d}.jpg")
                member.size = file.tell()
                file.seek(0)
                archive.addfile(member, file)
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path))
    images, labels = batches._cifar10(20)
    assert (images.shape, images.dtype, labels.tolist()) == ((6, 3, 32, 32), np.uint8, [0, 1, 2, 0, 1, 2])
    assert images[:, 0].mean((1, 2)) == pytest.approx([0, 80, 160] * 2, abs=3)


def test_without_pictures_the_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path))
    with pytest.raises(batches.MissingDataError) as caught:
        batches.make(WORKLOADS["cifar_m1"])
    assert str(caught.value) == "no CIFAR-10: set CHAINRULE_DATA to the folder that has cifar10/cifar10-jpeg.tar.gz"


def test_modes_that_fit():
    titles = [mode.title for mode in peers.modes(WORKLOADS["mlp"])]
    assert titles[:3] == ["chainrule/jit", "torch/eager", "torch/eager+malloc"]
    assert not any("channels_last" in title or "NHWC" in title or "chainrule/eager" in title for title in titles)
    assert "torch/channels_last+malloc" in [mode.title for mode in peers.modes(WORKLOADS["cifar_m2"])]
    assert not any("fused" in mode.title for mode in peers.modes(WORKLOADS["cifar_m2_infer"]))
    assert {mode.peer for mode in peers.modes(WORKLOADS["cifar_m3_bf16"])} == {"chainrule", "torch"}


def test_chosen_peers():
    chosen = peers.modes(WORKLOADS["mlp"], ["jax", "torch/eager"])
    assert [mode.title for mode in chosen] == ["chainrule/jit", "torch/eager", "jax/jit", "jax/jit 1 thread"]
    assert [mode.title for mode in peers.modes(WORKLOADS["mlp"], ["none"])] == ["chainrule/jit"]
    assert "chainrule/eager" in [mode.title for mode in peers.modes(WORKLOADS["mlp"], ["chainrule/eager"])]


def test_a_contestant_answers_and_goes_on_after_an_error():
    calls = []

    def step():
        calls.append(1)
        if len(calls) == 6:
            raise MemoryError("too large")
        return 0.5

    steps = peers.Steps(step, float, 3)
    requests = [{"do": "build"}, {"do": "first", "count": 3, "limit": 9}, {"do": "steps", "count": 2},
                {"do": "steps", "count": 1}, {"do": "end"}, {"do": "steps", "count": 1}]  # fmt: skip
    out = io.StringIO()
    contestant.serve([json.dumps(request) for request in requests], out, lambda: (steps, {"version": "1"}))
    built, first, steps, failed = map(json.loads, out.getvalue().splitlines())
    assert built == {"version": "1"}
    assert (len(first["seconds"]), first["losses"], first["growth"] >= 0) == (3, [0.5] * 3, True)
    assert len(steps["seconds"]) == 2
    assert failed == {"error": "MemoryError: too large"}


def job(workload: Workload, *options: str) -> peers.Job:
    return peers.Job(workload, options, 1, draw(workload), batch_of(workload), dropout=False)


def losses(library: str, workload: Workload, *options: str, count: int = 3) -> list[float]:
    built = peers.peer(library).build(job(workload, *options))
    assert built.parameters == workload.parameters
    return [built.value(built.step()) for _ in range(count)]


SMALL = ("mlp", "cifar_m2", "cifar_m2_infer", "autoencoder")


@pytest.mark.oracle
@pytest.mark.parametrize("name", SMALL)
def test_our_steps_are_pytorchs(name):
    pytest.importorskip("torch")
    ours = losses("chainrule", WORKLOADS[name])
    assert ours == pytest.approx(losses("torch", WORKLOADS[name]), rel=1e-4)
    fused = ("fused", "channels_last") if WORKLOADS[name].convolutional else ("fused",)
    assert ours == pytest.approx(losses("torch", WORKLOADS[name], *fused), rel=1e-4)


@pytest.mark.oracle
@pytest.mark.parametrize("name", SMALL)
def test_our_steps_are_jaxs(name):
    pytest.importorskip("jax")
    ours = losses("chainrule", WORKLOADS[name])
    layouts = ((), ("channels_last",)) if WORKLOADS[name].convolutional else ((),)
    for layout in layouts:
        assert ours == pytest.approx(losses("jax", WORKLOADS[name], *layout), rel=1e-4)
