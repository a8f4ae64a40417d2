"""Adam and AdamW: steps along the mean of recent gradients, divided by the root of their mean square.

    m <- beta1 m + (1 - beta1) g                    v <- beta2 v + (1 - beta2) g^2
    p <- p - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)

AMSGrad divides by the greatest v so far. AdamW shrinks the weights by lr weight_decay instead of adding weight_decay p
to the gradient. Sources: Kingma and Ba, ICLR 2015; Reddi, Kale and Kumar, ICLR 2018; Loshchilov and Hutter, ICLR 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from chainrule.core.tensor import Tensor
from chainrule.ops import maximum, sqrt, square
from chainrule.optim._options import Flag, Number, Option, Pair
from chainrule.optim.group import ParameterGroup
from chainrule.optim.optimizer import Numbers, Optimizer, Params

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Gradient descent along the running mean of gradients, each weight's divided by its running root mean square.

        m <- beta1 m + (1 - beta1) g,   v <- beta2 v + (1 - beta2) g^2
        p <- p - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)

    Args:
        params: parameters, or one dict per group.
        lr: step size per update, about the change of each weight, >= 0; default 0.001.
        betas: shares of mean and mean square kept per update, each in [0, 1); default (0.9, 0.999).
        eps: added to the root, >= 0; default 1e-8.
        weight_decay: L2 penalty added to the gradient, >= 0; default 0.
        amsgrad: divide by the greatest mean square so far; default False.
        maximize: ascend instead; default False.
        decoupled_weight_decay: shrink weights by lr * weight_decay instead, as AdamW does; default False.
        l1: L1 penalty, >= 0: after the update weights are moved towards zero by l1 times their step size, and become
            exactly zero; default 0.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> w = cr.asarray([1.0, 100.0]).requires_grad_()
        >>> (w * w).sum().backward()
        >>> optimizer = optim.Adam([w], lr=0.5)
        >>> optimizer.step()
        >>> [round(x, 4) for x in w.tolist()], optimizer
        ([0.5, 99.5], Adam(lr=0.5))

    Source: Kingma and Ba, ICLR 2015; AMSGrad: Reddi, Kale and Kumar, ICLR 2018.
    """

    options: ClassVar[Mapping[str, Option]] = {
        "betas": Pair(Number(0, 1, open_high=True)),
        "eps": Number(),
        "amsgrad": Flag(),
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        l1: float = 0,
    ):
        settings: dict[str, Any] = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
        }
        settings |= {"maximize": maximize, "l1": l1}
        super().__init__(params, {**settings, "decoupled_weight_decay": decoupled_weight_decay})

    def slot_values(self, group: ParameterGroup) -> dict[str, float]:
        names = ["step", "exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else [])]
        return dict.fromkeys(names, 0.0)

    def numbers(self, group: ParameterGroup) -> dict[str, Tensor]:
        beta1, beta2 = group["betas"]
        return {"beta1": beta1, "beta2": beta2, "fresh1": 1 - beta1, "fresh2": 1 - beta2, "eps": group["eps"]}

    def update(self, p: Tensor, g: Tensor, slots: dict[str, Tensor], numbers: Numbers, group: ParameterGroup) -> Tensor:
        mean = slots["exp_avg"] + (g - slots["exp_avg"]) * numbers["fresh1"]
        spread = slots["exp_avg_sq"] * numbers["beta2"] + square(g) * numbers["fresh2"]
        slots["exp_avg"].assign_(mean)
        slots["exp_avg_sq"].assign_(spread)
        if group["amsgrad"]:
            slots["max_exp_avg_sq"].assign_(maximum(slots["max_exp_avg_sq"], spread))
        rate = numbers.exact["lr"] / (1 - numbers.exact["beta1"] ** slots["step"])  # the mean starts from zero: a bias
        return p - mean * numbers.round(rate) / _root(slots, numbers, group)

    def step_size(self, slots: dict[str, Tensor], numbers: Numbers, group: ParameterGroup) -> Tensor:
        return numbers["lr"] / _root(slots, numbers, group)


def _root(slots: dict[str, Tensor], numbers: Numbers, group: ParameterGroup) -> Tensor:
    """Return what the mean gradient is divided by: the root of the mean square without the bias of its start."""
    spread = slots["max_exp_avg_sq"] if group["amsgrad"] else slots["exp_avg_sq"]
    bias = sqrt(1 - numbers.exact["beta2"] ** slots["step"])
    return sqrt(spread) / numbers.round(bias) + numbers["eps"]


class AdamW(Adam):
    """Adam with decoupled weight decay: weights shrink by lr * weight_decay per update, whatever their gradients.

        p <- (1 - lr weight_decay) p,   then Adam's update

    Args:
        params: parameters, or one dict per group.
        lr: step size per update, about the change of each weight, >= 0; default 0.001.
        betas: shares of mean and mean square kept per update, each in [0, 1); default (0.9, 0.999).
        eps: added to the root, >= 0; default 1e-8.
        weight_decay: share of lr by which weights shrink per update, >= 0; default 0.01.
        amsgrad: divide by the greatest mean square so far; default False.
        maximize: ascend instead; default False.
        l1: L1 penalty, >= 0: after the update weights are moved towards zero by l1 times their step size, and become
            exactly zero; default 0.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> w = cr.asarray([100.0]).requires_grad_()
        >>> (w * 0).sum().backward()
        >>> optim.AdamW([w], lr=0.1, weight_decay=0.5).step()
        >>> w.tolist()
        [95.0]

    Source: Loshchilov and Hutter, ICLR 2019.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        l1: float = 0,
    ):
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True, l1=l1
        )
