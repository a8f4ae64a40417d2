"""Floor 5, data: what enters are files and arrays, what leaves are batches of tensors.

`dataset` says what a data set is, `loader` makes batches in a reproducible order, `split` divides, `transforms` scales,
`augment` changes pictures at random (`geometry`, `colour`, `mixing`; the numbers come from `keyed`); `mnist`, `cifar`,
`image_files`, `sources` and `folder` read data, `idx` is the file format of MNIST, `cifar_files` those of CIFAR-10.
"""

from __future__ import annotations

from chainrule.data.augment import Augment, Transform, numbered
from chainrule.data.cifar import CIFAR10_MEAN, CIFAR10_STD, cifar10
from chainrule.data.collate import default_collate
from chainrule.data.colour import Cutout, GaussianNoise, Normalize, RandomBrightness, RandomContrast
from chainrule.data.dataset import ArrayDataset, Dataset, MapDataset, Subset, check_labels
from chainrule.data.folder import ImageFolder, read_picture
from chainrule.data.geometry import (
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    RandomShift,
    RandomVerticalFlip,
    RandomZoom,
)
from chainrule.data.idx import read_idx, write_idx
from chainrule.data.image_files import image_folder
from chainrule.data.loader import DataLoader
from chainrule.data.mixing import CutMix, MixUp
from chainrule.data.mnist import mnist
from chainrule.data.sources import TableDataset, from_csv, from_numpy
from chainrule.data.split import split
from chainrule.data.transforms import Standardize, standardization, to_float

__all__ = [
    "ArrayDataset",
    "Augment",
    "CutMix",
    "CIFAR10_MEAN",
    "CIFAR10_STD",
    "Cutout",
    "DataLoader",
    "Dataset",
    "GaussianNoise",
    "ImageFolder",
    "MapDataset",
    "MixUp",
    "Normalize",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomRotation",
    "RandomShift",
    "RandomVerticalFlip",
    "RandomZoom",
    "Standardize",
    "Subset",
    "TableDataset",
    "check_labels",
    "cifar10",
    "default_collate",
    "from_csv",
    "from_numpy",
    "image_folder",
    "mnist",
    "numbered",
    "read_idx",
    "read_picture",
    "split",
    "standardization",
    "to_float",
    "write_idx",
    "Transform",
]
