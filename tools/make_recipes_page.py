"""Write docs/recipes.md, the page of recipes and their settings, from `chainrule.recipes.schema`.

Usage: python tools/make_recipes_page.py      A test compares the page with what this file would write.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping

from chainrule.recipes import load, names
from chainrule.recipes.schema import AUGMENTS, HEAD, REQUIRED, TABLES, Key, Part

INTRODUCTION = """# Recipes and the command line

<!-- written by tools/make_recipes_page.py from chainrule/recipes/schema.py -->

A recipe is a whole experiment in a TOML file: data, network, loss, optimizer, schedule, training, metrics. `chainrule
train` runs one into a folder of its own; what a recipe does not say has the default that stands below.

```console
$ chainrule recipes                                   # which there are
$ chainrule summary mnist-mlp                         # the network, layer by layer
$ chainrule train mnist-mlp                           # train; ends with the accuracy on the test digits
$ chainrule train mnist-mlp --set optim.name=adam --set optim.lr=0.001 --set train.epochs=5
$ chainrule evaluate runs/mnist-mlp --json            # split, samples, loss, accuracy
$ chainrule predict runs/mnist-mlp seven.png          # which digit a picture shows
$ chainrule report runs/mnist-mlp                     # write report.html again
$ chainrule data show cifar10-m3                      # a contact sheet: what augmentation makes of the pictures
$ chainrule doctor                                    # look at this machine
```

Exit codes: 0 all went well, 1 the work failed, 2 the command or a recipe is wrong, 130 stopped by Ctrl-C or SIGTERM.
An error is one message on standard error; `--debug` adds the traceback.

## The run folder

`runs/<recipe>`, or `runs/<recipe>-2` and so on where that is taken, or what `--out` names:

| file | what it is |
| --- | --- |
| `recipe.toml` | the whole recipe, every default written out |
| `metrics.jsonl` | one line per step (`"kind": "step"`) and per epoch (`"kind": "epoch"`) |
| `model.safetensors` | the trained weights, with PyTorch's names and layouts |
| `report.html` | the run to look at, in one file |
| `run.json` | command, versions, machine, BLAS threads, times, final numbers |
| `checkpoints/` | the two newest states of the run |

## Stopping and resuming

Ctrl-C and SIGTERM end the present step, save a checkpoint and print the command that goes on. A run that was killed
or lost its power goes on with the same command and `--resume`, from the newest checkpoint (one after each epoch, and
every `train.checkpoint_every` steps), and ends with **the same weights, bit for bit**, as one that was never stopped.

- Where the folder has no checkpoint yet, `--resume` starts afresh; where the run is finished, it only reports.
- Changed settings are refused, and each is listed. Two may change: `train.checkpoint_every`, and `train.epochs` may
  grow, unless the schedule was made as long as the run.
- A damaged newest checkpoint is passed over, with a notice, and the one before it is taken. Where all are damaged,
  that is an error.
- The bits are promised for a given number of BLAS threads; the run records it, and resuming with another says so.

## Which curve chooses

A recipe that chooses anything by a measurement (`train.early_stopping`, the plateau schedule) must hold samples out
with `data.validation`; these are the second curve then, and the test set is measured once, at the end. A recipe that
chooses nothing trains on all samples, and its second curve is the test set: watched, never used to choose.

## A recipe of your own

```toml
description = "mnist-mlp with Adam, dropout and early stopping"
extends = "mnist-mlp"

[data]
validation = 0.1

[model]
sizes = [784, 128, 10]
dropout = 0.2

[optim]
name = "adam"
lr = 0.001

[train]
epochs = 50
early_stopping = 3

[metrics]
top_k = { k = 3 }
```

Random changes to the training pictures are a list, made in its order; an option that is left out has its default:

```toml
[data]
name = "cifar10"
augment = [{ name = "horizontal_flip" }, { name = "crop", padding = 4 }, "mixup"]
```

Each change depends on the seed, the epoch and the sample's number alone, so batch order, threads and resuming make no
difference. They are compiled into the training step; `augment_in = "loader"` lets NumPy make them in the background
instead, with the same pictures. `chainrule data show mine.toml` draws what comes out.

`chainrule train mine.toml` runs it. `--set key=value` changes a setting on the way; the value is TOML, and text needs
no quotes. `[model] name` may be any architecture of the catalogue; the number of classes, the channels and the stem for
small pictures follow from the data set:

```console
$ chainrule train cifar10-m3 --set model.name=vgg11_bn --set optim.lr=0.02
$ chainrule train cifar10-resnet20 --set train.epochs=60 --set optim.lr=0.3 --set loss.label_smoothing=0.1
$ chainrule train cifar10-resnet18 --set schedule.name=cosine --set train.average=0.999 --set train.precision=float32
```

`[schedule] name = "one_cycle"` rises to `optim.lr` and falls again over the length of the run (`every = "step"`).
`train.average` keeps a moving average of the weights, which is what the run saves and evaluates. A network with
auxiliary classifiers (`googlenet`) trains on their losses too, weighed by `loss.auxiliary`.
"""


def rows(keys: Iterable[Key], prefix: str, part: Part | None = None) -> str:
    """Return the table of some keys."""
    derived = dict(part.derived) if part is not None else {}
    lines = ["| key | allowed | default | meaning |\n| --- | --- | --- | --- |\n"]
    for key in keys:
        default = derived.get(key.name) or ("required" if key.default is REQUIRED else _value(key.default))
        meaning = key.meaning.replace("|", "\\|")
        lines.append(f"| `{prefix}{key.name}` | {key.kind} | {default} | {meaning} |\n")
    return "".join(lines)


def _value(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def alike(choices: Mapping[str, Part]) -> list[dict[str, Part]]:
    """Return the parts, those that follow each other and are one class with the same options together."""
    found: list[dict[str, Part]] = []
    for name, part in choices.items():
        last = next(reversed(found[-1].values())) if found else None
        if last is not None and (last.target, last.options) == (part.target, part.options):
            found[-1][name] = part
        else:
            found.append({name: part})
    return found


def page() -> str:
    """Return the whole page."""
    parts = [INTRODUCTION, "\n## The recipes\n"]
    parts += [f"\n- `{name}`: {load(name).description}" for name in names()]
    parts += ["\n\n## Every setting\n\n### Before the tables\n\n", rows(HEAD, "")]
    for table in TABLES.values():
        parts.append(f"\n### [{table.name}]\n\n{table.meaning}\n\n")
        if table.keys:
            parts.append(rows(table.keys, f"{table.name}."))
        if table.name == "data":
            parts.append("\n#### What data.augment may hold\n")
            for name, part in AUGMENTS.items():
                parts.append(f"\n**`{name}`**: {part.meaning}.\n\n" + rows(part.options.values(), "", part))
        for same in alike(table.choices or {}):
            name, part = next(iter(same.items()))
            prefix = f"{table.name}." if table.keys else f"{table.name}.{name}."
            meanings = "; ".join(dict.fromkeys(each.meaning for each in same.values()))
            parts.append(f"\n**{', '.join(f'`{each}`' for each in same)}**: {meanings}.\n")
            if part.options:
                parts.append("\n" + rows(part.options.values(), prefix, part))
    return "".join(parts)


def main() -> None:
    """Write the page."""
    path = pathlib.Path(__file__).resolve().parent.parent / "docs" / "recipes.md"
    path.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
