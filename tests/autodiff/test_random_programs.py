"""10,000 random programs of up to 30 operations agree with PyTorch in value and gradient, to 1e-9 in float64.

Seeds 0 to 299 run in the oracle suite, 0 to 9,999 with `-m slow`. A failure prints the seed and the program. Errors are
relative to the largest element of what is compared, or to 1. The same programs compare chainrule with itself: compiled,
forward against reverse, checkpointed, in a batch.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest

import chainrule as cr
from chainrule.testing import assert_close, assert_equal
from chainrule.testing._program_operations import OPERATIONS
from chainrule.testing.programs import random_program

TOLERANCE = 1e-9


# ---------------------------------------------------------------------------------------------------- PyTorch
@functools.cache
def torch_table():
    """Return operation -> the same in PyTorch."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    f = torch.nn.functional

    def reduced(function):
        def reduce(x, axis, keepdims):
            return function(x, dim=tuple(range(x.ndim)) if axis is None else axis, keepdim=keepdims)

        return reduce

    def product(x, axis, keepdims):
        if axis is None:
            return x.prod().reshape((1,) * x.ndim if keepdims else ())
        return x.prod(axis, keepdim=keepdims)

    def item(x, key):
        flips = [axis for axis, part in enumerate(key) if part == slice(None, None, -1)]
        return x.flip(flips)[tuple(slice(None) if axis in flips else part for axis, part in enumerate(key))]

    def put(x, value, row):
        x = x.clone()
        x[row] = value
        return x

    def solve(a, b):
        return torch.linalg.solve(a @ a.T + 2 * torch.eye(len(a), dtype=a.dtype), b)

    renamed = {
        "reciprocal": torch.reciprocal,
        "softplus": f.softplus,
        "gelu": f.gelu,
        "silu": f.silu,
        "leaky_relu": f.leaky_relu,
        "elu": f.elu,
        "clip": lambda x: torch.clamp(x, -0.5, 1.5),
        "where": lambda a, b, c: torch.where(a > 0, b, c),
        "prod": product,
        "softmax": lambda x, axis: torch.softmax(x, axis),
        "log_softmax": lambda x, axis: torch.log_softmax(x, axis),
        "cumulative_sum": lambda x, axis: torch.cumsum(x, axis),
        "cumulative_prod": lambda x, axis: torch.cumprod(x, axis),
        "sort": lambda x, axis: torch.sort(x, axis).values,
        "top_k": lambda x, k, axis: torch.topk(x, k, axis).values,
        "permute_dims": lambda x, axes: torch.permute(x, axes),
        "expand_dims": lambda x, axis: torch.unsqueeze(x, axis),
        "flip": lambda x, axis: torch.flip(x, [axis]),
        "roll": lambda x, shift, axis: torch.roll(x, shift, axis),
        "tile": lambda x, count: torch.tile(x, (count,)),
        "repeat": lambda x, count, axis: torch.repeat_interleave(x, count, axis),
        "tril": lambda x, k: torch.tril(x, k),
        "concat": lambda a, b, axis: torch.cat([a, b], axis),
        "stack": lambda a, b, axis: torch.stack([a, b], axis),
        "getitem": item,
        "take": lambda x, indices, axis: torch.index_select(x, axis, torch.tensor(indices)),
        "put": put,
        "pad": lambda x, widths: f.pad(x, [n for pair in reversed(widths) for n in pair]),
        "einsum": lambda a, b: torch.einsum("ik,jk->ij", a, b),
        "conv1d": lambda x, w, stride, padding: f.conv1d(x, w, stride=stride, padding=padding),
        "solve": solve,
    }
    reductions = {
        "sum": torch.sum,
        "mean": torch.mean,
        "logsumexp": torch.logsumexp,
        "max": torch.amax,
        "min": torch.amin,
    }
    reductions["var"] = functools.partial(torch.var, correction=0)
    reductions["std"] = functools.partial(torch.std, correction=0)
    table = {name: getattr(torch, name) for name in OPERATIONS if hasattr(torch, name)}
    return {**table, **{name: reduced(function) for name, function in reductions.items()}, **renamed}


def worst(got, want):
    """Return the largest difference relative to the largest element of what is wanted, or to 1."""
    scale = max(1.0, *(np.abs(w).max(initial=0.0) for w in want))
    return max(np.abs(g - w).max(initial=0.0) / scale for g, w in zip(got, want, strict=True))


