"""Every metric against its definition in NumPy: ragged batches, masks, eager and compiled, state, errors."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import metrics
from chainrule.core.errors import ChainruleWarning, DataError, DTypeError, IndexRangeError, ShapeError, StateDictError

CLASSES = 4
RNG = np.random.default_rng(11)
SCORES = RNG.normal(size=(53, CLASSES)).astype(np.float32)
TARGETS = RNG.integers(0, CLASSES, 53)
MASK = RNG.uniform(size=53) < 0.7
CUTS = [(0, 20), (20, 40), (40, 52), (52, 53)]  # ragged: the last batch has one sample


# ---------------------------------------------------------------------------------------------------- definitions
def matrix(guess, truth):
    found = np.zeros((CLASSES, CLASSES), dtype=np.int64)
    for g, t in zip(guess, truth):
        found[t, g] += 1
    return found


def top(k):
    def share(scores, guess, truth):
        return np.mean([t in sorted(range(CLASSES), key=lambda c: (-s[c], c))[:k] for s, t in zip(scores, truth)])

    return share


def rates(rate, average):
    """Return the definition of an averaged rate: each class against all others, by counting samples one by one."""

    def fractions(guess, truth, c):
        tp = sum(g == c and t == c for g, t in zip(guess, truth))
        fp = sum(g == c and t != c for g, t in zip(guess, truth))
        fn = sum(g != c and t == c for g, t in zip(guess, truth))
        tn = sum(g != c and t != c for g, t in zip(guess, truth))
        above = {"precision": tp, "recall": tp, "f1": 2 * tp, "specificity": tn}[rate]
        below = {"precision": tp + fp, "recall": tp + fn, "f1": 2 * tp + fp + fn, "specificity": tn + fp}[rate]
        return above, below

    def value(scores, guess, truth):
        pairs = [fractions(guess, truth, c) for c in range(CLASSES)]
        each = np.array([above / below for above, below in pairs])
        if average == "micro":
            return sum(above for above, _ in pairs) / sum(below for _, below in pairs)
        if average == "weighted":
            return sum(r * np.mean(truth == c) for c, r in enumerate(each))
        return each if average is None else each.mean()

    return value


CASES = {
    "accuracy": (metrics.Accuracy, lambda scores, guess, truth: np.mean(guess == truth)),
    "top 1": (lambda: metrics.TopKAccuracy(1), lambda scores, guess, truth: np.mean(guess == truth)),
    "top 2": (lambda: metrics.TopKAccuracy(2), top(2)),
    "top 3": (lambda: metrics.TopKAccuracy(3), top(3)),
    "top all": (lambda: metrics.TopKAccuracy(4), lambda scores, guess, truth: 1.0),
    "confusion matrix": (lambda: metrics.ConfusionMatrix(CLASSES), lambda scores, guess, truth: matrix(guess, truth)),
}
KINDS = {
    "precision": metrics.Precision,
    "recall": metrics.Recall,
    "f1": metrics.F1Score,
    "specificity": metrics.Specificity,
}
for _rate, _kind in KINDS.items():
    for _average in ("macro", "micro", "weighted", None):
        _make = lambda kind=_kind, average=_average: kind(CLASSES, average)  # noqa: E731
        CASES[f"{_rate} {_average}"] = (_make, rates(_rate, _average))


@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("case", CASES)
def test_ragged_batches_give_the_definition_over_all_samples(case, compiled, masked):
    make, definition = CASES[case]
    metric = make()
    step = cr.jit(metric.update) if compiled else metric.update
    for low, high in CUTS:
        batch = [cr.asarray(part[low:high]) for part in (SCORES, TARGETS, *([MASK] if masked else []))]
        step(*batch)
    kept = MASK if masked else np.ones(53, dtype=bool)
    expected = definition(SCORES[kept], SCORES[kept].argmax(1), TARGETS[kept])
    np.testing.assert_allclose(metric.compute(), expected, rtol=1e-15)
    if compiled:
        assert len(step.variants) == 3  # one per batch size, no more


@pytest.mark.parametrize("case", CASES)
def test_labels_and_arrays_are_taken_too(case):
    make, definition = CASES[case]
    metric, guess = make(), SCORES.argmax(1)
    outputs = SCORES if case.startswith("top") else guess
    metric.update(outputs, TARGETS.astype(np.uint8))
    np.testing.assert_allclose(metric.compute(), definition(SCORES, guess, TARGETS), rtol=1e-15)


def test_a_short_last_batch_counts_by_its_samples():
    accuracy = metrics.Accuracy()
    accuracy.update([1] * 99, [1] * 99)
    accuracy.update([0], [1])
    assert accuracy.compute() == 0.99  # a mean of means would be 0.5


def test_pictures_are_counted_pixel_by_pixel():
    scores, targets = RNG.normal(size=(2, 3, 4, 5)), RNG.integers(0, 3, (2, 4, 5))
    accuracy, table = metrics.Accuracy(), metrics.ConfusionMatrix(3)
    accuracy.update(scores, targets), table.update(scores, targets)
    assert accuracy.compute() == np.mean(scores.argmax(1) == targets)
    assert table.compute().sum() == 40
    assert np.trace(table.compute()) == (scores.argmax(1) == targets).sum()


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_single_scores_need_a_threshold(shape):
    logits, truth = np.array([-1.0, 0.2, 3.0, -0.1]).reshape(shape), [0, 0, 1, 1]
    accuracy = metrics.Accuracy(threshold=0.0)
    accuracy.update(logits, truth)
    assert accuracy.compute() == 0.5
    precision = metrics.Precision(num_classes=2, average="binary", threshold=0.5)
    precision.update(logits, truth)
    assert precision.compute() == 1.0
    text = (
        "Accuracy: outputs are one score per sample, (4,), and there is no threshold; "
        "write Accuracy(..., threshold=0.5) for probabilities, threshold=0.0 for logits."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        metrics.Accuracy().update(logits, truth)


def test_equal_scores_count_the_first_class_and_nan_never_counts():
    ties = np.zeros((3, 3))
    for k, expected in ((1, 1 / 3), (2, 2 / 3), (3, 1.0)):
        metric = metrics.TopKAccuracy(k)
        metric.update(ties, [0, 1, 2])
        assert metric.compute() == expected
    broken = metrics.TopKAccuracy(1)
    broken.update(np.array([[np.nan, np.nan], [1.0, np.nan]]), [1, 0])
    assert broken.compute() == 0.0


def test_binary_average_is_class_one_alone():
    guess, truth = [1, 1, 1, 0, 0], [1, 0, 0, 1, 0]
    found = {}
    for name, kind in KINDS.items():
        metric = kind(2, "binary")
        metric.update(guess, truth)
        found[name] = metric.compute()
    assert found == {"precision": 1 / 3, "recall": 1 / 2, "f1": 2 / 5, "specificity": 1 / 3}


@pytest.fixture
def _fresh_notices(monkeypatch):
    monkeypatch.setattr("chainrule.core.errors._noticed", set())


@pytest.mark.usefixtures("_fresh_notices")
@pytest.mark.parametrize(
    "kind, average, guess, truth, expected, words",
    [
        (metrics.Precision, None, [0, 0], [0, 1], [0.5, 0, 0], ("1, 2", "it was never predicted")),
        (metrics.Recall, "macro", [0, 1], [0, 0], 0.5 / 3, ("1, 2", "it never occurred")),
        (metrics.F1Score, "macro", [0, 1], [0, 1], 2 / 3, ("2", "it neither occurred nor was predicted")),
        (metrics.Specificity, None, [0, 1], [0, 0], [0, 0.5, 1], ("0", "every sample was of this class")),
    ],
)
def test_zero_divided_by_zero_is_zero_with_a_notice(kind, average, guess, truth, expected, words):
    text = f"{kind.__name__} of class {words[0]} is 0/0 and was taken as 0: {words[1]}."
    metric = kind(3, average)
    metric.update(guess, truth)
    with pytest.warns(ChainruleWarning, match=f"^{re.escape(text)}$"):
        found = metric.compute()
    np.testing.assert_allclose(found, expected)


# ---------------------------------------------------------------------------------------------------- loss
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_the_mean_loss_is_exact_over_ragged_batches(compiled):
    losses = RNG.uniform(size=53).astype(np.float32)
    means, elements = metrics.Loss(), metrics.Loss()
    by_mean = cr.jit(means.update) if compiled else means.update
    by_element = cr.jit(elements.update) if compiled else elements.update
    for low, high in CUTS:
        part = losses[low:high]
        by_mean(cr.asarray(part.mean(dtype=np.float64)), len(part))
        by_element(cr.asarray(part))
    np.testing.assert_allclose([means.compute(), elements.compute()], losses.mean(dtype=np.float64), rtol=1e-14)


def test_ignored_elements_are_left_out_by_the_count():
    loss = metrics.Loss()
    loss.update(cr.asarray([3.0, 0.0, 5.0]), count=cr.asarray(2))
    assert loss.compute() == 4.0


def test_a_mean_loss_without_its_count_is_refused():
    text = "Loss.update: a mean loss needs its count, the number of samples in the batch: update(loss, count=len(x))."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        metrics.Loss().update(cr.asarray(1.0))


# ---------------------------------------------------------------------------------------------------- in a step
def test_metrics_stand_inside_a_compiled_training_step():
    w = cr.zeros((3, 2)).requires_grad_()
    accuracy, loss = metrics.Accuracy(), metrics.Loss()

    @cr.jit
    def step(x, y):
        outputs = x @ w
        w.grad = None
        value = -(cr.take_along_axis(cr.log_softmax(outputs, axis=1), y[:, None], axis=1)).mean()
        value.backward()
        accuracy.update(outputs, y)
        loss.update(value, x.shape[0])
        return value

    values = [step(cr.asarray(RNG.normal(size=(n, 3)).astype(np.float32)), cr.asarray([0] * n)) for n in (4, 4, 2)]
    assert w.grad is not None
    assert accuracy.compute() == 1.0  # all scores are equal: the first class
    np.testing.assert_allclose(loss.compute(), np.average([v.item() for v in values], weights=[4, 4, 2]))
    assert len(step.variants) == 2
    before = accuracy.state_dict()["samples"].item()
    accuracy.reset()
    step(cr.ones((4, 3)), cr.asarray([1] * 4))
    assert (before, accuracy.compute()) == (10, 0.0)


def test_updates_record_nothing():
    scores = cr.asarray(SCORES).requires_grad_()
    loss, accuracy = metrics.Loss(), metrics.Accuracy()
    loss.update((scores * 2).sum(axis=1)), accuracy.update(scores * 2, TARGETS)
    assert not any(cell.requires_grad for m in (loss, accuracy) for cell in m.state_dict().values())


# ---------------------------------------------------------------------------------------------------- state
EVERY = {**{name: make for name, (make, _) in CASES.items()}}


@pytest.mark.parametrize("case", EVERY)
def test_state_is_saved_restored_reset_and_copied(case):
    metric = EVERY[case]()
    metric.update(SCORES[:20], TARGETS[:20])
    saved, first = metric.state_dict(), metric.compute()
    metric.update(SCORES[20:], TARGETS[20:])
    whole = metric.compute()
    other = EVERY[case]()
    other.load_state_dict(saved)
    np.testing.assert_array_equal(other.compute(), first)
    for copied in (copy.deepcopy(other), pickle.loads(pickle.dumps(other))):
        copied.update(SCORES[20:], TARGETS[20:])
        np.testing.assert_array_equal(copied.compute(), whole)
    np.testing.assert_array_equal(other.compute(), first)
    other.reset()
    with pytest.raises(DataError) as caught:
        other.compute()
    assert str(caught.value) == (
        f"{type(other).__name__}.compute(): no sample was counted yet; call update(...) first."
    )


def test_a_batch_that_is_wholly_masked_counts_nothing():
    accuracy = metrics.Accuracy()
    accuracy.update([1, 2], [1, 2], mask=np.array([False, False]))
    with pytest.raises(DataError, match="no sample was counted yet"):
        accuracy.compute()


def test_a_state_that_does_not_fit_lists_everything():
    with pytest.raises(StateDictError) as caught:
        metrics.Accuracy().load_state_dict({"corect": cr.asarray(1), "samples": cr.zeros(2)})
    assert str(caught.value) == (
        "Accuracy.load_state_dict: the state dict does not fit, nothing was loaded:\n"
        "  - 'correct' is missing\n"
        "  - unknown 'corect'; did you mean 'correct'?\n"
        "  - 'samples' is float32 (2,), expected int64 ()"
    )


def test_masked_labels_may_be_anything():
    table = metrics.ConfusionMatrix(3)
    table.update([0, 1, 2], np.array([0, -100, 2]), mask=np.array([True, False, True]))
    assert table.compute().tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_names_and_directions():
    found = [(m.name, m.higher_is_better) for m in (metrics.Accuracy(), metrics.Loss(), metrics.ConfusionMatrix(2))]
    assert found == [("accuracy", True), ("loss", False), ("confusion_matrix", None)]
    assert repr(metrics.Precision(3, average=None)) == "Precision(num_classes=3, average=None, threshold=None)"
    assert repr(metrics.TopKAccuracy(2)) == "TopKAccuracy(k=2)"


# ---------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("make", [lambda: metrics.ConfusionMatrix(3), lambda: metrics.Recall(3)])
def test_a_label_out_of_range_is_named(make, compiled):
    metric = make()
    update = cr.jit(metric.update) if compiled else metric.update
    with pytest.raises(IndexRangeError) as caught:
        update(cr.asarray([0, 1, 2]), cr.asarray([0, 3, 1]))
    assert caught.value.message == "label 3 at position 1 is out of range for 3 classes; labels must be in [0, 2]."
    with pytest.raises(IndexRangeError) as caught:
        update(cr.asarray([0, 7, 2]), cr.asarray([0, 2, 1]))
    assert caught.value.message == "label 7 at position 1 is out of range for 3 classes; labels must be in [0, 2]."
    with pytest.raises(DataError):
        metric.compute()


@pytest.mark.parametrize(
    "call, error, text",
    [
        (
            lambda: metrics.Accuracy().update(np.zeros((3, 4)), [0, 1]),
            ShapeError,
            "Accuracy: outputs (3, 4) and targets (2,) do not fit; expected scores [batch, classes] or labels [batch], "
            "and labels [batch].",
        ),
        (
            lambda: metrics.TopKAccuracy(2).update([1, 2], [0, 1]),
            ShapeError,
            "TopKAccuracy: outputs (2,) and targets (2,) do not fit; expected scores [batch, classes] and "
            "labels [batch].",
        ),
        (
            lambda: metrics.TopKAccuracy().update(np.zeros((2, 3)), [0, 1]),
            ValueError,
            "TopKAccuracy.k is 5, but the outputs have 3 classes; use k < 3.",
        ),
        (
            lambda: metrics.ConfusionMatrix(4).update(np.zeros((2, 3)), [0, 1]),
            ShapeError,
            "ConfusionMatrix counts 4 classes; outputs have 3 scores per sample.",
        ),
        (
            lambda: metrics.Accuracy().update(np.zeros((2, 3)), np.zeros((2, 3))),
            DTypeError,
            "Accuracy: targets must be labels (integers or bool); got float64: for probabilities per class write "
            "targets.argmax(axis=1).",
        ),
        (
            lambda: metrics.Accuracy().update([1], 1),
            ShapeError,
            "Accuracy: targets must be [batch, ...]; got a tensor of shape ().",
        ),
        (
            lambda: metrics.Accuracy().update([1], [1], mask=[1]),
            DTypeError,
            "Accuracy: mask must be bool; got int64: write mask != 0.",
        ),
        (
            lambda: metrics.Accuracy().update([1, 2], [1, 2], mask=[True]),
            ShapeError,
            "Accuracy: mask (1,) must have the shape of targets, (2,).",
        ),
        (lambda: metrics.Accuracy("half"), ValueError, "Accuracy.threshold must be a number or None; got 'half'."),
        (lambda: metrics.TopKAccuracy(0), ValueError, "TopKAccuracy.k must be an integer >= 1; got 0."),
        (
            lambda: metrics.ConfusionMatrix(1),
            ValueError,
            "ConfusionMatrix.num_classes must be an integer >= 2; got 1.",
        ),
        (
            lambda: metrics.F1Score(3, "marco"),
            ValueError,
            "F1Score.average must be 'macro', 'micro', 'weighted', 'binary' or None; got 'marco'; "
            "did you mean 'macro'?",
        ),
        (
            lambda: metrics.Recall(3, "binary"),
            ValueError,
            "Recall.average='binary' needs num_classes=2; got num_classes=3.",
        ),
    ],
)
def test_bad_inputs(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert getattr(caught.value, "message", str(caught.value)) == text
