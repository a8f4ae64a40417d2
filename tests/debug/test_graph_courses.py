"""The pictures that courses draw, number by number."""

from __future__ import annotations

import pytest
from tests.debug.drawings import NEURON, boxes, lines, neuron, neuron_with_block, product, sigmoid, softmax_loss

import chainrule as cr


def test_the_product_of_a_sum():
    # Stanford's CS231n: f = (x + y) z at (-2, 5, -4); f = -12, df/dx = df/dy = df/dq = -4, df/dz = 3.
    svg = cr.graph(product, -2.0, 5.0, -4.0).svg()
    assert sorted(lines(svg)) == sorted(
        [
            ("−2", "−4", "−4 × 1"),
            ("5", "−4", "−4 × 1"),
            ("3", "−4", "1 × −4"),
            ("−4", "3", "1 × 3"),
            ("−12", "1"),
        ]
    )
    assert boxes(svg) == ["x", "y", "z", "+", "×", "product"]


def test_the_sigmoid_neuron_as_elementary_operations():
    # CS231n's numbers, with two digits there: 0.73; 0.20; w0 -0.20, x0 0.39 (0.40 there, rounded twice), w1 -0.39, ...
    svg = cr.graph(neuron, *NEURON).svg()
    assert sorted(lines(svg)) == sorted(
        [
            ("2", "−0.1966", "0.1966 × −1"),
            ("−1", "0.3932", "0.1966 × 2"),
            ("−3", "−0.3932", "0.1966 × −2"),
            ("−2", "−0.5898", "0.1966 × −3"),
            ("−2", "0.1966", "0.1966 × 1"),
            ("6", "0.1966", "0.1966 × 1"),
            ("4", "0.1966", "0.1966 × 1"),
            ("−3", "0.1966", "0.1966 × 1"),
            ("1", "0.1966", "−0.1966 × −1"),
            ("−1", "−0.1966", "−0.5344 × 0.3679"),
            ("0.3679", "−0.5344", "−0.5344 × 1"),
            ("1.368", "−0.5344", "1 × −0.5344"),
            ("0.7311", "1"),
        ]
    )
    assert boxes(svg)[5:] == ["×", "×", "+", "+", "−x", "exp", "1 + x", "1 / x", "neuron"]


@pytest.mark.parametrize("collapse", [True, "sigmoid"])
def test_the_sigmoid_neuron_with_a_block(collapse):
    picture = cr.graph(neuron_with_block, *NEURON, collapse=collapse)
    svg = picture.svg()
    assert ("1", "0.1966", "1 × 0.1966") in lines(svg)  # (1 - 0.73) 0.73, the derivative of the whole block
    assert boxes(svg)[5:] == ["×", "×", "+", "+", "sigmoid", "neuron_with_block"]


def test_an_open_block_is_a_frame_around_its_operations():
    svg = cr.graph(neuron_with_block, *NEURON, collapse=False).svg()
    assert '<rect class="frame"' in svg
    assert ("−1", "−0.1966", "−0.5344 × 0.3679") in lines(svg)
    assert {"−x", "exp", "1 + x", "1 / x"} < set(boxes(svg))
    assert "sigmoid" not in boxes(svg)


def test_a_block_with_a_hard_coded_derivative_is_one_operation():
    svg = cr.graph(lambda x: 2 * sigmoid(x), 1.0).svg()
    assert boxes(svg) == ["x", "sigmoid", "2 × x", "f"]
    assert lines(svg) == [("1", "0.3932", "2 × 0.1966"), ("0.7311", "2", "1 × 2"), ("1.462", "1")]


def test_the_softmax_classifier_with_cross_entropy():
    # CS231n: W x + b = (-2.85, 0.86, 0.28), probabilities (0.016, 0.631, 0.353), loss 1.04 for the third class;
    # the gradient in the scores is p - t.
    w = cr.asarray([[0.01, -0.05, 0.1, 0.05], [0.7, 0.2, 0.05, 0.16], [0.0, -0.45, -0.2, 0.03]])
    x, b, t = cr.asarray([-15.0, 22.0, -44.0, 56.0]), cr.asarray([0.0, 0.2, -0.3]), cr.asarray([0.0, 0.0, 1.0])
    closed = cr.graph(softmax_loss, w, x, b, t)
    assert ("[−2.85, 0.86, 0.28]", "[0.0154, 0.631, −0.647]") in lines(closed.svg())
    assert ("[0.0154, 0.631, 0.353]", "[0, 0, −2.83]") in lines(closed.svg())
    assert ("1.04", "1") in lines(closed.svg())
    assert [name for name in boxes(closed.svg()) if "s" in name] == ["softmax", "cross-entropy", "softmax_loss"]
    opened = lines(cr.graph(softmax_loss, w, x, b, t, collapse=False).svg())
    assert ("[0.0578, 2.36, 1.32]", "[0.267, 0.267, 0.267]") in opened  # into the sum: its part of the gradient
    assert ("[0.0578, 2.36, 1.32]", "[0, 0, −0.756]") in opened  # into the division


def test_the_gradients_on_the_picture_are_those_of_backward():
    leaves = [cr.asarray(value).requires_grad_() for value in NEURON]
    neuron(*leaves).backward()
    drawn = cr.graph(neuron, *NEURON).computation.arguments
    assert [value.name for value in drawn] == ["w0", "x0", "w1", "x1", "w2"]
    assert [value.gradient.item() for value in drawn] == [leaf.grad.item() for leaf in leaves]
