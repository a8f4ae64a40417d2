"""The list of architectures by name: how each is made, its published size, its source.

    create("resnet18", num_classes=10, stem="cifar")     is     ResNet(18, num_classes=10, stem="cifar")

`CATALOGUE` is the list itself; docs/models.md is written from it, and the tests count the parameters of every row.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

from chainrule.core.errors import nearest
from chainrule.models.alexnet import AlexNet
from chainrule.models.cifar import CifarM1, CifarM2, CifarM3
from chainrule.models.googlenet import GoogLeNet
from chainrule.models.lenet import LeNet5, LeNet5Modern
from chainrule.models.mobilenet import MobileNet
from chainrule.models.resnet import CifarResNet, ResNet
from chainrule.models.squeezenet import SqueezeNet
from chainrule.models.vgg import VGG
from chainrule.nn.module import Module

__all__ = ["CATALOGUE", "Architecture", "create", "names"]


@dataclass(frozen=True)
class Architecture:
    """One row of the list.

    Attributes:
        name: what `create` takes.
        make: the class.
        settings: arguments that make this architecture of the class.
        input_shape: of one picture, [channels, height, width].
        parameters: number of trained parameters with the default settings.
        cifar_parameters: the same with ten classes and stem="cifar", or None where there is one form only.
        source: the paper.

    Example:
        >>> CATALOGUE["resnet50"].parameters
        25557032
    """

    name: str
    make: type[Module]
    settings: dict[str, Any] = field(default_factory=dict)
    input_shape: tuple[int, int, int] = (3, 224, 224)
    parameters: int = 0
    cifar_parameters: int | None = None
    source: str = ""


def _rows() -> list[Architecture]:
    row, small = Architecture, (3, 32, 32)
    lecun, he = "LeCun et al., Proc. IEEE 86 (1998)", "He et al., CVPR 2016"
    vgg, squeeze, mobile = "Simonyan and Zisserman, ICLR 2015", "Iandola et al., 2016", "Howard et al., 2017"
    return [
        row("lenet5", LeNet5, {}, (1, 28, 28), 60_000, None, f"{lecun}, in all parts"),
        row("lenet5_modern", LeNet5Modern, {}, (1, 28, 28), 61_706, None, f"{lecun}, as courses have it"),
        row("cifar_m1", CifarM1, {}, small, 3_426_250, None, "multilayer perceptron of courses"),
        row("cifar_m2", CifarM2, {}, small, 62_006, None, 'PyTorch\'s tutorial "Training a Classifier"'),
        row("cifar_m3", CifarM3, {}, small, 5_852_170, None, "VGG-like network of courses"),
        row("alexnet", AlexNet, {}, (3, 224, 224), 61_100_840, 28_711_754, "Krizhevsky, 2014"),
        row("alexnet_paper", AlexNet, {"variant": "paper"}, (3, 224, 224), 60_965_224, 28_565_386,
            "Krizhevsky et al., NIPS 2012"),
        row("vgg11", VGG, {"depth": 11}, (3, 224, 224), 132_863_336, 9_750_922, vgg),
        row("vgg13", VGG, {"depth": 13}, (3, 224, 224), 133_047_848, 9_935_434, vgg),
        row("vgg16", VGG, {"depth": 16}, (3, 224, 224), 138_357_544, 15_245_130, vgg),
        row("vgg19", VGG, {"depth": 19}, (3, 224, 224), 143_667_240, 20_554_826, vgg),
        row("vgg11_bn", VGG, {"depth": 11, "batch_norm": True}, (3, 224, 224), 132_868_840, 9_756_426, vgg),
        row("vgg13_bn", VGG, {"depth": 13, "batch_norm": True}, (3, 224, 224), 133_053_736, 9_941_322, vgg),
        row("vgg16_bn", VGG, {"depth": 16, "batch_norm": True}, (3, 224, 224), 138_365_992, 15_253_578, vgg),
        row("vgg19_bn", VGG, {"depth": 19, "batch_norm": True}, (3, 224, 224), 143_678_248, 20_565_834, vgg),
        row("googlenet", GoogLeNet, {}, (3, 224, 224), 13_004_888, 9_952_958, "Szegedy et al., CVPR 2015"),
        row("googlenet_paper", GoogLeNet, {"variant": "paper"}, (3, 224, 224), 13_378_280, 10_326_350,
            "Szegedy et al., CVPR 2015, without batch norm"),
        row("resnet18", ResNet, {"depth": 18}, (3, 224, 224), 11_689_512, 11_173_962, he),
        row("resnet34", ResNet, {"depth": 34}, (3, 224, 224), 21_797_672, 21_282_122, he),
        row("resnet50", ResNet, {"depth": 50}, (3, 224, 224), 25_557_032, 23_520_842, he),
        row("resnet101", ResNet, {"depth": 101}, (3, 224, 224), 44_549_160, 42_512_970, he),
        row("resnet152", ResNet, {"depth": 152}, (3, 224, 224), 60_192_808, 58_156_618, he),
        row("resnet20", CifarResNet, {"depth": 20}, small, 269_722, None, f"{he}, section 4.2"),
        row("resnet32", CifarResNet, {"depth": 32}, small, 464_154, None, f"{he}, section 4.2"),
        row("resnet44", CifarResNet, {"depth": 44}, small, 658_586, None, f"{he}, section 4.2"),
        row("resnet56", CifarResNet, {"depth": 56}, small, 853_018, None, f"{he}, section 4.2"),
        row("resnet110", CifarResNet, {"depth": 110}, small, 1_727_962, None, f"{he}, section 4.2"),
        row("squeezenet1_0", SqueezeNet, {"version": "1.0"}, (3, 224, 224), 1_248_424, 729_034, squeeze),
        row("squeezenet1_1", SqueezeNet, {"version": "1.1"}, (3, 224, 224), 1_235_496, 727_626, squeeze),
        row("mobilenet", MobileNet, {}, (3, 224, 224), 4_231_976, 3_217_226, mobile),
        row("mobilenet_0.25", MobileNet, {"width": 0.25}, (3, 224, 224), 470_072, 215_642, mobile),
    ]  # fmt: skip


CATALOGUE = {row.name: row for row in _rows()}


def names() -> tuple[str, ...]:
    """Return the names that `create` takes.

    Example:
        >>> names()[:3]
        ('lenet5', 'lenet5_modern', 'cifar_m1')
    """
    return tuple(CATALOGUE)


def create(name: str, **settings: Any) -> Module:
    """Return a new network by its name, with initial values from the default generator.

    Args:
        name: one of `names()`, such as "resnet18", "vgg16_bn" or "squeezenet1_1".
        **settings: arguments of its class, such as num_classes, in_channels, stem or dropout.

    Returns:
        The network, in train mode.

    Raises:
        ValueError: no such name, or a setting outside its range.
        TypeError: a setting that the architecture does not have.

    Example:
        >>> model = create("resnet20", num_classes=5).eval()
        >>> model(cr.zeros((1, 3, 32, 32))).shape
        (1, 5)
    """
    if name not in CATALOGUE:
        hint = nearest(name, CATALOGUE) if isinstance(name, str) else ""
        hint = hint or f"; there are {', '.join(CATALOGUE)}."
        raise ValueError(f"models.create has no architecture {name!r}{hint}")
    row = CATALOGUE[name]
    known = [key for key in inspect.signature(row.make).parameters if key not in row.settings]
    for key in settings:
        if key not in known:
            hint = nearest(key, known) or f"; it has {', '.join(known)}."
            raise TypeError(f"{name} has no setting {key!r}{hint}")
    return row.make(**row.settings, **settings)
