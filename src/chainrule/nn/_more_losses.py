"""More losses, with PyTorch's names and arguments: likelihoods of counts and Gaussians, margins, rankings, triplets.

Every loss has `reduction`: "mean" (default), "sum" or "none". At a hinge the slope is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.tensor import Tensor
from chainrule.nn._checks import equal_shapes, flag, number, refuse, tensor_input
from chainrule.nn._distances import pairwise_distance
from chainrule.nn._losses import reduced
from chainrule.nn._more_activations import float_input
from chainrule.ops import (
    cumulative_prod,
    exp,
    expand_dims,
    log,
    maximum,
    mean,
    minimum,
    relu,
    reshape,
    scatter_add,
    softplus,
    square,
    take_along_axis,
    where,
    zeros,
)
from chainrule.ops import sum as total
from chainrule.ops._inputs import as_tensor, cast

__all__ = [
    "gaussian_nll_loss",
    "margin_ranking_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "poisson_nll_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


# ---------------------------------------------------------------------------------------------------- likelihoods
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """Return the negative log-likelihood of counts under Poisson distributions.

        e^x - y x,   or x - y log(x + eps) without log_input;   full: + y log y - y + log(2 pi y) / 2 where y > 1

    Args:
        input: logarithms of the expected counts, or the expected counts, float tensor of any shape.
        target: counts, tensor of the same shape.
        log_input: whether the input is given as logarithms; default True.
        full: whether Stirling's approximation of log(y!) is added; default False.
        eps: added before a logarithm is taken, > 0; default 1e-8.
        reduction: "mean", "sum" or "none"; default "mean".

    Returns:
        0-d tensor; with "none" a tensor of the input's shape.

    Raises:
        ShapeError: the shapes differ.
        DTypeError: the input is no float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.poisson_nll_loss(cr.zeros(2), cr.asarray([3.0, 5.0]))
        tensor(1., shape=(), dtype=float32)
    """
    x, y = float_input("poisson_nll_loss", input), tensor_input("poisson_nll_loss", target, "target")
    equal_shapes("poisson_nll_loss", x, y)
    eps = number("poisson_nll_loss", "eps", eps, 0.0)
    losses = exp(x) - y * x if flag("poisson_nll_loss", "log_input", log_input) else x - y * log(x + eps)
    if flag("poisson_nll_loss", "full", full):
        y = cast(y, x.dtype)
        large = y > 1.0
        safe = where(large, y, 1.0)
        losses = losses + where(large, safe * log(safe) - safe + 0.5 * log(2.0 * math.pi * safe), 0.0)
    return reduced("poisson_nll_loss", losses, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Return the negative log-likelihood of targets under normal distributions.

        (log v + (x - y)^2 / v) / 2,   v = max(var, eps);   full: + log(2 pi) / 2

    Args:
        input: expected values, float tensor [batch, ...].
        target: tensor of the same shape, or one that broadcasts with it.
        var: variances >= 0: a number, a tensor of the same shape, one without the last axis, or with size 1 there. The
            bound eps does not stop its gradient.
        full: whether the constant is added; default False.
        eps: least variance, > 0; default 1e-6.
        reduction: "mean", "sum" or "none"; default "mean".

    Returns:
        0-d tensor; with "none" a tensor of the broadcast shape.

    Raises:
        ShapeError: variances of another shape.
        DTypeError: the input is no float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.gaussian_nll_loss(cr.asarray([1.0]), cr.asarray([3.0]), cr.asarray([1.0]))
        tensor(2., shape=(), dtype=float32)

    Source: Nix and Weigend, ICNN 1994.
    """
    x, y = float_input("gaussian_nll_loss", input), tensor_input("gaussian_nll_loss", target, "target")
    v = as_tensor(var, x)
    eps = number("gaussian_nll_loss", "eps", eps, 0.0, ends="(]")
    if v.ndim and v.shape != x.shape:
        if v.shape == x.shape[:-1]:
            v = expand_dims(v, axis=-1)
        elif v.shape[:-1] != x.shape[:-1] or v.shape[-1] != 1:
            raise refuse(
                ShapeError,
                f"gaussian_nll_loss: the input has the shape {x.shape} and var {v.shape}; "
                "var must have the same shape, no last axis, or size 1 there.",
            )
    v = v + (maximum(v, eps) - v).detach()  # bounded in value, not in gradient
    losses = 0.5 * (log(v) + square(x - y) / v)
    if flag("gaussian_nll_loss", "full", full):
        losses = losses + 0.5 * math.log(2.0 * math.pi)
    return reduced("gaussian_nll_loss", losses, reduction)


