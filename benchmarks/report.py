"""The tables and the JSON of a run: ratios, shares of the peak, first calls and memory, from the outcomes.

A ratio is the time of the peer over that of chainrule, both medians over all steps of one run; above 1 we are faster.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.driver import Outcome
from benchmarks.peers import peer
from benchmarks.workload import Workload

__all__ = ["Row", "details", "machine_line", "row", "summary", "to_json", "verdict"]

LEAST_MEAN, MOST_COLD = 1.15, 20.0  # of a group: geometric mean of the ratios; seconds of a cold first call


@dataclass(frozen=True)
class Row:
    """What one workload comes to.

    Attributes:
        workload: it.
        ours, torch, jax, best: the fastest outcome of chainrule, PyTorch, JAX and of all peers; None where nothing ran.
        ratio, ratio_jax, ratio_best: their median times over ours.
        share: of the machine's peak, 0 to 1, that our arithmetic reaches.
        reached: whether the ratios are at least what the workload asks for; None without a goal or without the peer.
    """

    workload: Workload
    ours: Outcome | None
    torch: Outcome | None
    jax: Outcome | None
    best: Outcome | None
    ratio: float | None
    ratio_jax: float | None
    ratio_best: float | None
    share: float | None
    reached: bool | None


def fastest(outcomes: Sequence[Outcome], *names: str) -> Outcome | None:
    """Return the outcome with the smallest median among the named peers."""
    return min((o for o in outcomes if o.peer in names and o.seconds), key=lambda o: o.median, default=None)


def ratio(peer: Outcome | None, ours: Outcome | None) -> float | None:
    """Return the peer's median time over ours."""
    return None if peer is None or ours is None else peer.median / ours.median


def share(workload: Workload, outcome: Outcome | None, peaks: dict[str, float | None]) -> float | None:
    """Return the part of the machine's peak that the arithmetic of the contractions reaches, 0 to 1."""
    peak = peaks.get(workload.precision)
    return None if outcome is None or not outcome.seconds or not peak else workload.flops / outcome.median / peak


def row(workload: Workload, outcomes: Sequence[Outcome], peaks: dict[str, float | None]) -> Row:
    """Return what a workload comes to.

    Args:
        workload: the workload.
        outcomes: of all contestants.
        peaks: the machine's operations per second by precision.
    """
    ours, torch, jax = (fastest(outcomes, name) for name in ("chainrule", "torch", "jax"))
    best = fastest(outcomes, "torch", "jax", "tinygrad")
    over_torch, over_jax = ratio(torch, ours), ratio(jax, ours)
    goal, reached = workload.goal, None
    if goal and over_torch is not None:
        reached = over_torch >= goal.least
        if goal.least_jax is not None and over_jax is not None:
            reached = reached and over_jax >= goal.least_jax
    return Row(workload, ours, torch, jax, best, over_torch, over_jax, ratio(best, ours),
               share(workload, ours, peaks), reached)  # fmt: skip


# ---------------------------------------------------------------------------------------------------- as text
def _ms(outcome: Outcome | None) -> str:
    return "-" if outcome is None or not outcome.seconds else digits(1e3 * outcome.median)


def digits(value: float) -> str:
    """Return a number with three significant digits and no exponent."""
    places = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{places}f}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else digits(value)


def _megabytes(value: int | None) -> str:
    return "-" if value is None else digits(value / 1e6)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def summary(rows: Sequence[Row]) -> Table:
    """Return the table with a line per workload, 100 columns wide at most; JAX has columns where it took part."""
    with_jax = any(found.jax for found in rows)
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    table.add_column("median of\na step, ms", no_wrap=True)
    for title in ("chain-\nrule", "PyTorch\nbest", "ratio", "at\nleast", *(["JAX\nbest", "ratio"] if with_jax else []),
                  "share\nof peak", "first\ncall, s", "from\ncache", "MB,\nours", "Py-\nTorch"):  # fmt: skip
        table.add_column(title, justify="right", no_wrap=True)
    for found in rows:
        goal, ours = found.workload.goal, found.ours
        style = {True: "green", False: "red", None: ""}[found.reached]
        table.add_row(
            found.workload.name, _ms(ours), _ms(found.torch), f"[{style}]{_times(found.ratio)}[/]" if style else
            _times(found.ratio), _times(goal.least if goal else None),
            *([_ms(found.jax), _times(found.ratio_jax)] if with_jax else []),
            _percent(found.share), _seconds(ours and ours.cold), _seconds(ours and ours.cached),
            _megabytes(ours and ours.growth), _megabytes(found.torch and found.torch.growth),
        )  # fmt: skip
    return table


