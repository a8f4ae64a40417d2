"""The gate and the registry: what is recorded, what is kept, bfloat16, checks that observe, names and options."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule.core import context
from chainrule.core.bind import bind
from chainrule.core.primitive import PRIMITIVES, Rule, Sample, TensorType, primitive, sample_arrays
from chainrule.core.tensor import Tensor


def test_nothing_is_recorded_without_a_wish_for_gradients():
    x = cr.ones(2)
    assert bind(PRIMITIVES["exp"], x)._node is None
    assert bind(PRIMITIVES["exp"], x.requires_grad_())._node is not None
    with cr.no_grad():
        assert bind(PRIMITIVES["exp"], x)._node is None


def test_integer_results_are_not_on_the_tape():
    x = cr.ones(2).requires_grad_()
    assert bind(PRIMITIVES["equal"], x, x).requires_grad is False
    assert cr.argmax(x).requires_grad is False
    assert cr.astype(x, cr.int64).requires_grad is False


def test_the_tape_keeps_what_the_rules_name_and_nothing_else():
    x, y = cr.ones(2).requires_grad_(), cr.full((2,), 3.0)
    assert set(bind(PRIMITIVES["exp"], x)._node.kept) == {"y"}
    assert set(bind(PRIMITIVES["add"], x, y)._node.kept) == set()
    product = bind(PRIMITIVES["multiply"], x, y)._node  # only x wants a gradient, which is y
    assert set(product.kept) == {"x2"}
    reshaped = bind(PRIMITIVES["reshape"], x, shape=(2, 1))._node
    assert reshaped.kept == {"x_shape": (2,)}


def test_bfloat16_computes_in_float32_and_rounds_once():
    x = cr.asarray([1.0, 1.0 / 256, 1.0 / 256], dtype=cr.bfloat16)
    assert x.sum().item() == 1.0078125  # 1 + 1/128; rounding after each addition would leave 1.0
    assert x.sum().dtype is cr.bfloat16


def test_observers_see_every_eager_operation():
    seen = []
    observer = lambda primitive, values, results, attributes: seen.append((primitive.name, len(values)))  # noqa: E731
    before = context.local.checks
    context.local.checks = (observer,)
    try:
        (cr.ones(2) + 1).sum()
    finally:
        context.local.checks = before
    assert seen == [("add", 2), ("sum", 1)]


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match=r"^a primitive named 'exp' exists already$"):
        primitive("exp", reference=lambda x: x, shape=lambda x: x)
    assert PRIMITIVES["exp"].reference(np.zeros(1)).tolist() == [1.0]


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match=r"^primitive odd does not take \['derivatives'\]$"):
        primitive("odd", reference=lambda x: x, shape=lambda x: x, derivatives=lambda x: x)
    assert "odd" not in PRIMITIVES


def test_primitives_pickle_by_name():
    assert pickle.loads(pickle.dumps(PRIMITIVES["exp"])) is PRIMITIVES["exp"]
    assert repr(PRIMITIVES["exp"]) == "<primitive exp>"


def test_a_rule_reads_its_signature():
    rule = Rule.of(lambda g, x, y, x_shape, *, axis: g, skip=1)
    assert (rule.keeps, rule.attributes) == (("x", "y", "x_shape"), ("axis",))
    assert Rule.of(None, 1) is None


def test_types_print_and_measure():
    type = TensorType((32, 784), cr.bfloat16)
    assert (str(type), type.size, type.ndim, type.nbytes) == ("bf16[32,784]", 25088, 2, 50176)
    assert str(TensorType((), cr.int64)) == "i64[]"


def test_samples_become_arrays():
    item = Sample(((2, 3), ((4,), 1.0, 2.0), 5.0, np.arange(2)))
    a, b, c, d = sample_arrays(item, np.random.default_rng(0), cr.float32)
    assert (a.shape, a.dtype, b.shape) == ((2, 3), np.float32, (4,))
    assert 1.0 <= b.min() <= b.max() <= 2.0
    assert (c.shape, c.dtype, d.dtype) == ((), np.float32, np.int64)


def test_what_was_accepted_once_is_not_checked_again():
    calls = []

    def shape(x, *, n):
        calls.append(x)
        return x

    counted = primitive("counted", reference=lambda x, *, n: x, shape=shape)
    try:
        for _ in range(3):
            bind(counted, Tensor(np.ones(2)), n=1)
        bind(counted, Tensor(np.ones(3)), n=1)
        bind(counted, Tensor(np.ones(3)), n=2)
        assert len(calls) == 3
    finally:
        del PRIMITIVES["counted"]
