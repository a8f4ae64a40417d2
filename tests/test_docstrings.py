"""Every public docstring is a contract: it agrees with the signature, stands in the fixed order, and its example runs.

The public names are found at run time: all that stands in the `__all__` of a package, or of a module that such a list
names (nn.functional). `problems` is the checker; the tests at the end of this file check the checker.
"""

from __future__ import annotations

import doctest
import enum
import importlib
import inspect
import pathlib
import pkgutil
import re
import types
import typing

import numpy as np
import pytest

import chainrule

SECTIONS = ("Args", "Call", "Attributes", "Returns", "Yields", "Raises", "Example", "Source")  # in this order


def _modules() -> list[types.ModuleType]:
    """Return chainrule and every module below it that is not private."""
    names = [chainrule.__name__]
    for info in pkgutil.walk_packages(chainrule.__path__, "chainrule."):
        if not any(part.startswith("_") for part in info.name.split(".")):
            names.append(info.name)
    return [importlib.import_module(name) for name in names]


def _public_modules() -> list[types.ModuleType]:
    """Return the packages, and the modules that the `__all__` of a package names."""
    packages = [module for module in _modules() if hasattr(module, "__path__")]
    named = [getattr(package, name) for package in packages for name in getattr(package, "__all__", ())]
    return packages + [thing for thing in named if inspect.ismodule(thing) and thing not in packages]


def _public() -> dict[str, object]:
    """Return the functions and classes of every public list under their first public name, each object once."""
    found: dict[int, tuple[str, object]] = {}
    for module in _public_modules():
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            documented = callable(thing) and not isinstance(thing, types.GenericAlias | typing.TypeVar)
            if documented and (getattr(thing, "__module__", "") or "").startswith("chainrule"):
                found.setdefault(id(thing), (f"{module.__name__}.{name}", thing))
    return dict(sorted(found.values()))


