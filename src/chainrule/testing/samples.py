"""Inputs for checks: the samples of a primitive made into arrays and tensors, in any dtype and memory layout.

Random numbers come from a seed that follows from the primitive's name and the sample's number, so that each sample has
the same numbers in every run and in every process.
"""

from __future__ import annotations

import zlib

import numpy as np

from chainrule.core.dtypes import DType, dtype_of, float64
from chainrule.core.primitive import Edge, Invalid, Primitive, Sample, sample_arrays
from chainrule.core.tensor import Tensor

__all__ = ["scattered", "seed_of", "sample_tensors"]


def seed_of(primitive: Primitive, number: int) -> int:
    """Return the seed of the random numbers of one sample."""
    return zlib.crc32(f"{primitive.name}:{number}".encode())


def sample_tensors(
    primitive: Primitive, item: Sample | Edge | Invalid, number: int = 0, dtype: DType = float64, layout: str = "C"
) -> list[Tensor]:
    """Return the inputs of a sample as tensors.

    Args:
        primitive: whose sample it is.
        item: a sample, edge or invalid input of it.
        number: position of the sample, for its random numbers; default 0.
        dtype: of the float inputs; default float64.
        layout: of the buffers: "C" for contiguous rows, "F" for contiguous columns, "strided" for every second element
            of a longer buffer; default "C".

    Returns:
        One tensor per input; their buffers are read-only, so that nothing can change them.

    Raises:
        ValueError: an unknown layout.

    Example:
        >>> from chainrule.core.primitive import PRIMITIVES
        >>> from chainrule.testing import sample_tensors
        >>> multiply = PRIMITIVES["multiply"]
        >>> [x.shape for x in sample_tensors(multiply, multiply.samples[3])]
        [(2, 1), (1, 3)]
    """
    rng = np.random.default_rng(seed_of(primitive, number))
    tensors = []
    for array in sample_arrays(item, rng, dtype):
        value = scattered(np.array(array), layout)
        value.flags.writeable = False
        tensors.append(Tensor(value))
    return tensors


def scattered(array: np.ndarray, layout: str) -> np.ndarray:
    """Return a copy of an array with another layout in memory: "C", "F" or "strided".

    Raises:
        ValueError: an unknown layout.
    """
    if layout == "C":
        return array.copy(order="C")
    if layout == "F":
        return array.copy(order="F")
    if layout == "strided":
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]) if array.ndim else (2,), array.dtype)
        view = wide[..., ::2] if array.ndim else wide[1:].reshape(())
        view[...] = array
        return view
    raise ValueError(f"layout must be 'C', 'F' or 'strided'; got {layout!r}.")


def differentiable(primitive: Primitive, inputs: list[Tensor]) -> list[int]:
    """Return the positions of the inputs that gradients flow to: floats whose rule is not None."""
    if not primitive.rules:
        return []
    return [
        i
        for i, x in enumerate(inputs)
        if dtype_of(x._value.dtype).is_float and (primitive.variadic or primitive.rules[i] is not None)
    ]
