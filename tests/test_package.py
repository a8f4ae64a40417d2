"""What a user meets first: an import that is silent and light, a version that is true, dependencies with a reason."""

from __future__ import annotations

import itertools
import json
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

import chainrule

# Counted, not timed: what costs time at import is loading modules. benchmarks/import_time.py measures the seconds.
HEAVY = {
    "IPython", "PIL", "asyncio", "concurrent.futures", "email", "http", "importlib.metadata", "llvmlite", "logging",
    "matplotlib", "multiprocessing", "onnx", "pandas", "pickle", "pydoc", "rich", "safetensors", "scipy", "sklearn",
    "sqlite3", "ssl", "tensorboard", "tomllib", "torch", "typer", "unittest", "urllib.request", "xml",
}  # fmt: skip

ENGINE = "import numpy, numpy.random, ml_dtypes"


def _python(program: str, *options: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *options, "-c", program], capture_output=True, text=True, check=True)


def _loaded(statement: str) -> set[str]:
    return set(json.loads(_python(f"{statement}; import sys, json; print(json.dumps(list(sys.modules)))").stdout))


def test_import_prints_nothing_and_warns_of_nothing():
    result = _python("import chainrule", "-W", "error")
    assert result.stdout == ""
    assert result.stderr == ""


def test_import_loads_no_heavy_module_that_numpy_has_not_loaded():
    loaded = _loaded("import chainrule") - _loaded(ENGINE)
    assert sorted(HEAVY & loaded) == []


def test_import_loads_no_package_but_its_own_and_the_engine():
    added = {name.split(".")[0] for name in _loaded("import chainrule") - _loaded(ENGINE)}
    foreign = {name for name in added if name not in sys.stdlib_module_names and not name.startswith("_")}
    assert foreign == {"chainrule"}


def test_the_version_is_that_of_pyproject(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert chainrule.__version__ == project["version"]


def test_the_changelog_has_the_version(repository):
    changes = (repository / "CHANGELOG.md").read_text()
    assert re.search(rf"^## {re.escape(chainrule.__version__)}\b", changes, re.MULTILINE)


def test_every_dependency_has_its_reason(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    reasons = (repository / "docs" / "decisions.md").read_text()
    wanted = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    names = {re.match(r"[\w-]+", requirement)[0] for requirement in wanted} - {"chainrule"}
    missing = [name for name in sorted(names) if f"| `{name}` |" not in reasons]
    assert not missing, f"docs/decisions.md has no line of reasons for {missing}"


def test_the_default_suite_never_needs_pytorch(repository):
    extras = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert not any("torch" in requirement for requirement in extras["test"])


def test_every_name_of_the_public_list_is_reachable_from_a_fresh_interpreter():
    # Lazy submodules are the trap: a name that works only because a test imported its module before.
    program = "import chainrule\nfor name in chainrule.__all__: getattr(chainrule, name)\nprint(len(chainrule.__all__))"
    assert int(_python(program).stdout) == len(chainrule.__all__)


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(AttributeError, match=r"^module 'chainrule' has no attribute 'matmull'"):
        _ = chainrule.matmull


def test_the_console_script_is_the_command_line(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    module, function = project["scripts"]["chainrule"].split(":")
    program = f"import {module} as m; assert callable(m.{function})"
    assert _python(program).stdout == ""


def test_no_file_of_the_package_names_a_machine_path(repository):
    pattern = re.compile(r"(/home/|/root/|/work/|/Users/)\w")
    found = [
        f"{path.relative_to(repository)}:{number}"
        for path in sorted(pathlib.Path(repository, "src").rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []


def test_type_checkers_see_what_the_upper_floors_attach_to_tensor(repository):
    # In a process of its own: what is attached must come from `import chainrule`, not from another test.
    tool = [sys.executable, str(repository / "tools" / "make_attached_types.py")]
    result = subprocess.run([*tool, "--check"], check=False)
    assert result.returncode == 0, "src/chainrule/core/_attached.pyi is old; run: python tools/make_attached_types.py"
