"""The planned memory of a step: what `checkpoint` forgets takes no room between forward and backward pass."""

from __future__ import annotations

import mmap
import os
import pathlib
import sys

import numpy as np
import pytest
from tests.compiler.passes.graphs import Building, assert_same_bits, names, run, values

import chainrule as cr
from chainrule import nn, optim
from chainrule.compiler.llvm.machine import host_target
from chainrule.compiler.native import references, uses_references
from chainrule.compiler.ordering import plan_arena
from chainrule.compiler.passes import simplify
from chainrule.compiler.program import aligned
from chainrule.compiler.recomputation import without_barriers
from chainrule.compiler.schedule import schedule
from chainrule.testing import assert_equal

LAYERS = 24


class Residual(nn.Module):
    """x + dropout(linear(gelu(linear(norm(x)))))."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.wide, self.narrow = nn.LayerNorm(32), nn.Linear(32, 96), nn.Linear(96, 32)
        self.drop = nn.Dropout(0.1)

    def forward(self, x):
        return x + self.drop(self.narrow(nn.functional.gelu(self.wide(self.norm(x)))))


NETWORKS = {
    "linear": (lambda: nn.Sequential(nn.Linear(128, 128), nn.ReLU()), (256, 128)),
    "residual": (Residual, (256, 32)),
    "convolution": (lambda: nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()), (8, 8, 16, 16)),
}


def traced(name, layers_per_block, steps=0):
    """Return a training step with keep_grads after some calls (at least its trace), its network and the losses."""
    cr.manual_seed(0)
    make, shape = NETWORKS[name]
    layers = nn.Sequential(*[make() for _ in range(LAYERS)])
    optimizer = optim.SGD(layers.parameters(), lr=0.01, momentum=0.9)
    starts = range(0, LAYERS, layers_per_block) if layers_per_block else ()
    blocks = [nn.Sequential(*list(layers)[i : i + layers_per_block]) for i in starts]

    def forward(x):
        for block in blocks:
            x = cr.checkpoint(block, x)
        return x if blocks else layers(x)

    @cr.jit(keep_grads=True)
    def step(x):
        loss = (forward(x) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    x = cr.asarray(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    if not steps:
        uses_references(True)
    try:
        losses = [step(x).item() for _ in range(max(steps, 1))]
    finally:
        uses_references(False)
    (variant,) = step.variants
    return variant, layers, losses


def peak(name, layers_per_block):
    """Return the bytes of temporaries that are planned for a step; nothing is compiled."""
    variant, _, _ = traced(name, layers_per_block)
    program = schedule(simplify(variant.graph), host_target().lanes(32), variant._takes())
    plan_arena(program)
    return program.arena


@pytest.mark.parametrize("name", NETWORKS)
def test_the_peak_of_a_checkpointed_network_of_24_layers_falls_by_40_percent(name):
    whole, lower = peak(name, 0), peak(name, 4)
    assert lower <= 0.6 * whole, f"{lower} of {whole} bytes"


def test_a_block_of_one_layer_keeps_nothing_twice():
    """Copies of what comes into a block, kept beside the original, once doubled the peak."""
    assert peak("linear", 1) <= peak("linear", 0)


@pytest.mark.parametrize("name", ["linear", "convolution"])
def test_a_checkpointed_network_has_the_same_gradients(name):
    first, plain, losses = traced(name, 0, steps=2)
    second, forgetful, again = traced(name, 4, steps=2)
    assert second.executor.plan.arena <= 0.6 * first.executor.plan.arena
    assert losses == again
    for (label, want), got in zip(plain.named_parameters(), forgetful.parameters(), strict=True):
        assert_equal(got.grad, want.grad, label)
        assert_equal(got, want, label)


def test_what_stands_behind_barriers_reads_what_stood_before_them():
    build = Building()
    x = build.input("float32", 2, 3)
    first = build("exp", x)
    behind = build("barrier", build("barrier", x))
    again = build("exp", behind)
    graph = build.graph(build("add", first, again), behind)
    found = without_barriers(graph)
    assert names(found.graph) == ["exp", "exp", "add"]
    assert found.graph.outputs[1] is x
    recomputed = found.graph.equations[1]
    assert recomputed.inputs == (x,)
    assert (found.since, found.original) == ({recomputed: 1}, {recomputed: graph.equations[3]})
    assert_same_bits(run(found.graph, values(graph)), run(graph, values(graph)))


def test_a_graph_without_barriers_stays_itself():
    build = Building()
    x = build.input("float32", 2)
    graph = build.graph(build("exp", x))
    found = without_barriers(graph)
    assert found.graph is graph
    assert (found.since, found.original) == ({}, {})


# ------------------------------------------------------------------------------------------------ updates of state
def updating(width):
    """Return the kernels of a convolutional network's step, and the numbers of those that update large weights."""
    cr.manual_seed(0)
    layers = nn.Sequential(*[nn.Conv2d(width, width, 3, padding=1) for _ in range(4)])
    optimizer = optim.SGD(layers.parameters(), lr=0.01, momentum=0.9)

    @cr.jit
    def step(x):
        loss = (layers(x) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    with references():
        step(cr.ones((2, width, 4, 4)))
    (variant,) = step.variants
    program = schedule(simplify(variant.graph), host_target().lanes(32), variant._takes())
    plan_arena(program)
    size = 9 * width * width
    updates = [n for n, k in enumerate(program.kernels) if any(b.state and b.size == size for b in k.writes)]
    return program, updates


def test_a_large_gradient_ends_with_the_update_right_after_it():
    """All gradients at once were 34 of the 229 MB of ResNet-18's step in bfloat16."""
    program, updates = updating(96)
    assert len(updates) == 4
    assert max(updates) - min(updates) > 4  # not all at the end
    for n in updates:
        gradients = [b for b in program.kernels[n].reads if b.place == "arena" and b.size >= 9 * 96 * 96]
        for buffer in gradients:
            assert n - max(m for m, k in enumerate(program.kernels) if buffer in k.writes) <= 2
    alive = max(sum(b.nbytes for b in k.reads if b.place == "arena") for k in program.kernels)
    assert program.arena < alive + 3 * 9 * 96 * 96 * 4


def test_small_updates_wait_for_the_end_where_they_share_a_barrier():
    program, updates = updating(8)
    assert updates
    assert min(updates) >= len(program.kernels) - 8  # 4 weights, 4 biases


@pytest.mark.parametrize("large", [True, False])
@pytest.mark.parametrize("nbytes", [0, 1000, 5 << 20, (6 << 20) + 77])
def test_memory_is_aligned_and_its_own(nbytes, large):
    raw, start = aligned(nbytes, large)
    assert start % (2 << 20 if nbytes >= 4 << 20 else 128) == 0
    assert raw.ctypes.data <= start
    assert start + nbytes <= raw.ctypes.data + raw.nbytes
    assert raw.flags.writeable


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_touching_a_byte_of_small_pages_brings_one_page():
    def resident():
        return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

    raw, _ = aligned(64 << 20, large=False)
    before = resident()
    raw[8 << 20 :: 16 << 20] = 1
    assert resident() - before < 1 << 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_memory_is_not_shared_with_the_child_of_a_fork():
    raw, _ = aligned(8 << 20)
    raw[:100] = 1
    child = os.fork()
    if not child:
        raw[:100] = 2
        os._exit(0)
    os.waitpid(child, 0)
    assert (raw[:100] == 1).all()


def test_memory_that_no_machine_has_is_a_memory_error():
    with pytest.raises(MemoryError, match=r"^the system refuses 1152921504608944128 bytes of memory\.$"):
        aligned(1 << 60)
