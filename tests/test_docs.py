"""The documentation is executed: every example on every page and in the README, and every command that a page shows.

- A ```python block runs; the blocks of one page share their names, in order, as a reader would type them.
- A block with >>> lines is a doctest in the same names.
- A ```console block holds commands after `$ `. Those of `chainrule` must exist with all their options; the long runs
  that they start are tested where they belong.
The tour, a notebook, runs in its own test.
"""

from __future__ import annotations

import doctest
import pathlib
import re
import shlex
import tokenize
from typing import NamedTuple

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>\w*)[^\n]*\n(?P<code>.*?)^(?P=indent)```\s*$", re.M | re.S)
_RUN = ("python", "pycon", "py")
_KNOWN = (*_RUN, "console", "text", "toml", "json", "bash")


class Block(NamedTuple):
    """A fenced block of a page: its language, its code and the line that its code starts at."""

    kind: str
    code: str
    line: int


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    found = []
    for match in _FENCE.finditer(text):
        width = len(match["indent"])
        code = "".join(line[width:] if line.strip() else line for line in match["code"].splitlines(keepends=True))
        found.append(Block(match["kind"], code, text.count("\n", 0, match.start("code"))))
    return found


def run(page: list[Block], name: str) -> None:
    """Execute the blocks of one page in one set of names; an error names the page and its line."""
    names: dict[str, object] = {"__name__": "__main__"}
    for block in page:
        if ">>>" in block.code:
            test = doctest.DocTestParser().get_doctest(block.code, names, name, name, block.line)
            output: list[str] = []
            runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
            runner.run(test, out=output.append, clear_globs=False)
            if runner.failures:
                pytest.fail("".join(output))
            names = test.globs
        else:
            exec(compile("\n" * block.line + block.code, name, "exec"), names)


def commands(page: list[Block]) -> list[list[str]]:
    """Return the words of every `$ chainrule ...` line of the console blocks."""
    lines = [line for block in page if block.kind == "console" for line in block.code.splitlines()]
    shown = [shlex.split(line[2:], comments=True) for line in lines if line.startswith("$ ")]
    return [words[1:] for words in shown if words and pathlib.Path(words[0]).name == "chainrule"]


def _identifier(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PAGES, ids=_identifier)
def test_every_example_of_the_page_runs(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = [block for block in blocks(path.read_text(encoding="utf-8")) if block.kind in _RUN]
    with np.errstate(all="ignore"):
        run(page, _identifier(path))
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("path", PAGES, ids=_identifier)
def test_no_block_of_the_page_escapes_the_tests(path):
    # A block of Python under no or another name would be shown and never run.
    for block in blocks(path.read_text(encoding="utf-8")):
        place = f"{_identifier(path)}:{block.line}"
        assert block.kind in _KNOWN, f"{place}: a block needs one of the kinds {_KNOWN}"
        assert block.kind in _RUN or ">>>" not in block.code, f"{place}: >>> outside a python block"


SHOWN = sorted({" ".join(words) for path in PAGES for words in commands(blocks(path.read_text(encoding="utf-8")))})


@pytest.mark.parametrize("shown", SHOWN)
def test_every_command_on_a_page_exists_with_its_options(shown):
    import typer.main

    from chainrule.cli.app import app

    known, words = typer.main.get_command(app), shown.split()
    for word in words:
        known = getattr(known, "commands", {}).get(word, known)
    options = {word.split("=")[0] for word in words if word.startswith("--")}
    assert not hasattr(known, "commands") or options & {"--help", "--version"}, f"no command in: chainrule {shown}"
    defined = {name for parameter in known.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert options - defined - {"--help", "--version"} == set()


def test_the_page_of_switches_is_what_the_switches_say(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    import make_config_page

    page = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    assert page == make_config_page.page(), "run: python tools/make_config_page.py"


def test_every_switch_that_the_package_reads_is_on_the_page():
    page, read = (ROOT / "docs" / "config.md").read_text(encoding="utf-8"), set()
    for path in (ROOT / "src").rglob("*.py"):
        with tokenize.open(path) as file:
            read |= set(re.findall(r"environ[^\n]*?[\"'](CHAINRULE_\w+)", file.read()))
    assert {name for name in read if f"`{name}`" not in page} == set()


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    pages |= {str(path.relative_to(ROOT / "docs").with_suffix(".md")) for path in (ROOT / "docs").glob("*.ipynb")}
    assert listed == pages


# --- the collector is checked ---------------------------------------------------------------------------------------

PAGE = """# A page

```python
x = 2
```

- in a list:

  ```python
  >>> x + 1
  3
  ```

```console
$ chainrule train mnist-mlp --set optim.lr=0.1   # a comment
$ ls
```
"""


def test_blocks_are_found_with_their_lines_and_share_their_names():
    page = blocks(PAGE)
    assert page == [
        Block("python", "x = 2\n", 3),
        Block("python", ">>> x + 1\n3\n", 9),
        Block("console", "$ chainrule train mnist-mlp --set optim.lr=0.1   # a comment\n$ ls\n", 14),
    ]
    run(page[:2], "page.md")
    assert commands(page) == [["train", "mnist-mlp", "--set", "optim.lr=0.1"]]


def test_a_wrong_example_fails():
    with pytest.raises(pytest.fail.Exception, match=r"Expected:\n +4\n"):
        run(blocks(PAGE.replace("3\n", "4\n"))[:2], "page.md")


def test_an_error_in_an_example_names_the_page_and_its_line():
    with pytest.raises(ZeroDivisionError) as caught:
        run(blocks(PAGE.replace("x = 2", "x = 1 / 0")), "page.md")
    frame = caught.traceback[-1]
    assert (str(frame.path).endswith("page.md"), frame.lineno + 1) == (True, 4)
