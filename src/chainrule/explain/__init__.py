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
    sizes.py            output sizes and parameters of layers from their settings
    receptive_field.py  what each output of a layer or a model sees of the input
    convolution_pictures.py  drawings of both
    checkerboard.py     the pattern of transposed convolutions, measured beside resizing and convolving
    filters.py, feature_maps.py   the weights of a layer as pictures; what every convolution makes of a sample
    activation_maximisation.py    pictures made by gradient ascent, that a channel responds to most
    nearest.py                    the pictures of a data set that a channel responds to most
    attribution.py                saliency by gradients, and occlusion: which pixels an answer depends on
    figures/                      what `chainrule explain` draws
    fixed_features.py   designed kernels as features of an MLP, beside its pixels and learned kernels
    filter_match.py     the edge, line, grating or blob that each learned filter looks like most
    assets/       style and script of the page, and uPlot with its licence
"""

from chainrule.explain import (
    checkerboard,
    convolution,
    convolution_pictures,
    filter_match,
    fixed_features,
    invariance,
    kernels,
    merging,
    pictures,
    receptive_field,
    report,
    sizes,
    sparse,
)
from chainrule.explain.activation_maximisation import MaximisedActivation, maximise_activation
from chainrule.explain.attribution import Attribution, OcclusionMap, occlusion, saliency
from chainrule.explain.contents import LayerRow, LayerState, LayerStates, Mistake, RunReport, worst_mistakes
from chainrule.explain.feature_maps import LayerMaps, layer_maps
from chainrule.explain.filters import LayerFilters, layer_filters
from chainrule.explain.nearest import NearestPicture, nearest_pictures
from chainrule.explain.network import first_layer_pictures, layer_rows, layer_states

__all__ = [
    "Attribution",
    "LayerFilters",
    "LayerMaps",
    "LayerRow",
    "LayerState",
    "LayerStates",
    "MaximisedActivation",
    "Mistake",
    "NearestPicture",
    "OcclusionMap",
    "RunReport",
    "checkerboard",
    "convolution",
    "convolution_pictures",
    "filter_match",
    "first_layer_pictures",
    "fixed_features",
    "invariance",
    "kernels",
    "layer_filters",
    "layer_maps",
    "layer_rows",
    "layer_states",
    "maximise_activation",
    "merging",
    "nearest_pictures",
    "occlusion",
    "pictures",
    "receptive_field",
    "report",
    "saliency",
    "sizes",
    "sparse",
    "worst_mistakes",
]
