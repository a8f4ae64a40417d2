"""What the functions that give complex numbers are in PyTorch, of real inputs; tests/ops/test_complex.py has more."""

from __future__ import annotations

from typing import Any

import torch


def _also_empty(function):
    """Return a transform that also takes tensors without elements, which MKL refuses."""

    def run(x, **attributes):
        if x.numel():
            return function(x, **attributes)
        one = function(x.new_zeros([max(n, 1) for n in x.shape]), **attributes)
        return one[tuple(slice(0, None if n else 0) for n in x.shape)]

    return run


def _fft(x, *, axis, inverse):
    if not axis:
        return x.clone()
    return torch.fft.ifftn(x, dim=axis, norm="forward") if inverse else torch.fft.fftn(x, dim=axis)


ORACLES: dict[str, Any] = {
    "complex": torch.complex,
    "conj": torch.conj_physical,
    "fft": _also_empty(_fft),
    "imag": lambda x: torch.imag(x).clone(),
    "irfft": _also_empty(lambda x, *, axis, n: torch.fft.irfft(x, n, axis, norm="forward")),
    "real": lambda x: torch.real(x).clone(),
    "rfft": _also_empty(lambda x, *, axis: torch.fft.rfft(x, dim=axis)),
}

WITHOUT: dict[str, str] = {
    "eig": "values in no order, vectors free in their phase: tests/ops/linalg/test_linalg_oracle.py sorts them",
}
