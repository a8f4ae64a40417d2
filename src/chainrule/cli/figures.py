"""What `chainrule explain` looks at, and the files that it writes.

    a run folder                          the trained network, pictures of its test set
    an architecture's name                the network with --weights, or with the weights that a network begins with
    nothing                               pictures alone, for figures that need no network

--picture puts pictures of the user's own in the place of those of the test set. An architecture that takes large
pictures is shown those of CIFAR-10, enlarged, where there are no others.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.core.errors import ChainruleError, RecipeError, SettingError, nearest, notice
from chainrule.core.files import atomic_write
from chainrule.explain.figures import Subject, draw, get, names

if TYPE_CHECKING:
    from chainrule.models import Architecture
    from chainrule.recipes.folder import Run

__all__ = ["choose", "class_number", "layer_list", "list_figures", "make_subject", "with_choices", "write_figures"]

FEW = 64  # pictures of another size than the network's, enlarged for it
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # torchvision's mean and deviation of 224x224 pictures


# ---------------------------------------------------------------------------------------------------- the subject
def make_subject(source: str | None, weights: str | None, files: Sequence[pathlib.Path], seed: int) -> Subject:
    """Return what the figures look at.

    Args:
        source: a run folder, the name of an architecture, or None for pictures alone.
        weights: a file of weights for an architecture, "imagenet" for those that chainrule knows, or None.
        files: pictures of the user's own; none for those of the test set.
        seed: of the first weights of an architecture, and of everything that figures draw at random.

    Raises:
        RecipeError: source is neither a run nor an architecture, or weights do not go with it.
        DataError, CheckpointError, StateDictError: pictures or weights that can't be read.
    """
    from chainrule.models import CATALOGUE
    from chainrule.recipes.folder import Run, holds_run

    if source is None:
        if weights is not None:
            raise RecipeError("--weights needs the name of an architecture, such as squeezenet1_0.")
        return Subject(seed=seed, **_plain(files))
    if holds_run(pathlib.Path(source)):
        if weights is not None:
            raise RecipeError(f"{source} is a run, which has weights of its own: leave --weights out.")
        return _of_run(Run(source), files, seed)
    if source in CATALOGUE:
        return _of_architecture(CATALOGUE[source], weights, files, seed)
    hint = nearest(source, CATALOGUE) or "."
    raise RecipeError(
        f"{source!r} is neither a run folder nor an architecture{hint} A run is made by `chainrule train`."
    )


def _plain(files: Sequence[pathlib.Path]) -> dict[str, Any]:
    """Return pictures alone: the user's own, or CIFAR-10's test set; none where that is not on this machine."""
    from chainrule.core.errors import MissingDataError
    from chainrule.data import cifar10

    if files:
        shown = [_own(path, None) for path in files]
        sides = {picture.shape for picture in shown}
        if len(sides) > 1:
            raise SettingError(f"the pictures must have one size; got {', '.join(map(str, sorted(sides)))}.")
        return {"pictures": np.stack(shown), "labels": np.full(len(files), -1), "name": files[0].stem}
    try:
        found = cifar10("test")
    except MissingDataError:
        return {"name": "chainrule"}
    return {
        "pictures": _shown(found.images),
        "labels": found.labels,
        "classes": tuple(found.classes or ()),
        "name": "cifar10",
    }


def _of_run(run: Run, files: Sequence[pathlib.Path], seed: int) -> Subject:
    """Return a trained network with the test set of its recipe, or with pictures of the user's own."""
    from chainrule.recipes import build
    from chainrule.recipes.pictures import read_digit, read_small

    model, scale = run.model(), run.scale
    if files:
        read = read_digit if run.recipe["data.name"] == "mnist" else read_small
        images, labels = np.stack([read(path).pixels for path in files]), np.full(len(files), -1)
        classes = tuple(run.info["classes"])
    else:
        images, labels, classes = build.load_split(run.recipe, "test")
    return Subject(
        model=model,
        inputs=scale(images),
        pictures=images if images.ndim == 3 else _shown(images),
        labels=labels,
        classes=tuple(classes),
        name=run.recipe.name,
        seed=seed,
        facts=run.recipe.flat(),
        scale=_numbers(scale.mean, scale.std),
    )


def _of_architecture(row: Architecture, weights: str | None, files: Sequence[pathlib.Path], seed: int) -> Subject:
    """Return a network of the catalogue with the weights of a file, and pictures brought to its size."""
    from chainrule.models import PRETRAINED, create, load_weights, pretrained
    from chainrule.ops.random import manual_seed

    manual_seed(seed)
    known = PRETRAINED.get(row.name)
    channels, *size = row.input_shape
    mean, std = IMAGENET if min(size) > 32 else (0.0, 255.0)
    if weights == "imagenet" and known is None:
        raise RecipeError(
            f"--weights imagenet is for {' and '.join(PRETRAINED)}; give the file of weights of {row.name}."
        )
    if weights is None:
        notice(f"{row.name} has no --weights: its figures show the weights that a network begins with.", once=False)
        model = create(row.name)
    elif known is not None and (weights == "imagenet" or pathlib.Path(weights).name == known.file):
        model = pretrained(row.name, None if weights == "imagenet" else weights)
        mean, std, size = known.mean, known.std, [known.size, known.size]
    else:
        model = create(row.name)
        load_weights(model, weights)
    numbers = _numbers(mean, std)
    shown = _for_network(files, channels, (size[0], size[1]))
    raw = shown["pictures"].transpose(0, 3, 1, 2) if channels == 3 else shown["pictures"][:, None]
    inputs = ((raw.astype(np.float32) - numbers[0]) / numbers[1]).astype(np.float32)
    return Subject(model=model.eval(), inputs=inputs, name=row.name, seed=seed, scale=numbers, **shown)


