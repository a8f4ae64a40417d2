"""Transfer learning: a trained network gets a new head, and its body stays as it is or is trained on.

    model = models.pretrained("mobilenet_0.25")
    models.replace_head(model, 10)            # ten classes instead of a thousand, new random weights
    models.freeze_body(model)                 # leave this out to train everything

`split` cuts a network where the head begins: head(body(x)) is model(x). With a frozen body that is never augmented, the
body's output for each picture is always the same, so it can be computed once: see `compute_features`.

The head is what stands in this table; dropout right before the last layer belongs to it.

    ResNet, CifarResNet      fc                        MobileNet     drop, fc
    VGG, AlexNet             last layer of classifier  GoogLeNet     dropout, fc (and both auxiliary classifiers)
    LeNet5                   f6, the codes             SqueezeNet    classifier: dropout, 1x1 convolution, mean
    LeNet5Modern, CifarM1, CifarM2, CifarM3, MLP, any Sequential     the last layer

Source: Yosinski et al., How transferable are features in deep neural networks?, NIPS 2014.
"""

from __future__ import annotations

from typing import Any

from chainrule import nn
from chainrule.core.tensor import Tensor
from chainrule.models import _parts
from chainrule.models.alexnet import AlexNet
from chainrule.models.googlenet import GoogLeNet
from chainrule.models.lenet import Distances, LeNet5, output_codes
from chainrule.models.mlp import MLP
from chainrule.models.mobilenet import MobileNet
from chainrule.models.resnet import CifarResNet, ResNet
from chainrule.models.squeezenet import SqueezeNet
from chainrule.models.vgg import VGG
from chainrule.nn._checks import integer
from chainrule.nn.functional import interpolate

__all__ = ["Resized", "freeze_body", "replace_head", "split"]

_STAGES: dict[type, tuple[str, ...]] = {  # the modules between the features and the logits
    ResNet: ("fc",),
    CifarResNet: ("fc",),
    MobileNet: ("drop", "fc"),
    GoogLeNet: ("dropout", "fc"),
    LeNet5: ("f6", "squash", "output"),
    SqueezeNet: ("classifier",),
    VGG: ("classifier.6",),
    AlexNet: ("classifier.6",),
}
_SMALL_START = (SqueezeNet, MobileNet, GoogLeNet, VGG)  # new weights from N(0, 0.01^2), biases of zero


class Resized(nn.Module):
    """A network behind a bilinear resizing of its pictures: small pictures for a network that learnt on large ones.

    Args:
        network: takes pictures [batch, channels, size, size].
        size: side to which the pictures are resized, >= 1.

    Call:
        x: float tensor [batch, channels, height, width]  ->  what the network gives.

    Raises:
        ValueError: a size below 1.

    Example:
        >>> from chainrule import models
        >>> model = Resized(models.create("mobilenet_0.25", num_classes=10), 64).eval()
        >>> model(cr.zeros((2, 3, 32, 32))).shape
        (2, 10)
    """

    def __init__(self, network: nn.Module, size: int):
        super().__init__()
        self.network = network
        self.size = integer("Resized", "size", size)

    def resized(self, x: Tensor) -> Tensor:
        """Return the pictures as the network gets them, [batch, channels, size, size].

        Args:
            x: [batch, channels, height, width].
        """
        return x if x.shape[2:] == (self.size, self.size) else interpolate(x, size=self.size, mode="bilinear")

    def forward(self, x: Tensor) -> Any:
        """Return what the network gives for the resized pictures."""
        return self.network(self.resized(x))

    def extra_repr(self) -> str:
        """Return the size."""
        return f"size={self.size}"


class _Body(nn.Module):
    """A network up to its head."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return the features."""
        return self.network.forward_features(x)


# ------------------------------------------------------------------------------------------------ the head
def _last_layers(model: nn.Module) -> list[str]:
    """Return the paths of the layers with one output per class."""
    if isinstance(model, GoogLeNet):
        extra = [f"{name}.fc2" for name in ("aux1", "aux2") if model._modules.get(name) is not None]
        return ["fc", *extra]
    if isinstance(model, SqueezeNet):
        return ["classifier.1"]
    stage = _stage_of(model)
    return [stage[-1]] if stage else []


def _stage_of(model: nn.Module) -> tuple[str, ...]:
    """Return the paths of the head's modules, in order; empty where they are not known."""
    for kind, paths in _STAGES.items():
        if isinstance(model, kind):
            return paths
    if isinstance(model, nn.Sequential) and len(model):
        names = list(model._modules)
        first = len(names) - 1
        while first and isinstance(model._modules[names[first - 1]], nn.Dropout):
            first -= 1
        return tuple(names[first:])
    return ()


