"""Module: registering, walking, modes, hooks, state dicts, paths in errors, copies, and what compiled steps notice."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.core.errors import ChainruleWarning, ShapeError, StateDictError, TraceError


class Block(nn.Module):
    def __init__(self, size):
        self.first = nn.Linear(size, size)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("mean", cr.zeros((size,)))
        self.register_buffer("scratch", cr.zeros((1,)), persistent=False)

    def forward(self, x):
        return self.drop(self.first(x)) - self.mean


class Net(nn.Module):
    def __init__(self):
        self.layers = nn.ModuleList([Block(3), Block(3)])
        self.out = nn.Linear(3, 2)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.out(x)


# --- registering and walking -----------------------------------------------------------------------------------------


def test_names_of_parameters_buffers_and_modules():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == [
        "layers.0.first.weight", "layers.0.first.bias", "layers.1.first.weight", "layers.1.first.bias",
        "out.weight", "out.bias",
    ]  # fmt: skip
    assert [name for name, _ in net.named_buffers()] == [
        "layers.0.mean", "layers.0.scratch", "layers.1.mean", "layers.1.scratch",
    ]  # fmt: skip
    assert [name for name, _ in net.named_modules()] == [
        "", "layers", "layers.0", "layers.0.first", "layers.0.drop",
        "layers.1", "layers.1.first", "layers.1.drop", "out",
    ]  # fmt: skip
    assert list(net.children()) == [net.layers, net.out]
    assert [name for name, _ in net.named_parameters("net", recurse=False)] == []
    assert [name for name, _ in net.out.named_parameters("head")] == ["head.weight", "head.bias"]


def test_shared_parameters_are_listed_once_and_saved_under_every_name():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert [name for name, _ in net.named_parameters(remove_duplicate=False)] == [
        "0.weight",
        "0.bias",
        "1.weight",
        "1.bias",
    ]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    twin = pickle.loads(pickle.dumps(net))
    assert twin[0].weight is twin[1].weight
    assert copy.deepcopy(net)[0].weight is not net[0].weight
    twice = nn.Sequential(net[0], net[0])
    assert len(list(twice.parameters())) == 2
    assert len(list(twice.modules())) == 2


def test_assigning_and_deleting_attributes():
    layer = nn.Linear(2, 3)
    layer.scale = nn.Parameter(cr.ones(3))
    assert "scale" in dict(layer.named_parameters())
    layer.scale = None
    assert "scale" not in dict(layer.named_parameters())
    assert layer.scale is None
    del layer.scale
    layer.scale = 2.0
    assert layer.scale == 2.0
    with pytest.raises(AttributeError) as caught:
        layer.wieght
    assert str(caught.value) == "Linear has no attribute 'wieght'; did you mean 'weight'?"
    with pytest.raises(TypeError) as caught:
        layer.weight = cr.ones((3, 2))
    assert str(caught.value) == "Linear.weight must be an nn.Parameter or None; got Tensor."
    assert "weight" in dir(layer)


def test_a_class_instead_of_an_instance_is_refused():
    with pytest.raises(TypeError) as caught:
        nn.Sequential(nn.Linear(2, 2), nn.ReLU)
    assert str(caught.value) == "Sequential takes modules; argument 1 is the class ReLU: write ReLU()."
    with pytest.raises(TypeError) as caught:
        nn.Module().add_module("act", cr.relu)
    assert str(caught.value) == "add_module('act') takes an nn.Module; got the function relu."


def test_names_that_cannot_be_registered():
    with pytest.raises(ValueError) as caught:
        nn.Module().add_module("a.b", nn.ReLU())
    assert str(caught.value) == "a name inside a module is a non-empty string without a dot; got 'a.b'."
    with pytest.raises(ValueError) as caught:
        nn.Module().add_module("forward", nn.ReLU())
    assert str(caught.value) == "Module.forward exists already as part of the class; choose another name."
    with pytest.raises(TypeError) as caught:
        nn.Module().register_buffer("mean", [0.0])
    assert str(caught.value) == "register_buffer('mean') takes a tensor or None; got list: use cr.asarray."
    with pytest.raises(TypeError) as caught:
        nn.Module().register_parameter("mean", cr.ones(1))
    assert str(caught.value) == "register_parameter('mean') takes an nn.Parameter or None; got Tensor."


def test_a_plain_list_of_modules_is_noticed():
    module = nn.Module()
    with pytest.warns(ChainruleWarning) as caught:
        module.parts = [nn.Linear(2, 2)]
    assert str(caught[0].message) == (
        "Module.parts is a plain list that holds modules or parameters: they are not registered, so nothing trains or "
        "saves them. Use nn.ModuleList, or assign them one by one."
    )


def test_get_submodule():
    net = Net()
    assert net.get_submodule("layers.1.first") is net.layers[1].first
    assert net.get_submodule("") is net
    with pytest.raises(AttributeError) as caught:
        net.get_submodule("layers.1.frist")
    assert str(caught.value) == "no module at 'layers.1.frist': Block has no 'frist'; did you mean 'first'?"


def test_apply_reaches_every_module_from_the_bottom():
    seen = []
    net = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Tanh())
    assert net.apply(lambda module: seen.append(type(module).__name__)) is net
    assert seen == ["ReLU", "Sequential", "Tanh", "Sequential"]


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError) as caught:
        nn.Module()(1)
    assert str(caught.value) == "Module has no forward: define forward(self, ...) in the class."


def test_layers_without_settings_take_no_arguments():
    with pytest.raises(TypeError):
        nn.ReLU(True)


# --- modes, freezing, dtypes -----------------------------------------------------------------------------------------


def test_freeze_and_unfreeze_a_part():
    net = Net()
    net.layers.freeze()
    assert [name for name, p in net.named_parameters() if p.requires_grad] == ["out.weight", "out.bias"]
    net.eval()(cr.ones((2, 3))).sum().backward()
    assert net.out.weight.grad is not None
    assert net.layers[0].first.weight.grad is None
    net.unfreeze()
    assert all(p.requires_grad for p in net.parameters())


def test_what_is_frozen_can_stay_in_eval_mode():
    net = nn.Sequential(nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5)), nn.Linear(2, 2))
    net[0].freeze(keep_eval=True)
    net.train()
    assert [part.training for part in net.modules()] == [True, False, False, False, True]
    x = cr.asarray([[1.0, 2.0], [3.0, 5.0]])
    for call in (net, cr.jit(lambda x: net(x))):
        np.testing.assert_allclose(call(x).numpy(), net.eval()(x).numpy(), rtol=1e-6)
        net.train()
    assert net[0][0].num_batches_tracked.item() == 0
    net.unfreeze().train()
    assert all(part.training for part in net.modules())
    net[0].freeze()
    assert all(part.training for part in net.train().modules())


def test_zero_grad():
    layer = nn.Linear(2, 2)
    layer(cr.ones((1, 2))).sum().backward()
    layer.zero_grad(set_to_none=False)
    assert layer.weight.grad.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    layer.zero_grad()
    assert layer.weight.grad is None


def test_converting_keeps_the_cells_and_converts_gradients():
    net = Net().eval()
    weight = net.out.weight
    net(cr.ones((1, 3))).sum().backward()
    assert net.astype(cr.float64) is net
    assert net.out.weight is weight
    assert weight.dtype is cr.float64
    assert weight.grad.dtype is cr.float64
    assert weight.requires_grad
    assert net.layers[0].mean.dtype is cr.float64
    assert net(cr.ones((1, 3), dtype=cr.float64)).dtype is cr.float64
    net.to("cpu")
    with pytest.raises(ValueError) as caught:
        net.to(cr.int64)
    assert str(caught.value) == "Net.to.dtype must be a float dtype; got int64."


# --- buffers and settings are cells -----------------------------------------------------------------------------------


def test_assigning_a_buffer_puts_the_value_into_its_cell():
    block = Block(3)
    cell = block.mean
    block.mean = cr.ones(3)
    assert block.mean is cell
    assert cell.tolist() == [1.0, 1.0, 1.0]
    block.mean = cr.ones(4)  # another shape: another cell
    assert block.mean is not cell
    assert dict(block.named_buffers())["mean"].shape == (4,)


def test_a_buffer_assigned_in_a_compiled_step_is_state():
    class Counter(nn.Module):
        def __init__(self):
            self.register_buffer("count", cr.asarray(0))

        def forward(self, x):
            self.count = self.count + 1
            return x * self.count.astype(cr.float32)

    module = Counter()
    step = cr.jit(module)
    assert [step(cr.ones(1)).item() for _ in range(3)] == [1.0, 2.0, 3.0]
    assert module.count.item() == 3
    assert len(step.variants) == 1


def test_changing_the_structure_inside_a_trace_is_refused():
    class Lazy(nn.Module):
        def forward(self, x):
            self.layer = nn.Linear(2, 2)
            return self.layer(x)

    with pytest.raises(TraceError) as caught:
        cr.jit(Lazy())(cr.ones((1, 2)))
    assert caught.value.message == (
        "registering 'weight' changes the structure of Linear while cr.jit traces, and compiled calls would not repeat "
        "it; do it in __init__, or before the step is called."
    )


def test_settings_are_cells_and_do_not_retrace():
    layer = nn.Dropout(0.5)
    cell = layer.p

    @cr.jit
    def step(x):
        return layer(x)

    assert (step(cr.ones(1000)).numpy() == 0).mean() > 0.4
    layer.p = 0.01
    assert layer.p is cell
    assert (step(cr.ones(1000)).numpy() == 0).mean() < 0.1
    assert len(step.variants) == 1
    assert repr(layer) == "Dropout(p=0.01)"
    with pytest.raises(ValueError) as caught:
        layer.p = 1.5
    assert str(caught.value) == "Dropout.p must be a float in [0, 1); got 1.5."


def test_a_setting_that_was_off_is_switched_on_once():
    loss = nn.CrossEntropyLoss()
    x, y = cr.asarray([[2.0, 0.0, 0.0]]), cr.asarray([0])
    step = cr.jit(lambda x, y: loss(x, y))
    values = [step(x, y).item()]
    for smoothing in (0.5, 0.25, 0.0):
        loss.label_smoothing = smoothing
        values.append(step(x, y).item())
    assert len(step.variants) == 2  # with and without the arithmetic
    assert len(step.retraces) == 1
    expected = [nn.functional.cross_entropy(x, y, label_smoothing=s).item() for s in (0.0, 0.5, 0.25, 0.0)]
    np.testing.assert_allclose(values, expected, rtol=1e-6)


# --- what a compiled step notices -----------------------------------------------------------------------------------


def test_switching_modes_and_back_finds_the_same_trace():
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    train, test = cr.jit(lambda x: net(x)), cr.jit(lambda x: net(x))
    for _ in range(3):
        train(cr.ones((1, 2)))
        net.eval()
        test(cr.ones((1, 2)))
        net.train()
    assert (len(train.retraces), len(test.retraces)) == (0, 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda net: net.eval(),
        lambda net: net.freeze(),
        lambda net: setattr(net, "1", nn.Tanh()),
        lambda net: net.append(nn.Tanh()),
        lambda net: setattr(net[1], "negative_slope", 0.5),
        lambda net: net[0].register_forward_hook(lambda module, args, output: output * 2),
        lambda net: net.astype(cr.float64).astype(cr.float32),
        lambda net: setattr(net[0], "bias", None),
    ],
    ids=["eval", "freeze", "replace", "append", "attribute", "hook", "dtype", "delete"],
)
def test_a_structural_change_is_traced_again(change):
    net = nn.Sequential(nn.Linear(2, 2), nn.LeakyReLU())
    step = cr.jit(lambda x: net(x))
    x = cr.asarray([[-1.0, 2.0]])
    step(x)
    change(net)
    np.testing.assert_allclose(step(x).numpy(), net(x).numpy(), rtol=1e-6)
    assert len(step.retraces) == 1


def test_loading_weights_does_not_retrace():
    net = nn.Linear(2, 2)
    step = cr.jit(lambda x: net(x))
    step(cr.ones((1, 2)))
    net.load_state_dict({"weight": cr.zeros((2, 2)), "bias": cr.ones(2)})
    assert step(cr.ones((1, 2))).tolist() == [[1.0, 1.0]]
    assert step.retraces == []


# --- hooks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_forward_hooks(compiled):
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    seen = []
    net[1].register_forward_pre_hook(lambda module, args: (args[0] - 1.0,))
    net[1].register_forward_hook(lambda module, args, output: output * 10.0)
    handle = net[0].register_forward_hook(lambda module, args, output: seen.append((args[0].shape, output.shape)))
    run = cr.jit(lambda x: net(x)) if compiled else net
    x = cr.asarray([[1.0, 2.0], [3.0, -4.0]])
    expected = np.maximum(net[0].forward(x).numpy() - 1.0, 0.0) * 10.0
    np.testing.assert_allclose(run(x).numpy(), expected, rtol=1e-6)
    assert seen == [((2, 2), (2, 2))]
    handle.remove()
    handle.remove()
    run(x)
    assert len(seen) == 1


def test_a_hook_ends_with_its_block_and_keeps_its_place():
    layer = nn.Identity()
    order = []
    with (
        layer.register_forward_hook(lambda *_: order.append("a")),
        layer.register_forward_hook(lambda *_: order.append("b")),
    ):
        layer(cr.ones(1))
    layer(cr.ones(1))
    assert order == ["a", "b"]


@pytest.mark.parametrize("wanted", [True, False], ids=["input with gradient", "plain input"])
def test_full_backward_hook(wanted):
    layer = nn.Linear(2, 3)
    seen = []
    layer.register_full_backward_hook(lambda module, grad_input, grad_output: seen.append((grad_input, grad_output)))
    x = cr.ones((4, 2)).requires_grad_(wanted)
    (layer(x) * 2.0).sum().backward()
    [(grad_input, grad_output)] = seen
    assert grad_output[0].tolist() == np.full((4, 3), 2.0).tolist()
    if wanted:
        np.testing.assert_allclose(grad_input[0].numpy(), x.grad.numpy())
    else:
        assert grad_input == (None,)
    np.testing.assert_allclose(layer.bias.grad.numpy(), [8.0, 8.0, 8.0])


def test_a_backward_hook_may_replace_the_input_gradient():
    layer = nn.Identity()
    layer.register_full_backward_hook(lambda module, grad_input, grad_output: (grad_input[0] * 3.0,))
    x = cr.ones(2).requires_grad_()
    layer(x).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_a_backward_hook_inside_a_compiled_step():
    layer = nn.Linear(2, 1)
    layer.register_full_backward_hook(lambda module, grad_input, grad_output: (grad_input[0] * 3.0,))

    @cr.jit
    def step(x):
        return cr.grad(lambda v: layer(v).sum())(x)

    np.testing.assert_allclose(step(cr.ones((1, 2))).numpy(), 3.0 * layer.weight.numpy(), rtol=1e-6)


# --- state dicts ----------------------------------------------------------------------------------------------------


def test_a_state_dict_is_a_snapshot():
    net = Net()
    state = net.state_dict()
    assert list(state) == [
        "layers.0.mean", "layers.0.first.weight", "layers.0.first.bias",
        "layers.1.mean", "layers.1.first.weight", "layers.1.first.bias", "out.weight", "out.bias",
    ]  # fmt: skip
    before = state["out.weight"].tolist()
    with cr.no_grad():
        net.out.weight.assign_(net.out.weight * 2)
        net.out.weight[0] = 7.0
    assert state["out.weight"].tolist() == before
    assert not state["out.weight"].requires_grad
    assert list(net.out.state_dict("head.")) == ["head.weight", "head.bias"]


def test_loading_lists_every_problem_and_loads_nothing():
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    before = {name: value.tolist() for name, value in net.state_dict().items()}
    state = net.state_dict()
    state["0.bias"] = cr.ones((3,))
    state["0.weight"] = cr.zeros((4, 3))
    state["2.weight"] = cr.zeros((2, 3), dtype=cr.float64)
    state["2.biass"] = state.pop("2.bias")
    state["3.weight"] = "text"
    with pytest.raises(StateDictError) as caught:
        net.load_state_dict(state)
    assert str(caught.value) == (
        "load_state_dict: 5 problems with Sequential, nothing was loaded:\n"
        "  2.bias is missing; the nearest is '2.biass'\n"
        "  2.biass is unexpected; did you mean '2.bias'?\n"
        "  3.weight is unexpected\n"
        "  0.weight has the shape (3, 4); the state dict has (4, 3) (transposed?)\n"
        "  2.weight is float32; the state dict has float64: convert it with .astype\n"
        "models.load_weights(module, state_dict, rename=...) gives other names to them.\n"
        "strict=False loads what both have.\n"
        "Make the module with the state dict's sizes, load, then change it: models.replace_head(model, classes)."
    )
    assert {name: value.tolist() for name, value in net.state_dict().items()} == before


def test_loading_not_strictly_reports_what_was_left_out():
    net = nn.Linear(2, 2)
    report = net.load_state_dict({"bias": cr.ones(2), "extra": cr.ones(1)}, strict=False)
    assert report == (["weight"], ["extra"])
    assert net.bias.tolist() == [1.0, 1.0]
    with pytest.raises(StateDictError) as caught:
        net.load_state_dict({"bias": np.ones(3, np.float32)}, strict=False)
    assert str(caught.value) == (
        "load_state_dict: 1 problem with Linear, nothing was loaded:\n"
        "  bias has the shape (2,); the state dict has (3,)\n"
        "Make the module with the state dict's sizes, load, then change it: models.replace_head(model, classes)."
    )
    with pytest.raises(StateDictError) as caught:
        net.load_state_dict({"weight": [[1.0]], "bias": cr.ones(2)})
    assert str(caught.value) == (
        "load_state_dict: 1 problem with Linear, nothing was loaded:\n"
        "  weight must be a tensor or a NumPy array; the state dict has list"
    )
    with pytest.raises(StateDictError) as caught:
        net.load_state_dict([1])
    assert str(caught.value) == "load_state_dict takes a mapping of names to tensors; got list."


def test_names_with_a_prefix_are_understood():
    net = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(StateDictError) as caught:
        net.load_state_dict(net.state_dict("module."))
    assert str(caught.value) == (
        "load_state_dict: 4 problems with Sequential, nothing was loaded:\n"
        "  0.weight is missing; the nearest is 'module.0.weight'\n"
        "  0.bias is missing; the nearest is 'module.0.bias'\n"
        "  module.0.weight is unexpected; did you mean '0.weight'?\n"
        "  module.0.bias is unexpected; did you mean '0.bias'?\n"
        "Every name begins with 'module.', which the module's names do not: take it off.\n"
        "strict=False loads what both have."
    )


def test_loaded_values_are_copies():
    net, values = nn.Linear(2, 2), np.ones(2, np.float32)
    net.load_state_dict({"bias": values, "weight": cr.zeros((2, 2))})
    values[:] = 5.0
    assert net.bias.tolist() == [1.0, 1.0]


# --- errors name the module -----------------------------------------------------------------------------------------


def test_a_shape_mismatch_three_modules_deep_names_the_path():
    class Encoder(nn.Module):
        def __init__(self):
            self.layers = nn.ModuleList([nn.Linear(8, 8), nn.Sequential(nn.ReLU(), nn.Linear(4, 2))])

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    class Model(nn.Module):
        def __init__(self):
            self.encoder = Encoder()

        def forward(self, x):
            return self.encoder(x)

    for run in (Model(), cr.jit(Model())):
        with pytest.raises(ShapeError) as caught:
            run(cr.ones((2, 8)))
        assert caught.value.message == "Linear(4, 2) got (2, 8); its last axis must be 4."
        assert caught.value.module_path == "encoder.layers.1.1 (Linear)"
        assert caught.value.location.startswith("test_module.py:")
        assert (
            str(caught.value) == f"{caught.value.message}\n  ({caught.value.location}, in encoder.layers.1.1 (Linear))"
        )


def test_an_error_of_an_operation_in_a_users_forward_names_the_module():
    class Inner(nn.Module):
        def forward(self, x):
            return x @ cr.ones((5, 5))

    with pytest.raises(ShapeError) as caught:
        nn.Sequential(nn.Identity(), Inner())(cr.ones((2, 8)))
    assert caught.value.module_path == "1 (Inner)"


def test_an_error_leaves_the_stack_of_modules_empty():
    from chainrule.core.context import local

    with pytest.raises(ShapeError):
        nn.Sequential(nn.Linear(2, 2))(cr.ones((1, 3)))
    assert local.modules == []


# --- text and copies ------------------------------------------------------------------------------------------------


def test_repr_is_a_tree_of_calls():
    assert repr(Net()) == (
        "Net(\n"
        "  (layers): ModuleList(\n"
        "    (0): Block(\n"
        "      (first): Linear(3, 3)\n"
        "      (drop): Dropout()\n"
        "    )\n"
        "    (1): Block(\n"
        "      (first): Linear(3, 3)\n"
        "      (drop): Dropout()\n"
        "    )\n"
        "  )\n"
        "  (out): Linear(3, 2)\n"
        ")"
    )
    assert repr(nn.Linear(3, 2, bias=False, dtype=cr.float64)) == 'Linear(3, 2, bias=False, dtype="float64")'
    assert (
        repr(nn.CrossEntropyLoss([1.0, 2.0], label_smoothing=0.1))
        == "CrossEntropyLoss(weight=[1.0, 2.0], label_smoothing=0.1)"
    )


def test_repr_of_a_users_module_shows_the_settings_it_keeps():
    class Scale(nn.Module):
        def __init__(self, factor, offset=0.0):
            self.factor, self.offset = factor, offset

    assert repr(Scale(2.0, offset=1.0)) == "Scale(2.0, offset=1.0)"


class Stepper(nn.Module):
    def __init__(self):
        self.layer = nn.Linear(2, 2)
        self.compiled = cr.jit(self.forward)

    @cr.jit
    def step(self, x):
        return self.layer(x)

    def forward(self, x):
        return self.layer(x)


def test_compiled_methods_do_not_travel_with_copies():
    source = Stepper()
    x = cr.ones((1, 2))
    source.step(x)
    source.compiled(x)
    for twin in (copy.deepcopy(source), pickle.loads(pickle.dumps(source))):
        assert twin.compiled.variants == []
        with cr.no_grad():
            twin.layer.weight.assign_(cr.zeros((2, 2)))
            twin.layer.bias.assign_(cr.ones(2))
        assert twin.step(x).tolist() == [[1.0, 1.0]]
        assert twin.compiled(x).tolist() == [[1.0, 1.0]]
        assert source.step(x).tolist() == source(x).tolist()


def test_a_module_of_another_thread_has_its_own_path():
    import threading

    class Outer(nn.Module):
        def forward(self, x):
            errors = []

            def inside():
                try:
                    nn.Linear(2, 2)(x)
                except ShapeError as error:
                    errors.append(error)

            worker = threading.Thread(target=inside)
            worker.start()
            worker.join()
            self.path = errors[0].module_path
            return x

    outer = Outer()
    outer(cr.ones((1, 3)))
    assert outer.path == "Linear"
