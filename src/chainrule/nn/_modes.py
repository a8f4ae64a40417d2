"""Train and eval mode, and freezing: the part of `Module` that switches whole trees.

A frozen part can be held in eval mode: then `train()` passes it by, so that its batch norms keep their averages.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

from chainrule.nn._walk import Walk

__all__ = ["Modes", "evaluation"]

Self = TypeVar("Self", bound="Modes")


class Modes(Walk):
    """The part of `Module` that switches modes and gradients of itself and all below it."""

    _held = False  # in eval mode whatever `train` says

    if TYPE_CHECKING:

        def _touch(self) -> None: ...

        def _set_mode(self, training: bool) -> None: ...

    def train(self: Self, mode: bool = True) -> Self:
        """Switch this module and all below it to train mode (or eval mode); return it.

        What was frozen with `freeze(keep_eval=True)` stays in eval mode.
        """
        for module in self.modules():
            module._set_mode(mode and not module._held)
        return self

    def eval(self: Self) -> Self:
        """Switch this module and all below it to eval mode; return it."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Ask for the gradients of all parameters, or stop asking; return this module."""
        for module in self.modules():
            changed = [p for p in module._parameters.values() if p is not None and p.requires_grad is not requires_grad]
            for parameter in changed:
                parameter.requires_grad_(requires_grad)
            if changed:
                module._touch()
        return self

    def freeze(self: Self, keep_eval: bool = False) -> Self:
        """Stop training all parameters of this module: they need no gradient, and optimizers leave them; return it.

        Args:
            keep_eval: also go to eval mode and stay there whatever `train()` says: batch norm then uses its moving
                averages and no longer moves them, and dropout does nothing. Otherwise a frozen batch norm in train mode
                still moves them, as in PyTorch; default False.

        Example:
            >>> import chainrule as cr
            >>> net = cr.nn.Sequential(cr.nn.BatchNorm1d(3), cr.nn.Linear(3, 2))
            >>> _ = net[0].freeze(keep_eval=True)
            >>> [part.training for part in net.train()]
            [False, True]
        """
        if keep_eval:
            self._hold(True)
        return self.requires_grad_(False)

    def unfreeze(self: Self) -> Self:
        """Train the parameters of this module again, and let `train()` reach it; return it."""
        self._hold(False)
        return self.requires_grad_(True)

    def _hold(self, held: bool) -> None:
        for module in self.modules():
            module.__dict__["_held"] = held
        if held:
            self.eval()


@contextlib.contextmanager
def evaluation(model: Modes) -> Iterator[None]:
    """Put the model into eval mode for a block, then each module back into its own mode."""
    before = [(module, module.training) for _, module in model.named_modules()]  # outermost first
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.train(training)
