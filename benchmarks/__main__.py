"""`python -m benchmarks [--only NAME ...] [--peers NAME ...] [--quick] [--seconds S] [--json] [--check] ...`.

Without `--only` it runs the usual workloads; `--only architectures` runs all networks of `chainrule.models`, and ends
with a verdict on the whole group. `--quick` makes that bearable: under half an hour on two cores.
"""

from __future__ import annotations

import argparse
import difflib
import fnmatch
import json
import os
import sys
from collections.abc import Callable, Sequence

from rich.console import Console

from benchmarks import commands, losses, peak, peers, report
from benchmarks.batches import MissingDataError
from benchmarks.driver import FIRST_LIMIT, Outcome, Settings, run
from benchmarks.workload import Workload
from benchmarks.workloads import GROUPS, USUAL, WORKLOADS

__all__ = ["main"]

NAMES = [*WORKLOADS, commands.NAME]
QUICK = {True: ["torch/fused+malloc", "torch/channels_last+malloc"],  # training, inference
         False: ["torch/eager+malloc", "torch/channels_last+malloc"]}  # fmt: skip


def usable_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the settings of the command line; an unknown name ends the program with code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Train the same networks in chainrule and in every installed peer, interleaved, and compare.",
    )
    parser.add_argument(
        "--only", nargs="+", metavar="NAME",
        help=f"workloads: {', '.join([*USUAL, commands.NAME])}; groups of networks: {', '.join(GROUPS)}; patterns: "
             "'vgg*_infer', '*_224'; default: the workloads named first",
    )  # fmt: skip
    parser.add_argument(
        "--peers", nargs="+", metavar="NAME",
        help="libraries (torch, jax, tinygrad) or modes (torch/eager, chainrule/eager); none: chainrule alone",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--check", action="store_true", help="compare the losses of the first steps, measure nothing")
    parser.add_argument("--threads", type=int, default=usable_cpus(), help="CPUs of each contestant; default all")
    parser.add_argument("--rounds", type=int, default=10, help="turns of each contestant; default 10")
    parser.add_argument("--turn", type=float, default=0.25, metavar="SECONDS", help="length of a turn; default 0.25")
    parser.add_argument(
        "--seconds", type=float, metavar="S",
        help="end the rounds of a workload after S seconds, three rounds at least; default 30 for those of a group",
    )  # fmt: skip
    parser.add_argument(
        "--patience", type=float, metavar="S", help="leave out a peer whose first steps take longer; default any time"
    )
    parser.add_argument(
        "--quick", action="store_true",
        help="few steps, no second start from the cache, of PyTorch two modes unless --peers names others",
    )  # fmt: skip
    found = parser.parse_args(arguments)
    found.only = _expanded(found.only)
    titles = {mode.title for name in peers.PEERS for mode in peers.peer(name).MODES}
    _known(parser, "workload", found.only or (), [*NAMES, *GROUPS])
    _known(parser, "peer", found.peers or (), [*peers.PEERS, *sorted(titles), "none"])
    if not 1 <= found.threads <= usable_cpus():
        parser.error(f"--threads must be from 1 to {usable_cpus()}, the CPUs of this machine; got {found.threads}.")
    for name in ("seconds", "patience"):
        if getattr(found, name) is not None and not getattr(found, name) > 0:
            parser.error(f"--{name} must be above 0; got {getattr(found, name)}.")
    if found.rounds < 1 or not found.turn > 0:
        parser.error(f"--rounds must be at least 1 and --turn above 0; got {found.rounds} and {found.turn}.")
    return found


def _expanded(names: Sequence[str] | None) -> list[str] | None:
    """Return the names of workloads with groups and patterns replaced by what they stand for, each once."""
    if names is None:
        return None
    found: list[str] = []
    for name in names:
        found += GROUPS.get(name, ()) or (name in NAMES and [name]) or fnmatch.filter(NAMES, name) or [name]
    return list(dict.fromkeys(found))


def _known(parser: argparse.ArgumentParser, kind: str, names: Sequence[str], valid: Sequence[str]) -> None:
    for name in names:
        if name not in valid:
            close = difflib.get_close_matches(name, valid, 1)
            hint = f" Did you mean {close[0]}?" if close else f" There are {', '.join(valid)}."
            parser.error(f"there is no {kind} {name!r}.{hint}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the workloads, print the report, and return the exit code: 1 where chainrule failed or losses differ."""
    options = parse(arguments)
    console = Console(width=100)
    peaks = dict.fromkeys(losses.TOLERANCE) if options.check else peak.measured(options.threads)
    results, commanded, code = [], None, 0
    versions: dict[str, str] = {}
    with Console(stderr=True).status("") as status:
        def say(text: str) -> None:
            status.update(f"{text} ...")

        for name in options.only or [*USUAL, commands.NAME]:
            if name != commands.NAME:
                workload = WORKLOADS[name]
                outcomes = _measure(workload, options, say)
                results.append((report.row(workload, outcomes, peaks), outcomes))
                versions |= {peers.peer(o.peer).TITLE: o.version for o in outcomes if o.version}
                code |= any(o.failed and o.peer == "chainrule" for o in outcomes)
                if options.check:
                    code |= _print_check(console, workload, outcomes)
                elif not options.json:
                    _print_details(console, workload, outcomes, peaks)
            elif not options.check:
                commanded = commands.run(options.threads, options.rounds, say)
                code |= commanded[0].failed is not None
    if options.json and not options.check:
        machine = {"threads": options.threads, "peaks": peaks, "versions": versions}
        whole = commanded and commands.as_json(commanded)
        print(json.dumps({**report.to_json(results, **machine), commands.NAME: whole}, indent=1))
    elif not options.check:
        _print_summary(console, [found for found, _ in results], commanded)
        console.print(report.machine_line(versions, options.threads, peaks), highlight=False)
    return int(code)


def _measure(workload: Workload, options: argparse.Namespace, say: Callable[[str], None]) -> list[Outcome]:
    quick, heavy = options.quick, bool(workload.group)
    settings = Settings(
        options.threads,
        rounds=0 if options.check else options.rounds,
        turn=options.turn,
        chosen=QUICK[workload.trains] if quick and options.peers is None else options.peers,
        dropout=not options.check,
        seconds=options.seconds or (4.0 if quick else 30.0 if heavy else None),
        first=1.0 if quick or options.check else 5.0 if heavy else FIRST_LIMIT,
        patience=options.patience,
        once=quick,
    )
    try:
        return run(workload, settings, say)
    except MissingDataError as error:
        return [Outcome("chainrule", "jit", skipped=str(error))]


def _print_details(
    console: Console, workload: Workload, outcomes: Sequence[Outcome], peaks: dict[str, float | None]
) -> None:
    if any(o.seconds for o in outcomes):
        console.print(report.details(workload, outcomes, peaks))
    else:
        console.print(f"[bold]{workload.name}[/]", highlight=False)
    report.print_skipped(console, outcomes)
    console.print()


def _print_summary(
    console: Console, rows: Sequence[report.Row], commanded: Sequence[commands.Command] | None
) -> None:
    if commanded:
        console.print(commands.table(commanded), "")
    if rows:
        console.print(report.summary(rows), "")
    for line in report.verdict(rows):
        console.print(line, highlight=False)


def _print_check(console: Console, workload: Workload, outcomes: Sequence[Outcome]) -> bool:
    """Print whether the losses agree, and return whether they do not."""
    compared = [o for o in outcomes if o.losses]
    tolerance = losses.TOLERANCE[workload.precision]
    far = (losses.apart if workload.group else losses.differing)(outcomes, tolerance)
    verdict = f"[red]{len(far)} differ[/]" if far else "agree" if len(compared) > 1 else "nothing to compare"
    steps = min((len(o.losses) for o in compared), default=0)
    steps = min(steps, losses.COMPARED) if workload.group else steps
    line = f"{workload.name}: {len(compared)} contestants, {steps} losses, within {tolerance:g}: {verdict}"
    console.print(line, highlight=False)
    for title, distance in far.items():
        console.print(f"  {title}: {distance:.2e} from the measure", highlight=False)
    report.print_skipped(console, outcomes)
    return bool(far)


if __name__ == "__main__":
    sys.exit(main())
