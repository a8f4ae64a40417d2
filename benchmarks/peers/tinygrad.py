"""tinygrad: the step under TinyJit, on its CPU device, which compiles through clang."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.batches import MEAN, STD
from benchmarks.peers import Job, Mode, Skip, Steps

TITLE = "tinygrad"
MODES = (
    Mode("tinygrad", "TinyJit", environment={"DEV": "CPU"}, compiles=True,
         fits=lambda workload: workload.precision == "float32" and workload.tinygrad is not None),
)  # fmt: skip


def version() -> str:
    """Return the version."""
    import importlib.metadata

    return importlib.metadata.version("tinygrad")


def build(job: Job) -> Steps:
    """Return the workload in tinygrad.

    Raises:
        Skip: there is no clang.
    """
    if shutil.which(os.environ.get("CC", "clang")) is None:
        raise Skip("tinygrad's CPU device needs clang")
    from tinygrad import Tensor, TinyJit, nn

    workload = job.workload
    Tensor.manual_seed(0)
    model = workload.tinygrad(nn, Tensor, job.dropout)
    network = (lambda x: x.sequential(model)) if isinstance(model, list) else model
    own = nn.state.get_state_dict(model)
    missing = {name for name in own.keys() ^ job.weights.keys() if not name.endswith("num_batches_tracked")}
    assert not missing, missing
    for name, weight in job.weights.items():
        own[name].assign(Tensor(weight)).realize()
    trained = [tensor for name, tensor in own.items() if not name.endswith(("mean", "var", "tracked"))]
    parameters = sum(tensor.numel() for tensor in trained)
    if not workload.trains:
        x = Tensor(job.batch["x"]).realize()
        scores = TinyJit(lambda x: network(x).realize())
        return Steps(lambda: _done(scores(x)), lambda s: float(np.mean(np.square(s.numpy()))), parameters)
    return Steps(_training(job, network, nn, own, TinyJit, Tensor), lambda loss: loss.item(), parameters)


def _done(result: Any) -> Any:
    """Wait until the device has finished."""
    from tinygrad import Device

    Device[result.device].synchronize()
    return result


def _training(job: Job, network: Callable, nn: Any, own: dict[str, Any], jit: Any, tensor: Any) -> Callable[[], Any]:
    from tinygrad import Context

    workload = job.workload
    optimizer = getattr(nn.optim, workload.optimizer)(list(own.values()), **workload.settings)

    def step(x: Any, *labels: Any) -> Any:
        output = network(x)
        loss = output.sparse_categorical_crossentropy(*labels) if labels else ((output - x) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        return loss.realize(*optimizer.schedule_step())

    x = tensor(job.batch["x"]).realize()
    y = tensor(job.batch["y"].astype(np.int32)).realize()
    arguments = (x,) if workload.loss == "mse" else (x, y)  # TinyJit refuses one tensor twice
    if workload.calls == 1:
        compiled = jit(step)

        def call() -> Any:
            with Context(TRAINING=1):
                return _done(compiled(*arguments))

        return call
    on_rows = jit(lambda rows: step((x[rows].cast("float32") - MEAN) / STD, y[rows]))
    order = [tensor(rows).realize() for rows in job.batch["order"]]

    def epoch() -> Any:
        with Context(TRAINING=1):
            for rows in order:
                loss = on_rows(rows)
            return _done(loss)

    return epoch
