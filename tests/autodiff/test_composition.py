"""Transforms compose in every order: grad, forward mode, vmap, jit, checkpoint and a hard-coded block, four deep."""

from __future__ import annotations

import itertools
import math

import pytest

import chainrule as cr


def f64(value):
    return cr.asarray(value, dtype=cr.float64)


@cr.custom_gradient
def sine(x):
    return cr.sin(x), lambda g: g * cr.cos(x)


def forward(f):
    return lambda x: cr.jvp(f, (x,), (cr.ones_like(x),))[1]


def in_a_batch(f):
    return lambda x: cr.vmap(f)(cr.stack([x * 2, x]))[1]


def pulled(f):
    return lambda x: cr.vjp(f, x)[1](cr.ones_like(x))[0]


def linear(f):
    return lambda x: cr.linearize(f, x)[1](cr.ones_like(x))


TRANSFORMS = {  # name -> transform, and the order of the derivative that it takes
    "grad": (cr.grad, 1),
    "forward": (forward, 1),
    "vmap": (in_a_batch, 0),
    "jit": (cr.jit, 0),
    "checkpoint": (lambda f: lambda x: cr.checkpoint(f, x), 0),
}
MORE = {"vjp": (pulled, 1), "linearize": (linear, 1), "jacobian": (cr.jacobian, 1), "hessian": (cr.hessian, 2)}
X = 0.7


def derivative(order):
    """Return the derivative of x sin(x) of an order at X."""
    return X * math.sin(X + order * math.pi / 2) + order * math.sin(X + (order - 1) * math.pi / 2)


@pytest.mark.parametrize("first", TRANSFORMS)
def test_four_deep(first):
    for rest in itertools.product(TRANSFORMS, repeat=3):
        function, order = (lambda x: sine(x) * x), 0
        for name in (first, *rest):
            transform, step = TRANSFORMS[name]
            function, order = transform(function), order + step
        got = function(f64(X))
        assert got.item() == pytest.approx(derivative(order), rel=1e-11), (first, *rest)
        assert not got.requires_grad, (first, *rest)


@pytest.mark.parametrize("inner", MORE)
def test_the_others_inside_and_outside(inner):
    for outer in TRANSFORMS:
        for names in ((inner, outer), (outer, inner), (outer, inner, outer)):
            function, order = (lambda x: sine(x) * x), 0
            for name in names:
                transform, step = {**TRANSFORMS, **MORE}[name]
                function, order = transform(function), order + step
            assert function(f64(X)).item() == pytest.approx(derivative(order), rel=1e-11), names


@pytest.mark.parametrize("outer", TRANSFORMS)
def test_variables_of_two_levels_are_never_confused(outer):
    """x D_y[sin(x y)] at y = x is x^2 cos(x^2), in whichever way D is taken, and looked at from outside."""
    for ways in itertools.product(TRANSFORMS, repeat=2):
        order = sum(TRANSFORMS[name][1] for name in ways)
        if order != 1:
            continue

        def function(x, ways=ways):
            inside = lambda y: cr.sin(x * y)  # noqa: E731
            for name in ways:
                inside = TRANSFORMS[name][0](inside)
            return x * inside(x)

        transform, step = TRANSFORMS[outer]
        square = X * X
        want = [square * math.cos(square), 2 * X * math.cos(square) - 2 * X * square * math.sin(square)][step]
        assert transform(function)(f64(X)).item() == pytest.approx(want, rel=1e-11), ways
