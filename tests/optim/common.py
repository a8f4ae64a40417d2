"""What the tests of optimizers share: one of each kind, leaves, a step to minimise a square."""

from __future__ import annotations

import re

import chainrule as cr
from chainrule import optim

KINDS = {
    "SGD": {"momentum": 0.9, "dampening": 0.1},
    "Adagrad": {"lr_decay": 0.1},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "Adam": {"amsgrad": True},
    "AdamW": {},
}


def leaf(*values: float, dtype: str = "float64") -> cr.Tensor:
    return cr.asarray(list(values), dtype=dtype).requires_grad_()


def quadratic(w: cr.Tensor, optimizer: optim.Optimizer):
    def step():
        loss = (w * w).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def message(text: str) -> str:
    return f"^{re.escape(text)}$"
