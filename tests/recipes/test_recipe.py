"""Recipes: defaults, `--set`, files, and what is said about each kind of mistake."""

from __future__ import annotations

import inspect
import tomllib

import pytest

from chainrule import recipes
from chainrule.core.errors import RecipeError
from chainrule.recipes import Recipe, load
from chainrule.recipes.schema import TABLES


def message(source, *changes):
    """Return what loading says."""
    with pytest.raises(RecipeError) as caught:
        load(source, changes)
    return caught.value.message


def test_the_first_recipe_is_the_course_network():
    recipe = load("mnist-mlp")
    wanted = {
        "data.name": "mnist", "data.standardize": True, "data.validation": 0.0, "data.limit": 0,
        "model.name": "mlp", "model.sizes": [784, 64, 32, 10], "model.activation": "relu", "model.dropout": 0.0,
        "loss.name": "cross_entropy", "optim.name": "sgd", "optim.lr": 0.01, "optim.momentum": 0.0,
        "schedule.name": "constant", "train.epochs": 12, "train.batch_size": 64, "train.seed": 0,
        "metrics.accuracy": {},
    }  # fmt: skip
    flat = recipe.flat()
    assert {key: flat[key] for key in wanted} == wanted
    assert (recipe.name, recipe.description[:23]) == ("mnist-mlp", "A multilayer perceptron")


def test_the_written_recipe_has_every_key_and_reads_back_equal(tmp_path):
    for changes in ((), ("optim.name=adam", "schedule.name=cosine", "metrics.top_k.k=3", 'data.folder=a "b" \\ ü')):
        recipe = load("mnist-mlp", changes)
        path = tmp_path / "recipe.toml"
        path.write_text(recipe.to_toml(), encoding="utf-8")
        again = load(path)
        assert again == recipe
        assert again.name == "mnist-mlp"
        for table in TABLES.values():
            assert {key.name for key in table.keys} <= tomllib.loads(recipe.to_toml())[table.name].keys()


@pytest.mark.parametrize(
    "change, key, value",
    [
        ("train.epochs=3", "train.epochs", 3),
        (" train.epochs = 3 ", "train.epochs", 3),
        ("optim.lr=1", "optim.lr", 1.0),
        ("optim.lr=1e-3", "optim.lr", 0.001),
        ("optim.nesterov=false", "optim.nesterov", False),
        ("model.sizes=[784, 20, 10]", "model.sizes", [784, 20, 10]),
        ("model.activation=tanh", "model.activation", "tanh"),
        ('model.activation="tanh"', "model.activation", "tanh"),
        ("data.folder=/a/b=c", "data.folder", "/a/b=c"),
        ("data.folder=2024", "data.folder", "2024"),
        ("metrics.top_k.k=3", "metrics.top_k", {"k": 3}),
        ("metrics.top_k={k=3}", "metrics.top_k", {"k": 3}),
    ],
)
def test_set_reads_toml_and_bare_text(change, key, value):
    found = load("mnist-mlp", [change])[key]
    assert (found, type(found)) == (value, type(value))


