"""Complex numbers: their parts, their conjugate, and how they are made of two real numbers.

Gradients follow PyTorch: for a real loss, the gradient of z = a + b i is dL/da + i dL/db, the direction of steepest
ascent. So the tape multiplies by conj(f'(z)) where f has a complex derivative, the transpose of a linear map is its
adjoint, and a real tensor that was converted to complex gets the real part.
"""

from __future__ import annotations

import numpy as np

from chainrule.core import tape
from chainrule.core.bind import bind
from chainrule.core.dtypes import complex_dtype, float32, float64, real_dtype
from chainrule.core.errors import DTypeError
from chainrule.core.primitive import Invalid, Primitive, Sample, TensorType, primitive
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor, cast, pair, scalar
from chainrule.ops._rules import broadcast_shapes, elementwise_flops

__all__ = ["complex", "conj", "imag", "real"]

_rng = np.random.default_rng(1)
_grid = [(), (3,), (2, 3), (1,), (0, 3)]


def _complex_samples() -> list[Sample]:
    """Return complex arrays over the shape grid."""
    pairs = [(_rng.uniform(-2, 2, shape), _rng.uniform(-2, 2, shape)) for shape in _grid]
    return [Sample((np.asarray(a + 1j * b),)) for a, b in pairs]


def _complex_only(name: str, x: TensorType) -> TensorType:
    if not x.dtype.is_complex:
        raise DTypeError(f"{name} needs a complex tensor; got {x.dtype.name}: use .astype(cr.complex64).")
    return x


# ---------------------------------------------------------------------------------------------------- primitives
def _refusal(name: str) -> list[Invalid]:
    message = f"{name} needs a complex tensor; got float64: use .astype(cr.complex64)."
    return [Invalid((np.ones(2),), message)]


real_p = primitive(
    "real",
    reference=lambda x: np.real(x).copy(),
    shape=lambda x: TensorType(x.shape, real_dtype(_complex_only("real", x).dtype)),
    linear=(0,),
    transpose=lambda g: cast(g, complex_dtype(g.dtype)),
    elementwise=True,
    flops=elementwise_flops(0),
    samples=_complex_samples(),
    invalid=_refusal("real"),
)

imag_p = primitive(
    "imag",
    reference=lambda x: np.imag(x).copy(),
    shape=lambda x: TensorType(x.shape, real_dtype(_complex_only("imag", x).dtype)),
    linear=(0,),
    transpose=lambda g: bind(complex_p, scalar(0.0, g.dtype), g),
    elementwise=True,
    flops=elementwise_flops(0),
    samples=_complex_samples(),
    invalid=_refusal("imag"),
)

conj_p: Primitive = primitive(
    "conj",
    reference=lambda x: np.conj(x),
    shape=lambda x: _complex_only("conj", x),
    linear=(0,),
    transpose=lambda g: bind(conj_p, g),
    elementwise=True,
    flops=elementwise_flops(0),
    samples=_complex_samples(),
    invalid=_refusal("conj"),
)


def _complex_shape(x1: TensorType, x2: TensorType) -> TensorType:
    for x in (x1, x2):
        if x.dtype not in (float32, float64):
            raise DTypeError(f"complex needs two float32 or two float64 tensors; got {x.dtype.name}: use .astype.")
    if x1.dtype is not x2.dtype:
        raise DTypeError(f"complex: the dtypes {x1.dtype.name} and {x2.dtype.name} differ; convert one with .astype.")
    return TensorType(broadcast_shapes("complex", x1.shape, x2.shape), complex_dtype(x1.dtype))


def _join(x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    y = np.empty(np.broadcast_shapes(x1.shape, x2.shape), np.result_type(x1.dtype, np.complex64))
    y.real, y.imag = x1, x2  # not x1 + 1j * x2, which makes NaN of an infinity
    return y


complex_p: Primitive = primitive(
    "complex",
    reference=_join,
    shape=_complex_shape,
    linear=(0, 1),
    transpose=(lambda g: real(g), lambda g: imag(g)),
    elementwise=True,
    flops=elementwise_flops(0),
    samples=[Sample(shapes) for shapes in [((), ()), ((3,), (3,)), ((2, 1), (1, 3)), ((2, 3), ()), ((0, 3), (3,))]],
    invalid=[
        Invalid(
            (np.ones(2, np.int64),) * 2,
            "complex needs two float32 or two float64 tensors; got int64: use .astype.",
        ),
        Invalid(
            (np.ones((2, 3)), np.ones(4)),
            "complex: the shapes (2, 3) and (4,) do not broadcast; at axis -1 the sizes 3 and 4 differ and neither is "
            "1. Reshape one of them, or add an axis with x[:, None].",
        ),
    ],
)


# ---------------------------------------------------------------------------------------------------- functions
def real(x: Tensor, /) -> Tensor:
    """Return the real parts elementwise; a real tensor itself.

    Args:
        x: numeric tensor of any shape.

    Returns:
        Tensor of the same shape; float32 for complex64, float64 for complex128.

    Example:
        >>> import chainrule as cr
        >>> cr.real(cr.asarray([1 + 2j, 3j]))
        tensor([1., 0.], shape=(2,), dtype=float32)
    """
    x = as_tensor(x)
    return bind(real_p, x) if x.dtype.is_complex else x


def imag(x: Tensor, /) -> Tensor:
    """Return the imaginary parts elementwise.

    Args:
        x: complex tensor of any shape.

    Returns:
        Tensor of the same shape; float32 for complex64, float64 for complex128.

    Raises:
        DTypeError: not a complex tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.imag(cr.asarray([1 + 2j, 3j]))
        tensor([2., 3.], shape=(2,), dtype=float32)
    """
    return bind(imag_p, as_tensor(x))


def conj(x: Tensor, /) -> Tensor:
    """Return the complex conjugate elementwise; a real tensor itself.

    Args:
        x: numeric tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Example:
        >>> import chainrule as cr
        >>> cr.conj(cr.asarray([1 + 2j, 3j]))
        tensor([1.-2.j, 0.-3.j], shape=(2,), dtype=complex64)
    """
    x = as_tensor(x)
    return bind(conj_p, x) if x.dtype.is_complex else x


def complex(real: Tensor | float, imag: Tensor | float, /) -> Tensor:
    """Return complex numbers with the given parts, elementwise.

        y = real + i imag

    Args:
        real: float32 or float64 tensor, or number.
        imag: tensor of the same dtype, or number; shapes broadcast.

    Returns:
        Tensor of the broadcast shape; complex64 for float32, complex128 for float64.

    Raises:
        DTypeError: other dtypes.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import chainrule as cr
        >>> cr.complex(cr.asarray([1.0, 0.0]), 2.0)
        tensor([1.+2.j, 0.+2.j], shape=(2,), dtype=complex64)
    """
    return bind(complex_p, *pair(real, imag))


tape.conjugate = conj  # type: ignore[assignment]
