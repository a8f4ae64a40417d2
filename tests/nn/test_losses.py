"""Losses: hand-computed values, what they refuse with whole messages, labels checked eagerly and in compiled steps."""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.core.errors import ChainruleError, DataError, DTypeError, IndexRangeError, ShapeError

F = nn.functional


def refused(kind, message, call):
    with pytest.raises(kind) as caught:
        call()
    assert (caught.value.message if isinstance(caught.value, ChainruleError) else str(caught.value)) == message


LOGITS = cr.zeros((4, 10))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: nn.MSELoss("avg"), 'MSELoss.reduction must be one of "none", "mean", "sum"; got \'avg\'.'),
        (
            lambda: nn.CrossEntropyLoss(reduction="men"),
            'CrossEntropyLoss.reduction must be one of "none", "mean", "sum"; got \'men\'; did you mean \'mean\'?',
        ),
        (
            lambda: nn.KLDivLoss("batch"),
            'KLDivLoss.reduction must be one of "none", "mean", "batchmean", "sum"; got \'batch\'; '
            "did you mean 'batchmean'?",
        ),
        (
            lambda: F.mse_loss(LOGITS, LOGITS, "avg"),
            'mse_loss.reduction must be one of "none", "mean", "sum"; got \'avg\'.',
        ),
        (lambda: nn.HuberLoss(delta=0.0), "HuberLoss.delta must be a float > 0; got 0.0."),
        (lambda: nn.SmoothL1Loss(beta=-1), "SmoothL1Loss.beta must be a float >= 0; got -1."),
        (lambda: nn.HingeLoss(margin=0), "HingeLoss.margin must be a float > 0; got 0."),
        (lambda: nn.CosineEmbeddingLoss(2.0), "CosineEmbeddingLoss.margin must be a float in [-1, 1]; got 2.0."),
        (lambda: nn.MultiMarginLoss(p=3), "MultiMarginLoss.p must be 1 or 2; got 3."),
        (
            lambda: nn.CrossEntropyLoss(label_smoothing=1.5),
            "CrossEntropyLoss.label_smoothing must be a float in [0, 1]; got 1.5.",
        ),
        (
            lambda: nn.CrossEntropyLoss(ignore_index=1.0),
            "CrossEntropyLoss.ignore_index must be an int; got 1.0.",
        ),
        (lambda: nn.KLDivLoss(log_target=1), "KLDivLoss.log_target must be True or False; got 1."),
        (
            lambda: nn.NLLLoss(weight=[[1.0]]),
            "NLLLoss.weight must be a vector, one number per class; got the shape (1, 1).",
        ),
    ],
)
def test_bad_settings(call, message):
    refused(ValueError, message, call)