def test_another_choice_brings_its_own_options_and_drops_the_old_ones(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('extends = "mnist-mlp"\n[optim]\nmomentum = 0.9\n[train]\nepochs = 2\n')
    assert load(path)["optim.momentum"] == 0.9
    recipe = load(path, ["optim.name=adam"])
    assert "optim.momentum" not in recipe.flat()
    assert recipe["optim.lr"] == 0.01  # Adam has it too, so what the recipe says stays
    assert recipe.options("optim")["betas"] == (0.9, 0.999)
    assert (recipe["train.epochs"], recipe["model.sizes"]) == (2, [784, 64, 32, 10])


def test_every_choice_can_be_made():
    for table in TABLES.values():
        for name in table.choices or {}:
            if table.name == "metrics":
                load("mnist-mlp", [f"metrics.{name}={{}}"])
                continue
            extra = {
                "step": ["schedule.step_size=3"], "multi_step": ["schedule.milestones=[2, 4]"],
                "exponential": ["schedule.gamma=0.9"], "inverse_time": ["schedule.gamma=0.1"],
                "plateau": ["data.validation=0.1"],
            }.get(name, [])  # fmt: skip
            assert load("mnist-mlp", [f"{table.name}.name={name}", *extra])[f"{table.name}.name"] == name


def test_options_are_those_of_the_signatures():
    # The schema reads the classes; this test reads the classes differently and compares.
    for table in ("optim", "loss", "schedule", "model"):
        for name, part in TABLES[table].choices.items():
            parameters = inspect.signature(part.load()).parameters
            assert part.options.keys() <= parameters.keys(), name
            for option, key in part.options.items():
                default = parameters[option].default
                if default is inspect.Parameter.empty and option not in dict(part.derived):
                    assert key.default is inspect.Parameter.empty
                assert key.meaning, f"{name}.{option} has no meaning in its docstring"


@pytest.mark.parametrize(
    "changes, wanted",
    [
        (
            ["train.epoch=3"],
            "unknown recipe key train.epoch; did you mean 'train.epochs'? [train] has epochs, batch_size, seed, "
            "accumulate, max_norm, check_gradients, average, early_stopping, monitor, checkpoint_every, compiled, "
            "precision, tensorboard.",
        ),
        (
            ["train.lr=3"],
            "unknown recipe key train.lr; did you mean 'optim.lr'? [train] has epochs, batch_size, seed, accumulate, "
            "max_norm, check_gradients, average, early_stopping, monitor, checkpoint_every, compiled, precision, "
            "tensorboard.",
        ),
        (
            ["model.size=[784, 10]"],
            "unknown recipe key model.size; did you mean 'model.sizes'? [model] of mlp has name, weights, "
            "freeze_body, resize, sizes, "
            "activation, dropout.",
        ),
        (
            ["modell.sizes=[784, 10]"],
            "unknown recipe key modell; did you mean 'model'? The tables are data, model, loss, optim, schedule, "
            "train, metrics.",
        ),
        (
            ["opt.lr=0.1"],
            "unknown recipe key opt; did you mean 'optim'? The tables are data, model, loss, optim, schedule, "
            "train, metrics.",
        ),
        (["train=3"], "train is a table: write [train] and its keys below; got 3."),
        (["train.epochs=1.5"], "train.epochs must be an integer >= 0; got 1.5."),
        (["train.epochs=true"], "train.epochs must be an integer >= 0; got True."),
        (["train.epochs=many"], "train.epochs must be an integer >= 0; got 'many'."),
        (["train.batch_size=0"], "train.batch_size must be an integer >= 1; got 0."),
        (["train.average=1.0"], "train.average must be a number in [0, 1); got 1.0."),
        (["train.max_norm=nan"], "train.max_norm must be a number >= 0; got nan."),
        (["data.standardize=yes"], "data.standardize must be true or false; got 'yes'."),
        (["data.name=mnits"], "data.name must be one of \"mnist\", \"cifar10\"; got 'mnits'; did you mean 'mnist'?"),
        (["model.sizes=784"], "model.sizes must be a list of integers >= 1; got 784."),
        (["optim.betas=[0.9]", "optim.name=adam"], "optim.betas must be a list of 2 numbers; got [0.9]."),
        (
            ["optim.name=adam", "optim.betas=[0.9, 1.5]"],
            "optim.betas must be two numbers, each a number in [0, 1); got (0.9, 1.5).",
        ),
        (["optim.lr=-0.1"], "optim.lr must be a number >= 0; got -0.1."),
        (["loss.label_smoothing=2"], "loss.label_smoothing must be a float in [0, 1]; got 2.0."),
        (
            ["schedule.name=step"],
            "schedule.step_size is missing: step needs it; it must be an integer (steps between two changes, >= 1).",
        ),
        (["schedule.name=step", "schedule.step_size=0"], "schedule.step_size must be an integer >= 1; got 0."),
        (
            ["metrics.accurracy={}"],
            "metrics.accurracy is not known; did you mean 'accuracy'? Metrics are accuracy, top_k, precision, "
            "recall, f1, "
            "specificity, each a table of its options: accuracy = {}, top_k = { k = 3 }.",
        ),
        (["metrics.top_k.n=3"], "unknown recipe key metrics.top_k.n. [metrics.top_k] has k."),
        (
            ["metrics.f1.average=mean"],
            "metrics.f1.average must be 'macro', 'micro', 'weighted', 'binary' or None; got 'mean'.",
        ),
        (["=3"], "--set takes key=value, such as train.epochs=3; got '=3'."),
        (["train.epochs"], "--set takes key=value, such as train.epochs=3; got 'train.epochs'."),
        (
            ["train.early_stopping=3"],
            "train.early_stopping chooses by what it watches, so it needs samples held out for that: "
            "set data.validation, for example to 0.1. The test set is never used to choose.",
        ),
        (
            ["schedule.name=plateau"],
            'schedule.name = "plateau" chooses by what it watches, so it needs samples held out for that: '
            "set data.validation, for example to 0.1. The test set is never used to choose.",
        ),
        (
            ["train.early_stopping=3", "data.validation=0.1", "train.monitor=validation_acuracy"],
            "train.monitor must be one of validation_loss, validation_accuracy; got 'validation_acuracy'; "
            "did you mean 'validation_accuracy'?",
        ),
        (
            ["schedule.name=plateau", "data.validation=0.1", "schedule.every=step"],
            'schedule.every must be "epoch" for the plateau schedule: it watches what is measured after an epoch.',
        ),
        (["name=3"], "name must be text; got 3."),
    ],
)
def test_a_mistake_names_the_key_what_is_allowed_and_the_nearest(changes, wanted):
    assert message("mnist-mlp", *changes) == wanted


def test_mistakes_in_files(tmp_path):
    assert message("mnist-mpl") == (
        f"there is no recipe 'mnist-mpl'; did you mean 'mnist-mlp'? Recipes are {', '.join(recipes.names())}; "
        "a recipe of your own is a file ending in .toml."
    )
    path = tmp_path / "mine.toml"
    assert message(path) == f"the recipe {path} can't be read: No such file or directory."
    path.write_text("[train\n")
    assert message(path).startswith(f"the recipe {path} is no TOML file: ")
    path.write_bytes(b"\xff\xfe")
    assert message(path).startswith(f"the recipe {path} is no TOML file: ")
    path.write_text(f'extends = "{path.as_posix()}"\n')
    assert message(path) == f"extends in {path} must be the name of another recipe; got {path.as_posix()!r}."
    path.write_text('extends = "mnist-mlp"\n[train]\nepoch = 3\n')
    assert message(path).startswith("unknown recipe key train.epoch; did you mean 'train.epochs'?")
    path.write_text("epochs = 3\n")
    assert message(path) == (
        "unknown recipe key epochs; did you mean 'train.epochs'? "
        "The tables are data, model, loss, optim, schedule, train, metrics."
    )


def test_a_recipe_of_ones_own_needs_only_what_has_no_default(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[model]\nsizes = [784, 10]\n")
    recipe = load(path)
    assert (recipe.name, recipe["train.epochs"], recipe["metrics.accuracy"]) == ("mine", 10, {})
    path.write_text("[train]\nepochs = 1\n")
    assert message(path) == (
        "model.sizes is missing: mlp needs it; it must be a list of integers >= 1 "
        "(features of the input, of each hidden layer and of the output, each >= 1; at least two)."
    )


def test_differences_are_listed_by_key():
    a, b = load("mnist-mlp"), load("mnist-mlp", ["optim.lr=0.1", "metrics.top_k={}"])
    assert a.differences(b) == {"optim.lr": (0.01, 0.1), "metrics.top_k": (None, {"k": 5})}
    assert b.differences(a) == {"optim.lr": (0.1, 0.01), "metrics.top_k": ({"k": 5}, None)}
    assert a.differences(a) == {}
    assert a != b
    assert a == load("mnist-mlp")


def test_the_names_are_the_files_and_each_loads():
    assert recipes.names() == sorted(recipes.names())
    assert {"cifar10-m1", "cifar10-m2", "cifar10-m3", "lenet5-mnist", "mnist-mlp"} <= set(recipes.names())
    for name in recipes.names():
        assert load(name).description
        assert repr(load(name)) == f"Recipe({name!r}: {load(name).description})"


def test_a_recipe_can_be_made_without_a_file():
    recipe = Recipe({"model": {"sizes": [784, 10]}}, "mine")
    assert recipe.to_toml().startswith('name = "mine"\ndescription = ""\n\n[data]\nname = "mnist"\n')


def test_the_page_of_recipes_is_what_the_schema_says(repository, monkeypatch):
    monkeypatch.syspath_prepend(repository / "tools")
    import make_recipes_page

    page = (repository / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert page == make_recipes_page.page(), "run: python tools/make_recipes_page.py"


def test_the_recipe_on_the_page_is_one(repository, tmp_path):
    page = (repository / "docs" / "recipes.md").read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(page.partition("```toml\n")[2].partition("```")[0])
    recipe = load(path)
    assert (recipe["train.early_stopping"], recipe["optim.lr"], recipe["metrics.top_k"]) == (3, 0.001, {"k": 3})
