"""The parts of the report that look inside: first-layer weights, and a sample's way through the network and back.

A drawing of the forward way has one column per layer with units: a layer with weights opens a column, layers behind it
with as many units (activations, dropout) belong to it. Its units are shaded by their value after the last of them;
its gradient is the derivative of the loss in the value after the first of them, which courses call the layer's delta.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chainrule.explain import pictures
from chainrule.explain._html import esc, integer, number, percent, picture_uri
from chainrule.explain._results import longest_name, picture_kind

if TYPE_CHECKING:
    from chainrule.explain.contents import LayerState, LayerStates, RunReport

__all__ = ["columns_of", "states_section", "weights_section"]

MOST_LINES = 60  # weights drawn between two columns; more than that and nothing can be told apart
FULL_COLOUR = 0.995  # share of the first layer's weights inside the colour scale; the few beyond get the full colour
LABEL = 7  # width of a letter below a bar
LETTER, MOST_LETTERS = 9, 14  # width of a letter, letters of the name of a class; longer ones are cut
MOST_NAMES = 12  # classes whose names stand under the bars of the last layer
MOST_UNITS = 96  # units drawn in one column
MOST_COLUMNS = 8  # of units
FIRST, FIRST_ALONE = 450, 350  # where the first column stands, with lines from the picture and without
LETTERS, TALL = (14, 13, 12, 11, 10), 0.58  # sizes of headings, the widest first; width of a letter over its size
ROOMY = 110  # distance of columns whose headings name two layers
WIDTH, HEIGHT, TOP = 1080, 620, 66  # of the drawing; TOP is the room for headings
PICTURE, BAR = 280, 68  # side of the input picture, length of the bar of probability 1

Spots = dict[int, tuple[float, float]]  # unit -> where it stands in the drawing
Heading = tuple[float, tuple[str, ...]]  # the middle, and up to three lines


@dataclass(frozen=True)
class Column:
    """One column of the drawing: values and gradients [units], weights [units, inputs] or None, what it is."""

    kinds: str
    values: NDArray[np.float64]
    gradients: NDArray[np.float64]
    weights: NDArray[np.float64] | None

    @property
    def shown(self) -> list[int]:
        """Indices of the units that are drawn: all, or those with the largest values."""
        if len(self.values) <= MOST_UNITS:
            return list(range(len(self.values)))
        return sorted(np.argsort(-np.abs(self.values), kind="stable")[:MOST_UNITS].tolist())


def columns_of(layers: Sequence[LayerState], inputs: int) -> list[Column]:
    """Group layers into columns; layers before the first weights that only reshape the input are left out."""
    columns: list[Column] = []
    for layer in layers:
        values, gradients = layer.values.astype(np.float64), layer.gradients.astype(np.float64)
        size = len(columns[-1].values) if columns else inputs
        if layer.weights is not None or len(values) != size:
            weights = None if layer.weights is None else layer.weights.astype(np.float64)
            columns.append(Column(layer.kind, values, gradients, weights))
        elif columns:
            last = columns[-1]
            columns[-1] = Column(f"{last.kinds} → {layer.kind}", values, last.gradients, last.weights)
    return columns


def weights_section(run: RunReport) -> str:
    """Return the weights of the first layer, one picture per unit, on one common scale."""
    weights = run.first_layer_weights
    if weights is None:
        return ""
    scale = float(np.quantile(np.abs(weights.astype(np.float64)), FULL_COLOUR)) or pictures.symmetric_scale(weights)
    cards = []
    for unit, one in enumerate(weights):
        uri = pictures.data_uri(pictures.to_png(pictures.signed_picture(one, scale=scale, transparent=True)))
        norm = number(float(np.linalg.norm(one)), 3)
        cards.append(
            f'<li title="unit {unit}: L2 norm {norm}"><img alt="weights of unit {unit}" src="{uri}">'
            f"<span>{unit}</span></li>"
        )
    return (
        f'<section id="weights"><h2>What the first layer looks for</h2><p>Each of the {len(weights)} units of the '
        "first layer weighs every pixel. Red: ink here raises the unit. Blue: ink here lowers it. One scale for all "
        f"pictures; the {percent(1 - FULL_COLOUR, 1)} of the weights that lie beyond it have the full colour.</p>"
        f'{colour_bar(scale)}<ul class="weights">{"".join(cards)}</ul></section>'
    )


def colour_bar(scale: float) -> str:
    """Return the colour scale of signed pictures with its numbers."""
    marks = "".join(f"<span>{number(k * scale / 2, 3)}</span>" for k in range(-2, 3))
    return f'<div class="bar" aria-label="colour scale"><div class="ramp"></div><div class="marks">{marks}</div></div>'


def states_section(run: RunReport) -> str:
    """Return the samples to look at layer by layer, and the buttons that choose one."""
    if not run.states:
        return ""
    below = any((column.values < 0).any() for state in run.states for column in columns_of(state.layers, 0)[:-1])
    negative = ', a <span class="minus">blue</span> one is negative' if below else ""
    tabs, panels = [], []
    for k, state in enumerate(run.states):
        name = esc(run.classes[state.label])
        wrong = "" if state.predicted == state.label else " wrong"
        tabs.append(
            f'<button type="button" role="tab" id="tab-{k}" aria-controls="state-{k}" '
            f'aria-selected="{str(k == 0).lower()}" class="tab{wrong}" tabindex="{-1 if k else 0}">'
            f'<img class="{picture_kind(state.picture)}" alt="" '
            f'src="{picture_uri(state.picture)}">{name}</button>'
        )
        panels.append(
            f'<div class="state" role="tabpanel" id="state-{k}" aria-labelledby="tab-{k}">{verdict(run, state)}'
            f"{forward(run, state)}{backward(run, state)}</div>"
        )
    return (
        '<section id="inside"><h2>One sample through the network, and the gradient back</h2>'
        "<p>Choose a sample. Units are shaded by their activation: the fuller the ring, the stronger; an empty ring "
        f'is off{negative}. Lines are weights, <span class="plus">red positive</span>, '
        f'<span class="minus">blue negative</span>: '
        f"of each layer the {MOST_LINES} that carry most for this sample, by |weight × activation|. Point at a unit to "
        "see its numbers and its lines.</p>"
        f'<div class="tabs" role="tablist" aria-label="sample">{"".join(tabs)}</div>{"".join(panels)}</section>'
    )


def verdict(run: RunReport, state: LayerStates) -> str:
    """Return label, answer, probability and loss in one line."""
    true, said = esc(run.classes[state.label]), esc(run.classes[state.predicted])
    right = state.predicted == state.label
    return (
        f'<p class="answer {"right" if right else "wrong"}"><b>{"✓" if right else "✗"}</b> True class <b>{true}</b>, '
        f"read as <b>{said}</b> with probability {percent(float(state.probabilities.max()))}; "
        f"loss {number(state.loss)}.</p>"
    )


def forward(run: RunReport, state: LayerStates) -> str:
    """Return the drawing of the forward way: picture, columns of units, strongest weights, probabilities."""
    inputs = state.picture.size
    columns = columns_of(state.layers, inputs)
    height, width = state.picture.shape[-2:]
    side = PICTURE / max(height, width)
    top = TOP + (HEIGHT - TOP - height * side) / 2
    left = [(4 + (i % width + 0.5) * side, top + (i // width % height + 0.5) * side) for i in range(inputs)]
    uri, kind = picture_uri(state.picture), picture_kind(state.picture)
    shown = drawn(len(columns))
    lines, units = [], []
    begin = FIRST if columns and weights_from(columns[0], inputs) is not None else FIRST_ALONE
    end = WIDTH - 118 - BAR - LETTER * min(longest_name(run), MOST_LETTERS)  # then answers
    pitch = (end - begin) / (len(shown) - 1) if len(shown) > 1 else end - begin
    heads: list[Heading] = [(4 + width * side / 2, (f"{integer(inputs)} inputs", f"{height} × {width} pixels"))]
    previous, before, source = -1, state.picture.astype(np.float64).ravel(), dict(enumerate(left))
    for k, place in enumerate(shown):
        column = columns[place]
        x = end - pitch * (len(shown) - 1 - k)
        spots = places(column, x)
        weights = weights_from(column, len(before)) if place == previous + 1 else None
        if weights is not None:
            lines.append(lines_between(weights, before, source, spots, k))
        answers = place == len(columns) - 1 and len(state.probabilities) == len(column.values)
        shade = state.probabilities if answers else column.values
        units.append(draw_units(column, shade.astype(np.float64), spots, k + 1))
        count = f"{integer(len(column.values))} units"
        heads.append((x, (count, short(column.kinds, pitch), activity(column, answers))))
        previous, before, source = place, column.values, spots
    names = draw_answers(run, state, source) if len(state.probabilities) == len(before) else ""
    told = f"Drawn are {len(shown)} of {len(columns)} groups of layers."
    return (
        f'<div class="scroll"><svg class="net" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="the network\'s state for a {esc(run.classes[state.label])}">'
        f'<image class="{kind}" href="{uri}" x="4" y="{top:g}" width="{width * side:g}" height="{height * side:g}" '
        f'preserveAspectRatio="none"/><rect class="frame" x="4" y="{top:g}" width="{width * side:g}" '
        f'height="{height * side:g}"/>{"".join(lines)}{"".join(units)}{names}{headings(heads, pitch)}</svg></div>'
    ) + (f'<p class="faint">{told}</p>' if len(shown) < len(columns) else "")


def drawn(count: int) -> list[int]:
    """Return which of so many columns are drawn: all, or the last three and some before them, evenly."""
    if count <= MOST_COLUMNS:
        return list(range(count))
    before = np.linspace(0, count - 4, MOST_COLUMNS - 3).round().astype(int)
    return [*before.tolist(), count - 3, count - 2, count - 1]


def weights_from(column: Column, count: int) -> NDArray[np.float64] | None:
    """Return the weights of a column that come from so many units before it, or None."""
    weights = column.weights
    return weights if weights is not None and weights.shape[1] == count else None


def headings(heads: Sequence[Heading], pitch: float) -> str:
    """Return up to three centred lines above the picture and each column, in the largest letters that fit the pitch."""
    parts = []
    for i in range(3):
        lines = [(x, lines[i]) for x, lines in heads if i < len(lines)]
        longest = max(len(line) for _, line in (lines[1:] if i < 2 else lines))  # the picture is wide
        size = next((size for size in LETTERS[min(i, 1) :] if TALL * size * longest <= pitch), LETTERS[-1])
        most = max(2, int(pitch / (TALL * size)))
        for x, line in lines:
            told = line if len(line) <= most or x < FIRST_ALONE else line[: most - 1] + "…"
            parts.append(
                f'<text class="{"sub" if i else "head"}" x="{x:g}" y="{16 + 17 * i}" text-anchor="middle" '
                f'style="font-size:{size}px">{esc(told)}</text>'
            )
    return "".join(parts)


def short(kinds: str, pitch: float) -> str:
    """Return the kinds of a column's layers, or the first of them where there is no room for all."""
    first, *others = kinds.split(" → ")
    return kinds if not others or (len(others) == 1 and pitch >= ROOMY) else f"{first}, …"