def replace_head(model: nn.Module, num_classes: int, head: str | None = None) -> nn.Module:
    """Give a network another number of classes: its last layer is made anew, with random weights; all else stays.

    Make the optimizer after this: it must hold the new layer's parameters.

    Args:
        model: a network of `models`, a Sequential whose last layer is linear, or any module with `head`.
        num_classes: outputs, >= 1.
        head: path of the layer with one output per class, like "decoder.out", for networks of your own; default: the
            one that is known, of a GoogLeNet also those of the auxiliary classifiers.

    Returns:
        The same network.

    Raises:
        ValueError: a number below 1.
        TypeError: it is not known which layer that is, or it is neither linear nor a convolution.
        AttributeError: `head` names no module.

    Example:
        >>> from chainrule import models
        >>> model = models.create("resnet20")
        >>> replace_head(model, 7) is model, model.fc
        (True, Linear(64, 7))
    """
    integer("replace_head", "num_classes", num_classes)
    if isinstance(model, Resized) and head is None:
        replace_head(model.network, num_classes)
        return model
    paths = [head] if head is not None else _last_layers(model)
    if not paths:
        raise TypeError(
            f"replace_head does not know the last layer of {type(model).__name__}; "
            'pass its path as head=, such as head="decoder.out".'
        )
    layers = [(path, _with_classes(model, path, num_classes)) for path in paths]
    for path, layer in layers:
        outer, _, name = path.rpartition(".")
        model.get_submodule(outer).add_module(name, layer)
    if isinstance(model, LeNet5):  # what F6 learnt were the drawings of the old classes
        model.f6.reset_parameters()
    for name in ("num_classes", "sizes"):
        if name in model.__dict__ and head is None:
            sizes = (*model.sizes[:-1], num_classes) if name == "sizes" else num_classes
            setattr(model, name, sizes)
    return model


def _with_classes(model: nn.Module, path: str, classes: int) -> nn.Module:
    """Return a new layer like the one at a path, with another number of outputs, in the same mode and dtype."""
    old = model.get_submodule(path)
    if isinstance(model, LeNet5):
        return Distances(output_codes(classes)).train(old.training)
    if isinstance(old, nn.Linear):
        new: nn.Module = type(old)(old.in_features, classes, bias=old.bias is not None)
    elif isinstance(old, nn.Conv2d):
        new = nn.Conv2d(
            old.in_channels, classes, old.kernel_size, old.stride, old.padding, old.dilation, 1, old.bias is not None,
            old.padding_mode,
        )  # fmt: skip
    else:
        raise TypeError(
            f"replace_head: {path} of {type(model).__name__} is {type(old).__name__}; the last layer must be nn.Linear "
            "or nn.Conv2d. Pass the path of that layer as head=."
        )
    if isinstance(model, _SMALL_START):
        _parts.normal_(new.weight, 0.01)
        if new.bias is not None:
            nn.init.zeros_(new.bias)
    return new.to(old.weight.dtype).train(old.training)


# ------------------------------------------------------------------------------------------------ freezing
def freeze_body(model: nn.Module) -> nn.Module:
    """Freeze everything but the head: only the head learns, and the body computes as in eval mode.

    The body's parameters need no gradient (none is computed, and no optimizer moves them). The body also stays in eval
    mode whatever `train()` says: batch norm uses the averages of the pictures that it was trained on and does not move
    them, dropout does nothing. `model.unfreeze()` undoes all of it. A GoogLeNet gives no auxiliary logits then.

    Args:
        model: a network of `models`, or a Sequential.

    Returns:
        The same network.

    Raises:
        TypeError: it is not known which part is the head.

    Example:
        >>> from chainrule import models
        >>> model = freeze_body(models.create("mobilenet_0.25", num_classes=10))
        >>> [name for name, p in model.named_parameters() if p.requires_grad]
        ['fc.weight', 'fc.bias']
        >>> model.train().conv1.bn.training, model.drop.training
        (False, True)
    """
    network = model.network if isinstance(model, Resized) else model
    stage = [network.get_submodule(path) for path in _known_stage(network, "freeze_body")]
    training = model.training
    model.freeze(keep_eval=True)
    learning = {id(part) for top in stage for part in top.modules()}
    for part in model.modules():
        around = any(id(inner) in learning for inner in part.modules())
        if around and not isinstance(part, GoogLeNet):  # in train mode it would compute its auxiliary classifiers
            part.__dict__["_held"] = False
    for part in stage:
        part.requires_grad_(True)
    return model.train(training)


def _known_stage(network: nn.Module, caller: str) -> tuple[str, ...]:
    stage = _stage_of(network)
    if not stage:
        raise TypeError(
            f"{caller} does not know the head of {type(network).__name__}; it knows the networks of chainrule.models "
            "and nn.Sequential. Freeze parts of your own with part.freeze(keep_eval=True)."
        )
    return stage


def split(model: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Cut a network in two that share its layers: in eval mode head(body(x)) is model(x).

    Args:
        model: a network of `models`, or a Sequential.

    Returns:
        The body, from pictures to features, and the head, from features to logits [batch, classes].

    Raises:
        TypeError: it is not known which part is the head.

    Example:
        >>> from chainrule import models
        >>> body, head = split(models.create("resnet20", num_classes=7).eval())
        >>> features = body(cr.zeros((2, 3, 32, 32)))
        >>> features.shape, head(features).shape
        ((2, 64), (2, 7))
    """
    network = model.network if isinstance(model, Resized) else model
    stage = _known_stage(network, "split")
    parts = [network.get_submodule(path) for path in stage]
    if isinstance(network, nn.Sequential):
        before = list(network)[: -len(parts)]
        body: nn.Module = nn.Sequential(*([nn.Flatten()] if isinstance(network, MLP) else []), *before)
    else:
        body = _Body(network)
    if isinstance(model, Resized):
        body = Resized(body, model.size)
    head = nn.Sequential(*parts, *([nn.Flatten()] if isinstance(network, SqueezeNet) else []))
    for part in (body, head):
        part.training = model.training
    return body, head
