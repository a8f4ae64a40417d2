"""Groups and their settings: cells that never re-trace, flags that do, and every bad value refused."""

from __future__ import annotations

import numpy as np
import pytest
from tests.optim.common import KINDS, leaf, message, quadratic

import chainrule as cr
from chainrule import optim
from chainrule.core.errors import DTypeError, GradientError, ShapeError, TraceError


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
