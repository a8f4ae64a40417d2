"""The checker is checked: each kind of mistake in a primitive fails the suite, and with the right words."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.core.primitive import PRIMITIVES, Edge, Invalid, Primitive, Sample, TensorType, primitive
from chainrule.testing import check_primitive, run_checks

SAMPLES = (Sample(((3,),)), Sample(((2, 3),)), Sample(((),)), Sample(((0, 2),)))


@pytest.fixture
def registry() -> Iterator[None]:
    """Remove from the registry what the test declares."""
    before = set(PRIMITIVES)
    yield
    for name in set(PRIMITIVES) - before:
        del PRIMITIVES[name]


def cube(**options: Any) -> Primitive:
    """Declare a right primitive, but for what `options` changes."""
    given: dict[str, Any] = {
        "reference": lambda x: x * x * x,
        "shape": lambda x: x,
        "derivative": lambda x: 3 * x * x,
        "elementwise": True,
        "flops": lambda x: 2 * x.size,
        "samples": SAMPLES,
        **options,
    }
    return primitive("cube", **{key: value for key, value in given.items() if value is not None})


def failing(item: Primitive) -> dict[str, str]:
    """Return kind -> first message of the checks that fail."""
    found: dict[str, str] = {}
    for check, message in run_checks([item]).failures:
        found.setdefault(check.kind, message)
    return found


pytestmark = pytest.mark.usefixtures("registry")


def test_a_right_primitive_passes():
    assert check_primitive(cube(edges=[Edge((0.0,), (0.0,))])) > 40


def test_a_gradient_wrong_by_a_tenth_of_a_percent_fails_at_first_order():
    message = failing(cube(derivative=lambda x: 3.003 * x * x))["gradient"]
    assert message.startswith(
        "cube: gradient, sample 0 (f64[3]): GradientError: gradient of order 1 differs from central"
    )


def test_a_gradient_wrong_by_a_tenth_of_a_percent_fails_at_second_order():
    """The first derivative has the right value; its own derivative is off by 0.1 %."""

    def derivative(x):
        return 3 * x * x + 0.006 * x * (x - x.detach())  # adds 0.006 x to 6 x

    found = failing(cube(derivative=derivative))
    assert set(found) == {"gradient"}
    assert "GradientError: gradient of order 2 differs from central differences: got " in found["gradient"]


def test_a_gradient_without_a_second_derivative_fails():
    found = failing(cube(derivative=lambda x: (3 * x * x).detach()))
    assert "gradient of order 2 differs" in found["gradient"]


def test_a_gradient_for_the_wrong_input_fails():
    item = primitive(
        "swapped",
        reference=lambda x1, x2: x1 * x2,
        shape=lambda x1, x2: x1,
        derivative=(lambda x1: x1, lambda x2: x2),
        flops=lambda x1, x2: x1.size,
        samples=[Sample(((3,), (3,))), Sample(((0,), (0,)))],
    )
    assert "gradient of order 1 differs" in failing(item)["gradient"]


def test_a_wrong_shape_rule_fails():
    found = failing(cube(shape=lambda x: TensorType((*x.shape, 1), x.dtype)))
    assert found["types"] == (
        "cube: types, sample 0 (f64[3]) in float64: the shape rule states f64[3,1] and the reference gives f64[3]."
    )


def test_a_wrong_dtype_fails():
    found = failing(cube(reference=lambda x: (x * x * x).astype(np.float64)))
    assert found["types"] == (
        "cube: types, sample 0 (f64[3]) in float32: the shape rule states f32[3] and the reference gives f64[3]."
    )


def test_a_reference_that_writes_into_its_input_fails():
    def reference(x):
        with np.errstate(all="ignore"):
            x *= x
        return x

    assert "ValueError: output array is read-only" in failing(cube(reference=reference))["types"]


def test_a_reference_that_depends_on_the_layout_fails():
    found = failing(cube(reference=lambda x: (x * x * x) + 1e-6 * (not x.flags.c_contiguous)))
    assert found["layout"].startswith("cube: layout, sample 0 (f64[3]), strided: output 0 of strided buffers: 3 of 3 ")


def test_a_reference_without_enough_digits_fails():
    def reference(x):
        return (x * x * x).astype(np.float16 if x.dtype == np.float32 else x.dtype).astype(x.dtype)

    found = failing(cube(reference=reference))
    assert set(found) == {"precision"}
    assert found["precision"].startswith("cube: precision, sample 0 (f64[3]) in float32: output 0: ")


def test_lost_nan_fails():
    found = failing(cube(reference=lambda x: np.nan_to_num(x * x * x)))
    assert found["nan"] == (
        "cube: nan, sample 0 (f64[3]): NaN is lost: with NaN in every float input, output 0 is [0. 0. 0.]."
    )


def test_a_rule_that_is_not_the_same_every_time_fails_under_jit():
    """The reference counts its calls: the traced run gives other bits than the eager one."""
    calls = itertools.count()
    found = failing(cube(reference=lambda x: x + next(calls)))
    assert "traced" in found


def test_a_wrong_forward_rule_fails():
    item = cube(derivative=None, vjp=lambda g, x: g * 3 * x * x, jvp=lambda tangents, x: tangents[0] * 3.003 * x * x)
    found = failing(item)
    assert set(found) == {"forward", "gradient"}
    assert found["forward"].startswith(
        "cube: forward, sample 0 (f64[3]): <jvp(t), c> against <t, vjp(c)> with input 0 moving: 1 of 1 elements differ"
    )


def test_a_tangent_of_another_shape_fails():
    item = cube(derivative=None, vjp=lambda g, x: g * 3 * x * x, jvp=lambda tangents, x: (tangents[0] * x).sum())
    assert "forward" in failing(item)


def test_a_missing_forward_rule_names_the_place():
    found = failing(cube(derivative=None, vjp=lambda g, x: g * 3 * x * x))
    assert found["declaration"] == (
        "cube: declaration, sample 0 (f64[3]): cube has no forward rule; "
        "add jvp= or linear= to its block in testing/test_checker.py."
    )


def test_a_missing_gradient_names_the_place():
    assert failing(cube(derivative=None)) == {
        "declaration": "cube: declaration, sample 0 (f64[3]): cube has no gradient for input 0; "
        "add derivative=, transpose= or vjp= to its block in testing/test_checker.py."
    }


def test_an_input_without_a_gradient_is_declared_with_none():
    assert failing(cube(derivative=None, vjp=(None,))) == {}


def test_missing_samples_name_the_place():
    assert failing(cube(samples=())) == {
        "declaration": "cube: declaration, samples: cube has no samples; "
        "add samples= to its block in testing/test_checker.py."
    }


def test_a_missing_sample_of_size_0_names_the_place():
    assert failing(cube(samples=SAMPLES[:2])) == {
        "declaration": "cube: declaration, samples: cube has no sample of size 0; "
        "add one to samples= (or, if it is refused, to invalid=) in testing/test_checker.py."
    }


@pytest.mark.parametrize("count", [-1, 2.5, None, True])
def test_flops_must_be_a_count(count):
    found = failing(cube(flops=lambda x: count))
    assert (
        found["declaration"] == f"cube: declaration, sample 0 (f64[3]): flops must be an integer >= 0; got {count!r}."
    )


def test_a_wrong_edge_fails_with_its_reason():
    found = failing(cube(edges=[Edge((2.0,), (12.5,), why="a wrong choice")]))
    assert found["edge"] == (
        "cube: edge, edge 0 at (2.0,): eager gradient of input 0 (a wrong choice): 1 of 1 elements differ; the worst "
        "is at []: got 12.0, expected 12.5 (difference 0.5, allowed 1.35e-11: rtol 1e-12, atol 1e-12, float64)."
    )


def test_an_edge_with_too_few_gradients_fails():
    found = failing(cube(edges=[Edge((2.0,), ())]))
    assert found["edge"] == (
        "cube: edge, edge 0 at (2.0,): the edge states 0 gradients for 1 inputs; write one per input, or None."
    )


def _refusing(message: str):
    def shape(x):
        if x.ndim == 1 and x.shape[0] == 5:
            raise ShapeError(message)
        return x

    return shape


def test_a_refusal_with_the_stated_message_passes():
    item = cube(shape=_refusing("cube: five is too many."), invalid=[Invalid((np.ones(5),), "cube: five is too many.")])
    assert failing(item) == {}


def test_another_message_fails():
    item = cube(shape=_refusing("cube: 5 is too many."), invalid=[Invalid((np.ones(5),), "cube: five is too many.")])
    assert failing(item)["invalid"] == (
        "cube: invalid, invalid 0: the message eagerly is\n    cube: 5 is too many.\n"
        "  and must be\n    cube: five is too many."
    )


def test_an_invalid_input_that_is_accepted_fails():
    found = failing(cube(invalid=[Invalid((np.ones(5),), "cube: five is too many.")]))
    assert found["invalid"] == (
        "cube: invalid, invalid 0: the input is accepted eagerly; it must be refused with\n    cube: five is too many."
    )


def test_an_error_of_another_kind_is_no_refusal():
    def shape(x):
        if x.shape == (5,):
            raise ValueError("cube: five is too many.")
        return x

    found = failing(cube(shape=shape, invalid=[Invalid((np.ones(5),), "cube: five is too many.")]))
    assert found["invalid"] == "cube: invalid, invalid 0: ValueError: cube: five is too many."


def test_a_primitive_may_refuse_a_float_dtype():
    def shape(x):
        if x.dtype is cr.bfloat16:
            raise DTypeError("cube needs at least float32.")
        return x

    assert failing(cube(shape=shape)) == {}


def test_check_primitive_lists_all_failures():
    item = cube(derivative=lambda x: 3.003 * x * x, edges=[Edge((2.0,), (12.0,))])
    with pytest.raises(AssertionError) as error:
        check_primitive(item)
    lines = str(error.value).splitlines()
    assert lines[0].endswith(" checks failed:")
    assert [line.split(",")[0] for line in lines[1:]] == ["cube: gradient"] * 3 + ["cube: edge", "cube: modes"]


def test_several_outputs():
    item = primitive(
        "both",
        reference=lambda x: (np.sin(x), np.cos(x)),
        shape=lambda x: (x, x),
        multiple=True,
        vjp=lambda g, x: g[0] * cr.cos(x) - g[1] * cr.sin(x),
        jvp=lambda tangents, x: (tangents[0] * cr.cos(x), -tangents[0] * cr.sin(x)),
        flops=lambda x: 2 * x.size,
        samples=SAMPLES,
        edges=[Edge((0.0,), (1.0,))],
    )
    assert check_primitive(item) > 40
