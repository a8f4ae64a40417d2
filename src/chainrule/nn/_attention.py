"""Scaled dot-product attention, with PyTorch's arguments.

    y = softmax(q k^T scale + mask) v

A row whose keys are all masked gives 0, not NaN, with gradient 0 (as PyTorch since 2.5).
"""

from __future__ import annotations

import math
from typing import Any

from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.tensor import Tensor
from chainrule.nn._checks import flag, number, refuse, tensor_input
from chainrule.nn._functions import dropout
from chainrule.nn._more_activations import float_input
from chainrule.ops import exp, isfinite, matmul, matrix_transpose, ones, repeat, tril, where
from chainrule.ops import max as amax
from chainrule.ops import sum as total

__all__ = ["scaled_dot_product_attention"]


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    generator: Any = None,
) -> Tensor:
    """Return for each query the mean of the values, weighted by how well their keys fit.

        y = softmax(q k^T scale + mask) v

    Args:
        query: float tensor [..., heads, queries, features].
        key: float tensor [..., heads, keys, features].
        value: float tensor [..., heads, keys, out_features].
        attn_mask: bool tensor, True where a query may look, or floats that are added to the scores; it broadcasts with
            [..., heads, queries, keys]; default none.
        dropout_p: probability of zeroing a weight, in [0, 1); default 0.
        is_causal: whether query i looks only at keys up to i; default False.
        scale: factor of the scores; default 1 / sqrt(features).
        enable_gqa: whether fewer heads of keys and values serve groups of queries; default False.
        generator: source of random numbers for dropout; default `cr.default_generator`.

    Returns:
        Tensor [..., heads, queries, out_features].

    Raises:
        ShapeError: shapes that do not fit.
        DTypeError: not float tensors of one dtype.
        ValueError: both a mask and `is_causal`, or a setting outside its range.

    Example:
        >>> import chainrule as cr
        >>> q, k, v = cr.zeros((1, 2, 4)), cr.zeros((1, 3, 4)), cr.ones((1, 3, 5))
        >>> cr.nn.functional.scaled_dot_product_attention(q, k, v).shape
        (1, 2, 5)

    Source: Vaswani et al., NeurIPS 2017, section 3.2.1.
    """
    name = "scaled_dot_product_attention"
    q, k, v = (float_input(name, x) for x in (query, key, value))
    _check(name, q, k, v)
    if flag(name, "enable_gqa", enable_gqa) and k.shape[-3] != q.shape[-3]:
        groups = q.shape[-3] // k.shape[-3]
        k, v = repeat(k, groups, axis=-3), repeat(v, groups, axis=-3)
    factor = 1.0 / math.sqrt(q.shape[-1]) if scale is None else number(name, "scale", scale)
    scores = matmul(q, matrix_transpose(k)) * factor  # [..., heads, queries, keys]
    scores = _masked(name, scores, attn_mask, is_causal)
    if scores.shape[-1]:
        top = amax(scores.detach(), axis=-1, keepdims=True)
        scores = scores - where(isfinite(top), top, 0.0)
    e = exp(scores)
    summed = total(e, axis=-1, keepdims=True)
    weights = e / where(summed == 0.0, 1.0, summed)
    return matmul(dropout(weights, dropout_p, True, generator) if dropout_p else weights, v)


def _check(name: str, q: Tensor, k: Tensor, v: Tensor) -> None:
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise refuse(
            ShapeError,
            f"{name}: query {q.shape}, key {k.shape}, value {v.shape} must be [..., queries, features], "
            "[..., keys, features] and [..., keys, out_features].",
        )
    if q.dtype is not k.dtype or k.dtype is not v.dtype:
        raise refuse(
            DTypeError,
            f"{name}: the dtypes {q.dtype.name}, {k.dtype.name} and {v.dtype.name} differ; convert them with .astype.",
        )


def _masked(name: str, scores: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
    if flag(name, "is_causal", is_causal):
        if mask is not None:
            raise ValueError(f"{name} takes either attn_mask or is_causal; got both.")
        mask = tril(ones(scores.shape[-2:], dtype="bool"))
    if mask is None:
        return scores
    mask = tensor_input(name, mask, "mask")
    return where(mask, scores, -math.inf) if mask.dtype.kind == "bool" else scores + mask
