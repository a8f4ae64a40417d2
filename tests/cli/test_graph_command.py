"""`chainrule graph`: a recipe's network as a picture."""

from __future__ import annotations

import pytest

from chainrule import cli


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    """Return a function that runs a command line in a folder of its own and returns (code, output, errors)."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = cli.run(words)
        return (code, *capsys.readouterr())

    return run


def test_text_has_a_row_per_layer(tiny, command):
    code, out, err = command("graph", "mnist-mlp", "--text", "--set", "model.sizes=[784, 5, 10]")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["mnist-mlp(images,", "labels)"]
    assert [(line[0], line[1]) for line in lines if line[1:2] in (["Linear"], ["ReLU"])] == [
        ("0", "Linear"), ("1", "ReLU"), ("2", "Linear"),
    ]  # fmt: skip
    assert lines[-1] == ["result:", "loss:", "%1"]


def test_the_picture_is_written_where_it_is_asked_for(tiny, command, tmp_path):
    words = ("--set", "model.sizes=[784, 5, 10]")
    assert command("graph", "mnist-mlp", *words) == (0, "mnist-mlp.svg\n", "")
    assert (tmp_path / "mnist-mlp.svg").read_text(encoding="utf-8").startswith("<svg")
    assert command("graph", "mnist-mlp", *words, "--out", "net.html") == (0, "net.html\n", "")
    assert (tmp_path / "net.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert command("graph", "mnist-mlp", *words, "--out", "open.dot", "--open")[0] == 0
    assert "xᵀ" in (tmp_path / "open.dot").read_text(encoding="utf-8")


def test_it_is_the_same_picture_every_time(tiny, command):
    words = ("graph", "mnist-mlp", "--text", "--set", "model.sizes=[784, 5, 10]")
    assert command(*words) == command(*words)


def test_another_ending_is_refused(tiny, command):
    code, out, err = command("graph", "mnist-mlp", "--out", "net.png", "--set", "model.sizes=[784, 5, 10]")
    assert (code, out) == (1, "")
    assert err == "error: a picture is saved as .svg, .html, .dot, .txt; got 'net.png'.\n"
