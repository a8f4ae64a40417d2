"""The comparison of native code with references notices what is wrong."""

from __future__ import annotations

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler.executor import ReferenceExecutor
from chainrule.compiler.native import references
from chainrule.core.lowering import Pointwise
from chainrule.core.primitive import PRIMITIVES, Sample, primitive
from chainrule.testing.compiled import ULPS, Case, check_compiled, check_compiled_gradients, compiled_cases
from chainrule.testing.primitives import primitive_checks


@pytest.fixture
def registry(monkeypatch):
    """Let a test register primitives of its own."""
    monkeypatch.setattr("chainrule.core.primitive.PRIMITIVES", dict(PRIMITIVES))


def _cube(lower, **options):
    samples = [Sample(((3,),)), Sample(((0, 2),))]
    return primitive(
        "cube",
        reference=lambda x: x * x * x,
        shape=lambda x: x,
        elementwise=True,
        lower=lower,
        samples=samples,
        **options,
    )


def test_a_right_lowering_passes_in_every_dtype(registry):
    cube = _cube(lambda k, x: k.mul(k.mul(x, x), x), derivative=lambda x: 3.0 * x * x)
    cases = compiled_cases(cube)
    assert {str(case.inputs[0].dtype) for case in cases} == {"float32", "float64", "bfloat16"}
    assert {(17,), (2, 33), (1, 1), (4, 0), (0, 2)} <= {case.inputs[0].shape for case in cases}
    assert check_compiled(cube) == check_compiled_gradients(cube) == len(cases)


def test_a_last_bit_is_noticed(registry):
    cube = _cube(lambda k, x: k.mul(x, k.mul(x, k.add(x, 1e-7))))
    with pytest.raises(AssertionError, match=r"^cube\(f32\[3\]\), C: \d of 3 elements differ; the worst is at"):
        check_compiled(cube)


def test_a_wrong_gradient_is_noticed(registry, monkeypatch):
    cube = _cube(lambda k, x: k.mul(k.mul(x, x), x), derivative=lambda x: cr.sin(x))
    monkeypatch.setattr(PRIMITIVES["sin"], "lower", Pointwise(lambda k, x: k.call("cos", x)))
    with pytest.raises(AssertionError, match=r"^gradient of cube\(f32\[3\]\): 3 of 3 elements differ"):
        check_compiled_gradients(cube)


def test_units_in_the_last_place_are_counted(registry, monkeypatch):
    cube = _cube(lambda k, x: k.mul(k.mul(x, x), k.mul(x, 1.0 + 1e-6)))
    monkeypatch.setitem(ULPS, "cube", 4.0)
    with pytest.raises(AssertionError, match=r"^cube\(f32\[3\]\), C: at .* units in the last place, allowed 4\.$"):
        check_compiled(cube)
    monkeypatch.setitem(ULPS, "cube", 1e12)
    assert check_compiled(cube) == len(compiled_cases(cube))


def test_each_case_is_compiled_on_its_own_when_all_is_wanted():
    flip = PRIMITIVES["flip"]
    assert check_compiled(flip, full=True) == len(compiled_cases(flip, full=True))
    assert len(compiled_cases(PRIMITIVES["add"], full=True)) > len(compiled_cases(PRIMITIVES["add"]))


def test_only_primitives_with_a_lowering_are_compiled():
    kinds = {name: {check.kind for check in primitive_checks(PRIMITIVES[name])} for name in ("tanh", "svd")}
    assert {"compiled", "compiled gradient"} <= kinds["tanh"]
    assert not {"compiled", "compiled gradient"} & kinds["svd"]


def test_a_case_is_named_by_types_and_attributes():
    assert str(Case((np.zeros((2, 3), np.float32), np.zeros(1, np.int64)), {"axis": 1})) == "f32[2,3], i64[1], axis=1"


def test_steps_run_by_references_inside_the_block_only():
    inside, outside = cr.jit(lambda x: x + 1.0), cr.jit(lambda x: x + 1.0)
    with references():
        inside(cr.ones(2))
    outside(cr.ones(2))
    assert isinstance(inside.variants[-1].executor, ReferenceExecutor)
    assert re.match(r"NativeExecutor", type(outside.variants[-1].executor).__name__)
