"""Mixed precision: what is cast and what is not, eager and traced alike; gradients, transforms, blocks, retraces."""

from __future__ import annotations

import threading

import ml_dtypes
import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.compiler.executor import ReferenceExecutor
from chainrule.compiler.native import references
from chainrule.compiler.passes import simplify
from chainrule.core.context import local
from chainrule.core.errors import SettingError
from chainrule.core.precision import name_of, operand_dtype
from chainrule.testing import assert_close

CONV = {"stride": 2, "padding": 1}


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def rounded(array):
    """The values that a contraction reads, in float64."""
    return np.asarray(array, np.float32).astype(ml_dtypes.bfloat16).astype(np.float64)


def leaf(array):
    return cr.asarray(array).requires_grad_()


@pytest.fixture(autouse=True)
def _the_precision_is_put_back():
    assert local.precision is None
    yield
    assert local.precision is None


# ---------------------------------------------------------------------------------------------------- what is cast
def product(x, w):
    return x @ w


def attention(x, w):
    return nn.functional.scaled_dot_product_attention(x, w, w)


CONTRACTIONS = {
    "matmul": (product, (3, 5), (5, 4)),
    "matmul of a stack": (product, (2, 3, 5), (5, 4)),
    "matmul of stacks": (product, (2, 3, 5), (2, 5, 4)),
    "matmul with a vector": (product, (3, 5), (5,)),
    "einsum": (lambda x, w: cr.einsum("bij,jk->bki", x, w), (2, 3, 5), (5, 4)),
    "tensordot": (lambda x, w: cr.tensordot(x, w, axes=1), (2, 3, 5), (5, 4)),
    "linear": (lambda x, w: nn.functional.linear(x, w), (3, 5), (4, 5)),
    "conv1d": (lambda x, w: cr.conv1d(x, w, **CONV), (2, 3, 9), (4, 3, 3)),
    "conv2d": (lambda x, w: cr.conv2d(x, w, **CONV), (2, 4, 6, 5), (6, 4, 3, 3)),
    "conv2d in groups": (lambda x, w: cr.conv2d(x, w, groups=2, **CONV), (2, 4, 6, 5), (6, 2, 3, 3)),
    "conv3d": (lambda x, w: cr.conv3d(x, w, dilation=2), (1, 2, 5, 6, 5), (3, 2, 2, 2, 2)),
    "conv_transpose2d": (lambda x, w: cr.conv_transpose2d(x, w, **CONV), (2, 3, 4, 4), (3, 2, 3, 3)),
    "attention": (attention, (2, 4, 6), (2, 5, 6)),
}
LINEAR = [name for name in CONTRACTIONS if name != "attention"]


@pytest.mark.parametrize("name", LINEAR)
def test_a_contraction_reads_bfloat16_and_gives_float32(name):
    function, *shapes = CONTRACTIONS[name]
    x, w = (draw(*shape, seed=i) for i, shape in enumerate(shapes))
    with cr.precision("bf16"):
        got = function(cr.asarray(x), cr.asarray(w))
    want = function(cr.asarray(rounded(x)), cr.asarray(rounded(w)))
    bound = function(cr.asarray(abs(rounded(x))), cr.asarray(abs(rounded(w)))).numpy()
    assert got.dtype is cr.float32
    assert (abs(got.numpy() - want.numpy()) <= 4e-6 * bound).all()  # the sums are float32's, not bfloat16's
    assert (got.numpy() != function(cr.asarray(x), cr.asarray(w)).numpy()).any()


@pytest.mark.parametrize("name", LINEAR)
def test_gradients_are_those_of_the_rounded_operands(name):
    """dx = g w^T with g and w rounded, and not rounded itself; backward is called outside the block."""
    function, *shapes = CONTRACTIONS[name]
    arrays = [draw(*shape, seed=i) for i, shape in enumerate(shapes)]
    x, w = map(leaf, arrays)
    with cr.precision("bf16"):
        y = function(x, w)
    g = draw(*y.shape, seed=7)
    y.backward(cr.asarray(g))
    exact = [leaf(rounded(array)) for array in arrays]
    function(*exact).backward(cr.asarray(rounded(g)))
    bound = [leaf(abs(rounded(array))) for array in arrays]
    function(*bound).backward(cr.asarray(abs(rounded(g))))
    for got, want, most in zip((x, w), exact, bound, strict=True):
        assert got.grad.dtype is cr.float32
        assert (abs(got.grad.numpy() - want.grad.numpy()) <= 4e-6 * most.grad.numpy()).all()


