"""What a figure looks at, what a figure is, and how figures are found by name.

The modules of this package are imported when somebody asks for a figure, not before; each registers its figures with
the decorator `figure`. Names are unique over all modules.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from chainrule.core.errors import RecipeError, SettingError, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from chainrule.nn import Module

__all__ = ["Figure", "Subject", "draw", "figure", "get", "names"]

Draw = TypeVar("Draw", bound=Callable[..., Any])
NEEDS = ("model", "pictures")


@dataclass(frozen=True)
class Subject:
    """What a figure looks at: a network, pictures of its data, and what the user chose.

    Args:
        model: the network, in eval mode; None where a figure is asked for without a run.
        inputs: the pictures as the network takes them, float32 [samples, channels, height, width]; for a multilayer
            perceptron also [samples, height, width]. Empty where there are no pictures.
        pictures: the same pictures as they are shown, uint8 [samples, height, width] or [samples, height, width, 3].
        labels: their true classes, int64 [samples]; -1 where nobody knows.
        classes: names of the classes; empty where nobody knows.
        name: what captions call it, such as "cifar10-m2".
        seed: of everything that a figure draws at random; default 0.
        facts: the recipe's settings by their full names, such as {"model.name": "cifar_m2"}; default none.
        layer: the layer that the user chose, a path such as "features.0"; default None, the figure chooses.
        channel: the channel that the user chose, >= 0; default None, the figure chooses.
        sample: the sample that the user chose, >= 0; default 0, the first.
        target: the class whose score is explained, >= 0; default None, the predicted one.
        scale: (mean, std) of the network's input, each float or float32 [channels, 1, 1]: input = (pixel - mean) / std
            with pixels from 0 to 255; default (0, 255).

    Example:
        >>> Subject(name="a picture", pictures=np.zeros((1, 8, 8, 3), np.uint8)).pictures.shape
        (1, 8, 8, 3)
    """

    model: Module | None = None
    inputs: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 3, 1, 1), np.float32))
    pictures: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 1, 1, 3), np.uint8))
    labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    classes: tuple[str, ...] = ()
    name: str = ""
    seed: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    layer: str | None = None
    channel: int | None = None
    sample: int = 0
    target: int | None = None
    scale: tuple[Any, Any] = (0.0, 255.0)


@dataclass(frozen=True)
class Figure:
    """A figure that `chainrule explain` draws.

    Args:
        name: what `--what` takes: lower case, words joined by hyphens.
        description: one sentence, for `--list`.
        make: draws it: a subject -> one picture of Pillow's, or several by name.
        needs: what of the subject must be there: "model", "pictures", both, or neither.

    Example:
        >>> Figure("nothing", "An empty picture.", lambda subject: None, needs=()).needs
        ()
    """

    name: str
    description: str
    make: Callable[[Subject], Any]
    needs: tuple[str, ...] = NEEDS


_FIGURES: dict[str, Figure] = {}


def figure(name: str, description: str, *, needs: Sequence[str] = NEEDS) -> Callable[[Draw], Draw]:
    """Return a decorator that registers a function as a figure; the function itself stays as it is.

    Args:
        name: what `--what` takes: lower case, words joined by hyphens.
        description: one sentence, for `--list`.
        needs: what of the subject must be there: any of "model" and "pictures"; default both.

    Raises:
        ValueError: a name that another figure has, or another word for `needs`.

    Example:
        >>> @figure("example", "A grey square.", needs=())
        ... def example(subject):
        ...     from PIL import Image
        ...     return Image.new("L", (8, 8), 128)
        >>> draw("example", Subject())[""].size
        (8, 8)
        >>> del _FIGURES["example"]
    """
    if isinstance(needs, str) or not set(needs) <= set(NEEDS):
        raise ValueError(f"figure.needs must be a list of words from {', '.join(NEEDS)}; got {needs!r}.")
    if name in _FIGURES:
        raise ValueError(f"there is a figure {name!r} already, drawn by {_FIGURES[name].make.__name__}: choose a name.")

    def register(make: Draw) -> Draw:
        _FIGURES[name] = Figure(name, description, make, tuple(needs))
        return make

    return register


def names() -> tuple[str, ...]:
    """Return the names of all figures, sorted.

    Example:
        >>> isinstance(names(), tuple)
        True
    """
    _import_all()
    return tuple(sorted(_FIGURES))


def get(name: str) -> Figure:
    """Return a figure by its name.

    Args:
        name: one of `names()`.

    Raises:
        RecipeError: there is none; names all, or the nearest.

    Example:
        >>> [get(name).name for name in names()] == list(names())
        True
    """
    known = names()
    if name not in known:
        others = nearest(name, known) or f"; there are {', '.join(known)}."
        raise RecipeError(f"there is no figure {name!r}{others}")
    return _FIGURES[name]


def draw(name: str, subject: Subject) -> dict[str, Image]:
    """Draw a figure; check first that the subject has what it needs.

    Args:
        name: one of `names()`.
        subject: what it looks at.

    Returns:
        Pictures of Pillow's by their names; a figure of one picture has the name "".

    Raises:
        RecipeError: there is no such figure.
        SettingError: the figure can't be made of this subject; says why.

    Example:
        >>> @figure("example", "The first picture.", needs=["pictures"])
        ... def example(subject):
        ...     from PIL import Image
        ...     return Image.fromarray(subject.pictures[subject.sample])
        >>> draw("example", Subject(pictures=np.zeros((2, 5, 8), np.uint8)))[""].size
        (8, 5)
        >>> draw("example", Subject())
        Traceback (most recent call last):
            ...
        chainrule.core.errors.SettingError: example looks at pictures, and there are none: give one with --picture.
        >>> del _FIGURES["example"]
    """
    chosen = get(name)
    if "model" in chosen.needs and subject.model is None:
        raise SettingError(f"{name} looks at a network: name a run folder, or a network with --weights.")
    pictures = "pictures" in chosen.needs
    if pictures and not len(subject.pictures):
        raise SettingError(f"{name} looks at pictures, and there are none: give one with --picture.")
    if pictures and not 0 <= subject.sample < len(subject.pictures):
        raise SettingError(f"--sample must be from 0 to {len(subject.pictures) - 1}; got {subject.sample}.")
    made = chosen.make(subject)
    return dict(made) if isinstance(made, Mapping) else {"": made}


@functools.cache
def _import_all() -> None:
    """Import every module of this package that does not begin with _; each registers its figures."""
    package = importlib.import_module(__package__)
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
        if not module.name.startswith("_") and module.name != "registry":
            importlib.import_module(f"{__package__}.{module.name}")