def activity(column: Column, answers: bool) -> str:
    """Return what the shades mean: probabilities of the answers, else how many units are on, if some are off."""
    if len(column.values) > MOST_UNITS:
        return f"{MOST_UNITS} strongest"
    on = int(np.count_nonzero(column.values))
    return "probabilities" if answers else f"{on} on, {len(column.values) - on} off" if on < len(column.values) else ""


def places(column: Column, x: float) -> Spots:
    """Return where each shown unit stands: one column, evenly spaced, centred."""
    shown = column.shown
    pitch, radius = sizes(len(shown))
    first = TOP + (HEIGHT - TOP - pitch * (len(shown) - 1)) / 2
    aside = 1.1 * radius if 2 * radius > pitch else 0.0  # a full column is a zigzag: its units stay large enough
    return {unit: (x + (aside if k % 2 else -aside), first + pitch * k) for k, unit in enumerate(shown)}


def sizes(units: int) -> tuple[float, float]:
    """Return the distance between two units of a column and the radius of one."""
    pitch = min(54.0, (HEIGHT - TOP - 12) / units)
    return pitch, min(13.0, (0.44 if pitch > 14 else 0.86) * pitch)


def lines_between(
    weights: NDArray[np.float64],
    before: NDArray[np.float64],
    source: Spots,
    target: Spots,
    k: int,
) -> str:
    """Return the weights with the largest |weight × activation| as lines, the weakest first so that it lies below."""
    carried = np.abs(weights * before)  # [units, inputs]
    hidden = np.ones(carried.shape, bool)
    hidden[np.ix_(list(target), list(source))] = False
    carried[hidden] = 0.0
    order = np.argsort(-carried, axis=None, kind="stable")[:MOST_LINES]
    most = carried.flat[order[0]] or 1.0
    parts = []
    for place in order[::-1]:
        unit, origin = divmod(int(place), weights.shape[1])
        share = carried[unit, origin] / most
        if share > 0:
            (x0, y0), (x1, y1) = source[origin], target[unit]
            sign = "plus" if weights[unit, origin] > 0 else "minus"
            parts.append(
                f'<path class="{sign}" d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" '
                f'stroke-width="{0.4 + 1.6 * share:.2f}" opacity="{0.15 + 0.7 * share:.2f}" data-a="{k}.{origin}" '
                f'data-b="{k + 1}.{unit}"/>'
            )
    return f'<g class="lines">{"".join(parts)}</g>'


