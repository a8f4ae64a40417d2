"""Plans of contractions: strategies, tiles that fit the registers, units that balance; all from the specification."""

from __future__ import annotations

import itertools
import math

import pytest
from tests.compiler.llvm.contractions import kernel_text, random_spec

from chainrule.compiler.contraction import Axis, Contraction, merged, plan_contraction
from chainrule.compiler.contraction_tiles import Grid


def product(m: int, n: int, k: int) -> Contraction:
    return Contraction((), (Axis(m, a=k),), (Axis(n, b=1),), (Axis(k, 1, n),))


def linear(m: int, n: int, k: int) -> Contraction:
    return Contraction((), (Axis(m, a=k),), (Axis(n, b=k),), (Axis(k, 1, 1),))


def boxes(grid: Grid) -> list[tuple[int, ...]]:
    """Return every place of a grid, box by box."""
    result = []
    for where, edge in zip(itertools.product(*map(range, grid.counts)), grid.where_edges(), strict=True):
        for place in itertools.product(*map(range, grid.shape(edge))):
            result.append(tuple(w * t + i for w, t, i in zip(where, grid.box, place, strict=True)))
    return result


@pytest.mark.parametrize("registers, lanes", [(32, 16), (16, 8), (16, 4)])
def test_boxes_cover_every_place_once_and_fit_the_registers(registers, lanes):
    for seed in range(60):
        plan = plan_contraction(random_spec(seed), lanes, registers=registers)
        for grid in (plan.rows, plan.columns):
            places = itertools.product(*map(range, grid.extents))
            assert sorted(boxes(grid)) == list(places), seed
        high, wide = plan.rows.size, plan.columns.size
        assert (4 if plan.strategy == "dot product" else wide) * (high + 1) + 1 <= registers, str(plan)


def test_units_cover_every_tile_once():
    for seed in range(60):
        plan = plan_contraction(random_spec(seed), 16)
        batch = math.prod(x.extent for x in plan.spec.batch)
        assert plan.units == batch * plan.row_groups * plan.panel_groups * bool(plan.rows.boxes and plan.columns.boxes)


@pytest.mark.parametrize(
    "spec, strategy",
    [
        (product(64, 64, 784), "outer product"),
        (linear(64, 64, 784), "dot product"),
        (linear(512, 512, 512), "packed outer product"),
        (Contraction((), (Axis(9, a=1),), (Axis(9, b=2),), (Axis(9, 9, 18),)), "packed outer product"),
        (product(0, 5, 5), "empty"),
    ],
)
def test_strategy_follows_from_strides_and_sizes(spec, strategy):
    assert plan_contraction(spec, 16).strategy == strategy


@pytest.mark.parametrize(
    "spec", [product(64, 64, 784), product(784, 64, 64), linear(64, 64, 784), product(512, 512, 512)]
)
def test_enough_units_for_threads_and_work_for_each(spec):
    plan = plan_contraction(spec, 16)
    assert 8 <= plan.units <= 128
    assert spec.flops / plan.units >= 20_000


def test_few_tiles_are_shared_evenly():
    """The weights of a first convolution are few rows and very many terms: one tile of 9x2 would be for one thread."""
    sums = Axis(64, 30 * 30, 28 * 28 * 32), Axis(28, 30, 28 * 32), Axis(28, 1, 32)
    plan = plan_contraction(Contraction((), (Axis(3, 30), Axis(3, 1)), (Axis(32, b=1),), sums), 16)
    assert (plan.rows.box, plan.columns.box, plan.units) == ((3, 3), (1,), 2)


def test_a_small_product_is_one_unit():
    assert plan_contraction(product(4, 16, 16), 16).units == 1


def test_axes_that_lie_evenly_are_one():
    image = (Axis(3, 100, 3 * 8 * 16), Axis(3, 8, 8 * 16), Axis(8, 1, 16), Axis(1, 7, 9))
    assert merged(image) == (Axis(3, 100, 3 * 8 * 16), Axis(24, 1, 16))
    assert merged(()) == (Axis(1),)


def test_long_sums_run_in_blocks_within_the_scratch():
    spec = Contraction((), (Axis(288, a=1),), (Axis(64, b=1),), (Axis(64, 288 * 1024, 64 * 1024), Axis(1024, 288, 64)))
    plan = plan_contraction(spec, 16)
    assert plan.blocks * plan.block_length >= 64 * 1024
    assert 0 < plan.scratch_bytes <= 256 << 10


def test_a_plan_says_what_it_does():
    plan = plan_contraction(product(12, 32, 8), 16)
    assert str(plan) == "outer product 12x2 vectors of 16, 1 blocks, 1 units of 1x1"


def test_code_stays_small():
    """A convolution with edges in rows and columns: at most 4 variants of a tile of bounded size."""
    spec = Contraction(
        (),
        (Axis(64, a=35 * 35 * 64), Axis(33, a=35 * 64), Axis(33, a=64)),
        (Axis(100, b=1),),
        (Axis(3, 35 * 64, 3 * 6400), Axis(3, 64, 6400), Axis(64, 1, 100)),
    )
    text = kernel_text(plan_contraction(spec, 16))
    assert text.count("call <16 x float> @llvm.fma") <= 4 * 128
