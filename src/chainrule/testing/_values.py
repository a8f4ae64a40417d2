"""What a primitive must do with values: the checks of its shape rule, reference, trace and refusals.

Each function checks one sample (or invalid input) and raises if something is wrong; `primitives.py` lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.compiler import jit
from chainrule.compiler.native import references
from chainrule.core.bind import bind
from chainrule.core.dtypes import DType, bfloat16, dtype_of, float32, float64
from chainrule.core.errors import ChainruleError, DTypeError
from chainrule.core.primitive import Invalid, Primitive, Sample, TensorType
from chainrule.core.tensor import Tensor
from chainrule.testing.compare import assert_close, assert_equal
from chainrule.testing.samples import sample_tensors

FLOATS = (float64, float32, bfloat16)


def types_of(tensors: list[Tensor]) -> list[TensorType]:
    """Return shapes and dtypes."""
    return [TensorType(x.shape, x.dtype) for x in tensors]


def apply(primitive: Primitive, inputs: list[Tensor], attributes: dict[str, Any]) -> tuple[Tensor, ...]:
    """Return the outputs as a tuple, whatever their number."""
    result = bind(primitive, *inputs, **attributes)
    return result if primitive.multiple else (result,)


def has_floats(item: Sample) -> bool:
    """Return whether an input of the sample is a float."""
    return any(isinstance(spec, tuple) or np.asarray(spec).dtype.kind == "f" for spec in item.inputs)


def check_samples_exist(primitive: Primitive, where: str) -> None:
    """Samples must exist, and one of size 0 among them, or among what is refused."""
    if not primitive.samples:
        raise AssertionError(f"{primitive.name} has no samples; add samples= to its block in {where}.")
    for number, item in enumerate(primitive.samples):
        inputs = sample_tensors(primitive, item, number)
        outputs = primitive.infer(types_of(inputs), item.attributes)
        if any(x.size == 0 for x in inputs) or any(out.size == 0 for out in outputs):
            return
    if not any(x.size == 0 for item in primitive.invalid for x in sample_tensors(primitive, item)):
        raise AssertionError(
            f"{primitive.name} has no sample of size 0; "
            f"add one to samples= (or, if it is refused, to invalid=) in {where}."
        )


def check_flops(primitive: Primitive, item: Sample, number: int) -> None:
    """The FLOP count is an integer, not negative, from types alone."""
    count = primitive.flops(*types_of(sample_tensors(primitive, item, number)), **item.attributes)
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 0:
        raise AssertionError(f"flops must be an integer >= 0; got {count!r}.")


def check_types(primitive: Primitive, item: Sample, number: int, dtype: DType) -> None:
    """The shape rule states the exact shapes and dtypes of the reference's outputs, which leaves its inputs alone."""
    inputs = sample_tensors(primitive, item, number, dtype)
    before = [np.array(x.numpy()) for x in inputs]
    stated = primitive.infer(types_of(inputs), item.attributes)
    made = primitive.run([x.numpy() for x in inputs], item.attributes)
    found = tuple(TensorType(out.shape, dtype_of(out.dtype)) for out in made)
    if found != stated:
        raise AssertionError(f"the shape rule states {_listed(stated)} and the reference gives {_listed(found)}.")
    for position, (x, copy) in enumerate(zip(inputs, before, strict=True)):
        assert_equal(x, copy, f"the reference changed input {position}")


def check_layout(primitive: Primitive, item: Sample, number: int, layout: str) -> None:
    """The same values in another memory layout give the same result, up to the order of summation."""
    want = apply(primitive, sample_tensors(primitive, item, number), item.attributes)
    got = apply(primitive, sample_tensors(primitive, item, number, layout=layout), item.attributes)
    for position, (a, b) in enumerate(zip(got, want, strict=True)):
        assert_close(a, b, what=f"output {position} of {layout} buffers")


def check_precision(primitive: Primitive, item: Sample, number: int, dtype: DType) -> None:
    """A low-precision result is the float64 result of the same inputs, within the dtype's tolerance."""
    inputs = sample_tensors(primitive, item, number, dtype)
    exact = [Tensor(x.numpy().astype(np.float64)) if x.dtype is dtype else x for x in inputs]
    got, want = apply(primitive, inputs, item.attributes), apply(primitive, exact, item.attributes)
    for position, (a, b) in enumerate(zip(got, want, strict=True)):
        if a.dtype.is_float:
            assert_close(a, b.numpy().astype(a.dtype.numpy), what=f"output {position}")


def check_traced(primitive: Primitive, item: Sample, number: int, dtype: DType) -> None:
    """The traced graph, run by references, gives the bits of the eager call."""
    inputs = sample_tensors(primitive, item, number, dtype)
    want = apply(primitive, inputs, item.attributes)
    step = jit(lambda *xs: apply(primitive, list(xs), item.attributes))
    with references():
        for call in (1, 2):
            for position, (a, b) in enumerate(zip(step(*inputs), want, strict=True)):
                assert_equal(a, b, f"output {position} of call {call}")


def check_nan(primitive: Primitive, item: Sample, number: int) -> None:
    """NaN in every float input gives NaN (everywhere, for an elementwise primitive), unless it is refused."""
    inputs = sample_tensors(primitive, item, number)
    filled = [Tensor(np.full(x.shape, np.nan)) if x.dtype.is_float else x for x in inputs]
    try:
        outputs = apply(primitive, filled, item.attributes)
    except ChainruleError:
        return
    for position, out in enumerate(outputs):
        if not out.dtype.is_float or not out.size or not all(x.size for x in inputs):
            continue
        missing = ~np.isnan(out.numpy())
        if missing.all() or (primitive.elementwise and missing.any()):
            raise AssertionError(f"NaN is lost: with NaN in every float input, output {position} is {out.numpy()}.")


def check_invalid(primitive: Primitive, item: Invalid) -> None:
    """An invalid input is refused with exactly the stated message, eagerly and under jit."""
    inputs = sample_tensors(primitive, item)
    _refused(lambda: apply(primitive, inputs, item.attributes), item.message, "eagerly")
    step = jit(lambda *xs: apply(primitive, list(xs), item.attributes))
    _refused(lambda: step(*inputs), item.message, "under jit")


def _refused(call: Callable[[], Any], message: str, how: str) -> None:
    try:
        call()
    except ChainruleError as error:
        if error.message != message:
            raise AssertionError(f"the message {how} is\n    {error.message}\n  and must be\n    {message}") from None
        return
    raise AssertionError(f"the input is accepted {how}; it must be refused with\n    {message}")


def takes(primitive: Primitive, item: Sample, number: int, dtype: DType) -> bool:
    """Return whether the primitive takes the sample's floats in `dtype`."""
    try:
        primitive.infer(types_of(sample_tensors(primitive, item, number, dtype)), item.attributes)
    except DTypeError:
        return False
    return True


def _listed(types: tuple[TensorType, ...]) -> str:
    return ", ".join(map(str, types)) or "nothing"