def _sections(doc: str) -> dict[str, str]:
    """Split a docstring at its section headings; the text before the first stands under ""."""
    parts = re.split(rf"^({'|'.join(SECTIONS)}):", doc, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def _documented_arguments(section: str) -> list[str]:
    """Return the names that open an entry of an Args section, without stars: `x:`, `*shape:`, `a, b:`, `x (...):`."""
    names = []
    for line in section.splitlines():
        entry = re.match(r"    (\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: \([^)]*\))?:", line)
        if entry:
            names += entry[1].replace("*", "").split(", ")
    return names


def _signature_arguments(thing: object) -> list[str] | None:
    try:
        parameters = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return None
    return [p.name for p in parameters if not p.name.startswith("_")]


def _unannotated(function: object) -> list[str]:
    signature = inspect.signature(function)
    names = [p.name for p in signature.parameters.values() if p.annotation is p.empty and p.name not in ("self", "cls")]
    return names + (["return"] if signature.return_annotation is signature.empty else [])


def _summary_problems(text: str) -> list[str]:
    first = " ".join(text.strip().split("\n\n")[0].split())
    if not first:
        return ["has no docstring"]
    if not first.endswith((".", ":", "?")):
        return [f"first paragraph must be one sentence that ends with a full stop: {first!r}"]
    return []


def _argument_problems(thing: object, sections: dict[str, str]) -> list[str]:
    documented, actual = _documented_arguments(sections.get("Args", "")), _signature_arguments(thing)
    if actual is None:
        return []
    missing, unknown = [n for n in actual if n not in documented], [n for n in documented if n not in actual]
    found = [f"Args does not describe {', '.join(missing)}"] if missing else []
    found += [f"Args describes {', '.join(unknown)}, which the signature does not have"] if unknown else []
    if not found and documented != actual:
        found.append(f"Args must stand in the signature's order {actual}")
    return found


def problems(thing: object) -> list[str]:
    """Return what is wrong with the docstring of a public function or class; empty if nothing is."""
    doc = inspect.cleandoc(getattr(thing, "__doc__", None) or "")
    sections = _sections(doc)
    found = _summary_problems(sections[""])
    order = [SECTIONS.index(name) for name in sections if name]
    if order != sorted(order):
        found.append(f"sections must stand in the order {', '.join(SECTIONS)}")
    if not doc or (isinstance(thing, type) and issubclass(thing, Exception | enum.Enum)):
        return found
    if "Args" in sections or "Attributes" not in sections:  # attributes alone: users do not construct it themselves
        found += _argument_problems(thing, sections)
    if ">>>" not in sections.get("Example", ""):
        found.append("has no Example with a >>> line")
    if inspect.isfunction(thing):
        found += [f"has no annotation for {name}" for name in _unannotated(thing)]
        gives = inspect.signature(thing).return_annotation not in ("None", None, "Iterator[None]")
        if gives and not {"Returns", "Yields"} & set(sections) and not re.match(r"(Return|Yield)\b", doc):
            found.append("has neither Returns: nor a first sentence that starts with Return")
    return found


def method_problems(cls: type) -> list[str]:
    """Return what is wrong with the public methods that a class itself defines: no docstring, or wrong arguments."""
    found = []
    for name, member in vars(cls).items():
        function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        function = function.fget if isinstance(function, property) else function
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        doc = inspect.getdoc(getattr(cls, name)) or ""
        found += [f"{name}: {text}" for text in _summary_problems(_sections(doc)[""])]
        if not isinstance(member, property):
            found += [f"{name}: has no annotation for {argument}" for argument in _unannotated(function)]
            arguments = set(_documented_arguments(_sections(doc).get("Args", "")))
            unknown = arguments - set(_signature_arguments(function) or arguments)
            found += [f"{name}: Args describes {argument}, which it does not take" for argument in sorted(unknown)]
    return found


PUBLIC = _public()


def _examples() -> dict[str, doctest.DocTest]:
    """Return each docstring of the package that has a >>> line: public or not, modules, classes, methods, functions."""
    finder, tests = doctest.DocTestFinder(exclude_empty=True), {}
    for module in _modules():
        for test in finder.find(module, module.__name__, module=module):
            if test.examples:
                tests[test.name] = test
    # Functions that are made by other functions have no line of their own, so the finder does not see them.
    parser, seen = doctest.DocTestParser(), {test.docstring for test in tests.values()}
    for name, thing in PUBLIC.items():
        doc = inspect.getdoc(thing) or ""
        if ">>>" in doc and not any(inspect.cleandoc(text) == doc for text in seen):
            tests[name] = parser.get_doctest(doc, {}, name, None, None)
    return dict(sorted(tests.items()))


EXAMPLES = _examples()


@pytest.mark.parametrize("name", PUBLIC)
def test_the_docstring_agrees_with_the_signature(name):
    thing = PUBLIC[name]
    found = problems(thing) + (method_problems(thing) if inspect.isclass(thing) else [])
    assert not found, f"{name}:\n  " + "\n  ".join(found)


@pytest.mark.parametrize("module", _modules(), ids=lambda module: module.__name__)
def test_every_module_starts_with_its_map(module):
    assert (module.__doc__ or "").strip(), f"{module.__name__} has no docstring that says what the file decides"


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    test = EXAMPLES[name]
    test.globs = {**test.globs, "cr": chainrule, "nn": chainrule.nn, "optim": chainrule.optim, "np": np}
    output: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    result = runner.run(test, out=output.append)
    assert result.failed == 0, "".join(output)


def test_no_name_of_a_public_list_is_missing_or_doubled():
    for module in _modules():
        names = list(getattr(module, "__all__", ()))
        assert len(names) == len(set(names)), f"{module.__name__}.__all__ lists a name twice: {sorted(names)}"
        absent = [name for name in names if not hasattr(module, name)]
        assert not absent, f"{module.__name__}.__all__ lists {absent}, which the module does not have"


# --- the checker is checked ---------------------------------------------------------------------------------------


def _good(x: int, *, scale: float = 1.0) -> float:
    """Multiply a number.

    Args:
        x: the number.
        scale: the factor; default 1.

    Returns:
        The product.

    Example:
        >>> 1 + 1
        2
    """
    return x * scale


def _bad(x, *, scale: float = 1.0) -> float:
    """Multiply a number

    Example:
        none

    Args:
        x: the number.
        factor: the factor.
    """
    return x * scale


class _Class:
    """Hold a number.

    Args:
        value: the number.

    Example:
        >>> 1 + 1
        2
    """

    def __init__(self, value: int) -> None:
        self.value = value

    def undocumented(self) -> int:
        return self.value

    def wrong(self, step: int) -> int:
        """Return a number.

        Args:
            stride: something else.
        """
        return self.value + step


def test_a_good_docstring_has_no_problems():
    assert problems(_good) == []
    assert problems(_Class) == []


def test_each_kind_of_problem_is_named():
    assert problems(_bad) == [
        "first paragraph must be one sentence that ends with a full stop: 'Multiply a number'",
        "sections must stand in the order Args, Call, Attributes, Returns, Yields, Raises, Example, Source",
        "Args does not describe scale",
        "Args describes factor, which the signature does not have",
        "has no Example with a >>> line",
        "has no annotation for x",
        "has neither Returns: nor a first sentence that starts with Return",
    ]
    assert method_problems(_Class) == [
        "undocumented: has no docstring",
        "wrong: Args describes stride, which it does not take",
    ]


def test_the_package_is_really_walked():
    names = {module.__name__ for module in _modules()}
    assert {"chainrule", "chainrule.core.tensor", "chainrule.nn", "chainrule.optim", "chainrule.data"} <= names
    assert pathlib.Path(chainrule.__file__).parent.name == "chainrule"
    assert len(PUBLIC) > 100
