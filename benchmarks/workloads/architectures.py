"""Every architecture of `chainrule.models`: a training step, and inference at batch 1 (`_infer`), on real pictures.

    lenet5 ...            28x28 digits, batch 32
    alexnet ...           32x32 pictures of CIFAR-10, batch 32, ten classes, stem="cifar": 3x3 with stride 1
    alexnet_224 ...       the same pictures, each pixel seven times in each direction, batch 8, a thousand classes

The layers stand in the docstrings of `chainrule.models`, with the sizes of the maps for both forms. chainrule runs the
library's own network, PyTorch its twin of `benchmarks.twins`, from the same weights, with SGD with momentum on
cross-entropy; GoogLeNet adds both auxiliary losses at 0.3. There is no dropout, so that the losses of the first steps
can be compared before anything is timed. Step sizes are small: float32's gradients of ResNet-110 are off by 1 % in both
libraries, and with larger steps the losses soon tell of nothing but rounding.

`--only architectures` runs all that the group has, `--only variants` the forms that differ little from one of them.
`resnet18` has a file of its own, with the networks of JAX and tinygrad.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks.workload import Goal, Layer, Workload

__all__ = ["GOAL", "WORKLOADS", "network"]

GOAL = Goal(1.0, 1.15)  # of each; the aim is the floor of the geometric mean

# parameters; multiply-adds per picture in train mode, of the first convolution and of all other layers
SMALL = {
    "lenet5": (60_000, 117_600, 208_080),  # C3 with its 60 connections, not 96
    "lenet5_modern": (61_706, 117_600, 298_920),
    "alexnet": (28_711_754, 1_769_472, 200_142_848),
    "vgg11": (9_750_922, 1_769_472, 151_524_352),
    "vgg13": (9_935_434, 1_769_472, 227_021_824),
    "vgg16": (15_245_130, 1_769_472, 311_956_480),
    "vgg19": (20_554_826, 1_769_472, 396_891_136),
    "vgg11_bn": (9_756_426, 1_769_472, 151_524_352),
    "vgg13_bn": (9_941_322, 1_769_472, 227_021_824),
    "vgg16_bn": (15_253_578, 1_769_472, 311_956_480),
    "vgg19_bn": (20_565_834, 1_769_472, 396_891_136),
    "googlenet": (9_952_958, 1_769_472, 456_751_104),
    "resnet34": (21_282_122, 1_769_472, 1_157_633_024),
    "resnet50": (23_520_842, 1_769_472, 1_296_060_416),
    "resnet101": (42_512_970, 1_769_472, 2_508_214_272),
    "resnet152": (58_156_618, 1_769_472, 3_720_368_128),
    "resnet20": (269_722, 442_368, 40_108_672),
    "resnet56": (853_018, 442_368, 125_043_328),
    "resnet110": (1_727_962, 442_368, 252_445_312),
    "squeezenet1_0": (729_034, 2_654_208, 199_557_120),
    "squeezenet1_1": (727_626, 1_769_472, 86_966_272),
    "mobilenet": (3_217_226, 884_736, 174_671_872),
}
LARGE = {
    "alexnet": (61_100_840, 70_276_800, 643_911_680),
    "vgg16": (138_357_544, 86_704_128, 15_383_560_192),
    "googlenet": (13_004_888, 118_013_952, 1_388_734_464),
    "resnet50": (25_557_032, 118_013_952, 3_971_170_304),
    "mobilenet": (4_231_976, 10_838_016, 557_902_336),
}
VARIANTS = {
    "alexnet_paper": (28_565_386, 2_654_208, 192_917_504),
    "googlenet_paper": (10_326_350, 1_769_472, 484_276_224),
    "resnet32": (464_154, 442_368, 68_420_224),
    "resnet44": (658_586, 442_368, 96_731_776),
    "mobilenet_0.25": (215_642, 221_184, 11_817_472),
}

PLAIN = ("lenet", "alexnet", "vgg", "squeezenet")  # small gradients at the start: larger steps


def network(name: str, classes: int, small: bool) -> Callable[[Any, bool], Any]:
    """Return (nn, dropout) -> network: chainrule's own, or PyTorch's twin of it; without dropout in any case.

    Args:
        name: of the architecture.
        classes: outputs.
        small: the form for 32x32 pictures, where the architecture has two.
    """

    def make(nn: Any, dropout: bool) -> Any:
        if nn.__name__ == "torch.nn":
            from benchmarks.twins import TWINS

            return TWINS[name](classes, small)
        from chainrule import models

        known = inspect.signature(models.CATALOGUE[name].make).parameters
        settings = {key: 0.0 for key in ("dropout", "dropout_aux") if key in known}
        settings |= {"stem": "cifar" if small else "imagenet"} if "stem" in known else {}
        return models.create(name, num_classes=classes, **settings)

    return make


def _auxiliary(classes: int) -> int:
    """Return the multiply-adds per picture of GoogLeNet's auxiliary classifiers, which inference leaves out."""
    return 16 * 128 * (512 + 528) + 2 * 1024 * (2048 + classes)


def _pair(name: str, counts: tuple[int, int, int], small: bool, group: str) -> tuple[Workload, Workload]:
    """Return the training step of an architecture and its inference."""
    parameters, first, others = counts
    digits, google, classes = name.startswith("lenet"), name.startswith("googlenet"), 10 if small else 1000

    def layers(rest: int) -> tuple[Layer, ...]:
        return (Layer("first", {}, first), Layer("others", {}, rest))

    training = Workload(
        name if small else f"{name}_224", layers(others), parameters, network(name, classes, small), None, None,
        data="mnist" if digits else "cifar10", side=28 if digits else 32 if small else 224, batch=32 if small else 8,
        settings={"lr": 1e-4 if name.startswith(PLAIN) else 1e-5, "momentum": 0.9},
        loss="auxiliary" if google else "cross_entropy", convolutional=True, group=group, goal=GOAL,
    )  # fmt: skip
    forward = layers(others - _auxiliary(classes) if google else others)
    return training, replace(training, name=f"{training.name}_infer", layers=forward, batch=1, optimizer=None)


TABLES = ((SMALL, True, "architectures"), (LARGE, False, "architectures"), (VARIANTS, True, "variants"))
WORKLOADS = tuple(
    workload
    for rows, small, group in TABLES
    for name, counts in rows.items()
    for workload in _pair(name, counts, small, group)
)
