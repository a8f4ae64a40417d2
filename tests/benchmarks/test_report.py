"""The report: ratios, shares, goals and distances of losses from known times; no line is wider than 100 columns."""

from __future__ import annotations

import io
import json
import math

import pytest
from rich.console import Console

from benchmarks import losses, report
from benchmarks.driver import Outcome
from benchmarks.workloads import GROUPS, USUAL, WORKLOADS

MLP = WORKLOADS["mlp"]
PEAKS = {"float32": 100e9, "bf16": None}


def outcomes():
    return [
        Outcome("chainrule", "jit", seconds=[1e-4, 2e-4, 9e-4], cold=1.25, cached=0.2, growth=3_000_000, version="0.1"),
        Outcome("torch", "eager", seconds=[9e-4, 9e-4], cached=0.01, growth=8_000_000, version="2.13"),
        Outcome("torch", "fused", seconds=[8e-4], cached=0.01, growth=9_000_000, version="2.13"),
        Outcome("jax", "jit", seconds=[3e-4], cold=0.5, cached=0.1, growth=20_000_000, version="0.10"),
        Outcome("tinygrad", "TinyJit", skipped="tinygrad's CPU device needs clang"),
    ]


def shown(printable) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(printable)
    return console.file.getvalue()


def test_ratios_are_of_medians_and_the_best_mode():
    row = report.row(MLP, outcomes(), PEAKS)
    assert (row.ours.mode, row.torch.mode, row.best.peer) == ("jit", "fused", "jax")
    assert row.ratio == pytest.approx(4.0)
    assert row.ratio_jax == row.ratio_best == pytest.approx(1.5)
    assert row.share == pytest.approx(13_754_368 / 2e-4 / 100e9)


@pytest.mark.parametrize("jax, reached", [(3e-4, False), (4e-4, True)])  # mlp: 4 over PyTorch and 2 over JAX
def test_a_goal_over_jax_counts(jax, reached):
    found = outcomes()
    found[3].seconds = [jax]
    assert report.row(MLP, found, PEAKS).reached is reached


def test_without_a_peer_there_is_no_verdict():
    row = report.row(MLP, outcomes()[:1], {"float32": None})
    assert (row.ratio, row.best, row.share, row.reached) == (None, None, None, None)


def test_without_chainrule_there_is_no_ratio():
    row = report.row(MLP, [Outcome("chainrule", "jit", skipped="broken", failed=True), *outcomes()[1:]], PEAKS)
    assert (row.ours, row.ratio, row.reached) == (None, None, None)
    assert "mlp" in shown(report.summary([row]))


def test_the_tables_fit_and_show_the_figures():
    rows = [report.row(WORKLOADS[name], outcomes(), PEAKS) for name in USUAL]
    text = shown(report.summary(rows))
    heavy = [report.row(WORKLOADS[name], outcomes()[:2], PEAKS) for group in GROUPS.values() for name in group]
    for table in (text, shown(report.summary(heavy))):
        assert max(map(len, table.splitlines())) <= 100
        assert "…" not in table
    assert "JAX" not in shown(report.summary(heavy))
    line = next(line for line in text.splitlines() if line.startswith("mlp "))
    assert " ".join(line.split()) == "mlp 0.200 0.800 4.00 4.00 0.300 1.50 69 % 1.25 0.200 3.00 9.00"
    text = shown(report.details(MLP, outcomes(), PEAKS))
    assert "mlp: 52,650 parameters, batch 64, 13.8 MFLOP a step" in text
    line = next(line for line in text.splitlines() if "fused" in line)
    assert " ".join(line.split()) == "PyTorch fused 0.800 0.800 4.00 17 % - 0.010 9.00 -"


def test_reasons_are_shared_and_printed_as_they_are():
    console = Console(file=io.StringIO(), width=100)
    skipped = [Outcome("torch", mode, skipped="needs [a] compiler") for mode in ("compile", "compile+malloc")]
    report.print_skipped(console, [*skipped, Outcome("jax", "jit", skipped="ValueError: x", failed=True)])
    assert console.file.getvalue() == (
        "  skipped: torch/compile, torch/compile+malloc: needs [a] compiler\n  failed: jax/jit: ValueError: x\n"
    )


@pytest.mark.parametrize("value, text", [(0.0444, "0.044"), (3.456, "3.46"), (45.67, "45.7"), (394.2, "394")])
def test_three_digits(value, text):
    assert report.digits(value) == text


