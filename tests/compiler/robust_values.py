"""Jobs on values that processors dislike: compiled results are those of the references, and never a signal.

Each function runs in a process of its own (see `test_robust_values`) and prints how many results it compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import nn, optim
from chainrule.core.errors import IndexRangeError
from chainrule.nn import functional as F
from chainrule.testing import assert_equal

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
COPIES = 7  # of each pair, so that vectors and what is left of them both see it


def compare(what: str, function: Callable[..., Sequence[cr.Tensor]], *arguments: cr.Tensor) -> int:
    """Compare compiled with eager, bit for bit; return how many results there were."""
    with np.errstate(all="ignore"):
        want = function(*arguments)
    got = cr.jit(function)(*arguments)
    for number, (a, b) in enumerate(zip(got, want, strict=True)):
        if b.dtype == cr.bfloat16:
            assert a.dtype == cr.bfloat16, f"{what}: result {number}"
            a, b = a.astype(cr.float32), b.astype(cr.float32)
        assert_equal(a, b, f"{what}: result {number}")
    return len(want)


def integers() -> None:
    """Division and remainder by zero, the smallest number by -1, shifts past the width, powers that overflow."""
    count = 0
    for name in INTEGERS:
        limits = np.iinfo(name)
        low, high, minus = limits.min, limits.max, (-1 if limits.min else 1)
        left = np.array([low, low, low, high, high, 0, 0, 1, 7, 7] * COPIES, name)
        right = np.array([0, 1, minus, 0, low, 0, 3, 0, 2, high] * COPIES, name)
        bits = limits.bits
        by = np.array([0, 1, bits - 1, bits, bits + 1, 100, high, minus, low, 5] * COPIES, name)
        power = np.array([0, 1, 2, 3, 5, 7, 0, 1, 2, 3] * COPIES, name)

        def everything(x, y, s, p):
            return [
                x // y, x % y, x / y, x // 0, x % 0, x // y[2], x % y[2], abs(x), -x, x << s, x >> s, x**p,
                cr.max(x), cr.min(y), cr.sum(x), cr.prod(x), cr.sort(x), cr.argmax(y), x * y, x - y,
            ]  # fmt: skip

        count += compare(name, everything, *map(cr.asarray, (left, right, by, power)))
    print(count)


HARD = [
    np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30, 1e10, -1e10, 2.0**31, 2.0**63, -(2.0**63), -(2.0**63) - 4096,
    2.0**64, 300, -300, -1, -0.5, 0.5, 255.5, 65536.7,
]  # fmt: skip


def floats() -> None:
    """Conversion to integers out of range; NaN in sorts, extremes, their places and comparisons; division by zero."""
    count = 0
    for name in ("float32", "float64", "bfloat16"):
        values = cr.asarray(np.array(HARD * 4)).astype(getattr(cr, name))
        integers = [getattr(cr, kind) for kind in (*INTEGERS, "bool")]
        count += compare(f"{name} to integers", lambda x, kinds=integers: [x.astype(kind) for kind in kinds], values)

        def everything(x):
            y = cr.flip(x)
            return [
                cr.sort(x), cr.sort(x, descending=True), cr.argsort(x), cr.argsort(x, descending=True),
                cr.argmax(x), cr.argmin(x), cr.max(x), cr.min(x), cr.argmax(x[1:10]), cr.argmin(x[1:10]),
                cr.sort(x * np.nan), cr.argmax(x * np.nan), cr.maximum(x, y), cr.minimum(x, y), x < y, x <= y, x == x,
                x != x, x // y, x % y, x // 0, x % 0, cr.floor(x), cr.round(x), cr.trunc(x), cr.sign(x),
                cr.where(x > y, x, y), cr.clip(x, -1.0, 1.0),
            ]  # fmt: skip

        count += compare(name, everything, values)
        rows = cr.reshape(values[:84], (7, 12))
        count += compare(f"{name} rows", lambda x: [cr.sort(x, axis=0), cr.argsort(x, axis=0), cr.argmax(x, axis=0),
                                                    cr.argmin(x, axis=1), cr.max(x, axis=1)], rows)  # fmt: skip
    print(count)


# ------------------------------------------------------------------------------------------------ indices
def _put(x: cr.Tensor, i: cr.Tensor) -> cr.Tensor:
    y = x * 1
    y[i] = 0.0
    return y


def _along(x: cr.Tensor, i: cr.Tensor) -> cr.Tensor:
    return cr.take_along_axis(x, cr.reshape(i, (2, 1)) + cr.asarray(np.zeros((2, 3), np.int64)), axis=0)


READS: dict[str, Callable[[cr.Tensor, cr.Tensor], cr.Tensor]] = {
    "gather": lambda x, i: x[i],
    "take": lambda x, i: cr.take(x, i, axis=1),
    "take_along_axis": _along,
    "embedding": lambda x, i: F.embedding(i, x),
    "scatter": _put,
    "cross_entropy": lambda x, i: F.cross_entropy(x[:2], i),
    "smoothed": lambda x, i: F.cross_entropy(x[:2], i, label_smoothing=0.1),
    "nll": lambda x, i: F.nll_loss(cr.log_softmax(x[:2], axis=-1), i),
    "one_hot": lambda x, i: cr.one_hot(i, 4).astype(cr.float32) + x[:2, :1],
}
OUTSIDE = ([0, 4], [-5, 0], [2**40, 0], [2**62, 0], [-(2**63), 1])


def indices() -> None:
    """Each index out of range raises the reference's error, and a step that meets one changes nothing."""
    count = 0
    for name, read in READS.items():
        table = nn.Parameter(cr.asarray(np.arange(12, dtype=np.float32).reshape(4, 3) / 7))
        optimizer, calls = optim.SGD([table], lr=0.1, momentum=0.9), cr.asarray(0)

        def step(i, read=read, table=table, optimizer=optimizer, calls=calls):
            calls.assign_(calls + 1)
            loss = read(table, i).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        compiled = cr.jit(step)
        compiled(cr.asarray(np.array([1, 2])))
        held = table.numpy().copy()
        for outside in OUTSIDE:
            i = cr.asarray(np.array(outside))
            messages = [_refused(read, table.detach(), i), _refused(compiled, i)]
            assert messages[0] == messages[1] != "", (name, outside, messages)
            assert (table.numpy() == held).all(), (name, outside)
            assert calls.item() == 1, (name, outside)
            count += 1
        compiled(cr.asarray(np.array([0, 1])))
        assert calls.item() == 2, name
        assert not (table.numpy() == held).all(), name
    print(count)


