"""The report of a run: one HTML file that holds everything it needs and opens from the disk, without a network.

`write(path, run)` puts the sections together and the style, the scripts and the chart library (uPlot, see
assets/VENDORED.md) into the page; pictures stand in it as PNG data. A content policy in the page forbids it to load
anything. The same `RunReport` gives the same bytes. What comes from outside (names, settings, labels) is escaped.

    header, curves, confusion, mistakes, weights, inside, layers, again
"""

from __future__ import annotations

import os
from importlib import resources

from chainrule.core.files import atomic_write
from chainrule.explain._curves import curves_section
from chainrule.explain._html import esc
from chainrule.explain._insides import states_section, weights_section
from chainrule.explain._results import (
    confusion_section,
    header,
    layers_section,
    mistakes_section,
    reproduce_section,
)
from chainrule.explain.contents import LayerRow, LayerState, LayerStates, Mistake, RunReport

__all__ = ["LayerRow", "LayerState", "LayerStates", "Mistake", "RunReport", "render", "write"]

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'"
SECTIONS = (
    ("curves", "Learning curves", curves_section),
    ("confusion", "Confusions", confusion_section),
    ("mistakes", "Mistakes", mistakes_section),
    ("weights", "Weights", weights_section),
    ("inside", "Inside", states_section),
    ("layers", "Layers", layers_section),
    ("again", "Run it again", reproduce_section),
)


def write(path: str | os.PathLike[str], run: RunReport) -> None:
    """Write the report of a run as one self-contained HTML file.

    Args:
        path: the file, replaced whole or not at all; its folder must exist.
        run: what the report shows.

    Raises:
        OSError: the file can't be written; an older report is untouched.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> run = RunReport("tiny", "2-2", 6, accuracy=0.75, samples=4, seconds=0.1, seed=0, command="train tiny",
        ...                 versions={}, epochs=[{"epoch": 1, "train_loss": 0.5}],
        ...                 confusion=np.array([[2, 0], [1, 1]]), classes=("no", "yes"))
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "report.html"
        >>> write(path, run)
        >>> path.read_text(encoding="utf-8")[:15]
        '<!doctype html>'
    """
    atomic_write(path, render(run))


def render(run: RunReport) -> str:
    """Return the report as text.

    Args:
        run: what the report shows.

    Returns:
        A whole HTML page; the same for the same `run`.

    Example:
        >>> import numpy as np
        >>> run = RunReport("<tiny>", "2-2", 6, accuracy=0.75, samples=4, seconds=0.1, seed=0, command="", versions={},
        ...                 epochs=[], confusion=np.array([[2, 0], [1, 1]]), classes=("no", "yes"))
        >>> "<h1>&lt;tiny&gt;</h1>" in render(run)
        True
    """
    bodies = [(anchor, name, section(run)) for anchor, name, section in SECTIONS]
    links = "".join(f'<a href="#{anchor}">{name}</a>' for anchor, name, body in bodies if body)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{esc(run.recipe)}: chainrule run report</title>"
        f"<style>{asset('uPlot.min.css')}\n{asset('report.css')}</style></head><body>\n"
        f'{header(run)}\n<nav aria-label="sections">{links}</nav>\n<main>\n'
        + "\n".join(body for _, _, body in bodies if body)
        + f"\n</main>\n<script>/*\n{asset('uPlot.LICENSE')}*/\n{asset('uPlot.iife.min.js')}</script>\n"
        f"<script>{asset('report.js')}</script>\n</body></html>\n"
    )


def asset(name: str) -> str:
    """Return the text of a file that is shipped beside this one."""
    return resources.files("chainrule.explain").joinpath("assets", name).read_text(encoding="utf-8")
