"""Weights from files of other programs, read without running anything that stands in them.

formats.py       tells the formats apart by their first bytes, and reads
torch_file.py    PyTorch's .pt and .pth: the zip format, and the one before it
torch_parts.py   the functions that such a file may ask for: those that make tensors, storages, sizes
pickles.py       the instructions of a pickle that are needed for that, and no others
state.py         which of the tensors in a checkpoint are the weights
archives.py      zip archives, opened with care; NumPy's .npz
tensorflow.py    TensorFlow.js: model.json and its files of numbers
limits.py        how much memory a file may ask for
"""
