"""A recipe's training, rebuilt in PyTorch: the same pictures, first weights, changes, updates and learning rates.

    recipe  ->  network (`twins`), schedule as a table of numbers, changes to pictures  ->  epochs  ->  test accuracy

All pictures lie on the device as bytes; a block of batches is changed, scaled and put in order there at once. The first
weights are copied from chainrule's network of that seed, and each step's learning rate and momentum are what the
recipe's own schedule says, so the two runs differ in the order of the samples and in the drawn changes alone.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.twins import TWINS, lenet5_modern

OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
}
FUSED = ("sgd", "adam", "adamw")  # there is one kernel for the whole update, on every device
OURS = {"l1": 0.0, "decoupled_weight_decay": False}  # options that PyTorch's classes lack, with what they must be
AUXILIARY = 0.3  # weight of each of GoogLeNet's auxiliary losses
EVALUATION_BATCH = 1000
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
BLOCK = 16384  # pictures that a GPU changes at once; a CPU does one batch


class Unsupported(ValueError):
    """The recipe asks for something that this script does not rebuild."""


# ---------------------------------------------------------------------------------------------------- the network
def make_twin(name: str, ours: Any, classes: int) -> nn.Module:
    """Return the PyTorch network with the weights and the dropout of chainrule's."""
    if name == "lenet5_modern":
        acts = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "relu": nn.ReLU}
        pooling = nn.AvgPool2d if ours.pooling == "avg" else nn.MaxPool2d
        padding = (32 - ours.input_size) // 2
        twin = lenet5_modern(classes, ours.in_channels, padding, acts[ours.activation], pooling)
    elif name in TWINS:
        twin = TWINS[name](classes, getattr(ours, "stem", "cifar") != "imagenet")
    else:
        raise Unsupported(f"there is no PyTorch twin of model.name = {name!r}; there are {', '.join(TWINS)}.")
    twin.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in ours.state_dict().items()})
    for path, module in ours.named_modules():
        if type(module).__name__ == "Dropout" and float(module.p) > 0:
            _add_dropout(twin, path, float(module.p))
    return twin


def _add_dropout(twin: nn.Module, path: str, p: float) -> None:
    """Put dropout where the twin has a place for it, else before the linear layer that follows."""
    parent, _, name = path.rpartition(".")
    owner = twin.get_submodule(parent)
    if isinstance(getattr(owner, name, None), nn.Identity):
        setattr(owner, name, nn.Dropout(p))
        return
    layer = next(getattr(owner, key) for key in ("fc2", "fc") if hasattr(owner, key))
    layer.register_forward_pre_hook(lambda module, args: (F.dropout(args[0], p, module.training),))


