"""Every differentiable function: both modes to second order against central differences, and vmap against a loop.

`CASES` holds a call for each function of `cr` and `cr.linalg`; `WITHOUT` names those that have no derivative. A new
function stands in neither, and fails. Points are away from kinks and ties: what happens there is chosen in the `edges`
of the primitives, which the registry's suite checks.
"""

from __future__ import annotations

import inspect
import zlib
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.testing import assert_close

INDEX = cr.asarray([2, 0, 2, 1])
IDS = cr.asarray([0, 1, 1, 0])
ALONG = cr.asarray([[2, 0], [1, 1], [0, 2]])
R2, R23, R34, R43, R33 = (2,), (2, 3), (3, 4), (4, 3), (3, 3)
LINE, PLANE, SPACE = (1, 2, 6), (1, 2, 5, 6), (1, 2, 4, 4, 4)


def spread(shape: tuple, seed: int, low: float = -1.5, high: float = 1.7) -> np.ndarray:
    """Return distinct numbers in random order: no ties, and none near 0 or another kink of the cases."""
    size = int(np.prod(shape))
    values = np.linspace(low, high, 2 * size + 2)[1:-1:2] + (seed % 7) * 1e-3
    return np.random.default_rng(seed).permutation(values).reshape(shape)


def positive(shape: tuple) -> tuple:
    return shape, 0.3, 2.0


def inside(shape: tuple) -> tuple:
    return shape, -0.85, 0.9


def spd(x: Any) -> Any:
    """Return a positive definite matrix made of any square one."""
    return x @ x.mT + 2 * cr.eye(x.shape[-1], dtype=x.dtype)


def regular(x: Any) -> Any:
    return x + 3 * cr.eye(x.shape[-1], dtype=x.dtype)


def real_and_imaginary(z: Any) -> tuple:
    return cr.real(z), cr.imag(z)


DIMENSIONS = ((1, LINE), (2, PLANE), (3, SPACE))
SIMPLE = [  # names of functions that are called with these arguments alone
    ("abs negative positive sign square exp expm1 sin cos tan asinh atan cosh sinh tanh erf erfc erfcx relu", (R34,)),
    ("sigmoid softplus ndtr log_ndtr bessel_j0 bessel_j1 i0 i0e i1 i1e sinc elu gelu leaky_relu selu silu", (R34,)),
    ("log_sigmoid log_softmax softmax logsumexp max min sum prod mean std var median trapezoid sort flip", (R34,)),
    ("ceil floor round trunc nan_to_num flatten matrix_transpose tril triu", (R34,)),
    ("log log2 log10 log1p sqrt rsqrt reciprocal lgamma digamma entr check_finite", (positive(R34),)),
    ("asin acos atanh erfinv", (inside(R34),)),
    ("logit normal_quantile check_probabilities", ((R34, 0.1, 0.9),)),
    ("add subtract multiply maximum minimum hypot logaddexp atan2 copysign vecdot", (R34, R34)),
    ("divide floor_divide remainder xlogy xlog1py", (R34, positive(R34))),
    ("outer kron", (R2, (3,))),
]


def called(name: str, *rest: Any, **options: Any) -> Any:
    """Return a call of a function of `cr` with further arguments."""
    return lambda *xs: getattr(cr, name)(*xs, *rest, **options)


def unpooled(n: int) -> Any:
    places = cr.reshape(cr.arange(2) * 3, (1, 1, 2, *(1,) * (n - 1)))
    return called(f"max_unpool{n}d", places, 2, output_size=(4, *(2,) * (n - 1)))


