"""Draw the pictures of docs/graph.md: the computations that courses draw, and the recipe's network.

Usage: python tools/make_graph_pictures.py      A test compares the files with what this would write.
"""

from __future__ import annotations

import pathlib

import chainrule as cr
from chainrule import nn

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "docs" / "images"


def product(x, y, z):
    """Return (x + y) z."""
    return (x + y) * z


def neuron(w0, x0, w1, x1, w2):
    """Return the sigmoid neuron."""
    return 1 / (1 + cr.exp(-(w0 * x0 + w1 * x1 + w2)))


def neuron_with_block(w0, x0, w1, x1, w2):
    """Return the sigmoid neuron, its sigmoid as a block."""
    s = w0 * x0 + w1 * x1 + w2
    with cr.debug.block("sigmoid"):
        return 1 / (1 + cr.exp(-s))


def classifier(W, x, b, t):
    """Return the cross-entropy of softmax(W x + b) with the target t."""
    z = W @ x + b
    with cr.debug.block("softmax"):
        e = cr.exp(z)
        p = e / cr.sum(e)
    with cr.debug.block("cross-entropy"):
        return -cr.sum(t * cr.log(p))


def pictures() -> dict[str, cr.debug.GraphPicture]:
    """Return file name -> picture."""
    w = cr.asarray([[0.01, -0.05, 0.1, 0.05], [0.7, 0.2, 0.05, 0.16], [0.0, -0.45, -0.2, 0.03]])
    x = cr.asarray([[-15.0], [22.0], [-44.0], [56.0]])
    b, t = cr.asarray([[0.0], [0.2], [-0.3]]), cr.asarray([[0], [0], [1]])
    values = (2.0, -1.0, -3.0, -2.0, -3.0)
    cr.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    criterion = nn.CrossEntropyLoss()

    def loss(x, y):
        return criterion(model(x), y)

    inputs, labels = cr.reshape(cr.arange(8) / 8, (2, 4)), cr.asarray([0, 2])
    return {
        "graph-product.svg": cr.graph(product, -2.0, 5.0, -4.0),
        "graph-neuron.svg": cr.graph(neuron, *values),
        "graph-neuron-block.svg": cr.graph(neuron_with_block, *values),
        "graph-classifier.svg": cr.graph(classifier, w, x, b, t),
        "graph-classifier-open.svg": cr.graph(classifier, w, x, b, t, collapse=False),
        "graph-network.svg": cr.graph(loss, inputs, labels),
    }


def main() -> None:
    """Write the files."""
    for name, picture in pictures().items():
        picture.save(FOLDER / name)


if __name__ == "__main__":
    main()
