"""A recipe trained in chainrule and in PyTorch on the same batches, in float64: what is left between them is rounding.

Usage: python benchmarks/same_training.py RECIPE [--seed 0] [--epochs N] [--steps N] [--set KEY=VALUE ...] [--threads N]

Accuracies in float32 differ from run to run and from library to library, because rounding decides where a training
ends. Here it hardly can: the weights after each epoch are compared, and the answers on the test set. The chainrule side
is the compiled step of `chainrule train`, the PyTorch side that of `accuracy_pictures.py`, run eagerly. chainrule draws
the order of the samples and their changes for both; dropout is off.
"""

from __future__ import annotations

import argparse
import math
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from benchmarks.measure import thread_counts

ANSWERED = 500  # test pictures in one call


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the settings of the command line."""
    parser = argparse.ArgumentParser(
        prog="same_training.py", description="Train a recipe in float64 on the same batches in both libraries."
    )
    parser.add_argument("recipe", help="name of a recipe, or a TOML file")
    parser.add_argument("--seed", type=int, default=0, help="instead of the recipe's train.seed; default 0")
    parser.add_argument("--epochs", type=int, help="stop after so many; the schedule stays the recipe's")
    parser.add_argument("--steps", type=int, help="stop after so many; the schedule stays the recipe's")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes", help="change a key of the recipe"
    )
    parser.add_argument("--threads", type=int, default=0, help="CPUs of each library; default all")
    return parser.parse_args(arguments)


class Pair:
    """A recipe's network in both libraries, in float64, without dropout and with the same weights.

    Args:
        name: of the recipe, or its file.
        changes: "KEY=VALUE" each.
        seed: of weights, order and changes to pictures.

    Raises:
        pictures_pytorch.Unsupported: the recipe has a part that is not rebuilt in PyTorch.
    """

    def __init__(self, name: str, changes: Sequence[str], seed: int):
        import numpy as np
        import torch

        from benchmarks import pictures_pytorch
        from chainrule import jit, nn, recipes
        from chainrule.ops.random import manual_seed
        from chainrule.recipes import build

        fixed = [f"train.seed={seed}", "train.precision=float32", "data.augment_in=loader"]
        self.recipe = recipes.load(name, [*changes, *fixed])
        self.data = build.load_data(self.recipe)
        self.mean, self.std = (
            np.asarray(value, np.float64).reshape(-1, 1, 1) for value in (self.data.scale.mean, self.data.scale.std)
        )
        manual_seed(seed)
        self.model = build.make_model(self.recipe).astype("float64")
        for module in self.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # each library draws numbers of its own
        self.trainer, self.loader = build.make_trainer(self.recipe, self.model, self.data)
        self.trainer.steps.transform = None  # it gets inputs in float64 instead of pixels
        self.answer = jit(self.model)
        self.theirs = pictures_pytorch.Training(
            self.recipe, self.model, len(self.data.classes), len(self.loader), torch.device("cpu"),
            torch.contiguous_format,
        )  # fmt: skip

    def updates(self) -> Iterator[tuple[float, float]]:
        """Do the updates of one epoch; yield the loss of each, in chainrule and in PyTorch."""
        import torch

        from chainrule import asarray

        self.model.train()
        for pixels, labels in self.loader:
            x = self.inputs(pixels.numpy())
            [loss, *_] = self.trainer.steps.train(asarray(x), labels)
            yield loss.item(), self.theirs.update(torch.from_numpy(x), torch.tensor(labels.tolist())).item()

    def inputs(self, pixels: Any) -> Any:
        """Return what the networks get for raw pictures [n, (channels,) height, width], 0 to 255."""
        if pixels.ndim == 3:
            pixels = pixels[:, None]
        return (pixels - self.mean) / self.std

    def apart(self) -> float:
        """Return the largest distance between two parameters of the same name, relative to the norm."""
        import numpy as np

        theirs = {name: value.numpy(force=True) for name, value in self.theirs.model.named_parameters()}
        pairs = [(value.numpy(), theirs[name]) for name, value in self.model.named_parameters()]
        return float(max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs))

    def answers(self) -> tuple[int, int, int, int]:
        """Return the counts of test pictures: right in chainrule, right in PyTorch, same answers, all."""
        import numpy as np
        import torch

        from chainrule import asarray
        from chainrule.recipes import build

        images, labels, _ = build.load_split(self.recipe, "test")
        ours, theirs = [], []
        self.model.eval()
        self.theirs.model.eval()
        for begin in range(0, len(images), ANSWERED):
            x = self.inputs(images[begin : begin + ANSWERED])
            ours.append(self.answer(asarray(x)).numpy().argmax(1))
            with torch.inference_mode():
                theirs.append(self.theirs.model(torch.from_numpy(x)).numpy().argmax(1))
        self.theirs.model.train()
        a, b = np.concatenate(ours), np.concatenate(theirs)
        return int((a == labels).sum()), int((b == labels).sum()), int((a == b).sum()), len(labels)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line per epoch; return the exit code."""
    options = parse(arguments)
    if options.threads:
        os.environ.update(thread_counts(options.threads))
    from chainrule.core.errors import ChainruleError

    try:
        pair = Pair(options.recipe, options.changes, options.seed)
        done, limit = 0, options.steps or math.inf
        for epoch in range(1, 1 + (options.epochs or pair.recipe["train.epochs"])):
            for mine, others in pair.updates():  # noqa: B007 - the last losses are told
                done += 1
                if done >= limit:
                    break
            ours, theirs, same, count = pair.answers()
            print(
                f"epoch {epoch:3}  step {done:6}  loss {mine:.12f} {others:.12f}  weights apart {pair.apart():.1e}  "
                f"right: chainrule {ours}, PyTorch {theirs} of {count}; {same} answers are the same",
                flush=True,
            )
            if done >= limit:
                break
    except (ChainruleError, ValueError) as error:
        print(f"same_training: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
