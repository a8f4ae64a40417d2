"""A small finished run for the tests of the report: four classes of 6 x 6 pictures, a 36-8-4 network, exact by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.explain import LayerRow, LayerState, LayerStates, Mistake, RunReport

CONFUSION = np.array([[50, 1, 0, 0], [3, 40, 0, 7], [0, 0, 31, 0], [0, 0, 0, 0]])


def state(label: int, seed: int) -> LayerStates:
    """Return a sample's way through a 36-8-4 network with ReLU, values and gradients by the chain rule in NumPy."""
    random = np.random.default_rng(seed)
    picture = random.normal(size=(6, 6))
    w0, w1 = random.normal(size=(8, 36)) / 6, random.normal(size=(4, 8)) / 3
    z0 = w0 @ picture.ravel()
    a0 = np.maximum(z0, 0)
    z1 = w1 @ a0
    probabilities = np.exp(z1) / np.exp(z1).sum()
    d1 = probabilities - np.eye(4)[label]
    da = w1.T @ d1
    d0 = da * (z0 > 0)
    layers = (
        LayerState("0", "Linear", z0, d0, w0),
        LayerState("1", "ReLU", a0, da),
        LayerState("2", "Linear", z1, d1, w1),
    )
    loss = float(-np.log(probabilities[label]))
    return LayerStates(label, picture, (w0.T @ d0).reshape(6, 6), probabilities, loss, layers)


def run(**changes: Any) -> RunReport:
    """Return the run, with some of its fields replaced."""
    random = np.random.default_rng(7)
    epochs = [
        {"epoch": k, "train_loss": 1.5 / k, "train_accuracy": 1 - 0.4 / k, "test_loss": 1.4 / k} for k in (1, 2, 3)
    ]
    epochs = [{**row, "test_accuracy": 0.9167, "seconds": 0.25} for row in epochs]
    given: dict[str, Any] = {
        "recipe": "four-shapes",
        "network": "36-8-4",
        "parameters": 332,
        "accuracy": 121 / 132,
        "samples": 132,
        "seconds": 0.75,
        "seed": 3,
        "command": "chainrule train four-shapes --seed 3",
        "versions": {"chainrule": "0.1.0", "numpy": "2.1.0"},
        "epochs": epochs,
        "confusion": CONFUSION,
        "classes": ("disc", "ring", "box", "cross"),
        "loss": 0.46875,
        "samples_name": "test pictures",
        "step_losses": np.linspace(2.0, 0.5, 30),
        "mistakes": [
            Mistake(12, random.random((6, 6)), label=1, predicted=3, probability=0.75, loss=1.25),
            Mistake(99, random.random((6, 6)), label=0, predicted=1, probability=0.9375, loss=4.5),
        ],
        "first_layer_weights": random.normal(size=(8, 6, 6)),
        "layers": [
            LayerRow("0", "Linear(36, 8)", (8,), 296, weight_norm=3.0, gradient_norm=0.25),
            LayerRow("1", "ReLU()", (8,), 0, dead=0.125),
            LayerRow("2", "Linear(8, 4)", (4,), 36, weight_norm=4.0, gradient_norm=0.5),
        ],
        "layers_measured_on": "all 132 test pictures",
        "states": [state(label, seed=label) for label in range(4)],
        "settings": {"optim.lr": "0.01", "train.epochs": "3"},
        "finished": "2025-01-31 12:00",
    }
    return RunReport(**{**given, **changes})
