"""RMSprop: the gradient divided by the root of a running mean of its square.

    v <- alpha v + (1 - alpha) g^2
    p <- p - lr g / (sqrt(v) + eps)

Centered, the running mean of g, squared, is taken from v: an estimate of the variance (Graves, 2013). With momentum,
the divided gradients are summed as SGD sums gradients. Variant: eps outside the root, as PyTorch has it. Source:
Tieleman and Hinton, Coursera lecture 6.5, 2012.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from chainrule.core.tensor import Tensor
from chainrule.ops import sqrt, square
from chainrule.optim._options import Flag, Number, Option
from chainrule.optim.group import ParameterGroup
from chainrule.optim.optimizer import Numbers, Optimizer, Params

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """Gradient descent whose step per weight is divided by the root of the mean square of recent gradients.

        v <- alpha v + (1 - alpha) g^2,   p <- p - lr g / (sqrt(v) + eps)

    Args:
        params: parameters, or one dict per group.
        lr: step size per update, >= 0; default 0.01.
        alpha: share of the mean square kept per update, in [0, 1]; default 0.99.
        eps: added to the root, >= 0; default 1e-8.
        weight_decay: L2 penalty, >= 0; default 0.
        momentum: share of the velocity kept per update, in [0, 1); default 0.
        centered: divide by the root of the variance instead of the mean square; default False.
        maximize: ascend instead; default False.
        decoupled_weight_decay: shrink weights by lr * weight_decay instead of adding to the gradient; default False.
        l1: L1 penalty, >= 0: after the update weights are moved towards zero by l1 times their step size, and become
            exactly zero; default 0.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> w = cr.asarray([1.0, 100.0]).requires_grad_()
        >>> (w * w).sum().backward()
        >>> optim.RMSprop([w], lr=0.05).step()
        >>> w.tolist()
        [0.5, 99.5]

    Source: Tieleman and Hinton, Coursera lecture 6.5, 2012; centered: Graves, arXiv 1308.0850.
    """

    options: ClassVar[Mapping[str, Option]] = {
        "alpha": Number(0, 1),
        "eps": Number(),
        "momentum": Number(0, 1, open_high=True, term=True),
        "centered": Flag(),
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        l1: float = 0,
    ):
        settings: dict[str, Any] = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
        }
        settings |= {"centered": centered, "maximize": maximize, "l1": l1}
        super().__init__(params, {**settings, "decoupled_weight_decay": decoupled_weight_decay})

    def slot_values(self, group: ParameterGroup) -> dict[str, float]:
        names = ["step", "square_avg"]
        names += ["grad_avg"] if group["centered"] else []
        names += ["momentum_buffer"] if group.uses("momentum") else []
        return dict.fromkeys(names, 0.0)

    def numbers(self, group: ParameterGroup) -> dict[str, Tensor]:
        alpha = group["alpha"]
        return {"alpha": alpha, "fresh": 1 - alpha, "eps": group["eps"], "momentum": group["momentum"]}

    def update(self, p: Tensor, g: Tensor, slots: dict[str, Tensor], numbers: Numbers, group: ParameterGroup) -> Tensor:
        slots["square_avg"].assign_(slots["square_avg"] * numbers["alpha"] + square(g) * numbers["fresh"])
        if group["centered"]:
            slots["grad_avg"].assign_(slots["grad_avg"] + (g - slots["grad_avg"]) * numbers["fresh"])
        root = _root(slots, numbers, group)
        if not group.uses("momentum"):
            return p - g * numbers["lr"] / root
        velocity = slots["momentum_buffer"] * numbers["momentum"] + g / root
        slots["momentum_buffer"].assign_(velocity)
        return p - velocity * numbers["lr"]

    def step_size(self, slots: dict[str, Tensor], numbers: Numbers, group: ParameterGroup) -> Tensor:
        rate = numbers.exact["lr"]
        if group.uses("momentum"):
            rate = rate / (1 - numbers.exact["momentum"])
        return numbers.round(rate) / _root(slots, numbers, group)


def _root(slots: dict[str, Tensor], numbers: Numbers, group: ParameterGroup) -> Tensor:
    """Return what the gradient is divided by: the root of the mean square, or of the variance."""
    spread = slots["square_avg"]
    if group["centered"]:
        spread = spread - square(slots["grad_avg"])
    return sqrt(spread) + numbers["eps"]
