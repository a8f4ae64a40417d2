"""The main job as a PyTorch script: 784-64-32-10 on MNIST for 12 epochs, and its accuracy on the test digits.

Usage: python benchmarks/mnist_pytorch.py DIGITS.npz [THREADS] [SEED]      prints JSON: seconds of training, accuracy

Settings are those of `chainrule train mnist-mlp`: SGD, batch 64, learning rate 0.01, standardised pixels. The data are
in memory as float32, batches are chosen by one index, and the optimizer is fused: what a PyTorch user can do for speed
without compiling. DIGITS.npz has `images`, `labels`, `test_images`, `test_labels`.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch
from torch import nn

EPOCHS, BATCH, RATE = 12, 64, 0.01


def main() -> None:
    """Train, evaluate, print."""
    path, threads, seed = sys.argv[1], *(int(text) for text in (*sys.argv[2:], "0", "0")[:2])
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(seed)
    with np.load(path) as file:
        images, labels = file["images"].reshape(-1, 784), torch.from_numpy(file["labels"].astype(np.int64))
        test_images, test_labels = file["test_images"].reshape(-1, 784), torch.from_numpy(file["test_labels"])
    mean, std = float(images.mean()), float(images.std())
    x, test_x = ((torch.from_numpy(pixels).float() - mean) / std for pixels in (images, test_images))
    model = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, fused=True)
    start = time.perf_counter()
    for _ in range(EPOCHS):
        order = torch.randperm(len(x))
        for begin in range(0, len(x), BATCH):
            chosen = order[begin : begin + BATCH]
            loss = nn.functional.cross_entropy(model(x[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    seconds = time.perf_counter() - start
    with torch.inference_mode():
        accuracy = (model(test_x).argmax(1) == test_labels).float().mean().item()
    print(json.dumps({"train_seconds": seconds, "accuracy": accuracy}))


if __name__ == "__main__":
    main()
