"""Shape rules, sample grids and FLOP counts that several primitives share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.core.dtypes import DType, bfloat16, float32
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.primitive import Sample, TensorType

__all__ = [
    *("FIX", "KINDS", "broadcast_shapes", "contraction_dtype", "elementwise_flops", "elementwise_shape", "grid"),
    *("integers", "refused", "widened"),
]

KINDS: dict[str, tuple[tuple[str, ...], str]] = {
    "float": (("float",), "a float tensor"),
    "float or complex": (("float", "complex"), "a float tensor"),
    "numeric": (("float", "int", "uint"), "a numeric tensor"),
    "numeric or complex": (("float", "int", "uint", "complex"), "a numeric tensor"),
    "integer": (("int", "uint"), "an integer tensor"),
    "integer or bool": (("int", "uint", "bool"), "an integer or bool tensor"),
    "bool": (("bool",), "a bool tensor"),
    "any": (("float", "complex", "int", "uint", "bool"), "a tensor"),
}
FIX = {
    "float": ": use .astype(cr.float32)",
    "float or complex": ": use .astype(cr.float32)",
    "numeric": ": use .astype(cr.int64)",
    "numeric or complex": ": use .astype(cr.int64)",
    "integer": ": use .astype(cr.int64)",
    "integer or bool": ": use .astype(cr.int64)",
    "bool": ": compare it with something, or use .astype(bool)",
}


def broadcast_shapes(name: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the common shape of operands, as NumPy broadcasts them.

    Raises:
        ShapeError: two sizes differ and neither is 1; names the axis and both sizes.
    """
    if len(set(shapes)) == 1:
        return shapes[0]
    result: list[int] = []
    for back in range(1, max(map(len, shapes)) + 1):
        sizes = [shape[-back] for shape in shapes if len(shape) >= back]
        wide = [size for size in sizes if size != 1]
        if len(set(wide)) > 1:
            first, second = wide[0], next(size for size in wide if size != wide[0])
            listed = " and ".join(map(str, shapes))
            raise ShapeError(
                f"{name}: the shapes {listed} do not broadcast; at axis {-back} the sizes {first} and {second} differ "
                "and neither is 1. Reshape one of them, or add an axis with x[:, None]."
            )
        result.append(wide[0] if wide else 1)
    return tuple(reversed(result))


def refused(name: str, kind: str, dtype: DType) -> DTypeError:
    """Return the error for a dtype that a primitive of some kind does not take."""
    fix = ": use cr.real, cr.imag or cr.abs" if dtype.is_complex and kind != "bool" else FIX.get(kind, "")
    return DTypeError(f"{name} needs {KINDS[kind][1]}; got {dtype.name}{fix}.")


def contraction_dtype(name: str, operands: DType, dtype: DType | None) -> DType:
    """Return the dtype of a contraction's result: `dtype` where it is given, else that of its operands.

    Raises:
        DTypeError: a result that is neither of the operands' dtype nor the float32 of bfloat16 products.
    """
    wanted = float32 if operands is bfloat16 else operands
    if dtype is None or dtype is wanted:
        return operands if dtype is None else dtype
    raise DTypeError(f"{name}: the result of {operands.name} operands is {wanted.name}, not {dtype.name}.")


def widened(dtype: DType | None, *operands: np.ndarray) -> Sequence[np.ndarray]:
    """Return the operands of a contraction in the dtype of its products, where its attribute `dtype` says one."""
    return operands if dtype is None else [x.astype(dtype.numpy, copy=False) for x in operands]


def elementwise_shape(
    name: str, kind: str, result: DType | Callable[[DType], DType] | None = None
) -> Callable[..., TensorType]:
    """Return the shape rule of an elementwise primitive on tensors of one dtype.

    Args:
        name: of the primitive, for messages.
        kind: which dtypes it takes: a key of `KINDS`.
        result: dtype of the output, or a function that gives it from that of the inputs; default that of the inputs.
    """
    kinds, _ = KINDS[kind]

    def rule(*types: TensorType, **attributes: Any) -> TensorType:
        first = types[0].dtype
        for type in types:
            if type.dtype.kind not in kinds:
                raise refused(name, kind, type.dtype)
            if type.dtype is not first:
                raise DTypeError(
                    f"{name}: the dtypes {first.name} and {type.dtype.name} differ; convert one with .astype."
                )
        dtype = first if result is None else result if isinstance(result, DType) else result(first)
        return TensorType(broadcast_shapes(name, *(type.shape for type in types)), dtype)

    return rule


def elementwise_flops(per_element: int) -> Callable[..., int]:
    """Return a FLOP count of `per_element` for each output element."""

    def flops(*types: TensorType, **attributes: Any) -> int:
        return per_element * TensorType(broadcast_shapes("flops", *(type.shape for type in types)), types[0].dtype).size

    return flops


_UNARY = [((),), ((3,),), ((2, 3),), ((1,),), ((0, 3),)]
_BINARY = [((), ()), ((3,), (3,)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((2, 3), ()), ((0, 3), (3,))]


def grid(*ranges: tuple[float, float], smooth: bool = True, **attributes: Any) -> list[Sample]:
    """Return samples over the shape grid (scalar, vector, matrix, broadcast, sizes 0 and 1), one range per input."""
    shapes = _UNARY if len(ranges) == 1 else _BINARY
    return [
        Sample(tuple((shape, *limits) for shape, limits in zip(row, ranges, strict=True)), attributes, smooth)
        for row in shapes
    ]


def integers(count: int, low: int = -5, high: int = 6, dtype: str = "int64") -> list[Sample]:
    """Return integer samples for a primitive with `count` inputs."""
    rng = np.random.default_rng(7)
    rows = _UNARY if count == 1 else _BINARY
    return [Sample(tuple(rng.integers(low, high, shape).astype(dtype) for shape in row), smooth=False) for row in rows]