@pytest.mark.parametrize("name", CONTRACTIONS)
@pytest.mark.parametrize("where", ["argument of jit", "surroundings of the call", "block in the step"])
def test_eager_and_traced_have_the_same_bits(name, where):
    function, *shapes = CONTRACTIONS[name]
    x, w = (leaf(draw(*shape, seed=i)) for i, shape in enumerate(shapes))

    def step():
        x.grad = w.grad = None
        (cr.tanh(function(x, w)) ** 2).sum().backward()

    def blocked():
        with cr.precision("bf16"):
            step()

    blocked()
    eager = x.grad.numpy(), w.grad.numpy()
    compiled = cr.jit(blocked if where == "block in the step" else step)
    if where == "argument of jit":
        compiled = cr.jit(step, precision="bf16")

    def run():
        x.grad = w.grad = None
        with cr.precision("bf16" if where == "surroundings of the call" else "float32"):
            compiled()
        return x.grad.numpy(), w.grad.numpy()

    with references():
        for _ in range(2):
            for got, want in zip(run(), eager, strict=True):
                assert got.tobytes() == want.tobytes()
    compiled.variants.clear()
    for got, want in zip(run(), eager, strict=True):  # natively, where sums in another order round to other bfloat16
        assert_close(got, want, rtol=2**-7, atol=2**-7 * abs(want).max())


def test_the_graph_has_the_casts_as_equations():
    @cr.jit(precision="bf16")
    def step(x, w):
        return cr.exp(cr.conv2d(x, w))

    step(cr.ones((1, 2, 3, 3)), cr.ones((4, 2, 2, 2)))
    assert [f"{equation.outputs[0].type} {equation.primitive.name}" for equation in step.graph()] == [
        "bf16[1,2,3,3] astype",
        "bf16[4,2,2,2] astype",
        "f32[1,4,2,2] convolution",
        "f32[1,4,2,2] exp",
    ]
    assert step.graph().equations[2].attributes["dtype"] is cr.float32


def test_without_the_policy_the_graph_has_no_trace_of_it():
    step = cr.jit(product)
    step(cr.ones((1, 2)), cr.ones((2, 1)))
    assert [(e.primitive.name, dict(e.attributes)) for e in step.graph()] == [("matmul", {})]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: cr.sum(x, axis=0),
        lambda x: cr.softmax(x, axis=-1),
        lambda x: nn.functional.layer_norm(x, (6,)),
        lambda x: nn.functional.mse_loss(x, cr.zeros((6, 6))),
        lambda x: cr.vecdot(x, x),
        lambda x: cr.cumulative_sum(x, axis=1),
        lambda x: cr.linalg.matrix_power(x, 3),
        lambda x: cr.linalg.multi_dot([x, x, x]),
        lambda x: cr.linalg.lstsq(x, x[0]).solution,
        lambda x: cr.linalg.qr(x[:4]).R,
        lambda x: cr.linalg.householder_product(x, x[0]),
        lambda x: cr.linalg.inv(x),
        lambda x: cr.affine_grid(x[None, :2, :3], (1, 1, 3, 4)),
    ],
)
def test_all_else_stays_float32(function):
    def gradient():
        x = leaf(draw(6, 6))
        y = function(x)
        (y * y).sum().backward()
        return y, x.grad

    with cr.precision("bf16"):
        got = gradient()
    for a, b in zip(got, gradient(), strict=True):
        assert a.dtype is cr.float32
        assert a.numpy().tobytes() == b.numpy().tobytes()


@pytest.mark.parametrize("dtype", ["float64", "int64", "bfloat16", "complex64"])
def test_other_dtypes_than_float32_are_left_alone(dtype):
    x = cr.asarray(draw(4, 4) * 10).astype(dtype)
    with cr.precision("bf16"):
        got = x @ x
    assert got.dtype is x.dtype
    assert got.numpy().tobytes() == (x @ x).numpy().tobytes()


def test_the_range_is_that_of_float32():
    x = cr.asarray([[1e-30, 1e30]])
    with cr.precision("bf16"):
        assert (x @ cr.asarray([[1e30], [1e-30]])).item() == pytest.approx(2, rel=0.01)


# ---------------------------------------------------------------------------------------------------- blocks
def test_blocks_nest_and_float32_inside_turns_it_off():
    x = cr.asarray([[1.001]])
    seen = []
    with cr.precision("bf16"):
        seen.append((x @ x).item())
        with cr.precision("float32"):
            seen.append((x @ x).item())
            with cr.precision("bf16"):
                seen.append((x @ x).item())
            seen.append((x @ x).item())
        seen.append((x @ x).item())
    exact = (x @ x).item()
    assert seen == [1.0, exact, 1.0, exact, 1.0]
    assert exact != 1.0


def test_it_decorates_and_recurses_and_an_error_leaves_no_trace():
    @cr.precision("bf16")
    def power(x, n):
        return x if n == 1 else x @ power(x, n - 1)

    assert power(cr.asarray([[1.001]]), 3).item() == 1.0
    assert power.__name__ == "power"
    assert cr.precision("bf16", lambda x: x @ x)(cr.asarray([[1.001]])).item() == 1.0
    with pytest.raises(ZeroDivisionError), cr.precision("bf16"):
        _ = 1 / 0