@pytest.mark.parametrize(
    "kind, call, message",
    [
        (
            ShapeError,
            lambda: F.mse_loss(cr.zeros((32, 1)), cr.zeros(32)),
            "mse_loss: the input has the shape (32, 1) and the target (32,); they must be equal: "
            "write target.reshape((32, 1)).",
        ),
        (
            ShapeError,
            lambda: nn.BCEWithLogitsLoss()(cr.zeros((4, 2)), cr.zeros(4)),
            "binary_cross_entropy_with_logits: the input has the shape (4, 2) and the target (4,); they must be equal.",
        ),
        (
            DTypeError,
            lambda: F.l1_loss(cr.zeros(2), [0.0, 0.0]),
            "l1_loss: the target must be a tensor; got list: convert it with cr.asarray.",
        ),
        (
            DataError,
            lambda: F.binary_cross_entropy(cr.asarray([0.5, 2.0]), cr.zeros(2)),
            "the probability 2 at position 1 is outside [0, 1]; for logits use the loss with logits.",
        ),
        (
            IndexRangeError,
            lambda: F.cross_entropy(LOGITS, cr.asarray([1, 2, 3, 12])),
            "label 12 at position 3 is out of range for 10 classes; labels must be in [0, 9].",
        ),
        (
            IndexRangeError,
            lambda: F.nll_loss(LOGITS, cr.asarray([1, -1, 3, 2])),
            "label -1 at position 1 is out of range for 10 classes; labels must be in [0, 9].",
        ),
        (
            IndexRangeError,
            lambda: F.multi_margin_loss(LOGITS, cr.asarray([1, 10, 3, 2])),
            "label 10 at position 1 is out of range for 10 classes; labels must be in [0, 9].",
        ),
        (
            ShapeError,
            lambda: F.cross_entropy(LOGITS, cr.asarray([1, 2, 3])),
            "cross_entropy: the input has the shape (4, 10), 10 classes on axis 1, and the labels (3,); they must be "
            "(4,).",
        ),
        (
            ShapeError,
            lambda: F.cross_entropy(LOGITS, cr.asarray([[1], [2], [3], [4]])),
            "cross_entropy: the input has the shape (4, 10), 10 classes on axis 1, and the labels (4, 1); they must be "
            "(4,): write target.reshape((4,)).",
        ),
        (
            ShapeError,
            lambda: F.cross_entropy(LOGITS, cr.zeros((4, 10), dtype=cr.int64)),
            "cross_entropy: the input has the shape (4, 10), 10 classes on axis 1, and the labels (4, 10); they must "
            "be (4,): one-hot targets are probabilities, use .astype(cr.float32).",
        ),
        (
            ShapeError,
            lambda: F.cross_entropy(LOGITS, cr.zeros(4)),
            "cross_entropy: the input has the shape (4, 10) and the probabilities (4,); they must be equal. "
            "Labels are integers: use .astype(cr.int64).",
        ),
        (
            ShapeError,
            lambda: F.cross_entropy(LOGITS, cr.asarray([1, 2, 3, 4]), weight=cr.ones(9)),
            "cross_entropy: the weight has the shape (9,); it must be (10,), one number per class.",
        ),
        (
            DTypeError,
            lambda: F.cross_entropy(cr.zeros((4, 10), dtype=cr.int64), cr.asarray([1, 2, 3, 4])),
            "cross_entropy: the input must be floats; got int64: use .astype(cr.float32).",
        ),
        (
            DTypeError,
            lambda: F.nll_loss(LOGITS, cr.zeros(4)),
            "nll_loss: labels must be integers; got float32: use .astype(cr.int64).",
        ),
        (
            ShapeError,
            lambda: F.cross_entropy(cr.zeros(()), cr.asarray(0)),
            "cross_entropy: the input has the shape (); it must be [batch, classes, ...] or [classes].",
        ),
        (
            ShapeError,
            lambda: F.multi_margin_loss(cr.zeros((2, 3, 4)), cr.zeros((2, 4), dtype=cr.int64)),
            "multi_margin_loss: the input has the shape (2, 3, 4); it must be [batch, classes] or [classes].",
        ),
        (
            ShapeError,
            lambda: F.cosine_embedding_loss(cr.zeros((4, 3)), cr.zeros((4, 3)), cr.ones(3)),
            "cosine_embedding_loss: the inputs have the shape (4, 3) and the target (3,); they must be "
            "[batch, features] and [batch].",
        ),
        (
            ShapeError,
            lambda: F.kl_div(cr.zeros(()), cr.zeros(()), "batchmean"),
            'kl_div: reduction="batchmean" needs a batch axis; the input has the shape ().',
        ),
    ],
)
def test_bad_inputs(kind, call, message):
    refused(kind, message, call)


def test_a_label_out_of_range_is_refused_in_a_compiled_step_and_changes_nothing():
    layer, loss = nn.Linear(3, 10), nn.CrossEntropyLoss()

    @cr.jit
    def step(x, y):
        value = loss(layer(x), y)
        value.backward()
        return value

    step(cr.ones((2, 3)), cr.asarray([0, 9]))
    gradient = layer.weight.grad.tolist()
    message = "label 10 at position 1 is out of range for 10 classes; labels must be in [0, 9]."
    refused(IndexRangeError, message, lambda: step(cr.ones((2, 3)), cr.asarray([0, 10])))
    assert layer.weight.grad.tolist() == gradient


