"""Complex numbers and Fourier transforms of the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.oracle.harness import Operator

import chainrule as cr


def _complex(x: cr.Tensor) -> cr.Tensor:
    return x if x.dtype.is_complex else x.astype(cr.complex128)


def one(function: Callable[..., Any], *, real: bool = False) -> Operator:
    """Return a transform along one axis; PyTorch's take real tensors too."""

    def call(x, n=None, dim=-1, norm="backward"):
        return function(x if real else _complex(x), n=n, axis=dim, norm=norm)

    return Operator(call)


def _axes(x: cr.Tensor, s: Sequence[int] | None, dim: Any, default: Any) -> tuple[int, ...]:
    """Return the axes that PyTorch transforms: those given, or as many as there are sizes, or all."""
    if dim is not None:
        return tuple(dim) if isinstance(dim, list | tuple) else (dim,)
    if default is not None:
        return default
    return tuple(range(-len(s), 0)) if s is not None else tuple(range(x.ndim))


def several(function: Callable[..., Any], *, real: bool = False, default: Any = None) -> Operator:
    """Return a transform along several axes."""

    def call(x, s=None, dim=None, norm="backward"):
        axes = _axes(x, s, dim, default)
        return function(x if real else _complex(x), s=None if s is None else tuple(s), axes=axes, norm=norm)

    return Operator(call)


def shifted(function: Callable[..., Any]) -> Operator:
    return Operator(lambda x, dim=None: function(x, axes=tuple(dim) if isinstance(dim, list | tuple) else dim))


LAST = (-2, -1)
OPERATORS = {
    "fft.fft": one(cr.fft.fft),
    "fft.ifft": one(cr.fft.ifft),
    "fft.rfft": one(cr.fft.rfft, real=True),
    "fft.irfft": one(cr.fft.irfft),
    "fft.hfft": one(cr.fft.hfft),
    "fft.ihfft": one(cr.fft.ihfft, real=True),
    "fft.fftn": several(cr.fft.fftn),
    "fft.ifftn": several(cr.fft.ifftn),
    "fft.rfftn": several(cr.fft.rfftn, real=True),
    "fft.irfftn": several(cr.fft.irfftn),
    "fft.fft2": several(cr.fft.fftn, default=LAST),
    "fft.ifft2": several(cr.fft.ifftn, default=LAST),
    "fft.rfft2": several(cr.fft.rfftn, real=True, default=LAST),
    "fft.irfft2": several(cr.fft.irfftn, default=LAST),
    "fft.hfft2": several(cr.fft.hfftn, default=LAST),
    "fft.hfftn": several(cr.fft.hfftn),
    "fft.ihfft2": several(cr.fft.ihfftn, real=True, default=LAST),
    "fft.ihfftn": several(cr.fft.ihfftn, real=True),
    "fft.fftshift": shifted(cr.fft.fftshift),
    "fft.ifftshift": shifted(cr.fft.ifftshift),
    "complex": Operator(cr.complex),
    "view_as_complex": Operator(lambda x: cr.complex(x[..., 0], x[..., 1])),
    "view_as_real": Operator(lambda x: cr.stack([cr.real(x), cr.imag(x)], axis=-1)),
    "real": Operator(lambda x: cr.real(x) if x.dtype.is_complex else x),
    "imag": Operator(cr.imag),
    "conj": Operator(lambda x: cr.conj(x) if x.dtype.is_complex else x),
    "conj_physical": Operator(lambda x: cr.conj(x) if x.dtype.is_complex else x),
    "polar": Operator(lambda size, angle: cr.complex(size * cr.cos(angle), size * cr.sin(angle))),
    "angle": Operator(
        lambda x: cr.atan2(cr.imag(x), cr.real(x)) if x.dtype.is_complex else cr.atan2(cr.zeros_like(x), x)
    ),
    "cdouble": Operator(lambda x: x.astype(cr.complex128)),
    "cfloat": Operator(lambda x: x.astype(cr.complex64)),
}
