"""What a primitive must do under vmap: for each sample of the batch what it does without, whichever inputs are batched.

The batch has three different copies of the inputs: random inputs are drawn anew, given ones are scaled (floats) or
turned around (integers), as long as the primitive takes them so.
"""

from __future__ import annotations

import numpy as np

from chainrule.autodiff.vmap import vmap
from chainrule.core.errors import ChainruleError
from chainrule.core.primitive import Primitive, Sample
from chainrule.core.tensor import Tensor
from chainrule.ops.join import stack
from chainrule.testing._values import apply
from chainrule.testing.compare import assert_close
from chainrule.testing.samples import sample_tensors

__all__ = ["check_batched"]

COPIES = 3


def check_batched(primitive: Primitive, item: Sample, number: int) -> None:
    """Compare a primitive under vmap with a loop: all inputs batched, and each single one.

    Args:
        primitive: what is checked.
        item: a sample of it.
        number: position of the sample, which seeds its random numbers.

    Raises:
        AssertionError: a result differs from the loop's.

    Example:
        >>> from chainrule.core.primitive import PRIMITIVES
        >>> check_batched(PRIMITIVES["matmul"], PRIMITIVES["matmul"].samples[0], 0)
    """
    copies = [_copy(primitive, item, number, k) for k in range(COPIES)]
    count = len(copies[0])
    whole = [range(count)] if count != 1 else []
    for chosen in [*whole, *((i,) for i in range(count))] if count else []:
        rows = [[copies[k if i in chosen else 0][i] for i in range(count)] for k in range(COPIES)]
        axes = tuple(0 if i in chosen else None for i in range(count))
        given = [stack([row[i] for row in rows]) if i in chosen else rows[0][i] for i in range(count)]
        found = vmap(lambda *xs: apply(primitive, list(xs), item.attributes), in_axes=axes)(*given)
        wanted = [apply(primitive, row, item.attributes) for row in rows]
        for position, out in enumerate(found):
            want = np.stack([row[position].numpy() for row in wanted])
            what = f"output {position} with input {', '.join(map(str, chosen))} batched"
            if out.dtype is not wanted[0][position].dtype:
                raise AssertionError(f"{what}: got {out.dtype.name}, expected {wanted[0][position].dtype.name}.")
            assert_close(out, want, what=what)


def _copy(primitive: Primitive, item: Sample, number: int, k: int) -> list[Tensor]:
    """Return other inputs like those of the sample; its own for k = 0, or where the primitive refuses others."""
    own = sample_tensors(primitive, item, number)
    if k == 0:
        return own
    drawn = sample_tensors(primitive, item, number + 1000 * k)
    other = [
        new if isinstance(spec, tuple) else Tensor(_turned(x.numpy(), k))
        for spec, x, new in zip(item.inputs, own, drawn, strict=True)
    ]
    try:
        apply(primitive, other, item.attributes)
    except ChainruleError:
        return own
    return other


def _turned(array: np.ndarray, k: int) -> np.ndarray:
    if array.dtype.kind in "fc":
        return array * (1 + k / 16)
    if array.dtype.kind == "u" and array.ndim == 0:
        return array + array.dtype.type(k)
    return np.roll(array, k)
