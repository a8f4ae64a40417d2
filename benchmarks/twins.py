"""The architectures in PyTorch, written down a second time: torchvision's definitions and those of the papers.

`TWINS[name](classes, small)` makes the network of that name; `small` is the form for 32x32 pictures. No dropout. The
tests hold chainrule's networks against these, and the benchmarks time both; so they are written for speed, as
torchvision's are: a relu overwrites its input.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

ReLU = partial(nn.ReLU, inplace=True)


# ---------------------------------------------------------------------------------------------------- LeNet-5, CIFAR
class LeNet5(nn.Module):
    MAPS = ("012", "123", "234", "345", "045", "015", "0123", "1234", "2345", "0345", "0145", "0125",
            "0134", "1245", "0235", "012345")  # fmt: skip

    def __init__(self, classes):
        super().__init__()
        self.c1, self.s2, self.c3 = nn.Conv2d(1, 6, 5, padding=2), pool(6), nn.Module()
        self.c3.weight, self.c3.bias = nn.Parameter(torch.zeros(60, 5, 5)), nn.Parameter(torch.zeros(16))
        self.s4, self.c5, self.f6, self.output = pool(16), nn.Conv2d(16, 120, 5), nn.Linear(120, 84), nn.Module()
        self.output.register_buffer("codes", torch.zeros(classes, 84))
        pairs = [(row, int(digit)) for row, maps in enumerate(self.MAPS) for digit in maps]
        for name, places in zip(("rows", "columns"), torch.tensor(pairs, device="cpu").T, strict=True):
            self.register_buffer(name, places.contiguous(), persistent=False)

    def forward(self, x):
        x = squash(self.c1(x))
        x = squash(summed(self.s2, x))
        x = squash(self.sparse(x))
        x = squash(summed(self.s4, x))
        x = squash(self.f6(squash(self.c5(x)).flatten(1)))
        return -((x[:, None] - self.output.codes) ** 2).sum(2)

    def sparse(self, x):
        """Return the maps of C3: each kernel is put where its connection is, between zeros."""
        kernels = self.c3.weight.new_zeros(16, 6, 5, 5).index_put((self.rows, self.columns), self.c3.weight)
        return F.conv2d(x, kernels, self.c3.bias)


def pool(channels):
    module = nn.Module()
    module.weight, module.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
    return module


def summed(module, x):
    return module.weight[:, None, None] * F.avg_pool2d(x, 2, divisor_override=1) + module.bias[:, None, None]


def squash(x):
    return 1.7159 * torch.tanh(2 * x / 3)


def lenet5_modern(classes, inputs=1, padding=2, act=nn.Tanh, pooling=nn.AvgPool2d):
    return nn.Sequential(
        nn.Conv2d(inputs, 6, 5, padding=padding), act(), pooling(2), nn.Conv2d(6, 16, 5), act(), pooling(2),
        nn.Flatten(), nn.Linear(400, 120), act(), nn.Linear(120, 84), act(), nn.Linear(84, classes),
    )  # fmt: skip


class CifarM1(nn.Sequential):
    def __init__(self, classes):
        r, linear = ReLU, nn.Linear
        super().__init__(linear(3072, 1024), r(), linear(1024, 256), r(), linear(256, 64), r(), linear(64, classes))

    def forward(self, x):
        return super().forward(x.flatten(1))


def cifar_m3(classes):
    def pair(inputs, channels):
        return [
            nn.Conv2d(inputs, channels, 3, padding=1), nn.BatchNorm2d(channels), ReLU(),
        ]  # fmt: skip

    def second(channels, out):
        return [nn.Conv2d(channels, out, 3, padding=1), ReLU(), nn.MaxPool2d(2)]

    return nn.Sequential(
        *pair(3, 32), *second(32, 64), *pair(64, 128), *second(128, 128), *pair(128, 256), *second(256, 256),
        nn.Flatten(), nn.Identity(), nn.Linear(4096, 1024), ReLU(), nn.Linear(1024, 512), ReLU(),
        nn.Identity(), nn.Linear(512, classes),
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------- AlexNet, VGG
class Classic(nn.Module):
    """features, avgpool, classifier: what AlexNet, VGG and SqueezeNet of torchvision have in common."""

    def __init__(self, features, side, classifier):
        super().__init__()
        self.features, self.avgpool, self.classifier = features, nn.AdaptiveAvgPool2d(side), classifier

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def alexnet(classes, small):
    c, r = nn.Conv2d, ReLU
    first = c(3, 64, 3, 1, 1) if small else c(3, 64, 11, 4, 2)
    features = nn.Sequential(
        first, r(), nn.MaxPool2d(3, 2), c(64, 192, 5, padding=2), r(), nn.MaxPool2d(3, 2),
        c(192, 384, 3, padding=1), r(), c(384, 256, 3, padding=1), r(), c(256, 256, 3, padding=1), r(),
        nn.MaxPool2d(3, 2),
    )  # fmt: skip
    return Classic(features, 3 if small else 6, alexnet_classifier(classes, small))


def alexnet_classifier(classes, small):
    return nn.Sequential(
        nn.Identity(), nn.Linear(2304 if small else 9216, 4096), ReLU(),
        nn.Identity(), nn.Linear(4096, 4096), ReLU(), nn.Linear(4096, classes),
    )  # fmt: skip


def alexnet_paper(classes, small):
    c, r = nn.Conv2d, ReLU
    norm = partial(nn.LocalResponseNorm, 5, alpha=5e-4, beta=0.75, k=2.0)
    features = nn.Sequential(
        c(3, 96, 3, 1, 1) if small else c(3, 96, 11, 4, 2), r(), norm(), nn.MaxPool2d(3, 2),
        c(96, 256, 5, padding=2, groups=2), r(), norm(), nn.MaxPool2d(3, 2), c(256, 384, 3, padding=1), r(),
        c(384, 384, 3, padding=1, groups=2), r(), c(384, 256, 3, padding=1, groups=2), r(), nn.MaxPool2d(3, 2),
    )  # fmt: skip
    return Classic(features, 3 if small else 6, alexnet_classifier(classes, small))


VGG = {
    11: "64 M 128 M 256 256 M 512 512 M 512 512 M",
    13: "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
    16: "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    19: "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}


def vgg(classes, small, depth, norm):
    layers, inputs = [], 3
    for word in VGG[depth].split():
        if word == "M":
            layers.append(nn.MaxPool2d(2, 2))
            continue
        conv = nn.Conv2d(inputs, int(word), 3, padding=1)
        layers += [conv, nn.BatchNorm2d(int(word)), ReLU()] if norm else [conv, ReLU()]
        inputs = int(word)
    side, hidden = (1, 512) if small else (7, 4096)
    classifier = nn.Sequential(
        nn.Linear(512 * side * side, hidden), ReLU(), nn.Identity(), nn.Linear(hidden, hidden), ReLU(),
        nn.Identity(), nn.Linear(hidden, classes),
    )  # fmt: skip
    return Classic(nn.Sequential(*layers), side, classifier)


# ---------------------------------------------------------------------------------------------------- GoogLeNet
class BasicConv(nn.Module):
    def __init__(self, inputs, outputs, kernel, norm=True, **options):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, bias=not norm, **options)
        if norm:
            self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x):
        x = self.conv(x)
        return torch.relu_(self.bn(x) if hasattr(self, "bn") else x)


class Inception(nn.Module):
    def __init__(self, inputs, a, b, c, d, e, f, norm):
        super().__init__()
        conv, kernel = partial(BasicConv, norm=norm), 3 if norm else 5
        self.branch1 = conv(inputs, a, 1)
        self.branch2 = nn.Sequential(conv(inputs, b, 1), conv(b, c, 3, padding=1))
        self.branch3 = nn.Sequential(conv(inputs, d, 1), conv(d, e, kernel, padding=kernel // 2))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), conv(inputs, f, 1))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class Aux(nn.Module):
    def __init__(self, inputs, classes, norm):
        super().__init__()
        self.conv, self.fc1 = BasicConv(inputs, 128, 1, norm), nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, classes)

    def forward(self, x):
        return self.fc2(torch.relu_(self.fc1(self.conv(F.adaptive_avg_pool2d(x, (4, 4))).flatten(1))))


class GoogLeNet(nn.Module):
    def __init__(self, classes, small, norm=True):
        super().__init__()
        conv, inception = partial(BasicConv, norm=norm), partial(Inception, norm=norm)
        halve, self.small, self.norm = partial(nn.MaxPool2d, stride=2, ceil_mode=True), small, norm
        self.conv1 = conv(3, 64, 3, padding=1) if small else conv(3, 64, 7, stride=2, padding=3)
        self.maxpool = halve(3)
        self.conv2, self.conv3 = conv(64, 64, 1), conv(64, 192, 3, padding=1)
        self.inception3a = inception(192, 64, 96, 128, 16, 32, 32)
        self.inception3b = inception(256, 128, 128, 192, 32, 96, 64)
        self.inception4a = inception(480, 192, 96, 208, 16, 48, 64)
        self.inception4b = inception(512, 160, 112, 224, 24, 64, 64)
        self.inception4c = inception(512, 128, 128, 256, 24, 64, 64)
        self.inception4d = inception(512, 112, 144, 288, 32, 64, 64)
        self.inception4e = inception(528, 256, 160, 320, 32, 128, 128)
        self.maxpool4 = halve(2 if norm else 3)
        self.inception5a = inception(832, 256, 160, 320, 32, 128, 128)
        self.inception5b = inception(832, 384, 192, 384, 48, 128, 128)
        self.aux1, self.aux2 = Aux(512, classes, norm), Aux(528, classes, norm)
        self.fc = nn.Linear(1024, classes)

    def forward(self, x):
        lrn = (lambda x: x) if self.norm else (lambda x: F.local_response_norm(x, 5))
        x = self.conv1(x)
        x = lrn(x if self.small else self.maxpool(x))
        x = self.maxpool(lrn(self.conv3(self.conv2(x))))
        x = self.maxpool(self.inception3b(self.inception3a(x)))
        first = self.inception4a(x)
        second = self.inception4d(self.inception4c(self.inception4b(first)))
        x = self.maxpool4(self.inception4e(second))
        x = self.fc(self.inception5b(self.inception5a(x)).mean((2, 3)))
        return (x, self.aux2(second), self.aux1(first)) if self.training else x


# ---------------------------------------------------------------------------------------------------- ResNet
class Block(nn.Module):
    def __init__(self, inputs, channels, stride, kernels, option):
        super().__init__()
        outputs = channels * (4 if len(kernels) == 3 else 1)
        sizes = [inputs, *[channels] * (len(kernels) - 1), outputs]
        for number, kernel in enumerate(kernels, 1):
            step = stride if kernel == 3 and number == len(kernels) - 1 else 1  # basic: the first, bottleneck: the 2nd
            conv = nn.Conv2d(sizes[number - 1], sizes[number], kernel, step, kernel // 2, bias=False)
            self.add_module(f"conv{number}", conv)
            self.add_module(f"bn{number}", nn.BatchNorm2d(sizes[number]))
        self.count, self.stride, self.added = len(kernels), stride, outputs - inputs
        if option == "B" and (stride != 1 or inputs != outputs):
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for number in range(1, self.count + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            y = torch.relu_(y) if number < self.count else y
        if hasattr(self, "downsample"):
            x = self.downsample(x)
        elif self.added:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))
        return torch.relu_(x + y)


class ResNet(nn.Module):
    def __init__(self, classes, counts, width=64, kernels=(3, 3), small=True, option="B"):
        super().__init__()
        self.small = small
        stem = {"kernel_size": 3, "padding": 1} if small else {"kernel_size": 7, "stride": 2, "padding": 3}
        self.conv1, self.bn1 = nn.Conv2d(3, width, bias=False, **stem), nn.BatchNorm2d(width)
        inputs, self.stages = width, len(counts)
        for stage, count in enumerate(counts):
            blocks = []
            for position in range(count):
                stride = 2 if stage and not position else 1
                blocks.append(Block(inputs, width << stage, stride, kernels, option))
                inputs = (width << stage) * (4 if len(kernels) == 3 else 1)
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = torch.relu_(self.bn1(self.conv1(x)))
        x = x if self.small else F.max_pool2d(x, 3, 2, 1)
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(x.mean((2, 3)))


def resnet(classes, small, counts, bottleneck=False):
    return ResNet(classes, counts, kernels=(1, 3, 1) if bottleneck else (3, 3), small=small)


def cifar_resnet(classes, small, depth, option="A"):
    return ResNet(classes, [(depth - 2) // 6] * 3, width=16, option=option)


# ---------------------------------------------------------------------------------------------------- small networks
class Fire(nn.Module):
    def __init__(self, inputs, squeeze, expand):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1, self.expand3x3 = nn.Conv2d(squeeze, expand, 1), nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x):
        x = torch.relu_(self.squeeze(x))
        return torch.cat([torch.relu_(self.expand1x1(x)), torch.relu_(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    def __init__(self, classes, small, version):
        super().__init__()
        half, f = partial(nn.MaxPool2d, 3, 2, ceil_mode=True), Fire
        first = nn.Identity() if small else half()
        if version == "1.0":
            conv = nn.Conv2d(3, 96, 3, padding=1) if small else nn.Conv2d(3, 96, 7, 2)
            fires = [f(96, 16, 64), f(128, 16, 64), f(128, 32, 128), half(), f(256, 32, 128), f(256, 48, 192),
                     f(384, 48, 192), f(384, 64, 256), half(), f(512, 64, 256)]  # fmt: skip
        else:
            conv = nn.Conv2d(3, 64, 3, padding=1) if small else nn.Conv2d(3, 64, 3, 2)
            fires = [f(64, 16, 64), f(128, 16, 64), half(), f(128, 32, 128), f(256, 32, 128), half(),
                     f(256, 48, 192), f(384, 48, 192), f(384, 64, 256), f(512, 64, 256)]  # fmt: skip
        self.features = nn.Sequential(conv, ReLU(), first, *fires)
        self.classifier = nn.Sequential(nn.Identity(), nn.Conv2d(512, classes, 1))

    def forward(self, x):
        return torch.relu_(self.classifier(self.features(x))).mean((2, 3))


class MobileNet(nn.Module):
    SIZES = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)

    def __init__(self, classes, small, width=1.0, tensorflow=False):
        super().__init__()
        self.tensorflow, inputs = tensorflow, int(32 * width)
        self.conv1 = self.part(3, inputs, 3, 1 if small else 2)
        blocks = []
        for number, size in enumerate(self.SIZES):
            stride = 2 if number in (1, 3, 5, 11) and not (small and number == 1) else 1
            block, outputs = nn.Module(), int(size * width)
            block.depthwise = self.part(inputs, inputs, 3, stride, groups=inputs)
            block.pointwise = self.part(inputs, outputs, 1, 1)
            blocks.append(block)
            inputs = outputs
        self.blocks, self.fc = nn.ModuleList(blocks), nn.Linear(inputs, classes)

    def part(self, inputs, outputs, kernel, stride, groups=1):
        module = nn.Module()
        padding = 0 if self.tensorflow and stride == 2 else kernel // 2  # 0: `run` pads below and to the right
        module.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        module.bn = nn.BatchNorm2d(outputs, eps=1e-3 if self.tensorflow else 1e-5)
        return module

    def run(self, module, x):
        if module.conv.kernel_size[0] == 3 and not module.conv.padding[0]:
            x = F.pad(x, (0, 1, 0, 1))
        x = module.bn(module.conv(x))
        return F.relu6(x, inplace=True) if self.tensorflow else F.relu(x, inplace=True)

    def forward(self, x):
        x = self.run(self.conv1, x)
        for block in self.blocks:
            x = self.run(block.pointwise, self.run(block.depthwise, x))
        return self.fc(x.mean((2, 3)))


def _without_form(make):
    return lambda classes, small: make(classes)


TWINS = {
    "lenet5": _without_form(LeNet5),
    "lenet5_modern": _without_form(lenet5_modern),
    "cifar_m1": _without_form(CifarM1),
    "cifar_m2": _without_form(partial(lenet5_modern, inputs=3, padding=0, act=ReLU, pooling=nn.MaxPool2d)),
    "cifar_m3": _without_form(cifar_m3),
    "alexnet": alexnet,
    "alexnet_paper": alexnet_paper,
    **{f"vgg{depth}": partial(vgg, depth=depth, norm=False) for depth in VGG},
    **{f"vgg{depth}_bn": partial(vgg, depth=depth, norm=True) for depth in VGG},
    "googlenet": GoogLeNet,
    "googlenet_paper": partial(GoogLeNet, norm=False),
    "resnet18": partial(resnet, counts=(2, 2, 2, 2)),
    "resnet34": partial(resnet, counts=(3, 4, 6, 3)),
    "resnet50": partial(resnet, counts=(3, 4, 6, 3), bottleneck=True),
    "resnet101": partial(resnet, counts=(3, 4, 23, 3), bottleneck=True),
    "resnet152": partial(resnet, counts=(3, 8, 36, 3), bottleneck=True),
    **{f"resnet{depth}": partial(cifar_resnet, depth=depth) for depth in (20, 32, 44, 56, 110)},
    "squeezenet1_0": partial(SqueezeNet, version="1.0"),
    "squeezenet1_1": partial(SqueezeNet, version="1.1"),
    "mobilenet": MobileNet,
    "mobilenet_0.25": partial(MobileNet, width=0.25),
}
