"""Floor 5, networks: modules, layers, activations, losses, initial values, weights on disk.

What enters: tensors of a batch. What leaves: outputs and losses that remember how they were made. Names, arguments and
defaults are PyTorch's.
"""

from chainrule.core.tensor import Parameter
from chainrule.nn import functional, init
from chainrule.nn._hooks import HookHandle
from chainrule.nn._state import LoadReport
from chainrule.nn.activation import (
    ELU,
    GELU,
    SELU,
    Identity,
    LeakyReLU,
    LogSoftmax,
    PReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Swish,
    Tanh,
)
from chainrule.nn.class_loss import CrossEntropyLoss, MultiMarginLoss, NLLLoss
from chainrule.nn.container import ModuleDict, ModuleList, Sequential
from chainrule.nn.dropout import Dropout
from chainrule.nn.embedding import Embedding
from chainrule.nn.linear import Flatten, Linear
from chainrule.nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CosineEmbeddingLoss,
    HingeEmbeddingLoss,
    HingeLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    SmoothL1Loss,
)
from chainrule.nn.module import Module
from chainrule.nn.settings import Setting
from chainrule.nn.stateless import functional_call
from chainrule.nn.summary import LayerRow, Summary

__all__ = [
    # building
    "Module",
    "Parameter",
    "Setting",
    "Sequential",
    "ModuleList",
    "ModuleDict",
    # layers
    "Linear",
    "Flatten",
    "Dropout",
    "Embedding",
    # activations
    "Identity",
    "Sigmoid",
    "Tanh",
    "ReLU",
    "LeakyReLU",
    "PReLU",
    "ELU",
    "SELU",
    "SiLU",
    "Swish",
    "GELU",
    "Softplus",
    "Softmax",
    "LogSoftmax",
    # losses
    "MSELoss",
    "L1Loss",
    "HuberLoss",
    "SmoothL1Loss",
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "NLLLoss",
    "KLDivLoss",
    "HingeLoss",
    "HingeEmbeddingLoss",
    "MultiMarginLoss",
    "CosineEmbeddingLoss",
    # as functions
    "functional_call",
    # results
    "HookHandle",
    "LoadReport",
    "Summary",
    "LayerRow",
    # modules
    "functional",
    "init",
]
