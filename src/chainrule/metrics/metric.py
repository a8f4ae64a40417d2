"""The base of all metrics: sums and counts in cells, divided once at the end.

A metric never averages averages: a short last batch counts by its samples. Updating is written in tensor operations on
cells, so it may stand inside a compiled step; `compute` asks for values, so it stands outside.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from chainrule.core.context import Versioned, no_grad
from chainrule.core.dtypes import DType, int64
from chainrule.core.errors import DataError, StateDictError, nearest
from chainrule.core.tensor import Tensor
from chainrule.ops import zeros_like

__all__ = ["Metric", "MetricCollection"]


class Metric(Versioned):
    """Base of the metrics; a subclass makes cells, updates them, and computes a result from them.

    Attributes:
        name: short name for records and tables.
        higher_is_better: whether large is good; None where that has no meaning.

    Example:
        >>> class Mistakes(cr.metrics.Metric):
        ...     name = "mistakes"
        ...     def __init__(self):
        ...         self.wrong = self.cell("wrong")
        ...     def update(self, outputs, targets, mask=None):
        ...         self.wrong.assign_(self.wrong + (outputs != targets).sum())
        ...     def compute(self):
        ...         return int(self.wrong)
        >>> mistakes = Mistakes()
        >>> mistakes.update(cr.asarray([1, 2, 3]), cr.asarray([1, 2, 4]))
        >>> mistakes.compute()
        1
    """

    name: ClassVar[str] = "metric"
    higher_is_better: ClassVar[bool | None] = None

    def cell(self, name: str, shape: tuple[int, ...] = (), dtype: DType = int64) -> Tensor:
        """Return a new cell of zeros that `reset` and the state dict know by `name`.

        Args:
            name: its key in the state dict.
            shape: its shape; default ().
            dtype: its dtype; default int64.
        """
        cell = Tensor(np.zeros(shape, dtype=dtype.numpy))
        self.__dict__.setdefault("_cells", {})[name] = cell
        return cell

    def update(self, outputs: Any, targets: Any, mask: Any = None) -> None:
        """Count a batch.

        Args:
            outputs: what the model gave, [batch, ...].
            targets: what is true, [batch, ...].
            mask: bool [batch, ...], False where a sample does not count; default all count.
        """
        raise NotImplementedError(f"{type(self).__name__} states no update(outputs, targets, mask).")

    def compute(self) -> Any:
        """Return the metric over everything counted since the last reset."""
        raise NotImplementedError(f"{type(self).__name__} states no compute().")

    def reset(self) -> None:
        """Forget everything that was counted."""
        with no_grad():
            for cell in self._counted().values():
                cell.assign_(zeros_like(cell))

    def state_dict(self) -> dict[str, Tensor]:
        """Return the sums and counts by name; later updates do not change them."""
        return {name: cell.detach() for name, cell in self._counted().items()}

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Restore sums and counts.

        Args:
            state_dict: from `state_dict` of a metric with the same settings.

        Raises:
            StateDictError: lists what is missing, unknown or of another shape or dtype; nothing was loaded.
        """
        cells = self._counted()
        problems = [f"{name!r} is missing" for name in cells if name not in state_dict]
        problems += [f"unknown {name!r}{nearest(name, cells)}" for name in state_dict if name not in cells]
        for name in cells.keys() & state_dict.keys():
            kept, given = (cells[name].shape, cells[name].dtype), (state_dict[name].shape, state_dict[name].dtype)
            if kept != given:
                problems.append(f"{name!r} is {given[1].name} {given[0]}, expected {kept[1].name} {kept[0]}")
        if problems:
            lines = "".join(f"\n  - {text}" for text in problems)
            raise StateDictError(
                f"{type(self).__name__}.load_state_dict: the state dict does not fit, nothing was loaded:{lines}"
            )
        with no_grad():
            for name, cell in cells.items():
                cell.assign_(state_dict[name])

    def _counted(self) -> dict[str, Tensor]:
        return self.__dict__.get("_cells", {})

    def _known(self, count: Tensor) -> int | float:
        """Return the number of samples counted.

        Raises:
            DataError: it is 0.
        """
        number = count.item()
        if not number:
            raise DataError(f"{type(self).__name__}.compute(): no sample was counted yet; call update(...) first.")
        return number

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if not name.startswith("_"):
            self._touch()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._touch()

    def __repr__(self) -> str:
        hidden = {"structure_version", "name"}
        settings = {
            key: value
            for key, value in vars(self).items()
            if not key.startswith("_") and key not in hidden and not isinstance(value, Tensor)
        }
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in settings.items())})"


