"""The page of chosen derivatives is what the primitives say."""

from __future__ import annotations

import pytest

from chainrule.core.primitive import PRIMITIVES


@pytest.fixture
def tool(repository, monkeypatch):
    """Return the module that writes the page."""
    monkeypatch.syspath_prepend(repository / "tools")
    import make_edges_page

    return make_edges_page


def test_the_page_is_what_the_edges_say(repository, tool):
    page = (repository / "docs" / "edges.md").read_text(encoding="utf-8")
    assert page == tool.page(), "run: python tools/make_edges_page.py"


def test_every_edge_has_a_row_and_a_reason(tool):
    edges = [(p, edge) for p in PRIMITIVES.values() for edge in p.edges]
    assert [p.name for p, edge in edges if not edge.why] == []
    rows = [tool.row(p, edge) for p, edge in edges]
    assert len(set(rows)) == len(rows) > 100


def test_numbers_are_short(tool):
    assert tool.number(0.333333333) == "0.3333"
    assert tool.cells(([1.0, float("-inf")], None, True)) == "[1, -∞], –, True"