# ---------------------------------------------------------------------------------------------------- margins
def soft_margin_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Return the two-class logistic loss of scores.

        log(1 + e^(-y x))

    Args:
        input: scores, float tensor of any shape.
        target: classes, -1 or 1, tensor of the same shape.
        reduction: "mean", "sum" or "none"; default "mean".

    Returns:
        0-d tensor; with "none" a tensor of the input's shape.

    Raises:
        ShapeError: the shapes differ.
        DTypeError: the input is no float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.soft_margin_loss(cr.asarray([-1000.0]), cr.asarray([1.0]))
        tensor(1000., shape=(), dtype=float32)
    """
    x, y = float_input("soft_margin_loss", input), tensor_input("soft_margin_loss", target, "target")
    equal_shapes("soft_margin_loss", x, y)
    return reduced("soft_margin_loss", softplus(-(y * x)), reduction)


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """Return a loss of pairs: by how much the one that should rank higher does not.

        max(0, -y (x1 - x2) + margin)

    Args:
        input1: scores, float tensor.
        input2: scores, tensor of as many axes.
        target: 1 where input1 should rank higher, -1 where input2, tensor of as many axes.
        margin: by how much it should; default 0.
        reduction: "mean", "sum" or "none"; default "mean".

    Returns:
        0-d tensor; with "none" a tensor of the broadcast shape.

    Raises:
        ShapeError: other numbers of axes.
        DTypeError: the inputs are no float tensors.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.margin_ranking_loss(cr.asarray([1.0]), cr.asarray([3.0]), cr.asarray([1.0]))
        tensor(2., shape=(), dtype=float32)
    """
    a, b = float_input("margin_ranking_loss", input1), float_input("margin_ranking_loss", input2)
    y = tensor_input("margin_ranking_loss", target, "target")
    if not a.ndim == b.ndim == y.ndim:
        raise refuse(
            ShapeError,
            f"margin_ranking_loss: the inputs are {a.shape} and {b.shape} and the target {y.shape}; "
            "all need as many axes.",
        )
    margin = number("margin_ranking_loss", "margin", margin)
    return reduced("margin_ranking_loss", relu(margin - y * (a - b)), reduction)


def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Return the mean over the classes of the two-class cross-entropies.

        mean over c of w_c (y_c log(1 + e^-x_c) + (1 - y_c) log(1 + e^x_c))

    Args:
        input: logits, float tensor [..., classes].
        target: 1 where a class is present, 0 where not, of the same shape.
        weight: factor of each class, [classes]; default none.
        reduction: "mean", "sum" or "none", over the samples; default "mean".

    Returns:
        0-d tensor; with "none" a tensor [...].

    Raises:
        ShapeError: the shapes differ.
        DTypeError: the input is no float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.multilabel_soft_margin_loss(cr.zeros((1, 2)), cr.asarray([[1.0, 0.0]]))
        tensor(0.6931472, shape=(), dtype=float32)
    """
    name = "multilabel_soft_margin_loss"
    x, y = float_input(name, input), tensor_input(name, target, "target")
    equal_shapes(name, x, y)
    losses = y * softplus(-x) + (1.0 - y) * softplus(x)
    losses = losses if weight is None else losses * weight
    return reduced(name, mean(losses, -1) if losses.ndim else losses, reduction)


