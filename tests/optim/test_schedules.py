"""Schedules: closed forms, several groups, state, compiled steps, errors; test_oracle compares with PyTorch."""

from __future__ import annotations

import copy
import math
import pickle
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import optim
from chainrule.core.errors import StateDictError, TraceError


def optimizer_of(*rates: float, **options: float) -> optim.SGD:
    return optim.SGD([{"params": cr.zeros(1).requires_grad_(), "lr": lr} for lr in rates], **options)


def sequence(optimizer: optim.Optimizer) -> optim.SequentialLR:
    parts = [optim.LinearLR(optimizer, 0.1, total_iters=3), optim.CosineAnnealingLR(optimizer, 6)]
    return optim.SequentialLR(optimizer, parts, milestones=[3])


MAKERS = {
    "step": lambda o: optim.StepLR(o, 3),
    "multistep": lambda o: optim.MultiStepLR(o, [2, 5]),
    "exponential": lambda o: optim.ExponentialLR(o, 0.9),
    "inverse time": lambda o: optim.InverseTimeLR(o, 0.5),
    "cosine": lambda o: optim.CosineAnnealingLR(o, 8),
    "linear": lambda o: optim.LinearLR(o, 0.1),
    "lambda": lambda o: optim.LambdaLR(o, halve),
    "one cycle": lambda o: optim.OneCycleLR(o, 0.5, 12),
    "sequence": sequence,
}


def halve(t):
    return 0.5**t


def test_inverse_time():
    optimizer = optimizer_of(1.0, 0.5)
    schedule = optim.InverseTimeLR(optimizer, gamma=0.25)
    for t in range(10):
        assert schedule.get_last_lr() == [1 / (1 + 0.25 * t), 0.5 / (1 + 0.25 * t)]
        schedule.step()


@pytest.mark.parametrize("maker", MAKERS)
def test_a_compiled_step_moves_the_rate_without_a_retrace(maker):
    runs = []
    for compiled in (False, True):
        w = cr.asarray([1.0, -2.0]).requires_grad_()
        optimizer = optim.SGD([w], lr=0.1, momentum=0.9)
        schedule = MAKERS[maker](optimizer)

        def step(x, w=w, optimizer=optimizer, schedule=schedule):
            optimizer.zero_grad()
            ((w * x) ** 2).sum().backward()
            optimizer.step()
            schedule.step()

        step = cr.jit(step) if compiled else step
        history = []
        for _ in range(10):
            step(cr.asarray([1.0, 0.5]))
            history.append((schedule.get_last_lr(), w.tolist()))
        runs.append(history)
    for eager, native in zip(*runs, strict=True):
        for a, b in zip(eager, native, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-6)
    assert len(step.variants) == 1


@pytest.mark.parametrize("maker", MAKERS)
def test_state_continues_bit_for_bit(maker):
    def run(stop: bool) -> list:
        optimizer = optimizer_of(0.3, 0.1, momentum=0.9)
        schedule = MAKERS[maker](optimizer)
        for n in range(9):
            if stop and n == 4:
                saved = schedule.state_dict(), optimizer.state_dict()
                optimizer = optimizer_of(0.9, 0.9, momentum=0.9)
                schedule = MAKERS[maker](optimizer)
                optimizer.load_state_dict(saved[1])
                schedule.load_state_dict(saved[0])
            schedule.step()
        return [group.plain() for group in optimizer.param_groups]

    assert run(stop=True) == run(stop=False)


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_copies_move_their_own_optimizer(maker, how):
    optimizer = optimizer_of(0.3, momentum=0.9)
    schedule = MAKERS[maker](optimizer)
    pair = (optimizer, schedule)
    other, copied = copy.deepcopy(pair) if how == "deepcopy" else pickle.loads(pickle.dumps(pair))
    for _ in range(4):
        copied.step()
    assert float(other.param_groups[0]["lr"]) != float(optimizer.param_groups[0]["lr"])
    for _ in range(4):
        schedule.step()
    assert copied.get_last_lr() == schedule.get_last_lr()


def test_lr_at_does_not_touch_the_optimizer():
    optimizer = optimizer_of(1.0)
    schedule = optim.ExponentialLR(optimizer, 0.5)
    assert [schedule.lr_at(t) for t in (3, 0)] == [[0.125], [1.0]]
    assert (schedule.last_epoch, schedule.get_last_lr()) == (0, [1.0])


