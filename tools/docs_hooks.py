"""Hooks of the site builder: reference pages from the public lists, the tour from its notebook, and no foreign servers.

A page of `docs/reference` says `<!-- members: chainrule.nn -->`; when the site is built that line becomes one entry per
name of `chainrule.nn.__all__`, in the order of the list. `docs/tour.ipynb` becomes the page `tour.md` with the outputs
that the notebook holds. After the build every page is searched for scripts, styles and pictures from other servers.
"""

from __future__ import annotations

import html
import importlib
import inspect
import json
import pathlib
import re
import sys
import types
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_MEMBERS = re.compile(r"^<!-- members: (?P<module>[\w.]+) -->$", re.MULTILINE)
_FOREIGN = re.compile(
    r"""<(?:script|img|iframe)[^>]*\ssrc=["']?https?:|<link[^>]*rel=["']?(?:stylesheet|preconnect)[^>]*https?:"""
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Let the hooks import the package of this checkout, installed or not.

    Args:
        config: the site's settings.
    """
    source = str(pathlib.Path(config.config_file_path).parent / "src")
    if source not in sys.path:
        sys.path.insert(0, source)
    return config


def entry(module: types.ModuleType, name: str) -> str:
    """Return the Markdown of one public name: a directive for functions and classes, one line for plain values.

    Args:
        module: the module whose `__all__` holds the name.
        name: the name.
    """
    thing = getattr(module, name)
    public = f"{module.__name__}.{name}".replace("chainrule.", "cr.", 1)
    if not (inspect.isclass(thing) or inspect.isfunction(thing)):
        return f"## `{public}` {{ #{module.__name__}.{name} }}\n\n{describe(thing)}\n"
    path = f"{thing.__module__}.{thing.__qualname__}"
    return f'::: {path}\n    options:\n      heading: "{public}"\n      toc_label: "{name}"\n'


def describe(thing: Any) -> str:
    """Return one line for a public value that is neither a function nor a class.

    Args:
        thing: a submodule, a data type, a constant.
    """
    doc = (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ")
    if inspect.ismodule(thing):
        return doc
    text = f"`{thing!r}`"
    return f"{text}: {doc}" if type(thing).__module__.startswith("chainrule") and doc else text


def _at_the_top(module: types.ModuleType, name: str) -> bool:
    """Return whether a name of a namespace like `cr.random` is also one of `chainrule`, and stands on its page."""
    top = importlib.import_module("chainrule")
    return module is not top and name in top.__all__ and getattr(top, name) is getattr(module, name)


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Replace each list marker of a page by its entries.

    Args:
        markdown: the page's text.
        page: the page.
    """

    def entries(match: re.Match[str]) -> str:
        module = importlib.import_module(match["module"])
        names = [name for name in module.__all__ if not name.startswith("__") and not _at_the_top(module, name)]
        if not names:
            raise PluginError(f"{page.file.src_uri}: {match['module']}.__all__ is empty")
        return "\n".join(entry(module, name) for name in names)

    return _MEMBERS.sub(entries, markdown)


def output_text(output: dict[str, Any]) -> str:
    """Return one output of a notebook cell as HTML: HTML and SVG as they are, pictures at their width, text in a box.

    Args:
        output: a nbformat 4 output.
    """
    data = output.get("data", {})
    for kind in ("text/html", "image/svg+xml"):
        if kind in data:
            return f'<div class="output">\n{"".join(data[kind]).strip()}\n</div>\n'
    if "image/png" in data:
        width = output.get("metadata", {}).get("image/png", {}).get("width")
        source = f'src="data:image/png;base64,{"".join(data["image/png"]).strip()}"'
        size = f' width="{width}"' if width else ""
        return f'<div class="output"><img class="pixels" alt="output"{size} {source}></div>\n'
    if output["output_type"] == "error":
        kind, text = "output error", f"{output['ename']}: {output['evalue']}"
    else:
        kind, text = "output", "".join(output.get("text") or data.get("text/plain", ""))
    return f'<div class="{kind}"><pre><code>{html.escape(text.rstrip())}</code></pre></div>\n'


def notebook_page(notebook: dict[str, Any]) -> str:
    """Return a notebook as a Markdown page.

    Args:
        notebook: the parsed file, nbformat 4.
    """
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"]).rstrip()
        if cell["cell_type"] == "markdown":
            parts.append(source + "\n")
        elif cell["cell_type"] == "code":
            parts.append(f"```python\n{source}\n```\n")
            parts += [output_text(output) for output in cell["outputs"]]
    return "\n".join(parts)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the page of each notebook; the notebook itself stays beside it for download.

    Args:
        files: what the site is made of.
        config: the site's settings.
    """
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            text = pathlib.Path(file.abs_src_path).read_text(encoding="utf-8")
            page = file.src_uri.removesuffix(".ipynb") + ".md"
            files.append(File.generated(config, page, content=notebook_page(json.loads(text))))
    return files


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that would fetch anything from another server.

    Args:
        config: the site's settings.
    """
    site = pathlib.Path(config.site_dir)
    foreign = [
        f"{path.relative_to(site)}: {match[0]}"
        for path in sorted(site.rglob("*.html"))
        for match in _FOREIGN.finditer(path.read_text(encoding="utf-8"))
    ]
    if foreign:
        raise PluginError("these pages would load from another server:\n  " + "\n  ".join(foreign))
