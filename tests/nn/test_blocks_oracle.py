"""Blocks and whole convolutional networks against PyTorch: torchvision's definitions, written down here."""

from __future__ import annotations

import numpy as np
import pytest
from tests.nn.twins import compare_layer, same_state

import chainrule as cr
from chainrule import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle
t = torch.nn


class BasicBlock(t.Module):
    def __init__(self, inputs, channels, stride=1):
        super().__init__()
        self.conv1 = t.Conv2d(inputs, channels, 3, stride, padding=1, bias=False)
        self.bn1 = t.BatchNorm2d(channels)
        self.conv2 = t.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = t.BatchNorm2d(channels)
        self.downsample = None
        if stride != 1 or inputs != channels:
            self.downsample = t.Sequential(t.Conv2d(inputs, channels, 1, stride, bias=False), t.BatchNorm2d(channels))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(t.Module):
    def __init__(self, inputs, channels, stride=1):
        super().__init__()
        self.conv1, self.bn1 = t.Conv2d(inputs, channels, 1, bias=False), t.BatchNorm2d(channels)
        self.conv2 = t.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = t.BatchNorm2d(channels)
        self.conv3, self.bn3 = t.Conv2d(channels, 4 * channels, 1, bias=False), t.BatchNorm2d(4 * channels)
        self.downsample = None
        if stride != 1 or inputs != 4 * channels:
            self.downsample = t.Sequential(
                t.Conv2d(inputs, 4 * channels, 1, stride, bias=False), t.BatchNorm2d(4 * channels)
            )

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(torch.relu(self.bn2(self.conv2(y)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ConvBNReLU(t.Module):
    def __init__(self, inputs, outputs, kernel, **options):
        super().__init__()
        self.conv, self.bn = t.Conv2d(inputs, outputs, kernel, bias=False, **options), t.BatchNorm2d(outputs)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)))


class Inception(t.Module):
    def __init__(self, inputs, a, b, c, d, e, f, kernel=5):
        super().__init__()
        conv = ConvBNReLU
        self.branch1 = conv(inputs, a, 1)
        self.branch2 = t.Sequential(conv(inputs, b, 1), conv(b, c, 3, padding=1))
        self.branch3 = t.Sequential(conv(inputs, d, 1), conv(d, e, kernel, padding=kernel // 2))
        self.branch4 = t.Sequential(t.MaxPool2d(3, 1, 1, ceil_mode=True), conv(inputs, f, 1))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class SqueezeExcitation(t.Module):
    def __init__(self, channels, squeezed):
        super().__init__()
        self.fc1, self.fc2 = t.Conv2d(channels, squeezed, 1), t.Conv2d(squeezed, channels, 1)

    def forward(self, x):
        mean = t.functional.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(mean))))


TWINS = {
    "BasicBlock": (BasicBlock, (4, 4), {}),
    "BasicBlock with stride": (BasicBlock, (4, 6), {"stride": 2}),
    "Bottleneck": (Bottleneck, (8, 2), {}),
    "Bottleneck with stride": (Bottleneck, (4, 3), {"stride": 2}),
    "ConvBNReLU": (ConvBNReLU, (4, 6, 3), {"stride": 2, "groups": 2}),
    "Inception": (Inception, (4, 2, 3, 4, 1, 2, 3), {}),
    "Inception of torchvision": (Inception, (4, 2, 3, 4, 1, 2, 3), {"kernel": 3}),
    "SqueezeExcitation": (SqueezeExcitation, (4, 2), {}),
}


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("dtype, compiled", [("float64", False), ("float64", True), ("float32", True)])
@pytest.mark.parametrize("name", TWINS)
def test_block(name, dtype, compiled, training):
    theirs, args, options = TWINS[name]
    torch.manual_seed(0)
    x = np.random.default_rng(5).normal(size=(3, args[0], 7, 6))
    ours = getattr(nn, theirs.__name__)(*args, **options)
    compare_layer(torch, ours, theirs(*args, **options), x, dtype=dtype, training=training, compiled=compiled)


def small(n, drop=0.0):
    """Return a network with the layers of a CIFAR course network, from either library."""
    return n.Sequential(
        n.Conv2d(3, 8, 3, padding=1), n.BatchNorm2d(8), n.ReLU(), n.Conv2d(8, 8, 3, padding=1), n.ReLU(),
        n.MaxPool2d(2), n.Conv2d(8, 16, 3, padding="same"), n.BatchNorm2d(16), n.ReLU(), n.AvgPool2d(2),
        n.Dropout(drop), n.Flatten(), n.Linear(64, 10),
    )  # fmt: skip


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_training_follows_pytorch_and_so_do_the_statistics(compiled):
    torch.manual_seed(0)
    ours, theirs = small(nn), small(t)
    same_state(ours, theirs)
    optimizer = cr.optim.SGD(ours.parameters(), lr=0.05, momentum=0.9)
    other = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9)

    def step(x, y):
        loss = nn.functional.cross_entropy(ours(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    run = cr.jit(step) if compiled else step
    rng = np.random.default_rng(1)
    for _ in range(8):
        x, y = rng.normal(size=(6, 3, 8, 8)).astype(np.float32), rng.integers(0, 10, 6)
        loss = t.functional.cross_entropy(theirs(torch.from_numpy(x)), torch.from_numpy(y))
        other.zero_grad()
        loss.backward()
        other.step()
        np.testing.assert_allclose(run(cr.asarray(x), cr.asarray(y)).item(), loss.item(), rtol=1e-4)
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name].numpy(), value.numpy(), rtol=2e-3, atol=2e-5, err_msg=name)
    x = rng.normal(size=(6, 3, 8, 8)).astype(np.float32)
    ours.eval()
    theirs.eval()
    evaluated = (cr.jit(lambda x: ours(x)) if compiled else ours)(cr.asarray(x))
    np.testing.assert_allclose(evaluated.numpy(), theirs(torch.from_numpy(x)).detach().numpy(), rtol=2e-3, atol=1e-3)


def test_state_dicts_go_both_ways():
    ours, theirs = small(nn), small(t)
    with torch.no_grad():
        theirs[1].running_mean.uniform_()
        theirs[1].num_batches_tracked.fill_(7)
    same_state(ours, theirs)
    assert ours[1].num_batches_tracked.item() == 7
    back = small(t)
    back.load_state_dict({name: torch.from_numpy(np.array(v.numpy())) for name, v in ours.state_dict().items()})
    for name, value in theirs.state_dict().items():
        assert torch.equal(back.state_dict()[name], value), name
