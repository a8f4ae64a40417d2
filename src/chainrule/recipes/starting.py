"""Where a recipe's network starts: from random weights, or from those that others trained on ImageNet.

[model]
name = "mobilenet_0.25"
variant = "tensorflow"        what these weights need, see `models.PRETRAINED`
stem = "imagenet"
weights = "imagenet"          their last layer is replaced by one for the recipe's classes
resize = 128                  the pictures are enlarged inside the step
freeze_body = false           true: only the new layer learns
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from chainrule.core.errors import RecipeError
from chainrule.recipes.scaling import Scale

if TYPE_CHECKING:
    from chainrule.recipes.recipe import Recipe

__all__ = ["check_start", "network", "scale_of_weights"]


def check_start(recipe: Recipe) -> None:
    """Raise where a recipe asks for weights that do not go with its network.

    Args:
        recipe: the recipe.

    Raises:
        RecipeError: names the key.
    """
    if recipe["model.weights"] == "none":
        if recipe["model.freeze_body"]:
            raise RecipeError(
                'model.freeze_body = true leaves the body as it starts, so it needs model.weights = "imagenet".'
            )
        return
    from chainrule.models import PRETRAINED

    name = recipe["model.name"]
    if name not in PRETRAINED:
        raise RecipeError(f'model.weights = "imagenet" needs model.name to be {" or ".join(PRETRAINED)}; got {name}.')
    if recipe["data.name"] == "mnist":
        raise RecipeError('model.weights = "imagenet" needs pictures in colour; data.name is "mnist".')
    for option, value in {**PRETRAINED[name].settings, "stem": "imagenet"}.items():
        given = recipe.options("model").get(option, "cifar")
        if given != value:
            raise RecipeError(f'model.weights = "imagenet" needs model.{option} = "{value}" for {name}; got {given!r}.')


def network(recipe: Recipe, make: Callable[[dict[str, Any]], Any], classes: int | None, trained: bool) -> Any:
    """Return a recipe's network, with the weights that it starts from where they are wanted.

    Args:
        recipe: the recipe.
        make: makes the bare network, with some settings changed.
        classes: number of outputs; None: as the network is made.
        trained: load the weights that the recipe starts from; else all weights are random, to be replaced.

    Raises:
        MissingDataError: the weights are not on this machine.
    """
    from chainrule.models import PRETRAINED, Resized, freeze_body, load_pretrained, replace_head

    if trained and recipe["model.weights"] == "imagenet":
        row = PRETRAINED[recipe["model.name"]]
        model = make({"num_classes": row.classes})
        load_pretrained(model, row.name)
        replace_head(model, classes or row.classes)
    else:
        model = make({})
    if recipe["model.resize"]:
        model = Resized(model, recipe["model.resize"])
    return freeze_body(model) if recipe["model.freeze_body"] else model


def scale_of_weights(recipe: Recipe, channel: bool) -> Scale | None:
    """Return how pixels are scaled for the weights that the network starts from; None where it starts from none.

    Args:
        recipe: the recipe.
        channel: as in `Scale`.
    """
    if recipe["model.weights"] == "none":
        return None
    from chainrule.models import PRETRAINED

    row = PRETRAINED[recipe["model.name"]]
    return Scale(row.mean, row.std, channel)
