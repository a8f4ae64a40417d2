"""Every layer and loss with inputs, for the contract tests."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import chainrule as cr
from chainrule import nn


class Case(NamedTuple):
    """How to build a module, and the arguments of its forward, batch first."""

    name: str
    make: Callable[[], nn.Module]
    inputs: tuple
    batched: bool = True


def floats(*shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0) -> cr.Tensor:
    values = np.random.default_rng(seed).uniform(low, high, shape)
    return cr.asarray(values.astype(np.float32))


def labels(*shape: int, classes: int, seed: int = 1) -> cr.Tensor:
    return cr.asarray(np.random.default_rng(seed).integers(0, classes, shape))


def signs(*shape: int) -> cr.Tensor:
    return cr.asarray(np.random.default_rng(2).choice([-1.0, 1.0], shape).astype(np.float32))


class Net(nn.Module):
    """A user's network: a shared layer, a list, a buffer, dropout."""

    def __init__(self):
        self.encoder = nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 6)])
        self.again = self.encoder[0]
        self.drop = nn.Dropout(0.25)
        self.head = nn.Sequential({"act": nn.GELU(), "out": nn.Linear(6, 3)})
        self.register_buffer("scale", cr.ones((6,)))

    def forward(self, x):
        for layer in self.encoder:
            x = cr.tanh(layer(x)) * self.scale
        return self.head(self.drop(self.again(x)))


_X = floats(4, 6)
_ACTIVATIONS = [
    nn.Identity, nn.Sigmoid, nn.Tanh, nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.SiLU, nn.GELU, nn.Softplus,
]  # fmt: skip

_SEQUENCE, _IMAGE, _VOLUME = floats(4, 4, 9), floats(4, 4, 7, 6), floats(4, 4, 5, 4, 4)
_SPATIAL = {1: _SEQUENCE, 2: _IMAGE, 3: _VOLUME}


def per_axes(name: str, *args, dims: tuple[int, ...] = (1, 2, 3), batched: bool = True, **options) -> list[Case]:
    """Return a case of a layer for each number of spatial axes."""
    return [
        Case(f"{name}{n}d {options}", functools.partial(getattr(nn, f"{name}{n}d"), *args, **options), (_SPATIAL[n],),
             batched)
        for n in dims
    ]  # fmt: skip


