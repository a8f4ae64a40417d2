"""Figures of `chainrule explain RUN --what NAME`: each a function that looks at a `Subject` and draws one picture.

In: a network and pictures of its data, or the pictures alone, or nothing. Out: pictures of Pillow's.

    registry.py   Subject, Figure, the decorator `figure`; how figures are found by name
    *.py          the figures, a module per family; a new module is found by itself, one beginning with _ is not

A figure is added by one function in any module of this package:

    @figure("edges", "Sobel's kernels on a picture: what changes across, down, and how much.", needs=["pictures"])
    def edges(subject: Subject) -> Image:
        ...

`needs` says what of the subject the function relies on: "model", "pictures", both (the default) or neither; `draw`
checks it.

What a figure returns is a picture of Pillow's, or several by name ({"step 1": ..., "step 2": ...}), each of which
becomes a file. What can't be drawn for this subject is a `SettingError` whose message says why, and what could be.
"""

from chainrule.explain.figures.registry import Figure, Subject, draw, figure, get, names

__all__ = ["Figure", "Subject", "draw", "figure", "get", "names"]
