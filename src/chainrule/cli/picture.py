"""What `chainrule graph` draws: a recipe's network and loss on one batch, with the weights it begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chainrule.debug import GraphPicture
    from chainrule.recipes.recipe import Recipe

__all__ = ["network_picture"]


def network_picture(recipe: Recipe, *, opened: bool) -> GraphPicture:
    """Return the picture of a recipe's network and loss, values and gradients included.

    The batch is the first of what the recipe measures on, so that the picture is the same every time.

    Args:
        recipe: the recipe.
        opened: draw what is inside the layers; else each layer is one box.

    Raises:
        DataError: the data set is not there.
        ShapeError: the network does not take the samples.
    """
    from chainrule import debug
    from chainrule.ops import asarray
    from chainrule.ops.random import manual_seed
    from chainrule.recipes import build

    data = build.load_data(recipe)
    manual_seed(recipe["train.seed"])
    model, criterion = build.make_model(recipe).eval(), build.make_loss(recipe)
    build.check_fit(recipe, model, data)
    count = min(recipe["train.batch_size"], len(data.second))
    images, labels = (asarray(array[:count]) for array in data.second.arrays)
    images = data.scale(images)

    def loss(images: Any, labels: Any) -> Any:
        return criterion(model(images), labels)

    picture = debug.graph(loss, images, labels, collapse=not opened)
    picture.computation.name = recipe.name
    picture.computation.results = [("loss", value) for _, value in picture.computation.results]
    return picture
