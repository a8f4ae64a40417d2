"""A recipe: read from TOML, changed by `--set key=value`, checked against the schema, every default filled in.

    raw TOML  --extends, --set-->  one nested dict  --resolve-->  Recipe: each key with a value that is allowed

What is wrong is said with the key's whole name, what is allowed, what was given and the nearest name.
"""

from __future__ import annotations

import json
import math
import pathlib
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from chainrule.core.errors import RecipeError, nearest
from chainrule.recipes.constraints import Choice, Text
from chainrule.recipes.schema import REQUIRED, TABLES, Key, Part, Table

__all__ = ["Recipe", "load", "names"]

Raw = dict[str, Any]


class Recipe:
    """A checked recipe, with a value for every key.

    Args:
        settings: the tables, key -> value; use `load` to make one from a name or a file.
        name: what the run is called.
        description: what it does, in a line; default "".

    Raises:
        RecipeError: an unknown key or a value that is not allowed.

    Example:
        >>> recipe = Recipe({"train": {"epochs": 3}, "model": {"sizes": [784, 10]}}, "small")
        >>> recipe["train.epochs"], recipe["optim.name"], recipe["optim.lr"]
        (3, 'sgd', 0.001)
    """

    def __init__(self, settings: Mapping[str, Any], name: str, description: str = ""):
        self.name, self.description = name, description
        self.tables: dict[str, Raw] = resolve(settings)
        from chainrule.recipes.build import check

        check(self)

    def __getitem__(self, key: str) -> Any:
        """Return the value of a key, like "train.epochs"."""
        table, _, rest = key.partition(".")
        return self.tables[table][rest]

    def options(self, table: str) -> Raw:
        """Return the options of what a table chose by name, as keyword arguments; lists are tuples.

        Args:
            table: "model", "loss", "optim" or "schedule".

        Returns:
            Option -> value, as far as the recipe has one.
        """
        keys = {"name", *(key.name for key in TABLES[table].keys)}
        values = self.tables[table].items()
        return {name: tuple(v) if isinstance(v, list) else v for name, v in values if name not in keys}

    def flat(self) -> dict[str, Any]:
        """Return "table.key" -> value for every key, in the order of the tables."""
        return {f"{table}.{key}": value for table, values in self.tables.items() for key, value in values.items()}

    def to_toml(self) -> str:
        """Return the whole recipe as TOML; reading it back gives an equal recipe."""
        head = [f"name = {_toml(self.name)}", f"description = {_toml(self.description)}"]
        parts = ["\n".join(head)]
        for table, values in self.tables.items():
            plain = [f"{key} = {_toml(value)}" for key, value in values.items() if not isinstance(value, dict)]
            inner = [
                "\n".join([f"[{table}.{key}]", *(f"{k} = {_toml(v)}" for k, v in value.items())])
                for key, value in values.items()
                if isinstance(value, dict)
            ]
            parts += ["\n".join([f"[{table}]", *plain])] if plain or not inner else []
            parts += inner
        return "\n\n".join(parts) + "\n"

    def differences(self, other: Recipe) -> dict[str, tuple[Any, Any]]:
        """Return key -> (value here, value in the other recipe) where they differ; None where a key is missing.

        Args:
            other: the recipe to compare with.

        Returns:
            The differing keys in the order of the tables.

        Example:
            >>> a = load("mnist-mlp")
            >>> a.differences(load("mnist-mlp", ["optim.lr=0.1"]))
            {'optim.lr': (0.01, 0.1)}
        """
        here, there = self.flat(), other.flat()
        keys = [*here, *(key for key in there if key not in here)]
        return {key: (here.get(key), there.get(key)) for key in keys if here.get(key) != there.get(key)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and self.tables == other.tables

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"Recipe({self.name!r}: {self.description or 'no description'})"


def _toml(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml(item)}' for key, item in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    assert isinstance(value, int | float), value
    assert math.isfinite(value), value
    return repr(value)


# ---------------------------------------------------------------------------------------------------- reading
def names() -> list[str]:
    """Return the names of the recipes inside the package.

    Example:
        >>> "mnist-mlp" in names()
        True
    """
    files = resources.files("chainrule.recipes").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load(source: str | pathlib.Path, changes: Sequence[str] = ()) -> Recipe:
    """Return a recipe by its name, or from a TOML file, with some settings changed.

    Args:
        source: a name such as "mnist-mlp", or the path of a TOML file.
        changes: settings as "key=value", the value as TOML; text needs no quotes; default none.

    Returns:
        The checked recipe.

    Raises:
        RecipeError: no such recipe or file, no TOML, an unknown key, or a value that is not allowed.

    Example:
        >>> load("mnist-mlp", ["train.epochs=3", "optim.name=adam"]).options("optim")["betas"]
        (0.9, 0.999)
    """
    raw = _read(str(source), ())
    for change in changes:
        raw = _changed(raw, change)
    text = Text()
    name = text.clean("name", raw.pop("name", pathlib.PurePath(source).name.removesuffix(".toml")))
    description = text.clean("description", raw.pop("description", ""))
    return Recipe(raw, name, description)


def _read(source: str, seen: tuple[str, ...]) -> Raw:
    """Return the raw content of a recipe, laid over the one that it extends."""
    raw = _parse(source)
    base = raw.pop("extends", None)
    if base is None:
        return raw
    if not isinstance(base, str) or base in (*seen, source):
        raise RecipeError(f"extends in {source} must be the name of another recipe; got {base!r}.")
    return _merged(_read(base, (*seen, source)), raw)


def _parse(source: str) -> Raw:
    path = pathlib.Path(source)
    try:
        if source in names():
            text = resources.files("chainrule.recipes").joinpath(f"{source}.toml").read_text(encoding="utf-8")
        elif path.suffix == ".toml" or path.is_file():
            text = path.read_text(encoding="utf-8")
        else:
            raise RecipeError(
                f"there is no recipe {source!r}{nearest(source, names()) or '.'} Recipes are {', '.join(names())}; "
                "a recipe of your own is a file ending in .toml."
            )
        return tomllib.loads(text)
    except OSError as error:
        raise RecipeError(f"the recipe {source} can't be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"the recipe {source} is no TOML file: {error}.") from None


def _merged(base: Raw, over: Raw) -> Raw:
    """Return `over` laid over `base`; another choice by name drops the options that only the old choice has."""
    result = {name: dict(value) if isinstance(value, dict) else value for name, value in base.items()}
    for name, value in over.items():
        below = result.get(name)
        if not isinstance(value, dict) or not isinstance(below, dict):
            result[name] = value
            continue
        table = TABLES.get(name)
        if table is not None and table.keys and "name" in value and value["name"] != _choice(table, below):
            known = _keys(table, {**below, **value})
            below = {key: kept for key, kept in below.items() if key in known}
        result[name] = _merged(below, value)
    return result


def _choice(table: Table, values: Raw) -> Any:
    return values.get("name", next(key.default for key in table.keys if key.name == "name"))


def _changed(raw: Raw, change: str) -> Raw:
    """Return the raw recipe with one "key=value" applied."""
    key, equals, text = (part.strip() for part in change.partition("="))
    if not equals or not key:
        raise RecipeError(f"--set takes key=value, such as train.epochs=3; got {change!r}.")
    *path, last = key.split(".")
    tree: Raw = {last: _value(text, key, raw)}
    for name in reversed(path):
        tree = {name: tree}
    return _merged(raw, tree)


def _value(text: str, key: str, raw: Raw) -> Any:
    """Return the value that TOML reads from a text; for a key that takes text, quotes may be left out."""
    table = TABLES.get(key.partition(".")[0])
    known = _keys(table, raw.get(table.name, {})) if table is not None and table.keys else {}
    wants_text = isinstance(getattr(known.get(key.partition(".")[2]), "kind", None), Text | Choice)
    if wants_text and text[:1] not in ("'", '"'):
        return text
    try:
        found = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return found["value"] if len(found) == 1 else text


# ---------------------------------------------------------------------------------------------------- checking
def resolve(raw: Mapping[str, Any]) -> dict[str, Raw]:
    """Return all tables with every key filled in and checked.

    Args:
        raw: the tables as a file has them.

    Returns:
        Table -> key -> value, in the order of the schema.

    Raises:
        RecipeError: an unknown table or key, a value that is not allowed, an option that is missing.
    """
    for name, value in raw.items():
        if name not in TABLES or not isinstance(value, dict):
            raise _unknown(name, value)
    return {name: _table(table, dict(raw.get(name, {}))) for name, table in TABLES.items()}


def _table(table: Table, values: Raw) -> Raw:
    if not table.keys:  # [metrics]: one sub-table per metric
        chosen = values if values else {"accuracy": {}}
        return {name: _metric(table, name, options) for name, options in chosen.items()}
    known = _keys(table, values)
    for name in values:
        if name not in known:
            raise _unknown_in(table, name, known, _choice(table, values) if table.choices else "")
    result = {}
    for name, key in known.items():
        if name in values:
            result[name] = key.kind.clean(f"{table.name}.{name}", values[name])
        elif key.default is REQUIRED:
            raise RecipeError(
                f"{table.name}.{name} is missing: {_choice(table, values)} needs it; "
                f"it must be {key.kind} ({key.meaning})."
            )
        elif key.default is not None:
            result[name] = key.kind.clean(f"{table.name}.{name}", key.default)
    return result


def _keys(table: Table, values: Raw) -> dict[str, Key]:
    """Return the keys that a table takes, with the options of what its `name` chooses."""
    known = {key.name: key for key in table.keys}
    if table.choices:
        chosen = known["name"].kind.clean(f"{table.name}.name", _choice(table, values))
        known |= table.choices[chosen].options if chosen in table.choices else {}
    return known


def _metric(table: Table, name: str, options: Any) -> Raw:
    parts: dict[str, Part] = table.choices or {}
    if name not in parts or not isinstance(options, dict):
        raise RecipeError(
            f"metrics.{name} is not known{nearest(name, parts) or '.'} Metrics are {', '.join(parts)}, "
            "each a table of its options: accuracy = {}, top_k = { k = 3 }."
        )
    known = parts[name].options
    for option in options:
        if option not in known:
            raise _unknown_in(Table(f"metrics.{name}", ""), option, known, name)
    filled = {key.name: key.default for key in known.values() if key.default not in (None, REQUIRED)} | options
    return {option: known[option].kind.clean(f"metrics.{name}.{option}", value) for option, value in filled.items()}


def _unknown_in(table: Table, name: str, known: Mapping[str, Key], chosen: str) -> RecipeError:
    of = f" of {chosen}" if chosen and table.choices is not None else ""
    hint = nearest(name, known)
    hint = hint.replace("'", f"'{table.name}.", 1) if hint else _elsewhere(name)
    allowed = ", ".join(known) or "no keys"
    return RecipeError(f"unknown recipe key {table.name}.{name}{hint or '.'} [{table.name}]{of} has {allowed}.")


def _unknown(name: str, value: Any) -> RecipeError:
    if name in TABLES:
        return RecipeError(f"{name} is a table: write [{name}] and its keys below; got {value!r}.")
    table, key = nearest(name, TABLES), _elsewhere(name)
    hint = table or key if isinstance(value, Mapping) else key or table
    return RecipeError(f"unknown recipe key {name}{hint or '.'} The tables are {', '.join(TABLES)}.")


def _elsewhere(name: str) -> str:
    """Return a hint where another table has a key of this name, or nearly so."""
    every = {
        key.name: f"{table.name}.{key.name}" for table in TABLES.values() for key in table.keys if key.name != "name"
    }
    for table in TABLES.values():
        for part in (table.choices or {}).values() if table.keys else ():
            every |= {option: f"{table.name}.{option}" for option in part.options if option not in every}
    found = nearest(name, every)
    return f"; did you mean {every[found.split(chr(39))[1]]!r}?" if found else ""
