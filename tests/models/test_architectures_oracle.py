"""Every architecture against its twin in PyTorch: names, outputs, every gradient and the state, in train and eval mode.

Norm-relative means |ours - theirs| <= 1e-9 |theirs|. A bias before a batch norm has the gradient zero but for rounding:
it may be off by 1e-13 of the largest gradient's norm. All of them: pytest -m "slow or not slow" tests/models
"""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import models

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle

from tests.models.twin_pairs import ours_of, pair, picture, stepper, theirs_of  # noqa: E402

from benchmarks.twins import TWINS  # noqa: E402  (they need PyTorch)

SHORT = {"lenet5", "lenet5_modern", "cifar_m1", "cifar_m2", "cifar_m3", "resnet20", "squeezenet1_1", "mobilenet_0.25"}
COMPILED = {"lenet5", "cifar_m2", "resnet20"}
IMAGENET = ("alexnet", "alexnet_paper", "vgg11", "googlenet", "googlenet_paper", "resnet18", "resnet50",
            "squeezenet1_0", "squeezenet1_1", "mobilenet", "mobilenet_0.25")  # fmt: skip


def check(got, want, names, floor=0.0):
    for name, a, b in zip(names, got, want, strict=True):
        assert a.shape == b.shape, name
        error, size = np.linalg.norm(a - b), np.linalg.norm(b)
        assert error <= 1e-9 * size + floor, f"{name}: off by {error:.3g} of {size:.3g}"


def compare(name, compiled, small=True):
    torch.set_num_threads(1)
    ours, theirs = pair(name, small=small)
    x = picture(name, small=small)
    gs = [np.random.default_rng(6 + n).normal(size=(len(x), 10)) for n in range(3)]
    step, names = stepper(ours, compiled), ["input", *(key for key, _ in ours.named_parameters())]
    for training in (True, False):
        ours.train(training)
        theirs.train(training)
        outputs, gradients = ours_of(step, x, gs)
        wanted, expected = theirs_of(theirs, torch.from_numpy(x), gs)
        check(outputs, wanted, ["logits", "aux_logits2", "aux_logits1"][: len(outputs)])
        check(gradients, expected, names, 1e-13 * max(map(np.linalg.norm, expected)))
        assert np.linalg.norm(expected[0]) > 0
        state = theirs.state_dict()
        values = [np.asarray(v.numpy(), np.float64) for v in ours.state_dict().values()]
        check(values, [v.numpy(force=True).astype(np.float64) for v in state.values()], list(state))


def rows(default):
    return [pytest.param(name, marks=[] if name in default else [pytest.mark.slow]) for name in models.names()]


@pytest.mark.parametrize("name", rows(SHORT))
def test_eager_is_the_twin(name):
    compare(name, compiled=False)


@pytest.mark.parametrize("name", rows(COMPILED))
def test_compiled_is_the_twin(name):
    compare(name, compiled=True)


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("name", IMAGENET)
def test_the_imagenet_form_is_the_twin(name, compiled):
    """Pictures of 64x64: one network of each stem and head; the others differ from these as their CIFAR forms do."""
    compare(name, compiled, small=False)


@pytest.mark.parametrize("name", models.names())
def test_the_imagenet_form_has_the_twins_names_and_shapes(name, undrawn):
    with torch.device("meta"):
        theirs = TWINS[name](1000 if models.CATALOGUE[name].cifar_parameters else 10, False)
    wanted = {key: tuple(value.shape) for key, value in theirs.state_dict().items()}
    assert {key: value.shape for key, value in models.create(name).state_dict().items()} == wanted