def test_each_thread_has_its_own():
    seen = []
    with cr.precision("bf16"):
        thread = threading.Thread(target=lambda: seen.append(local.precision))
        thread.start()
        thread.join()
    assert seen == [None]


@pytest.mark.parametrize(
    "name, message",
    [
        ("fp16", "precision must be \"float32\" or \"bf16\"; got 'fp16'; did you mean 'bf16'?"),
        ("float64", "precision must be \"float32\" or \"bf16\"; got 'float64'; did you mean 'float32'?"),
        (16, 'precision must be "float32" or "bf16"; got 16.'),
    ],
)
def test_an_unknown_name_is_refused(name, message):
    with pytest.raises(SettingError) as error:
        cr.precision(name)
    assert error.value.message == message
    with pytest.raises(SettingError) as error:
        cr.jit(product, precision=name)
    assert error.value.message == f"jit.{message}"


def test_names_and_dtypes_go_both_ways():
    assert [name_of(operand_dtype(name)) for name in ("float32", "bf16")] == ["float32", "bf16"]


# ---------------------------------------------------------------------------------------------------- variants
def test_the_precision_selects_the_variant():
    step = cr.jit(product)
    x = cr.asarray([[1.001]])
    first = step(x, x).item()
    with cr.precision("bf16"):
        assert step(x, x).item() == 1.0
    assert step(x, x).item() == first != 1.0
    assert len(step.variants) == 2
    assert step.retraces == ["the precision was float32, now bf16"]


def test_jits_own_precision_wins_over_its_surroundings():
    x = cr.asarray([[1.001]])
    narrow, wide = cr.jit(product, precision="bf16"), cr.jit(product, precision="float32")
    with cr.precision("bf16"):
        assert wide(x, x).item() == (x.astype("float64") @ x.astype("float64")).astype("float32").item()
    assert narrow(x, x).item() == 1.0
    outer = cr.jit(lambda x: (narrow(x, x), wide(x, x), x @ x))
    assert [y.item() for y in outer(x)] == [1.0, wide(x, x).item(), wide(x, x).item()]
    assert cr.vmap(narrow)(x[None], x[None]).item() == 1.0
    assert narrow.retraces == wide.retraces == []


def test_a_method_keeps_the_precision():
    class Squared:
        @cr.jit(precision="bf16")
        def step(self, x):
            return x @ x

    assert Squared().step(cr.asarray([[1.001]])).item() == 1.0


# ---------------------------------------------------------------------------------------------------- derivatives
def test_backward_has_the_precision_of_its_forward_wherever_it_is_called():
    def run(inner, outer):
        x, w = leaf(draw(3, 5)), leaf(draw(5, 4, seed=1))
        with cr.precision(inner):
            loss = (cr.tanh(x @ w) ** 2).sum()
        with cr.precision(outer):
            loss.backward()
        return x.grad.numpy().tobytes(), w.grad.numpy().tobytes()

    assert run("bf16", "float32") == run("bf16", "bf16")
    assert run("float32", "bf16") == run("float32", "float32") != run("bf16", "bf16")


def test_a_gradient_is_not_rounded_on_its_way_to_a_shared_weight():
    """256 + 1 = 257 has no bfloat16: a gradient that passed through it would lose the 1."""
    w = leaf([[1.0]])
    with cr.precision("bf16"):
        y = cr.asarray([[256.0]]) @ w + cr.asarray([[1.0]]) @ w
        z = cr.asarray([[256.0, 1.0]]) @ cr.concat([w, w])
    y.backward()
    z.backward()
    assert w.grad.item() == 514.0


def test_second_derivatives():
    def loss(x, w):
        return (cr.tanh(x @ w) ** 2).sum()

    x, w = cr.asarray(draw(3, 5)), cr.asarray(draw(5, 4, seed=1))
    vector = cr.asarray(draw(5, 4, seed=2))
    (want,) = cr.hvp(lambda w: loss(x, w), (w,), (vector,))
    with cr.precision("bf16"):
        (got,) = cr.hvp(lambda w: loss(x, w), (w,), (vector,))
        twice = cr.grad(lambda w: (cr.grad(lambda w: loss(x, w))(w) * vector).sum())(w)
    assert got.dtype is twice.dtype is cr.float32
    for found in (got, twice):
        error = abs(found.numpy() - want.numpy()).max()
        assert 0 < error < 0.02 * abs(want.numpy()).max()


