"""Nested state as bytes and back: every type, exactly; damage of any kind is noticed."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import CheckpointError
from chainrule.train.state import pack, unpack


def test_everything_comes_back_as_it_was():
    state = {
        "numbers": [0.1, -0.0, 1e-320, 2**70, -3, True, None, "text ü"],
        "odd": [math.inf, -math.inf, math.nan],
        "tensors": {"w": cr.asarray([[1.5, -2.0]]), 3: cr.asarray(7), "empty": cr.zeros((0, 2))},
        "nested": {"a": {"b": [{"c": np.float32(0.1)}]}},
        4: "an integer key",
    }
    back = unpack(pack(state))
    assert back["numbers"] == state["numbers"]
    assert [repr(x) for x in back["odd"]] == ["inf", "-inf", "nan"]
    assert math.copysign(1, back["numbers"][1]) == -1
    assert back["tensors"]["w"].tolist() == [[1.5, -2.0]]
    assert (back["tensors"][3].shape, back["tensors"][3].item()) == ((), 7)
    assert back["tensors"]["empty"].shape == (0, 2)
    assert back["nested"]["a"]["b"][0]["c"] == float(np.float32(0.1))
    assert back[4] == "an integer key"


@pytest.mark.parametrize(
    "dtype",
    [
        "float32",
        "float64",
        "bfloat16",
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
    ],
)
def test_every_dtype_keeps_its_bits(dtype):
    source = cr.asarray([0, 1, 3]).astype(dtype)
    back = unpack(pack({"x": source}))["x"]
    assert back.dtype is source.dtype
    assert back.numpy().tobytes() == source.numpy().tobytes()


def test_the_same_state_gives_the_same_bytes():
    one, two = {"a": cr.ones(2), "b": 1}, {"b": 1, "a": cr.ones(2)}
    assert pack(one) == pack(two)


def test_non_contiguous_arrays_are_stored_right():
    array = np.arange(12).reshape(3, 4)[:, ::2].T
    assert unpack(pack({"x": array}))["x"].tolist() == array.tolist()


@pytest.mark.parametrize("name", ["state.safetensors", "state.json"])
def test_any_flipped_byte_and_any_cut_is_noticed(name):
    files = pack({"w": cr.arange(5), "step": 12, "text": "abc"})
    content = files[name]
    for place in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[place] ^= 0x15
        if name == "state.json" and json_equal(bytes(damaged), content):
            continue  # white space
        with pytest.raises(CheckpointError):
            unpack({**files, name: bytes(damaged)})
    for length in range(0, len(content), 7):
        with pytest.raises(CheckpointError):
            unpack({**files, name: content[:length]})


def json_equal(one, two):
    """Return whether two JSON texts say the same."""
    try:
        return json.loads(one) == json.loads(two)
    except ValueError:
        return False


def test_a_newer_format_says_so():
    files = pack({"step": 1})
    text = files["state.json"].replace(b'"format": 1', b'"format": 2')
    with pytest.raises(CheckpointError) as caught:
        unpack({**files, "state.json": text})
    assert caught.value.message == "the checkpoint has format 2; this version of chainrule reads 1."


@pytest.mark.parametrize(
    "state, wanted",
    [
        (
            {"a": {"b": [1, object]}},
            "a checkpoint can't hold a/b/1: it is a type; use tensors, numbers, strings, lists and dicts.",
        ),
        ({"a": {(1, 2): 3}}, "a checkpoint's keys are strings or integers; a has the key (1, 2)."),
    ],
)
def test_what_can_not_be_stored_is_named(state, wanted):
    with pytest.raises(TypeError) as caught:
        pack(state)
    assert str(caught.value) == wanted
