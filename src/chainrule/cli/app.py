"""The commands: each reads its words, calls one function of the floors below, and prints what came out.

train   evaluate   predict   report   explain   recipes   summary   graph   data show   doctor
"""

from __future__ import annotations

import json
import pathlib
import shlex
import signal
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from chainrule.cli.output import STOPPED, result, say, table
from chainrule.core.errors import RecipeError

__all__ = ["app"]

Function = TypeVar("Function", bound=Callable[..., None])

CODES = "Exit codes: 0 all went well, 1 the work failed, 2 the command or a recipe is wrong, 130 stopped by Ctrl-C."

app = typer.Typer(
    name="chainrule",
    help="Train, measure and look into neural networks.\n\n[bold]Begin with:[/bold]  chainrule train mnist-mlp",
    epilog=CODES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

data_app = typer.Typer(
    help="Look at data sets.", no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]}
)
app.add_typer(data_app, name="data")

RunFolder = Annotated[
    pathlib.Path, typer.Argument(metavar="RUN", help="A run folder, such as runs/mnist-mlp.", show_default=False)
]
RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A recipe's name, or a TOML file.", show_default=False)
]
More = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="More settings, as for --set.", show_default=False)
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a setting, such as train.epochs=3. Repeatable.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def command(*examples: str, of: typer.Typer = app) -> Callable[[Function], Function]:
    """Make a function a command: its docstring is the help, each paragraph one line, and examples to type follow."""

    def add(function: Function) -> Function:
        paragraphs = [" ".join(text.split()) for text in (function.__doc__ or "").split("\n\n")]
        lines = [example.replace("[", r"\[") for example in examples]  # a bracket is no markup here
        shown = "\n\n".join(["[bold]Examples[/bold]", *lines]) if examples else None
        of.command(help="\n\n".join(paragraphs), epilog=shown)(function)
        return function

    return add


def _version(wanted: bool) -> None:
    if wanted:
        import chainrule

        result(f"chainrule {chainrule.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.")
    ] = False,  # see cli.output.guarded
) -> None:
    """Take the options that stand before the command, and one thread for matrix products unless asked for more."""
    from chainrule.core.threads import limit_products, requested_threads

    limit_products(requested_threads() or 1)


@command(
    "chainrule train mnist-mlp",
    "chainrule train mnist-mlp --set optim.name=adam --set optim.lr=0.001",
    "chainrule train mnist-mlp --set train.epochs=3 --out runs/quick",
    "chainrule train mnist-mlp --out runs/quick --resume",
)
def train(
    recipe: RecipeName,
    more: More = None,
    settings: Settings = None,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="DIR",
            help="The run folder; else runs/RECIPE, or runs/RECIPE-2 ... where that is taken.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in the folder from its newest checkpoint.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="The same as --set train.seed=N.", show_default=False)
    ] = None,
    eager: Annotated[bool, typer.Option("--eager", help="Run each step line by line, without cr.jit.")] = False,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="float32, or bf16 for fast matrix products; the same as --set train.precision=NAME.",
            show_default=False,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the last line.")] = False,
) -> None:
    """Train a recipe, and save the model with a report.

    The run folder gets recipe.toml, metrics.jsonl, model.safetensors, report.html and checkpoints. Stopped by Ctrl-C,
    killed or out of power, the run goes on with the same command and --resume, and ends with the same weights, bit for
    bit.
    """
    from chainrule.recipes.folder import Run, choose_folder, holds_run
    from chainrule.recipes.run import train as train_recipe

    source, changes = _recipe_and_settings(recipe, more, settings)
    changes += [] if seed is None else [f"train.seed={seed}"]
    changes += ["train.compiled=false"] if eager else []
    changes += [] if precision is None else [f"train.precision={precision}"]
    loaded = _load(source, changes)
    folder = choose_folder(loaded.name, out, resume)
    _say_if_unfinished(loaded.name, out, resume, quiet)
    words = _command(source, changes, out)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run = train_recipe(loaded, folder, resume=resume, quiet=quiet, command=words, say=_silent if quiet else say)
    except KeyboardInterrupt:
        say(f"\nstopped; continue with:\n  {_resume(words, folder)}")
        raise typer.Exit(STOPPED) from None
    except Exception as error:
        if isinstance(error, OSError) and holds_run(folder):
            error.add_note(f"Make room, then continue with:\n  {_resume(words, folder)}")
        raise
    assert isinstance(run, Run)
    _print_result(run, quiet)


def _print_result(run: Any, quiet: bool) -> None:
    """Say where the run is, and as the last line the accuracy on the test set."""
    found = run.info["result"]
    if not quiet:
        say(f"model   {run.weights}\nreport  {run.folder / 'report.html'}")
    what = "digits" if run.recipe["data.name"] == "mnist" else "pictures"
    result(f"accuracy on the {found['samples']:,} test {what}: {100 * found['accuracy']:.2f} %")


