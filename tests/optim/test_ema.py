"""The moving average of weights: its values, swapping in and out, its state."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule import optim
from chainrule.core.errors import StateDictError


class Model:
    """Something with named parameters and buffers, as modules are."""

    def __init__(self) -> None:
        self.w = cr.asarray([1.0, 2.0]).requires_grad_()
        self.mean, self.count = cr.asarray([10.0]), cr.asarray(3)

    def named_parameters(self):
        yield "w", self.w

    def named_buffers(self):
        yield "mean", self.mean
        yield "count", self.count


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("warmup", [False, True])
def test_the_average_follows_its_formula(warmup, compiled):
    w = cr.asarray(np.array([0.0, 1.0])).requires_grad_()
    average = optim.ExponentialMovingAverage([w], decay=0.9, warmup=warmup)
    optimizer = optim.SGD([w], lr=0.1)

    def step():
        optimizer.zero_grad()
        ((w - 3.0) ** 2).sum().backward()
        optimizer.step()
        average.update()

    step = cr.jit(step) if compiled else step
    expected = w.numpy().copy()
    for n in range(30):
        if n == 20:
            average.decay = 0.5
        step()
        decay = 0.5 if n >= 20 else 0.9
        decay = min(decay, (1 + n) / (10 + n)) if warmup else decay
        expected = expected + (1 - decay) * (w.numpy() - expected)
        np.testing.assert_allclose(average.averages["0"].numpy(), expected, rtol=1e-13)
    if compiled:
        assert len(step.variants) == 1


def test_weights_are_swapped_in_and_out_even_after_an_error():
    model = Model()
    average = optim.ExponentialMovingAverage(model, decay=0.5)
    with cr.no_grad():
        model.w.assign_(cr.asarray([3.0, 4.0]))
        model.mean.assign_(cr.asarray([20.0]))
        model.count.assign_(cr.asarray(7))
    average.update()
    inside = []

    def look():
        inside.append((model.w.tolist(), model.mean.tolist(), model.count.item()))
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="^stop$"), average.average_parameters():
        look()
    assert inside == [([2.0, 3.0], [15.0], 7)]
    assert (model.w.tolist(), model.mean.tolist()) == ([3.0, 4.0], [20.0])
    average.copy_to_model()
    assert model.w.tolist() == [2.0, 3.0]
    assert model.w.requires_grad


def test_the_average_starts_from_the_weights_and_owns_its_values():
    w = cr.asarray([1.0]).requires_grad_()
    average = optim.ExponentialMovingAverage([w])
    with cr.no_grad():
        w.assign_(cr.asarray([5.0]))
    assert average.averages["0"].tolist() == [1.0]
    assert repr(average) == "ExponentialMovingAverage(1 tensors, decay=0.999, warmup=False)"


def test_state_is_saved_and_restored():
    def run(stop: bool) -> list:
        w = cr.asarray([1.0]).requires_grad_()
        average = optim.ExponentialMovingAverage([w], decay=0.9, warmup=True)
        for n in range(6):
            if stop and n == 3:
                saved = average.state_dict()
                average = optim.ExponentialMovingAverage([w], decay=0.1, warmup=True)
                average.load_state_dict(saved)
            with cr.no_grad():
                w.assign_(w * 1.5)
            average.update()
        return average.averages["0"].tolist()

    assert run(stop=True) == run(stop=False)


def test_a_state_that_does_not_fit_lists_everything():
    average = optim.ExponentialMovingAverage(Model())
    saved = average.state_dict()
    saved["average"]["w"] = cr.zeros(5)
    saved["average"]["v"] = saved["average"].pop("count")
    with pytest.raises(StateDictError) as caught:
        average.load_state_dict(saved)
    assert str(caught.value) == (
        "ExponentialMovingAverage.load_state_dict: the state dict does not fit, nothing was loaded:\n"
        "  - 'average.count' is missing\n"
        "  - unknown 'average.v'; did you mean 'average.w'?\n"
        "  - 'average.w' has the shape (5,), expected (2,)"
    )


def test_bad_settings():
    text = r"^ExponentialMovingAverage.decay must be a number in \[0, 1\); got 1.0.$"
    with pytest.raises(ValueError, match=text):
        optim.ExponentialMovingAverage([cr.zeros(1)], decay=1.0)
    with pytest.raises(ValueError, match="^ExponentialMovingAverage got no tensors: the list is empty, or a generator"):
        optim.ExponentialMovingAverage([])


@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_copies_keep_following_their_own_weights(how):
    w = cr.asarray([1.0]).requires_grad_()
    average = optim.ExponentialMovingAverage([w], decay=0.5)
    v, other = copy.deepcopy((w, average)) if how == "deepcopy" else pickle.loads(pickle.dumps((w, average)))
    with cr.no_grad():
        v.assign_(cr.asarray([3.0]))
    other.update(), average.update()
    assert (other.averages["0"].tolist(), average.averages["0"].tolist()) == ([2.0], [1.0])
