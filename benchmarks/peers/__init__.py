"""The libraries that are measured, their modes, and what each of them has to offer to a contestant.

A module of this folder has `TITLE`, `MODES`, `version()` and `build(job) -> Steps`. Its library is imported by the last
two only: the driver reads the modes without it.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.workload import Workload, draw_like

__all__ = ["PEERS", "Job", "Mode", "Skip", "Steps", "initial", "installed", "modes", "peer"]

PEERS = ("chainrule", "torch", "jax", "tinygrad")


class Skip(Exception):
    """A mode cannot run here; the message says why."""


@dataclass(frozen=True)
class Mode:
    """One way to run a library.

    Args:
        peer: name of the library.
        name: name of the mode.
        options: what `build` understands.
        environment: variables set before the process starts.
        compiles: the first call makes code, so it is measured with an empty and with a filled cache.
        threads: 1 confines the process to one CPU; None takes all that were asked for.
        fits: whether the mode makes sense for a workload.
    """

    peer: str
    name: str
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    compiles: bool = False
    threads: int | None = None
    fits: Callable[[Workload], bool] = lambda workload: True

    @property
    def title(self) -> str:
        """What `--peers` takes: library/mode."""
        return f"{self.peer}/{self.name}"


@dataclass(frozen=True)
class Job:
    """What a contestant builds.

    Args:
        workload: the workload.
        options: of the mode.
        threads: number of threads.
        weights: initial weights by name; empty where the network alone knows their shapes: see `initial`.
        batch: arrays x and y; of a loop also `order`.
        dropout: False: left out, so that libraries can be compared.
    """

    workload: Workload
    options: tuple[str, ...]
    threads: int
    weights: dict[str, np.ndarray]
    batch: dict[str, np.ndarray]
    dropout: bool = True


@dataclass(frozen=True)
class Steps:
    """A workload in one library.

    Args:
        step: one call; the result is complete when it returns.
        value: the number in a result: the loss, of an inference the mean square of the scores.
        parameters: number of trained weights.
    """

    step: Callable[[], Any]
    value: Callable[[Any], float]
    parameters: int


def initial(job: Job, state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the initial weights of a job by name.

    Args:
        job: what is built.
        state: arrays with the names and shapes that the network has.
    """
    return job.weights or draw_like({name: tuple(value.shape) for name, value in state.items()})


def peer(name: str) -> ModuleType:
    """Return the module of a library."""
    return importlib.import_module(f"benchmarks.peers.{name}")


def modes(workload: Workload, chosen: list[str] | None = None) -> list[Mode]:
    """Return the modes that fit a workload, chainrule's first.

    Args:
        workload: the workload.
        chosen: peers ("torch") or modes ("torch/eager"); default every mode that is not marked "extra". chainrule
            always takes part.
    """
    found = [mode for name in PEERS for mode in peer(name).MODES if mode.fits(workload)]
    if chosen is None:
        return [mode for mode in found if "extra" not in mode.options]

    def taken(mode: Mode) -> bool:
        return mode.title in chosen or (mode.peer in (*chosen, "chainrule") and "extra" not in mode.options)

    return [mode for mode in found if taken(mode)]


def installed(name: str) -> bool:
    """Return whether a library can be imported."""
    return importlib.util.find_spec(name) is not None
