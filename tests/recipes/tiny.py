"""A data set of a few dozen random digits, so that a whole run takes a tenth of a second."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import recipes
from chainrule.core.errors import RecipeError
from chainrule.data import ArrayDataset, split
from chainrule.recipes import build, results

CLASSES = tuple("0123456789")
TINY = ("model.sizes=[784, 5, 10]", "train.batch_size=8", "train.epochs=2", "train.checkpoint_every=2", "optim.lr=0.05")


def digits(samples: int, seed: int) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return random pictures that carry their label as a bright row, labels in turn, and the class names."""
    rng = np.random.default_rng(seed)
    labels = np.arange(samples) % 10
    images = rng.integers(0, 120, (samples, 28, 28), dtype=np.uint8)
    images[np.arange(samples), 2 + 2 * labels] += 120
    return images, labels, CLASSES


@pytest.fixture
def tiny(monkeypatch):
    """Put 60 and 20 random digits in the place of MNIST; return a function that loads a small recipe."""

    def load_split(recipe, name):
        if name == "test":
            return digits(20, 1)
        images, labels, classes = digits(60, 0)
        if not recipe["data.validation"]:
            if name == "validation":
                raise RecipeError("nothing held out")
            return images, labels, classes
        share = recipe["data.validation"]
        parts = split(ArrayDataset(images, labels), (1 - share, share), seed=0, stratify=labels)
        rows = parts[name == "validation"].indices
        return images[rows], labels[rows], classes

    monkeypatch.setattr(build, "load_split", load_split)
    monkeypatch.setattr(results, "load_split", load_split)
    return lambda *changes: recipes.load("mnist-mlp", [*TINY, *changes])