def with_losses(**losses):
    return [Outcome(*title.split("_"), losses=values) for title, values in losses.items()]


def test_losses_that_agree():
    found = with_losses(chainrule_jit=[2.0, 1.0001], torch_eager=[2.0, 1.0], jax_jit=[2.0, 0.9999, 7.0])
    assert losses.differing(found, 1e-4) == {}


def test_losses_that_differ_are_named_with_their_distance():
    found = with_losses(chainrule_jit=[2.0, 1.1], torch_eager=[2.0, 1.0], jax_jit=[math.nan, 1.0])
    far = losses.differing(found, 1e-4)
    assert far["chainrule/jit"] == pytest.approx(0.05)
    assert math.isnan(far["jax/jit"])
    assert list(far) == ["chainrule/jit", "jax/jit"]


def test_rounding_that_pytorch_has_too_is_allowed():
    found = with_losses(chainrule_jit=[2.0, 1.03], torch_eager=[2.0, 1.0], torch_fused=[2.0, 1.01])
    assert losses.differing(found, 1e-4) == {}
    found[0].losses[1] = 1.05
    assert list(losses.differing(found, 1e-4)) == ["chainrule/jit"]


def test_modes_of_pytorch_that_are_far_apart_allow_nothing():
    found = with_losses(chainrule_jit=[2.0, 1.0], torch_eager=[2.0, 1.0], torch_fused=[2.0, 1.5])
    assert list(losses.differing(found, 1e-4)) == ["torch/fused"]


@pytest.mark.parametrize(
    "ours, far",
    [
        ([4.0, 3.041, 2.0, 1.0, 9.0], {}),  # the fifth is not compared
        ([4.001, 3.0, 2.0, 1.0], {"chainrule/jit": 0.001 / 4}),  # nothing was learnt before the first
        ([4.0, 3.11, 2.0, 1.0], {"chainrule/jit": 0.11 / 4}),  # a tenth of the way from 4 to 3, and 1e-4 of 3
        ([4.0, 3.0, 2.0, 1.29], {}),
        ([4.0, 4.0, 4.0, 4.0], {"chainrule/jit": 3 / 4}),
        ([4.0, math.nan, 2.0, 1.0], {"chainrule/jit": math.nan}),
    ],
)
def test_losses_of_deep_networks_may_be_off_by_a_part_of_what_was_learnt(ours, far):
    found = with_losses(chainrule_jit=ours, torch_fused=[4.0, 3.0, 2.0, 1.0, 0.5])
    assert losses.apart(found, 1e-4) == pytest.approx(far, nan_ok=True)
    assert losses.apart([], 1e-4) == {}


def test_losses_near_one_of_pytorchs_modes_are_near_enough():
    found = with_losses(torch_fused=[4.0, 3.0], chainrule_jit=[4.0, 3.5], torch_compile=[4.0, 3.54], jax_jit=[4.0, 2.5])
    assert losses.apart(found, 1e-4) == pytest.approx({"jax/jit": 0.5 / 4})
    assert losses.apart(found[1::2], 1e-4) == pytest.approx({"jax/jit": 1 / 4})  # the first is the measure


def test_deep_losses_may_be_as_far_apart_as_pytorchs_modes():
    found = with_losses(torch_fused=[4.0, 3.9, 3.95], torch_compile=[4.0, 3.98, 3.95], chainrule_jit=[4.0, 3.83, 3.88])
    assert losses.apart(found, 1e-4) == {}  # 0.08 after the second step
    found[2].losses[1] = 3.81
    assert losses.apart(found, 1e-4) == pytest.approx({"chainrule/jit": 0.09 / 4})
    found[2].losses[:2] = [4.01, 3.9]  # before the first step nothing is apart
    assert losses.apart(found, 1e-4) == pytest.approx({"chainrule/jit": 0.07 / 4})


def test_json_is_json():
    row = report.row(MLP, outcomes(), PEAKS)
    found = json.loads(json.dumps(report.to_json([(row, outcomes())], threads=2)))
    (workload,) = found["workloads"]
    assert (found["threads"], workload["best_torch"], workload["best_peer"]) == (2, "torch/fused", "jax/jit")
    assert workload["ratio_torch"] == pytest.approx(4.0)
    assert workload["contestants"][0]["median"] == pytest.approx(2e-4)
    assert (workload["contestants"][0]["steps"], workload["contestants"][4]["fastest"]) == (3, None)