def _for_network(files: Sequence[pathlib.Path], channels: int, size: tuple[int, int]) -> dict[str, Any]:
    """Return pictures of one size: the user's own, or a few of CIFAR-10 or MNIST, enlarged."""
    from PIL import Image

    from chainrule.data import cifar10, mnist

    if files:
        shown = [_own(path, size, "RGB" if channels == 3 else "L") for path in files]
        return {"pictures": np.stack(shown), "labels": np.full(len(files), -1)}
    found = cifar10("test") if channels == 3 else mnist("test")
    images = _shown(found.images[:FEW]) if channels == 3 else found.images[:FEW]
    if images.shape[1:3] != size:
        large = [Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC) for image in images]
        images = np.stack([np.asarray(image) for image in large])
    return {"pictures": images, "labels": np.full(len(images), -1)}  # their classes are not this network's


def _own(path: pathlib.Path, size: tuple[int, int] | None, mode: str = "RGB") -> np.ndarray:
    """Return a picture of the user's own, uint8 [height, width, 3] or [height, width], its middle fitted to a size."""
    from PIL import Image, ImageOps

    from chainrule.data.folder import open_picture

    picture = open_picture(path).convert(mode)
    fitted = picture if size is None else ImageOps.fit(picture, size[::-1], Image.Resampling.BICUBIC)
    return np.asarray(fitted)


def _shown(images: np.ndarray) -> np.ndarray:
    """Return pictures [samples, channels, height, width] as they are shown: colours last, one channel left out."""
    return images[:, 0] if images.shape[1] == 1 else np.ascontiguousarray(images.transpose(0, 2, 3, 1))


def _numbers(*values: Any) -> tuple[Any, ...]:
    """Return numbers as they are, and one per channel as [channels, 1, 1]."""
    return tuple(np.asarray(v, np.float32).reshape(-1, 1, 1) if isinstance(v, tuple) else float(v) for v in values)


# ---------------------------------------------------------------------------------------------------- the files
def list_figures() -> list[tuple[str, str, str]]:
    """Return one row per figure: its name, what it needs, what it shows."""
    words = {(): "-", ("model",): "network", ("pictures",): "pictures", ("model", "pictures"): "network, pictures"}
    found = [get(name) for name in names()]
    return [(one.name, words[tuple(sorted(one.needs))], one.description) for one in found]


def layer_list(subject: Subject) -> list[tuple[str, str]]:
    """Return one row per layer with weights: its path, and the layer as it is written.

    Args:
        subject: the network.
    """
    assert subject.model is not None
    return [
        (path, repr(module))
        for path, module in subject.model.named_modules()
        if not list(module.children()) and list(module.parameters())
    ]


def choose(what: str) -> list[str]:
    """Return the names of the figures that `--what` lists, each once.

    Args:
        what: names with commas between them.

    Raises:
        RecipeError: a name that no figure has.
    """
    chosen = list(dict.fromkeys(word.strip() for word in what.split(",") if word.strip()))
    if not chosen:
        raise RecipeError(f"--what lists figures with commas between them: {', '.join(names())}.")
    return [get(name).name for name in chosen]


def class_number(subject: Subject, wanted: str) -> int:
    """Return the class that `--target` names, by its name or number.

    Args:
        subject: knows the classes.
        wanted: what the user typed.

    Raises:
        RecipeError: no class has this name.
    """
    if wanted in subject.classes:
        return subject.classes.index(wanted)
    if wanted.isdecimal():
        return int(wanted)
    listed = f"; there are {', '.join(subject.classes)}." if subject.classes else ": give its number."
    raise RecipeError(f"--target: no class is named {wanted!r}{nearest(wanted, subject.classes) or listed}")


def write_figures(
    subject: Subject, chosen: Sequence[str], out: pathlib.Path | None
) -> Iterator[tuple[str, pathlib.Path | ChainruleError]]:
    """Draw figures one after another, and write each as a PNG file.

    Args:
        subject: what they look at.
        chosen: names of the figures.
        out: the file; where several are written, their names are put before its ending; default NAME-FIGURE.png in the
            present folder.

    Yields:
        The figure's name with a file, or with the error that says why it can't be drawn.

    Raises:
        RecipeError: `out` does not end in .png.
        OSError: a file can't be written.
    """
    if out is not None and out.suffix.lower() != ".png":
        raise RecipeError(f"a figure is a PNG file: --out must end in .png; got {str(out)!r}.")
    for name in chosen:
        try:
            with _shown_at_work(name):
                made = draw(name, subject)
        except ChainruleError as error:
            yield name, error
            continue
        for part, picture in made.items():
            words = [name] if out is None or len(chosen) > 1 else []
            words += [part.replace(" ", "-").replace("/", "-")] if part else []
            stem = subject.name.replace("/", "-") if out is None else out.stem
            target = (out or pathlib.Path(stem)).with_name("-".join([stem, *words]) + ".png")
            buffer = BytesIO()
            picture.save(buffer, "PNG", optimize=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(target, buffer.getvalue())
            yield name, target


@contextlib.contextmanager
def _shown_at_work(name: str) -> Iterator[None]:
    """Say on a terminal which figure is being drawn, for as long as it takes."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(f"drawing {name} ..."):
        yield


def with_choices(subject: Subject, target: str | None, **choices: Any) -> Subject:
    """Return the subject with what the user chose.

    Args:
        subject: what the figures look at.
        target: the class, by its name or number; None for the predicted one.
        **choices: layer, channel and sample.

    Raises:
        RecipeError: no such class.
    """
    number = None if target is None else class_number(subject, target)
    return dataclasses.replace(subject, target=number, **choices)
