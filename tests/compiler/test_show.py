"""CHAINRULE_SHOW and cr.show: what the compiler prints of its stages, to standard error, and only where asked."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

import chainrule as cr


def shown(capsys, *words: str) -> str:
    """Return what is printed while a step runs twice, and make sure that nothing is printed after the block."""
    step = cr.jit(lambda x: cr.exp(x) * 1.0 * 1.0)
    with cr.show(*words):
        first = step(cr.zeros(4))
        step(cr.zeros(4))
    found = capsys.readouterr()
    assert found.out == ""
    other = cr.jit(lambda x: cr.exp(x) * 1.0 * 1.0)
    other(cr.zeros(4))
    assert capsys.readouterr().err == ""
    assert first.tolist() == [1.0] * 4
    return found.err


def test_passes_are_shown(capsys):
    text = shown(capsys, "passes")
    headings = re.findall(r"^after (\w+): (\d+) operations$", text, re.MULTILINE)
    assert ("remove_identities", "1") in headings
    assert headings[-1][1] == "1"
    assert len(re.findall(r"^<lambda>\(x: f32\[4\]\) -> ", text, re.MULTILINE)) == len(headings)


def test_kernels_are_shown_measured(capsys):
    text = shown(capsys, "kernels")
    assert re.match(r"<lambda>: 1 kernel, \d+ FLOP, .* on \d+ threads? \(\w+\); ", text)
    assert re.search(r"^  0 exp +[\d.]+ [um n]s ", text, re.MULTILINE)
    assert text.count("<lambda>: ") == 1


def test_the_text_for_llvm_is_shown(capsys):
    text = shown(capsys, "llvm")
    assert "define i32 @step0(" in text
    assert "define void @k0(" in text


def test_assembly_is_shown(capsys):
    text = shown(capsys, "asm")
    assert "step0:" in text
    assert ".globl\tstep0" in text
    assert "define" not in text


def test_several_words(capsys):
    text = shown(capsys, "graph", "llvm")
    assert text.index("= exp(x)") < text.index("define i32 @step0(")
    assert "after " not in text


def test_what_is_shown_was_made_now_even_if_the_code_is_on_the_disk(capsys):
    f = lambda x: cr.exp(x) * 3.5  # noqa: E731
    cr.jit(f)(cr.ones(5))
    with cr.show("llvm"):
        cr.jit(f)(cr.ones(5))
    assert "@step0(" in capsys.readouterr().err


def test_the_references_have_no_kernels_to_show(capsys):
    from chainrule.compiler.native import references

    with references(), cr.show("kernels", "llvm"):
        cr.jit(lambda x: x + 1)(cr.ones(2))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("words", ["passes,kernels", "asm"])
def test_the_environment_variable(words):
    program = "import chainrule as cr; print(cr.jit(lambda x: x * 2 * 1)(cr.ones(2)).tolist())"
    environment = {**os.environ, "CHAINRULE_SHOW": words}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout == "[2.0, 2.0]\n"
    for word, mark in (("passes", "after "), ("kernels", "<lambda>: 1 kernel"), ("asm", "step0:")):
        assert (mark in run.stderr) is (word in words)
