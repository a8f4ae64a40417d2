"""The learning-rate range test: it finds the steep part, stops on divergence, and leaves no trace."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

import chainrule as cr
from chainrule import optim
from chainrule.core.errors import DataError, MissingExtraError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 5)).astype(np.float32)
Y = X @ RNG.normal(size=(5, 1)).astype(np.float32)
BATCHES = [(cr.asarray(X[i : i + 16]), cr.asarray(Y[i : i + 16])) for i in range(0, 64, 16)]


class Model:
    """Linear regression with a buffer that changes in every step, as batch norm's do."""

    def __init__(self) -> None:
        self.w, self.seen = cr.zeros((5, 1)).requires_grad_(), cr.zeros(())
        self.optimizer = optim.SGD([self.w], lr=0.03, momentum=0.5)

    def named_parameters(self):
        yield "w", self.w

    def named_buffers(self):
        yield "seen", self.seen

    def step(self, x, y):
        loss = ((x @ self.w - y) ** 2).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with cr.no_grad():
            self.seen.assign_(self.seen + 1)
        return loss


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_it_finds_a_rate_that_learns_and_puts_everything_back(compiled):
    model = Model()
    for batch in BATCHES:
        model.step(*batch)
    saved = model.w.tolist(), model.w.grad.tolist(), str(model.optimizer.state_dict()), model.seen.item()
    step = cr.jit(model.step, keep_grads=True) if compiled else model.step
    result = optim.lr_range_test(step, model.optimizer, BATCHES, model=model, low=1e-5, high=10.0, steps=60)
    assert (model.w.tolist(), model.w.grad.tolist(), str(model.optimizer.state_dict()), model.seen.item()) == saved
    assert result.diverged
    assert len(result.lrs) == len(result.losses) == len(result.smoothed) < 60
    np.testing.assert_allclose(result.lrs[:2], [1e-5, 1e-5 * 1e6 ** (1 / 59)])
    assert 0.01 < result.suggestion < 0.2
    if compiled:
        assert len(step.variants) == 1
    model.optimizer.param_groups[0]["lr"] = result.suggestion
    losses = [model.step(*batch).item() for batch in BATCHES * 5]
    assert losses[-1] < 0.1 * losses[0]


def test_state_is_put_back_after_an_error():
    model = Model()

    def step(x, y):
        model.step(x, y)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="^stop$"):
        optim.lr_range_test(step, model.optimizer, BATCHES, model=model)
    assert model.w.tolist() == [[0.0]] * 5
    assert float(model.optimizer.param_groups[0]["lr"]) == 0.03


def test_random_numbers_are_put_back():
    w = cr.asarray([1.0]).requires_grad_()
    optimizer = optim.SGD([w], lr=0.1)

    def step():
        loss = ((w + cr.random.normal((1,))) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    cr.manual_seed(5)
    expected = cr.random.normal((3,)).tolist()
    cr.manual_seed(5)
    optim.lr_range_test(step, optimizer, [()], high=1e-3, steps=5)
    assert cr.random.normal((3,)).tolist() == expected


def test_a_loss_that_is_not_finite_ends_the_test():
    w = cr.asarray([1.0]).requires_grad_()
    optimizer = optim.SGD([w], lr=0.1)
    values = iter([3.0, 2.0, float("nan")])
    result = optim.lr_range_test(lambda: cr.asarray(next(values)), optimizer, [()], steps=10)
    assert (result.losses, result.diverged) == ([3.0, 2.0], True)


def test_a_guard_that_refuses_the_loss_ends_the_test():
    w = cr.asarray([1.0]).requires_grad_()
    optimizer = optim.SGD([w], lr=0.1)
    values = iter([3.0, float("inf")])
    result = optim.lr_range_test(lambda: cr.check_finite(cr.asarray(next(values))), optimizer, [()], steps=10)
    assert (result.losses, result.diverged) == ([3.0], True)


def test_without_a_fall_there_is_no_suggestion():
    assert optim.LRRangeTest([0.1, 0.2, 0.3], [1.0, 2.0, 3.0]).suggestion is None
    assert optim.LRRangeTest([0.1], [1.0]).suggestion is None


@pytest.mark.parametrize(
    "options, text",
    [
        ({"low": 0}, "lr_range_test.low must be a number > 0; got 0."),
        ({"low": 1.0, "high": 0.5}, "lr_range_test.high must be a number > 1; got 0.5."),
        ({"steps": 1}, "lr_range_test.steps must be an integer >= 2; got 1."),
        ({"smoothing": 1.0}, "lr_range_test.smoothing must be a number in [0, 1); got 1.0."),
        ({"diverge": 1}, "lr_range_test.diverge must be a number > 1; got 1."),
    ],
)
def test_bad_settings(options, text):
    model = Model()
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        optim.lr_range_test(model.step, model.optimizer, BATCHES, **options)


def test_batches_that_end_for_good_are_an_error():
    model = Model()
    text = "lr_range_test: there is no batch, or the batches can't be gone through again; pass a list or a DataLoader."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        optim.lr_range_test(model.step, model.optimizer, iter(BATCHES))


def test_the_plot_marks_the_suggestion():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    result = optim.LRRangeTest(lrs=[1e-3, 1e-2, 1e-1, 1.0], losses=[2.0, 1.9, 1.0, 5.0])
    axes = result.plot()
    assert axes.get_xscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("learning rate", "loss")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["loss", "smoothed", "suggestion 0.1"]
    pyplot.close(axes.figure)


def test_without_matplotlib_the_plot_names_the_pip_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingExtraError, match=r"^drawing needs matplotlib: pip install 'chainrule\[plot\]'$"):
        optim.LRRangeTest([0.1], [1.0]).plot()
