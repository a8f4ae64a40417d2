"""Accuracy of a recipe of pictures beside PyTorch: the same network, data, changes and schedule, over several seeds.

Usage: python benchmarks/accuracy_pictures.py RECIPE [--seeds 3] [--epochs N] [--set KEY=VALUE ...]
           [--only torch|chainrule] [--device cpu|cuda] [--threads N] [--curve] [--json OUT]

RECIPE is a name (lenet5-mnist, cifar10-m1, cifar10-m3, ...) or a file; `--set train.epochs=15` changes a key, as in
`chainrule train`. The chainrule side is what `chainrule train` runs: one compiled step, with metrics, checkpoints and
the second set measured after each epoch. The PyTorch side is `pictures_pytorch.py`: float32 without TF32 (bfloat16 by
autocast where the recipe says so), first weights as chainrule's. Time per epoch is the median over the epochs of all
seeds, steps alone. To choose settings by, hold samples out (`--set data.validation=0.1 --curve`), not the test set.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from benchmarks.measure import thread_counts

TITLES = {"chainrule": "chainrule", "torch": "PyTorch"}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the settings of the command line."""
    parser = argparse.ArgumentParser(
        prog="accuracy_pictures.py", description="Train a recipe in chainrule and in PyTorch, over several seeds."
    )
    parser.add_argument("recipe", help="name of a recipe, or a TOML file")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ...; default 3")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them; default 0")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's train.epochs")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes", help="change a key of the recipe"
    )
    parser.add_argument("--only", choices=tuple(TITLES), help="train in one library alone")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of PyTorch; default cpu")
    parser.add_argument(
        "--layout", choices=("channels_last", "contiguous"),
        help="of PyTorch's pictures; default the faster: channels_last on a CPU, contiguous on a GPU",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, default=0, help="CPUs of each library; default all")
    parser.add_argument("--curve", action="store_true", help="a line after each epoch, with the second set's accuracy")
    parser.add_argument("--json", metavar="OUT", help="also write all numbers to this file")
    return parser.parse_args(arguments)


class Runs:
    """The runs of one recipe: settings, data, what was found."""

    def __init__(self, options: argparse.Namespace):
        from chainrule import recipes

        self.options = options
        self.changes = [*options.changes, *([f"train.epochs={options.epochs}"] if options.epochs else [])]
        self.load = recipes.load
        self.recipe = recipes.load(options.recipe, self.changes)
        self.found: list[dict[str, Any]] = []

    def run(self, library: str, seed: int) -> None:
        """Train in one library from one seed, and print the outcome."""
        recipe = self.load(self.options.recipe, [*self.changes, f"train.seed={seed}"])
        start = time.perf_counter()
        outcome = self._chainrule(recipe) if library == "chainrule" else self._torch(recipe)
        outcome = {"library": library, "seed": seed, **outcome, "seconds": time.perf_counter() - start}
        self.found.append(outcome)
        self._write()
        print(
            f"seed {seed}  {TITLES[library]:9}  test accuracy {outcome['accuracy']:.2f} %  "
            f"{statistics.median(outcome['epoch_seconds']):.2f} s per epoch  {outcome['seconds']:.1f} s in all",
            flush=True,
        )

    def _chainrule(self, recipe: Any) -> dict[str, Any]:
        from chainrule.recipes.run import train

        with tempfile.TemporaryDirectory() as folder:
            done = train(recipe, folder, quiet=True)
            _, epochs = done.records()
            name = done.info["second"]
            if self.options.curve:
                for epoch in epochs:
                    right = next((100 * v for k, v in epoch.items() if k == f"{name}_accuracy"), float("nan"))
                    self._tell(epoch["epoch"], epoch["train_loss"], right, epoch["seconds"])
            seconds = [epoch["seconds"] for epoch in epochs]
            return {"accuracy": 100 * done.info["result"]["accuracy"], "epoch_seconds": seconds}

    def _torch(self, recipe: Any) -> dict[str, Any]:
        import torch

        from benchmarks import pictures_pytorch
        from chainrule.data import ArrayDataset
        from chainrule.recipes import build

        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True
        if self.options.threads:
            torch.set_num_threads(self.options.threads)
        data = build.load_data(recipe)
        images, labels, _ = build.load_split(recipe, "test")
        device = self.options.device
        layout = self.options.layout or ("contiguous" if device == "cuda" else "channels_last")
        told = self._tell if self.options.curve else None
        return pictures_pytorch.train(recipe, data, ArrayDataset(images, labels), device, layout, told)

    def _tell(self, epoch: int, loss: float, right: float, seconds: float) -> None:
        second = "validation" if self.recipe["data.validation"] else "test"
        print(f"  epoch {epoch + 1:3}  loss {loss:.4f}  {second} accuracy {right:.2f} %  {seconds:.2f} s", flush=True)

    def _write(self) -> None:
        if self.options.json:
            facts = {"recipe": self.recipe.name, "settings": self.recipe.flat(), **versions(), "runs": self.found}
            pathlib.Path(self.options.json).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")

    def table(self) -> str:
        """Return the means over the seeds, as a table in Markdown."""
        epochs = self.recipe["train.epochs"]
        lines = [
            f"| {self.recipe.name}, {epochs} epochs | accuracy on the test set | time per epoch | whole run |",
            "| --- | --- | --- | --- |",
        ]
        for library, title in TITLES.items():
            runs = [run for run in self.found if run["library"] == library]
            if runs:
                right = [run["accuracy"] for run in runs]
                spread = f"{statistics.mean(right):.2f} % ({min(right):.2f} to {max(right):.2f}, {len(runs)} seeds)"
                each = statistics.median(second for run in runs for second in run["epoch_seconds"])
                whole = statistics.median(run["seconds"] for run in runs)
                lines.append(f"| {title} | {spread} | {each:.2f} s | {whole:.1f} s |")
        return "\n".join(lines)


def versions() -> dict[str, str]:
    """Return the versions of what ran."""
    import numpy as np

    found = {"python": platform.python_version(), "numpy": np.__version__}
    torch = sys.modules.get("torch")
    return found | ({"torch": str(torch.__version__)} if torch is not None else {})


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line per run, then the table; return the exit code."""
    options = parse(arguments)
    if options.threads:
        os.environ.update(thread_counts(options.threads))
    from chainrule.core.errors import ChainruleError

    try:
        runs = Runs(options)
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            for library in (options.only,) if options.only else TITLES:
                runs.run(library, seed)
    except (ChainruleError, ValueError) as error:
        print(f"accuracy_pictures: {error}", file=sys.stderr)
        return 2
    print("\n" + ", ".join(f"{name} {version}" for name, version in versions().items()) + "\n")
    print(runs.table())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
