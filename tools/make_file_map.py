"""Write the tables "what each file decides" of docs/architecture.md, from the first sentences of the docstrings.

Usage: python tools/make_file_map.py      A test compares the page with what this file would write.
"""

from __future__ import annotations

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
PACKAGE = ROOT / "src" / "chainrule"
_TABLE = re.compile(r"(?P<start><!-- files: (?P<folder>\w+) -->\n).*?(?P<end><!-- end of files -->\n)", re.S)


def sentence(path: pathlib.Path) -> str:
    """Return the first paragraph of a module's docstring in one line.

    Args:
        path: a Python file.
    """
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")


def table(folder: str) -> str:
    """Return one row per file of a folder of the package, its `__init__` first.

    Args:
        folder: name of the folder, like "core".
    """
    paths = sorted((PACKAGE / folder).glob("*.py"), key=lambda path: (path.stem != "__init__", path.name))
    rows = [f"| `{folder}/{path.name}` | {sentence(path)} |\n" for path in paths]
    return "| file | what it decides |\n| --- | --- |\n" + "".join(rows)


def page(text: str) -> str:
    """Return the text of the page with all tables made anew.

    Args:
        text: the page, with a pair of markers per folder.
    """
    return _TABLE.sub(lambda match: match["start"] + table(match["folder"]) + match["end"], text)


def folders(text: str) -> set[str]:
    """Return the folders that the page has a table for.

    Args:
        text: the page.
    """
    return {match["folder"] for match in _TABLE.finditer(text)}


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
