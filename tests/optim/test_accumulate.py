"""Gradient accumulation equals the full batch, also for ragged batches and ignored labels."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import optim
from chainrule.core.errors import GradientError, ShapeError, StateDictError

RNG = np.random.default_rng(3)
X, LABELS = RNG.normal(size=(23, 6)), RNG.integers(0, 4, 23)
IGNORED = np.where(RNG.uniform(size=23) < 0.4, -100, LABELS)
START = RNG.normal(size=(6, 4))
SIZES = [(0, 8), (8, 16), (16, 23)]  # the last is short


def losses_of(w: cr.Tensor, x: np.ndarray, labels: np.ndarray) -> cr.Tensor:
    """Cross-entropy per sample, 0 where the label is -100."""
    logits = cr.asarray(x) @ w
    kept = cr.asarray(labels != -100)
    own = cr.take_along_axis(cr.log_softmax(logits, axis=1), cr.asarray(np.maximum(labels, 0))[:, None], axis=1)[:, 0]
    return cr.where(kept, -own, 0.0)


def full_batch(labels: np.ndarray, **options: float) -> np.ndarray:
    w = cr.asarray(START).requires_grad_()
    optimizer = optim.SGD([w], lr=0.5, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        (losses_of(w, X, labels).sum() / int((labels != -100).sum())).backward()
        if options:
            optim.clip_grad_norm_([w], **options)
        optimizer.step()
    return w.numpy()


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("labels", [LABELS, IGNORED], ids=["all labels", "ignored labels"])
def test_ragged_batches_equal_the_full_batch(labels, compiled):
    w = cr.asarray(START).requires_grad_()
    gather = optim.GradientAccumulator(optim.SGD([w], lr=0.5, momentum=0.9))
    wrap = cr.jit if compiled else lambda function: function

    def batch(x, kept, safe):
        own = cr.take_along_axis(cr.log_softmax(x @ w, axis=1), safe[:, None], axis=1)[:, 0]
        gather.backward(cr.where(kept, -own, 0.0), count=kept.sum())

    batch, update = wrap(batch), wrap(gather.step)
    for _ in range(3):
        for low, high in SIZES:
            part = labels[low:high]
            batch(cr.asarray(X[low:high]), cr.asarray(part != -100), cr.asarray(np.maximum(part, 0)))
        update()
    np.testing.assert_allclose(w.numpy(), full_batch(labels), rtol=1e-13, atol=1e-14)
    assert gather.count.item() == 0.0
    assert w.grad is None


def test_a_mean_of_means_would_differ():
    """The trap that this class avoids is real for these sizes."""
    w = cr.asarray(START).requires_grad_()
    optimizer = optim.SGD([w], lr=0.5, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        for low, high in SIZES:
            (losses_of(w, X[low:high], IGNORED[low:high]).sum() / int((IGNORED[low:high] != -100).sum()) / 3).backward()
        optimizer.step()
    assert np.abs(w.numpy() - full_batch(IGNORED)).max() > 1e-3


def test_gradients_can_be_clipped_between_normalize_and_the_update():
    w = cr.asarray(START).requires_grad_()
    optimizer = optim.SGD([w], lr=0.5, momentum=0.9)
    gather = optim.GradientAccumulator(optimizer)
    for _ in range(3):
        for low, high in SIZES:
            gather.backward(losses_of(w, X[low:high], LABELS[low:high]))
        gather.normalize()
        optim.clip_grad_norm_([w], max_norm=0.1)
        optimizer.step()
        optimizer.zero_grad()
    np.testing.assert_allclose(w.numpy(), full_batch(LABELS, max_norm=0.1), rtol=1e-13, atol=1e-14)


def test_a_reduced_loss_is_refused():
    w = cr.asarray([1.0]).requires_grad_()
    gather = optim.GradientAccumulator(optim.SGD([w]))
    with pytest.raises(ShapeError) as caught:
        gather.backward((w * w).mean())
    assert str(caught.value) == (
        "GradientAccumulator.backward needs one loss per element, [batch, ...]; got a tensor of shape (): "
        'write reduction="none" in the loss function.'
    )


def test_an_update_of_nothing_is_refused():
    gather = optim.GradientAccumulator(optim.SGD([cr.asarray([1.0]).requires_grad_()]))
    with pytest.raises(GradientError) as caught:
        gather.step()
    assert (
        str(caught.value) == "GradientAccumulator: nothing was gathered (the count is 0); call backward(losses) first."
    )


def test_a_half_gathered_batch_is_saved_and_continues_bit_for_bit():
    def run(stop: bool) -> list:
        w = cr.asarray(START).requires_grad_()
        gather = optim.GradientAccumulator(optim.SGD([w], lr=0.5))
        for position, (low, high) in enumerate(SIZES):
            if stop and position == 2:
                saved = gather.state_dict()
                w = cr.asarray(START).requires_grad_()
                gather = optim.GradientAccumulator(optim.SGD([w], lr=0.5))
                gather.load_state_dict(saved)
            gather.backward(losses_of(w, X[low:high], LABELS[low:high]))
        gather.step()
        return w.tolist()

    assert run(stop=True) == run(stop=False)


def test_a_state_that_does_not_fit_is_refused():
    w = cr.asarray([1.0]).requires_grad_()
    gather = optim.GradientAccumulator(optim.SGD([w]))
    with pytest.raises(StateDictError) as caught:
        gather.load_state_dict({"count": cr.asarray(1.0), "gradients": {0: cr.zeros(2)}})
    assert str(caught.value) == (
        "GradientAccumulator.load_state_dict: the gradient of parameter 0 does not fit: it is float32 of shape (2,); "
        "nothing was loaded."
    )
    with pytest.raises(StateDictError) as caught:
        gather.load_state_dict({"gradients": {}})
    assert str(caught.value) == (
        "GradientAccumulator.load_state_dict: the state dict does not fit, nothing was loaded:\n  - 'count' is missing"
    )
