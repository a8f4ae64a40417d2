"""`python -m chainrule.testing.fuzz --seeds 0:20000`: random training steps, compiled, against the references.

Each seed is a step of up to 40 operations with gradients and state. After every pass the references run, so that a
wrong pass is told from wrong code; native code runs on one thread and on two, on fresh memory and over its state.
Workers are processes of their own: one that dies or hangs is a finding like any other, and the next seed goes on. A
finding is made small and printed as a graph. One seed in ten has at least three register tiles per dimension.
"""

from __future__ import annotations

import argparse
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from chainrule.testing._fuzz_checks import Mismatch, check_case
from chainrule.testing._fuzz_programs import Case, random_case
from chainrule.testing._fuzz_shrink import shrink

__all__ = ["Finding", "Report", "fuzz", "main"]

PATIENCE = 300  # seconds without a word from a worker
_OK, _REFUSED, _FAILED = "ok", "refused", "failed"


@dataclass
class Finding:
    """A seed whose compiled step is wrong.

    Args:
        seed: `random_case(seed)` is the step.
        stage: "pass ..." for a wrong pass, "native" for wrong code, "crash" for a worker that died.
        message: what differs; for a crash the signal.
    """

    seed: int
    stage: str
    message: str

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.message}"


@dataclass
class Report:
    """What a range of seeds gave.

    Attributes:
        passed: seeds without a finding.
        refused: seeds whose trace was refused, as a user's would be.
        findings: the others.
    """

    passed: int = 0
    refused: int = 0
    findings: list[Finding] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.passed} steps passed, {self.refused} were refused, {len(self.findings)} failed"


def fuzz(seeds: Sequence[int], jobs: int = 1, quiet: bool = True) -> Report:
    """Check the compiled steps of some seeds in worker processes.

    Args:
        seeds: each >= 0.
        jobs: workers at a time, >= 1.
        quiet: print no progress; default True.

    Returns:
        The report; `findings` is empty if all is well.

    Example:
        >>> from chainrule.testing.fuzz import fuzz
        >>> print(fuzz(range(2)))
        2 steps passed, 0 were refused, 0 failed
    """
    report = Report()
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    lock = threading.Lock()
    for seed in seeds:
        waiting.put(seed)

    def serve() -> None:
        for seed, stage, message in _results(waiting):
            with lock:
                report.passed += stage == _OK
                report.refused += stage == _REFUSED
                if stage not in (_OK, _REFUSED):
                    report.findings.append(Finding(seed, stage, message))
                    if not quiet:
                        _say(report.findings[-1])
                done = report.passed + report.refused + len(report.findings)
                if not quiet and done % 500 == 0:
                    _say(f"{done} of {len(seeds)}: {report}")

    threads = [threading.Thread(target=serve) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return report


# ---------------------------------------------------------------------------------------------------- workers
def _results(waiting: queue.SimpleQueue[int]) -> Iterator[tuple[int, str, str]]:
    """Yield the results of seeds; a worker that dies is replaced."""
    worker: subprocess.Popen | None = None
    while True:
        try:
            seed = waiting.get_nowait()
        except queue.Empty:
            break
        worker = worker if worker is not None and worker.poll() is None else _start()
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(f"{seed}\n")
        worker.stdin.flush()
        answered = threading.Event()
        threading.Thread(target=_watch, args=(worker, answered), daemon=True).start()
        line = worker.stdout.readline()
        answered.set()
        if line:
            stage, _, message = line.rstrip("\n").partition("\t")
            yield seed, stage, message
        else:
            worker.communicate()
            code = worker.wait()
            name = signal.Signals(-code).name if code < 0 else f"exit {code}"
            yield seed, "crash", f"the process ended by {name}"
    if worker is not None:
        worker.communicate()


def _watch(worker: subprocess.Popen, answered: threading.Event) -> None:
    """End a worker that says nothing; seconds in which this process itself was stopped do not count."""
    for _ in range(PATIENCE):
        if answered.wait(1.0):
            return
    worker.kill()


def _start() -> subprocess.Popen:
    environment = {
        **os.environ,
        "OPENBLAS_NUM_THREADS": "1",
        "CHAINRULE_CACHE": "off",
        "MALLOC_PERTURB_": "165",  # memory that nobody wrote yet is full of rubbish
    }
    command = [sys.executable, "-c", "from chainrule.testing.fuzz import _work; _work()"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def _work() -> None:
    """Answer each seed on stdin with one line: how it went, a tab, and the message."""
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        stage, message = _checked(int(line))
        answers.write(f"{stage}\t{' '.join(message.split())}\n")
        answers.flush()


def _checked(seed: int) -> tuple[str, str]:
    try:
        case = random_case(seed)
        if case is None:
            return _REFUSED, ""
        check_case(case)
    except Mismatch as error:
        return error.stage, str(error)
    except Exception as error:
        return _FAILED, f"{type(error).__name__}: {error}"
    return _OK, ""


# ---------------------------------------------------------------------------------------------------- command line
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the seeds, print the findings made small, and return the exit code: 1 if there are any."""
    parser = argparse.ArgumentParser("python -m chainrule.testing.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", default="0:300", metavar="FROM:TO", help="the seeds, TO not included; default 0:300")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes; default 1")
    parser.add_argument("--no-shrink", action="store_true", help="print findings as they are, without the small graph")
    chosen = parser.parse_args(arguments)
    first, _, last = chosen.seeds.partition(":")
    if not first.isdecimal() or (last and not last.isdecimal()):
        parser.error(f"--seeds takes FROM:TO, two numbers; got {chosen.seeds!r}")
    seeds = range(int(first), int(last) if last else int(first) + 1)
    start = time.monotonic()
    report = fuzz(seeds, max(1, chosen.jobs), quiet=False)
    for finding in report.findings if not chosen.no_shrink else ():
        case = random_case(finding.seed)
        _say(f"\n{finding}")
        if isinstance(case, Case):
            _say(shrink(case.graph, case.arrays, case.takes, finding.stage))
    _say(f"{report}; {time.monotonic() - start:.0f} s")
    return 1 if report.findings else 0


def _say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
