"""`python -m chainrule.testing [NAME ...]`: run the suite of all primitives, or of those named, and print the counts.

Each sample is compiled on its own here, in more shapes than the project's tests take.

The exit code is 1 if a check fails, 2 for an unknown name.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.console import Console
from rich.progress import track
from rich.table import Table

import chainrule  # noqa: F401 - registers every primitive
from chainrule.core.errors import nearest
from chainrule.core.primitive import PRIMITIVES, Primitive
from chainrule.testing.primitives import KINDS, Tally, run_checks


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite and print the tables; return the exit code."""
    parser = argparse.ArgumentParser(
        "python -m chainrule.testing", description="Check the primitives and print the counts."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="primitives to check; default all")
    names = parser.parse_args(arguments).names
    for name in names:
        if name not in PRIMITIVES:
            parser.error(f"no primitive is named {name!r}{nearest(name, PRIMITIVES)}")
    chosen = [PRIMITIVES[name] for name in names] if names else list(PRIMITIVES.values())
    console = Console()
    tally = _run(chosen, console)
    _print(tally, console)
    return 1 if tally.failures else 0


def _run(chosen: list[Primitive], console: Console) -> Tally:
    total = Tally()
    for primitive in track(chosen, "checking", console=console, transient=True, disable=not console.is_terminal):
        part = run_checks([primitive], full=True)
        total.primitives += part.primitives
        total.samples += part.samples
        total.edges += part.edges
        total.invalid += part.invalid
        total.failures += part.failures
        for kind, count in part.run.items():
            total.run[kind] += count
    return total


def _print(tally: Tally, console: Console) -> None:
    failed = dict.fromkeys(KINDS, 0)
    for check, message in tally.failures:
        failed[check.kind] += 1
        console.print(f"FAILED {message}", markup=False, highlight=False, soft_wrap=True)
    table = Table("check", "run", "passed", "failed", "what it means")
    for column in table.columns[1:4]:
        column.justify = "right"
    for kind, meaning in KINDS.items():
        table.add_row(kind, str(tally.run[kind]), str(tally.run[kind] - failed[kind]), str(failed[kind]), meaning)
    run, bad = sum(tally.run.values()), len(tally.failures)
    table.add_section()
    table.add_row("all", str(run), str(run - bad), str(bad), "")
    console.print(table)
    console.print(
        f"{tally.primitives} primitives, {tally.samples} samples, {tally.edges} edges, {tally.invalid} invalid inputs: "
        f"{run} checks, {run - bad} passed, {bad} failed",
        soft_wrap=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
