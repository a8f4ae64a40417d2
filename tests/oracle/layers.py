"""`nn.functional` entries of the database: convolution, pooling, normalisation, activations, attention, embedding."""

from __future__ import annotations

from typing import Any

from tests.oracle.harness import Operator
from tests.oracle.shapes import atleast

import chainrule as cr
from chainrule.nn import functional as F

SAME_NAME = """
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d unfold
    avg_pool1d avg_pool3d max_pool1d max_pool2d max_pool3d
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
    batch_norm group_norm instance_norm layer_norm rms_norm local_response_norm normalize
    linear bilinear pairwise_distance pdist
    relu relu6 leaky_relu elu celu selu silu gelu mish prelu hardswish hardtanh hardshrink softshrink
    softmin softsign softplus logsigmoid tanhshrink threshold glu
    grid_sample pixel_shuffle pixel_unshuffle channel_shuffle
"""

LOST = (
    "the samples repeat indices: PyTorch gives the gradient to elements that were overwritten, too. "
    "The entry ending in /grad compares gradients"
)


def softmax(function: Any) -> Operator:
    """Return a softmax over `dim`, in another dtype if one is given; a tensor without axes is one class."""

    def call(x, dim, dtype=None):
        x = x if dtype is None else x.astype(dtype)
        return function(x, dim) if x.ndim else cr.reshape(function(cr.reshape(x, 1), 0), ())

    return Operator(call)


def cosine_similarity(x, y, dim=1, eps=1e-8):
    x, y = (atleast(1)(t) for t in (x, y)) if not x.ndim and not y.ndim else (x, y)
    return F.cosine_similarity(x, y, dim, eps)


def resized(mode: str) -> Operator:
    """Return an interpolation; without a mode of its own upsample_bilinear aligns the corners."""
    extra = {"align_corners": True} if mode == "bilinear" else {}
    return Operator(lambda x, size=None, scale_factor=None: F.interpolate(x, size, scale_factor, mode=mode, **extra))


def embedding(weight, indices, **settings):
    return F.embedding(indices, weight, **settings)


def grid_sampler(x, grid, mode, padding_mode, align_corners):
    words = ("bilinear", "nearest", "bicubic")[mode], ("zeros", "border", "reflection")[padding_mode]
    return F.grid_sample(x, grid, *words, align_corners)


def embedding_bag(weight, indices, **settings):
    return F.embedding_bag(indices, weight, **settings)


MODES = ("nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area")
OPERATORS = {f"nn.functional.{name}": Operator(getattr(F, name)) for name in SAME_NAME.split()} | {
    **{f"nn.functional.interpolate/{mode}": Operator(F.interpolate) for mode in MODES},
    "nn.functional.upsample_nearest": resized("nearest"),
    "nn.functional.upsample_bilinear": resized("bilinear"),
    "nn.functional.hardsigmoid": Operator(
        F.hardsigmoid, rtol=1e-7, why="in its gradient PyTorch multiplies by 1/6 rounded to float32"
    ),
    "nn.functional.embedding_bag": Operator(embedding_bag),
    "nn.functional.embedding": Operator(embedding),
    "nn.functional.cosine_similarity": Operator(cosine_similarity),
    "nn.functional.softmin/with_dtype": Operator(F.softmin),
    "nn.functional.feature_alpha_dropout/without_train": Operator(F.feature_alpha_dropout),
    "softmax": softmax(F.softmax),
    "softmax/with_dtype": softmax(F.softmax),
    "log_softmax": softmax(F.log_softmax),
    "log_softmax/with_dtype": softmax(F.log_softmax),
    **{f"nn.functional.max_unpool{n}d": Operator(getattr(F, f"max_unpool{n}d"), order=0, why=LOST) for n in (1, 2, 3)},
    "nn.functional.avg_pool2d": Operator(
        lambda x, size, stride=None, *rest, **settings: F.avg_pool2d(x, size, stride or None, *rest, **settings)
    ),
    "nn.functional.max_unpool1d/grad": Operator(F.max_unpool1d),
    "nn.functional.max_unpool2d/grad": Operator(F.max_unpool2d),
    "nn.functional.max_unpool3d/grad": Operator(F.max_unpool3d),
    "grid_sampler_2d": Operator(grid_sampler),
    "grid_sampler_3d": Operator(grid_sampler),
}
