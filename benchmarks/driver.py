"""Runs one workload: starts the contestants, lets them take turns, and gathers their times.

Every mode of every library has a process of its own, with one fixed batch and the same initial weights. A mode that
compiles starts twice: with an empty cache, for the cold first call, and again with the cache filled. Then the rounds
begin: each contestant runs steps for about a quarter of a second, and stands still (SIGSTOP) while the others run, so
no thread of its pool spins on a core that another one needs. Its own waiting policy stays as the library sets it.
The order rotates from round to round, and the table has medians over all steps of all rounds.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks import batches, peers
from benchmarks.measure import median
from benchmarks.peers import Mode
from benchmarks.workload import Workload

__all__ = ["Contestant", "Outcome", "Settings", "run"]

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIRST_STEPS = 20
FIRST_LIMIT = 60.0  # seconds after which the first steps end early
MOST_STEPS = 4000  # per turn


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Args:
        threads: CPUs and threads of each contestant.
        rounds: turns per contestant.
        turn: seconds per turn, about.
        chosen: peers and modes; None is all.
        dropout: False for comparisons of losses.
    """

    threads: int
    rounds: int = 10
    turn: float = 0.25
    chosen: list[str] | None = None
    dropout: bool = True


@dataclass
class Outcome:
    """What a contestant achieved.

    Attributes:
        peer, mode: names of library and mode.
        skipped: why it did not run; None if it did.
        failed: whether `skipped` is an error and not a missing part of the machine.
        version: of the library.
        seconds: per step, all rounds; divided by the steps per call.
        cold, cached: seconds of the first call with an empty and with a filled cache; cold is None for a mode that does
            not compile.
        growth, growth_cold: bytes by which the peak resident size grew over the first 20 steps, in the two processes.
        losses: of the first steps.
    """

    peer: str
    mode: str
    skipped: str | None = None
    failed: bool = False
    version: str = ""
    seconds: list[float] = field(default_factory=list)
    cold: float | None = None
    cached: float | None = None
    growth: int | None = None
    growth_cold: int | None = None
    losses: list[float] = field(default_factory=list)

    @property
    def median(self) -> float | None:
        """Median seconds per step."""
        return median(self.seconds)

    def summary(self) -> dict[str, Any]:
        """Return it for JSON: the median, the quickest and the number of steps instead of all times."""
        found = asdict(self)
        seconds = found.pop("seconds")
        found["median"] = self.median
        found["fastest"], found["steps"] = min(seconds, default=None), len(seconds)
        return found


class ContestantError(Exception):
    """A contestant skipped or failed; `skip` says which."""

    def __init__(self, message: str, skip: bool = False):
        super().__init__(message)
        self.skip = skip


