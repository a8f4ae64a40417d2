"""Gradient clipping: by the norm of all gradients together, or each element by its value.

    norm = (sum |g|^p)^(1/p) over all elements of all gradients
    g <- g min(1, max_norm / (norm + 1e-6))

Source: Pascanu, Mikolov and Bengio, ICML 2013. Both work on `.grad`, eagerly and inside a compiled step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from chainrule import ops
from chainrule.core.context import no_grad
from chainrule.core.dtypes import float32, float64
from chainrule.core.tensor import Tensor
from chainrule.ops import asarray, clip, minimum, square
from chainrule.ops._inputs import cast
from chainrule.ops.guard import check_finite
from chainrule.optim._options import check_number

__all__ = ["clip_grad_norm_", "clip_grad_value_"]


def clip_grad_norm_(
    parameters: Iterable[Tensor] | Tensor,
    max_norm: float | Tensor,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients together so that their norm is at most `max_norm`; return the norm they had.

        g <- g min(1, max_norm / (norm + 1e-6))

    Args:
        parameters: tensors with gradients; those without are left out.
        max_norm: greatest norm allowed, >= 0; infinity only measures, and leaves the gradients as they are.
        norm_type: p of the norm, > 0, or infinity for the greatest absolute value; default 2.
        error_if_nonfinite: raise where the norm is NaN or infinite, before any gradient is scaled; default False.

    Returns:
        The norm before clipping, a tensor without axes; 0 where no parameter has a gradient.

    Raises:
        ValueError: `max_norm` or `norm_type` outside its range.
        NonFiniteError: the norm is NaN or infinite, and `error_if_nonfinite` is set.

    Example:
        >>> w = cr.asarray([3.0, 4.0]).requires_grad_()
        >>> (w * w).sum().backward()
        >>> optim.clip_grad_norm_([w], max_norm=5.0)
        tensor(10., shape=(), dtype=float32)
        >>> cr.round(w.grad).tolist()
        [3.0, 4.0]

    Source: Pascanu, Mikolov and Bengio, ICML 2013.
    """
    if not isinstance(max_norm, Tensor) and max_norm != math.inf:
        max_norm = check_number("clip_grad_norm_.max_norm", max_norm)
    if norm_type != math.inf:
        norm_type = check_number("clip_grad_norm_.norm_type", norm_type, open_low=True)
    found = [(p, p.grad) for p in ([parameters] if isinstance(parameters, Tensor) else parameters)]
    pairs = [(p, g) for p, g in found if g is not None]
    if not pairs:
        return asarray(0.0)
    with no_grad():
        norm = _norm([g for _, g in pairs], norm_type)
        if error_if_nonfinite:
            norm = check_finite(norm, what="the norm of the gradients")
        if isinstance(max_norm, Tensor) or max_norm != math.inf:
            factor = minimum(max_norm / (norm + 1e-6), 1.0)
            for p, g in pairs:
                p.grad = cast(cast(g, norm.dtype) * cast(factor, norm.dtype), g.dtype)
    return norm


def _norm(gradients: list[Tensor], p: float) -> Tensor:
    """Return the norm of all elements together, in float32, or float64 where a gradient is."""
    wide = float64 if any(g.dtype is float64 for g in gradients) else float32
    gradients = [cast(g, wide) for g in gradients]
    if p == math.inf:
        greatest = [ops.max(ops.abs(g)) if g.size else asarray(0.0, dtype=wide) for g in gradients]
        return ops.max(ops.stack(greatest))
    sums = [ops.sum(square(g) if p == 2 else ops.abs(g) if p == 1 else ops.abs(g) ** p) for g in gradients]
    total = sums[0]
    for other in sums[1:]:
        total = total + other
    return ops.sqrt(total) if p == 2 else total if p == 1 else total ** (1 / p)


def clip_grad_value_(parameters: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Limit every element of every gradient to [-clip_value, clip_value].

    Args:
        parameters: tensors with gradients; those without are left out.
        clip_value: greatest absolute value allowed, >= 0.

    Raises:
        ValueError: `clip_value` is not a number >= 0.

    Example:
        >>> w = cr.asarray([3.0, -0.1]).requires_grad_()
        >>> (w * w).sum().backward()
        >>> optim.clip_grad_value_([w], 1.0)
        >>> w.grad.tolist()
        [1.0, -0.20000000298023224]
    """
    limit = check_number("clip_grad_value_.clip_value", clip_value)
    with no_grad():
        for p in [parameters] if isinstance(parameters, Tensor) else parameters:
            if p.grad is not None:
                p.grad = clip(p.grad, -limit, limit)