class MetricCollection(Versioned):
    """Several metrics updated together.

    Args:
        metrics: name -> metric, or a list of metrics, which are called by their own names.

    Raises:
        ValueError: no metric, something that is none, or two of one name.

    Example:
        >>> from chainrule import metrics
        >>> both = metrics.MetricCollection([metrics.Accuracy(), metrics.Recall(num_classes=2)])
        >>> both.update(cr.asarray([0, 1, 1, 1]), cr.asarray([0, 0, 1, 1]))
        >>> both.compute()
        {'accuracy': 0.75, 'recall': 0.75}
    """

    def __init__(self, metrics: Mapping[str, Metric] | Sequence[Metric]):
        pairs = list(metrics.items()) if isinstance(metrics, Mapping) else [(_name(m), m) for m in metrics]
        names = [name for name, _ in pairs]
        for name, metric in pairs:
            if not isinstance(metric, Metric) or "targets" not in inspect.signature(metric.update).parameters:
                raise ValueError(
                    f"MetricCollection: {name!r} must be a metric with update(outputs, targets, mask); "
                    f"got {type(metric).__name__}."
                )
            if names.count(name) > 1:
                raise ValueError(
                    f"MetricCollection: two metrics are called {name!r}; pass a dict with a name for each."
                )
        if not pairs:
            raise ValueError("MetricCollection got no metrics.")
        self._metrics: dict[str, Metric] = dict(pairs)

    def update(self, outputs: Any, targets: Any, mask: Any = None) -> None:
        """Count a batch in every metric.

        Args:
            outputs: what the model gave, [batch, ...].
            targets: what is true, [batch, ...].
            mask: bool [batch, ...], False where a sample does not count; default all count.
        """
        for metric in self._metrics.values():
            metric.update(outputs, targets, mask)

    def compute(self) -> dict[str, Any]:
        """Return name -> result."""
        return {name: metric.compute() for name, metric in self._metrics.items()}

    def reset(self) -> None:
        """Forget everything that was counted."""
        for metric in self._metrics.values():
            metric.reset()

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Return name -> the metric's state dict."""
        return {name: metric.state_dict() for name, metric in self._metrics.items()}

    def load_state_dict(self, state_dict: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Restore every metric.

        Args:
            state_dict: from `state_dict` of a collection with the same names.

        Raises:
            StateDictError: the names differ, or a metric's entries do not fit.
        """
        if set(state_dict) != set(self._metrics):
            raise StateDictError(
                f"MetricCollection.load_state_dict: it has the metrics {sorted(state_dict)}, "
                f"expected {sorted(self._metrics)}."
            )
        for name, metric in self._metrics.items():
            metric.load_state_dict(state_dict[name])

    def items(self) -> Iterator[tuple[str, Metric]]:
        """Return (name, metric) of each."""
        return iter(self._metrics.items())

    def __getitem__(self, name: str) -> Metric:
        return self._metrics[name]

    def __len__(self) -> int:
        return len(self._metrics)

    def __iter__(self) -> Iterator[str]:
        return iter(self._metrics)

    def _versioned_parts(self) -> list[Versioned]:
        return list(self._metrics.values())

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._touch()

    def __repr__(self) -> str:
        return f"MetricCollection({self._metrics!r})"


def _name(metric: Any) -> str:
    return metric.name if isinstance(metric, Metric) else type(metric).__name__
