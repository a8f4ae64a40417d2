"""PyTorch: eager, fused optimizer, channels_last, torch.compile, each also with a malloc that keeps freed memory."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.batches import MEAN, STD
from benchmarks.peers import Job, Mode, Skip, Steps, initial
from benchmarks.workload import AUXILIARY

TITLE = "PyTorch"
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}
PLAIN = (
    Mode("torch", "eager"),
    Mode("torch", "fused", ("fused",), fits=lambda workload: workload.trains),
    Mode("torch", "channels_last", ("fused", "channels_last"), fits=lambda workload: workload.convolutional),
    Mode("torch", "compile", ("fused", "compile"), compiles=True),
    Mode("torch", "compile+channels_last", ("fused", "compile", "channels_last"), compiles=True,
         fits=lambda workload: workload.convolutional),
)  # fmt: skip
MODES = tuple(itertools.chain.from_iterable(
    (mode, replace(mode, name=f"{mode.name}+malloc", environment=MALLOC, compiles=False)) for mode in PLAIN
))  # fmt: skip


def version() -> str:
    """Return the version."""
    import torch

    return torch.__version__


def build(job: Job) -> Steps:
    """Return the workload in PyTorch.

    Raises:
        Skip: the mode compiles and there is no C++ compiler.
    """
    import torch

    if "compile" in job.options and not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++")):
        raise Skip("torch.compile needs a C++ compiler (g++ or clang++)")
    torch.set_num_threads(job.threads)
    torch.manual_seed(0)
    workload, nn = job.workload, torch.nn
    model = workload.network(nn, job.dropout)
    missing, unexpected = model.load_state_dict(
        {name: torch.from_numpy(weight) for name, weight in initial(job, model.state_dict()).items()}, strict=False,
    )  # fmt: skip
    assert not unexpected, unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing), missing
    parameters = sum(p.numel() for p in model.parameters())
    layout = torch.channels_last if "channels_last" in job.options else torch.contiguous_format
    if workload.convolutional:
        model = model.to(memory_format=layout)
    forward = _forward(torch, model, job)
    if workload.calls > 1:
        return Steps(_loop(torch, forward, model, job), float, parameters)
    x, y = torch.from_numpy(job.batch["x"]), torch.from_numpy(job.batch["y"])
    if workload.convolutional:
        x = x.contiguous(memory_format=layout)
    if not workload.trains:
        return Steps(_inference(torch, forward, x), lambda scores: float((scores.float() ** 2).mean()), parameters)
    step = _step(torch, forward, model, job)
    target = x if workload.loss == "mse" else y
    return Steps(lambda: step(x, target), float, parameters)


def _forward(torch: Any, model: Any, job: Job) -> Callable:
    """Return (x, y) -> loss, or x -> scores, compiled and with mixed precision where the job says so."""
    workload = job.workload
    loss_of = _loss(torch.nn.functional, workload.loss)
    model.train(workload.trains)

    def forward(x: Any, y: Any) -> Any:
        return loss_of(model(x), y)

    def mixed(x: Any, y: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return loss_of(model(x), y)

    chosen: Callable = mixed if workload.precision == "bf16" else forward
    if not workload.trains:
        chosen = model
    return torch.compile(chosen) if "compile" in job.options else chosen


def _loss(functional: Any, name: str) -> Callable[[Any, Any], Any]:
    each = functional.cross_entropy

    def auxiliary(outputs: Any, y: Any) -> Any:
        main, second, first = outputs
        return each(main, y) + AUXILIARY * (each(first, y) + each(second, y))

    return {"mse": functional.mse_loss, "cross_entropy": each, "auxiliary": auxiliary}[name]


def _step(torch: Any, forward: Callable, model: Any, job: Job) -> Callable:
    fused = {"fused": True} if "fused" in job.options else {}
    optimizer = getattr(torch.optim, job.workload.optimizer)(model.parameters(), **job.workload.settings, **fused)

    def step(x: Any, y: Any) -> Any:
        loss = forward(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _inference(torch: Any, forward: Callable, x: Any) -> Callable[[], Any]:
    def step() -> Any:
        with torch.inference_mode():
            return forward(x)

    return step


def _loop(torch: Any, forward: Callable, model: Any, job: Job) -> Callable[[], Any]:
    """Return a Python loop over the rows of `order`: PyTorch has no call of many steps."""
    digits, labels = torch.from_numpy(job.batch["x"]), torch.from_numpy(job.batch["y"])
    order = list(torch.from_numpy(job.batch["order"].astype(np.int64)))
    step = _step(torch, forward, model, job)

    def epoch() -> Any:
        for rows in order:
            loss = step((digits[rows].float() - MEAN) / STD, labels[rows])
        return loss

    return epoch
