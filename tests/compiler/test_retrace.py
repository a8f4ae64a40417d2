"""What selects a variant: shapes, dtypes, modes, and every number that the trace read; never cells. And the reasons."""

from __future__ import annotations

import argparse
import functools
import math
import os
import re
import subprocess
import sys
import types

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import ChainruleError


def f64(value):
    return cr.asarray(value, dtype=cr.float64)


def traces(step):
    return len(step.retraces) + 1


# ---------------------------------------------------------------------------------------------------- arguments
def test_shapes_and_dtypes_select_and_both_variants_stay():
    step = cr.jit(lambda x: x * 2)
    step(cr.ones((32, 4)))
    step(cr.ones((17, 4)))
    step(f64(np.ones((32, 4))))
    assert step.retraces == [
        "argument x was f32[32,4], now f32[17,4]",
        "argument x was f32[17,4], now f64[32,4]",
    ]
    step(cr.ones((32, 4)))
    step(cr.ones((17, 4)))
    assert (len(step.variants), traces(step)) == (3, 3)


def test_numbers_strings_and_flags_among_the_arguments():
    def step(x, scale, mode="sum", negate=False):
        y = x * scale
        y = y.sum() if mode == "sum" else y.mean()
        return -y if negate else y

    step = cr.jit(step)
    x = f64([1.0, 3.0])
    assert step(x, 2).item() == 8.0
    assert step(x, 3).item() == 12.0
    assert step(x, 3, mode="mean").item() == 6.0
    assert step(x, 3, mode="mean", negate=True).item() == -6.0
    assert step(x, 2).item() == 8.0
    assert step.retraces[0] == "argument scale was 2, now 3"
    assert step.retraces[1] == "the arguments have another structure"
    assert traces(step) == 4


