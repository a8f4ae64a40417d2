"""Random graphs and random programs: after every pass the references give what they gave before.

The graphs are made of what passes look at, on values that show every slip (zeros of both signs, infinities, NaN, the
limits of integers), and must keep every bit. The programs are those of the gradient tests with their gradients.
"""

from __future__ import annotations

import numpy as np
import pytest
from tests.compiler.passes.graphs import Building, assert_same_bits, names, run, traced, values

import chainrule as cr
from chainrule.compiler.passes import simplify
from chainrule.core.dtypes import to_dtype
from chainrule.core.errors import ChainruleError
from chainrule.testing import assert_close
from chainrule.testing.programs import random_program

DTYPES = ["float32", "float32", "float64", "bfloat16", "int8", "int32", "uint8", "bool"]
SHAPES = [(), (3,), (2, 3), (4, 3), (1, 3), (2, 1, 3), (2, 3, 4), (6, 4), (9,), (2, 9)]
UNARY = ["negative", "negative", "abs", "positive", "identity", "relu", "sign", "round", "square", "reciprocal"]
UNARY += ["logical_not", "bitwise_invert", "barrier"]
BINARY = ["add", "subtract", "multiply", "divide", "maximum", "minimum", "floor_divide"]
BINARY += ["logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_or"]
COMPARISONS = ["equal", "not_equal", "less_equal", "less", "greater"]
NUMBERS = [0.0, -0.0, 0.0, 1.0, 1.0, 32.0, 0.25, 3.0]


def random_graph(seed: int, length: int = 30):
    """Return a graph of a seed; some of its values are outputs.

    Operations of one kind follow each other, for a pass looks at what an operation follows.
    """
    rng = np.random.default_rng(seed)
    build = Building()
    pool = [build.input(str(rng.choice(DTYPES)), *SHAPES[rng.integers(len(SHAPES))]) for _ in range(4)]
    while len(build.equations) < length:
        x = _pick(rng, pool[-6:] if rng.random() < 0.5 else pool)
        kind = _pick(rng, KINDS)
        for _ in range(rng.integers(1, 4)):
            try:
                made = _pick(rng, kind)(build, rng, x, pool)
            except ChainruleError:
                continue  # the operation refuses this dtype or shape
            if made.size > 200:
                build.equations.pop()
                continue
            pool.append(made)
            x = made
    outputs = [v for v in pool[4:] if rng.random() < 0.25] or pool[-1:]
    return build.graph(*outputs)


def _pick(rng, found):
    return found[rng.integers(len(found))]


def _unary(build, rng, x, pool):
    return build(_pick(rng, UNARY), x)


def _number(build, rng, x, pool):
    pair = [x, build.constant(_pick(rng, NUMBERS), x.type.dtype.name)]
    return build(_pick(rng, BINARY[: 7 if rng.random() < 0.8 else None]), *(pair if rng.random() < 0.6 else pair[::-1]))


def _binary(build, rng, x, pool):
    return build(_pick(rng, BINARY), x, _pick(rng, [v for v in pool if v.type.dtype is x.type.dtype]))


def _compare(build, rng, x, pool):
    return build(_pick(rng, COMPARISONS), x, _pick(rng, [v for v in pool if v.type.dtype is x.type.dtype]))


def _not(build, rng, x, pool):
    return build("logical_not", x)


def _choose(build, rng, x, pool):
    like = _pick(rng, pool)
    return build("where", x, like, _pick(rng, [v for v in pool if v.type.dtype is like.type.dtype]))


def _where(build, rng, x, pool):
    conditions = [v for v in pool if v.type.dtype.kind == "bool"] or [build("equal", x, x)]
    return build("where", _pick(rng, conditions), x, _pick(rng, [v for v in pool if v.type.dtype is x.type.dtype]))


def _astype(build, rng, x, pool):
    return build("astype", x, dtype=to_dtype(str(rng.choice(DTYPES))))


