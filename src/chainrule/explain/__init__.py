"""Looking inside a network, and showing it: pictures, the states of a network for one sample, the report of a run.

In: plain arrays and numbers, or a module and a sample. Out: pictures, `LayerStates`, one self-contained report.html.

    pictures.py   arrays as pictures, PNG
    network.py    a model and a sample -> values and gradients of every layer
    contents.py   what a report holds
    report.py     the page; _curves, _results and _insides draw its sections, _html its text and numbers
    kernels.py    blur, edges, lines: kernels that people designed, and what they make of a picture
    convolution.py      a convolution as a matrix; sparse.py holds and draws it
    merging.py          two convolutions without an activation between them, as one
    invariance.py       how layers answer to shifted pictures, measured
    receptive_field.py  sizes, parameters and what each output of a layer or a model sees
    checkerboard.py     the pattern of transposed convolutions, measured beside resizing and convolving
    assets/       style and script of the page, and uPlot with its licence
"""

from chainrule.explain import (
    checkerboard,
    convolution,
    invariance,
    kernels,
    merging,
    pictures,
    receptive_field,
    report,
    sparse,
)
from chainrule.explain.contents import LayerRow, LayerState, LayerStates, Mistake, RunReport, worst_mistakes
from chainrule.explain.network import first_layer_pictures, layer_rows, layer_states

__all__ = [
    "LayerRow",
    "LayerState",
    "LayerStates",
    "Mistake",
    "RunReport",
    "checkerboard",
    "convolution",
    "first_layer_pictures",
    "invariance",
    "kernels",
    "layer_rows",
    "layer_states",
    "merging",
    "pictures",
    "receptive_field",
    "report",
    "sparse",
    "worst_mistakes",
]
