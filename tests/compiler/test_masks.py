"""Masks read the narrow copy that a contraction keeps: less memory, the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compiler.passes.graphs import Building, names

import chainrule as cr
from chainrule import nn
from chainrule.compiler import schedule as schedules
from chainrule.compiler.masks import narrow_masks
from chainrule.core.dtypes import bfloat16


def masked(comparison="less_equal", zero=0.0, first=True, read=True, narrow=bfloat16):
    """Return a graph that rounds x for a product and compares x itself."""
    build = Building()
    x, w = build.input("float32", 4, 4), build.input("bfloat16", 4, 4)
    zero = build.constant(np.float32(zero))
    rounded = build("astype", x, dtype=narrow) if first else None
    mask = build(comparison, x, zero)
    rounded = rounded or build("astype", x, dtype=narrow)
    product = build("matmul", rounded, w) if read else build("exp", rounded)
    return build.graph(mask, product), x, rounded


@pytest.mark.parametrize("comparison", ["equal", "greater", "greater_equal", "less", "less_equal", "not_equal"])
def test_a_comparison_with_zero_reads_the_copy(comparison):
    graph, _, rounded = masked(comparison)
    found = narrow_masks(graph)
    assert names(found) == ["astype", comparison, "matmul"]
    (copy, zero) = found.equations[1].inputs
    assert copy is rounded
    assert (zero.type.dtype, zero.constant.item()) == (bfloat16, 0.0)
    assert found.equations[1].outputs == graph.equations[1].outputs


@pytest.mark.parametrize(
    "how, reason",
    [
        ({"zero": 0.5}, "rounding may step over another number than zero"),
        ({"first": False}, "the copy is made later"),
        ({"read": False}, "nobody needs the copy in memory"),
    ],
)
def test_other_comparisons_read_the_value(how, reason):
    graph, x, _ = masked(**how)
    comparison = next(e for e in narrow_masks(graph) if e.primitive.name == "less_equal")
    assert comparison.inputs[0] is x, reason


def test_a_graph_without_copies_stays_itself():
    build = Building()
    x = build.input("float32", 4)
    graph = build.graph(build("less_equal", x, build.constant(np.float32(0))))
    assert narrow_masks(graph) is graph


EDGES = [0.0, -0.0, 1e-38, 1.2e-38, -1.2e-38, 1e-45, 3e38, np.inf, -np.inf, np.nan, 0.3, -0.3]


def trained(monkeypatch, narrow):
    """Return the gradients of a small network in bfloat16 with and without narrow masks, and its temporaries."""
    monkeypatch.setenv("CHAINRULE_CACHE", "off")
    if not narrow:
        monkeypatch.setattr(schedules, "narrow_masks", lambda graph: graph)
    cr.manual_seed(0)
    blocks = [(nn.Conv2d(n, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()) for n in (3, 16, 16, 16, 16)]
    net = nn.Sequential(*[layer for block in blocks for layer in block], nn.Conv2d(16, 2, 1))
    optimizer = cr.optim.SGD(net.parameters(), lr=0.1)

    @cr.jit(precision="bf16", keep_grads=True)
    def step(x):
        loss = (net(x) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    values = np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32)
    losses = [step(cr.asarray(values)).item() for _ in range(3)]
    return losses, [p.grad.numpy() for p in net.parameters()], step.variants[0].executor.plan.arena


def test_a_network_in_bfloat16_has_the_same_bits_in_less_memory(monkeypatch):
    losses, gradients, arena = trained(monkeypatch, True)
    losses_before, gradients_before, arena_before = trained(monkeypatch, False)
    assert losses == losses_before
    for one, other in zip(gradients, gradients_before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert arena < 0.9 * arena_before


def test_rounding_keeps_the_side_of_zero():
    """Denormals, which compiled code flushes, are the only numbers that may become zero."""
    x = np.array(EDGES, np.float32)
    flushed = np.where(np.abs(x) < np.finfo(np.float32).tiny, np.copysign(np.float32(0), x), x)
    narrow = flushed.astype(bfloat16.numpy).astype(np.float32)
    for compare in (np.less, np.less_equal, np.equal, np.greater):
        np.testing.assert_array_equal(compare(narrow, 0), compare(flushed, 0))
