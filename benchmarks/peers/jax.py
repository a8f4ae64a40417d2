"""JAX: the step as one jitted function of donated state; on all threads and on one, pictures as NCHW and as NHWC.

A network is a function of a `Net`, which holds the weights, computes the layers and collects the new statistics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.batches import MEAN, STD
from benchmarks.peers import Job, Mode, Steps
from benchmarks.workload import STATISTICS, Workload

TITLE = "JAX"


def _float32(workload: Workload) -> bool:
    return workload.precision == "float32" and workload.jax is not None


def _pictures(workload: Workload) -> bool:
    return workload.convolutional and _float32(workload)


MODES = (
    Mode("jax", "jit", compiles=True, fits=_float32),
    Mode("jax", "jit 1 thread", compiles=True, threads=1, fits=_float32),
    Mode("jax", "jit NHWC", ("channels_last",), compiles=True, fits=_pictures),
    Mode("jax", "jit NHWC 1 thread", ("channels_last",), compiles=True, threads=1, fits=_pictures),
)


def version() -> str:
    """Return the version."""
    import jax

    return jax.__version__


class Net:
    """The layers that networks are written in.

    Args:
        weights: arrays by name.
        training: whether batch norm uses the batch and dropout drops.
        last: whether pictures are NHWC, and convolution weights HWIO.
        key: random key of the dropout, or None: no dropout.
    """

    def __init__(self, weights: dict[str, Any], training: bool, last: bool = False, key: Any = None):
        self.weights, self.training, self.last, self.key = weights, training, last, key
        self.statistics: dict[str, Any] = {}

    def linear(self, name: str, x: Any) -> Any:
        """Return x @ weight.T + bias."""
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def conv(self, name: str, x: Any, stride: int = 1, padding: int = 0) -> Any:
        """Return the convolution of pictures."""
        from jax import lax

        layouts = ("NHWC", "HWIO", "NHWC") if self.last else ("NCHW", "OIHW", "NCHW")
        weight = self.weights[f"{name}.weight"]
        y = lax.conv_general_dilated(x, weight, (stride, stride), [(padding, padding)] * 2, dimension_numbers=layouts)
        bias = self.weights.get(f"{name}.bias")
        return y if bias is None else y + self._channels(bias)

    def norm(self, name: str, x: Any) -> Any:
        """Return the batch norm over all axes but the channels; training moves the statistics by a tenth."""
        from jax import lax

        mean, var = (self.weights[f"{name}.{key}"] for key in STATISTICS)
        if self.training:
            axes = (0, 1, 2) if self.last else (0, 2, 3)
            batch_mean, batch_var = x.mean(axes), x.var(axes)
            count = x.size // batch_mean.size
            self.statistics[f"{name}.running_mean"] = 0.9 * mean + 0.1 * batch_mean
            self.statistics[f"{name}.running_var"] = 0.9 * var + 0.1 * batch_var * count / (count - 1)
            mean, var = batch_mean, batch_var
        scale = self.weights[f"{name}.weight"] * lax.rsqrt(var + 1e-5)
        shift = self.weights[f"{name}.bias"] - mean * scale
        return x * self._channels(scale) + self._channels(shift)

    def relu(self, x: Any) -> Any:
        """Return max(x, 0)."""
        import jax

        return jax.nn.relu(x)

    def max_pool(self, x: Any) -> Any:
        """Return the maxima of 2x2 windows."""
        import jax.numpy as jnp
        from jax import lax

        window = (1, 2, 2, 1) if self.last else (1, 1, 2, 2)
        return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")

    def mean_pool(self, x: Any) -> Any:
        """Return the mean of each channel."""
        return x.mean((1, 2) if self.last else (2, 3))

    def flatten(self, x: Any) -> Any:
        """Return one row per sample, channels first: the linear weights are the same in both layouts."""
        x = x.transpose(0, 3, 1, 2) if self.last else x
        return x.reshape(x.shape[0], -1)

    def dropout(self, p: float, x: Any) -> Any:
        """Return x with elements dropped."""
        import jax
        import jax.numpy as jnp

        if self.key is None or not self.training:
            return x
        self.key, key = jax.random.split(self.key)
        return jnp.where(jax.random.bernoulli(key, 1 - p, x.shape), x / (1 - p), 0)

    def _channels(self, vector: Any) -> Any:
        return vector if self.last else vector[:, None, None]


def build(job: Job) -> Steps:
    """Return the workload in JAX."""
    import jax
    import jax.numpy as jnp

    workload, last = job.workload, "channels_last" in job.options
    weights = {name: jnp.asarray(w.transpose(2, 3, 1, 0) if last and w.ndim == 4 else w)
               for name, w in job.weights.items()}  # fmt: skip
    parameters = sum(w.size for name, w in weights.items() if not name.endswith(STATISTICS))
    if not workload.trains:
        return _inference(jax, job, weights, last, parameters)
    trained = {name: w for name, w in weights.items() if not name.endswith(STATISTICS)}
    fixed = {name: w for name, w in weights.items() if name.endswith(STATISTICS)}
    key = jax.random.key(0) if job.dropout else None
    state = (trained, fixed, _slots(jnp, workload, trained), key)
    step = _step(jax, job, last)
    cell = [state]
    if workload.calls > 1:
        arrays = tuple(jnp.asarray(job.batch[name]) for name in ("x", "y", "order"))
        compiled = jax.jit(_epoch(jax, step), donate_argnums=0)
    else:
        x = job.batch["x"]
        x = jnp.asarray(x.transpose(0, 2, 3, 1) if last else x)
        arrays = (x, x if workload.loss == "mse" else jnp.asarray(job.batch["y"], jnp.int32))
        compiled = jax.jit(step, donate_argnums=0)

    def call() -> Any:
        cell[0], loss = compiled(cell[0], *arrays)
        jax.block_until_ready(cell[0])
        return loss

    return Steps(call, float, parameters)


def _slots(jnp: Any, workload: Workload, trained: dict[str, Any]) -> Any:
    """Return the optimizer's state."""
    zeros = {name: jnp.zeros_like(w) for name, w in trained.items()}
    if workload.optimizer == "Adam":
        return zeros, {name: jnp.zeros_like(w) for name, w in trained.items()}, jnp.zeros(())
    return zeros if "momentum" in workload.settings else ()


