"""What layers over 1 to 3 spatial axes share: their settings per axis, their input checks, and their `repr`.

A setting is one int for all axes or one per axis. An image that comes channels last is refused with the permutation
that mends it.
"""

from __future__ import annotations

import inspect
from typing import Any

from chainrule.core.errors import ShapeError
from chainrule.core.tensor import Tensor
from chainrule.nn import _repr
from chainrule.nn._checks import refuse, tensor_input
from chainrule.nn.module import Module
from chainrule.ops._windows import SPATIAL, per_axis

__all__ = ["SpatialLayer", "plain_sizes"]


def plain_sizes(value: Any) -> Any:
    """Return sizes as what a user would type: one int where all axes are alike."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


class SpatialLayer(Module):
    """A layer over the last `axes` axes of [batch, channels, *spatial] or of [channels, *spatial]."""

    axes = 2
    named: tuple[str, ...] = ("kernel_size",)  # arguments without a default that `repr` shows as keywords all the same

    def _sizes(self, name: str, value: Any, low: int = 1) -> tuple[int, ...]:
        """Return a setting as one int per axis; an error names the class, the setting and what was given."""
        return per_axis(type(self).__name__, name, value, self.axes, low)

    def _input(self, x: Any, channels: int | None = None) -> Tensor:
        """Return x after a check of its axes, and of its channels if their number is known."""
        x, n = tensor_input(self, x), self.axes
        wanted = SPATIAL[n] if channels is None else SPATIAL[n].replace("channels", str(channels))
        if x.ndim not in (n + 1, n + 2):
            hint = ": give a flat input its axes back with x.reshape" if x.ndim == 2 and n > 1 else ""
            raise refuse(ShapeError, f"{self} got {x.shape}; it needs [batch, {wanted}] or [{wanted}]{hint}.")
        axis = x.ndim - n - 1
        if channels is not None and x.shape[axis] != channels:
            order = (*range(axis), x.ndim - 1, *range(axis, x.ndim - 1))
            last = f": if the channels are last, write cr.permute_dims(x, {order})" if x.shape[-1] == channels else ""
            raise refuse(ShapeError, f"{self} got {x.shape}; its axis {axis}, the channels, must be {channels}{last}.")
        return x

    def extra_repr(self) -> str:
        """Return the arguments, sizes first, settings as keywords."""
        signature = inspect.signature(type(self).__init__)
        shown = [
            part.replace(default=_SHOWN) if name in self.named else part for name, part in signature.parameters.items()
        ]
        return _repr.arguments(self, signature.replace(parameters=shown))


_SHOWN = object()  # equals no value, so the argument is always shown
