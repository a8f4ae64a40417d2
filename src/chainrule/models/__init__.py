"""Floor 6, models: architectures. What enters is a batch of samples, what leaves are the network's outputs (logits).

mlp.py           the multilayer perceptron
lenet.py         LeNet-5: the paper's, and the one of courses
cifar.py         three networks of courses for CIFAR-10
alexnet.py       AlexNet
vgg.py           VGG-11, -13, -16, -19
googlenet.py     GoogLeNet, which is Inception v1
resnet.py        ResNet-18 to -152, and those for CIFAR with 20 to 110 layers
squeezenet.py    SqueezeNet 1.0 and 1.1
mobilenet.py     MobileNet v1
catalogue.py     all of them by name, with sizes and sources
weights.py       weights of a file put into a network, with a report
pretrained.py    networks with the weights that others trained on ImageNet
transfer.py      another head, a frozen body, a network cut in two
features.py      what a frozen body makes of a data set, computed once
_parts.py        what they share: initial values, stems
"""

from chainrule.models.alexnet import AlexNet
from chainrule.models.catalogue import CATALOGUE, Architecture, create, names
from chainrule.models.cifar import CifarM1, CifarM2, CifarM3
from chainrule.models.features import compute_features
from chainrule.models.googlenet import GoogLeNet, GoogLeNetOutputs, auxiliary_cross_entropy
from chainrule.models.lenet import LeNet5, LeNet5Modern
from chainrule.models.mlp import MLP
from chainrule.models.mobilenet import MobileNet
from chainrule.models.pretrained import PRETRAINED, Pretrained, load_pretrained, pretrained
from chainrule.models.resnet import CifarResNet, ResNet
from chainrule.models.squeezenet import SqueezeNet
from chainrule.models.transfer import Resized, freeze_body, replace_head, split
from chainrule.models.vgg import VGG
from chainrule.models.weights import LoadedTensor, WeightsReport, load_weights

__all__ = [
    "CATALOGUE",
    "MLP",
    "PRETRAINED",
    "VGG",
    "AlexNet",
    "Architecture",
    "CifarM1",
    "CifarM2",
    "CifarM3",
    "CifarResNet",
    "GoogLeNet",
    "GoogLeNetOutputs",
    "LeNet5",
    "LeNet5Modern",
    "LoadedTensor",
    "MobileNet",
    "Pretrained",
    "ResNet",
    "Resized",
    "SqueezeNet",
    "WeightsReport",
    "auxiliary_cross_entropy",
    "compute_features",
    "create",
    "freeze_body",
    "load_pretrained",
    "load_weights",
    "names",
    "pretrained",
    "replace_head",
    "split",
]