def multilabel_margin_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Return the hinge loss between every class of a sample and every class that it is not of.

        sum over classes j of the sample and all others i of max(0, 1 - (x_j - x_i)) / classes

    Args:
        input: scores, float tensor [batch, classes], [classes], or [] for a single class.
        target: integer labels of the same shape: those of the sample come first, and a -1 ends them.
        reduction: "mean", "sum" or "none"; default "mean".

    Returns:
        0-d tensor; with "none" a tensor [batch].

    Raises:
        ShapeError: the shapes differ, or another number of axes.
        IndexRangeError: a label out of range.
        DTypeError: scores that are no floats, or labels that are no integers.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.functional.multilabel_margin_loss(cr.asarray([0.5, 0.0]), cr.asarray([0, -1]))
        tensor(0.25, shape=(), dtype=float32)
    """
    name = "multilabel_margin_loss"
    x, y = float_input(name, input), tensor_input(name, target, "target")
    equal_shapes(name, x, y)
    if not y.dtype.is_integer:
        raise refuse(DTypeError, f"{name}: the target must be integers; got {y.dtype.name}: use .astype(cr.int64).")
    if not x.ndim:
        x, y = reshape(x, (1,)), reshape(y, (1,))
    if x.ndim not in (1, 2):
        raise refuse(ShapeError, f"{name} needs an input [batch, classes] or [classes]; got the shape {x.shape}.")
    counted = cumulative_prod(cast(y != -1, y.dtype), axis=-1) == 1  # up to the first -1
    labels = where(counted, y, 0)
    present = scatter_add(zeros(x.shape, dtype=x.dtype), labels, cast(counted, x.dtype)) > 0.0
    picked = take_along_axis(x, labels)
    gaps = relu(1.0 - (expand_dims(picked, axis=-1) - expand_dims(x, axis=-2)))  # [..., labels, classes]
    kept = expand_dims(counted, axis=-1) & ~expand_dims(present, axis=-2)
    return reduced(name, total(where(kept, gaps, 0.0), (-2, -1)) / x.shape[-1], reduction)


# ---------------------------------------------------------------------------------------------------- triplets
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """Return a loss of triplets: the anchor should be nearer to the positive than to the negative, by a margin.

        max(0, |a - p| - |a - n| + margin)

    Args:
        anchor: float tensor [..., features].
        positive: tensor of as many axes.
        negative: tensor of as many axes.
        margin: by how much nearer, > 0; default 1.
        p: exponent of the norm; default 2.
        eps: added to every difference; default 1e-6.
        swap: whether the nearer of anchor and positive is compared with the negative; default False.
        reduction: "mean", "sum" or "none"; default "mean".

    Returns:
        0-d tensor; with "none" a tensor [...].

    Raises:
        ShapeError: other numbers of axes.
        DTypeError: not float tensors.
        ValueError: margin is not positive.

    Example:
        >>> import chainrule as cr
        >>> a, b = cr.zeros((1, 2)), cr.asarray([[3.0, 4.0]])
        >>> cr.nn.functional.triplet_margin_loss(a, b, a, eps=0.0)
        tensor(6., shape=(), dtype=float32)

    Source: Balntas et al., BMVC 2016.
    """
    return _triplets(
        "triplet_margin_loss",
        (anchor, positive, negative),
        lambda a, b: pairwise_distance(a, b, p, eps),
        margin,
        swap,
        reduction,
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """Return a loss of triplets with a distance of your own.

        max(0, d(a, p) - d(a, n) + margin)

    Args:
        anchor: float tensor [batch, ...].
        positive: tensor of as many axes.
        negative: tensor of as many axes.
        distance_function: d, a function of two tensors; default `pairwise_distance`.
        margin: by how much nearer, > 0; default 1.
        swap: whether the nearer of anchor and positive is compared with the negative; default False.
        reduction: "mean", "sum" or "none"; default "mean".

    Returns:
        0-d tensor; with "none" a tensor of the distances' shape.

    Raises:
        ShapeError: other numbers of axes.
        DTypeError: not float tensors.
        ValueError: margin is not positive.

    Example:
        >>> import chainrule as cr
        >>> a, b = cr.zeros((1, 2)), cr.asarray([[3.0, 4.0]])
        >>> city_block = lambda x, y: cr.sum(cr.abs(x - y), axis=-1)
        >>> cr.nn.functional.triplet_margin_with_distance_loss(a, b, a, distance_function=city_block)
        tensor(8., shape=(), dtype=float32)
    """
    name = "triplet_margin_with_distance_loss"
    return _triplets(
        name, (anchor, positive, negative), distance_function or pairwise_distance, margin, swap, reduction
    )


def _triplets(name: str, triplet: tuple, distance: Callable, margin: float, swap: bool, reduction: str) -> Tensor:
    a, p, n = (float_input(name, x) for x in triplet)
    margin = number(name, "margin", margin, 0.0, ends="(]")
    if not a.ndim == p.ndim == n.ndim:
        raise refuse(ShapeError, f"{name}: the inputs are {a.shape}, {p.shape} and {n.shape}; all need as many axes.")
    near, far = distance(a, p), distance(a, n)
    if flag(name, "swap", swap):
        far = minimum(far, distance(p, n))
    return reduced(name, relu(near - far + margin), reduction)
