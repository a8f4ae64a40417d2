"""Functions of nn.functional without a layer of their own: noise, running statistics under jit, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, IndexRangeError, ShapeError
from chainrule.nn import functional as F


def test_channel_dropout_zeroes_whole_channels_and_keeps_the_mean() -> None:
    x = cr.ones((40, 50, 2, 3))
    y = F.dropout2d(x, 0.25).numpy()
    per_channel = y.reshape(40, 50, -1)
    assert (per_channel == per_channel[:, :, :1]).all()
    np.testing.assert_allclose(sorted(set(y.ravel().tolist())), [0.0, 4 / 3], rtol=1e-6)
    assert abs((y == 0).mean() - 0.25) < 0.04
    assert (F.dropout1d(cr.ones((3, 4)), 1.0).numpy() == 0).all()
    for function in (F.dropout1d, F.dropout2d, F.dropout3d):
        z = cr.ones((2, 3, 4, 5))
        if function is not F.dropout1d:
            assert function(z, 0.5, training=False) is z


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    x = cr.random.normal((200, 100), dtype=cr.float64)
    for function in (F.alpha_dropout, F.feature_alpha_dropout):
        y = function(x, 0.3, training=True).numpy()
        assert abs(y.mean()) < 0.05
        assert abs(y.var() - 1.0) < 0.05
        assert function(x, 0.3) is x
        assert (function(x, 1.0, True).numpy() == 0).all()
    whole = F.feature_alpha_dropout(cr.zeros((5, 6, 7)), 0.5, True).numpy()
    assert (whole == whole[:, :, :1]).all()
    assert len(set(whole.ravel().tolist())) == 2


def test_rrelu_draws_slopes_between_its_bounds() -> None:
    y = F.rrelu(cr.full((1000,), -1.0), 0.25, 0.5, training=True).numpy()
    assert -0.5 <= y.min() < -0.49
    assert -0.26 < y.max() <= -0.25


def test_gumbel_softmax_samples_the_distribution() -> None:
    p = np.array([0.1, 0.6, 0.3])
    logits = cr.asarray(np.broadcast_to(np.log(p), (20000, 3))).requires_grad_()
    y = F.gumbel_softmax(logits, tau=0.5, hard=True)
    assert set(np.round(y.numpy().ravel(), 12).tolist()) == {0.0, 1.0}
    np.testing.assert_allclose(y.numpy().mean(0), p, atol=0.015)
    cr.sum(y * cr.asarray([1.0, 0.0, 0.0])).backward()
    assert (np.abs(logits.grad.numpy()).sum(1) > 0).mean() > 0.9  # the gradient is that of the soft sample
    np.testing.assert_allclose(F.gumbel_softmax(cr.zeros((3, 4, 2)), dim=1).numpy().sum(1), 1.0, rtol=1e-6)


def test_running_statistics_move_under_jit_too() -> None:
    def make() -> tuple[cr.Tensor, cr.Tensor]:
        return cr.zeros(3), cr.ones(3)

    x = cr.asarray(np.random.default_rng(0).normal(size=(8, 3, 4)).astype(np.float32))
    kept, traced = make(), make()
    step = cr.jit(lambda x: F.batch_norm(x, *traced, training=True))
    for _ in range(3):
        want = F.batch_norm(x, *kept, training=True).numpy()
        np.testing.assert_allclose(step(x).numpy(), want, rtol=1e-5, atol=1e-6)
    for a, b in zip(kept, traced, strict=True):
        np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-5, atol=1e-6)
    assert not np.allclose(kept[0].numpy(), 0.0)


def test_a_batch_norm_of_bfloat16_keeps_its_dtype() -> None:
    x = cr.ones((4, 3), dtype=cr.bfloat16)
    mean, var = cr.zeros(3), cr.ones(3)
    assert F.batch_norm(x, mean.astype(cr.bfloat16), var.astype(cr.bfloat16), training=True).dtype is cr.bfloat16
    assert F.layer_norm(x, 3).dtype is cr.bfloat16


def test_dropout_of_attention_is_drawn_from_the_generator() -> None:
    q, k, v = (cr.ones((2, 5, 4)) for _ in range(3))
    cr.manual_seed(3)
    first = F.scaled_dot_product_attention(q, k, v, dropout_p=0.5).numpy()
    cr.manual_seed(3)
    np.testing.assert_array_equal(F.scaled_dot_product_attention(q, k, v, dropout_p=0.5).numpy(), first)
    assert not np.array_equal(first, F.scaled_dot_product_attention(q, k, v, dropout_p=0.5).numpy())


X = cr.zeros((2, 3, 4))
REFUSED: list[tuple[type[Exception], Callable, str]] = [
    (DTypeError, lambda: F.mish(cr.arange(3)), "mish needs a float tensor; got int64: use .astype(cr.float32)."),
    (
        ValueError,
        lambda: F.hardtanh(X, 1.0, 0.5),
        "hardtanh.min_val must be at most max_val; got 1.0 and 0.5.",
    ),
    (ValueError, lambda: F.rrelu(X, 0.5, 0.25), "rrelu.lower must be at most upper; got 0.5 and 0.25."),
    (ValueError, lambda: F.celu(X, 0.0), "celu.alpha must not be 0; got 0."),
    (ValueError, lambda: F.softshrink(X, -1.0), "softshrink.lambd must be a float >= 0; got -1.0."),
    (ShapeError, lambda: F.glu(X, 1), "glu: axis 1 of (2, 3, 4) has the size 3, which is odd."),
    (
        IndexRangeError,
        lambda: F.softmin(X, dim=3),
        "softmin: dim 3 does not exist in a tensor with 3 axes; allowed: [-3, 2].",
    ),
    (ValueError, lambda: F.gumbel_softmax(X, tau=0.0), "gumbel_softmax.tau must be a float > 0; got 0.0."),
    (
        ShapeError,
        lambda: F.batch_norm(cr.zeros(3), None, None, training=True),
        "batch_norm needs an input [batch, channels, ...]; got the shape (3,).",
    ),
    (
        ShapeError,
        lambda: F.batch_norm(cr.zeros((1, 3)), None, None, training=True),
        "batch_norm: the input (1, 3) has one value per channel, which has no variance to train on.",
    ),
    (
        ShapeError,
        lambda: F.batch_norm(X, cr.zeros(2), cr.ones(3)),
        "batch_norm: the running_mean has the shape (2,); it must be (3,).",
    ),
    (
        ValueError,
        lambda: F.batch_norm(X, None, None),
        "batch_norm needs running_mean and running_var when training=False.",
    ),
    (
        ShapeError,
        lambda: F.batch_norm(X, None, None, cr.ones(4), training=True),
        "batch_norm: the weight has the shape (4,); it must be (3,).",
    ),
    (
        ShapeError,
        lambda: F.instance_norm(cr.zeros((2, 3, 1))),
        "instance_norm: the input (2, 3, 1) has one value per channel and sample.",
    ),
    (
        ValueError,
        lambda: F.instance_norm(X, use_input_stats=False),
        "instance_norm needs running_mean and running_var when use_input_stats=False.",
    ),
    (
        ShapeError,
        lambda: F.layer_norm(X, (3,)),
        "layer_norm: the input is (2, 3, 4); it must end in normalized_shape (3,).",
    ),
    (
        ShapeError,
        lambda: F.group_norm(X, 2),
        "group_norm: 2 groups must divide the channels, axis 1 of the input (2, 3, 4).",
    ),
    (
        ShapeError,
        lambda: F.local_response_norm(cr.zeros((2, 3)), 2),
        "local_response_norm needs an input [batch, channels, ...]; got the shape (2, 3).",
    ),
    (ShapeError, lambda: F.pdist(X), "pdist needs a matrix [n, features]; got the shape (2, 3, 4)."),
    (
        ShapeError,
        lambda: F.cdist(X, cr.zeros((2, 3))),
        "cdist: the inputs are (2, 3, 4) and (2, 3); they must be [..., n, features] and [..., m, features].",
    ),
    (
        ShapeError,
        lambda: F.pairwise_distance(cr.asarray(1.0), cr.asarray(2.0)),
        "pairwise_distance needs vectors along the last axis; got the shape ().",
    ),
    (
        ShapeError,
        lambda: F.bilinear(X, X, cr.zeros((5, 4, 3))),
        "bilinear: the inputs are (2, 3, 4) and (2, 3, 4) and the weight (5, 4, 3); "
        "they must be [..., in1], [..., in2] and [out, in1, in2].",
    ),
    (
        ShapeError,
        lambda: F.scaled_dot_product_attention(X, X[..., :3], X),
        "scaled_dot_product_attention: query (2, 3, 4), key (2, 3, 3), value (2, 3, 4) must be "
        "[..., queries, features], [..., keys, features] and [..., keys, out_features].",
    ),
    (
        ValueError,
        lambda: F.scaled_dot_product_attention(X, X, X, cr.ones((3, 3)), is_causal=True),
        "scaled_dot_product_attention takes either attn_mask or is_causal; got both.",
    ),
    (
        DTypeError,
        lambda: F.scaled_dot_product_attention(X, X, X.astype(cr.float64)),
        "scaled_dot_product_attention: the dtypes float32, float32 and float64 differ; convert them with .astype.",
    ),
    (
        ShapeError,
        lambda: F.dropout3d(X),
        "dropout3d needs an input [batch, channels, ...] with 3 more axes; got the shape (2, 3, 4).",
    ),
    (
        ShapeError,
        lambda: F.feature_alpha_dropout(cr.zeros(3), training=True),
        "feature_alpha_dropout needs an input [batch, channels, ...]; got the shape (3,).",
    ),
    (
        ShapeError,
        lambda: F.pad(cr.zeros(3), (1, 2, 3)),
        "pad: the input has the shape (3,); it takes up to 2 widths in pairs; got (1, 2, 3).",
    ),
    (
        ShapeError,
        lambda: F.pad(cr.zeros(3), (-2, -2)),
        "pad: the widths (-2, -2) cut more than the 3 elements off axis 0 of (3,).",
    ),
    (
        ShapeError,
        lambda: F.embedding_bag(cr.asarray([1, 2]), cr.ones((3, 2))),
        "embedding_bag: without offsets the indices must be [bags, size]; got the shape (2,).",
    ),
    (
        ShapeError,
        lambda: F.embedding_bag(cr.asarray([[1, 2]]), cr.ones((3, 2)), cr.asarray([0])),
        "embedding_bag: with offsets both must be vectors; got the shapes (1, 2) and (1,).",
    ),
    (
        ValueError,
        lambda: F.embedding_bag(cr.asarray([[1, 2]]), cr.ones((3, 2)), per_sample_weights=cr.ones((1, 2))),
        "embedding_bag.per_sample_weights needs mode=\"sum\"; got 'mean'.",
    ),
    (
        ShapeError,
        lambda: F.gaussian_nll_loss(cr.zeros((3, 4)), cr.zeros((3, 4)), cr.ones((4,))),
        "gaussian_nll_loss: the input has the shape (3, 4) and var (4,); "
        "var must have the same shape, no last axis, or size 1 there.",
    ),
    (
        ShapeError,
        lambda: F.margin_ranking_loss(X, X, cr.ones(3)),
        "margin_ranking_loss: the inputs are (2, 3, 4) and (2, 3, 4) and the target (3,); all need as many axes.",
    ),
    (
        DTypeError,
        lambda: F.multilabel_margin_loss(cr.zeros(3), cr.zeros(3)),
        "multilabel_margin_loss: the target must be integers; got float32: use .astype(cr.int64).",
    ),
    (
        ShapeError,
        lambda: F.multilabel_margin_loss(X, cr.zeros((2, 3, 4), dtype=cr.int64)),
        "multilabel_margin_loss needs an input [batch, classes] or [classes]; got the shape (2, 3, 4).",
    ),
    (
        ShapeError,
        lambda: F.triplet_margin_loss(X, X, X[0]),
        "triplet_margin_loss: the inputs are (2, 3, 4), (2, 3, 4) and (3, 4); all need as many axes.",
    ),
    (
        ValueError,
        lambda: F.triplet_margin_loss(X, X, X, margin=0.0),
        "triplet_margin_loss.margin must be a float > 0; got 0.0.",
    ),
]


@pytest.mark.parametrize("kind, call, message", REFUSED, ids=[row[2][:50] for row in REFUSED])
def test_what_is_refused(kind: type[Exception], call: Callable, message: str) -> None:
    with pytest.raises(kind) as error:
        call()
    assert getattr(error.value, "message", str(error.value)) == message
