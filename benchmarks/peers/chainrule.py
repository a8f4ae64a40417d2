"""chainrule: the whole step as one jitted function; `eager` on request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.batches import MEAN, STD
from benchmarks.peers import Job, Mode, Skip, Steps, initial
from benchmarks.workload import AUXILIARY, Workload

TITLE = "chainrule"


def _single(workload: Workload) -> bool:
    return workload.calls == 1


MODES = (
    Mode("chainrule", "jit", ("jit",), compiles=True),
    Mode("chainrule", "call per step", ("jit", "calls"), compiles=True, fits=lambda workload: workload.calls > 1),
    Mode("chainrule", "eager", ("extra",), fits=_single),
)


def version() -> str:
    """Return the version."""
    import chainrule as cr

    return cr.__version__


def build(job: Job) -> Steps:
    """Return the workload in chainrule.

    Raises:
        Skip: this version lacks what the workload needs.
    """
    import llvmlite.binding  # noqa: F401 - an import like PyTorch's: not memory of the step

    import chainrule as cr
    import chainrule.compiler.program
    from chainrule import nn, optim

    cr.set_num_threads(job.threads)
    cr.manual_seed(0)
    workload = job.workload
    missing = [name for name in ("Conv2d", "MaxPool2d", "BatchNorm2d") if not hasattr(nn, name)]
    if workload.convolutional and missing:
        raise Skip(f"this chainrule has no nn.{missing[0]}")
    model = workload.network(nn, job.dropout)
    state = model.state_dict()
    weights = initial(job, state)
    report = state.keys() - weights.keys()
    assert all(name.endswith("num_batches_tracked") for name in report), report
    model.load_state_dict({**state, **{name: cr.asarray(w) for name, w in weights.items()}})
    parameters = sum(p.size for p in model.parameters())
    transform = _transform(cr, job)
    loss_of = _loss(nn.functional, workload)
    if not workload.trains:
        return _inference(cr, model.eval(), job, transform, parameters)
    optimizer = getattr(optim, workload.optimizer)(model.parameters(), **workload.settings)

    def step(x: Any, y: Any) -> Any:
        loss = loss_of(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    if workload.calls > 1:
        return Steps(_loop(cr, step, job), float, parameters)
    compiled = transform(step)
    x = cr.asarray(job.batch["x"])
    y = x if workload.loss == "mse" else cr.asarray(job.batch["y"])
    return Steps(lambda: compiled(x, y), float, parameters)


def _loss(functional: Any, workload: Workload) -> Callable[[Any, Any], Any]:
    if workload.loss == "auxiliary":
        from chainrule.models.googlenet import auxiliary_cross_entropy

        return lambda outputs, y: auxiliary_cross_entropy(outputs, y, AUXILIARY)
    return functional.mse_loss if workload.loss == "mse" else functional.cross_entropy


def _transform(cr: Any, job: Job) -> Callable[[Callable], Callable]:
    """Return what makes a step of this mode and precision out of the eager step."""
    precision = job.workload.precision
    return cr.jit(precision=precision) if "jit" in job.options else cr.precision(precision)


def _inference(cr: Any, model: Any, job: Job, transform: Callable, parameters: int) -> Steps:
    x = cr.asarray(job.batch["x"])
    compiled = transform(lambda x: model(x))

    def step() -> Any:
        with cr.no_grad():
            return compiled(x)

    return Steps(step, lambda scores: float((scores * scores).mean()), parameters)


def _loop(cr: Any, step: Callable, job: Job) -> Callable[[], Any]:
    """Return the call that runs a step per row of `order`, on rows of the data in memory.

    One native call where `cr.jit` offers it; in the mode "call per step" a jitted call for each.
    """
    digits, labels = cr.asarray(job.batch["x"]), cr.asarray(job.batch["y"])

    def on_rows(rows: Any) -> Any:
        x = (cr.take(digits, rows, axis=0).astype(cr.float32) - MEAN) / STD
        return step(x, cr.take(labels, rows, axis=0))

    compiled = cr.jit(on_rows)
    if "calls" in job.options:
        order = [cr.asarray(rows) for rows in job.batch["order"]]

        def epoch() -> Any:
            for rows in order:
                loss = compiled(rows)
            return loss

        return epoch
    many = getattr(compiled, "many", None)
    if many is None:
        raise Skip("this chainrule has no call of many steps")
    order = cr.asarray(job.batch["order"])
    return lambda: many(order)[-1]