def test_one_cycle_stays_at_its_end():
    optimizer = optimizer_of(1.0, momentum=0.9)
    schedule = optim.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    for _ in range(15):
        schedule.step()
    assert schedule.get_last_lr() == pytest.approx([1 / 25 / 1e4])
    assert float(optimizer.param_groups[0]["momentum"]) == pytest.approx(0.95)


def test_one_cycle_moves_beta1_and_leaves_beta2():
    optimizer = optim.Adam([cr.zeros(1).requires_grad_()], betas=(0.5, 0.75))
    schedule = optim.OneCycleLR(optimizer, max_lr=1.0, total_steps=10, pct_start=0.5)
    for _ in range(4):
        schedule.step()
    assert [float(b) for b in optimizer.param_groups[0]["betas"]] == [0.85, 0.75]


def test_a_sequence_with_one_cycle_keeps_momentum_while_others_run():
    optimizer = optimizer_of(1.0, momentum=0.3)
    warm = optim.LinearLR(optimizer, 0.5, total_iters=2)
    cycle = optim.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    schedule = optim.SequentialLR(optimizer, [warm, cycle], milestones=[2])
    optimizer.param_groups[0]["momentum"] = 0.3
    schedule.step()
    assert float(optimizer.param_groups[0]["momentum"]) == 0.3
    schedule.step()
    assert float(optimizer.param_groups[0]["momentum"]) == 0.95


def test_a_second_schedule_starts_from_the_same_base():
    optimizer = optimizer_of(1.0)
    optim.LinearLR(optimizer, 0.25)
    assert optim.ExponentialLR(optimizer, 0.5).lr_at(0) == [1.0]


