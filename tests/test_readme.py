"""What no example of the README shows: the two commands, its picture, its links, and where its numbers come from."""

from __future__ import annotations

import re

import pytest

COMMANDS = (
    "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/chainrule train mnist-mlp",
    "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest",
)


@pytest.fixture
def readme(repository):
    return (repository / "README.md").read_text(encoding="utf-8")


def test_the_two_commands_stand_there_as_they_are_typed(readme):
    typed = [line[2:] for line in readme.splitlines() if line.startswith("$ python3")]
    assert tuple(typed) == COMMANDS


def test_continuous_integration_runs_the_second_command(repository):
    script = (repository / ".ci" / "run").read_text(encoding="utf-8").replace("$python", "python3").replace(" -q ", " ")
    install, _, test = COMMANDS[1].rpartition(" && ")
    assert f'"{install}"' in script
    assert re.search(rf"part .* {re.escape(test)}$", script, re.MULTILINE)


def test_every_link_and_picture_of_the_repository_exists(readme, repository):
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", readme) if not target.startswith("https://")]
    assert len(targets) >= 6
    missing = [target for target in targets if not (repository / target).is_file()]
    assert missing == []


def test_the_pictures_are_small_and_described(readme, repository):
    pictures = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", readme)
    assert pictures
    for words, path in pictures:
        assert len(words) > 20, f"{path} has no description for those who don't see it"
        assert (repository / path).stat().st_size < 300_000


def test_the_table_names_the_script_of_each_number(readme, repository):
    section = readme.split("## Measured")[1].split("\n## ")[0]
    scripts = set(re.findall(r"benchmarks/\w+\.py", section))
    assert scripts >= {"benchmarks/accuracy.py", "benchmarks/eager.py"}
    assert all((repository / script).is_file() for script in scripts)


def test_the_accuracies_of_the_table_are_within_the_promise(readme):
    section = readme.split("## Measured")[1].split("\n## ")[0]
    ours, theirs = (float(re.search(rf"\| {name} \| (\d\d\.\d\d) %", section)[1]) for name in ("chainrule", "PyTorch"))
    assert abs(ours - theirs) <= 0.3