def draw_units(column: Column, shade: NDArray[np.float64], spots: Spots, k: int) -> str:
    """Return the units of a column: rings filled by activation, with their numbers as tooltips."""
    most = float(np.abs(shade).max()) or 1.0
    _, radius = sizes(len(spots))
    parts = []
    for unit, (x, y) in spots.items():
        kind = "below" if shade[unit] < 0 else "above"
        note = f"unit {unit}: activation {number(column.values[unit])}, gradient {number(column.gradients[unit])}"
        parts.append(
            f'<g class="unit {kind}" data-u="{k}.{unit}"><title>{note}</title>'
            f'<circle class="paper" cx="{x:g}" cy="{y:.1f}" r="{radius:.1f}"/>'
            f'<circle cx="{x:g}" cy="{y:.1f}" r="{radius:.1f}" fill-opacity="{abs(shade[unit]) / most:.2f}"/></g>'
        )
    return "".join(parts)


def draw_answers(run: RunReport, state: LayerStates, spots: Spots) -> str:
    """Return the names of the classes and their probabilities as bars, beside the last column."""
    names = [str(name) for name in run.classes]
    names = [name if len(name) <= MOST_LETTERS else name[: MOST_LETTERS - 1] + "…" for name in names]
    start = 33 + LETTER * max(len(name) for name in names)
    parts = []
    for unit, (x, y) in spots.items():
        share = float(state.probabilities[unit])
        kind = "true" if unit == state.label else "said" if unit == state.predicted else "other"
        parts.append(
            f'<text class="name {kind}" x="{x + 24:g}" y="{y + 5:.1f}">{esc(names[unit])}</text>'
            f'<rect class="share {kind}" x="{x + start:g}" y="{y - 7:.1f}" width="{max(BAR * share, 0.8):.1f}" '
            'height="14" rx="2"/>'
            f'<text class="sub" x="{x + start + 6 + BAR * share:.1f}" y="{y + 5:.1f}">{percent(share, 1)}</text>'
        )
    return "".join(parts)


