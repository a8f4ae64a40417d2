"""The picture in a page or notebook: a click opens a module, another closes it, without any script.

Every state that a click can lead to is drawn beforehand: the picture at first, and for each call the picture with that
one opened and with that one closed. A radio button that nobody sees holds the state, and invisible labels over the
boxes set it; so it works in any notebook, trusted or not. A page with very many calls leaves out the innermost.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterable

from chainrule.debug.graph_parts import Call, Computation
from chainrule.debug.graph_scene import all_calls, build_scene
from chainrule.debug.graph_svg import frames, positions, svg

__all__ = ["graph_page", "graph_view"]

STATES = 48  # pictures in one page at most
Around = dict[Call, tuple[Call, ...]]  # call -> the calls around it, outermost first
_numbers = itertools.count(1)


def graph_page(whole: Computation, closed: Iterable[Call], title: str) -> str:
    """Return a page of its own with the picture.

    Args:
        whole: the computation.
        closed: calls that are one box at first.
        title: of the page.
    """
    body = graph_view(whole, closed, "g")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
        "<style>:root{color-scheme:light dark}body{margin:1.5rem}</style></head>"
        f"<body>{body}</body></html>\n"
    )


def graph_view(whole: Computation, closed: Iterable[Call], prefix: str = "") -> str:
    """Return the picture as HTML in which a click on a module opens or closes it.

    Args:
        whole: the computation.
        closed: calls that are one box at first.
        prefix: of the names in it; default one that no other picture of this process has.
    """
    prefix = prefix or f"cr{next(_numbers)}"
    around = _around(whole)
    first = frozenset(closed)
    states = _states(first, around)
    number = {state: k for k, state in enumerate(states)}
    inputs, rules, pictures = [], [], []
    for state, k in number.items():
        checked = " checked" if k == 0 else ""
        words = "as it was drawn" if k == 0 else f"{len(state)} modules closed"
        inputs.append(
            f'<input type="radio" name="{prefix}" id="{prefix}-{k}"{checked} aria-label="{html.escape(words)}">'
        )
        rules.append(f"#{prefix}-{k}:checked~.{prefix}-{k}{{display:block}}")
        pictures.append(_picture(whole, state, number, around, prefix))
    hidden = f".{prefix}>input{{position:absolute;opacity:0;pointer-events:none}}.{prefix}>.state{{display:none}}"
    focus = f".{prefix}>input:focus-visible~.state{{outline:2px solid #1f62b4;outline-offset:2px}}"
    label = f".{prefix} label{{position:absolute;cursor:pointer;border-radius:8px}}"
    hover = f".{prefix} label:hover{{background:rgb(127 140 160 / .18)}}"
    style = hidden + focus + label + hover + "".join(rules)
    return (
        f'<div class="{prefix}" style="position:relative;overflow-x:auto"><style>{style}</style>'
        f"{''.join(inputs)}{''.join(pictures)}</div>"
    )


def _around(whole: Computation) -> Around:
    """Return for each call the calls around it, outermost first."""
    around = {call: operation.calls[:k] for operation in whole.operations for k, call in enumerate(operation.calls)}
    return {call: around[call] for call in all_calls(whole)}


def _states(first: frozenset[Call], around: Around) -> list[frozenset[Call]]:
    """Return the sets of closed calls that clicks lead to, the first one first, those of outer calls before inner."""
    states = [first]
    for call in sorted(around, key=lambda call: len(around[call])):
        states += [_opened(first, call, around), _closed(first, call, around)]
    return list(dict.fromkeys(states))[:STATES]


def _opened(first: frozenset[Call], call: Call, around: Around) -> frozenset[Call]:
    """Return the closed calls where one and those around it are open, those inside it closed, the rest as at first."""
    inside = {other for other, outer in around.items() if call in outer}
    return (first | inside) - {call, *around[call]}


def _closed(first: frozenset[Call], call: Call, around: Around) -> frozenset[Call]:
    """Return the closed calls where one is closed, those around it are open, and the rest is as at first."""
    return (first | {call}) - set(around[call])


def _picture(
    whole: Computation,
    state: frozenset[Call],
    number: dict[frozenset[Call], int],
    around: Around,
    prefix: str,
) -> str:
    first, k = next(iter(number)), number[state]
    frame = frames(build_scene(whole, state))
    labels = []
    for box, x, y, width, height in positions(frame):
        assert box.call is not None
        opening = box.inner is None
        goal = number.get((_opened if opening else _closed)(first, box.call, around))
        if goal is None or goal == k:
            continue
        words = f"{'open' if opening else 'close'} {box.call.path} {box.call.kind}".replace("  ", " ")
        labels.append(
            f'<label for="{prefix}-{goal}" title="{html.escape(words)}" style="left:{x:.0f}px;top:{y:.0f}px;'
            f'width:{width:.0f}px;height:{height:.0f}px"></label>'
        )
    drawing = svg(frame, whole.notes)
    return f'<div class="state {prefix}-{k}" style="position:relative">{drawing}{"".join(labels)}</div>'