def _refused(function: Callable[..., Any], *arguments: cr.Tensor) -> str:
    try:
        function(*arguments)
    except IndexRangeError as error:
        return error.message
    return ""


# ------------------------------------------------------------------------------------------------ no samples
def empty() -> None:
    """Batches of no samples, between others: results, gradients and state are eager's."""
    count = 0
    for name, (make, shape) in _NETWORKS.items():
        for reduction in ("sum", "mean"):
            runs = [_with_empty(make, shape, reduction, wrap) for wrap in (lambda f: f, cr.jit)]
            for want, got in zip(*runs, strict=True):
                np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6, err_msg=f"{name}, {reduction}")
                count += 1
    print(count)


_NETWORKS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 4)), (6,)),
    "norm": (lambda: nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 4)), (6,)),
    "cnn": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, stride=2), nn.AvgPool2d(1),
            nn.Flatten(), nn.Linear(4, 4),
        ),
        (3, 8, 8),
    ),
}  # fmt: skip


def _with_empty(make: Callable, shape: tuple[int, ...], reduction: str, wrap: Callable) -> list[np.ndarray]:
    cr.manual_seed(0)
    model = make()
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def step(x, y):
        loss = F.cross_entropy(model(x), y, reduction=reduction)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss, model(x).sum(axis=0)

    step, results = wrap(step), []
    for n in (3, 0, 3, 1, 0):
        rng = np.random.default_rng(n)
        x = rng.standard_normal((n, *shape)).astype(np.float32)
        if n == 0 and reduction == "mean":
            with cr.no_grad():
                results.append(model(cr.asarray(x)).numpy())  # its mean loss is 0 / 0, and so are all gradients
            continue
        results += [part.numpy() for part in step(cr.asarray(x), cr.asarray(rng.integers(0, 4, n)))]
    return results + [p.numpy() for p in model.parameters()]
