"""Losses of `nn.functional` in the database."""

from __future__ import annotations

from tests.oracle.harness import Operator

import chainrule as cr
from chainrule.nn import functional as F

SAME_NAME = """
    mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits cross_entropy
    nll_loss kl_div poisson_nll_loss gaussian_nll_loss hinge_embedding_loss cosine_embedding_loss margin_ranking_loss
    soft_margin_loss multi_margin_loss multilabel_margin_loss multilabel_soft_margin_loss triplet_margin_loss
"""


def multi_margin_loss(x, target, **settings):
    """PyTorch lets one row have a label of shape (1,), and a number be a row."""
    if not x.ndim:
        y = multi_margin_loss(cr.reshape(x, 1), target, **settings)
        return y if settings.get("reduction", "mean") != "none" else cr.reshape(y, target.shape)
    if x.ndim == 1 and target.ndim:
        y = F.multi_margin_loss(x, cr.reshape(target, ()), **settings)
        return cr.reshape(y, target.shape) if settings.get("reduction", "mean") == "none" else y
    return F.multi_margin_loss(x, target, **settings)


def with_distance(anchor, positive, negative, distance_function=None, **settings):
    """The database gives PyTorch's own module for the distance of pairs, with its defaults."""
    distance = None if distance_function is None else F.pairwise_distance
    return F.triplet_margin_with_distance_loss(anchor, positive, negative, distance_function=distance, **settings)


OPERATORS = {f"nn.functional.{name}": Operator(getattr(F, name)) for name in SAME_NAME.split()} | {
    "nn.functional.multi_margin_loss": Operator(multi_margin_loss),
    "nn.functional.triplet_margin_with_distance_loss": Operator(with_distance),
}