def families() -> Any:
    """Yield what is called alike."""
    for names, given in SIMPLE:
        for name in names.split():
            yield name, (getattr(cr, name), *given)
    for name in ("sum", "prod", "logsumexp", "trapezoid", "max", "min"):
        yield f"cumulative_{name}", (called(f"cumulative_{name}", axis=1), R34)
    for name in ("sum", "mean", "max", "min", "prod"):
        yield f"segment_{name}", (called(f"segment_{name}", IDS, 2), R43)
    for n, shape in DIMENSIONS:
        yield f"conv{n}d", (called(f"conv{n}d", padding=1), shape, (2, 2, *(3,) * n))
        yield f"conv_transpose{n}d", (called(f"conv_transpose{n}d", stride=2), shape, (2, 2, *(2,) * n))
        yield f"lp_pool{n}d", (called(f"lp_pool{n}d", 3.0, 2), positive(shape))
        yield f"max_unpool{n}d", (unpooled(n), (1, 1, 2, *(1,) * (n - 1)))
        for kind in ("max", "min", "avg"):
            yield f"{kind}_pool{n}d", (called(f"{kind}_pool{n}d", 2), shape)
        for kind in ("max", "avg"):
            yield f"adaptive_{kind}_pool{n}d", (called(f"adaptive_{kind}_pool{n}d", 3), shape)


