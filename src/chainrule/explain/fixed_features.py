"""Are designed kernels good features? Three networks with one kind of head, trained alike on MNIST.

    pixels      28 x 28                                                 -> 784 -> head
    fixed       9 kernels of 3 x 3 that people designed, relu, pool     -> 441 -> head
    learned     9 kernels of 3 x 3 that are trained, relu, pool         -> 441 -> head
    head        Linear to 64, relu, Linear to 10

The designed ones: a Gaussian, Sobel's derivatives to the right, to the left, down and up (behind a relu each side of an
edge needs a kernel), and the line detectors in four directions; each scaled to length 1. Everything else is equal:
epochs, batches and their order, optimizer, learning rate, and the seed of the first weights.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule import data, nn, optim
from chainrule.core.dtypes import float32
from chainrule.core.errors import ShapeError
from chainrule.core.tensor import Tensor
from chainrule.explain import kernels
from chainrule.metrics import Accuracy
from chainrule.nn import functional
from chainrule.nn._checks import integer
from chainrule.ops import asarray, expand_dims, relu
from chainrule.ops.random import manual_seed

if TYPE_CHECKING:
    from chainrule.data import ArrayDataset

__all__ = ["BANK", "FeatureResult", "FixedFeatures", "compare_features", "feature_networks", "result_table"]

BANK: dict[str, NDArray[np.float64]] = {
    "gaussian": kernels.gaussian(0.85, 3),
    "sobel right": kernels.sobel("x"),
    "sobel left": -kernels.sobel("x"),
    "sobel down": kernels.sobel("y"),
    "sobel up": -kernels.sobel("y"),
    **{f"line {name}": kernels.line(name) for name in kernels.LINES},
}
HIDDEN, POOL = 64, 4
BATCH, RATE, EVALUATION_BATCH = 64, 0.001, 1000


class FixedFeatures(nn.Module):
    """Filter grey pictures with kernels that are not trained, then relu and max-pooling.

        y[c] = max_pool(relu(k[c] * x)),   k[c] = kernel[c] / |kernel[c]|

    Args:
        bank: kernels [height, width] of one odd size; default the nine of `BANK`.
        pool: window and step of the pooling in pixels, >= 1; default 4.

    Call:
        x: float32 [batch, 1, height, width]  ->  float32 [batch, kernels, height // pool, width // pool].

    Raises:
        ValueError: pool is not an int >= 1.
        ShapeError: kernels of several sizes, or of an even one.

    Example:
        >>> import chainrule as cr
        >>> features = FixedFeatures()
        >>> features(cr.zeros((2, 1, 28, 28))).shape, len(list(features.parameters()))
        ((2, 9, 7, 7), 0)
    """

    def __init__(self, bank: Sequence[Any] | None = None, pool: int = POOL):
        super().__init__()
        chosen = [np.asarray(kernel, np.float64) for kernel in (BANK.values() if bank is None else bank)]
        sizes = {kernel.shape for kernel in chosen}
        if len(sizes) != 1 or any(len(size) != 2 or not size[0] % 2 or not size[1] % 2 for size in sizes):
            raise ShapeError(
                f"FixedFeatures takes kernels [height, width] of one odd size; got {sorted(sizes)}: pad with zeros."
            )
        self.pooling = nn.MaxPool2d(integer("FixedFeatures", "pool", pool))
        scaled = np.stack([kernel / (np.linalg.norm(kernel) or 1.0) for kernel in chosen])
        self.register_buffer("weight", asarray(scaled[:, None].astype(np.float32)))  # [kernels, 1, height, width]

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features."""
        padding = tuple(size // 2 for size in self.weight.shape[2:])
        return self.pooling(relu(functional.conv2d(x, self.weight, padding=padding)))


@dataclass(frozen=True)
class FeatureResult:
    """How one network of the comparison did.

    Args:
        name: "pixels", "fixed" or "learned".
        parameters: numbers that are trained.
        accuracies: on the test set after each epoch, from 0 to 1.
        seconds: of training, with the compilation.
        model: the trained network.

    Example:
        >>> FeatureResult("pixels", 50890, (0.9, 0.95), 3.5).accuracy
        0.95
    """

    name: str
    parameters: int
    accuracies: tuple[float, ...]
    seconds: float
    model: nn.Sequential | None = field(default=None, repr=False)

    @property
    def accuracy(self) -> float:
        """The accuracy after the last epoch."""
        return self.accuracies[-1]


def feature_networks(seed: int = 0, size: int = 28, classes: int = 10) -> dict[str, nn.Sequential]:
    """Return the three networks with their first weights.

    Args:
        seed: of the first weights; default 0.
        size: height and width of the pictures in pixels, at least 4; default 28.
        classes: outputs, >= 1; default 10.

    Returns:
        name -> network of float32 [batch, 1, size, size]  ->  logits [batch, classes].

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> networks = feature_networks()
        >>> {name: sum(p.size for p in network.parameters()) for name, network in networks.items()}
        {'pixels': 50890, 'fixed': 28938, 'learned': 29028}
    """
    size, classes = integer("feature_networks", "size", size, POOL), integer("feature_networks", "classes", classes)
    pooled = len(BANK) * (size // POOL) ** 2
    networks = {}
    for name in ("pixels", "fixed", "learned"):
        manual_seed(seed)
        front = _front(name)
        inputs = pooled if front else size**2
        head = [nn.Flatten(), nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes)]
        networks[name] = nn.Sequential(*front, *head)
    return networks


def compare_features(
    train: ArrayDataset | None = None,
    test: ArrayDataset | None = None,
    *,
    epochs: int = 5,
    seed: int = 0,
    compiled: bool = True,
) -> list[FeatureResult]:
    """Train the three networks alike and measure them after each epoch.

    Adam with lr 0.001, batches of 64, pixels from 0 to 1, cross-entropy.

    Args:
        train: grey pictures uint8 [n, size, size] with labels, to learn from; default the 60,000 of MNIST.
        test: the same, to measure on; default the 10,000 of MNIST.
        epochs: passes over `train`, >= 1; default 5, about a minute in all.
        seed: of the first weights and of the order of the batches; default 0.
        compiled: run the steps through `cr.jit`; default True.

    Returns:
        Three results: pixels, fixed, learned.

    Raises:
        ValueError: epochs is not an int >= 1.

    Example:
        >>> few = data.ArrayDataset(np.eye(8, dtype=np.uint8)[None].repeat(4, 0), np.array([0, 1, 0, 1]))
        >>> [result.name for result in compare_features(few, few, epochs=1, compiled=False)]
        ['pixels', 'fixed', 'learned']
    """
    epochs = integer("compare_features", "epochs", epochs)
    train = data.mnist("train") if train is None else train
    test = data.mnist("test") if test is None else test
    size, classes = train.arrays[0].shape[-1], int(max(train.arrays[1].max(), test.arrays[1].max())) + 1
    networks = feature_networks(seed, size, classes)
    return [_trained(name, model, train, test, epochs, seed, compiled) for name, model in networks.items()]


def result_table(results: Sequence[FeatureResult]) -> str:
    """Return the results as a table in plain text.

    Args:
        results: what `compare_features` returned.

    Returns:
        A line per network: features, parameters, accuracy in per cent, seconds.

    Example:
        >>> print(result_table([FeatureResult("pixels", 50890, (0.9, 0.951), 3.5)]))
        features  parameters  accuracy  seconds
        pixels        50,890   95.10 %      3.5
    """
    head = f"{'features':8}  {'parameters':>10}  {'accuracy':>8}  {'seconds':>7}"
    lines = [f"{r.name:8}  {r.parameters:10,}  {100 * r.accuracy:6.2f} %  {r.seconds:7.1f}" for r in results]
    return "\n".join([head, *lines])


def _front(name: str) -> list[nn.Module]:
    """Return the layers between the picture and the head."""
    if name == "fixed":
        return [FixedFeatures()]
    return [nn.Conv2d(1, len(BANK), 3, padding=1), nn.ReLU(), nn.MaxPool2d(POOL)] if name == "learned" else []


def _trained(
    name: str, model: nn.Sequential, train: ArrayDataset, test: ArrayDataset, epochs: int, seed: int, compiled: bool
) -> FeatureResult:
    from chainrule.train import Trainer

    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optim.Adam(model.parameters(), lr=RATE),
        metrics={"accuracy": Accuracy()},
        compiled=compiled,
        transform=_from_bytes,
    )
    begin = time.perf_counter()
    history = trainer.fit(
        data.DataLoader(train, batch_size=BATCH, shuffle=True, seed=seed),
        epochs,
        {"test": data.DataLoader(test, batch_size=EVALUATION_BATCH)},
    )
    seconds = time.perf_counter() - begin
    accuracies = tuple(float(record["test_accuracy"]) for record in history)
    model.eval()
    return FeatureResult(name, sum(p.size for p in model.parameters()), accuracies, seconds, model)


def _from_bytes(x: Tensor) -> Tensor:
    """Return pictures uint8 [batch, height, width] as floats [batch, 1, height, width] from 0 to 1."""
    return expand_dims(x.astype(float32), axis=1) / 255
