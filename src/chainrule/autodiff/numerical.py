"""Derivatives by central differences, and the check of a gradient against them.

Source: the random-direction check of HIPS/autograd; error analysis in Press et al., Numerical Recipes, section 5.7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.autodiff.backward import gradients
from chainrule.core.context import enable_grad, no_grad
from chainrule.core.dtypes import float64
from chainrule.core.errors import DTypeError, GradientError
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor

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
) -> None:
    """Compare reverse-mode gradients of a function with central differences, along random directions, up to `order`.

    Args:
        function: takes tensors, returns a tensor or a tuple of tensors, of any shape; smooth around the point.
        args: float64 tensors or numbers.
        order: 1 checks the gradient, 2 also the gradient of the gradient; default 2.
        eps: step of the differences, > 0; default 1e-6.
        rtol: relative tolerance; default 1e-6.
        atol: absolute tolerance; default 1e-6.
        seed: of the random directions.

    Raises:
        GradientError: a gradient differs; the message holds the order, both numbers and the tolerance.
        DTypeError: an argument is not float64.

    Example:
        >>> import chainrule as cr
        >>> cr.check_gradients(cr.sin, cr.asarray([0.3, 1.2], dtype=cr.float64))
    """
    points = [as_tensor(arg).astype(float64) if isinstance(arg, float) else as_tensor(arg) for arg in args]
    for i, point in enumerate(points):
        if point.dtype is not float64:
            raise DTypeError(f"check_gradients needs float64, for useful digits; argument {i} is {point.dtype.name}.")
    _check(function, [point.detach() for point in points], order, 1, eps, rtol, atol, np.random.default_rng(seed))


def _check(
    function: Callable, points: list[Tensor], order: int, level: int, eps: float, rtol: float, atol: float, rng: Any
) -> None:
    with no_grad():
        weights = [Tensor(_normal(rng, out.shape)) for out in _outputs(function(*points))]
    directions = [_normal(rng, point.shape) for point in points]

    def covector(*xs: Tensor) -> Tensor:
        total = sum((out * w).sum() for out, w in zip(_outputs(function(*xs)), weights, strict=True))
        return as_tensor(total)

    def pulled(*xs: Tensor) -> tuple[Tensor, ...]:
        with enable_grad():
            aliases = [x.detach().requires_grad_() if x._node is None else x for x in xs]
            value = covector(*aliases)
            if value._node is None:
                return tuple(x.detach() * 0 for x in xs)
            found = gradients([value], aliases, create_graph=True)
        return tuple(x * 0 if g is None else g for g, x in zip(found, aliases, strict=True))

    got = sum(float((g.detach() * Tensor(d)).sum()) for g, d in zip(pulled(*points), directions, strict=True))
    with no_grad():
        ends = [
            float(
                covector(*(Tensor(np.asarray(p.numpy() + step * d)) for p, d in zip(points, directions, strict=True)))
            )
            for step in (eps, -eps)
        ]
    expected = (ends[0] - ends[1]) / (2 * eps)
    if not abs(got - expected) <= atol + rtol * abs(expected):
        raise GradientError(
            f"gradient of order {level} differs from central differences: got {got!r}, expected {expected!r} "
            f"(difference {abs(got - expected):.3g}, allowed {atol + rtol * abs(expected):.3g}); "
            "a kink near the point gives this too: move the point or lower eps."
        )
    if level < order:
        _check(pulled, points, order, level + 1, eps, rtol * 10, atol * 10, rng)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rng.standard_normal(shape))  # for the shape () NumPy gives a number


def _outputs(result: Any) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)
