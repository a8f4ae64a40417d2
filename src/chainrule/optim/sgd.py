"""Stochastic gradient descent with momentum.

    b <- momentum b + (1 - dampening) g        at the first step b <- g
    p <- p - lr b                              Nesterov: p <- p - lr (g + momentum b)

Variant: the velocity holds gradients, not steps, so a changed learning rate acts at once (as in PyTorch; in Sutskever
et al. the velocity is scaled by lr). Sources: Polyak 1964; Sutskever, Martens, Dahl and Hinton, ICML 2013.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from chainrule.core.tensor import Tensor
from chainrule.ops import where
from chainrule.optim._options import Flag, Number, Option
from chainrule.optim.group import ParameterGroup
from chainrule.optim.optimizer import Numbers, Optimizer, Params

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent: step against the gradient, or against its running sum.

        b <- momentum b + (1 - dampening) g,   p <- p - lr b

    Args:
        params: parameters, or one dict per group.
        lr: step size per update, >= 0; default 0.001.
        momentum: share of the velocity kept per update, in [0, 1); default 0.
        dampening: share of the gradient kept out of the velocity, in [0, 1]; default 0.
        weight_decay: L2 penalty, >= 0; default 0.
        nesterov: step along g + momentum b, the velocity of the next step; default False.
        maximize: ascend instead; default False.
        decoupled_weight_decay: shrink weights by lr * weight_decay instead of adding weight_decay * p to the gradient;
            the two differ with momentum; default False.
        l1: L1 penalty, >= 0: after the update weights are moved towards zero by l1 times their step size, and become
            exactly zero; default 0.

    Raises:
        ValueError: a setting outside its range, or Nesterov without momentum or with dampening.

    Example:
        >>> w = cr.asarray([1.0]).requires_grad_()
        >>> optimizer = optim.SGD([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.tolist(), optimizer
        ([0.800000011920929], SGD(lr=0.1))

    Source: Sutskever, Martens, Dahl and Hinton, ICML 2013.
    """

    options: ClassVar[Mapping[str, Option]] = {
        "momentum": Number(0, 1, open_high=True, term=True),
        "dampening": Number(0, 1, term=True),
        "nesterov": Flag(),
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        l1: float = 0,
    ):
        settings: dict[str, Any] = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
        }
        settings |= {"nesterov": nesterov, "maximize": maximize, "l1": l1}
        super().__init__(params, {**settings, "decoupled_weight_decay": decoupled_weight_decay})

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        momentum, dampening = settings["momentum"], settings["dampening"]
        if settings["nesterov"] and (momentum == 0 or dampening != 0):
            raise ValueError(
                f"SGD.nesterov needs momentum > 0 and dampening 0; got momentum={momentum}, dampening={dampening}."
            )

    def slot_values(self, group: ParameterGroup) -> dict[str, float]:
        return {"momentum_buffer": 0.0, "step": 0.0} if group.uses("momentum") else {}

    def numbers(self, group: ParameterGroup) -> dict[str, Tensor]:
        return {"momentum": group["momentum"], "dampening": group["dampening"]} if group.uses("momentum") else {}

    def update(self, p: Tensor, g: Tensor, slots: dict[str, Tensor], numbers: Numbers, group: ParameterGroup) -> Tensor:
        if not group.uses("momentum"):
            return p - g * numbers["lr"]
        fresh = g
        if group.uses("dampening"):
            kept = 1 - numbers.exact["dampening"]
            fresh = g * numbers.round(where(slots["step"] == 1, kept * 0 + 1, kept))  # the first gradient counts whole
        velocity = slots["momentum_buffer"] * numbers["momentum"] + fresh
        slots["momentum_buffer"].assign_(velocity)
        return p - (g + velocity * numbers["momentum"] if group["nesterov"] else velocity) * numbers["lr"]

    def step_size(self, slots: dict[str, Tensor], numbers: Numbers, group: ParameterGroup) -> Tensor:
        if not group.uses("momentum"):
            return numbers["lr"]
        exact = numbers.exact
        return numbers.round(exact["lr"] * (1 - exact["dampening"]) / (1 - exact["momentum"]))
