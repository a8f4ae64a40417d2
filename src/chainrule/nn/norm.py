"""Batch and instance normalisation layers, with PyTorch's names, arguments, state and order of updates.

    y = (x - mean) / sqrt(var + eps) w + b

In train mode mean and variance are those of the batch (or of each sample), and running statistics follow them; in eval
mode the running statistics are used. They are buffers, so a compiled step updates them in place. Normalisation without
statistics stands in `layer_norm.py`.
"""

from __future__ import annotations

from typing import Any

from chainrule.core.context import no_grad
from chainrule.core.errors import ShapeError
from chainrule.core.tensor import Parameter, Tensor
from chainrule.nn import init
from chainrule.nn._checks import flag, float_dtype, integer, number, refuse, same_dtype, tensor_input
from chainrule.nn._norms import batch_norm, instance_norm
from chainrule.nn.module import Module
from chainrule.ops import empty, ones, reshape, zeros
from chainrule.ops._inputs import cast
from chainrule.ops._windows import SPATIAL

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"]


# ---------------------------------------------------------------------------------------------------- shared parts
class _Normalised(Module):
    """Scale, shift and running statistics per channel."""

    optional_state = ("num_batches_tracked",)  # unknown to files from before PyTorch 0.4.1, such as torchvision's
    axes = 2
    batchless = False  # whether an input may come without the batch axis

    def _make(
        self, num_features: int, eps: float, momentum: float | None, affine: bool, track: bool, dtype: Any
    ) -> None:
        owner = type(self).__name__
        self.num_features = integer(owner, "num_features", num_features)
        self.eps = number(owner, "eps", eps)
        self.momentum = None if momentum is None else number(owner, "momentum", momentum)
        self.affine = flag(owner, "affine", affine)
        self.track_running_stats = flag(owner, "track_running_stats", track)
        shape, kind = (num_features,), float_dtype(owner, dtype)
        for name in ("weight", "bias"):
            self.register_parameter(name, Parameter(empty(shape, dtype=kind)) if affine else None)
        self.register_buffer("running_mean", zeros(shape, dtype=kind) if track else None)
        self.register_buffer("running_var", ones(shape, dtype=kind) if track else None)
        self.register_buffer("num_batches_tracked", zeros((), dtype="int64") if track else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the running statistics: mean 0, variance 1, no batch seen."""
        if self.running_mean is not None:
            with no_grad():
                self.running_mean.assign_(zeros(self.running_mean.shape, dtype=self.running_mean.dtype))
                self.running_var.assign_(ones(self.running_var.shape, dtype=self.running_var.dtype))
                self.num_batches_tracked.assign_(zeros((), dtype="int64"))

    def reset_parameters(self) -> None:
        """Set scale 1 and shift 0, and forget the running statistics."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
            init.zeros_(self.bias)

    def _arguments(self) -> dict[str, Any]:
        kept = self.weight if self.weight is not None else self.running_mean
        name = "float32" if kept is None else kept.dtype.name
        return {"dtype": None if name == "float32" else name}

    def _input(self, x: Any) -> Tensor:
        """Return x after a check of its axes and channels."""
        x, n = tensor_input(self, x), self.axes
        words = SPATIAL[n].replace("channels", str(self.num_features))
        shapes = {n + 2: f"[batch, {words}]"}
        if self.batchless:
            shapes[n + 1] = f"[{words}]"
        elif n == 1:
            shapes[2] = f"[batch, {self.num_features}]"
        if x.ndim not in shapes:
            raise refuse(ShapeError, f"{self} got {x.shape}; it needs {' or '.join(shapes.values())}.")
        axis = 0 if self.batchless and x.ndim == n + 1 else 1
        if x.shape[axis] != self.num_features:
            raise refuse(
                ShapeError, f"{self} got {x.shape}; its axis {axis}, the channels, must be {self.num_features}."
            )
        if self.weight is not None:
            same_dtype(self, x, self.weight.dtype)
        return x


class _BatchNorm(_Normalised):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: Any = None,
    ):
        super().__init__()
        self._make(num_features, eps, momentum, affine, track_running_stats, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalised per channel; in train mode the running statistics move."""
        x = self._input(x)
        mean, var, seen = self.running_mean, self.running_var, self.num_batches_tracked
        if not self.training or mean is None:
            return batch_norm(x, mean, var, self.weight, self.bias, mean is None, 0.0, self.eps)
        with no_grad():
            count = seen + 1
            factor = self.momentum if self.momentum is not None else 1.0 / cast(count, mean.dtype)
        y = batch_norm(x, mean, var, self.weight, self.bias, True, factor, self.eps)
        with no_grad():
            seen.assign_(count)
        return y


class _InstanceNorm(_Normalised):
    batchless = True

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        dtype: Any = None,
    ):
        super().__init__()
        self._make(num_features, eps, momentum, affine, track_running_stats, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalised per channel and sample; in train mode the running statistics move."""
        x = self._input(x)
        single = x.ndim == self.axes + 1
        mean, var = self.running_mean, self.running_var
        own = self.training or mean is None
        momentum = 0.0 if self.momentum is None else self.momentum
        whole = reshape(x, (1, *x.shape)) if single else x
        y = instance_norm(whole, mean, var, self.weight, self.bias, own, momentum, self.eps)
        return reshape(y, x.shape) if single else y


# ---------------------------------------------------------------------------------------------------- layers
class BatchNorm1d(_BatchNorm):
    """Batch normalisation of features or sequences: mean 0 and variance 1 per channel over the batch.

        y = (x - mean) / sqrt(var + eps) w + b

    Args:
        num_features: number of channels, >= 1.
        eps: added to the variance, mostly > 0; default 1e-5.
        momentum: by which part the running statistics move with each batch, mostly in [0, 1]; None: they are the plain
            mean over all batches; default 0.1.
        affine: whether there are scale w and shift b; default True.
        track_running_stats: whether running statistics are kept; without, eval mode too takes those of the batch;
            default True.
        dtype: float dtype of parameters and statistics; default float32.
    Call:
        x: float tensor [batch, channels] or [batch, channels, length]  ->  tensor of the same shape.
            In train mode the statistics are those of the batch, with the variance of a population, and the running
            statistics move (their variance is that of a sample, n / (n - 1) as large); in eval mode the running ones
            are used.
    Attributes:
        weight: w, [num_features], ones at first; None without `affine`.
        bias: b, [num_features], zeros at first; None without `affine`.
        running_mean: [num_features], zeros at first; None without `track_running_stats`.
        running_var: [num_features], ones at first; likewise.
        num_batches_tracked: int64, how many batches the running statistics have seen; likewise.
    Raises:
        ValueError: a setting outside its range.
        ShapeError: another number of axes or channels, or one value per channel in training.
        DTypeError: the input's dtype differs from the parameters'.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.BatchNorm1d(3)
        >>> layer, layer(cr.ones((4, 3, 8))).shape, int(layer.num_batches_tracked)
        (BatchNorm1d(3), (4, 3, 8), 1)

    Source: Ioffe and Szegedy, ICML 2015.
    """

    axes = 1


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of pictures: mean 0 and variance 1 per channel over the batch.

        y = (x - mean) / sqrt(var + eps) w + b

    Args:
        num_features: number of channels, >= 1.
        eps: added to the variance, mostly > 0; default 1e-5.
        momentum: by which part the running statistics move with each batch, mostly in [0, 1]; None: they are the plain
            mean over all batches; default 0.1.
        affine: whether there are scale w and shift b; default True.
        track_running_stats: whether running statistics are kept; without, eval mode too takes those of the batch;
            default True.
        dtype: float dtype of parameters and statistics; default float32.
    Call:
        x: float tensor [batch, channels, height, width]  ->  tensor of the same shape.
            In train mode the statistics are those of the batch, with the variance of a population, and the running
            statistics move (their variance is that of a sample, n / (n - 1) as large); in eval mode the running ones
            are used.
    Attributes:
        weight: w, [num_features], ones at first; None without `affine`.
        bias: b, [num_features], zeros at first; None without `affine`.
        running_mean: [num_features], zeros at first; None without `track_running_stats`.
        running_var: [num_features], ones at first; likewise.
        num_batches_tracked: int64, how many batches the running statistics have seen; likewise.
    Raises:
        ValueError: a setting outside its range.
        ShapeError: another number of axes or channels, or one value per channel in training.
        DTypeError: the input's dtype differs from the parameters'.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.BatchNorm2d(3)
        >>> layer, layer(cr.ones((4, 3, 8, 8))).shape, int(layer.num_batches_tracked)
        (BatchNorm2d(3), (4, 3, 8, 8), 1)

    Source: Ioffe and Szegedy, ICML 2015.
    """

    axes = 2


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of volumes: mean 0 and variance 1 per channel over the batch.

        y = (x - mean) / sqrt(var + eps) w + b

    Args:
        num_features: number of channels, >= 1.
        eps: added to the variance, mostly > 0; default 1e-5.
        momentum: by which part the running statistics move with each batch, mostly in [0, 1]; None: they are the plain
            mean over all batches; default 0.1.
        affine: whether there are scale w and shift b; default True.
        track_running_stats: whether running statistics are kept; without, eval mode too takes those of the batch;
            default True.
        dtype: float dtype of parameters and statistics; default float32.
    Call:
        x: float tensor [batch, channels, depth, height, width]  ->  tensor of the same shape.
            In train mode the statistics are those of the batch, with the variance of a population, and the running
            statistics move (their variance is that of a sample, n / (n - 1) as large); in eval mode the running ones
            are used.
    Attributes:
        weight: w, [num_features], ones at first; None without `affine`.
        bias: b, [num_features], zeros at first; None without `affine`.
        running_mean: [num_features], zeros at first; None without `track_running_stats`.
        running_var: [num_features], ones at first; likewise.
        num_batches_tracked: int64, how many batches the running statistics have seen; likewise.
    Raises:
        ValueError: a setting outside its range.
        ShapeError: another number of axes or channels, or one value per channel in training.
        DTypeError: the input's dtype differs from the parameters'.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.BatchNorm3d(3)
        >>> layer, layer(cr.ones((4, 3, 8, 8, 8))).shape, int(layer.num_batches_tracked)
        (BatchNorm3d(3), (4, 3, 8, 8, 8), 1)

    Source: Ioffe and Szegedy, ICML 2015.
    """

    axes = 3


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of sequences: mean 0 and variance 1 per channel of each sample.

        y = (x - mean) / sqrt(var + eps) w + b

    Args:
        num_features: number of channels, >= 1.
        eps: added to the variance, mostly > 0; default 1e-5.
        momentum: by which part the running statistics move with each batch, mostly in [0, 1]; None: not at all;
            default 0.1.
        affine: whether there are scale w and shift b; default False.
        track_running_stats: whether running statistics are kept, and used in eval mode; default False.
        dtype: float dtype of parameters and statistics; default float32.
    Call:
        x: float tensor [batch, channels, length], or without the batch axis  ->
            tensor of the same shape.
    Attributes:
        weight: w, [num_features], ones at first; None without `affine`.
        bias: b, [num_features], zeros at first; None without `affine`.
        running_mean: [num_features], zeros at first; None without `track_running_stats`.
        running_var: [num_features], ones at first; likewise.
        num_batches_tracked: int64, 0 as in PyTorch, which does not count here; likewise.
    Raises:
        ValueError: a setting outside its range.
        ShapeError: another number of axes or channels, or one value per channel and sample in training.
        DTypeError: the input's dtype differs from the parameters'.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.InstanceNorm1d(3)
        >>> layer, layer(cr.ones((4, 3, 8))).shape
        (InstanceNorm1d(3), (4, 3, 8))

    Source: Ulyanov et al., arXiv 1607.08022.
    """

    axes = 1


class InstanceNorm2d(_InstanceNorm):
    """Instance normalisation of pictures: mean 0 and variance 1 per channel of each sample.

        y = (x - mean) / sqrt(var + eps) w + b

    Args:
        num_features: number of channels, >= 1.
        eps: added to the variance, mostly > 0; default 1e-5.
        momentum: by which part the running statistics move with each batch, mostly in [0, 1]; None: not at all;
            default 0.1.
        affine: whether there are scale w and shift b; default False.
        track_running_stats: whether running statistics are kept, and used in eval mode; default False.
        dtype: float dtype of parameters and statistics; default float32.
    Call:
        x: float tensor [batch, channels, height, width], or without the batch axis  ->
            tensor of the same shape.
    Attributes:
        weight: w, [num_features], ones at first; None without `affine`.
        bias: b, [num_features], zeros at first; None without `affine`.
        running_mean: [num_features], zeros at first; None without `track_running_stats`.
        running_var: [num_features], ones at first; likewise.
        num_batches_tracked: int64, 0 as in PyTorch, which does not count here; likewise.
    Raises:
        ValueError: a setting outside its range.
        ShapeError: another number of axes or channels, or one value per channel and sample in training.
        DTypeError: the input's dtype differs from the parameters'.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.InstanceNorm2d(3)
        >>> layer, layer(cr.ones((4, 3, 8, 8))).shape
        (InstanceNorm2d(3), (4, 3, 8, 8))

    Source: Ulyanov et al., arXiv 1607.08022.
    """

    axes = 2


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of volumes: mean 0 and variance 1 per channel of each sample.

        y = (x - mean) / sqrt(var + eps) w + b

    Args:
        num_features: number of channels, >= 1.
        eps: added to the variance, mostly > 0; default 1e-5.
        momentum: by which part the running statistics move with each batch, mostly in [0, 1]; None: not at all;
            default 0.1.
        affine: whether there are scale w and shift b; default False.
        track_running_stats: whether running statistics are kept, and used in eval mode; default False.
        dtype: float dtype of parameters and statistics; default float32.
    Call:
        x: float tensor [batch, channels, depth, height, width], or without the batch axis  ->
            tensor of the same shape.
    Attributes:
        weight: w, [num_features], ones at first; None without `affine`.
        bias: b, [num_features], zeros at first; None without `affine`.
        running_mean: [num_features], zeros at first; None without `track_running_stats`.
        running_var: [num_features], ones at first; likewise.
        num_batches_tracked: int64, 0 as in PyTorch, which does not count here; likewise.
    Raises:
        ValueError: a setting outside its range.
        ShapeError: another number of axes or channels, or one value per channel and sample in training.
        DTypeError: the input's dtype differs from the parameters'.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.InstanceNorm3d(3)
        >>> layer, layer(cr.ones((4, 3, 8, 8, 8))).shape
        (InstanceNorm3d(3), (4, 3, 8, 8, 8))

    Source: Ulyanov et al., arXiv 1607.08022.
    """

    axes = 3
