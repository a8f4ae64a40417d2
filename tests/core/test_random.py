"""The generator: seeds, offsets, state, copies, and what happens to it inside a trace."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

import chainrule as cr


def test_equal_seeds_give_equal_streams_and_different_ones_do_not() -> None:
    a, b, c = cr.Generator(1), cr.Generator(1), cr.Generator(2)
    assert cr.random.uniform(5, generator=a).tolist() == cr.random.uniform(5, generator=b).tolist()
    assert cr.random.uniform(5, generator=a).tolist() != cr.random.uniform(5, generator=c).tolist()


def test_an_unseeded_generator_can_be_repeated_from_its_seed() -> None:
    a = cr.Generator()
    first = cr.random.uniform(5, generator=a).tolist()
    assert cr.random.uniform(5, generator=cr.Generator(a.initial_seed())).tolist() == first
    assert cr.Generator().initial_seed() != a.initial_seed()


def test_state_survives_json_and_resumes_mid_stream() -> None:
    a = cr.Generator(2**64 - 1)
    cr.random.normal(3, generator=a)
    state = json.loads(json.dumps(a.state_dict()))
    b = cr.Generator(0)
    b.load_state_dict(state)
    assert cr.random.normal(7, generator=a).tolist() == cr.random.normal(7, generator=b).tolist()
    assert b.initial_seed() == 2**64 - 1


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))], ids=["deepcopy", "pickle"])
def test_a_copy_goes_on_alone(clone: object) -> None:
    a = cr.Generator(4)
    cr.random.uniform(3, generator=a)
    b = clone(a)
    assert repr(b) == "Generator(4)"
    assert cr.random.uniform(5, generator=a).tolist() == cr.random.uniform(5, generator=b).tolist()
    cr.random.uniform(5, generator=a)
    assert b.state_dict()["offset"] == 8


def test_manual_seed_restarts_the_default_generator() -> None:
    assert cr.manual_seed(3) is cr.default_generator
    first = cr.random.uniform(4).tolist()
    cr.random.uniform(4)
    cr.manual_seed(3)
    assert cr.random.uniform(4).tolist() == first


def test_a_seed_inside_a_traced_step_restarts_each_call() -> None:
    @cr.jit
    def step() -> cr.Tensor:
        cr.manual_seed(8)
        return cr.random.uniform(3)

    first = step().tolist()
    cr.random.uniform(10)
    assert step().tolist() == first
    cr.manual_seed(1)
    assert step().tolist() == first
    assert cr.default_generator.state_dict() == {"seed": 8, "offset": 3}


def test_a_failed_trace_uses_no_numbers_up() -> None:
    generator = cr.Generator(1)

    def step() -> None:
        cr.random.uniform(5, generator=generator)
        raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        cr.jit(step)()
    assert generator.state_dict()["offset"] == 0


REFUSED = [
    (lambda: cr.Generator(-1), ValueError, "Generator.seed must be an int in [0, 2**64); got -1."),
    (lambda: cr.Generator(2**64), ValueError, f"Generator.seed must be an int in [0, 2**64); got {2**64}."),
    (lambda: cr.manual_seed(1.5), TypeError, "Generator.seed must be an int in [0, 2**64); got 1.5."),
    (
        lambda: cr.Generator(1).load_state_dict({"key": 1}),
        ValueError,
        "Generator.load_state_dict needs seed and offset; got key.",
    ),
    (
        lambda: cr.Generator(1).load_state_dict({"seed": 1, "offset": "x"}),
        TypeError,
        "Generator.offset must be an int in [0, 2**64); got 'x'.",
    ),
]


@pytest.mark.parametrize("call, kind, message", REFUSED, ids=[message for *_, message in REFUSED])
def test_what_is_refused(call: object, kind: type, message: str) -> None:
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == message