def test_forward_mode_agrees_with_reverse_mode():
    x, w, t, c = (cr.asarray(draw(4, 4, seed=i)) for i in range(4))
    with cr.precision("bf16"):
        y, moved = cr.jvp(lambda x: x @ w, (x,), (t,))
        _, pull = cr.vjp(lambda x: x @ w, x)
    (back,) = pull(c)
    assert y.dtype is moved.dtype is cr.float32
    want = rounded(t.numpy()) @ rounded(w.numpy())
    np.testing.assert_allclose(moved.numpy(), want, rtol=1e-5, atol=1e-5)
    assert (moved * c).sum().item() == pytest.approx((back * t).sum().item(), rel=0.02, abs=0.05)


@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0)])
@pytest.mark.parametrize("shapes", [((3, 5), (5, 4)), ((3, 1), (1, 4)), ((2, 3, 5), (2, 5, 4))])
def test_a_batch_is_a_loop(axes, shapes):
    x, w = (draw(*((6,) if axis == 0 else ()), *s, seed=i) for i, (axis, s) in enumerate(zip(axes, shapes)))
    with cr.precision("bf16"):
        got = cr.vmap(product, in_axes=axes)(cr.asarray(x), cr.asarray(w))
        rows = [(x[k] if axes[0] == 0 else x, w[k] if axes[1] == 0 else w) for k in range(6)]
        want = np.stack([(cr.asarray(a) @ cr.asarray(b)).numpy() for a, b in rows])
    assert got.dtype is cr.float32
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_checkpointed_block_is_computed_again_with_the_same_casts(compiled):
    w = leaf(draw(4, 4, seed=1))

    def gradient(kept):
        x = cr.asarray(draw(3, 4))
        block = lambda x: cr.tanh(cr.tanh(x @ w) @ w)  # noqa: E731
        with cr.precision("bf16"):
            y = block(x) if kept else cr.checkpoint(block, x)
        w.grad = None
        (y * y).sum().backward()
        return w.grad

    run = cr.jit(gradient) if compiled else gradient
    assert run(True).numpy().tobytes() == run(False).numpy().tobytes()


def test_the_pull_of_a_custom_gradient_runs_as_its_block_did():
    @cr.custom_gradient
    def squared(x):
        return x @ x, lambda g: g @ x.mT + x.mT @ g

    x = leaf([[1.001]])
    with cr.precision("bf16"):
        y = squared(x)
    y.sum().backward()
    assert x.grad.item() == 2.0


def test_the_derivative_of_a_jitted_call_from_outside():
    def loss(x, w):
        return cr.sum(cr.tanh(x @ w))

    x, w = leaf(draw(3, 5)), leaf(draw(5, 4, seed=1))
    with cr.precision("bf16"):
        loss(x, w).backward()
    want = x.grad.numpy().tobytes(), w.grad.numpy().tobytes()
    for step in (cr.jit(loss, precision="bf16"), cr.precision("bf16")(cr.jit(loss))):
        x.grad = w.grad = None
        value = step(x, w)
        value.backward()
        assert (x.grad.numpy().tobytes(), w.grad.numpy().tobytes()) == want


def test_a_gradient_of_a_bfloat16_tensor_is_bfloat16():
    x = cr.ones((2, 2)).astype(cr.bfloat16).requires_grad_()
    from chainrule.core.bind import bind
    from chainrule.core.primitive import PRIMITIVES

    y = bind(PRIMITIVES["matmul"], x, x, dtype=cr.float32)
    assert y.dtype is cr.float32
    assert cr.gradients([y.sum()], [x], retain_graph=True)[0].dtype is cr.bfloat16
    y.sum().backward()
    assert x.grad.dtype is cr.bfloat16
    assert x.grad.tolist() == [[4.0, 4.0], [4.0, 4.0]]


def test_passes_keep_the_casts_and_cast_each_operand_once():
    """A linear layer's weight gradient is transposed into place: the rewritten product is as wide as it was."""
    layer, x = nn.Linear(5, 4), cr.asarray(draw(3, 5))

    @cr.jit(precision="bf16")
    def step(x):
        layer.weight.grad = layer.bias.grad = None
        cr.tanh(layer(x)).sum().backward()

    step(x)
    graph = step.graph()
    simple = simplify(graph)
    names = [f"{equation.primitive.name} {equation.outputs[0].type}" for equation in simple]
    assert sorted(name for name in names if "bf16" in name and "astype" in name) == [
        "astype bf16[3,4]",
        "astype bf16[3,5]",
        "astype bf16[5,4]",
    ]
    assert [name for name in names if "matmul" in name] == ["matmul f32[3,4]", "matmul f32[4,5]"]
    inputs = [draw(*v.shape, seed=i) for i, v in enumerate(graph.inputs)]
    for got, want in zip(ReferenceExecutor(simple)(inputs), ReferenceExecutor(graph)(inputs), strict=True):
        assert got.tobytes() == want.tobytes()
