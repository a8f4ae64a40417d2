"""Jobs for the tests of robustness, each run in a process of its own, where a crash ends nothing else.

python -c "from tests.compiler import robust_jobs; robust_jobs.train('mlp')"
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import nn, optim
from chainrule.compiler.program import NativeExecutor

CLASSES = 10


def model(name: str) -> nn.Module:
    """Return a small network with dropout."""
    cr.manual_seed(1)
    if name == "mlp":
        return nn.Sequential(
            nn.Linear(50, 70), nn.ReLU(), nn.Dropout(0.2), nn.Linear(70, 33), nn.Tanh(), nn.Linear(33, CLASSES)
        )
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 13, 3, stride=2),
        nn.GELU(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(13 * 9, CLASSES),
    )  # fmt: skip


class Training:
    """A network with its step; `mode` is "jit" or "eager"."""

    def __init__(self, name: str, mode: str = "jit", rate: float = 0.05):
        self.model = model(name)
        self.shape = (50,) if name == "mlp" else (3, 14, 14)
        self.optimizer = optim.SGD(self.model.parameters(), lr=rate, momentum=0.9)

        def step(x: cr.Tensor, y: cr.Tensor) -> cr.Tensor:
            loss = nn.functional.cross_entropy(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            return loss

        self.step: Any = cr.jit(step) if mode == "jit" else step
        cr.manual_seed(2)
        self.losses: list[float] = []

    def run(self, steps: int, batch: int = 24) -> Training:
        """Train on a few random batches."""
        for number in range(steps):
            rng = np.random.default_rng(number)
            x = rng.standard_normal((batch, *self.shape)).astype(np.float32)
            self.losses.append(self.step(cr.asarray(x), cr.asarray(rng.integers(0, CLASSES, batch))).item())
        return self

    def state(self) -> list[np.ndarray]:
        """Return copies of parameters and statistics."""
        return [np.array(value.numpy()) for value in self.model.state_dict().values()]

    @property
    def executor(self) -> NativeExecutor:
        """The native code of the newest variant."""
        executor = self.step.variants[-1].executor
        assert isinstance(executor, NativeExecutor)
        return executor


def bits(training: Training) -> str:
    """Return a digest of losses and state."""
    import hashlib

    parts = [np.array(training.losses), *training.state()]
    return hashlib.sha256(b"".join(a.tobytes() for a in parts)).hexdigest()


def train(name: str) -> None:
    """Print the target, whether the code came from the disk, and the bits on 1 and 2 threads; compare with eager."""
    from chainrule.compiler.llvm.machine import host_target

    found = []
    for threads in (1, 2):
        cr.set_num_threads(threads)
        found.append(Training(name).run(4))
    eager = Training(name, "eager").run(4)
    np.testing.assert_allclose(found[0].losses, eager.losses, rtol=1e-5, atol=1e-6)
    for got, want in zip(found[0].state(), eager.state(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-6)
    print(host_target().name, found[0].executor.plan.from_disk, bits(found[0]), bits(found[1]))


# ------------------------------------------------------------------------------------------------ memory
def _limited(megabytes: int, call: Callable[[], Any]) -> str:
    """Call with so much more address space than is in use now; return what was raised."""
    import resource

    used = 1024 * int(open("/proc/self/status").read().split("VmSize:")[1].split()[0])  # noqa: SIM115
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (megabytes << 20), before[1]))
    try:
        call()
    except MemoryError as error:
        return f"{type(error).__name__}: {error}"
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    return "nothing was raised"


def out_of_memory() -> None:
    """Compile, and run, with less memory than that takes; then train on."""
    training, other = Training("mlp").run(2), Training("mlp").run(2)
    assert bits(training) == bits(other)
    before = training.state()
    print(_limited(8, lambda: Training("mlp").run(1, batch=25)))
    large = cr.asarray(np.ones((300_000, 50), np.float32)), cr.asarray(np.zeros(300_000, np.int64))
    print(_limited(150, lambda: training.step(*large)))
    assert all((a == b).all() for a, b in zip(before, training.state(), strict=True)), "the failed step left a trace"
    results = []
    for each in (training, other):
        cr.manual_seed(3)
        results.append(bits(each.run(1)))
    print(results[0] == results[1])


# ------------------------------------------------------------------------------------------------ signals
def interrupted() -> None:
    """Send Ctrl-C into a long native call: it arrives after it, and the state is that after a whole step."""
    cr.set_num_threads(1)
    weight = cr.asarray(np.eye(600, dtype=np.float32))
    count = cr.asarray(0)

    @cr.jit
    def step(scale: cr.Tensor) -> None:
        product = weight
        for _ in range(40):
            product = product @ weight
        weight.assign_(product * scale)
        count.assign_(count + 1)

    scale = cr.asarray(1.0)
    step(scale)
    start = time.perf_counter()
    step(scale)
    long = time.perf_counter() - start
    done = count.item()

    def interrupt() -> None:
        time.sleep(long / 3)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    try:
        for _ in range(1000):
            step(scale)
        print("never interrupted")
    except KeyboardInterrupt:
        whole = count.item() > done and bool((weight.numpy() == np.eye(600)).all())
        step(scale)
        print("interrupted", whole, count.item() >= done + 2)


# ------------------------------------------------------------------------------------------------ threads, processes
def one_step_in_two_threads() -> None:
    """Two threads call one training step: each call is whole, so the count of updates is that of the calls."""
    table = nn.Parameter(cr.asarray(np.zeros((64, 64), np.float32)))
    optimizer = optim.SGD([table], lr=1.0)

    @cr.jit
    def step(x: cr.Tensor) -> cr.Tensor:
        loss = -(table * x).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    x = cr.asarray(np.ones((64, 64), np.float32))
    step(x)
    failed: list[str] = []

    def work() -> None:
        try:
            for _ in range(300):
                step(x)
        except Exception as error:
            failed.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    values = np.unique(table.numpy())
    print(failed, len(values), values.tolist())


def busy_neighbour() -> None:
    """Train on two threads while others keep every core busy; the bits are those of a quiet machine."""
    cr.set_num_threads(2)
    quiet = bits(Training("cnn").run(6))
    children = []
    for _ in range(max(2, os.cpu_count() or 1)):
        child = os.fork()
        if not child:
            end = time.monotonic() + 60
            while time.monotonic() < end:
                pass
            os._exit(0)
        children.append(child)
    try:
        print(bits(Training("cnn").run(6)) == quiet)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def forked() -> None:
    """Fork after compiled calls on two threads: both go on alike, old steps and new ones."""
    cr.set_num_threads(2)
    training = Training("cnn").run(3)
    sys.stdout.flush()
    child = os.fork()
    training.run(3)
    os.write(1, f"{bits(training)} {bits(Training('mlp').run(2))}\n".encode())  # one write: the two lines stay whole
    if not child:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
