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
from chainrule.nn.adaptive import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
    GlobalAvgPool,
    GlobalMaxPool,
)
from chainrule.nn.avg_pool import AvgPool1d, AvgPool2d, AvgPool3d, LPPool1d, LPPool2d, LPPool3d
from chainrule.nn.blocks import (
    BasicBlock,
    Bottleneck,
    ConvBNReLU,
    Inception,
    Residual,
    SqueezeExcitation,
)
from chainrule.nn.class_loss import CrossEntropyLoss, MultiMarginLoss, NLLLoss
from chainrule.nn.container import ModuleDict, ModuleList, Sequential
from chainrule.nn.conv import Conv1d, Conv2d, Conv3d
from chainrule.nn.conv_transpose import (
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from chainrule.nn.dropout import (
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
)
from chainrule.nn.embedding import Embedding
from chainrule.nn.layer_norm import (
    GroupNorm,
    LayerNorm,
    LocalResponseNorm,
    RMSNorm,
)
from chainrule.nn.linear import Flatten, Linear, Unflatten
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
from chainrule.nn.norm import BatchNorm1d, BatchNorm2d, BatchNorm3d, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from chainrule.nn.padding import (
    CircularPad1d,
    CircularPad2d,
    CircularPad3d,
    ConstantPad1d,
    ConstantPad2d,
    ConstantPad3d,
    ReflectionPad1d,
    ReflectionPad2d,
    ReflectionPad3d,
    ReplicationPad1d,
    ReplicationPad2d,
    ReplicationPad3d,
    ZeroPad1d,
    ZeroPad2d,
    ZeroPad3d,
)
from chainrule.nn.pool import (
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    MaxUnpool1d,
    MaxUnpool2d,
    MaxUnpool3d,
    MinPool1d,
    MinPool2d,
    MinPool3d,
)
from chainrule.nn.resize import (
    ChannelShuffle,
    InvertiblePool2d,
    PixelShuffle,
    PixelUnshuffle,
    Upsample,
)
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
    "Unflatten",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "Embedding",
    # convolution
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    # pooling
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MinPool1d",
    "MinPool2d",
    "MinPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "GlobalMaxPool",
    "GlobalAvgPool",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
    # sizes
    "Upsample",
    "PixelShuffle",
    "PixelUnshuffle",
    "ChannelShuffle",
    "InvertiblePool2d",
    # borders
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    # normalisation
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "GroupNorm",
    "RMSNorm",
    "LocalResponseNorm",
    # blocks
    "Residual",
    "ConvBNReLU",
    "BasicBlock",
    "Bottleneck",
    "Inception",
    "SqueezeExcitation",
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
