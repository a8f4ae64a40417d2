"""`cr.graph`: the picture of a computation, as courses draw f(x, y, z) = (x + y) z.

What is drawn comes from one of three places. A function with its arguments runs once under observation: everything is
known. A finished result has its tape: structure, gradients, and the values that the tape keeps. A traced step has
types. The picture is a value: ask it for SVG, DOT, text or HTML, or save it.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from chainrule.core.context import local
from chainrule.core.errors import GradientError, TraceError, nearest
from chainrule.core.graph import Graph
from chainrule.core.tensor import Tensor
from chainrule.debug.graph_collect import collect_run
from chainrule.debug.graph_dot import dot
from chainrule.debug.graph_html import graph_page, graph_view
from chainrule.debug.graph_parts import Call, Computation
from chainrule.debug.graph_scene import all_calls, build_scene
from chainrule.debug.graph_svg import frames, svg
from chainrule.debug.graph_tape import collect_tape
from chainrule.debug.graph_text import text
from chainrule.debug.graph_tidy import without_bookkeeping
from chainrule.debug.graph_traced import collect_traced

__all__ = ["GraphPicture", "graph"]

Collapse = bool | str | Sequence[str]


class GraphPicture:
    """The picture of a computation; made by `cr.graph`. A notebook shows it, `print` writes it as text.

    Attributes:
        computation: operations, values and gradients, for programs.
        closed: the calls that are drawn as one box.

    Example:
        >>> import chainrule as cr
        >>> picture = cr.graph(lambda x, y, z: (x + y) * z, -2.0, 5.0, -4.0)
        >>> "−12" in picture.svg(), "1 × −4" in picture.svg()
        (True, True)
    """

    def __init__(self, computation: Computation, collapse: Collapse = True):
        self.computation = computation
        self.closed = _closed(computation, collapse)

    def svg(self) -> str:
        """Return the picture as the text of an SVG file, for light and dark screens."""
        return svg(frames(build_scene(self.computation, self.closed)), self.computation.notes)

    def dot(self) -> str:
        """Return the picture in the DOT language of Graphviz."""
        return dot(build_scene(self.computation, self.closed), self.computation.name)

    def text(self) -> str:
        """Return the picture as lines for a terminal."""
        return text(build_scene(self.computation, self.closed), self.computation)

    def html(self) -> str:
        """Return a page in which a click on a module opens or closes it."""
        return graph_page(self.computation, self.closed, self.computation.name)

    def save(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Write the picture to a file of type .svg, .html, .dot or .txt; return its path.

        Args:
            path: where; the ending decides what is written.

        Raises:
            ValueError: another ending.
        """
        target = pathlib.Path(path)
        writers = {".svg": self.svg, ".html": self.html, ".dot": self.dot, ".txt": lambda: self.text() + "\n"}
        if target.suffix not in writers:
            raise ValueError(f"a picture is saved as {', '.join(writers)}; got {target.name!r}.")
        target.write_text(writers[target.suffix](), encoding="utf-8")
        return target

    def __repr__(self) -> str:
        return self.text()

    def _repr_svg_(self) -> str | None:
        return None if all_calls(self.computation) else self.svg()

    def _repr_html_(self) -> str:
        return graph_view(self.computation, self.closed)


def graph(
    what: Any,
    *args: Any,
    names: Any = None,
    collapse: Collapse = True,
    gradient: Tensor | None = None,
    details: bool = False,
    **kwargs: Any,
) -> GraphPicture:
    """Return the picture of a computation: operations, forward values, and on each edge the gradient that goes back.

        what goes back along an edge = upstream gradient × local derivative

    Args:
        what: a function or module, which is called with the arguments that follow; or a result that was recorded; or a
            `cr.jit` function that was called before, or its graph, for a picture of types only.
        args: arguments of the function; tensors, arrays and numbers (these as float32) are the picture's leaves.
        names: what to call tensors from outside: {"x": x}, a module (its parameters' names), or a list of those; the
            parameters of modules that are called have their names by themselves.
        collapse: which module calls and blocks are one box: True for layers and blocks (what has no modules inside),
            False for none, or their paths or kinds, like "0", "encoder" or ["Linear", "softmax"]; "" is the outermost.
        gradient: the upstream gradient of the result, of its shape; default 1 for a single number, else none is drawn.
        details: draw also the integer bookkeeping of labels and indices; default False.
        kwargs: keyword arguments of the function.

    Returns:
        The picture: `.svg()`, `.dot()`, `.text()`, `.html()`, `.save(path)`; a notebook shows it.

    Raises:
        GradientError: a result that nothing was recorded for.
        TraceError: called while tracing, or a `cr.jit` function without a graph yet.
        TypeError: something that can't be drawn.
        ValueError: `collapse` names a module that was not called.

    Example:
        >>> import chainrule as cr
        >>> print(cr.graph(lambda x, y, z: (x + y) * z, -2.0, 5.0, -4.0))
        f(x, y, z)
          name  made by     type   value  gradient  goes back
          x     argument    f32[]  −2     −4
          y     argument    f32[]  5      −4
          z     argument    f32[]  −4     3
          %0    +  (x, y)   f32[]  3      −4        x: −4 × 1 = −4; y: −4 × 1 = −4
          %1    ×  (%0, z)  f32[]  −12    1         %0: 1 × −4 = −4; z: 1 × 3 = 3
          result: %1

    Source: the drawing follows the computational graphs of Stanford's CS231n; the layout Sugiyama et al., IEEE Trans.
        SMC 11, 1981.
    """
    if local.interpreter is not None:
        raise TraceError("a picture shows values; draw it outside cr.jit.")
    whole = _collected(what, args, kwargs, names, gradient)
    if not details:
        whole = without_bookkeeping(whole)
    return GraphPicture(whole, collapse)


def _collected(what: Any, args: tuple, kwargs: dict[str, Any], names: Any, gradient: Tensor | None) -> Computation:
    traced: Callable[[], Graph] | None = getattr(what, "graph", None) if hasattr(what, "variants") else None
    if isinstance(what, Tensor | Graph) or (traced is not None and not args and not kwargs):
        if args or kwargs:
            raise TypeError(f"graph: a {type(what).__name__} takes no arguments; they belong to a function.")
        if isinstance(what, Tensor):
            if what._node is None:
                raise GradientError(
                    "graph: nothing was recorded for this tensor; call requires_grad_() on an input before computing, "
                    "or give the function itself: cr.graph(function, x)."
                )
            return collect_tape(what, names, gradient)
        return collect_traced(what if isinstance(what, Graph) else traced())
    if not callable(what):
        raise TypeError(f"graph draws a function, a recorded tensor or a traced step; got {type(what).__name__}.")
    return collect_run(what, args, kwargs, names, gradient)


def _closed(whole: Computation, collapse: Collapse) -> frozenset[Call]:
    """Return the calls that are one box."""
    calls = all_calls(whole)
    if isinstance(collapse, bool):
        return frozenset(call for call in calls if collapse and call.layer)
    wanted = [collapse] if isinstance(collapse, str) else list(collapse)
    known = [*dict.fromkeys([*(call.path for call in calls), *(call.kind for call in calls)])]
    for name in wanted:
        if name not in known:
            listed = ", ".join(repr(entry) for entry in known) or "there are none"
            raise ValueError(f"collapse: no call of {name!r}{nearest(name, known)}; the calls are {listed}.")
    return frozenset(call for call in calls if call.path in wanted or call.kind in wanted)
