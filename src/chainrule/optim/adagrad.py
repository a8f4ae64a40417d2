"""Adagrad: each weight's step shrinks with the sum of its squared gradients.

    s <- s + g^2
    p <- p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)

Variant: eps outside the root, as PyTorch has it. Source: Duchi, Hazan and Singer, JMLR 12 (2011).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from chainrule.core.tensor import Tensor
from chainrule.ops import sqrt, square
from chainrule.optim._options import Number, Option
from chainrule.optim.group import ParameterGroup
from chainrule.optim.optimizer import Numbers, Optimizer, Params

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Gradient descent whose step per weight is divided by the root of the sum of squared gradients.

        s <- s + g^2,   p <- p - lr g / (sqrt(s) + eps)

    Args:
        params: parameters, or one dict per group.
        lr: step size per update, >= 0; default 0.01.
        lr_decay: at step t the step size is lr / (1 + (t - 1) lr_decay), >= 0; default 0.
        weight_decay: L2 penalty, >= 0; default 0.
        initial_accumulator_value: what the sum starts from, >= 0; default 0.
        eps: added to the root, >= 0; default 1e-10.
        maximize: ascend instead; default False.
        decoupled_weight_decay: shrink weights by lr * weight_decay instead of adding to the gradient; default False.
        l1: L1 penalty, >= 0: after the update weights are moved towards zero by l1 times their step size, and become
            exactly zero; default 0.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> w = cr.asarray([1.0, 100.0]).requires_grad_()
        >>> (w * w).sum().backward()
        >>> optim.Adagrad([w], lr=0.5).step()
        >>> w.tolist()
        [0.5, 99.5]

    Source: Duchi, Hazan and Singer, JMLR 12 (2011).
    """

    options: ClassVar[Mapping[str, Option]] = {
        "lr_decay": Number(),
        "initial_accumulator_value": Number(),
        "eps": Number(),
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        l1: float = 0,
    ):
        settings: dict[str, Any] = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps, "l1": l1}
        settings |= {"initial_accumulator_value": initial_accumulator_value, "maximize": maximize}
        super().__init__(params, {**settings, "decoupled_weight_decay": decoupled_weight_decay})

    def slot_values(self, group: ParameterGroup) -> dict[str, float]:
        return {"step": 0.0, "sum": group.constant("initial_accumulator_value")}

    def numbers(self, group: ParameterGroup) -> dict[str, Tensor]:
        return {"lr_decay": group["lr_decay"], "eps": group["eps"]}

    def update(self, p: Tensor, g: Tensor, slots: dict[str, Tensor], numbers: Numbers, group: ParameterGroup) -> Tensor:
        total = slots["sum"] + square(g)
        slots["sum"].assign_(total)
        return p - g * _rate(slots, numbers) / (sqrt(total) + numbers["eps"])

    def step_size(self, slots: dict[str, Tensor], numbers: Numbers, group: ParameterGroup) -> Tensor:
        return _rate(slots, numbers) / (sqrt(slots["sum"]) + numbers["eps"])


def _rate(slots: dict[str, Tensor], numbers: Numbers) -> Tensor:
    """Return the decayed learning rate of this step."""
    return numbers.round(numbers.exact["lr"] / (1 + (slots["step"] - 1) * numbers.exact["lr_decay"]))