CONVOLUTIONAL = [
    *per_axes("Conv", 4, 6, 3),
    *per_axes("Conv", 4, 6, 3, stride=2, padding=1, bias=False),
    *per_axes("Conv", 4, 8, 2, dims=(2,), dilation=2, groups=4, padding="same", padding_mode="circular"),
    *per_axes("Conv", 4, 8, (3, 1), dims=(2,), padding="valid"),
    *(case for kind in ("MaxPool", "MinPool", "AvgPool") for case in per_axes(kind, 3, stride=2, padding=1)),
    *per_axes("MaxPool", 2, dims=(2,), return_indices=True, ceil_mode=True, dilation=2),
    *per_axes("AvgPool", 2, dims=(2,), count_include_pad=False, divisor_override=3),
    *per_axes("LPPool", 2, 2),
    *(case for kind in ("AdaptiveAvgPool", "AdaptiveMaxPool") for case in per_axes(kind, 3)),
    *per_axes("AdaptiveMaxPool", (None, 1), dims=(2,), return_indices=True),
    Case("GlobalAvgPool", nn.GlobalAvgPool, (_IMAGE,)),
    Case("GlobalMaxPool", nn.GlobalMaxPool, (_IMAGE,)),
    *[
        Case(f"MaxUnpool{n}d", functools.partial(getattr(nn, f"MaxUnpool{n}d"), 2),
             getattr(cr, f"max_pool{n}d")(_SPATIAL[n], 2, return_indices=True))
        for n in (1, 2, 3)
    ],
    *per_axes("ConvTranspose", 4, 6, 3, stride=2, padding=1, output_padding=1),
    *per_axes("ConvTranspose", 4, 8, (3, 2), dims=(2,), groups=2, dilation=2, bias=False),
    *(case for kind in ("ZeroPad", "ReflectionPad", "ReplicationPad", "CircularPad") for case in per_axes(kind, 2)),
    *per_axes("ConstantPad", 1, 0.5),
    *per_axes("ReflectionPad", (0, 1, 2, 3), dims=(2,)),
    Case("Upsample", lambda: nn.Upsample(scale_factor=2), (_IMAGE,)),
    Case("Upsample bicubic", lambda: nn.Upsample(size=[5, 9], mode="bicubic", align_corners=True), (_IMAGE,)),
    Case("PixelShuffle", lambda: nn.PixelShuffle(2), (_IMAGE,)),
    Case("PixelUnshuffle", lambda: nn.PixelUnshuffle(3), (floats(4, 2, 3, 6),)),
    Case("InvertiblePool2d", lambda: nn.InvertiblePool2d(3), (floats(4, 2, 3, 6),)),
    Case("ChannelShuffle", lambda: nn.ChannelShuffle(2), (_IMAGE,)),
    Case("Unflatten", lambda: nn.Unflatten(-1, (2, -1)), (_X,)),
    *per_axes("Dropout", 0.4),
    *per_axes("BatchNorm", 4),
    *per_axes("BatchNorm", 4, dims=(2,), momentum=None, affine=False),
    *per_axes("BatchNorm", 4, dims=(2,), track_running_stats=False, batched=False),
    Case("BatchNorm1d of features", lambda: nn.BatchNorm1d(6), (_X,)),
    *per_axes("InstanceNorm", 4),
    *per_axes("InstanceNorm", 4, dims=(2,), affine=True, track_running_stats=True),
    Case("LayerNorm", lambda: nn.LayerNorm(6), (_X,)),
    Case("LayerNorm of pictures", lambda: nn.LayerNorm((7, 6), bias=False), (_IMAGE,)),
    Case("LayerNorm plain", lambda: nn.LayerNorm([6], eps=1e-3, elementwise_affine=False), (_X,)),
    Case("RMSNorm", lambda: nn.RMSNorm(6), (_X,)),
    Case("RMSNorm plain", lambda: nn.RMSNorm((7, 6), eps=1e-3, elementwise_affine=False), (_IMAGE,)),
    Case("GroupNorm", lambda: nn.GroupNorm(2, 4), (_IMAGE,)),
    Case("GroupNorm plain", lambda: nn.GroupNorm(4, 4, affine=False), (_IMAGE,)),
    Case("LocalResponseNorm", lambda: nn.LocalResponseNorm(3, alpha=0.3, k=2.0), (_IMAGE,)),
    Case("Residual", lambda: nn.Residual(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())), (_IMAGE,)),
    Case("BasicBlock", lambda: nn.BasicBlock(4, 4), (_IMAGE,)),
    Case("BasicBlock with stride", lambda: nn.BasicBlock(4, 6, stride=2), (_IMAGE,)),
    Case("Bottleneck", lambda: nn.Bottleneck(4, 2, stride=2), (_IMAGE,)),
    Case("ConvBNReLU", lambda: nn.ConvBNReLU(4, 3, (1, 3), padding=(0, 1)), (_IMAGE,)),
    Case("Inception", lambda: nn.Inception(4, 2, 3, 4, 1, 2, 3), (_IMAGE,)),
    Case("SqueezeExcitation", lambda: nn.SqueezeExcitation(4, 2), (_IMAGE,)),
]  # fmt: skip

LAYERS = [
    Case("Linear", lambda: nn.Linear(6, 3), (_X,)),
    Case("Linear no bias", lambda: nn.Linear(6, 3, bias=False), (_X,)),
    Case("Linear on time", lambda: nn.Linear(6, 3), (floats(4, 5, 6),)),
    Case("Flatten", lambda: nn.Flatten(), (floats(4, 2, 3),)),
    Case("Flatten all axes", lambda: nn.Flatten(0, 1), (floats(4, 2, 3),), batched=False),
    Case("Dropout", lambda: nn.Dropout(0.4), (_X,)),
    Case("Dropout off", lambda: nn.Dropout(0.0), (_X,)),
    Case("Embedding", lambda: nn.Embedding(7, 3), (labels(4, 2, classes=7),)),
    Case("Embedding padded", lambda: nn.Embedding(7, 3, padding_idx=-1), (labels(4, 2, classes=7),)),
    *[Case(kind.__name__, kind, (_X,)) for kind in _ACTIVATIONS],
    Case("PReLU per channel", lambda: nn.PReLU(6, init=0.1), (floats(4, 6, 2),)),
    Case("LeakyReLU 0.2", lambda: nn.LeakyReLU(negative_slope=0.2), (_X,)),
    Case("ELU 0.5", lambda: nn.ELU(alpha=0.5), (_X,)),
    Case("GELU tanh", lambda: nn.GELU(approximate="tanh"), (_X,)),
    Case("Softplus sharp", lambda: nn.Softplus(beta=3.0, threshold=2.0), (_X,)),
    Case("Softmax", lambda: nn.Softmax(dim=1), (_X,)),
    Case("LogSoftmax", lambda: nn.LogSoftmax(dim=-1), (_X,)),
    Case("Sequential", lambda: nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Dropout(0.3), nn.Linear(4, 2)), (_X,)),
    Case("Net", Net, (_X,)),
    *CONVOLUTIONAL,
]