def _reshape(build, rng, x, pool):
    sizes = [n for n in x.shape if n != 1]
    for _ in range(rng.integers(3)):
        sizes.insert(rng.integers(len(sizes) + 1), 1)
    if len(sizes) > 1 and rng.random() < 0.3:
        i = rng.integers(len(sizes) - 1)
        sizes[i : i + 2] = [sizes[i] * sizes[i + 1]]
    return build("reshape", x, shape=tuple(sizes))


def _permute(build, rng, x, pool):
    return build("permute_dims", x, axes=tuple(int(a) for a in rng.permutation(x.type.ndim)))


def _broadcast(build, rng, x, pool):
    shape = tuple(int(rng.integers(1, 4)) if n == 1 else n for n in x.shape)
    return build("broadcast_to", x, shape=(2, *shape) if rng.random() < 0.4 else shape)


def _slice(build, rng, x, pool):
    cuts = [sorted(int(i) for i in rng.integers(0, n + 1, 2)) for n in x.shape]
    starts, limits = tuple(a for a, _ in cuts), tuple(b for _, b in cuts)
    return build("slice", x, starts=starts, limits=limits, steps=tuple(int(s) for s in rng.integers(1, 3, len(cuts))))


def _flip(build, rng, x, pool):
    return build("flip", x, axis=tuple(a for a in range(x.type.ndim) if rng.random() < 0.5))


def _concat(build, rng, x, pool):
    return build("concat", x, x, axis=0) if rng.random() < 0.7 else build("concat", x, axis=0)


def _reduce(build, rng, x, pool):
    exact = x.type.dtype.kind != "float"  # sums round, and of 0.0 and -0.0 either is the largest
    name = _pick(rng, ["sum", "max", "min", "any", "all", "prod"] if exact else ["any", "all"])
    axis = tuple(a for a in range(x.type.ndim) if rng.random() < 0.5)
    if not exact and all(x.shape[a] == 1 for a in axis):
        name = "sum"
    return build(name, x, axis=axis, keepdims=bool(rng.random() < 0.5))


KINDS = [
    [_unary, _number, _number, _binary],
    [_astype],
    [_compare, _not, _choose, _where],
    [_reshape, _permute, _broadcast],
    [_permute, _permute, _reshape, _unary, _binary, _reduce],
    [_slice, _slice, _flip, _concat, _broadcast],
    [_reduce, _reduce, _reshape, _broadcast],
    [_broadcast, _broadcast, _unary, _binary, _reduce],
]


@pytest.mark.parametrize("part", range(10))
def test_every_pass_keeps_every_bit_of_random_graphs(part):
    for seed in range(40 * part, 40 * part + 40):
        graph = random_graph(seed)
        given = values(graph, seed)
        want = run(graph, given)

        def compare(name, after, graph=graph, given=given, want=want, seed=seed):
            assert_same_bits(run(after, given), want, f"after {name} of random_graph({seed}):\n{graph}\n->\n{after}")

        simple = simplify(graph, compare, checked=True)
        assert simplify(simple) is simple
        assert names(simple).count("barrier") <= names(graph).count("barrier")


@pytest.mark.parametrize("part", range(4))
def test_every_pass_keeps_the_gradients_of_random_programs(part):
    for seed in range(8 * part, 8 * part + 8):
        program = random_program(seed)
        places = tuple(range(len(program.leaves)))

        def step(*leaves, program=program, places=places):
            return program.scalar(*leaves), *cr.grad(program.scalar, argnums=places)(*leaves)

        graph, given = traced(step, *map(cr.asarray, program.leaves))
        want = run(graph, given)

        def compare(name, after, given=given, want=want, program=program):
            for a, b in zip(run(after, given), want, strict=True):
                assert_close(a, b, rtol=1e-12, atol=1e-12, what=f"after {name} of {program}")

        simple = simplify(graph, compare, checked=True)
        assert len(simple.equations) < len(graph.equations)
        assert simplify(simple) is simple
