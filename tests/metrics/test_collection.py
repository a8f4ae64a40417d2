"""Several metrics together, and the functions over whole arrays."""

from __future__ import annotations

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import metrics
from chainrule.core.errors import StateDictError
from chainrule.metrics import functional

RNG = np.random.default_rng(5)
SCORES, TARGETS = RNG.normal(size=(40, 3)), RNG.integers(0, 3, 40)


def both() -> metrics.MetricCollection:
    return metrics.MetricCollection({"acc": metrics.Accuracy(), "matrix": metrics.ConfusionMatrix(3)})


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_a_collection_updates_and_computes_all(compiled):
    collection = both()
    step = cr.jit(lambda x, y: collection.update(x, y)) if compiled else collection.update
    for part in (slice(0, 25), slice(25, 40)):
        step(cr.asarray(SCORES[part]), cr.asarray(TARGETS[part]))
    found = collection.compute()
    assert found["acc"] == np.mean(SCORES.argmax(1) == TARGETS)
    assert found["matrix"].sum() == 40
    saved = collection.state_dict()
    collection.reset()
    again = both()
    again.load_state_dict(saved)
    assert again["acc"].compute() == found["acc"]
    assert [name for name, _ in again.items()] == list(again) == ["acc", "matrix"]
    assert len(again) == 2


@pytest.mark.parametrize(
    "given, text",
    [
        ([], "MetricCollection got no metrics."),
        ([3], "MetricCollection: 'int' must be a metric with update(outputs, targets, mask); got int."),
        (
            [metrics.Accuracy(), metrics.Accuracy()],
            "MetricCollection: two metrics are called 'accuracy'; pass a dict with a name for each.",
        ),
        (
            {"loss": metrics.Loss()},
            "MetricCollection: 'loss' must be a metric with update(outputs, targets, mask); got Loss.",
        ),
    ],
)
def test_what_a_collection_refuses(given, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        metrics.MetricCollection(given)


def test_a_state_of_other_names_is_refused():
    with pytest.raises(StateDictError) as caught:
        both().load_state_dict({"acc": {}})
    assert str(caught.value) == (
        "MetricCollection.load_state_dict: it has the metrics ['acc'], expected ['acc', 'matrix']."
    )


FUNCTIONS = {
    "precision": (functional.precision_score, metrics.Precision),
    "recall": (functional.recall_score, metrics.Recall),
    "f1": (functional.f1_score, metrics.F1Score),
    "specificity": (functional.specificity_score, metrics.Specificity),
}


@pytest.mark.parametrize("average", ["macro", "micro", "weighted", None])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_equal_their_classes(name, average):
    function, kind = FUNCTIONS[name]
    mask = RNG.uniform(size=40) < 0.8
    metric = kind(3, average)
    metric.update(SCORES, TARGETS, mask)
    for outputs, classes in ((SCORES, None), (SCORES.argmax(1), None), (SCORES.argmax(1), 3)):
        np.testing.assert_array_equal(function(outputs, TARGETS, classes, average, mask), metric.compute())


def test_functions_of_counts():
    guess = SCORES.argmax(1)
    assert functional.accuracy_score(SCORES, TARGETS) == np.mean(guess == TARGETS)
    assert functional.accuracy_score(SCORES[:, 0], TARGETS == 0, threshold=0.3) == np.mean(
        (SCORES[:, 0] > 0.3) == (TARGETS == 0)
    )
    second = np.sort(SCORES, axis=1)[:, -2]
    assert functional.top_k_accuracy_score(SCORES, TARGETS, k=2) == np.mean(SCORES[np.arange(40), TARGETS] >= second)
    expected = [[int(((t == TARGETS) & (guess == g)).sum()) for g in range(3)] for t in range(3)]
    assert functional.confusion_matrix(SCORES, TARGETS).tolist() == expected
    assert functional.confusion_matrix([0, 1], [0, 0], num_classes=3).shape == (3, 3)
    assert functional.confusion_matrix([0.2, 0.7], [0, 1], threshold=0.5).tolist() == [[1, 0], [0, 1]]


def test_single_scores_have_two_classes_whatever_the_labels():
    assert functional.precision_score([0.9, 0.8], [0, 0], average="micro", threshold=0.5) == 0.0