@command(
    "chainrule evaluate runs/mnist-mlp",
    "chainrule evaluate runs/mnist-mlp --split train",
    "chainrule evaluate runs/mnist-mlp --json",
)
def evaluate(
    run: RunFolder,
    split: Annotated[str, typer.Option(help="Which samples: train, validation or test.")] = "test",
    as_json: AsJson = False,
) -> None:
    """Measure a trained model: loss and accuracy on a split of its data."""
    from chainrule.recipes.folder import Run
    from chainrule.recipes.results import evaluate as evaluate_run

    found = evaluate_run(Run(run), split).summary()
    if as_json:
        result(json.dumps(found))
    else:
        measured = f"loss {found['loss']:.4f}, accuracy {100 * found['accuracy']:.2f} %"
        result(f"{found['split']}: {found['samples']:,} samples, {measured}")


@command(
    "chainrule predict runs/mnist-mlp seven.png",
    "chainrule predict runs/mnist-mlp photos/*.jpg --json",
)
def predict(
    run: RunFolder,
    files: Annotated[
        list[pathlib.Path], typer.Argument(metavar="FILE...", help="Pictures, one digit each.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Say which digit a picture shows, with the probability of each class.

    Any size and colour: the ink may be dark on light or light on dark. The digit is cropped, scaled and centred like
    MNIST's.
    """
    from chainrule.recipes.folder import Run
    from chainrule.recipes.results import predict as predict_files

    for number, found in enumerate(predict_files(Run(run), files)):
        if as_json:
            result(
                json.dumps(
                    {"file": found.file, "class": found.label, "probabilities": found.probabilities, "note": found.note}
                )
            )
            continue
        say(f"{found.file}: {found.note}")
        result(
            ("\n" if number else "") + f"{found.file}: {found.label}  ({100 * found.probabilities[found.label]:.1f} %)"
        )
        most = max(found.probabilities.values())
        for name, share in found.probabilities.items():
            result(f"  {name}  {100 * share:5.1f} %  {'#' * round(30 * share / most)}".rstrip())


@command("chainrule report runs/mnist-mlp")
def report(run: RunFolder) -> None:
    """Write report.html of a finished run again, and print where it is."""
    from chainrule.recipes.folder import Run
    from chainrule.recipes.results import write_report

    result(str(write_report(Run(run))))


@command(
    "chainrule explain --list",
    "chainrule explain runs/cifar10-m2 --what filters,feature-maps,nearest",
    "chainrule explain runs/cifar10-m2 --what nearest --layer 3 --channel 5",
    "chainrule explain runs/cifar10-m2 --what saliency,occlusion --sample 12 --target cat",
    "chainrule explain squeezenet1_0 --weights imagenet --what filters",
    "chainrule explain --what edges --picture cat.jpg",
)
def explain(
    subject: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A run folder, or the name of an architecture.", show_default=False),
    ] = None,
    what: Annotated[
        str | None, typer.Option(metavar="FIGURES", help="Names of figures, commas between.", show_default=False)
    ] = None,
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="The layer, such as features.0.", show_default=False)
    ] = None,
    channel: Annotated[
        int | None, typer.Option(metavar="K", help="One channel or unit of the layer.", show_default=False)
    ] = None,
    sample: Annotated[int, typer.Option(metavar="I", help="Which picture of the test set.")] = 0,
    target: Annotated[
        str | None,
        typer.Option(metavar="CLASS", help="The class to explain; else the predicted one.", show_default=False),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Weights of an architecture; or: imagenet.", show_default=False),
    ] = None,
    picture: Annotated[
        list[pathlib.Path] | None,
        typer.Option(metavar="FILE", help="A picture of your own. Repeatable.", show_default=False),
    ] = None,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="FILE", help="The PNG file; else NAME-FIGURE.png.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of what figures draw at random.")] = 0,
    listed: Annotated[bool, typer.Option("--list", help="List the figures, and the layers of RUN.")] = False,
) -> None:
    """Look inside: draw what a trained network has learnt and why it answers as it does, or how a layer works.

    Filters, feature maps, pictures that a channel looks for, what an answer depends on; and figures that need no
    network. Several figures become several files.
    """
    from chainrule.cli import figures

    if listed:
        result(table(figures.list_figures()))
        if subject is not None:
            result("\n" + table(figures.layer_list(figures.make_subject(subject, weights, picture or [], seed))))
        return
    chosen = figures.choose(what or "")
    looked_at = figures.make_subject(subject, weights, picture or [], seed)
    looked_at = figures.with_choices(looked_at, target, layer=layer, channel=channel, sample=sample)
    failed = 0
    for name, made in figures.write_figures(looked_at, chosen, out):
        if isinstance(made, pathlib.Path):
            result(str(made))
        elif len(chosen) == 1:
            raise made
        else:
            say(f"error: {name}: {made}")
            failed += 1
    if failed:
        raise typer.Exit(1)


@command()
def recipes() -> None:
    """List the recipes: ready experiments to train.

    Each is a TOML file; a file of your own works as well, and may begin with: extends = "mnist-mlp"
    """
    from chainrule.recipes import load, names

    result(table([(name, load(name).description) for name in names()]))


@command(
    "chainrule summary mnist-mlp",
    "chainrule summary mnist-mlp --set model.sizes=[784,128,10]",
    "chainrule summary mnist-mlp --toml",
)
def summary(
    recipe: RecipeName,
    more: More = None,
    settings: Settings = None,
    toml: Annotated[
        bool, typer.Option("--toml", help="Print the whole recipe as TOML instead, every default written out.")
    ] = False,
) -> None:
    """Show a recipe's network: shapes, parameters and operations, layer by layer."""
    from chainrule.recipes import build

    source, changes = _recipe_and_settings(recipe, more, settings)
    loaded = _load(source, changes)
    if toml:
        result(loaded.to_toml().rstrip())
        return
    images, _, _ = build.load_split(loaded, "test")
    shape = (1, *images.shape[1:]) if images.ndim == 3 and build.takes_channels(loaded) else images.shape[1:]
    result(str(build.make_model(loaded).summary((1, *shape))))


@command(
    "chainrule graph mnist-mlp",
    "chainrule graph mnist-mlp --out network.html",
    "chainrule graph mnist-mlp --text",
)
def graph(
    recipe: RecipeName,
    more: More = None,
    settings: Settings = None,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="FILE", help="A file of type .svg, .html, .dot or .txt; else RECIPE.svg.", show_default=False
        ),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Print the graph instead of writing a file.")] = False,
    opened: Annotated[bool, typer.Option("--open", help="Draw what is inside the layers.")] = False,
) -> None:
    """Draw a recipe's network: each layer a box, on the lines values and gradients of one batch.

    In the HTML a click on a layer opens it.
    """
    from chainrule.cli.picture import network_picture

    source, changes = _recipe_and_settings(recipe, more, settings)
    loaded = _load(source, changes)
    picture = network_picture(loaded, opened=opened)
    result(picture.text() if text else str(picture.save(out or f"{loaded.name}.svg")))


@command(
    "chainrule data show cifar10-m3",
    "chainrule data show lenet5-mnist --samples 4 --epochs 10 --out sheet.png",
    of=data_app,
)
def show(
    recipe: RecipeName,
    more: More = None,
    settings: Settings = None,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="FILE", help="The PNG file; else RECIPE-data.png.", show_default=False),
    ] = None,
    samples: Annotated[int, typer.Option(metavar="N", help="Rows: the first training samples.")] = 8,
    epochs: Annotated[int, typer.Option(metavar="N", help="Columns: what each of the first epochs shows.")] = 7,
) -> None:
    """Write a contact sheet: training pictures as they are, and as augmentation changes them epoch by epoch."""
    from chainrule.recipes.contact import write_contact_sheet

    source, changes = _recipe_and_settings(recipe, more, settings)
    loaded = _load(source, changes)
    result(str(write_contact_sheet(loaded, out or f"{loaded.name}-data.png", samples, epochs)))


