"""The page of what runs natively is what the primitives say."""

from __future__ import annotations

import pytest

from chainrule.core.primitive import PRIMITIVES, Sample, primitive


@pytest.fixture
def tool(repository, monkeypatch):
    """Return the module that writes the page."""
    monkeypatch.syspath_prepend(repository / "tools")
    import make_native_page

    return make_native_page


def test_the_page_is_what_the_lowerings_say(repository, tool):
    page = (repository / "docs" / "native.md").read_text(encoding="utf-8")
    assert page == tool.page(), "run: python tools/make_native_page.py"


def test_every_primitive_stands_on_the_page_once(tool):
    words = tool.page().split("## Native", 1)[1].replace(",", " ").split()
    assert sorted(w for w in words if w.startswith("`")) == sorted(f"`{name}`" for name in PRIMITIVES)


def test_a_primitive_without_lowering_or_reason_is_named(tool, monkeypatch):
    monkeypatch.setattr("chainrule.core.primitive.PRIMITIVES", dict(PRIMITIVES))
    cube = primitive("cube", reference=lambda x: x * x * x, shape=lambda x: x, samples=[Sample(((2,),))])
    message = r"'cube of tests.test_native_page has no lowering: add lower= to it, or a reason to REASONS'"
    with pytest.raises(KeyError, match=message):
        tool.reason(cube)
