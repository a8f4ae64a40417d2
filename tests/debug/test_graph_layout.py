"""The layout: ranks, straight lines, few crossings, exact spacing."""

from __future__ import annotations

import itertools
import random

import pytest

from chainrule.debug.graph_layout import GAP, Line, Node, _spaced, _Spot, layout


def box(inputs, outputs, place="free", height=40.0):
    def ports(n):
        return [height * (i + 1) / (n + 1) for i in range(n)]

    return Node(40.0, height, ports(inputs), ports(outputs), place)


def test_a_chain_is_straight_and_goes_right():
    found = layout([box(0, 1), box(1, 1), box(1, 0)], [Line(0, 0, 1, 0, 20.0), Line(1, 0, 2, 0, 30.0)])
    assert found.y == [0.0, 0.0, 0.0]
    assert found.x == sorted(found.x)
    assert all(y == 20.0 for route in found.routes for _, y in route)


def test_a_line_ends_in_a_straight_run_as_wide_as_its_label():
    found = layout([box(0, 1), box(0, 1), box(2, 0)], [Line(0, 0, 2, 0, 20.0), Line(1, 0, 2, 1, 90.0)])
    for route, run in zip(found.routes, found.runs, strict=True):
        (start, y), (end, last) = route[-2:]
        assert y == last
        assert start == run
        assert end - start == pytest.approx(90.0)


def test_arguments_stand_left_and_other_leaves_beside_their_reader():
    nodes = [box(0, 1, "argument"), box(0, 1, "argument"), box(0, 1), box(1, 1), box(3, 0, "last")]
    found = layout(nodes, [Line(0, 0, 3, 0), Line(3, 0, 4, 0), Line(1, 0, 4, 1), Line(2, 0, 4, 2)])
    assert found.x[0] == found.x[1] == 0.0
    assert found.x[2] == found.x[3] > 0.0


def test_crossings_are_avoided_where_they_can_be():
    # Two rows that would cross in the given order: a0 -> b1, a1 -> b0.
    nodes = [box(0, 1), box(0, 1), box(1, 0), box(1, 0)]
    found = layout(nodes, [Line(0, 0, 3, 0), Line(1, 0, 2, 0)])
    assert (found.y[0] < found.y[1]) == (found.y[3] < found.y[2])


@pytest.mark.parametrize("seed", range(8))
def test_random_graphs_have_no_overlap_and_no_line_goes_back(seed):
    chance = random.Random(seed)
    count = 30
    lines, inputs = [], [0] * count
    for target in range(1, count):
        for source in chance.sample(range(target), k=min(target, chance.randint(1, 3))):
            lines.append(Line(source, 0, target, inputs[target], chance.uniform(10, 80)))
            inputs[target] += 1
    nodes = [Node(chance.uniform(20, 90), 40.0 * max(n, 1), [40.0 * i + 20 for i in range(n)], (20.0,)) for n in inputs]
    found = layout(nodes, lines)
    for i, a in enumerate(nodes):
        for j in range(i):
            b = nodes[j]
            apart = found.x[i] >= found.x[j] + b.width or found.x[j] >= found.x[i] + a.width
            apart = apart or found.y[i] >= found.y[j] + b.height or found.y[j] >= found.y[i] + a.height
            assert apart, f"seed {seed}: boxes {i} and {j} overlap"
    for route in found.routes:
        assert all(b - a > -1e-9 for (a, _), (b, _) in itertools.pairwise(route))
        assert len(route) % 2 == 0


def test_spacing_is_the_nearest_that_keeps_order_and_gaps():
    spots = [_Spot(0, 10.0, 1.0) for _ in range(3)]
    assert _spaced([0.0, 100.0, 200.0], [0, 1, 2], spots) == [0.0, 100.0, 200.0]
    pooled = _spaced([50.0, 50.0, 200.0], [0, 1, 2], spots)
    assert pooled == [50.0 - (10 + GAP) / 2, 50.0 + (10 + GAP) / 2, 200.0]
    heavy = _spaced([50.0, 50.0], [0, 1], [_Spot(0, 10.0, 1.0), _Spot(0, 10.0, 3.0)])
    assert heavy == pytest.approx([50.0 - 0.75 * (10 + GAP), 50.0 + 0.25 * (10 + GAP)])


def test_nothing_is_nothing():
    found = layout([], [])
    assert (found.width, found.height, found.routes) == (0.0, 0.0, [])


def test_a_cycle_is_a_fault():
    with pytest.raises(AssertionError, match="^the lines of a picture form a cycle"):
        layout([box(1, 1), box(1, 1)], [Line(0, 0, 1, 0), Line(1, 0, 0, 0)])
