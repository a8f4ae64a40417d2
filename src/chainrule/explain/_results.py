"""The parts of the report that say how good the run is: header, confusion matrix, worst mistakes, layer table.

    precision   = TP / (TP + FP)      of what was called this class, how much is it
    recall      = TP / (TP + FN)      of this class, how much was found
    F1          = 2 TP / (2 TP + FP + FN)
    specificity = TN / (TN + FP)      of all other classes, how much was left alone

A score whose denominator is 0 is a share of nothing: NaN in numbers, a dash on the page, left out of the means.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chainrule.explain._html import esc, integer, number, percent, picture_uri, seconds, table

if TYPE_CHECKING:
    from chainrule.explain.contents import Mistake, RunReport

__all__ = ["confusion_section", "header", "layers_section", "mistakes_section", "per_class", "reproduce_section"]

MOST_MISTAKES = 40
MOST_CONFUSIONS = 5
SHORT_NAME = 4  # letters of a class's name that fit over a column of counts


def header(run: RunReport) -> str:
    """Return the head of the page: what was trained, how well, and the facts of the run."""
    right = int(np.trace(run.confusion))
    counted = int(run.confusion.sum())
    facts = [
        ("network", esc(run.network)),
        ("parameters", integer(run.parameters)),
        (f"loss on {esc(run.samples_name)}", number(run.loss)),
        ("training", f"{seconds(run.seconds)}, {len(run.epochs)} epoch{'' if len(run.epochs) == 1 else 's'}"),
        ("seed", str(int(run.seed))),
    ]
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    finished = f" · finished {esc(run.finished)}" if run.finished else ""
    return (
        f'<header><p class="kicker">chainrule run report{finished}</p><h1>{esc(run.recipe)}</h1>'
        f'<p class="score"><strong>{percent(run.accuracy)}</strong> of the {integer(run.samples)} '
        f"{esc(run.samples_name)} read correctly"
        + (f": {integer(right)} right, {integer(counted - right)} wrong" if counted == run.samples else "")
        + f'.</p><dl class="facts">{cells}</dl></header>'
    )


def per_class(confusion: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return precision, recall, F1 and specificity of each class; NaN where one is a share of nothing.

    Args:
        confusion: counts [true class, predicted class].

    Returns:
        float64 [classes, 4], each number in [0, 1].

    Example:
        >>> per_class(np.array([[3, 1], [0, 4]]))[1].tolist()
        [0.8, 1.0, 0.8888888888888888, 0.75]
    """
    counts = confusion.astype(np.float64)
    hit = np.diag(counts)
    called, there = counts.sum(0), counts.sum(1)  # [classes]: TP + FP, TP + FN
    left_alone = counts.sum() - called - there + hit  # [classes]: TN
    above = np.stack([hit, hit, 2 * hit, left_alone], axis=1)
    below = np.stack([called, there, called + there, counts.sum() - there], axis=1)
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def confusion_section(run: RunReport) -> str:
    """Return the confusion matrix, the most frequent confusions in words, and the scores of each class."""
    names = [esc(name) for name in run.classes]
    scores = per_class(run.confusion)
    rows = [
        [names[i], integer(int(run.confusion[i].sum())), *(percent(float(score)) for score in scores[i])]
        for i in range(len(names))
    ]
    known = [column[~np.isnan(column)] for column in scores.T]
    mean = [percent(float(column.mean())) if len(column) else "–" for column in known]
    rows.append(["mean", integer(int(run.confusion.sum())), *mean])
    head = ("class", "samples", "precision", "recall", "F1", "specificity")
    return (
        '<section id="confusion"><h2>What is taken for what</h2><div class="pair"><div>'
        f"{matrix(run)}{confusions(run)}</div>"
        f"<div><h3>Scores of each class</h3>{table(head, rows, name='numbers scores')}"
        '<p class="faint"><b>Precision</b>: of what was called this class, how much is it. <b>Recall</b>: of this '
        "class, how much was found. <b>F1</b>: their harmonic mean. <b>Specificity</b>: of all other classes, how much "
        "was left alone. A dash is a share of nothing.</p></div></div></section>"
    )


