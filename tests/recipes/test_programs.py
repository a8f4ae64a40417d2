"""What a whole recipe compiles: at most three programs, whatever it measures and however ragged its batches are."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler import variant
from chainrule.data import Standardize
from chainrule.ops import asarray
from chainrule.recipes import build
from chainrule.recipes.run import train


@pytest.mark.parametrize("changes", [
    (),
    ("train.average=0.9", "schedule.name=cosine", "schedule.every=step", "metrics.f1={}", "optim.name=adam"),
    ("data.validation=0.25", "train.early_stopping=3", "loss.name=multi_margin", "train.max_norm=1.0"),
])  # fmt: skip
def test_a_recipe_compiles_three_programs(tiny, tmp_path, monkeypatch, changes):
    made = []
    original = variant.executor_for

    def counted(graph, takes, *rest):
        made.append(graph.name)
        return original(graph, takes, *rest)

    monkeypatch.setattr(variant, "executor_for", counted)
    monkeypatch.setattr(build, "EVALUATION_BATCH", 12)  # does not divide the 20 or 15 samples that are measured
    train(tiny(*changes), tmp_path / "run", quiet=True)  # batches of 8, and a last one of 4 or 5
    assert sorted(made) == ["masked_step", "train_step", "train_step"]


def test_pixels_are_scaled_inside_the_step_as_outside():
    pixels = np.arange(256, dtype=np.uint8).reshape(4, 64)
    scale = build.Scale(33.31842, 78.56749)
    outside = scale(pixels)
    np.testing.assert_array_equal(outside, Standardize(scale.mean, scale.std)(pixels))
    np.testing.assert_array_equal(scale(asarray(pixels)).numpy(), outside)


def test_the_data_stay_bytes(tiny):
    data = build.load_data(tiny())
    assert data.train.arrays[0].dtype == data.second.arrays[0].dtype == np.uint8
