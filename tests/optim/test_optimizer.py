"""The step that all optimizers share: dtypes, skipped parameters, penalties, whole compiled steps."""

from __future__ import annotations

import numpy as np
import pytest
from tests.optim.common import KINDS, leaf, message, quadratic

import chainrule as cr
from chainrule import optim
from chainrule.core.errors import ChainruleWarning


# ---------------------------------------------------------------------------------------------------- the step
def test_float32_and_bfloat16_parameters_keep_their_dtype():
    for kind in KINDS:
        parameters = [leaf(1.0, 2.0, dtype=dtype) for dtype in ("float32", "bfloat16", "float64")]
        optimizer = getattr(optim, kind)(parameters, lr=0.125, **KINDS[kind])
        sum((w.astype("float64") ** 2).sum() for w in parameters).backward()
        optimizer.step()
        assert [w.dtype for w in parameters] == [cr.float32, cr.bfloat16, cr.float64]
        np.testing.assert_allclose(parameters[0].numpy(), parameters[2].numpy(), rtol=1e-6)
        np.testing.assert_allclose(parameters[1].numpy().astype(float), parameters[2].numpy(), rtol=2e-2)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("kind", KINDS)
def test_parameters_without_gradient_are_left_alone(kind, compiled):
    used, unused = leaf(1.0), leaf(5.0)
    optimizer = getattr(optim, kind)([used, unused], lr=0.1, weight_decay=0.5, l1=1.0)
    step = cr.jit(quadratic(used, optimizer)) if compiled else quadratic(used, optimizer)
    step()
    assert used.item() != 1.0
    assert unused.item() == 5.0
    assert all(slot.numpy().max() == 0 for slot in optimizer.state[unused].values())


def test_a_step_without_any_gradient_says_so(monkeypatch):
    monkeypatch.setattr("chainrule.core.errors._noticed", set())
    optimizer = optim.SGD([leaf(1.0)])
    text = "SGD.step() found no gradient in any parameter and changed nothing; call loss.backward() first."
    with pytest.warns(ChainruleWarning, match=message(text)):
        optimizer.step()


def test_zero_grad_clears_or_fills_with_zeros():
    w = leaf(1.0)
    optimizer = optim.SGD([w], lr=1.0, weight_decay=0.5)
    (w * w).sum().backward()
    optimizer.zero_grad(set_to_none=False)
    assert w.grad.tolist() == [0.0]
    optimizer.step()
    assert w.tolist() == [0.5]  # weight decay alone
    optimizer.zero_grad()
    assert w.grad is None


def test_a_closure_computes_the_loss_with_gradients_on():
    w = leaf(3.0)
    optimizer = optim.SGD([w], lr=0.5)

    def closure():
        loss = (w * w).sum()
        loss.backward()
        return loss

    with cr.no_grad():
        assert optimizer.step(closure).item() == 9.0
    assert w.item() == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_parameters_keep_float32_slots(kind):
    """In bfloat16 0.999 is 1, so a mean square would only grow and the step size only fall."""
    found = []
    for p in (leaf(1.0, dtype="bfloat16"), leaf(1.0)):
        optimizer = getattr(optim, kind)([p], lr=2**-6, **KINDS[kind])
        for i in range(300):
            p.grad = cr.asarray([100.0 if i < 10 else 1.0], dtype=p.dtype)
            optimizer.step()
        assert all(slot.dtype is not cr.bfloat16 for slot in optimizer.state[p].values())
        found.append({name: slot.item() for name, slot in optimizer.state[p].items()})
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_a_whole_step_compiles_with_clipping_averaging_and_schedule():
    runs = []
    for compiled in (False, True):
        w = leaf(1.0, -3.0, 0.5)
        optimizer = optim.AdamW([w], lr=0.1)
        schedule = optim.OneCycleLR(optimizer, max_lr=0.2, total_steps=20)
        average = optim.ExponentialMovingAverage([w], decay=0.9)

        def step(w=w, optimizer=optimizer, schedule=schedule, average=average):
            optimizer.zero_grad()
            (w**4).sum().backward()
            norm = optim.clip_grad_norm_([w], 1.0)
            optimizer.step(), average.update(), schedule.step()
            return norm

        step = cr.jit(step) if compiled else step
        norms = [step().item() for _ in range(15)]
        runs.append((norms, w.tolist(), average.averages["0"].tolist(), schedule.get_last_lr()))
    for eager, native in zip(*runs, strict=True):
        np.testing.assert_allclose(native, eager, rtol=1e-5)
    assert len(step.variants) == 1


