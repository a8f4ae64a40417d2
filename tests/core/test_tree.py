"""Nested containers: flatten and unflatten are inverse, whatever they hold."""

from __future__ import annotations

from collections import OrderedDict, namedtuple

from hypothesis import given
from hypothesis import strategies as st

from chainrule.core.tree import flatten, map_leaves, unflatten

Point = namedtuple("Point", "x y")
leaves = st.one_of(st.none(), st.integers(), st.text(max_size=3))
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=2), inner, max_size=3),
        st.tuples(inner, inner).map(lambda pair: Point(*pair)),
    ),
    max_leaves=12,
)


@given(trees)
def test_unflatten_is_the_inverse_of_flatten(tree):
    found, structure = flatten(tree)
    again = unflatten(structure, found)
    assert again == tree
    assert type(again) is type(tree)
    assert hash(structure) == hash(flatten(again)[1])


@given(trees)
def test_the_structure_does_not_depend_on_the_leaves(tree):
    found, structure = flatten(tree)
    assert flatten(unflatten(structure, [0] * len(found)))[1] == structure
    assert map_leaves(lambda leaf: leaf, tree) == tree


def test_other_containers_are_leaves():
    ordered = OrderedDict(a=1)
    assert flatten([ordered, {1, 2}])[0] == [ordered, {1, 2}]


def test_empty_containers_are_kept():
    assert unflatten(flatten({"a": [], "b": ()})[1], []) == {"a": [], "b": ()}
