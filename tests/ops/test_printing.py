"""debug_print: at run time, in order, once, wherever it stands."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr


def steps(x):
    cr.debug_print("x = {}", x)
    y = x * 2
    cr.debug_print("{name}: {0:.3f} of {1}", y.sum(), "two", name="sum")
    return y


@pytest.mark.parametrize("wrap", [lambda f: f, cr.jit], ids=["eager", "jit"])
def test_values_of_each_call_in_the_order_of_the_lines(wrap, capsys):
    f = wrap(steps)
    for x in ([1.0, 2.0], [3.0, 0.5]):
        f(cr.asarray(x))
    assert capsys.readouterr().out == ("x = [1. 2.]\nsum: 6.000 of two\nx = [3.  0.5]\nsum: 7.000 of two\n")


def in_loops(x):
    def inner(c, r):
        cr.debug_print("inner {}", c + r)
        return c + r, None

    def outer(c, row):
        cr.debug_print("row {}", row)
        c, _ = cr.scan(inner, c, row)
        return cr.cond(c > 4, lambda: (cr.debug_print("large"), c * 0)[1], lambda: c), None

    return cr.while_loop(lambda c: c < 2, lambda c: (cr.debug_print("go {}", c), c + 1)[1], cr.scan(outer, 0.0, x)[0])


LOOPS = "row [1. 2.]\ninner 1.0\ninner 3.0\nrow [1. 1.]\ninner 4.0\ninner 5.0\nlarge\ngo 0.0\ngo 1.0\n"


@pytest.mark.parametrize("wrap", [lambda f: f, cr.jit], ids=["eager", "jit"])
def test_in_loops_and_branches(wrap, capsys):
    assert wrap(in_loops)(cr.asarray([[1.0, 2.0], [1.0, 1.0]])).item() == 2.0
    assert capsys.readouterr().out == LOOPS


@pytest.mark.parametrize(
    "gradient",
    [lambda f: cr.grad(f), lambda f: cr.jit(cr.grad(f)), lambda f: cr.grad(cr.jit(f))],
    ids=["eager", "jit of grad", "grad of jit"],
)
def test_the_backward_pass_does_not_print_again(gradient, capsys):
    """Found: a body that is computed again for its gradient printed again, and so did a compiled call."""

    def f(x):
        cr.debug_print("start")

        def body(c, r):
            cr.debug_print("c = {}", c)
            return cr.sin(c * r), None

        return cr.scan(body, 1.0, x)[0]

    assert gradient(f)(cr.asarray([0.0, 2.0])).shape == (2,)
    assert capsys.readouterr().out == "start\nc = 1.0\nc = 0.0\n"


@pytest.mark.parametrize("wrap", [lambda f: f, cr.jit], ids=["eager", "jit"])
def test_a_step_that_fails_prints_once_what_came_before(wrap, capsys):
    """Found: compiled code that fails runs its references for the message, and these printed again."""

    def step(x):
        cr.debug_print("before {}", x)
        y = cr.check_finite(x / 0, "y")
        cr.debug_print("after {}", y)
        return y

    with pytest.raises(cr.core.errors.NonFiniteError):
        wrap(step)(cr.ones(1))
    assert capsys.readouterr().out == "before [1.]\n"


def test_vmap_prints_each_sample_and_jvp_the_value(capsys):
    cr.vmap(steps)(cr.asarray([[1.0, 2.0], [3.0, 4.0]]))
    cr.jvp(steps, (cr.ones(1),), (cr.ones(1),))
    assert capsys.readouterr().out == (
        "x = [1. 2.]\nx = [3. 4.]\nsum: 6.000 of two\nsum: 14.000 of two\nx = [1.]\nsum: 2.000 of two\n"
    )


def test_what_is_no_tensor_is_printed_as_it_is(capsys):
    cr.jit(lambda x: cr.debug_print("{} {} {kind!r} {{}}", [1, 2], np.float32(0.5), kind="a"))(cr.ones(2))
    cr.debug_print("no values")
    assert capsys.readouterr().out == "[1, 2] 0.5 'a' {}\nno values\n"


def test_dtypes(capsys):
    values = (
        cr.asarray(True),
        cr.asarray(1.5, dtype=cr.bfloat16),
        cr.asarray(2**63, dtype=cr.uint64),
        cr.asarray(1 + 2j),
    )
    cr.debug_print("{} {} {} {}", *values)
    assert capsys.readouterr().out == "True 1.5 9223372036854775808 (1+2j)\n"


MISTAKES = {
    "debug_print: the template '{} {}' needs 2 positional values; got 1.": ("{} {}", 1),
    "debug_print: the template '{2}' needs 3 positional values; got 1.": ("{2}", 1),
    "debug_print: the template '{loss:.2f}' needs loss=, which is not given.": ("{loss:.2f}",),
    "debug_print: the template '{' is malformed: Single '{' encountered in format string.": ("{",),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_refused_at_the_call(message):
    with pytest.raises(ValueError) as error:
        cr.debug_print(*MISTAKES[message])
    assert str(error.value) == message
