"""An architecture and its twin in PyTorch with the same weights, the same pictures, and one step of each."""

from __future__ import annotations

import numpy as np
import torch

import chainrule as cr
from benchmarks.twins import TWINS
from chainrule import models

SIZES = {  # of the pictures: at 1x1 maps a batch norm over 3 values, a hundred times over, magnifies rounding to 1e-9
    "lenet5": 28, "lenet5_modern": 28, "resnet18": 16, "resnet34": 16, "resnet50": 16, "resnet101": 16, "resnet152": 16,
    "resnet20": 8, "resnet32": 8, "resnet44": 8, "resnet56": 8, "resnet110": 8, "mobilenet": 16, "mobilenet_0.25": 16,
    "squeezenet1_0": 16, "squeezenet1_1": 16, "googlenet": 16, "googlenet_paper": 16,
}  # fmt: skip


def pair(name, dtype="float64", *, small=True):
    """Return our network and its twin with the same state: float32 values, statistics at random among them.

    Args:
        name: in the catalogue.
        dtype: of both.
        small: the form for pictures of 32x32, else that for ImageNet.
    """
    row = models.CATALOGUE[name]
    parameters = row.make.__init__.__annotations__
    settings = {key: 0.0 for key in ("dropout", "dropout_aux") if key in parameters}
    settings |= {"stem": "cifar"} if small and row.cifar_parameters is not None else {}
    cr.manual_seed(3)
    ours = models.create(name, num_classes=10, **settings).astype(dtype)
    theirs = TWINS[name](10, small).to(getattr(torch, dtype))
    rng, state = np.random.default_rng(4), {}
    for key, value in ours.state_dict().items():
        state[key] = np.array(value.numpy())
        if key.endswith("running_mean"):
            state[key] = rng.normal(0, 0.1, value.shape).astype(np.float32).astype(dtype)
        if key.endswith("running_var"):
            state[key] = rng.uniform(0.5, 1.5, value.shape).astype(np.float32).astype(dtype)
    wanted = {key: tuple(value.shape) for key, value in theirs.state_dict().items()}
    assert {key: value.shape for key, value in state.items()} == wanted
    assert [key for key, _ in ours.named_parameters()] == [key for key, _ in theirs.named_parameters()]
    ours.load_state_dict(state)
    theirs.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    return ours, theirs


def picture(name, *, small=True):
    """Return three pictures in float64, as few pixels as the network takes well."""
    side = SIZES.get(name, 32) if small else 64
    return np.random.default_rng(5).normal(size=(3, models.CATALOGUE[name].input_shape[0], side, side))


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
    """Return our outputs and gradients as arrays."""
    outputs, gradients = step(cr.asarray(x), [cr.asarray(g) for g in gs])
    return [y.numpy() for y in outputs], [g.numpy() for g in gradients]


def theirs_of(model, x, gs):
    """Return the twin's outputs and gradients as arrays."""
    inputs = x.requires_grad_()
    outputs = model(inputs)
    outputs = list(outputs) if isinstance(outputs, tuple) else [outputs]
    wanted = [inputs, *model.parameters()]
    found = torch.autograd.grad(outputs, wanted, [torch.from_numpy(g) for g in gs[: len(outputs)]], allow_unused=True)
    gradients = [torch.zeros_like(p) if g is None else g for p, g in zip(wanted, found, strict=True)]
    return [y.numpy(force=True) for y in outputs], [g.numpy(force=True) for g in gradients]