def disagreement(seed):
    """Return what is wrong with the program of a seed, or an empty string."""
    import torch

    program = random_program(seed)
    value, gradient = cr.value_and_grad(program.scalar, tuple(range(len(program.leaves))))(
        *map(cr.asarray, program.leaves)
    )
    theirs = [torch.tensor(leaf, requires_grad=True) for leaf in program.leaves]
    outputs = program.run(theirs, torch_table())
    total = sum((out * torch.tensor(w)).sum() for out, w in zip(outputs, program.weights.values(), strict=True))
    total.backward()
    wanted = [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in theirs]
    errors = {
        "value": worst([value.numpy()], [total.detach().numpy()]),
        "gradient": worst([g.numpy() for g in gradient], wanted),
    }
    wrong = [f"{what} differs by {error:.3g}" for what, error in errors.items() if not error <= TOLERANCE]
    return f"{' and '.join(wrong)} in {program}" if wrong else ""


@pytest.mark.oracle
@pytest.mark.parametrize("start", range(0, 300, 50))
def test_programs_agree_with_pytorch(start):
    torch_table()
    assert [text for seed in range(start, start + 50) if (text := disagreement(seed))] == []


@pytest.mark.oracle
@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 10_000, 500))
def test_ten_thousand_programs_agree_with_pytorch(start):
    torch_table()
    assert [text for seed in range(start, start + 500) if (text := disagreement(seed))] == []


# ---------------------------------------------------------------------------------------------------- the generator
def test_every_operation_occurs_and_programs_have_all_lengths():
    programs = [random_program(seed) for seed in range(300)]
    assert {step.operation for program in programs for step in program.steps} == set(OPERATIONS)
    assert {len(program.steps) for program in programs} == set(range(1, 31))
    assert max(len(program.leaves) for program in programs) == 4


def test_a_seed_is_a_program():
    assert str(random_program(7)) == str(random_program(7)) != str(random_program(8))
    for a, b in zip(random_program(7).leaves, random_program(7).leaves, strict=True):
        assert_equal(a, b)


def test_a_program_prints_what_it_does():
    lines = str(random_program(1, length=3)).splitlines()
    assert lines[0] == "random_program(1): 3 operations"
    assert lines[1].startswith("  x0 = leaf (")
    assert lines[-2].split(" = ")[1].split("(")[0] in OPERATIONS
    assert lines[-1].startswith("  result = <x")


def test_a_wrong_gradient_is_found_and_named(monkeypatch):
    pytest.importorskip("torch")

    @cr.custom_gradient
    def wrong(x):
        return cr.tanh(x), lambda g: g * (1 - cr.tanh(x) ** 2) * (1 + 1e-6)

    seed = next(s for s in range(100) if [step.operation for step in random_program(s).steps].count("tanh"))
    assert disagreement(seed) == ""
    monkeypatch.setitem(OPERATIONS, "tanh", OPERATIONS["tanh"].__class__("tanh", 1, wrong, OPERATIONS["tanh"].choose))
    text = disagreement(seed)
    assert text.startswith("gradient differs by ")
    assert f"random_program({seed}): " in text
    assert " = tanh(" in text


# ---------------------------------------------------------------------------------------------------- with itself
@pytest.mark.parametrize("start", range(300, 360, 15))
def test_compiled_checkpointed_and_forward_mode(start):
    for seed in range(start, start + 15):
        program = random_program(seed)
        leaves = tuple(map(cr.asarray, program.leaves))
        wanted = tuple(range(len(leaves)))
        plain = cr.grad(program.scalar, wanted)(*leaves)
        compiled = cr.jit(cr.grad(program.scalar, wanted))(*leaves)
        recomputed = cr.grad(lambda *xs, program=program: cr.checkpoint(program.scalar, *xs), wanted)(*leaves)
        for a, b, c in zip(plain, compiled, recomputed, strict=True):
            scale = max(1.0, float(np.max(np.abs(a.numpy()), initial=0.0)))
            assert_close(b, a, rtol=1e-9, atol=1e-11 * scale, what=f"compiled, {program}")
            assert_equal(c, a, f"checkpointed, {program}")
        moved = cr.jvp(program.scalar, leaves, tuple(map(cr.ones_like, leaves)))[1].item()
        total = sum(g.sum().item() for g in plain)
        size = max(1.0, sum(cr.abs(g).sum().item() for g in plain))
        assert abs(moved - total) <= 1e-10 * size, f"forward mode gives {moved}, reverse {total}: {program}"


@pytest.mark.parametrize("start", range(360, 400, 10))
def test_a_batch_of_one_program(start):
    """Three points a little apart, so that all are on the same side of every kink."""
    for seed in range(start, start + 10):
        program = random_program(seed)
        wanted = tuple(range(len(program.leaves)))
        function = cr.grad(program.scalar, wanted)
        batch = [cr.asarray(np.stack([leaf * (1 + k * 1e-9) for k in range(3)])) for leaf in program.leaves]
        got = cr.vmap(function)(*batch)
        for row in range(3):
            want = [g.numpy() for g in function(*(leaf[row] for leaf in batch))]
            assert worst([g.numpy()[row] for g in got], want) <= 1e-11, f"{program}"