@command()
def doctor() -> None:
    """Look at this machine: versions, processor, threads, data sets, folders. Exit code 1 where something is wrong."""
    from chainrule.cli.doctor import examine

    rows, healthy = examine()
    result(table(rows))
    if not healthy:
        raise typer.Exit(1)


# ---------------------------------------------------------------------------------------------------- words
def _recipe_and_settings(recipe: str, more: list[str] | None, settings: list[str] | None) -> tuple[str, list[str]]:
    """Return the recipe and all settings: `--set a=1 b=2` leaves b=2, and perhaps the recipe, to the arguments."""
    words = [recipe, *(more or [])]
    names = [word for word in words if "=" not in word]
    if len(names) != 1:
        given = f"got {len(names)}: {', '.join(names)}." if names else f"got only settings: {', '.join(words)}."
        raise RecipeError(f"one recipe is needed; {given}")
    return names[0], [*(settings or []), *(word for word in words if "=" in word)]


def _load(source: str, changes: list[str]) -> Any:
    from chainrule.recipes import load

    return load(source, changes)


def _command(source: str, changes: list[str], out: pathlib.Path | None) -> str:
    """Return the command that repeats a run."""
    words = ["chainrule", "train", source]
    for change in changes:
        words += ["--set", change]
    words += [] if out is None else ["--out", str(out)]
    return shlex.join(words)


def _resume(command: str, folder: pathlib.Path) -> str:
    out = "" if " --out " in command else f" --out {shlex.quote(str(folder))}"
    return f"{command}{out} --resume"


def _say_if_unfinished(name: str, out: pathlib.Path | None, resume: bool, quiet: bool) -> None:
    """Remind of a run in the default folder that could be continued."""
    from chainrule.recipes.folder import Run, choose_folder, holds_run

    if out is None and not resume and not quiet:
        newest = choose_folder(name, None, resume=True)
        if holds_run(newest) and (newest / "recipe.toml").is_file() and not Run(newest).finished:
            say(f"{newest} holds an unfinished run; the same command with --resume would continue it")


def _silent(text: str) -> None:
    """Say nothing."""
