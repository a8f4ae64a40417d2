"""An exponential moving average of a model's weights, often better on new data than the weights themselves.

    average <- average + (1 - decay_n) (weight - average)
    decay_n = decay, or with warm-up min(decay, (1 + n) / (10 + n)) at update n = 0, 1, ...

Sources: Polyak and Juditsky 1992 (averaging); TensorFlow's ExponentialMovingAverage (the warm-up).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from chainrule.core.context import no_grad
from chainrule.core.tensor import Tensor
from chainrule.ops import minimum
from chainrule.ops._inputs import cast
from chainrule.optim._options import Number
from chainrule.optim._state import load_cells
from chainrule.optim.group import ParameterGroup, new_cell, wide

__all__ = ["ExponentialMovingAverage"]


class ExponentialMovingAverage:
    """Keep an exponential moving average of a model's weights beside them.

        average <- average + (1 - decay) (weight - average)

    Float buffers of a module (statistics of batch norm) are averaged too, others are copied; averages of bfloat16
    tensors are kept in float32. `update` may stand inside a compiled step.

    Args:
        source: a module, or parameters.
        decay: share of the average kept per update, in [0, 1); a cell, so assigning it never re-traces; default 0.999.
        warmup: use min(decay, (1 + n) / (10 + n)) at update n, so that the first weights are soon forgotten;
            default False.

    Raises:
        ValueError: `decay` outside its range, or nothing to average.

    Example:
        >>> w = cr.asarray([0.0]).requires_grad_()
        >>> average = optim.ExponentialMovingAverage([w], decay=0.75)
        >>> with cr.no_grad():
        ...     _ = w.assign_(cr.asarray([4.0]))
        >>> average.update()
        >>> with average.average_parameters():
        ...     w.tolist()
        [1.0]
        >>> w.tolist()
        [4.0]

    Source: Polyak and Juditsky, SIAM J. Control Optim. 30 (1992).
    """

    def __init__(self, source: Any, decay: float = 0.999, warmup: bool = False):
        self._cells = _named_cells(source)
        self._settings = ParameterGroup(
            "ExponentialMovingAverage", (), {"decay": Number(0, 1, open_high=True)}, {"decay": decay}
        )
        self._warmup = warmup
        self._updates = new_cell(0.0)
        self._average = {
            name: Tensor(cell.numpy().astype(wide(cell.dtype).numpy)) for name, cell in self._cells.items()
        }

    @property
    def decay(self) -> Tensor:
        """Share of the average kept per update; assign a number to change it."""
        return self._settings["decay"]

    @decay.setter
    def decay(self, value: float) -> None:
        self._settings["decay"] = value

    @property
    def averages(self) -> dict[str, Tensor]:
        """Name -> averaged tensor; copies that later updates do not change."""
        return {name: average.detach() for name, average in self._average.items()}

    def update(self) -> None:
        """Move the average towards the present weights; call it after each optimizer step."""
        with no_grad():
            decay = self.decay
            if self._warmup:
                decay = minimum(decay, (self._updates + 1) / (self._updates + 10))
            self._updates.assign_(self._updates + 1)
            for name, cell in self._cells.items():
                average = self._average[name]
                if cell.dtype.is_float:
                    average.assign_(average + (cast(cell, average.dtype) - average) * cast(1 - decay, average.dtype))
                else:
                    average.assign_(cell)

    @contextlib.contextmanager
    def average_parameters(self) -> Iterator[None]:
        """Put the averaged weights into the model inside the block, and the present ones back at its end or error."""
        kept = {name: cell.detach() for name, cell in self._cells.items()}
        try:
            self.copy_to_model()
            yield
        finally:
            with no_grad():
                for name, cell in self._cells.items():
                    cell.assign_(kept[name])

    def copy_to_model(self) -> None:
        """Replace the model's weights by the averaged ones for good."""
        with no_grad():
            for name, cell in self._cells.items():
                cell.assign_(cast(self._average[name], cell.dtype))

    def state_dict(self) -> dict[str, Any]:
        """Return {"decay": float, "updates": tensor, "average": {name: tensor}}."""
        return {"decay": float(self.decay), "updates": self._updates.detach(), "average": self.averages}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore the average, its count of updates and its decay.

        Args:
            state_dict: from `state_dict` of an average over the same names and shapes.

        Raises:
            StateDictError: lists every name that is missing, unexpected or misshapen; nothing was loaded.
        """
        owner = type(self).__name__
        cells = {**{f"average.{name}": cell for name, cell in self._average.items()}, "updates": self._updates}
        flat = {f"average.{name}": value for name, value in dict(state_dict.get("average", {})).items()}
        flat |= {key: value for key, value in state_dict.items() if key != "average"}
        load_cells(owner, cells, flat, ["decay"])
        self.decay = float(state_dict["decay"])

    def __repr__(self) -> str:
        count, decay = len(self._cells), float(self.decay)
        return f"ExponentialMovingAverage({count} tensors, decay={decay!r}, warmup={self._warmup!r})"


def _named_cells(source: Any) -> dict[str, Tensor]:
    """Return name -> tensor of a module's parameters and buffers, or of a list of parameters."""
    if hasattr(source, "named_parameters"):
        cells = {**dict(source.named_parameters()), **dict(source.named_buffers())}
    else:
        items: Iterable[Tensor] = [source] if isinstance(source, Tensor) else source
        cells = {str(index): item for index, item in enumerate(items)}
    if not cells:
        raise ValueError(
            "ExponentialMovingAverage got no tensors: the list is empty, or a generator that was used up before."
        )
    return cells
