"""Every architecture against its twin in PyTorch: names, outputs, every gradient and the state, in train and eval mode.

Norm-relative means |ours - theirs| <= 1e-9 |theirs|. A bias before a batch norm has the gradient zero but for rounding:
it may be off by 1e-13 of the largest gradient's norm.
"""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import models

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle

from benchmarks.twins import TWINS  # noqa: E402  (it needs PyTorch)

SIZES = {  # of the pictures: at 1x1 maps a batch norm over 3 values, a hundred times over, magnifies rounding to 1e-9
    "lenet5": 28, "lenet5_modern": 28, "resnet18": 16, "resnet34": 16, "resnet50": 16, "resnet101": 16, "resnet152": 16,
    "resnet20": 8, "resnet32": 8, "resnet44": 8, "resnet56": 8, "resnet110": 8, "mobilenet": 16, "mobilenet_0.25": 16,
    "squeezenet1_0": 16, "squeezenet1_1": 16, "googlenet": 16, "googlenet_paper": 16,
}  # fmt: skip
LONG = {
    "alexnet_paper", "vgg13", "vgg16_bn", "vgg19", "vgg11_bn", "vgg13_bn", "vgg19_bn", "resnet34", "resnet101",
    "resnet152", "resnet32", "resnet44", "resnet110", "squeezenet1_0",
}  # fmt: skip
COMPILED = ("lenet5", "resnet20", "squeezenet1_1", "mobilenet_0.25")


def pair(name, dtype="float64"):
    """Return our network and its twin with the same state, made of initial values and statistics at random."""
    row = models.CATALOGUE[name]
    parameters = row.make.__init__.__annotations__
    settings = {key: 0.0 for key in ("dropout", "dropout_aux") if key in parameters}
    settings |= {"stem": "cifar"} if row.cifar_parameters is not None else {}
    cr.manual_seed(3)
    ours = models.create(name, num_classes=10, **settings).astype(dtype)
    theirs = TWINS[name](10, True).to(getattr(torch, dtype))
    rng, state = np.random.default_rng(4), {}
    for key, value in ours.state_dict().items():
        state[key] = np.array(value.numpy())
        if key.endswith("running_mean"):
            state[key] = rng.normal(size=value.shape).astype(dtype) * 0.1
        if key.endswith("running_var"):
            state[key] = rng.uniform(0.5, 1.5, value.shape).astype(dtype)
    wanted = {key: tuple(value.shape) for key, value in theirs.state_dict().items()}
    assert {key: value.shape for key, value in state.items()} == wanted
    assert [key for key, _ in ours.named_parameters()] == [key for key, _ in theirs.named_parameters()]
    ours.load_state_dict(state)
    theirs.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    return ours, theirs


def picture(name, dtype="float64", batch=3):
    row = models.CATALOGUE[name]
    side = SIZES.get(name, 32)
    return np.random.default_rng(5).normal(size=(batch, row.input_shape[0], side, side)).astype(dtype)


def stepper(model, compiled):
    """Return a function of pictures and gradients of outputs: outputs, gradients of pictures and parameters."""

    def step(x, gs):
        x = x.detach().requires_grad_()
        outputs = model(x)
        outputs = list(outputs) if isinstance(outputs, tuple) else [outputs]
        wanted = [x, *model.parameters()]
        found = cr.gradients(outputs, wanted, gs[: len(outputs)])
        return outputs, [cr.zeros_like(p) if g is None else g for p, g in zip(wanted, found, strict=True)]

    return cr.jit(step) if compiled else step


def ours_of(step, x, gs):
    outputs, gradients = step(cr.asarray(x), [cr.asarray(g) for g in gs])
    return [y.numpy() for y in outputs], [g.numpy() for g in gradients]


def theirs_of(model, x, gs):
    inputs = x.requires_grad_()
    outputs = model(inputs)
    outputs = list(outputs) if isinstance(outputs, tuple) else [outputs]
    wanted = [inputs, *model.parameters()]
    found = torch.autograd.grad(outputs, wanted, [torch.from_numpy(g) for g in gs[: len(outputs)]], allow_unused=True)
    gradients = [torch.zeros_like(p) if g is None else g for p, g in zip(wanted, found, strict=True)]
    return [y.numpy(force=True) for y in outputs], [g.numpy(force=True) for g in gradients]


def check(got, want, names, floor=0.0):
    for name, a, b in zip(names, got, want, strict=True):
        assert a.shape == b.shape, name
        error, size = np.linalg.norm(a - b), np.linalg.norm(b)
        assert error <= 1e-9 * size + floor, f"{name}: off by {error:.3g} of {size:.3g}"


def compare(name, compiled):
    ours, theirs = pair(name)
    x = picture(name)
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


def rows(chosen, long):
    return [pytest.param(name, marks=[pytest.mark.slow] * (name in long)) for name in chosen]


@pytest.mark.parametrize("name", rows(models.names(), LONG))
def test_eager_is_the_twin(name):
    torch.set_num_threads(1)
    compare(name, compiled=False)


@pytest.mark.parametrize("name", rows(models.names(), set(models.names()) - set(COMPILED)))
def test_compiled_is_the_twin(name):
    torch.set_num_threads(1)
    compare(name, compiled=True)


@pytest.mark.parametrize("name", models.names())
def test_the_imagenet_form_has_the_twins_names_and_shapes(name, undrawn):
    with torch.device("meta"):
        theirs = TWINS[name](1000 if models.CATALOGUE[name].cifar_parameters else 10, False)
    wanted = {key: tuple(value.shape) for key, value in theirs.state_dict().items()}
    assert {key: value.shape for key, value in models.create(name).state_dict().items()} == wanted


def distances(found, wanted):
    """Return the norm-relative distance of each output, and that of all gradients together."""
    parts = [[*outputs, np.concatenate([g.ravel() for g in gradients])] for outputs, gradients in (found, wanted)]
    return [np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(*parts, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("name", models.names())
def test_float32_is_as_near_to_float64_as_pytorchs(name, compiled, capsys):
    """The medians over nine batches: on one, PyTorch's two modes differ by up to 4, and a relu that flips by 1000."""
    torch.set_num_threads(1)
    exact, (ours, theirs), other = pair(name)[1], pair(name, "float32"), pair(name, "float32")[1]
    last = {"memory_format": torch.channels_last}
    other, step, found = other.to(**last), stepper(ours, compiled), []
    shape = picture(name).shape
    for seed in range(9):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=shape).astype(np.float32)
        gs = [rng.normal(size=(len(x), 10)).astype(np.float32) for _ in range(3)]
        wanted = theirs_of(exact, torch.from_numpy(x.astype(np.float64)), [g.astype(np.float64) for g in gs])
        results = [ours_of(step, x, gs), theirs_of(theirs, torch.from_numpy(x.copy()), gs),
                   theirs_of(other, torch.from_numpy(x.copy()).to(**last), gs)]  # fmt: skip
        found.append([distances(result, wanted) for result in results])
    mine, plain, wide = np.median(found, axis=0)
    with capsys.disabled():
        print(f"\n{name}: outputs and gradients {mine}, PyTorch {plain}, channels_last {wide}")
    assert (mine <= 2 * np.minimum(plain, wide)).all()
