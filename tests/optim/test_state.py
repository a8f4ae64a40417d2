"""State dicts, copies and pickles of optimizers: they continue bit for bit, or say what does not fit."""

from __future__ import annotations

import copy
import pickle

import pytest
from tests.optim.common import KINDS, leaf, quadratic

import chainrule as cr
from chainrule import optim
from chainrule.core.errors import StateDictError


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
    with pytest.raises(StateDictError) as caught:
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
    with pytest.raises(StateDictError) as caught:
        optimizer.load_state_dict(saved)
    assert str(caught.value) == (
        "Adam.load_state_dict: the state dict does not fit, nothing was loaded:\n"
        "  - parameter 0: exp_avg has the shape (3,), expected (1,)\n"
        "  - parameter 1: exp_avg is float32, expected float64\n"
        "  - state of parameter 5, which no group lists"
    )
    assert float(optimizer.param_groups[0]["lr"]) == 0.1
    two = optim.Adam([{"params": leaf(1.0)}, {"params": leaf(1.0)}])
    with pytest.raises(StateDictError) as caught:
        two.load_state_dict(optimizer.state_dict())
    assert str(caught.value) == (
        "Adam.load_state_dict: the state dict does not fit, nothing was loaded:\n"
        "  - it has 1 parameter groups, the optimizer 2\n"
        "  - group 0: it has 2 parameters, the optimizer's group 1"
    )
    with pytest.raises(StateDictError) as caught:
        two.load_state_dict({"state": {}})
    assert str(caught.value) == 'Adam.load_state_dict needs a dict with the keys "state" and "param_groups".'


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