def _update(jnp: Any, workload: Workload, trained: Any, gradients: Any, slots: Any) -> tuple[Any, Any]:
    """Return new weights and new state of SGD or Adam, by PyTorch's formulas."""
    lr = workload.settings["lr"]
    if workload.optimizer == "Adam":
        first, second, count = slots
        count = count + 1
        first = {n: 0.9 * first[n] + 0.1 * g for n, g in gradients.items()}
        second = {n: 0.999 * second[n] + 0.001 * g * g for n, g in gradients.items()}
        size, root = lr / (1 - 0.9**count), jnp.sqrt(1 - 0.999**count)
        new = {n: w - size * first[n] / (jnp.sqrt(second[n]) / root + 1e-8) for n, w in trained.items()}
        return new, (first, second, count)
    if "momentum" in workload.settings:
        slots = {n: workload.settings["momentum"] * slots[n] + g for n, g in gradients.items()}
        gradients = slots
    return {n: w - lr * gradients[n] for n, w in trained.items()}, slots


def _step(jax: Any, job: Job, last: bool) -> Callable:
    """Return (state, x, y) -> (state, loss)."""
    import jax.numpy as jnp

    workload = job.workload

    def loss_of(trained: Any, fixed: Any, key: Any, x: Any, y: Any) -> Any:
        net = Net({**trained, **fixed}, True, last, key)
        output = workload.jax(net, x)
        if workload.loss == "mse":
            loss = ((output - y) ** 2).mean()
        else:
            loss = -jnp.take_along_axis(jax.nn.log_softmax(output), y[:, None], 1).mean()
        return loss, {**fixed, **net.statistics}

    def step(state: Any, x: Any, y: Any) -> Any:
        trained, fixed, slots, key = state
        use = None
        if key is not None:
            key, use = jax.random.split(key)
        (loss, fixed), gradients = jax.value_and_grad(loss_of, has_aux=True)(trained, fixed, use, x, y)
        trained, slots = _update(jnp, workload, trained, gradients, slots)
        return (trained, fixed, slots, key), loss

    return step


def _epoch(jax: Any, step: Callable) -> Callable:
    """Return (state, digits, labels, order) -> (state, last loss): a `lax.scan` over the rows of the order."""
    import jax.numpy as jnp

    def epoch(state: Any, digits: Any, labels: Any, order: Any) -> Any:
        def one(state: Any, rows: Any) -> Any:
            return step(state, (digits[rows].astype(jnp.float32) - MEAN) / STD, labels[rows])

        state, losses = jax.lax.scan(one, state, order)
        return state, losses[-1]

    return epoch


def _inference(jax: Any, job: Job, weights: dict[str, Any], last: bool, parameters: int) -> Steps:
    x = job.batch["x"]
    x = jax.numpy.asarray(x.transpose(0, 2, 3, 1) if last else x)
    compiled = jax.jit(lambda weights, x: job.workload.jax(Net(weights, False, last), x))

    def call() -> Any:
        return jax.block_until_ready(compiled(weights, x))

    return Steps(call, lambda scores: float(np.mean(np.square(scores))), parameters)