def test_a_lambda_may_be_written_in_tensor_operations_for_compiled_steps():
    optimizer = optimizer_of(1.0)
    schedule = optim.LambdaLR(optimizer, lambda t: 1 / math.sqrt(1 + t))
    with pytest.raises(TraceError):
        cr.jit(lambda: schedule.step())()
    schedule.step()
    assert schedule.get_last_lr() == [1 / math.sqrt(2)]


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda o: optim.StepLR(3, 1), "StepLR.optimizer must be an optimizer; got int."),
        (lambda o: optim.StepLR(o, 0), "StepLR.step_size must be an integer >= 1; got 0."),
        (lambda o: optim.StepLR(o, 1, gamma=0), "StepLR.gamma must be a number > 0; got 0."),
        (lambda o: optim.MultiStepLR(o, [4, 4]), "MultiStepLR.milestones must increase; got [4, 4]."),
        (lambda o: optim.MultiStepLR(o, [2.5]), "MultiStepLR.milestones[0] must be an integer >= 1; got 2.5."),
        (lambda o: optim.InverseTimeLR(o, -1), "InverseTimeLR.gamma must be a number >= 0; got -1."),
        (lambda o: optim.LinearLR(o, 0), "LinearLR.start_factor must be a number in (0, 1]; got 0."),
        (
            lambda o: optim.LambdaLR(o, [halve, halve]),
            "LambdaLR.lr_lambda must be a function, or one per group (1); got 2 functions.",
        ),
        (lambda o: optim.LambdaLR(o, 3), "LambdaLR.lr_lambda must be a function, or one per group (1); got 3."),
        (
            lambda o: optim.SequentialLR(o, [optim.StepLR(o, 1)], [1]),
            "SequentialLR.milestones must be one fewer than the schedules; got 1 milestones for 1 schedules.",
        ),
        (
            lambda o: optim.SequentialLR(o, [optim.ReduceLROnPlateau(o)], []),
            "SequentialLR.schedulers[0] must be a schedule in closed form over the same optimizer; "
            "got ReduceLROnPlateau.",
        ),
        (
            lambda o: optim.SequentialLR(o, [optim.StepLR(optimizer_of(1.0), 1)], []),
            "SequentialLR.schedulers[0] must be a schedule in closed form over the same optimizer; "
            "got one of another optimizer (StepLR).",
        ),
        (
            lambda o: optim.OneCycleLR(o, 1.0),
            "OneCycleLR needs total_steps, or epochs and steps_per_epoch; got neither.",
        ),
        (
            lambda o: optim.OneCycleLR(o, 1.0, 10, anneal_strategy="cosine"),
            "OneCycleLR.anneal_strategy must be 'cos' or 'linear'; got 'cosine'.",
        ),
        (
            lambda o: optim.OneCycleLR(o, [1.0, 2.0], 10),
            "OneCycleLR.max_lr must be a number, or one per group (1); got 2 numbers.",
        ),
        (
            lambda o: optim.OneCycleLR(optim.Adagrad([cr.zeros(1)]), 1.0, 10),
            "OneCycleLR.cycle_momentum needs an optimizer with momentum or betas; Adagrad has neither: "
            "pass cycle_momentum=False.",
        ),
        (
            lambda o: optim.ReduceLROnPlateau(o, mode="least"),
            "ReduceLROnPlateau.mode must be 'min' or 'max'; got 'least'.",
        ),
        (
            lambda o: optim.ReduceLROnPlateau(o, factor=1.0),
            "ReduceLROnPlateau.factor must be a number in (0, 1); got 1.0.",
        ),
        (
            lambda o: optim.ReduceLROnPlateau(o, min_lr=[0.1, 0.1]),
            "ReduceLROnPlateau.min_lr must be a number, or one per group (1); got 2 numbers.",
        ),
    ],
)
def test_bad_settings(make, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        make(optimizer_of(1.0))


def test_a_group_added_after_the_schedule_is_an_error():
    optimizer = optimizer_of(1.0)
    schedule = optim.StepLR(optimizer, 1)
    optimizer.add_param_group({"params": cr.zeros(1)})
    text = "StepLR was made for 1 parameter groups; the optimizer has 2 now: make the schedule after add_param_group."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        schedule.step()


def test_states_that_do_not_fit_are_refused():
    schedule = optim.StepLR(optimizer_of(1.0), 1)
    with pytest.raises(StateDictError) as caught:
        schedule.load_state_dict({"last_epoch": 3, "base_lrs": [1.0, 2.0]})
    assert str(caught.value) == "StepLR.load_state_dict: it has base_lrs of 2 groups, the optimizer has 1."
    with pytest.raises(StateDictError) as caught:
        schedule.load_state_dict({"last_epoc": 3, "base_lrs": [1.0]})
    assert str(caught.value) == (
        "StepLR.load_state_dict: the state dict does not fit, nothing was loaded:\n"
        "  - 'last_epoch' is missing\n"
        "  - unknown 'last_epoc'; did you mean 'last_epoch'?"
    )
    plateau = optim.ReduceLROnPlateau(optimizer_of(1.0))
    with pytest.raises(StateDictError) as caught:
        plateau.load_state_dict({"best": 1.0, "num_bad": 0, "cooldown_counter": 0, "last_epoch": 0})
    assert str(caught.value) == (
        "ReduceLROnPlateau.load_state_dict: the state dict does not fit, nothing was loaded:\n"
        "  - 'num_bad_epochs' is missing\n"
        "  - unknown 'num_bad'; did you mean 'num_bad_epochs'?"
    )


def test_plateau_continues_from_its_state():
    losses = [1.0, 0.9, 0.95, 0.95, 0.95, 0.8, 0.8, 0.8, 0.8]

    def run(stop: bool) -> float:
        optimizer = optimizer_of(1.0)
        schedule = optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, cooldown=1)
        for n, loss in enumerate(losses):
            if stop and n == 3:
                saved = schedule.state_dict(), optimizer.state_dict()
                optimizer = optimizer_of(1.0)
                schedule = optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, cooldown=1)
                schedule.load_state_dict(saved[0]), optimizer.load_state_dict(saved[1])
            schedule.step(cr.asarray(loss) if n % 2 else loss)
        return float(optimizer.param_groups[0]["lr"])

    assert run(stop=True) == run(stop=False) == 0.25


def test_repr_shows_the_settings():
    optimizer = optimizer_of(1.0)
    assert repr(optim.StepLR(optimizer, 3)) == "StepLR(step_size=3, gamma=0.1)"
    assert repr(optim.ReduceLROnPlateau(optimizer)) == "ReduceLROnPlateau(mode='min', factor=0.1, patience=10)"


def test_changed_settings_of_a_schedule_retrace():
    optimizer = optimizer_of(1.0)
    schedule = optim.ExponentialLR(optimizer, 0.5)
    step = cr.jit(lambda: schedule.step())
    step()
    schedule.gamma = 0.25
    step()
    np.testing.assert_allclose(schedule.get_last_lr(), [1 / 16])