def total_loss(outputs: Any, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Return the cross-entropy, with GoogLeNet's auxiliary ones where there are any."""
    if not isinstance(outputs, tuple):
        return F.cross_entropy(outputs, labels, label_smoothing=smoothing)
    first, *others = (F.cross_entropy(each, labels, label_smoothing=smoothing) for each in outputs)
    return first + AUXILIARY * sum(others)


# ---------------------------------------------------------------------------------------------------- the pictures
def make_changes(transforms: Sequence[Any]) -> list[Callable[[torch.Tensor], torch.Tensor]]:
    """Return the recipe's changes to pictures, float [batch, channels, height, width] with values 0 to 1."""
    made = {
        "RandomHorizontalFlip": lambda t: partial(_flip, axis=3, p=t.p),
        "RandomVerticalFlip": lambda t: partial(_flip, axis=2, p=t.p),
        "RandomShift": lambda t: partial(_crop, padding=t.pixels, size=0, mode=t.padding_mode, fill=t.fill),
        "RandomCrop": lambda t: partial(_crop, padding=t.padding, size=t.size, mode=t.padding_mode, fill=t.fill),
        "Cutout": lambda t: partial(_cutout, size=t.size, fill=t.fill, p=t.p),
    }
    for transform in transforms:
        if type(transform).__name__ not in made:
            raise Unsupported(f"data.augment has {transform!r}; rebuilt are {', '.join(made)}.")
    return [made[type(transform).__name__](transform) for transform in transforms]


def _uniform(x: torch.Tensor) -> torch.Tensor:
    return torch.rand(len(x), device=x.device)


def _flip(x: torch.Tensor, axis: int, p: float) -> torch.Tensor:
    return torch.where((_uniform(x) < p)[:, None, None, None], x.flip(axis), x)


def _crop(x: torch.Tensor, padding: int, size: int, mode: str, fill: float) -> torch.Tensor:
    """Return a window at a random place of each padded picture."""
    padded = F.pad(x, [padding] * 4, mode=mode, **({"value": fill} if mode == "constant" else {}))
    sides = []
    for inside in x.shape[2:]:
        out = size or inside
        start = (_uniform(x) * (inside + 2 * padding - out + 1)).long()
        sides.append(start[:, None] + torch.arange(out, device=x.device))  # [batch, out]
    rows, columns = sides
    place = (rows[:, :, None] * padded.shape[3] + columns[:, None, :]).flatten(1)  # [batch, pixels]
    found = padded.flatten(2).gather(2, place[:, None].expand(-1, x.shape[1], -1))
    return found.reshape(*x.shape[:2], rows.shape[1], columns.shape[1])


def _cutout(x: torch.Tensor, size: int, fill: float, p: float) -> torch.Tensor:
    inside = (_uniform(x) < p)[:, None, None, None]
    for side, shape in zip(x.shape[2:], ((1, 1, -1, 1), (1, 1, 1, -1)), strict=True):
        start = ((_uniform(x) * side).long() - size // 2)[:, None, None, None]
        pixels = torch.arange(side, device=x.device).reshape(shape)
        inside = inside & (pixels >= start) & (pixels < start + size)
    return torch.where(inside, fill, x)


class Pictures:
    """The pictures of a data set on a device, as bytes, and how they become what the network gets."""

    def __init__(self, dataset: Any, scale: Any, changes: Sequence[Callable], device: torch.device, layout: Any):
        images, labels = (torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in dataset.arrays)
        self.images, self.labels = images if images.ndim == 4 else images[:, None], labels.long()
        self.changes, self.layout = changes, layout
        self.mean, self.std = (
            torch.tensor(value, dtype=torch.float32, device=device).reshape(-1, 1, 1) / 255
            for value in (scale.mean, scale.std)
        )

    def __len__(self) -> int:
        return len(self.images)

    def inputs(self, chosen: Any) -> torch.Tensor:
        """Return the network's inputs for some of the pictures."""
        x = self.images[chosen].float() / 255
        for change in self.changes:
            x = change(x)
        return ((x - self.mean) / self.std).contiguous(memory_format=self.layout)

    def batches(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the batches of an epoch in a new order; the last may be short."""
        order = torch.randperm(len(self), device=self.images.device)
        block = size * max(1, BLOCK // size) if order.is_cuda else size
        for begin in range(0, len(self), block):
            chosen = order[begin : begin + block]
            yield from zip(self.inputs(chosen).split(size), self.labels[chosen].split(size), strict=True)


# ---------------------------------------------------------------------------------------------------- the updates
def make_optimizer(name: str, options: dict[str, Any], parameters: Any) -> torch.optim.Optimizer:
    """Return PyTorch's optimizer with the recipe's options."""
    for option, needed in OURS.items():
        if options.pop(option, needed) != needed:
            raise Unsupported(f"optim.{option} is not rebuilt; it must be {needed}.")
    return OPTIMIZERS[name](parameters, **options, **({"fused": True} if name in FUSED else {}))


def schedule_table(schedule: Any, counts: int, lr: float) -> dict[str, list[Any]]:
    """Return setting -> its value at each count of a chainrule schedule."""
    if schedule is None:
        return {"lr": [lr] * counts}
    if getattr(schedule, "monitor", None) is not None:
        raise Unsupported("the plateau schedule depends on the run itself; it is not rebuilt.")
    import chainrule as cr

    def column(value: Any) -> list[float]:
        return np.broadcast_to(np.asarray(value, np.float64), (counts,)).tolist()

    if (
        type(schedule).__name__ == "MultiStepLR"
    ):  # it compares the count with a list; the others take all counts at once
        return {"lr": [schedule.lr_at(count)[0] for count in range(counts)]}
    found = schedule.settings(cr.asarray(np.arange(counts, dtype=np.float64)), 0)
    pairs = {name: value for name, value in found.items() if isinstance(value, tuple)}
    table: dict[str, list[Any]] = {name: column(value) for name, value in found.items() if name not in pairs}
    return table | {name: list(zip(*map(column, values), strict=True)) for name, values in pairs.items()}


class Average:
    """The moving average of weights and float buffers, with chainrule's warm-up."""

    def __init__(self, model: nn.Module, decay: float):
        self.model, self.decay, self.updates = model, decay, 0
        self.kept = [value.detach().clone() for value in model.state_dict().values()]

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the present weights."""
        share = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        present = list(self.model.state_dict().values())
        floats = [(a, b) for a, b in zip(self.kept, present, strict=True) if a.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], share)
        for a, b in zip(self.kept, present, strict=True):
            if not a.is_floating_point():
                a.copy_(b)

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Put the average into the model inside the block."""
        present = [value.clone() for value in self.model.state_dict().values()]
        try:
            self._put(self.kept)
            yield
        finally:
            self._put(present)

    @torch.no_grad()
    def _put(self, values: Sequence[torch.Tensor]) -> None:
        for cell, value in zip(self.model.state_dict().values(), values, strict=True):
            cell.copy_(value)


# ---------------------------------------------------------------------------------------------------- the run
class Training:
    """The twin of a network with its optimizer and schedule: one update after the other.

    Args:
        recipe: a chainrule recipe.
        ours: chainrule's network, whose weights the twin begins with.
        classes: number of classes.
        steps: updates per epoch.
        place: the device.
        memory: layout of pictures and weights.

    Raises:
        Unsupported: the recipe has a part that is not rebuilt here.
    """

    def __init__(self, recipe: Any, ours: Any, classes: int, steps: int, place: torch.device, memory: Any):
        from chainrule.recipes import build

        if recipe["loss.name"] != "cross_entropy" or recipe["train.accumulate"] > 1 or recipe["train.early_stopping"]:
            raise Unsupported("rebuilt are cross_entropy, one batch per update, no early stopping.")
        dtype = getattr(torch, next(iter(ours.parameters())).numpy().dtype.name)
        self.model = make_twin(recipe["model.name"], ours, classes).to(place, dtype, memory_format=memory)
        self.optimizer = make_optimizer(recipe["optim.name"], recipe.options("optim"), self.model.parameters())
        self.average = Average(self.model, recipe["train.average"]) if recipe["train.average"] else None
        self.cast = partial(torch.autocast, place.type, torch.bfloat16, enabled=recipe["train.precision"] == "bf16")
        self.smoothing = recipe.options("loss").get("label_smoothing", 0.0)
        self.max_norm = recipe["train.max_norm"]
        self.per_count = 1 if recipe["schedule.every"] == "step" else steps  # updates with one learning rate
        counts = recipe["train.epochs"] * steps // self.per_count
        theirs = build.make_optimizer(recipe, list(ours.parameters()))
        self.table = schedule_table(build.make_schedule(recipe, theirs, counts), counts, recipe["optim.lr"])
        self.updates = 0
        self.model.train()

    def update(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Do one update on a batch; return the loss before it."""
        count = self.updates // self.per_count
        self.optimizer.param_groups[0].update({name: values[count] for name, values in self.table.items()})
        with self.cast():
            loss = total_loss(self.model(x), labels, self.smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.max_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.max_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update()
        self.updates += 1
        return loss.detach()

    def accuracy(self, pictures: Pictures) -> float:
        """Return the percent of the pictures that the network, or its moving average, names right."""
        with self.average.used() if self.average is not None else contextlib.nullcontext():
            return accuracy(self.model, pictures, self.cast)


@torch.inference_mode()
def accuracy(model: nn.Module, pictures: Pictures, cast: Callable) -> float:
    """Return the percent of the pictures that the network names right."""
    model.eval()
    right = torch.zeros((), dtype=torch.long, device=pictures.images.device)
    for begin in range(0, len(pictures), EVALUATION_BATCH):
        chosen = slice(begin, begin + EVALUATION_BATCH)
        with cast():
            outputs = model(pictures.inputs(chosen))
        right += (outputs.argmax(1) == pictures.labels[chosen]).sum()
    model.train()
    return 100 * right.item() / len(pictures)


def train(
    recipe: Any, data: Any, test: Any, device: str, layout: str, told: Callable[[int, float, float, float], Any] | None
) -> dict[str, Any]:
    """Train the twin of a recipe's network as the recipe says.

    Args:
        recipe: a chainrule recipe.
        data: what `chainrule.recipes.build.load_data` gave for it.
        test: the test samples.
        device: "cpu" or "cuda".
        layout: "channels_last" or "contiguous".
        told: gets (epoch, loss, accuracy on data.second, seconds) after each epoch; default nothing is measured then.

    Returns:
        {"accuracy": percent of the test set, "epoch_seconds": seconds of the steps of each epoch}.

    Raises:
        Unsupported: the recipe has a part that is not rebuilt here.
    """
    from chainrule.ops.random import manual_seed
    from chainrule.recipes import build

    manual_seed(recipe["train.seed"])
    torch.manual_seed(recipe["train.seed"])
    place, memory = torch.device(device), LAYOUTS[layout]
    pictures = Pictures(data.train, data.scale, make_changes(build.make_transforms(recipe)), place, memory)
    second, held = (Pictures(each, data.scale, (), place, memory) for each in (data.second, test))
    size, seconds = recipe["train.batch_size"], []
    steps = math.ceil(len(pictures) / size)
    training = Training(recipe, build.make_model(recipe), len(data.classes), steps, place, memory)
    for epoch in range(recipe["train.epochs"]):
        total, begin = torch.zeros((), device=place), _now(place)
        for x, labels in pictures.batches(size):
            total += training.update(x, labels) * len(x)
        mean = total.item() / len(pictures)
        seconds.append(_now(place) - begin)
        if told is not None:
            told(epoch, mean, training.accuracy(second), seconds[-1])
    return {"accuracy": training.accuracy(held), "epoch_seconds": seconds}


def _now(place: torch.device) -> float:
    """Return the time when the device has done all that it was given."""
    if place.type == "cuda":
        torch.cuda.synchronize(place)
    return time.perf_counter()
