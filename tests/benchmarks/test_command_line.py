"""`python -m benchmarks`: what it takes, what it refuses, what it prints."""

from __future__ import annotations

import json

import pytest

from benchmarks import __main__ as command
from benchmarks.batches import MissingDataError
from benchmarks.driver import Outcome


@pytest.fixture
def measured(monkeypatch):
    """Replace the measurement by known outcomes; the calls are noted."""
    calls = []

    def run(workload, settings, say):
        calls.append((workload.name, settings))
        if workload.data == "cifar10":
            raise MissingDataError("no CIFAR-10: set CHAINRULE_DATA")
        losses = [2.0, 1.0]
        return [Outcome("chainrule", "jit", seconds=[1e-4], version="0.1", losses=losses),
                Outcome("torch", "eager", seconds=[3e-4], version="2.13", losses=losses)]  # fmt: skip

    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(command.peak, "measured", lambda threads: {"float32": 1e11, "bf16": None})
    return calls


def test_only_runs_what_is_named_in_that_order(measured, capsys):
    assert command.main(["--only", "mlp_wide", "mlp", "--threads", "1", "--rounds", "3"]) == 0
    assert [name for name, _ in measured] == ["mlp_wide", "mlp"]
    assert (measured[0][1].threads, measured[0][1].rounds, measured[0][1].dropout) == (1, 3, True)
    out = capsys.readouterr().out
    assert "3.00" in out
    assert "1 thread, peak 100 GFLOP/s float32" in out


def test_groups_and_patterns_stand_for_workloads(measured, capsys):
    from benchmarks.workloads import GROUPS

    assert command.main(["--only", "lenet5", "architectures", "vgg1?_224", "lenet5*_infer", "--quick"]) == 0
    names = [name for name, _ in measured]
    assert names[0] == "lenet5"
    assert sorted(names) == sorted(GROUPS["architectures"])  # each once
    assert "architectures, training: 2 of 28 have a ratio" in capsys.readouterr().out


def test_the_usual_run_has_no_group(measured, monkeypatch):
    monkeypatch.setattr(command.commands, "run", lambda *settings: [command.commands.Command("", None, None)])
    monkeypatch.setattr(command.commands, "table", lambda commanded: "")
    command.main([])
    assert [name for name, _ in measured][-3:] == ["resnet18", "resnet18_bf16", "resnet18_infer"]


@pytest.mark.parametrize(
    "arguments, seconds, first, chosen, once",
    [
        (["lenet5"], 30.0, 5.0, None, False),
        (["lenet5", "--quick"], 4.0, 1.0, ["torch/fused+malloc", "torch/channels_last+malloc"], True),
        (["lenet5_infer", "--quick"], 4.0, 1.0, ["torch/eager+malloc", "torch/channels_last+malloc"], True),
        (["lenet5", "--quick", "--seconds", "7", "--peers", "torch"], 7.0, 1.0, ["torch"], True),
        (["mlp"], None, 60.0, None, False),
    ],
)
def test_heavy_workloads_and_quick_runs_take_fewer_steps(measured, arguments, seconds, first, chosen, once):
    command.main(["--only", *arguments])
    ((_, settings),) = measured
    found = (settings.seconds, settings.first, settings.chosen, settings.once)
    assert found == (seconds, first, chosen, once)


def test_missing_data_skip_a_workload(measured, capsys):
    assert command.main(["--only", "cifar_m2"]) == 0
    assert "skipped: chainrule/jit: no CIFAR-10: set CHAINRULE_DATA" in capsys.readouterr().out


def test_json_is_all_that_is_printed(measured, capsys):
    assert command.main(["--only", "mlp", "cifar_m1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [workload["name"] for workload in found["workloads"]] == ["mlp", "cifar_m1"]
    assert found["workloads"][0]["ratio_torch"] == pytest.approx(3.0)
    assert found["mnist_command"] is None


def test_check_compares_losses(measured, capsys):
    assert command.main(["--only", "mlp", "cifar_m1", "--check"]) == 0
    assert (measured[0][1].rounds, measured[0][1].dropout) == (0, False)
    assert capsys.readouterr().out == (
        "mlp: 2 contestants, 2 losses, within 0.0001: agree\n"
        "cifar_m1: 0 contestants, 0 losses, within 0.0001: nothing to compare\n"
        "  skipped: chainrule/jit: no CIFAR-10: set CHAINRULE_DATA\n"
    )


def test_a_failure_of_ours_is_the_exit_code(monkeypatch, measured):
    broken = [Outcome("chainrule", "jit", skipped="MemoryError", failed=True), Outcome("torch", "eager", seconds=[1.0])]
    monkeypatch.setattr(command, "run", lambda workload, settings, say: broken)
    assert command.main(["--only", "mlp"]) == 1


def test_losses_that_differ_are_the_exit_code(monkeypatch, measured, capsys):
    far = [Outcome("chainrule", "jit", losses=[2.5]), Outcome("torch", "eager", losses=[2.0])]
    monkeypatch.setattr(command, "run", lambda workload, settings, say: far)
    assert command.main(["--only", "mlp", "--check"]) == 1
    assert "1 differ\n  chainrule/jit: 2.50e-01 from the measure" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--only", "cifar_m4"], "there is no workload 'cifar_m4'. Did you mean cifar_m"),
        (["--only", "zebra"], "there is no workload 'zebra'. There are mlp, mlp_loop, cifar_m2, cifar_m2_infer, "),
        (["--peers", "troch"], "there is no peer 'troch'. Did you mean torch?"),
        (["--only", "architecture"], "there is no workload 'architecture'. Did you mean architectures?"),
        (["--seconds", "0"], "--seconds must be above 0; got 0.0."),
        (["--patience", "-1"], "--patience must be above 0; got -1.0."),
        (["--threads", "0"], "--threads must be from 1 to "),
        (["--rounds", "0"], "--rounds must be at least 1 and --turn above 0; got 0 and 0.25."),
    ],
)
def test_what_is_wrong_is_named(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
