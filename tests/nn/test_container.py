"""Sequential, ModuleList, ModuleDict."""

from __future__ import annotations

from collections import OrderedDict

import pytest

import chainrule as cr
from chainrule import nn


def layers(count):
    return [nn.Linear(2, 2) for _ in range(count)]


def test_sequential_by_position_and_by_name():
    a, b, c = layers(3)
    model = nn.Sequential(a, b)
    assert (model[0], model[-1], len(model)) == (a, b, 2)
    assert list(model) == [a, b]
    named = nn.Sequential(OrderedDict(first=a, act=nn.ReLU(), last=b))
    assert named.first is a
    assert list(named.state_dict()) == ["first.weight", "first.bias", "last.weight", "last.bias"]
    named[0] = c
    assert named.first is c


def test_sequential_passes_several_arguments_to_its_first_module():
    class Add(nn.Module):
        def forward(self, x, y):
            return x + y

    model = nn.Sequential(Add(), nn.ReLU())
    assert model(cr.asarray([1.0]), cr.asarray([-3.0])).tolist() == [0.0]
    assert nn.Sequential()(cr.asarray([1.0])).tolist() == [1.0]


def test_a_slice_shares_its_modules():
    model = nn.Sequential(*layers(4))
    part = model[1:3]
    assert type(part) is nn.Sequential
    assert list(part) == [model[1], model[2]]
    assert part[0] is model[1]


@pytest.mark.parametrize("kind", [lambda items: nn.Sequential(*items), nn.ModuleList], ids=["Sequential", "ModuleList"])
def test_changes_keep_the_numbering(kind):
    a, b, c, d = layers(4)
    model = kind([a, b])
    assert model.append(c) is model
    model.insert(0, d)
    assert list(model) == [d, a, b, c]
    assert [name for name, _ in model.named_children()] == ["0", "1", "2", "3"]
    assert model.pop() is c
    assert model.pop(0) is d
    del model[0]
    assert list(model) == [b]
    assert list(model.state_dict()) == ["0.weight", "0.bias"]
    model.extend([a, c])
    del model[1:]
    assert list(model) == [b]
    with pytest.raises(IndexError) as caught:
        model[1]
    assert str(caught.value) == f"{type(model).__name__} has 1 modules; there is none at 1."
    with pytest.raises(TypeError) as caught:
        model.append(3)
    assert str(caught.value) == "add_module('1') takes an nn.Module; got int."


def test_lists_and_dicts_are_no_layers():
    with pytest.raises(NotImplementedError) as caught:
        nn.ModuleList(layers(1))(cr.ones((1, 2)))
    assert str(caught.value) == "ModuleList has no forward: call its modules in your own forward, or use nn.Sequential."
    with pytest.raises(NotImplementedError) as caught:
        nn.ModuleDict()(cr.ones((1, 2)))
    assert str(caught.value) == "ModuleDict has no forward: call its modules by name in your own forward."


def test_module_dict():
    a, b, c = layers(3)
    parts = nn.ModuleDict({"a": a})
    parts["b"] = b
    parts.update({"c": c})
    assert list(parts) == list(parts.keys()) == ["a", "b", "c"]
    assert list(parts.values()) == [a, b, c]
    assert dict(parts.items())["b"] is b
    assert ("b" in parts, "x" in parts, len(parts)) == (True, False, 3)
    assert parts.pop("a") is a
    del parts["b"]
    assert list(parts.state_dict()) == ["c.weight", "c.bias"]
    with pytest.raises(KeyError) as caught:
        nn.ModuleDict({"encoder": a})["encodr"]
    assert caught.value.args == ("ModuleDict has no module named 'encodr'; did you mean 'encoder'?",)
