"""The architecture page is true: its tables are the modules' own first sentences, and it leaves no folder out."""

from __future__ import annotations

import pytest


@pytest.fixture
def tool(monkeypatch, repository):
    monkeypatch.syspath_prepend(repository / "tools")
    import make_file_map

    return make_file_map


def test_the_tables_of_files_are_what_the_docstrings_say(tool):
    text = tool.PAGE.read_text(encoding="utf-8")
    assert text == tool.page(text), "docs/architecture.md is old; run: python tools/make_file_map.py"


def test_every_folder_of_the_package_has_a_table(tool):
    text = tool.PAGE.read_text(encoding="utf-8")
    folders = {path.parent.name for path in tool.PACKAGE.glob("*/*.py")}
    assert tool.folders(text) == folders


def test_the_tool_writes_a_row_per_file(tool, tmp_path, monkeypatch):
    folder = tmp_path / "floor"
    folder.mkdir()
    (folder / "b.py").write_text('"""Decides b | or\nnot.\n\nMore."""\n')
    (folder / "__init__.py").write_text('"""The floor."""\n')
    monkeypatch.setattr(tool, "PACKAGE", tmp_path)
    text = "before\n<!-- files: floor -->\nold\n<!-- end of files -->\nafter\n"
    assert tool.page(text) == (
        "before\n<!-- files: floor -->\n| file | what it decides |\n| --- | --- |\n"
        "| `floor/__init__.py` | The floor. |\n| `floor/b.py` | Decides b \\| or not. |\n<!-- end of files -->\nafter\n"
    )
