"""Every layer and loss keeps the contract list; and a module that breaks it is noticed."""

from __future__ import annotations

import pytest
from tests.nn.cases import LAYERS, LOSSES

import chainrule as cr
from chainrule import nn
from chainrule.testing.contracts import CONTRACTS, check_module

CASES = [*LAYERS, *LOSSES]


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_keeps_the_contract(case, contract):
    checked = check_module(case.make, *case.inputs, batched=case.batched, only=[contract])
    assert checked == ([contract] if case.batched or contract != "batch_of_one" else [])


def test_every_layer_and_loss_is_listed():
    listed = {type(case.make()).__name__ for case in CASES}
    abstract = {"Module", "ModuleList", "ModuleDict"}
    public = {
        name for name in nn.__all__ if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module)
    }
    assert public - abstract - {"Swish"} <= listed


def test_an_unknown_contract_is_refused():
    listed = ", ".join(CONTRACTS)
    with pytest.raises(ValueError) as caught:
        check_module(nn.ReLU, cr.ones((1, 2)), only=["deep_copy"])
    assert str(caught.value) == f"check_module.only must name contracts ({listed}); got 'deep_copy'."


# --- the checker is checked -----------------------------------------------------------------------------------------


class Forgetful(nn.Linear):
    """State hides in an attribute, forward writes into its input, eval mode still draws, copies are the original."""

    def __init__(self, in_features=3, out_features=2):
        super().__init__(in_features, out_features)
        self.hidden = cr.random.normal((out_features,))
        self.mode = cr.zeros(())

    def extra_repr(self):
        return "3, 2"

    def forward(self, x):
        x.assign_(x * 1.5) if x.requires_grad is False else None
        noise = cr.random.normal((self.out_features,))
        return super().forward(x) + self.hidden + noise + x.mean()

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return Forgetful, ()


@pytest.mark.parametrize("contract", sorted(set(CONTRACTS) - {"eager_equals_compiled", "same_seed_same_result"}))
def test_a_broken_module_is_noticed(contract):
    with pytest.raises(AssertionError, match=contract.split("_")[0]):
        check_module(Forgetful, cr.ones((4, 3)), only=[contract])


def test_a_step_that_depends_on_python_state_is_noticed():
    class Counting(nn.Module):
        calls = 0

        def forward(self, x):
            Counting.calls += 1
            return x * Counting.calls

    with pytest.raises(AssertionError, match="eager_equals_compiled"):
        check_module(Counting, cr.ones((4, 3)), only=["eager_equals_compiled"])
    with pytest.raises(AssertionError, match="same_seed_same_result"):
        check_module(Counting, cr.ones((4, 3)), only=["same_seed_same_result"])