def matrix(run: RunReport) -> str:
    """Return the matrix of counts; colour grows with the share of the row, in mistakes with its square root."""
    names = [esc(name) for name in run.classes]
    side = f'<th class="axis side" scope="rowgroup" rowspan="{len(names)}"><span>true class</span></th>'
    longest = longest_name(run)
    beside = min(7.6, 0.9 + 0.65 * longest)  # em, for the names of the rows
    least = 1.6 + beside + len(names) * (0.5 + 0.62 * len(str(run.confusion.max())))  # no count is cut: it scrolls
    body = []
    for i, row in enumerate(run.confusion.tolist()):
        total = sum(row)
        cells = []
        for j, count in enumerate(row):
            share = count / total if total else 0.0
            depth = share if i == j else min(1.0, math.sqrt(share) * 2)
            kind = ("hit deep" if share > 0.7 else "hit") if i == j else "miss" if count else "none"
            note = f"true {names[i]}, predicted {names[j]}: {integer(count)} of {integer(total)} ({percent(share)})"
            cells.append(f'<td class="{kind}" style="--s:{depth:.3f}" title="{note}">{count}</td>')
        body.append(f'<tr>{"" if i else side}<th scope="row">{names[i]}</th>{"".join(cells)}</tr>')
    heads = "".join(f'<th scope="col"><span>{name}</span></th>' for name in names)
    return (
        f'<div class="scroll"><table class="confusion{" named" if longest > SHORT_NAME else ""}" '
        f'style="min-width:{least:.1f}em">'
        "<caption>Counts. Each row is a true class and shows where its "
        "samples went: on the diagonal (green) the correct ones, elsewhere (orange) the mistakes. Deeper colour: a "
        "larger share of the row; for mistakes the square root of the share, so that rare ones can be seen.</caption>"
        f'<colgroup><col class="edge"><col style="width:{beside:.1f}em">{"<col>" * len(names)}</colgroup>'
        f'<thead><tr><td colspan="2"></td><th class="axis" scope="colgroup" colspan="{len(names)}">predicted class</th>'
        f'</tr><tr><td colspan="2"></td>{heads}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )


def longest_name(run: RunReport) -> int:
    """Return the letters of the longest name of a class."""
    return max(len(str(name)) for name in run.classes)


def confusions(run: RunReport) -> str:
    """Return the most frequent confusions as sentences, the largest counts first."""
    counts = run.confusion.astype(np.int64) * (1 - np.eye(len(run.classes), dtype=np.int64))
    order = np.argsort(-counts, axis=None, kind="stable")[:MOST_CONFUSIONS]
    items = []
    for place in order:
        i, j = divmod(int(place), len(run.classes))
        count, total = int(counts[i, j]), int(run.confusion[i].sum())
        if count:
            items.append(
                f"<li><b>{esc(run.classes[i])}</b> taken for <b>{esc(run.classes[j])}</b>: {integer(count)} of "
                f"{integer(total)}, {percent(count / total, 1)}</li>"
            )
    if not items:
        return "<h3>Most frequent confusions</h3><p>None: every sample was classified correctly.</p>"
    return f"<h3>Most frequent confusions</h3><ol>{''.join(items)}</ol>"


def mistakes_section(run: RunReport) -> str:
    """Return the misclassified samples with the largest loss, as pictures."""
    if not run.mistakes:
        return ""
    worst = sorted(run.mistakes, key=lambda m: (-m.loss if math.isfinite(m.loss) else -math.inf, m.index))
    shown = worst[:MOST_MISTAKES]
    total = int(run.confusion.sum() - np.trace(run.confusion))
    return (
        '<section id="mistakes"><h2>The worst mistakes</h2>'
        f"<p>{len(shown)} of {integer(max(total, len(worst)))} mistakes, the largest loss first. Under each picture: "
        "the true class → the network's answer, the probability it gave that answer, and the loss. A large loss "
        "means: sure, and wrong. Some labels would make people hesitate too.</p>"
        f'<ul class="mistakes{" named" if longest_name(run) > SHORT_NAME else ""}">'
        f"{''.join(mistake_card(run, mistake) for mistake in shown)}</ul></section>"
    )


def mistake_card(run: RunReport, mistake: Mistake) -> str:
    """Return one misclassified sample with its numbers."""
    true, said = esc(run.classes[mistake.label]), esc(run.classes[mistake.predicted])
    return (
        f'<li><img class="{picture_kind(mistake.picture)}" alt="a {true}, taken for {said}" '
        f'src="{picture_uri(mistake.picture)}">'
        f'<p class="verdict"><span class="true">{true}</span> → <span class="said">{said}</span></p>'
        f"<p>{percent(mistake.probability, 1)}</p><p>loss {number(mistake.loss, 3, pad=True)}</p>"
        f'<p class="faint">no. {int(mistake.index)}</p></li>'
    )


def picture_kind(picture: NDArray[np.generic]) -> str:
    """Return the style of a sample: "ink" for shades, dark on light paper and light on dark; "photo" for colour."""
    return "photo" if picture.ndim == 3 and len(picture) == 3 else "ink"


def layers_section(run: RunReport) -> str:
    """Return the layer table."""
    if not run.layers:
        return ""
    rows = [
        [
            f"<code>{esc(row.name)}</code>",
            esc(row.kind),
            " × ".join(str(size) for size in row.shape) or "scalar",
            integer(row.parameters) if row.parameters else "–",
            number(row.weight_norm),
            number(row.gradient_norm),
            percent(row.dead, 1),
        ]
        for row in run.layers
    ]
    total = ["all layers", "", "", integer(run.parameters), *norm_of_norms(run), ""]
    head = ("layer", "kind", "output", "parameters", "weight norm", "gradient norm", "dead units")
    where = f" Gradients and dead units: {esc(run.layers_measured_on)}." if run.layers_measured_on else ""
    return (
        '<section id="layers"><h2>Layer by layer</h2><p>Norms are L2 norms over a layer\'s parameters. A unit is dead '
        f"if it is 0 for every sample looked at: it can't learn from them.{where}</p>"
        f"{table(head, [*rows, total], name='numbers layers')}</section>"
    )


def norm_of_norms(run: RunReport) -> list[str]:
    """Return the weight norm and the gradient norm of the whole network: the root of the sum of squares."""
    found = []
    for name in ("weight_norm", "gradient_norm"):
        norms = [norm for row in run.layers if (norm := getattr(row, name)) is not None]
        found.append(number(math.hypot(*norms)) if norms else "–")
    return found


def reproduce_section(run: RunReport) -> str:
    """Return what is needed to run it again: command, settings, versions."""
    parts = [f'<pre class="command"><code>{esc(run.command)}</code></pre>']
    for title, pairs in (("Settings", run.settings), ("Versions", run.versions)):
        if pairs:
            rows = [[f"<code>{esc(key)}</code>", esc(value)] for key, value in pairs.items()]
            parts.append(f"<div><h3>{title}</h3>{table(('name', 'value'), rows, name='settings')}</div>")
    return (
        '<section id="again"><h2>Run it again</h2><p>The same command, with the same versions on the same machine, '
        f'gives the same weights.</p>{parts[0]}<div class="pair even">{"".join(parts[1:])}</div></section>'
    )