CASES: dict[str, tuple] = {  # name -> function, and its arguments: shapes, or (shape, low, high)
    **dict(families()),
    "acosh": (cr.acosh, (R34, 1.2, 3.0)),
    "pow": (cr.pow, positive(R34), R34),
    "multigammaln": (lambda x: cr.multigammaln(x, 2), (R34, 1.2, 3.0)),
    "polygamma": (lambda x: cr.polygamma(1, x), positive(R34)),
    "zeta": (lambda x: cr.zeta(2.5, x), positive(R34)),
    "clip": (lambda x: cr.clip(x, -1.03, 1.03), R34),
    "where": (lambda x, y: cr.where(x > 0, x * y, y), R34, R34),
    "astype": (lambda x: cr.astype(x, cr.float64), R34),
    "quantile": (lambda x: cr.quantile(x, 0.3), (5,)),
    "diff": (lambda x: cr.diff(x, n=2), R34),
    "broadcast_arrays": (lambda x, y: tuple(cr.broadcast_arrays(x, y)), R34, (4,)),
    "broadcast_to": (lambda x: cr.broadcast_to(x, (3, 4)), (4,)),
    "expand_dims": (lambda x: cr.expand_dims(x, axis=1), R34),
    "moveaxis": (lambda x: cr.moveaxis(x, 0, 1), R34),
    "permute_dims": (lambda x: cr.permute_dims(x, (1, 0)), R34),
    "reshape": (lambda x: cr.reshape(x, (2, 6)), R34),
    "squeeze": (lambda x: cr.squeeze(x, axis=0), (1, 3)),
    "swapaxes": (lambda x: cr.swapaxes(x, 0, 1), R34),
    "concat": (lambda x, y: cr.concat([x, y], axis=1), R34, R33),
    "repeat": (lambda x: cr.repeat(x, 2, axis=1), R34),
    "roll": (lambda x: cr.roll(x, 1, axis=1), R34),
    "split": (lambda x: tuple(cr.split(x, 2, axis=1)), R34),
    "stack": (lambda x, y: cr.stack([x, y], axis=1), R34, R34),
    "tile": (lambda x: cr.tile(x, (2, 1)), R34),
    "unstack": (lambda x: tuple(cr.unstack(x)), R34),
    "pad": (lambda x: cr.pad(x, ((1, 1), (1, 2)), mode="reflect"), R34),
    "put": (lambda x, v: cr.put(x, (slice(None), 1), v), R34, (3,)),
    "take": (lambda x: cr.take(x, INDEX, axis=0), R34),
    "take_along_axis": (lambda x: cr.take_along_axis(x, ALONG), R34),
    "index_add": (lambda x, u: cr.index_add(x, INDEX, u), R34, (4, 4)),
    "put_along_axis": (lambda x, v: cr.put_along_axis(x, cr.asarray([[0, 1], [2, 1], [3, 0]]), v), R34, (3, 2)),
    "scatter_add": (lambda x, u: cr.scatter_add(x, ALONG, u), R34, (3, 2)),
    "scatter_reduce": (lambda x, u: cr.scatter_reduce(x, ALONG, u, "prod"), R34, (3, 2)),
    "top_k": (lambda x: cr.top_k(x, 2)[0], R34),
    "bincount": (lambda w: cr.bincount(IDS, w, length=3), (4,)),
    "matmul": (cr.matmul, R34, (2, 4, 3)),
    "tensordot": (lambda x, y: cr.tensordot(x, y, axes=1), R34, R43),
    "einsum": (lambda x, y: cr.einsum("ij,kj->ki", x, y), R34, (2, 4)),
    "fold": (lambda x: cr.fold(x, 3, 2), (1, 8, 4)),
    "unfold": (lambda x: cr.unfold(x, 2), PLANE),
    "sliding_window": (lambda x: cr.sliding_window(x, 2), R34),
    "interpolate": (lambda x: cr.interpolate(x, size=(7, 9), mode="bicubic"), PLANE),
    "channel_shuffle": (lambda x: cr.channel_shuffle(x, 2), (1, 4, 3)),
    "pixel_shuffle": (lambda x: cr.pixel_shuffle(x, 2), (1, 4, 2, 2)),
    "pixel_unshuffle": (lambda x: cr.pixel_unshuffle(x, 2), (1, 1, 4, 4)),
    "affine_grid": (lambda x: cr.affine_grid(x, (1, 1, 3, 3), align_corners=False), (1, 2, 3)),
    "grid_sample": (lambda x, g: cr.grid_sample(x, g, align_corners=False), PLANE, ((1, 3, 3, 2), -0.83, 0.87)),
    "complex": (lambda x, y: real_and_imaginary(cr.complex(x, y) * cr.complex(y, x)), R34, R34),
    "conj": (lambda x, y: real_and_imaginary(cr.conj(cr.complex(x, y)) * cr.complex(x, x)), R34, R34),
    "real": (lambda x, y: cr.real(cr.exp(cr.complex(x, y))), R34, R34),
    "imag": (lambda x, y: cr.imag(cr.exp(cr.complex(x, y))), R34, R34),
    "linalg.cross": (cr.linalg.cross, R23, R23),
    "linalg.diagonal": (cr.linalg.diagonal, R34),
    "linalg.multi_dot": (lambda x, y, z: cr.linalg.multi_dot([x, y, z]), R23, R34, R43),
    "linalg.tensorinv": (lambda x: cr.linalg.tensorinv(cr.reshape(regular(x), (2, 2, 4))), (4, 4)),
    "linalg.tensorsolve": (lambda a, b: cr.linalg.tensorsolve(cr.reshape(regular(a), (2, 2, 4)), b), (4, 4), (2, 2)),
    "linalg.trace": (cr.linalg.trace, R33),
    "linalg.vander": (cr.linalg.vander, (3,)),
    "linalg.cond": (cr.linalg.cond, R33),
    "linalg.matrix_norm": (cr.linalg.matrix_norm, R34),
    "linalg.norm": (lambda x: cr.linalg.norm(x, "nuc"), R34),
    "linalg.vector_norm": (lambda x: cr.linalg.vector_norm(x, ord=3), R34),
    "linalg.det": (cr.linalg.det, R33),
    "linalg.logdet": (lambda x: cr.linalg.logdet(spd(x)), R33),
    "linalg.slogdet": (lambda x: cr.linalg.slogdet(regular(x))[1], R33),
    "linalg.inv": (lambda x: cr.linalg.inv(regular(x)), R33),
    "linalg.solve": (lambda a, b: cr.linalg.solve(regular(a), b), R33, (3, 2)),
    "linalg.solve_triangular": (lambda a, b: cr.linalg.solve_triangular(regular(a), b, upper=True), R33, (3, 2)),
    "linalg.cholesky": (lambda x: cr.linalg.cholesky(spd(x)), R33),
    "linalg.cholesky_solve": (lambda b, x: cr.linalg.cholesky_solve(b, cr.linalg.cholesky(spd(x))), (3, 2), R33),
    "linalg.eigh": (lambda x: (lambda w, v: (w, cr.square(v)))(*cr.linalg.eigh(spd(x))), R33),
    "linalg.eigvalsh": (lambda x: cr.linalg.eigvalsh(spd(x)), R33),
    "linalg.eig": (lambda x: cr.abs(cr.linalg.eig(x)[0]), R33),
    "linalg.eigvals": (lambda x: cr.real(cr.linalg.eigvals(x)), R33),
    "linalg.householder_product": (cr.linalg.householder_product, R43, (3,)),
    "linalg.lu": (lambda x: tuple(cr.linalg.lu(regular(x)))[1:], R33),
    "linalg.lu_factor": (lambda x: cr.linalg.lu_factor(regular(x))[0], R33),
    "linalg.lu_solve": (lambda x, b: cr.linalg.lu_solve(*cr.linalg.lu_factor(regular(x)), b), R33, (3, 2)),
    "linalg.qr": (lambda x: tuple(cr.linalg.qr(x)), R43),
    "linalg.svd": (lambda x: cr.linalg.svd(x, full_matrices=False)[1], R34),
    "linalg.svdvals": (cr.linalg.svdvals, R34),
    "linalg.lstsq": (lambda a, b: cr.linalg.lstsq(a, b)[0], R43, (4, 2)),
    "linalg.pinv": (cr.linalg.pinv, R43),
    "linalg.matrix_exp": (cr.linalg.matrix_exp, R33),
    "linalg.matrix_power": (lambda x: cr.linalg.matrix_power(x, 3), R33),
    "cond": (lambda x, w: cr.cond(x.sum() > w.sum(), lambda x: cr.sin(x) * w, lambda x: (x * x)[:2], x), (2,), (2,)),
    "scan": (lambda x, w: cr.scan(lambda c, r: (cr.tanh(c * w + r), c * r), w, x), (3, 2), (2,)),
    "while_loop": (lambda x: cr.while_loop(lambda c: (c * c).sum() < 9, lambda c: c * c + c + 0.5, x), (2,)),
}