# ---------------------------------------------------------------------------------------------------- penalties
LASSO = {
    "sgd": ("SGD", {"lr": 0.2}),
    "sgd momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}),
    "sgd dampening": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "nesterov": False}),
    "sgd nesterov": ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True}),
    "adagrad": ("Adagrad", {"lr": 1.0, "lr_decay": 1e-4}),
    "rmsprop": ("RMSprop", {"lr": 0.005}),
    "rmsprop momentum": ("RMSprop", {"lr": 0.001, "momentum": 0.8}),
    "adam": ("Adam", {"lr": 0.02}),
    "adam amsgrad": ("Adam", {"lr": 0.05, "amsgrad": True}),
    "adamw": ("AdamW", {"lr": 0.02, "weight_decay": 0.0}),
}


@pytest.mark.parametrize("case", LASSO)
def test_l1_reaches_the_optimum_of_the_penalised_loss_with_exact_zeros(case):
    """At the optimum of f(w) + l1 |w| the gradient of f is -l1 sign(w), and within [-l1, l1] where w is zero."""
    kind, options = LASSO[case]
    rng = np.random.default_rng(0)
    x, true, l1 = rng.normal(size=(50, 8)), np.array([3.0, -2.0, 0, 0, 1.0, 0, 0, 0]), 0.5
    y = x @ true
    w = cr.asarray(rng.normal(size=8)).requires_grad_()
    optimizer = getattr(optim, kind)([w], l1=l1, **options)
    a, b = cr.asarray(x), cr.asarray(y)

    @cr.jit
    def step():
        optimizer.zero_grad()
        (((a @ w - b) ** 2).sum() * (0.5 / 50)).backward()
        optimizer.step()

    for _ in range(3000):
        step()
    gradient, zero = x.T @ (x @ w.numpy() - y) / 50, w.numpy() == 0
    assert zero.tolist() == [False, False, True, True, False, True, True, True]
    np.testing.assert_allclose(gradient[~zero], -l1 * np.sign(w.numpy()[~zero]), atol=1e-4)
    assert (np.abs(gradient[zero]) <= l1).all()


def test_the_proximal_step_is_the_soft_threshold_after_the_update():
    w = leaf(1.0, -1.0, 0.05, -0.05, 0.1)
    optimizer = optim.SGD([w], lr=0.5, l1=0.2)
    (w * 0).sum().backward()
    optimizer.step()
    np.testing.assert_allclose(w.numpy(), [0.9, -0.9, 0.0, 0.0, 0.0], rtol=1e-15)
    assert w.tolist()[2:] == [0.0, 0.0, 0.0]


def test_coupled_and_decoupled_weight_decay_of_sgd_differ_with_momentum():
    found = {}
    for decoupled in (False, True):
        w = leaf(1.0)
        optimizer = optim.SGD([w], lr=0.1, momentum=0.9, weight_decay=0.5, decoupled_weight_decay=decoupled)
        for _ in range(2):
            optimizer.zero_grad()
            (w * 2).sum().backward()
            optimizer.step()
        found[decoupled] = w.item()
    first = 1 - 0.1 * (2 + 0.5)
    assert found[False] == pytest.approx(first - 0.1 * (0.9 * 2.5 + 2 + 0.5 * first))
    first = 0.95 * 1 - 0.1 * 2
    assert found[True] == pytest.approx(0.95 * first - 0.1 * (0.9 * 2 + 2))