def test_a_label_error_names_the_loss():
    with pytest.raises(IndexRangeError) as caught:
        nn.CrossEntropyLoss()(LOGITS, cr.asarray([1, 2, 3, 12]))
    assert caught.value.module_path == "CrossEntropyLoss"
    assert caught.value.location.startswith("test_losses.py:")


@pytest.mark.parametrize("dtype", [cr.uint8, cr.int32, cr.int64], ids=lambda dtype: dtype.name)
def test_labels_of_every_integer_dtype(dtype):
    value = F.cross_entropy(LOGITS, cr.asarray([0, 9, 3, 1], dtype=dtype))
    assert abs(value.item() - math.log(10)) < 1e-6


def test_ignored_labels_count_nothing():
    logits = cr.asarray([[2.0, 0.0], [0.0, 5.0], [1.0, 1.0]])
    whole = F.cross_entropy(logits[:2], cr.asarray([0, 0]))
    ignoring = F.cross_entropy(logits, cr.asarray([0, 0, -100]))
    assert ignoring.item() == whole.item()
    assert F.cross_entropy(logits, cr.asarray([0, 0, 1]), ignore_index=1).item() == whole.item()
    assert F.cross_entropy(logits, cr.asarray([0, 0, -100]), reduction="none").tolist()[2] == 0.0


def test_an_ignored_row_may_hold_infinities():
    logits = cr.asarray([[0.0, 0.0], [-math.inf, 0.0]]).requires_grad_()
    loss = F.cross_entropy(logits, cr.asarray([1, -100]))
    assert abs(loss.item() - math.log(2)) < 1e-6
    loss.backward()
    assert logits.grad.tolist() == [[0.5, -0.5], [0.0, 0.0]]


def test_cross_entropy_is_a_short_graph():
    step = cr.jit(lambda x, y: F.cross_entropy(x, y))
    step(cr.zeros((64, 10)), cr.zeros(64, dtype=cr.int64))
    names = [equation.primitive.name for equation in step.graph()]
    assert names.count("gather") == 1
    assert names.count("exp") == 1
    assert names.count("check_labels") == 1
    assert len(names) <= 24, names


def test_hinge_losses_by_hand():
    scores, classes = cr.asarray([2.0, 0.5, -1.0]), cr.asarray([1.0, 1.0, 1.0])
    assert F.hinge_loss(scores, classes, reduction="none").tolist() == [0.0, 0.5, 2.0]
    assert F.hinge_loss(scores, -classes, reduction="sum").item() == 3.0 + 1.5
    assert F.hinge_loss(scores, classes, margin=3.0, reduction="none").tolist() == [1.0, 2.5, 4.0]


def test_huber_joins_smoothly():
    x = cr.asarray([0.999, 1.0, 1.001], dtype=cr.float64).requires_grad_()
    loss = F.huber_loss(x, cr.zeros(3, dtype=cr.float64), reduction="none")
    np.testing.assert_allclose(loss.numpy(), [0.999**2 / 2, 0.5, 1.001 - 0.5], rtol=1e-12)
    loss.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [0.999, 1.0, 1.0], rtol=1e-12)


def test_a_perfect_probability_has_a_finite_gradient():
    p = cr.asarray([0.0, 1.0]).requires_grad_()
    F.binary_cross_entropy(p, cr.asarray([0.0, 1.0])).backward()
    assert np.isfinite(p.grad.numpy()).all()


def test_losses_do_not_look_at_nan():
    # The guard of the trainer names a NaN; a loss passes it on.
    assert math.isnan(F.binary_cross_entropy(cr.asarray([math.nan]), cr.ones(1)).item())
    assert math.isnan(F.cross_entropy(cr.asarray([[math.nan, 0.0]]), cr.asarray([1])).item())


def test_check_finite_stays_in_a_compiled_step():
    @cr.jit
    def step(x):
        cr.check_finite(x.sum(), "the loss")
        return x

    assert step(cr.ones(2)).tolist() == [1.0, 1.0]
    refused(ChainruleError, "the loss is inf", lambda: step(cr.asarray([math.inf, 1.0])))
