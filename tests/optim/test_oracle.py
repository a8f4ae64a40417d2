"""Every optimizer, schedule and clipping function against PyTorch: 100 steps in float64, eagerly and compiled."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import optim

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle

STEPS = 100
RNG = np.random.default_rng(7)
X, Y = RNG.normal(size=(20, 6)), RNG.normal(size=(20, 3))
WEIGHTS = [RNG.normal(size=shape) * 0.5 for shape in ((6, 5), (5,), (5, 3), (3,))]


def ours() -> list[cr.Tensor]:
    return [cr.asarray(w).requires_grad_() for w in WEIGHTS]


def theirs() -> list:
    return [torch.tensor(w, requires_grad=True) for w in WEIGHTS]


def loss_of(x, y, p, tanh):
    return ((tanh(x @ p[0] + p[1]) @ p[2] + p[3] - y) ** 2).mean()


CASES = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}),
    "sgd momentum dampening": ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3}),
    "sgd dampening without momentum": ("SGD", {"lr": 0.05, "dampening": 0.3}),
    "sgd nesterov": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "sgd weight decay": ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    "sgd all": ("SGD", {"lr": 0.02, "momentum": 0.8, "weight_decay": 0.1, "nesterov": True}),
    "sgd maximize": ("SGD", {"lr": 0.001, "momentum": 0.5, "weight_decay": 0.01, "maximize": True}),
    "adagrad": ("Adagrad", {"lr": 0.1}),
    "adagrad decay": ("Adagrad", {"lr": 0.1, "lr_decay": 0.01}),
    "adagrad all": ("Adagrad", {"lr": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.2, "eps": 1e-3}),
    "adagrad maximize": ("Adagrad", {"lr": 0.01, "maximize": True}),
    "rmsprop": ("RMSprop", {"lr": 0.01}),
    "rmsprop momentum": ("RMSprop", {"lr": 0.002, "momentum": 0.9, "alpha": 0.9}),
    "rmsprop centered": ("RMSprop", {"lr": 0.01, "centered": True}),
    "rmsprop all": ("RMSprop", {"lr": 0.005, "centered": True, "momentum": 0.5, "weight_decay": 0.1, "eps": 1e-4}),
    "rmsprop maximize": ("RMSprop", {"lr": 0.001, "maximize": True}),
    "adam": ("Adam", {"lr": 0.02}),
    "adam betas": ("Adam", {"lr": 0.02, "betas": (0.5, 0.9), "eps": 1e-4}),
    "adam weight decay": ("Adam", {"lr": 0.02, "weight_decay": 0.1}),
    "adam decoupled": ("Adam", {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "adam amsgrad": ("Adam", {"lr": 0.02, "amsgrad": True}),
    "adam maximize": ("Adam", {"lr": 0.002, "maximize": True}),
    "adamw": ("AdamW", {"lr": 0.02}),
    "adamw all": ("AdamW", {"lr": 0.02, "weight_decay": 0.3, "amsgrad": True, "betas": (0.8, 0.95)}),
    "adamw maximize": ("AdamW", {"lr": 0.002, "maximize": True}),
}


def our_step(p, optimizer, before_step=lambda p: None):
    x, y = cr.asarray(X), cr.asarray(Y)

    def step():
        loss = loss_of(x, y, p, cr.tanh)
        optimizer.zero_grad()
        loss.backward()
        before_step(p)
        optimizer.step()
        return loss

    return step


def their_step(p, optimizer, before_step=lambda p: None):
    x, y = torch.tensor(X), torch.tensor(Y)

    def step():
        loss = loss_of(x, y, p, torch.tanh)
        optimizer.zero_grad()
        loss.backward()
        before_step(p)
        optimizer.step()
        return loss

    return step


def check(p, q, where=""):
    for i, (ours_, theirs_) in enumerate(zip(p, q)):
        worst = np.abs(ours_.numpy() - theirs_.detach().numpy()).max()
        assert worst < 1e-10, f"parameter {i} differs by {worst} {where}"


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("case", CASES)
def test_trajectory(case, compiled):
    name, options = CASES[case]
    p, q = ours(), theirs()
    mine, other = getattr(optim, name)(p, **options), getattr(torch.optim, name)(q, **options)
    eager, reference = our_step(p, mine), their_step(q, other)
    step = cr.jit(eager) if compiled else eager
    losses = [(step().item(), reference().item()) for _ in range(STEPS)]
    check(p, q)
    np.testing.assert_allclose(*zip(*losses), rtol=1e-10)
    assert losses[0][0] != losses[-1][0]
    if compiled:
        assert len(step.variants) == 1


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("case", ["sgd momentum dampening", "adagrad", "rmsprop centered", "adam betas", "adamw"])
def test_trajectory_with_groups_and_settings_changed_on_the_way(case, compiled):
    name, options = CASES[case]
    p, q = ours(), theirs()

    def groups(w):
        return [{"params": w[:2], "lr": 0.01, "weight_decay": 0.05}, {"params": w[2:]}]

    mine, other = getattr(optim, name)(groups(p), **options), getattr(torch.optim, name)(groups(q), **options)
    eager, reference = our_step(p, mine), their_step(q, other)
    step = cr.jit(eager) if compiled else eager
    for i in range(STEPS):
        if i in (30, 60):
            for optimizer in (mine, other):
                optimizer.param_groups[0]["lr"] = 0.03 / i
                optimizer.param_groups[1]["lr"] *= 0.5
                optimizer.param_groups[0]["weight_decay"] = 0.2
                if "momentum" in options:
                    optimizer.param_groups[0]["momentum"] = 0.5
                if "betas" in options:
                    optimizer.param_groups[1]["betas"] = (0.7, 0.8)
        step(), reference()
        check(p, q, f"at step {i}")
    if compiled:
        assert len(step.variants) == 1


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, 0.5, float("inf")])
@pytest.mark.parametrize("max_norm", [0.1, 1e3])
def test_clipping_by_norm(norm_type, max_norm, compiled):
    p, q, norms = ours(), theirs(), []
    mine, other = optim.SGD(p, lr=0.1), torch.optim.SGD(q, lr=0.1)
    x, y = cr.asarray(X), cr.asarray(Y)

    def step():
        mine.zero_grad()
        loss_of(x, y, p, cr.tanh).backward()
        norm = optim.clip_grad_norm_(p, max_norm, norm_type)
        mine.step()
        return norm

    reference = their_step(
        q, other, lambda q: norms.append(torch.nn.utils.clip_grad_norm_(q, max_norm, norm_type).item())
    )
    step = cr.jit(step) if compiled else step
    found = []
    for _ in range(20):
        found.append(step().item())
        reference()
    np.testing.assert_allclose(found, norms, rtol=1e-10)
    check(p, q)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_clipping_by_value(compiled):
    p, q = ours(), theirs()
    eager = our_step(p, optim.SGD(p, lr=0.1), lambda p: optim.clip_grad_value_(p, 0.01))
    reference = their_step(q, torch.optim.SGD(q, lr=0.1), lambda q: torch.nn.utils.clip_grad_value_(q, 0.01))
    step = cr.jit(eager) if compiled else eager
    for _ in range(20):
        step(), reference()
    check(p, q)


SCHEDULES = {
    "step": ("StepLR", {"step_size": 7, "gamma": 0.5}),
    "multistep": ("MultiStepLR", {"milestones": [5, 6, 40], "gamma": 0.3}),
    "exponential": ("ExponentialLR", {"gamma": 0.97}),
    "cosine": ("CosineAnnealingLR", {"T_max": 100, "eta_min": 0.01}),
    "cosine that rises again": ("CosineAnnealingLR", {"T_max": 30}),
    "linear": ("LinearLR", {"start_factor": 0.1, "total_iters": 25}),
    "linear down": ("LinearLR", {"start_factor": 1.0, "end_factor": 0.2, "total_iters": 60}),
    "lambda": ("LambdaLR", {"lr_lambda": lambda t: 0.9**t + 0.01 * t}),
    "one cycle": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 101}),
    "one cycle linear": ("OneCycleLR", {"max_lr": [0.5, 0.2], "total_steps": 101, "anneal_strategy": "linear"}),
    "one cycle three phases": ("OneCycleLR", {"max_lr": 0.5, "epochs": 11, "steps_per_epoch": 10, "three_phase": True}),
    "one cycle early": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 130, "pct_start": 0.1, "div_factor": 10.0}),
}


def two_groups(package, weights, name):
    groups = [{"params": weights[:2], "lr": 0.3}, {"params": weights[2:]}]
    options = {"lr": 0.1, "momentum": 0.9} if name == "SGD" else {"lr": 0.1}
    return getattr(package, name)(groups, **options)


def settings(optimizer):
    return [
        [float(group["lr"]), float(group["betas"][0] if "betas" in group else group["momentum"])]
        for group in optimizer.param_groups
    ]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("case", SCHEDULES)
def test_schedule(case, optimizer, compiled):
    name, options = SCHEDULES[case]
    mine, other = two_groups(optim, ours(), optimizer), two_groups(torch.optim, theirs(), optimizer)
    schedule, reference = (
        getattr(optim, name)(mine, **options),
        getattr(torch.optim.lr_scheduler, name)(other, **options),
    )
    step = cr.jit(lambda: schedule.step()) if compiled else schedule.step
    other.step()
    for i in range(STEPS):
        np.testing.assert_allclose(settings(mine), settings(other), rtol=1e-11, atol=1e-16, err_msg=f"step {i}")
        np.testing.assert_allclose(
            schedule.lr_at(i), [row[0] for row in settings(mine)], rtol=1e-13, err_msg=f"step {i}"
        )
        step(), reference.step()
    if compiled:
        assert len(step.variants) == 1
    assert schedule.last_epoch == STEPS
    assert schedule.get_last_lr() == [row[0] for row in settings(mine)]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_sequence_of_schedules(compiled):
    mine, other = two_groups(optim, ours(), "SGD"), two_groups(torch.optim, theirs(), "SGD")

    def sequence(kinds, optimizer):
        parts = [
            kinds.LinearLR(optimizer, start_factor=0.1, total_iters=10),
            kinds.CosineAnnealingLR(optimizer, T_max=50),
            kinds.ExponentialLR(optimizer, gamma=0.9),
        ]
        return kinds.SequentialLR(optimizer, parts, milestones=[10, 60])

    schedule, reference = sequence(optim, mine), sequence(torch.optim.lr_scheduler, other)
    step = cr.jit(lambda: schedule.step()) if compiled else schedule.step
    other.step()
    for i in range(STEPS):
        np.testing.assert_allclose(settings(mine), settings(other), rtol=1e-11, atol=1e-16, err_msg=f"step {i}")
        step(), reference.step()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "max", "patience": 2},
        {"factor": 0.5, "patience": 0, "cooldown": 3},
        {"patience": 1, "threshold": 0.05, "threshold_mode": "abs", "min_lr": [0.02, 0.001]},
        {"patience": 0, "eps": 0.05},
    ],
)
def test_plateau(options):
    mine, other = two_groups(optim, ours(), "SGD"), two_groups(torch.optim, theirs(), "SGD")
    schedule = optim.ReduceLROnPlateau(mine, **options)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(other, **options)
    values = np.random.default_rng(1).uniform(0.4, 1.0, STEPS) * np.linspace(1, 0.5, STEPS)
    values[17] = np.nan
    for value in values:
        schedule.step(value), reference.step(value)
        np.testing.assert_allclose(settings(mine), settings(other), rtol=1e-13)
    assert settings(mine) != [[0.3, 0.9], [0.1, 0.9]]
    assert (schedule.best, schedule.num_bad_epochs) == (reference.best, reference.num_bad_epochs)


@pytest.mark.parametrize("case", ["sgd momentum dampening", "adagrad", "rmsprop all", "adam amsgrad", "adamw"])
def test_a_state_dict_of_pytorch_continues_its_run(case):
    name, options = CASES[case]
    p, q = ours(), theirs()
    mine, other = getattr(optim, name)(p, **options), getattr(torch.optim, name)(q, **options)
    step, reference = our_step(p, mine), their_step(q, other)
    for _ in range(5):
        reference()
    saved = other.state_dict()
    state = {
        index: {key: cr.asarray(value.numpy()) if value is not None else None for key, value in slots.items()}
        for index, slots in saved["state"].items()
    }
    mine.load_state_dict({"state": state, "param_groups": saved["param_groups"]})
    with cr.no_grad():
        for w, v in zip(p, q):
            w.assign_(cr.asarray(v.detach().numpy()))
    for _ in range(5):
        step(), reference()
    check(p, q)
