"""Runs one workload: starts the contestants, lets them take turns, and gathers their times.

Every mode of every library has a process of its own, with one fixed batch and the same initial weights. A mode that
compiles starts twice: with an empty cache, for the cold first call, and again with the cache filled. Then the rounds
begin: each contestant runs steps for about a quarter of a second, and stands still (SIGSTOP) while the others run, so
no thread of its pool spins on a core that another one needs. Its own waiting policy stays as the library sets it.
The order rotates from round to round, and the table has medians over all steps of all rounds.

The workloads of a group are heavy: a step takes up to seconds, a contestant up to gigabytes. There the rounds end when
the time given is over, a mode of PyTorch that is clearly behind another in its first steps leaves before the rounds,
and nobody is timed whose losses of the first steps are not PyTorch's.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks import batches, losses, peers
from benchmarks.measure import median, thread_counts
from benchmarks.peers import Mode
from benchmarks.workload import Workload

__all__ = ["Contestant", "Outcome", "Settings", "run"]

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIRST_STEPS = 20
FIRST_LIMIT = 60.0  # seconds after which the first steps end early, counted from the second step on
MOST_STEPS = 4000  # per turn
LEAST_ROUNDS = 3
BEHIND = 1.25  # times the best mode of the library: a mode that takes longer in its first steps leaves


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Args:
        threads: CPUs and threads of each contestant.
        rounds: turns per contestant.
        turn: seconds per turn, about.
        chosen: peers and modes; None is all.
        dropout: False for comparisons of losses.
        seconds: after which the rounds of a workload end, three at least; None: when all are done.
        first: seconds for the first steps of each contestant, three at least.
        patience: seconds until a peer's first call must be done; None: any time.
        once: a mode that compiles starts once, with an empty cache, and goes on.
    """

    threads: int
    rounds: int = 10
    turn: float = 0.25
    chosen: list[str] | None = None
    dropout: bool = True
    seconds: float | None = None
    first: float = FIRST_LIMIT
    patience: float | None = None
    once: bool = False


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

    def ask(self, patience: float | None = None, **request: Any) -> dict[str, Any]:
        """Wake it, send a request, wait for the reply, and stop it again.

        Args:
            patience: seconds to wait at most; None waits for ever.
            **request: what to do.

        Raises:
            ContestantError: it skips, it failed, it is gone, or it takes too long.
        """
        self._signal("SIGCONT")
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            if patience is not None and not select.select([self.process.stdout], [], [], patience)[0]:
                raise ContestantError(f"not ready within {patience:g} s", skip=True)
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
    return {
        **thread_counts(mode.threads or threads),
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
                if workload.group:
                    _leave(running, mode.peer)
            if workload.group:
                _agree(running, losses.TOLERANCE[workload.precision])
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
    patience = None if mode.peer == "chainrule" else settings.patience
    contestant = None
    try:
        for cold in ((True,) if settings.once else (True, False)) if mode.compiles else (False,):
            if contestant:
                contestant.end()
            contestant = Contestant(command, variables, batch.parent / "log")
            outcome.version = contestant.ask(do="build")["version"]
            found = contestant.ask(patience, do="first", count=count, limit=settings.first)
            if cold:
                outcome.cold, outcome.growth_cold = found["seconds"][0], found["growth"]
            else:
                outcome.cached, outcome.growth = found["seconds"][0], found["growth"]
        outcome.losses = found["losses"]
        contestant.typical = median(found["seconds"][1:] or found["seconds"])
        return contestant
    except ContestantError as error:
        outcome.skipped, outcome.failed = str(error), not error.skip
        contestant.end()
        return None


def _leave(running: list[tuple[Outcome, Contestant]], peer: str) -> None:
    """End the contestants of a library that are clearly behind its best one in their first steps."""
    own = [contestant.typical for outcome, contestant in running if outcome.peer == peer]
    for outcome, contestant in list(running):
        if outcome.peer == peer and contestant.typical > BEHIND * min(own):
            outcome.skipped = f"over {BEHIND:g} times the time of the library's best mode in its first steps"
            contestant.end()
            running.remove((outcome, contestant))


def _agree(running: list[tuple[Outcome, Contestant]], tolerance: float) -> None:
    """End the contestants whose losses of the first steps are not PyTorch's."""
    far = losses.apart([outcome for outcome, _ in running], tolerance)
    for outcome, contestant in list(running):
        title = f"{outcome.peer}/{outcome.mode}"
        if title in far:
            count = min(losses.COMPARED, len(outcome.losses))
            outcome.skipped = f"its first {count} losses are {far[title]:.1e} away from PyTorch's"
            outcome.failed = True
            contestant.end()
            running.remove((outcome, contestant))


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
    least = 3 if calls == 1 and settings.seconds is None else 1
    begin = time.monotonic()
    for number in range(settings.rounds):
        if settings.seconds and number >= LEAST_ROUNDS and time.monotonic() - begin > settings.seconds:
            break
        say(f"round {number + 1} of {settings.rounds}")
        start = number % max(len(running), 1)
        for outcome, contestant in running[start:] + running[:start]:
            if outcome.failed:
                continue
            count = max(least, min(MOST_STEPS, round(settings.turn / contestant.typical)))
            try:
                reply = contestant.ask(do="steps", count=count)
            except ContestantError as error:
                outcome.skipped, outcome.failed = str(error), True
                continue
            outcome.seconds += [seconds / calls for seconds in reply["seconds"]]
