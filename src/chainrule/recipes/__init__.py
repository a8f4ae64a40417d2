"""Floor 7: ready experiments. In: a TOML file and settings. Out: a run folder with a trained model and a report.

schema.py, constraints.py   which keys there are and what they allow
recipe.py                   reading, `--set`, checking
scaling.py                  from pixels to what a network takes
build.py                    from a recipe to data, model, loss, optimizer, trainer
*.toml                      the recipes
"""

from chainrule.recipes.recipe import Recipe, load, names

__all__ = ["Recipe", "load", "names"]
