"""Derivatives by central differences, and the check of both modes of differentiation against them.

Source: the random-direction check of HIPS/autograd; error analysis in Press et al., Numerical Recipes, section 5.7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.autodiff.backward import gradients
from chainrule.autodiff.jvp import jvp
from chainrule.core.context import enable_grad, no_grad
from chainrule.core.dtypes import float64
from chainrule.core.errors import DTypeError, GradientError
from chainrule.core.tensor import Tensor, unrecorded
from chainrule.ops._inputs import as_tensor
from chainrule.ops.creation import zeros

__all__ = ["check_gradients", "numerical_gradient"]


def numerical_gradient(function: Callable[..., Tensor], *args: Tensor, argnum: int = 0, eps: float = 1e-6) -> Tensor:
    """Return the gradient of a scalar function by central differences: (f(x + eps) - f(x - eps)) / (2 eps).

    Args:
        function: takes the tensors, returns a scalar tensor.
        args: where to evaluate; float64 is needed for useful digits.
        argnum: which argument to differentiate by; default the first.
        eps: step, > 0; default 1e-6.

    Returns:
        Tensor shaped like the argument.

    Raises:
        DTypeError: the argument is not float64.

    Example:
        >>> import chainrule as cr
        >>> g = cr.numerical_gradient(lambda x: (x * x).sum(), cr.asarray([1.0, 2.0], dtype=cr.float64))
        >>> cr.round(g * 1000) / 1000
        tensor([2., 4.], shape=(2,), dtype=float64)
    """
    x = args[argnum]
    if x.dtype is not float64:
        raise DTypeError(f"numerical_gradient needs float64, for useful digits; argument {argnum} is {x.dtype.name}.")
    point = np.array(x.numpy())
    result = np.zeros_like(point)
    with no_grad():
        for index in np.ndindex(point.shape):
            result[index] = _difference(function, list(args), argnum, point, index, eps)
    return Tensor(result)


def _difference(
    function: Callable[..., Tensor], args: list, argnum: int, point: np.ndarray, index: tuple, eps: float
) -> float:
    ends = []
    for step in (eps, -eps):
        moved = point.copy()
        moved[index] += step
        args[argnum] = Tensor(moved)
        ends.append(float(function(*args)))
    return (ends[0] - ends[1]) / (2 * eps)


def check_gradients(
    function: Callable[..., Any],
    *args: Any,
    order: int = 2,
    eps: float = 1e-6,
    rtol: float = 1e-6,
    atol: float = 1e-6,
    seed: int = 0,
    modes: Sequence[str] = ("reverse", "forward"),
) -> None:
    """Compare derivatives of a function with central differences, along random directions, up to `order`.

    Each order is taken in each of the modes over each derivative of the order below: forward over reverse, and so on.

    Args:
        function: takes tensors, returns a tensor or a tuple of tensors, of any shape; smooth around the point.
        args: float64 tensors or numbers.
        order: 1 checks the gradient, 2 also the gradient of the gradient; default 2.
        eps: step of the differences, > 0; default 1e-6.
        rtol: relative tolerance; default 1e-6.
        atol: absolute tolerance; default 1e-6.
        seed: of the random directions.
        modes: "reverse", "forward" or both; default both.

    Raises:
        GradientError: a derivative differs; the message holds the order, the modes, both numbers and the tolerance.
        DTypeError: an argument is not float64.
        ValueError: an unknown mode.

    Example:
        >>> import chainrule as cr
        >>> cr.check_gradients(cr.sin, cr.asarray([0.3, 1.2], dtype=cr.float64))
    """
    points = [as_tensor(arg).astype(float64) if isinstance(arg, float) else as_tensor(arg) for arg in args]
    for i, point in enumerate(points):
        if point.dtype is not float64:
            raise DTypeError(f"check_gradients needs float64, for useful digits; argument {i} is {point.dtype.name}.")
    for mode in modes:
        if mode not in _DERIVATIVES:
            raise ValueError(f"check_gradients.modes must be 'reverse' and 'forward'; got {mode!r}.")
    check = _Check(order, eps, rtol, atol, tuple(modes), np.random.default_rng(seed))
    check.run(function, [point.detach() for point in points], ())


class _Check(NamedTuple):
    """What is compared, how far, and with which tolerance."""

    order: int
    eps: float
    rtol: float
    atol: float
    modes: tuple[str, ...]
    rng: np.random.Generator

    def run(self, function: Callable, points: list[Tensor], path: tuple[str, ...]) -> None:
        """Check the derivatives of a function, which is itself a derivative: the modes of `path`, innermost first."""
        with no_grad():
            weights = [Tensor(_normal(self.rng, out.shape)) for out in _outputs(function(*points))]
        directions = [Tensor(_normal(self.rng, point.shape)) for point in points]

        def weighted(outputs: Any) -> float:
            return sum(float((out.detach() * w).sum()) for out, w in zip(_outputs(outputs), weights, strict=True))

        with no_grad():
            ends = [
                weighted(
                    function(*(Tensor(np.asarray(p.numpy() + step * d.numpy())) for p, d in zip(points, directions)))
                )
                for step in (self.eps, -self.eps)
            ]
        expected = (ends[0] - ends[1]) / (2 * self.eps)
        derivatives = {mode: _DERIVATIVES[mode](function, weights, directions) for mode in self.modes}
        for mode, derivative in derivatives.items():
            found = derivative(*points)
            parts = zip(found, directions if mode == "reverse" else weights, strict=True)
            self._compare(sum(float((g.detach() * d).sum()) for g, d in parts), expected, (*path, mode))
        if len(path) + 1 < self.order:
            finer = self._replace(rtol=self.rtol * 10, atol=self.atol * 10)
            for mode, derivative in derivatives.items():
                finer.run(derivative, points, (*path, mode))

    def _compare(self, got: float, expected: float, path: tuple[str, ...]) -> None:
        allowed = self.atol + self.rtol * abs(expected)
        if abs(got - expected) <= allowed:
            return
        how = f" ({' over '.join(reversed(path))})" if "forward" in path else ""
        raise GradientError(
            f"gradient of order {len(path)}{how} differs from central differences: got {got!r}, expected {expected!r} "
            f"(difference {abs(got - expected):.3g}, allowed {allowed:.3g}); "
            "a kink near the point gives this too: move the point or lower eps."
        )


def _pulled(function: Callable, weights: list[Tensor], directions: list[Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    """Return the gradient of <weights, function>, as a function of the point."""

    def gradient(*xs: Tensor) -> tuple[Tensor, ...]:
        with enable_grad():
            aliases = [unrecorded(x).requires_grad_() if x._node is None else x for x in xs]
            total = sum((out * w).sum() for out, w in zip(_outputs(function(*aliases)), weights, strict=True))
            value = as_tensor(total)
            if value._node is None:
                return tuple(zeros(x.shape, dtype=x.dtype) for x in xs)
            found = gradients([value], aliases, create_graph=True)
        return tuple(zeros(x.shape, dtype=x.dtype) if g is None else g for g, x in zip(found, aliases, strict=True))

    return gradient


def _pushed(function: Callable, weights: list[Tensor], directions: list[Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    """Return the derivative of a function along the directions, as a function of the point."""

    def tangent(*xs: Tensor) -> tuple[Tensor, ...]:
        return _outputs(jvp(function, xs, directions)[1])

    return tangent


_DERIVATIVES = {"reverse": _pulled, "forward": _pushed}


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rng.standard_normal(shape))  # for the shape () NumPy gives a number


def _outputs(result: Any) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)
