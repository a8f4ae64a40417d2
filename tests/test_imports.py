"""The floors of the house (.importlinter), and a check that the contracts would notice a broken one."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

from importlinter import cli as linter


def _lint(folder: pathlib.Path, path: pathlib.Path | None = None) -> subprocess.CompletedProcess:
    program = "import sys; from importlinter import cli; sys.exit(cli.lint_imports('.importlinter', no_cache=True))"
    environment = {**os.environ, "PYTHONPATH": str(path or folder / "src")}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


def test_imports_go_down_the_floors_only(repository):
    result = _lint(repository)
    assert result.returncode == linter.EXIT_STATUS_SUCCESS, result.stdout + result.stderr
    assert "0 broken" in result.stdout


def test_an_upward_import_and_a_peer_are_noticed(repository, tmp_path):
    # A miniature house in which ops reaches up to nn, and train imports PyTorch.
    for floor in ("core", "ops", "nn", "train"):
        (tmp_path / "house" / "chainrule" / floor).mkdir(parents=True)
        (tmp_path / "house" / "chainrule" / floor / "__init__.py").touch()
    (tmp_path / "house" / "chainrule" / "__init__.py").touch()
    (tmp_path / "house" / "chainrule" / "ops" / "__init__.py").write_text("def f():\n    import chainrule.nn\n")
    (tmp_path / "house" / "chainrule" / "train" / "__init__.py").write_text("import torch\n")
    (tmp_path / ".importlinter").write_text((repository / ".importlinter").read_text())
    result = _lint(tmp_path, tmp_path / "house")
    assert result.returncode != linter.EXIT_STATUS_SUCCESS
    assert "Imports go down the floors only BROKEN" in result.stdout
    assert "The package never imports a peer BROKEN" in result.stdout
    assert "llvmlite is imported under compiler/llvm only KEPT" in result.stdout