def verdict(rows: Sequence[Row]) -> list[str]:
    """Return lines that hold the workloads of each group against its floors, training and inference apart.

    The floors: each ratio to PyTorch's best mode at least 1, their geometric mean at least 1.15, each first call with
    an empty cache under 20 seconds.
    """
    lines = []
    groups = dict.fromkeys((found.workload.group, found.workload.trains) for found in rows if found.workload.group)
    for group, trains in groups:
        own = [found for found in rows if (found.workload.group, found.workload.trains) == (group, trains)]
        ratios = {found.workload.name: found.ratio for found in own if found.ratio is not None}
        cold = {found.workload.name: found.ours.cold for found in own if found.ours and found.ours.cold is not None}
        lines.append(f"{group}, {'training' if trains else 'inference'}: {len(ratios)} of {len(own)} have a ratio")
        if ratios:
            slow = sorted((name for name in ratios if ratios[name] < 1), key=ratios.__getitem__)
            named = ", ".join(f"{name} {ratios[name]:.2f}" for name in slow or [min(ratios, key=ratios.__getitem__)])
            mean = math.exp(math.fsum(map(math.log, ratios.values())) / len(ratios))
            lines.append(_line(not slow, f"each at least 1.00; {'below' if slow else 'the least'}: {named}"))
            lines.append(_line(mean >= LEAST_MEAN, f"geometric mean at least {LEAST_MEAN}: {mean:.2f}"))
        if cold:
            longest = sorted(cold, key=lambda name: -cold[name])[:3]
            named = ", ".join(f"{name} {digits(cold[name])}" for name in longest)
            text = f"cold first call under {MOST_COLD:g} s; the longest: {named}"
            lines.append(_line(cold[longest[0]] < MOST_COLD, text))
    return lines


def _line(reached: bool, text: str) -> str:
    return f"  [{'green]reached' if reached else 'red]missed'}[/]  {text}"


def details(workload: Workload, outcomes: Sequence[Outcome], peaks: dict[str, float | None]) -> Table:
    """Return the table of all contestants of a workload."""
    ours = fastest(outcomes, "chainrule")
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold", title_justify="left",
                  title=f"{workload.name}: {workload.parameters:,} parameters, batch {workload.batch}, "
                  f"{digits(workload.flops / 1e6)} MFLOP a step", title_style="bold")  # fmt: skip
    table.add_column("library", no_wrap=True)
    table.add_column("mode", no_wrap=True)
    for title in ("ms", "fastest", "ratio", "share\nof peak", "first\ncall, s", "from\ncache", "MB", "MB\ncold"):
        table.add_column(title, justify="right", no_wrap=True)
    for outcome in outcomes:
        if outcome.seconds:
            cold = outcome.cold is not None
            table.add_row(
                peer(outcome.peer).TITLE, outcome.mode, _ms(outcome), digits(1e3 * min(outcome.seconds)),
                _times(ratio(outcome, ours)), _percent(share(workload, outcome, peaks)), _seconds(outcome.cold),
                _seconds(outcome.cached), _megabytes(outcome.growth), _megabytes(outcome.growth_cold if cold else None),
            )  # fmt: skip
    return table


def print_skipped(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print a line per contestant that did not run, with the reason; equal reasons share a line."""
    reasons: dict[tuple[str, bool], list[str]] = {}
    for outcome in outcomes:
        if outcome.skipped is not None:
            reasons.setdefault((outcome.skipped, outcome.failed), []).append(f"{outcome.peer}/{outcome.mode}")
    for (reason, failed), names in reasons.items():
        console.print(f"  {'[red]failed[/]' if failed else 'skipped'}: {', '.join(names)}: ", end="", highlight=False)
        console.print(reason, markup=False, highlight=False)


def machine_line(versions: dict[str, str], threads: int, peaks: dict[str, float | None]) -> str:
    """Return what the figures depend on: processor, threads, measured peak, versions."""
    import platform

    versions = {"Python": platform.python_version(), **versions}
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    rates = [f"{digits(rate / 1e9)} GFLOP/s {name}" for name, rate in peaks.items() if rate]
    peak = f"peak {', '.join(rates)}" if rates else "peak unknown"
    return f"{processor()}, {threads} thread{'s' * (threads > 1)}, {peak}; {named}"


def processor() -> str:
    """Return the processor's name."""
    import pathlib
    import platform

    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


# ---------------------------------------------------------------------------------------------------- JSON
def to_json(results: Sequence[tuple[Row, Sequence[Outcome]]], **machine: Any) -> dict[str, Any]:
    """Return everything as one object; times in seconds, memory in bytes."""

    def name(outcome: Outcome | None) -> str | None:
        return outcome and f"{outcome.peer}/{outcome.mode}"

    return {
        **machine,
        "processor": processor(),
        "workloads": [
            {
                "name": found.workload.name, "batch": found.workload.batch, "flops": found.workload.flops,
                "precision": found.workload.precision, "best_torch": name(found.torch), "best_peer": name(found.best),
                "ratio_torch": found.ratio, "ratio_jax": found.ratio_jax, "ratio_best": found.ratio_best,
                "share_of_peak": found.share, "reached": found.reached,
                "contestants": [outcome.summary() for outcome in outcomes],
            }
            for found, outcomes in results
        ],
    }  # fmt: skip
