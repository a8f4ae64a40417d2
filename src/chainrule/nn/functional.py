"""Layers, activations and losses as functions, with PyTorch's names and arguments.

What a module keeps, the caller passes: weights, the mode (`training=`), the generator. Functions without parameters of
their own (`relu`, `sigmoid`, `one_hot`) are those of `cr`.
"""

from chainrule.nn._class_losses import cross_entropy, multi_margin_loss, nll_loss
from chainrule.nn._functions import (
    cosine_similarity,
    dropout,
    embedding,
    identity,
    linear,
    log_softmax,
    prelu,
    softmax,
    softplus,
)
from chainrule.nn._losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_embedding_loss,
    hinge_embedding_loss,
    hinge_loss,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)
from chainrule.ops import elu, gelu, leaky_relu, log_sigmoid, one_hot, relu, selu, sigmoid, silu, tanh

logsigmoid = log_sigmoid  # PyTorch's spelling

__all__ = [
    # layers
    "linear",
    "dropout",
    "embedding",
    "one_hot",
    "cosine_similarity",
    # activations
    "identity",
    "sigmoid",
    "logsigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "prelu",
    "elu",
    "selu",
    "silu",
    "gelu",
    "softplus",
    "softmax",
    "log_softmax",
    # losses
    "mse_loss",
    "l1_loss",
    "huber_loss",
    "smooth_l1_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "nll_loss",
    "kl_div",
    "hinge_loss",
    "hinge_embedding_loss",
    "multi_margin_loss",
    "cosine_embedding_loss",
]