def backward(run: RunReport, state: LayerStates) -> str:
    """Return the gradients that flow back, the last layer first: norms on one scale, units on a scale of their own."""
    columns = columns_of(state.layers, state.picture.size)
    norms = [float(np.linalg.norm(state.gradient)), *(float(np.linalg.norm(column.gradients)) for column in columns)]
    most = max(norms) or 1.0
    cards = []
    for column, norm in reversed(list(zip(columns, norms[1:], strict=True))):
        answers = column is columns[-1] and len(column.gradients) == len(run.classes) <= MOST_NAMES
        drawing = bars(column.gradients, [str(name) for name in run.classes] if answers else [])
        title = f"{integer(len(column.gradients))} units"
        cards.append(gradient_card(title, column.kinds.split(" → ")[0], norm, most, drawing))
    pixels = state.gradient.astype(np.float64)
    pixels = pixels if pixels.ndim == 2 else pixels.sum(0)
    uri = pictures.data_uri(pictures.to_png(pictures.signed_picture(pixels, transparent=True)))
    most_pixel = number(pictures.symmetric_scale(pixels), 3)
    image = (
        f'<img class="signed" alt="the loss\'s gradient in each pixel" src="{uri}">'
        f'<p class="faint">red, blue: ± {most_pixel}</p>'
    )
    cards.append(gradient_card(f"{integer(state.picture.size)} inputs", "pixels", norms[0], most, image))
    return (
        "<h3>The gradient on its way back</h3><p>From the answer back to the picture: ∂loss/∂z of every unit, z its "
        "value before the activation. A bar up: raising this unit would raise the loss. Units that are off let nothing "
        f'through. The orange strip compares the norms of all layers.</p><div class="flow">{"".join(cards)}</div>'
    )