def test_an_integer_is_not_the_equal_float():
    step = cr.jit(lambda x, n: x // n if isinstance(n, int) else x / n)
    assert step(cr.asarray(7), 2).item() == 3
    assert step(cr.asarray(7), 2.0).item() == 3.5
    assert step(cr.asarray(7), True).item() == 7


def test_nan_and_minus_zero_as_arguments():
    step = cr.jit(lambda x, n: cr.copysign(x, n))
    assert step(f64(2.0), 0.0).item() == 2.0
    assert step(f64(2.0), -0.0).item() == -2.0
    step(f64(2.0), math.nan)
    step(f64(2.0), float("nan"))
    assert traces(step) == 3


def test_another_structure():
    step = cr.jit(lambda xs: sum(xs))
    step([f64(1.0)])
    assert step([f64(1.0), f64(2.0)]).item() == 3.0
    assert step.retraces == ["the arguments have another structure"]


def test_requires_grad_and_the_gradient_mode_select():
    step = cr.jit(lambda x: x * x)
    x = f64(3.0)
    assert step(x).requires_grad is False
    assert step(x.requires_grad_()).requires_grad is True
    with cr.no_grad():
        assert step(x).requires_grad is False
    assert step(x).requires_grad is True
    assert step.retraces == [
        "argument x was f64[], now f64[] that requires a gradient",
        "gradients were on, now off",
    ]


class Settings:
    """Numbers on an object."""

    kind = "plain"

    def __init__(self):
        self.rate = 2.0
        self.inner = types.SimpleNamespace(offset=1.0)
        self.unrelated = 0

    def scaled(self, x):
        return x * self.rate

    @property
    def doubled(self):
        return self.rate * 2


def test_an_object_among_the_arguments():
    def step(x, settings):
        return settings.scaled(x) + settings.inner.offset if settings.kind == "plain" else x

    step, settings, x = cr.jit(step), Settings(), f64(1.0)
    assert step(x, settings).item() == 3.0
    settings.rate = 5.0
    assert step(x, settings).item() == 6.0
    settings.inner.offset = 10.0
    assert step(x, settings).item() == 15.0
    settings.kind = "other"
    assert step(x, settings).item() == 1.0
    assert step.retraces == [
        "settings.rate was 2.0, now 5.0",
        "settings.inner.offset was 1.0, now 10.0",
        "settings.kind was 'plain', now 'other'",
    ]
    settings.unrelated = 3
    step(x, settings)
    assert traces(step) == 4
    assert step(x, Settings()).item() == 3.0
    assert step.retraces[-1] == "argument settings was another object, now another object"


@pytest.mark.parametrize("kind", [types.SimpleNamespace, argparse.Namespace])
def test_settings_that_a_helper_reads(kind):
    def scaled(x, options):
        return x * options.rate

    step, options = cr.jit(lambda x, o: scaled(x, o)), kind(rate=2.0)
    assert step(f64(1.0), options).item() == 2.0
    options.rate = 7.0
    assert step(f64(1.0), options).item() == 7.0


# ---------------------------------------------------------------------------------------------------- closures, globals
SCALE = 2.0
TABLE = {"offset": 1.0}
POWERS = [1, 2]


def helper(x):
    return x * SCALE + TABLE["offset"]


def test_globals_are_followed_into_functions(monkeypatch):
    step, here = cr.jit(lambda x: helper(x) + 0), sys.modules[__name__]
    assert step(f64(3.0)).item() == 7.0
    monkeypatch.setattr(here, "SCALE", 10.0)
    assert step(f64(3.0)).item() == 31.0
    monkeypatch.setitem(TABLE, "offset", 0.5)
    assert step(f64(3.0)).item() == 30.5
    monkeypatch.setitem(TABLE, "more", 1)
    assert step(f64(3.0)).item() == 30.5
    monkeypatch.setattr(here, "helper", lambda x: x)
    assert step(f64(3.0)).item() == 3.0
    assert step.retraces == [
        "SCALE was 2.0, now 10.0",
        "TABLE['offset'] was 1.0, now 0.5",
        "len(TABLE) was 1, now 2",
        "helper is another object",
    ]


def test_lists(monkeypatch):
    def step(x):
        return sum(x**p for p in POWERS)

    step = cr.jit(step)
    assert step(f64(3.0)).item() == 12.0
    monkeypatch.setattr(sys.modules[__name__], "POWERS", powers := [1, 3])
    assert step(f64(3.0)).item() == 30.0
    powers.append(0)
    assert step(f64(3.0)).item() == 31.0
    assert step.retraces == ["POWERS[1] was 2, now 3", "len(POWERS) was 2, now 3"]


def test_closures():
    scale = 2.0

    def step(x):
        return x * scale

    step = cr.jit(step)
    assert step(f64(3.0)).item() == 6.0
    scale = 5.0
    assert step(f64(3.0)).item() == 15.0
    assert step.retraces == ["scale was 2.0, now 5.0"]


def test_default_arguments():
    def step(x, scale=2.0, *, shift=1.0):
        return x * scale + shift

    jitted = cr.jit(step)
    assert jitted(f64(3.0)).item() == 7.0
    step.__defaults__ = (5.0,)
    assert jitted(f64(3.0)).item() == 16.0
    step.__kwdefaults__ = {"shift": 0.0}
    assert jitted(f64(3.0)).item() == 15.0
    assert jitted.retraces == ["scale was 2.0, now 5.0", "shift was 1.0, now 0.0"]


def test_another_tensor_under_the_same_name():
    w = f64(2.0)
    step = cr.jit(lambda x: x * w)
    assert step(f64(3.0)).item() == 6.0
    w.assign_(f64(10.0))
    assert step(f64(3.0)).item() == 30.0
    assert traces(step) == 1
    w = f64(4.0)
    assert step(f64(3.0)).item() == 12.0
    assert step.retraces == ["w is another object"]


def test_arrays():
    """A NumPy array is frozen: another one re-traces, and so does another content of a small one."""
    array = np.array([1.0, 2.0])
    step = cr.jit(lambda x: x * array)
    assert step(f64(3.0)).tolist() == [3.0, 6.0]
    array = np.array([10.0, 20.0])
    assert step(f64(3.0)).tolist() == [30.0, 60.0]
    array[0] = 0.0
    assert step(f64(3.0)).tolist() == [0.0, 60.0]


def test_a_function_behind_a_decorator():
    factor = 2.0

    def decorate(function):
        @functools.wraps(function)
        def wrapper(x):
            return function(x) * factor

        return wrapper

    step = cr.jit(decorate(lambda x: x + SCALE))
    assert step(f64(1.0)).item() == 6.0
    factor = 10.0
    assert step(f64(1.0)).item() == 30.0


# ---------------------------------------------------------------------------------------------------- objects
class Learner:
    """Methods call methods; a counter changes with every step and is not read by it."""

    def __init__(self):
        self.settings = Settings()
        self.step_count = 0
        self.step = 0
        self.weight = f64(1.0).requires_grad_()
        self.optimizer = cr.optim.SGD([self.weight], lr=0.1)

    def scale(self, x):
        return x * self.settings.rate * self.settings.doubled

    @cr.jit
    def train(self, x):
        loss = (self.scale(x) * self.weight).sum()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss


def test_attributes_behind_methods_and_properties():
    learner = Learner()
    assert learner.train(f64(1.0)).item() == 8.0
    learner.settings.rate = 1.0
    before = learner.weight.item()
    assert learner.train(f64(1.0)).item() == 2.0 * before
    assert traces(learner.train) == 2


def test_a_counter_that_the_step_does_not_read_never_retraces():
    """`optimizer.step()` names `step`, but on another object than the counter."""
    learner = Learner()
    for number in range(5):
        learner.train(f64(1.0))
        learner.step = learner.step_count = number
    assert traces(learner.train) == 1


def test_modules_retrace_when_their_structure_changes_and_not_when_their_values_do():
    model = cr.nn.Sequential(cr.nn.Linear(3, 4), cr.nn.Dropout(0.5), cr.nn.Linear(4, 2))
    step, x = cr.jit(lambda x: model(x)), cr.ones((2, 3))
    step(x)
    model[0].weight.requires_grad_(False)
    step(x)
    model.eval()
    step(x)
    model.train()
    step(x)
    assert traces(step) == 3  # back in train mode, the graph of before fits again
    model[1].p = 0.2
    with cr.no_grad():
        model[2].weight.assign_(cr.zeros((2, 4)))
    step(x)
    assert traces(step) == 3
    model[2] = cr.nn.Linear(4, 5)
    assert step(x).shape == (2, 5)
    assert step.retraces[-1] == (
        "model changed: a part was added, replaced, frozen, or switched between train and eval"
    )


def test_the_learning_rate_is_a_cell():
    w = cr.nn.Parameter(cr.ones(2))
    optimizer = cr.optim.SGD([w], lr=0.1, momentum=0.9)

    @cr.jit
    def step(x):
        optimizer.zero_grad()
        ((w - x) ** 2).sum().backward()
        optimizer.step()

    for rate in (0.1, 0.05, 0.01):
        optimizer.param_groups[0]["lr"] = rate
        step(cr.zeros(2))
    assert traces(step) == 1


def test_dropout_rates_are_cells():
    layer = cr.nn.Dropout(0.5)
    step = cr.jit(lambda x: layer(x))
    x = cr.ones(1000)
    dropped = []
    for p in (0.5, 0.1, 0.9):
        layer.p = p
        dropped.append((step(x).numpy() == 0).mean())
    assert traces(step) == 1
    assert dropped == pytest.approx([0.5, 0.1, 0.9], abs=0.06)


def test_variants_come_back():
    """Switching between train and eval keeps both graphs; a changed number replaces the old one."""
    model = cr.nn.Sequential(cr.nn.Dropout(0.5))
    step = cr.jit(lambda x: model(x))
    for _ in range(3):
        model.train()
        step(cr.ones(3))
        model.eval()
        step(cr.ones(3))
    assert len(step.variants) <= 2


# ---------------------------------------------------------------------------------------------------- what is shown
def test_retraces_are_shown(capsys):
    step = cr.jit(lambda x: x + 1)
    with cr.show("retrace"):
        step(cr.ones(2))
        step(cr.ones(3))
    assert capsys.readouterr().err == "retrace: <lambda>, trace 2: argument x was f32[2], now f32[3]\n"
    step(cr.ones(4))
    assert capsys.readouterr().err == ""


def test_graphs_are_shown(capsys):
    step = cr.jit(lambda x: x + 1)
    with cr.show("graph"):
        step(cr.ones(2))
        step(cr.ones(2))
    assert re.fullmatch(
        r"<lambda>\(x: f32\[2\]\) -> \(%0: f32\[2\]\)\n  %0: f32\[2\] = add\(x, 1\.0\) +# test_retrace\.py:\d+\n",
        capsys.readouterr().err,
    )


def test_the_environment_variable(tmp_path):
    program = "import chainrule as cr\nf = cr.jit(lambda x: x * 2)\nf(cr.ones(2)), f(cr.ones(3))\n"
    environment = {**os.environ, "CHAINRULE_SHOW": "retrace"}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert run.stderr == "retrace: <lambda>, trace 2: argument x was f32[2], now f32[3]\n"
    environment["CHAINRULE_SHOW"] = "graph,retraces"
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == (
        "chainrule.core.errors.ChainruleError: "
        "CHAINRULE_SHOW takes graph, passes, kernels, llvm, asm, retrace; got 'retraces'; did you mean 'retrace'?"
    )


def test_a_wrong_word_is_an_error():
    with pytest.raises(ChainruleError) as error, cr.show("retrase"):
        pass
    assert error.value.message == (
        "CHAINRULE_SHOW takes graph, passes, kernels, llvm, asm, retrace; got 'retrase'; did you mean 'retrace'?"
    )
