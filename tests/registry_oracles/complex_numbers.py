"""What the functions that give complex numbers are in PyTorch, of real inputs; tests/ops/test_complex.py has more."""

from __future__ import annotations

from typing import Any

import torch

ORACLES: dict[str, Any] = {
    "complex": torch.complex,
    "conj": torch.conj_physical,
    "imag": lambda x: torch.imag(x).clone(),
    "real": lambda x: torch.real(x).clone(),
}

WITHOUT: dict[str, str] = {
    "eig": "values in no order, vectors free in their phase: tests/ops/linalg/test_linalg_oracle.py sorts them",
}
