"""Every function of nn.functional: both modes to second order against central differences, and vmap against a loop.

What `nn.functional` only hands on from `cr` stands in tests/autodiff/test_functions.py. A new function that stands in
neither fails. Points are away from kinks.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.nn import functional as F
from chainrule.testing import assert_close

X, BATCH, IMAGE = (3, 4), (3, 4, 5), (2, 4, 3, 3)
LABELS, SIGNS = cr.asarray([1, 3, 0]), cr.asarray([1.0, -1.0, 1.0], dtype=cr.float64)
BITS = cr.asarray([[0.0, 1.0, 1.0, 0.0]] * 3, dtype=cr.float64)
MANY = cr.asarray([[0, 2, -1, 1], [3, -1, 0, 0], [1, 2, 3, -1]])


def seeded(name: str, *rest: Any, **options: Any) -> Any:
    """Return a call that draws the same random numbers each time."""
    return lambda x: getattr(F, name)(x, *rest, **options, generator=cr.Generator(0))


def called(name: str, *rest: Any, **options: Any) -> Any:
    return lambda *xs: getattr(F, name)(*xs, *rest, **options)


def probability(x: Any) -> Any:
    return cr.sigmoid(x)


CASES: dict[str, tuple] = {  # name -> function, and the shapes of its arguments
    **{name: (called(name), X) for name in ("logsigmoid", "identity", "softplus", "hardtanh", "relu6", "hardsigmoid")},
    **{name: (called(name), X) for name in ("hardswish", "celu", "mish", "softsign", "hardshrink", "softshrink")},
    **{name: (called(name), X) for name in ("tanhshrink", "glu", "normalize", "pdist", "rrelu")},
    **{name: (called(name, 1), X) for name in ("softmax", "log_softmax", "softmin")},
    **{name: (called(name), X, X) for name in ("mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss")},
    **{name: (called(name), X, X) for name in ("cosine_similarity", "pairwise_distance", "cdist")},
    "dropout": (seeded("dropout", 0.4), X),
    "alpha_dropout": (seeded("alpha_dropout", 0.4, True), X),
    **{name: (seeded(name, 0.4, True), IMAGE) for name in ("dropout2d", "feature_alpha_dropout")},
    "dropout1d": (seeded("dropout1d", 0.4), BATCH),
    "dropout3d": (seeded("dropout3d", 0.4), (2, 2, 2, 2, 2)),
    "gumbel_softmax": (seeded("gumbel_softmax"), X),
    "threshold": (called("threshold", 0.03, -1.0), X),
    "linear": (F.linear, X, (2, 4), (2,)),
    "bilinear": (F.bilinear, X, (3, 5), (2, 4, 5), (2,)),
    "prelu": (F.prelu, X, (4,)),
    "pad": (called("pad", (1, 2)), X),
    "embedding": (lambda w: F.embedding(LABELS, w), (4, 2)),
    "embedding_bag": (lambda w: F.embedding_bag(cr.asarray([[1, 0], [2, 2]]), w), X),
    "batch_norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), IMAGE, (4,), (4,)),
    "instance_norm": (F.instance_norm, IMAGE),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (4,), w, b), X, (4,), (4,)),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), IMAGE, (4,), (4,)),
    "rms_norm": (lambda x, w: F.rms_norm(x, (4,), w), X, (4,)),
    "local_response_norm": (called("local_response_norm", 3), IMAGE),
    "convolve": (called("convolve", mode="full"), BATCH, (2, 3)),
    "cross_correlate": (called("cross_correlate", mode="same"), X, (2, 3)),
    "scaled_dot_product_attention": (F.scaled_dot_product_attention, (2, 3, 4), (2, 5, 4), (2, 5, 3)),
    "binary_cross_entropy": (lambda x: F.binary_cross_entropy(probability(x), BITS), X),
    "binary_cross_entropy_with_logits": (lambda x: F.binary_cross_entropy_with_logits(x, BITS), X),
    "cross_entropy": (lambda x: F.cross_entropy(x, LABELS, label_smoothing=0.1), X),
    "nll_loss": (lambda x: F.nll_loss(cr.log_softmax(x), LABELS), X),
    "kl_div": (lambda x, y: F.kl_div(cr.log_softmax(x), cr.softmax(y), reduction="batchmean"), X, X),
    "hinge_loss": (lambda x: F.hinge_loss(x, SIGNS), (3,)),
    "hinge_embedding_loss": (lambda x: F.hinge_embedding_loss(x, SIGNS), (3,)),
    "multi_margin_loss": (lambda x: F.multi_margin_loss(x, LABELS, p=2), X),
    "cosine_embedding_loss": (lambda x, y: F.cosine_embedding_loss(x, y, SIGNS, margin=-0.9), X, X),
    "poisson_nll_loss": (lambda x: F.poisson_nll_loss(x, BITS), X),
    "gaussian_nll_loss": (lambda x, y, v: F.gaussian_nll_loss(x, y, cr.exp(v)), X, X, X),
    "soft_margin_loss": (lambda x: F.soft_margin_loss(x, 2 * BITS - 1), X),
    "margin_ranking_loss": (lambda x, y: F.margin_ranking_loss(x, y, SIGNS, margin=0.2), (3,), (3,)),
    "multilabel_margin_loss": (lambda x: F.multilabel_margin_loss(x, MANY), X),
    "multilabel_soft_margin_loss": (lambda x: F.multilabel_soft_margin_loss(x, BITS), X),
    "triplet_margin_loss": (F.triplet_margin_loss, X, X, X),
    "triplet_margin_with_distance_loss": (F.triplet_margin_with_distance_loss, X, X, X),
}
RANDOM = {name for name in CASES if "dropout" in name or name == "gumbel_softmax"}  # each sample draws its own numbers


def arguments(name: str) -> list[cr.Tensor]:
    """Return distinct numbers in random order, none of them near 0 or another kink of the cases."""
    found = []
    for number, shape in enumerate(CASES[name][1:]):
        size = int(np.prod(shape))
        seed = zlib.crc32(name.encode()) + number
        values = np.linspace(-1.5, 1.7, 2 * size + 2)[1:-1:2] + (seed % 7) * 1e-3
        found.append(cr.asarray(np.random.default_rng(seed).permutation(values).reshape(shape)))
    return found


@pytest.mark.parametrize("name", CASES)
def test_both_modes_to_second_order(name):
    cr.check_gradients(CASES[name][0], *arguments(name), order=2, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in CASES if name not in RANDOM])
def test_a_batch_is_a_loop(name):
    batch = [cr.stack([x, x * 1.001]) for x in arguments(name)]
    found = cr.vmap(CASES[name][0])(*batch)
    for row in range(2):
        assert_close(found[row], CASES[name][0](*(x[row] for x in batch)), rtol=1e-9, atol=1e-9)


def test_every_function_is_here_or_comes_from_the_tensors():
    from_tensors = {name for name in F.__all__ if getattr(F, name) is getattr(cr, name, None)}
    missing = sorted(set(F.__all__) - from_tensors - set(CASES))
    assert missing == [], f"add {', '.join(missing)} to CASES"
