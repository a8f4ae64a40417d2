"""What all optimizers share: groups, cells, slots, penalties, skipped parameters, errors, copies."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import optim
from chainrule.core.errors import ChainruleWarning, DTypeError, GradientError, ShapeError, TraceError

KINDS = {
    "SGD": {"momentum": 0.9, "dampening": 0.1},
    "Adagrad": {"lr_decay": 0.1},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "Adam": {"amsgrad": True},
    "AdamW": {},
}


def leaf(*values: float, dtype: str = "float64") -> cr.Tensor:
    return cr.asarray(list(values), dtype=dtype).requires_grad_()


def quadratic(w: cr.Tensor, optimizer: optim.Optimizer):
    def step():
        loss = (w * w).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def message(text: str) -> str:
    return f"^{re.escape(text)}$"


# ---------------------------------------------------------------------------------------------------- cells
@pytest.mark.parametrize("kind", KINDS)
def test_settings_change_the_next_compiled_step_without_a_retrace(kind):
    runs = []
    for compiled in (False, True):
        w = leaf(1.0, -3.0)
        optimizer = getattr(optim, kind)([w], lr=0.1, weight_decay=0.1, l1=0.01, **KINDS[kind])
        step = cr.jit(quadratic(w, optimizer)) if compiled else quadratic(w, optimizer)
        step()
        group = optimizer.param_groups[0]
        for name in group:
            if name not in ("params", "betas") and not isinstance(group[name], bool):
                group[name] = float(group[name]) * 0.5
        if "betas" in group:
            group["betas"] = (0.5, 0.6)
        step(), step()
        runs.append(w.tolist())
    assert len(step.variants) == 1
    assert runs[0] == runs[1]


def test_a_changed_flag_retraces_and_its_slots_appear():
    w = leaf(1.0, -3.0)
    optimizer = optim.Adam([w], lr=0.1)
    step = cr.jit(quadratic(w, optimizer))
    step()
    optimizer.param_groups[0]["amsgrad"] = True
    step()
    assert len(step.retraces) == 1
    assert optimizer.state[w]["max_exp_avg_sq"].tolist() == optimizer.state[w]["exp_avg_sq"].tolist()


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_momentum_that_starts_at_zero_can_be_raised_later(compiled):
    w, v = leaf(1.0), leaf(1.0)
    late, early = optim.SGD([w], lr=0.1), optim.SGD([v], lr=0.1, momentum=0.5)
    early.param_groups[0]["momentum"] = 0.0
    steps = [quadratic(w, late), quadratic(v, early)]
    steps = [cr.jit(step) for step in steps] if compiled else steps
    for i in range(4):
        if i == 2:
            late.param_groups[0]["momentum"] = early.param_groups[0]["momentum"] = 0.9
        for step in steps:
            step()
    # The early buffer holds the gradient of step 1; the late one starts from zero, as a first step.
    assert w.item() == pytest.approx(1.0 * 0.8 * 0.8 * 0.8 - 0.1 * (2 * 0.512 + 0.9 * 2 * 0.64))
    assert v.item() < w.item()


def test_a_number_read_from_a_group_does_not_change_with_its_cell():
    group = optim.SGD([leaf(1.0)], lr=0.5).param_groups[0]
    before = group["lr"]
    group["lr"] = 0.25
    assert (float(before), float(group["lr"])) == (0.5, 0.25)
    group["lr"] = before
    group["lr"] *= 0.1
    assert float(group["lr"]) == 0.05
    assert group["lr"] == 0.05
    assert f"{group['lr']:.3f}" == "0.050"


def test_a_group_is_used_like_a_dictionary():
    w = leaf(1.0)
    group = optim.Adam([w], lr=0.5, amsgrad=True).param_groups[0]
    assert group["params"] == (w,)
    assert group["amsgrad"] is True
    assert "betas" in group
    assert "momentum" not in group
    assert group.get("momentum", 7) == 7
    assert list(group) == group.keys()
    assert len(group) == len(group.items()) == len(group.values())
    assert [float(b) for b in group["betas"]] == [0.9, 0.999]
    assert repr(group) == (
        "ParameterGroup(1 parameters, 1 numbers, lr=0.5, betas=(0.9, 0.999), eps=1e-08, amsgrad=True, "
        "weight_decay=0.0, decoupled_weight_decay=False, l1=0.0, maximize=False)"
    )


def test_settings_may_be_assigned_inside_a_compiled_step():
    w = leaf(1.0)
    optimizer = optim.SGD([w], lr=0.1, momentum=0.5)

    @cr.jit
    def step(lr):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.param_groups[0]["momentum"] *= 0.5
        return quadratic(w, optimizer)()

    step(cr.asarray(0.25)), step(cr.asarray(0.125))
    assert len(step.variants) == 1
    assert float(optimizer.param_groups[0]["lr"]) == 0.125
    assert float(optimizer.param_groups[0]["momentum"]) == 0.125
    assert w.item() == pytest.approx(0.5 - 0.125 * (1.0 + 0.125 * 2))


def test_inside_a_trace_only_the_shape_of_a_setting_can_be_checked():
    optimizer = optim.SGD([leaf(1.0)], lr=0.1)

    @cr.jit
    def step(lr):
        optimizer.param_groups[0]["lr"] = lr

    with pytest.raises(ShapeError, match=message("SGD.lr must be a number >= 0; got a tensor of shape (2,).")):
        step(cr.ones(2))


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
    assert runs[0] == runs[1]
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


# ---------------------------------------------------------------------------------------------------- groups
def test_groups_take_settings_of_their_own():
    w, v, u = leaf(1.0), leaf(1.0), leaf(1.0)
    optimizer = optim.SGD([{"params": [w], "lr": 0.5}, {"params": v}], lr=0.25)
    optimizer.add_param_group({"params": [u], "lr": 0.125, "weight_decay": 4.0})
    (w + v + u).sum().backward()
    optimizer.step()
    assert (w.item(), v.item(), u.item()) == (0.5, 0.75, 1 - 0.125 * 5)
    assert repr(optimizer) == (
        'SGD([{"params": ..., "lr": 0.5, "weight_decay": 0.0}, {"params": ..., "lr": 0.25, "weight_decay": 0.0}, '
        '{"params": ..., "lr": 0.125, "weight_decay": 4.0}])'
    )


def test_an_added_group_retraces():
    w, v = leaf(1.0), leaf(1.0)
    optimizer = optim.SGD([w], lr=0.5)

    @cr.jit
    def step():
        optimizer.zero_grad()
        (w + v).sum().backward()
        optimizer.step()

    step()
    optimizer.add_param_group({"params": [v]})
    step()
    assert (w.item(), v.item()) == (0.0, 0.5)
    assert step.retraces == [
        "optimizer changed: a part was added, replaced, frozen, or switched between train and eval"
    ]


def test_repr_is_the_call_that_rebuilds_it():
    w = leaf(1.0)
    for text in (
        "SGD(lr=0.001)",
        "SGD(lr=0.1, momentum=0.9, nesterov=True, l1=0.01)",
        "Adagrad(lr=0.01, eps=1e-08)",
        "RMSprop(lr=0.01, centered=True)",
        "Adam(lr=0.5, betas=(0.5, 0.999), decoupled_weight_decay=True)",
        "AdamW(lr=0.001, weight_decay=0.1)",
    ):
        call = text.replace("(", "([w], ", 1)
        assert repr(eval(call, {**vars(optim), "w": w})) == text


# ---------------------------------------------------------------------------------------------------- errors
BAD = [
    (lambda w: optim.SGD([w], lr=-1), "SGD.lr must be a number >= 0; got -1."),
    (lambda w: optim.SGD([w], lr="0.1"), "SGD.lr must be a number >= 0; got '0.1'."),
    (lambda w: optim.SGD([w], lr=float("nan")), "SGD.lr must be a number >= 0; got nan."),
    (lambda w: optim.SGD([w], lr=True), "SGD.lr must be a number >= 0; got True."),
    (lambda w: optim.SGD([w], momentum=1.5), "SGD.momentum must be a number in [0, 1); got 1.5."),
    (
        lambda w: optim.SGD([w], nesterov=True),
        "SGD.nesterov needs momentum > 0 and dampening 0; got momentum=0.0, dampening=0.0.",
    ),
    (lambda w: optim.SGD([w], nesterov=1), "SGD.nesterov must be True or False; got 1."),
    (lambda w: optim.Adagrad([w], lr_decay=-0.1), "Adagrad.lr_decay must be a number >= 0; got -0.1."),
    (lambda w: optim.RMSprop([w], alpha=2), "RMSprop.alpha must be a number in [0, 1]; got 2."),
    (
        lambda w: optim.Adam([w], betas=(0.9, 1.0)),
        "Adam.betas must be two numbers, each a number in [0, 1); got (0.9, 1.0).",
    ),
    (lambda w: optim.Adam([w], betas=0.9), "Adam.betas must be two numbers, each a number in [0, 1); got 0.9."),
    (lambda w: optim.AdamW([w], weight_decay=-1), "AdamW.weight_decay must be a number >= 0; got -1."),
    (lambda w: optim.SGD([w], l1=-1), "SGD.l1 must be a number >= 0; got -1."),
    (lambda w: optim.SGD(w), "SGD: params must be a list of parameters; got a single tensor: write [parameter]."),
    (
        lambda w: optim.SGD(cr.nn.Linear(2, 3)),
        "SGD: params must be a list of parameters; got a Linear: write model.parameters().",
    ),
    (lambda w: optim.SGD([]), "SGD got no parameters: the list is empty, or a generator that was used up before."),
    (
        lambda w: optim.SGD([{"params": []}]),
        "SGD got no parameters: the list is empty, or a generator that was used up before.",
    ),
    (lambda w: optim.SGD([w, 3]), "SGD: params[1] must be a tensor; got int."),
    (
        lambda w: optim.SGD([("w", w)]),
        "SGD: params[0] must be a tensor; got tuple: write model.parameters() for model.named_parameters().",
    ),
    (
        lambda w: optim.SGD([w, w]),
        "SGD: params[1], of shape (1,), is given twice; each parameter belongs to one group.",
    ),
    (
        lambda w: optim.SGD([{"params": [w]}, {"params": [w]}]),
        "SGD: params[0], of shape (1,), is given twice; each parameter belongs to one group.",
    ),
    (
        lambda w: optim.SGD([w]).add_param_group({"lr": 1}),
        "SGD: a parameter group must be a dict with the key \"params\"; got {'lr': 1}.",
    ),
]


@pytest.mark.parametrize("make, text", BAD, ids=[text[:50] for _, text in BAD])
def test_bad_settings(make, text):
    with pytest.raises(ValueError, match=message(text)):
        make(leaf(1.0))


def test_a_bad_value_leaves_the_setting_as_it_was():
    group = optim.SGD([leaf(1.0)], lr=0.5).param_groups[0]
    with pytest.raises(ValueError, match=message("SGD.lr must be a number >= 0; got -0.5.")):
        group["lr"] = -0.5
    with pytest.raises(ValueError, match=message("SGD.lr must be a number >= 0; got -1.0.")):
        group["lr"] = cr.asarray(-1.0)
    assert float(group["lr"]) == 0.5


def test_an_unknown_setting_is_named_with_the_nearest():
    optimizer = optim.SGD([leaf(1.0)])
    text = (
        "SGD has no setting 'momentun'; did you mean 'momentum'? Its settings are lr, momentum, dampening, nesterov, "
        "weight_decay, decoupled_weight_decay, l1, maximize, initial_lr."
    )
    for use in (
        lambda: optimizer.param_groups[0]["momentun"],
        lambda: optim.SGD([{"params": leaf(1.0), "momentun": 1}]),
    ):
        with pytest.raises(KeyError) as caught:
            use()
        assert str(caught.value) == text
    with pytest.raises(
        optim.UnknownOptionError, match="the parameters of a group can't be replaced; use add_param_group"
    ):
        optimizer.param_groups[0]["params"] = []


def test_only_float_leaves_can_be_optimized():
    with pytest.raises(DTypeError, match=message("SGD: params[0] is int64; only float tensors can be optimized.")):
        optim.SGD([cr.arange(3)])
    text = (
        "SGD: params[0], of shape (1,), is the result of an operation; only leaves can be optimized: "
        "use .detach().requires_grad_()."
    )
    with pytest.raises(GradientError, match=message(text)):
        optim.SGD([leaf(1.0) * 2])


def test_an_optimizer_is_not_made_inside_a_trace():
    w = leaf(1.0)
    with pytest.raises(TraceError) as caught:
        cr.jit(lambda: optim.SGD([w]))()
    assert caught.value.message == "SGD can't be made while cr.jit traces; make it before the step."


def test_a_parameter_that_changed_its_dtype_is_named():
    w = leaf(1.0, dtype="float32")
    optimizer = optim.Adam([w])
    w._value = w._value.astype(np.float64)
    (w * w).sum().backward()
    text = (
        "Adam keeps float32 slots for a parameter of shape (1,), which is float64 now: convert the model first, "
        "then make the optimizer."
    )
    with pytest.raises(DTypeError, match=message(text)):
        optimizer.step()


# ---------------------------------------------------------------------------------------------------- state
@pytest.mark.parametrize("kind", KINDS)
def test_state_dict_has_pytorchs_form_and_resumes_bit_for_bit(kind):
    w = leaf(1.0, -2.0)
    optimizer = getattr(optim, kind)([w], lr=0.1, **KINDS[kind])
    step = cr.jit(quadratic(w, optimizer))
    for _ in range(3):
        step()
    saved, weights = optimizer.state_dict(), w.detach()
    assert set(saved) == {"state", "param_groups"}
    assert saved["param_groups"][0]["params"] == [0]
    assert saved["param_groups"][0]["lr"] == 0.1
    assert all(isinstance(v, float | bool | tuple | list) for v in saved["param_groups"][0].values())
    for _ in range(3):
        step()
    end = w.tolist()

    other = cr.asarray(weights).requires_grad_()
    again = getattr(optim, kind)([other], lr=0.7)
    again.load_state_dict(saved)
    for _ in range(3):
        quadratic(other, again)()
    assert other.tolist() == end
    assert again.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]


def test_a_term_that_was_switched_off_keeps_its_slots_through_saving():
    def run(stop: bool) -> float:
        w = leaf(1.0)
        optimizer = optim.SGD([w], lr=0.1, momentum=0.9)
        for i in range(6):
            if i in (2, 4):
                optimizer.param_groups[0]["momentum"] = 0.0 if i == 2 else 0.9
            if i == 3 and stop:
                saved, w = optimizer.state_dict(), leaf(w.item())
                optimizer = optim.SGD([w], lr=0.1)
                optimizer.load_state_dict(saved)
            quadratic(w, optimizer)()
        return w.item()

    assert run(stop=True) == run(stop=False)


def test_loading_into_a_compiled_step_acts_on_its_cells():
    w = leaf(1.0)
    optimizer = optim.SGD([w], lr=0.1, momentum=0.9)
    step = cr.jit(quadratic(w, optimizer))
    step()
    saved, before = optimizer.state_dict(), w.detach()
    step(), step()
    first = w.item()
    optimizer.load_state_dict(saved)
    with cr.no_grad():
        w.assign_(before)
    step(), step()
    assert w.item() == first


def test_loading_a_fresh_state_resets_the_slots():
    w = leaf(1.0)
    optimizer = optim.Adam([w], lr=0.1)
    fresh = copy.deepcopy(optimizer).state_dict()
    quadratic(w, optimizer)()
    del fresh["state"][0]
    optimizer.load_state_dict(fresh)
    assert {name: slot.numpy().max() for name, slot in optimizer.state[w].items()} == dict.fromkeys(
        ("step", "exp_avg", "exp_avg_sq"), 0.0
    )


def test_a_saved_state_does_not_change_with_later_steps():
    w = leaf(1.0)
    optimizer = optim.Adam([w], lr=0.1)
    saved = optimizer.state_dict()
    quadratic(w, optimizer)()
    assert saved["state"][0]["exp_avg"].item() == 0.0


def test_a_state_dict_that_does_not_fit_lists_everything_and_loads_nothing():
    optimizer = optim.Adam([leaf(1.0), leaf(1.0, 2.0)], lr=0.1)
    saved = optimizer.state_dict()
    saved["param_groups"][0] |= {"lr": -3.0, "beta": 1.0}
    del saved["param_groups"][0]["eps"]
    with pytest.raises(optim_error()) as caught:
        optimizer.load_state_dict(saved)
    assert str(caught.value) == (
        "Adam.load_state_dict: the state dict does not fit, nothing was loaded:\n"
        "  - group 0: unknown setting 'beta'; did you mean 'betas'?\n"
        "  - group 0: setting 'eps' is missing\n"
        "  - group 0: lr must be a number >= 0; got -3.0"
    )
    saved = optimizer.state_dict()
    saved["param_groups"][0]["lr"] = 0.7
    saved["state"][0]["exp_avg"] = cr.zeros(3, dtype="float64")
    saved["state"][1]["exp_avg"] = cr.zeros(2)
    saved["state"][5] = {}
    with pytest.raises(optim_error()) as caught:
        optimizer.load_state_dict(saved)
    assert str(caught.value) == (
        "Adam.load_state_dict: the state dict does not fit, nothing was loaded:\n"
        "  - parameter 0: exp_avg has the shape (3,), expected (1,)\n"
        "  - parameter 1: exp_avg is float32, expected float64\n"
        "  - state of parameter 5, which no group lists"
    )
    assert float(optimizer.param_groups[0]["lr"]) == 0.1
    two = optim.Adam([{"params": leaf(1.0)}, {"params": leaf(1.0)}])
    with pytest.raises(optim_error()) as caught:
        two.load_state_dict(optimizer.state_dict())
    assert str(caught.value) == (
        "Adam.load_state_dict: the state dict does not fit, nothing was loaded:\n"
        "  - it has 1 parameter groups, the optimizer 2\n"
        "  - group 0: it has 2 parameters, the optimizer's group 1"
    )
    with pytest.raises(optim_error()) as caught:
        two.load_state_dict({"state": {}})
    assert str(caught.value) == 'Adam.load_state_dict needs a dict with the keys "state" and "param_groups".'


def optim_error():
    from chainrule.core.errors import StateDictError

    return StateDictError


def test_the_state_can_only_be_read():
    optimizer = optim.Adam([leaf(1.0)])
    with pytest.raises(TypeError):
        optimizer.state[leaf(2.0)] = {}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_copies_continue_alike_and_apart(kind, how):
    w = leaf(1.0, -2.0)
    optimizer = getattr(optim, kind)([w], lr=0.1, **KINDS[kind])
    quadratic(w, optimizer)()
    optimizer.zero_grad()
    pair = (w, optimizer)
    v, other = copy.deepcopy(pair) if how == "deepcopy" else pickle.loads(pickle.dumps(pair))
    assert other.param_groups[0]["params"][0] is v
    step = cr.jit(quadratic(v, other))
    step()
    assert v.tolist() != w.tolist()
    quadratic(w, optimizer)()
    assert v.tolist() == w.tolist()
    other.param_groups[0]["lr"] = 0.5
    assert float(optimizer.param_groups[0]["lr"]) == 0.1
