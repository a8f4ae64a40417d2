"""Floor 5, data: what enters are files and arrays, what leaves are batches of tensors.

`dataset` says what a data set is, `loader` makes batches in a reproducible order, `split` divides, `transforms` scales;
`mnist`, `sources` and `folder` read data, `idx` is the file format of MNIST.
"""

from __future__ import annotations

from chainrule.data.collate import default_collate
from chainrule.data.dataset import ArrayDataset, Dataset, MapDataset, Subset, check_labels
from chainrule.data.folder import ImageFolder, read_picture
from chainrule.data.idx import read_idx, write_idx
from chainrule.data.loader import DataLoader
from chainrule.data.mnist import mnist
from chainrule.data.sources import TableDataset, from_csv, from_numpy
from chainrule.data.split import split
from chainrule.data.transforms import Standardize, standardization, to_float

__all__ = [
    "ArrayDataset",
    "DataLoader",
    "Dataset",
    "ImageFolder",
    "MapDataset",
    "Standardize",
    "Subset",
    "TableDataset",
    "check_labels",
    "default_collate",
    "from_csv",
    "from_numpy",
    "mnist",
    "read_idx",
    "read_picture",
    "split",
    "standardization",
    "to_float",
    "write_idx",
]