_P, _Q = floats(4, 3, low=0.1, high=0.9), floats(4, 3, low=0.1, high=0.9, seed=3)
_LOGITS, _LABELS = floats(4, 5), labels(4, classes=5)
_PROBABILITIES = cr.softmax(floats(4, 5, seed=4), axis=1)
LOSSES = [
    *[Case(kind.__name__, kind, (floats(4, 3), floats(4, 3, seed=3)), False)
      for kind in (nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.SmoothL1Loss)],
    Case("HuberLoss 0.5", lambda: nn.HuberLoss(delta=0.5), (floats(4, 3), floats(4, 3, seed=3)), False),
    Case("SmoothL1Loss sum", lambda: nn.SmoothL1Loss("sum", beta=0.0), (floats(4, 3), floats(4, 3, seed=3)), False),
    Case("MSELoss none", lambda: nn.MSELoss(reduction="none"), (floats(4, 3), floats(4, 3, seed=3))),
    Case("BCELoss", nn.BCELoss, (_P, _Q), False),
    Case("BCELoss weighted", lambda: nn.BCELoss(weight=[0.5, 1.0, 2.0]), (_P, _Q), False),
    Case("BCEWithLogitsLoss", nn.BCEWithLogitsLoss, (floats(4, 3), _Q), False),
    Case("BCEWithLogitsLoss weighted", lambda: nn.BCEWithLogitsLoss([1.0, 2.0, 3.0], pos_weight=[3.0, 1.0, 0.5]),
         (floats(4, 3), _Q), False),
    Case("CrossEntropyLoss", nn.CrossEntropyLoss, (_LOGITS, _LABELS), False),
    Case("CrossEntropyLoss none", lambda: nn.CrossEntropyLoss(reduction="none"), (_LOGITS, _LABELS)),
    Case("CrossEntropyLoss smoothed",
         lambda: nn.CrossEntropyLoss([1.0, 2.0, 0.5, 1.5, 1.0], ignore_index=2, label_smoothing=0.125),
         (_LOGITS, _LABELS), False),
    Case("CrossEntropyLoss probabilities", nn.CrossEntropyLoss, (_LOGITS, _PROBABILITIES), False),
    Case("NLLLoss", nn.NLLLoss, (_LOGITS, _LABELS), False),
    Case("KLDivLoss", lambda: nn.KLDivLoss("batchmean"), (floats(4, 5, low=-3.0, high=-0.1), _PROBABILITIES), False),
    Case("KLDivLoss log", lambda: nn.KLDivLoss(log_target=True),
         (floats(4, 5, low=-3.0, high=-0.1), floats(4, 5, low=-3.0, high=-0.1, seed=6)), False),
    Case("HingeLoss", lambda: nn.HingeLoss(margin=0.5), (floats(4, 3), signs(4, 3)), False),
    Case("HingeEmbeddingLoss", lambda: nn.HingeEmbeddingLoss(1.5), (floats(4, 3), signs(4, 3)), False),
    Case("MultiMarginLoss", nn.MultiMarginLoss, (_LOGITS, _LABELS), False),
    Case("MultiMarginLoss squared", lambda: nn.MultiMarginLoss(p=2, margin=0.5, weight=[1.0, 2.0, 0.5, 1.5, 1.0]),
         (_LOGITS, _LABELS), False),
    Case("CosineEmbeddingLoss", lambda: nn.CosineEmbeddingLoss(0.1),
         (floats(4, 3), floats(4, 3, seed=5), signs(4)), False),
]  # fmt: skip