class Contestant:
    """A process that answers requests, stopped in between.

    Args:
        command: its command line.
        environment: added to this process's.
        log: file for its standard error.
    """

    def __init__(self, command: Sequence[str], environment: dict[str, str], log: pathlib.Path):
        self.log = log
        self.typical = 0.1  # seconds per call; known after the first steps
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **environment}, text=True, bufsize=1,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip

    def ask(self, **request: Any) -> dict[str, Any]:
        """Wake it, send a request, wait for the reply, and stop it again.

        Raises:
            ContestantError: it skips, it failed, or it is gone.
        """
        self._signal("SIGCONT")
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            line = self.process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            code = self.process.wait()
            raise ContestantError(f"ended with code {code}: {self._last_words()}")
        self._signal("SIGSTOP")
        reply = json.loads(line)
        if "skip" in reply:
            raise ContestantError(reply["skip"], skip=True)
        if "error" in reply:
            raise ContestantError(reply["error"].partition("\n")[0])
        return reply

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def _signal(self, name: str) -> None:
        if hasattr(signal, name) and self.process.poll() is None:
            self.process.send_signal(getattr(signal, name))

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def environment(mode: Mode, threads: int, cache: pathlib.Path) -> dict[str, str]:
    """Return the variables of a contestant: its threads, its malloc, and caches of its own."""
    count = str(mode.threads or threads)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CHAINRULE_THREADS")
    return {
        **dict.fromkeys(names, count),
        "XDG_CACHE_HOME": str(cache),
        "CHAINRULE_CACHE": str(cache / "chainrule"),
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(cache / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        **mode.environment,
    }


def run(workload: Workload, settings: Settings, say: Callable[[str], None] = lambda text: None) -> list[Outcome]:
    """Measure one workload and return the outcome of each contestant, chainrule's first.

    Args:
        workload: the workload.
        settings: how to measure.
        say: called with a line about what happens now.

    Raises:
        MissingDataError: its data are not there.
    """
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        batch = batches.write(workload, pathlib.Path(folder, "batch.npz"))
        running: list[tuple[Outcome, Contestant]] = []
        outcomes = []
        try:
            for mode in peers.modes(workload, settings.chosen):
                say(f"{workload.name}: {mode.title} starts")
                outcome = Outcome(mode.peer, mode.name)
                outcomes.append(outcome)
                contestant = _start(workload, mode, settings, batch, outcome)
                if contestant:
                    running.append((outcome, contestant))
            take_turns(running, settings, workload.calls, lambda text: say(f"{workload.name}: {text}"))
        finally:
            for _, contestant in running:
                contestant.end()
    return outcomes


def _start(
    workload: Workload, mode: Mode, settings: Settings, batch: pathlib.Path, outcome: Outcome
) -> Contestant | None:
    """Start a contestant and run its first steps, a compiling one twice; None if it cannot run."""
    job = {"workload": workload.name, "mode": mode.title, "threads": settings.threads, "batch": str(batch),
           "dropout": settings.dropout}  # fmt: skip
    command = [sys.executable, "-m", "benchmarks.contestant", json.dumps(job)]
    cache = batch.parent / "-".join(["cache", mode.peer, *mode.options, str(mode.threads)])  # twins share it
    cache.mkdir(mode=0o700, exist_ok=True)
    variables = environment(mode, settings.threads, cache)
    count = min(FIRST_STEPS, 3) if workload.calls > 1 else FIRST_STEPS
    contestant = None
    try:
        for cold in (True, False) if mode.compiles else (False,):
            contestant = Contestant(command, variables, batch.parent / "log")
            outcome.version = contestant.ask(do="build")["version"]
            found = contestant.ask(do="first", count=count, limit=FIRST_LIMIT)
            if cold:
                outcome.cold, outcome.growth_cold = found["seconds"][0], found["growth"]
                contestant.end()
        outcome.cached, outcome.growth, outcome.losses = found["seconds"][0], found["growth"], found["losses"]
        contestant.typical = median(found["seconds"][1:] or found["seconds"])
        return contestant
    except ContestantError as error:
        outcome.skipped, outcome.failed = str(error), not error.skip
        contestant.end()
        return None


def take_turns(
    running: list[tuple[Outcome, Contestant]], settings: Settings, calls: int, say: Callable[[str], None]
) -> None:
    """Let the contestants run in turns, and append their seconds per step to the outcomes.

    Args:
        running: outcomes with their contestants; one that fails drops out.
        settings: rounds and seconds per turn.
        calls: steps per call.
        say: called with a line per round.
    """
    for number in range(settings.rounds):
        say(f"round {number + 1} of {settings.rounds}")
        start = number % max(len(running), 1)
        for outcome, contestant in running[start:] + running[:start]:
            if outcome.failed:
                continue
            count = max(3 if calls == 1 else 1, min(MOST_STEPS, round(settings.turn / contestant.typical)))
            try:
                reply = contestant.ask(do="steps", count=count)
            except ContestantError as error:
                outcome.skipped, outcome.failed = str(error), True
                continue
            outcome.seconds += [seconds / calls for seconds in reply["seconds"]]