def gradient_card(title: str, kind: str, norm: float, most: float, drawing: str) -> str:
    """Return one layer's gradient: its norm, the norm's strip, the drawing of its units."""
    return (
        f"<figure><figcaption><b>{esc(title)}</b> {esc(kind)}<br>norm {number(norm, 3)}</figcaption>"
        f'<div class="strip"><div style="width:{100 * norm / most:.1f}%"></div></div>{drawing}</figure>'
    )


def bars(values: NDArray[np.float64], names: list[str], width: int = 240, height: int = 104) -> str:
    """Return one bar per unit, up for positive, down for negative, on a scale of its own; names, if any, below."""
    most = pictures.symmetric_scale(values)
    pitch, middle = width / len(values), height / 2
    parts = []
    for unit, value in enumerate(values):
        length = abs(value) / most * (middle - 4)
        y = middle - length if value > 0 else middle
        parts.append(
            f'<rect x="{unit * pitch:.2f}" y="{y:.1f}" width="{max(0.8 * pitch, 0.4):.2f}" '
            f'height="{max(length, 0.3):.1f}">'
            f"<title>{esc(names[unit]) if names else f'unit {unit}'}: {number(float(value))}</title></rect>"
        )
    names = names if all(LABEL * len(name) <= pitch for name in names) else []  # else they would overlap
    for unit, name in enumerate(names):
        parts.append(f'<text x="{(unit + 0.4) * pitch:.1f}" y="{height + 13}" text-anchor="middle">{esc(name)}</text>')
    return (
        f'<svg class="bars" viewBox="0 0 {width} {height + (18 if names else 0)}" role="img" '
        'aria-label="gradient of each unit">'
        f'<path class="rule" d="M0 {middle:g}H{width}"/>{"".join(parts)}</svg>'
        f'<p class="faint">bars: ± {number(most, 3)}</p>'
    )
