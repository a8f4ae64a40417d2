"""Count how much of PyTorch's operator database chainrule covers: operators and samples covered, passed, failed.

Usage: python tools/op_db.py [PATTERN ...] [--most N] [--write]      (pip install -e '.[oracle,test]')

Each sample is given to both libraries, and values, gradients and second gradients are compared; see
tests/oracle/harness.py. PATTERN chooses entries, like "linalg.*". --most limits the samples per entry. --write writes
docs/coverage.md from a run over everything.
"""

from __future__ import annotations

import argparse
import fnmatch
import pathlib
import sys
import warnings
from collections import Counter
from collections.abc import Iterable

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rich.progress import track
from tests.oracle import harness, table, uncovered

PAGE = ROOT / "docs" / "coverage.md"
NAMESPACES = ("nn.functional", "linalg", "fft", "special")
OTHER = "(top level)"


def namespace(name: str) -> str:
    """Return the namespace that an entry is counted in.

    Args:
        name: of an entry, like "linalg.qr".
    """
    return next((space for space in NAMESPACES if name.startswith(f"{space}.")), OTHER)


def measured(outcomes: Iterable[harness.Outcome]) -> str:
    """Return a Markdown table of the counts per namespace, the total below.

    Args:
        outcomes: of the entries that have a row.
    """
    counts: dict[str, Counter] = {space: Counter() for space in (*NAMESPACES, OTHER, "all")}
    for name in harness.ENTRIES:
        for space in (namespace(name), "all"):
            counts[space]["entries"] += 1
    for outcome in outcomes:
        for space in (namespace(outcome.name), "all"):
            counts[space] += Counter(
                covered=outcome.counts,
                samples=outcome.passed + len(outcome.failures) + sum(outcome.skipped.values()),
                passed=outcome.passed,
                failed=len(outcome.failures),
                skipped=sum(outcome.skipped.values()),
            )
    columns = ("entries", "covered", "samples", "passed", "failed", "skipped")
    lines = [f"| namespace | {' | '.join(columns)} |", "| --- |" + " ---: |" * len(columns)]
    for space, row in counts.items():
        lines.append(f"| {space} | " + " | ".join(f"{row[column]:,}" for column in columns) + " |")
    return "\n".join(lines) + "\n"


def page(counts: str) -> str:
    """Return the text of docs/coverage.md.

    Args:
        counts: the table of `measured`.
    """
    lists = []
    for space in (OTHER, *NAMESPACES):
        names = [name for name in table.OPERATORS if namespace(name) == space]
        lists.append(f"**{space}**: {', '.join(f'`{name}`' for name in names)}\n")
    exceptions = "".join(
        f"| `{name}` | {_limits(operator)} | {operator.why} |\n"
        for name, operator in table.OPERATORS.items()
        if operator.why
    )
    absent = "".join(
        f"- {reason}: {', '.join(f'`{name}`' for name in harness.ENTRIES if uncovered.reason(name) == reason)}\n"
        for reason in uncovered.REASONS
    )
    rules = "".join(f"- {words}\n" for words in harness.SKIPS.values())
    return _PAGE.format(
        counts=counts, lists="\n".join(lists), exceptions=exceptions, absent=absent, rules=rules, rtol=harness.RTOL
    )


def _limits(operator: harness.Operator) -> str:
    """Return in words what of an entry is compared less strictly, or otherwise, than usual."""
    words = []
    if operator.rtol != harness.RTOL:
        words.append(f"tolerance {operator.rtol:g}")
    if operator.order < 2:
        words.append(("values only", "values and first gradients")[operator.order])
    if operator.plain is not None:
        words.append("values only, on some samples")
    if operator.before is not None:
        words.append("inputs prepared")
    if operator.after is not None:
        words.append("outputs up to a sign")
    return ", ".join(words)


_PAGE = """# Coverage of PyTorch's operator database

PyTorch 2.13.0 tests itself with a database of operators and sample inputs
(`torch.testing._internal.common_methods_invocations.op_db`). The same samples are given to chainrule, in float64 (in
int64, complex128 or bool where an operator has no float64), and compared: the values, the gradients of all float
inputs along random covectors, and the gradients of those where PyTorch has them. The tolerance is {rtol:g} relative,
with a hundredth of it relative to the largest element of a tensor. An entry counts as covered when at least 95 % of its
samples ran and none disagreed. Where PyTorch's operator also takes complex numbers, those samples agree too, or
chainrule refuses them with a DTypeError.

{counts}
`python tools/op_db.py` prints this table and every failure; the default tests run twenty samples per entry. `skipped`
are samples that one of these rules leaves out:

{rules}
## Compared otherwise

| entry | what is compared | why |
| --- | --- | --- |
{exceptions}
## Covered

Some entries are one function of chainrule, others a few in a row: `tests/oracle` says for each what it is.

{lists}
## Not covered

{absent}"""


def main() -> int:
    """Run the samples, print the counts and the failures; return 1 if there was one."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="entries to run, like 'linalg.*'; default all")
    parser.add_argument("--most", type=int, help="samples per entry, spread over all of them; default all")
    parser.add_argument("--write", action="store_true", help="write docs/coverage.md; needs a run over everything")
    options = parser.parse_args()
    if options.write and (options.patterns or options.most):
        parser.error("--write needs a run over everything: leave out PATTERN and --most.")
    warnings.simplefilter("ignore")
    harness.torch.set_num_threads(1)
    wanted = options.patterns or ["*"]
    names = [name for name in table.OPERATORS if any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted)]
    outcomes = [harness.run(name, table.OPERATORS[name], options.most) for name in track(names, "Comparing")]
    for outcome in outcomes:
        for number, message in outcome.failures:
            print(f"{outcome.name}, sample {number}: {message}")
    counts = measured(outcomes)
    print(counts)
    for outcome in outcomes:
        if outcome.skipped:
            print(f"left out of {outcome.name}: {dict(outcome.skipped)} of {outcome.samples}")
    if options.write:
        PAGE.write_text(page(counts), encoding="utf-8")
    return int(any(outcome.failures for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