WITHOUT = {
    "of derivatives": "backward check_gradients checkpoint custom_gradient grad gradients hessian hvp jacobian jvp "
    "linearize numerical_gradient value_and_grad vjp vmap enable_grad is_grad_enabled no_grad jit trace_backward graph",
    "about dtypes, threads, files, runs": "can_cast finfo iinfo isdtype result_type __array_namespace_info__ promote "
    "manual_seed get_num_threads set_num_threads show load save debug_nans find_nan "
    "debug_print",
    "makes a tensor of no other": "asarray from_dlpack arange empty empty_like full full_like linspace meshgrid ones "
    "ones_like zeros zeros_like eye one_hot",
    "gives integers or bool": "equal greater greater_equal isfinite isinf isnan less less_equal not_equal allclose "
    "isclose signbit bitwise_and bitwise_invert bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor "
    "logical_and logical_not logical_or logical_xor all any count_nonzero argmax argmin argsort nonzero searchsorted "
    "histogram check_indices check_labels linalg.matrix_rank",
    "is not differentiable": "precision nextafter unique_all unique_counts unique_inverse unique_values",
}


def arguments(name: str) -> list[np.ndarray]:
    shapes = [spec if spec and isinstance(spec[0], tuple) else (spec,) for spec in CASES[name][1:]]
    return [spread(spec[0], zlib.crc32(name.encode()) + i, *spec[1:]) for i, spec in enumerate(shapes)]


@pytest.mark.parametrize("name", CASES)
def test_both_modes_to_second_order(name):
    cr.check_gradients(CASES[name][0], *map(cr.asarray, arguments(name)), order=2, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_a_batch_is_a_loop(name):
    function, points = CASES[name][0], arguments(name)
    batch = [cr.asarray(np.stack([x, x * 1.001])) for x in points]
    wrapped = lambda *xs: (lambda out: out if isinstance(out, tuple) else (out,))(function(*xs))  # noqa: E731
    found = cr.vmap(wrapped)(*batch)
    for row in range(2):
        for got, want in zip(found, wrapped(*(x[row] for x in batch)), strict=True):
            assert_close(got[row], want, rtol=1e-9, atol=1e-9)


def test_every_public_function_is_here():
    names = [name for name in cr.__all__ if inspect.isfunction(getattr(cr, name))]
    names += [f"linalg.{name}" for name in cr.linalg.__all__ if name not in cr.__all__]
    known = {*CASES, *" ".join(WITHOUT.values()).split()}
    missing = sorted(set(names) - known)
    assert missing == [], f"add {', '.join(missing)} to CASES, or to WITHOUT"
