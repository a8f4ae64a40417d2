"""Static arguments: objects that select a compiled variant by equality."""

from __future__ import annotations

import dataclasses

import pytest

import chainrule as cr
from chainrule.core.errors import TraceError


@dataclasses.dataclass(frozen=True)
class Settings:
    factor: float
    shift: int = 0


def scaled(x, settings, *, mode="plain"):
    return x * settings.factor + settings.shift if mode == "plain" else -x


def test_equal_objects_find_one_variant_and_others_another():
    step = cr.jit(scaled, static_argnames="settings")
    for _ in range(3):
        assert step(cr.asarray(3.0), Settings(2.0)).item() == 6.0
        assert step(cr.asarray(3.0), settings=Settings(2.0)).item() == 6.0
    assert len(step.variants) == 2  # by position and by name
    assert step(cr.asarray(3.0), Settings(2.0, 1)).item() == 7.0
    assert len(step.variants) == 3


def test_without_it_an_equal_object_traces_again():
    step = cr.jit(scaled)
    kept = [Settings(2.0), Settings(2.0)]
    for settings in kept:
        step(cr.asarray(3.0), settings)
    assert len(step.variants) == 2


def test_the_reason_of_a_retrace_names_both_values():
    step = cr.jit(scaled, static_argnames=("settings",))
    step(cr.ones(2), Settings(2.0))
    step(cr.ones(2), Settings(3.0))
    assert step.retraces == ["argument settings was Settings(factor=2.0, shift=0), now Settings(factor=3.0, shift=0)"]


def test_a_tuple_of_layer_sizes_and_a_keyword():
    @cr.jit(static_argnames=("shape", "mode"))
    def step(x, shape, mode):
        assert type(shape) is tuple
        return cr.reshape(x, shape) if mode == "reshape" else x

    assert step(cr.ones(6), (2, 3), mode="reshape").shape == (2, 3)
    assert step(cr.ones(6), (2, 3), mode="none").shape == (6,)
    assert step(cr.ones(6), (3, 2), mode="reshape").shape == (3, 2)
    assert len(step.variants) == 3


def test_a_method():
    class Model:
        @cr.jit(static_argnames="settings")
        def step(self, x, settings):
            return x * settings.factor

    model = Model()
    assert [model.step(cr.asarray(2.0), Settings(f)).item() for f in (2.0, 3.0, 2.0)] == [4.0, 6.0, 4.0]
    assert len(model.step.variants) == 2


def test_inside_another_trace_it_is_the_plain_value():
    inner = cr.jit(scaled, static_argnames="settings")
    assert cr.jit(lambda x: inner(x, Settings(2.0)))(cr.asarray(1.0)).item() == 2.0


def test_what_can_not_be_hashed_is_refused():
    step = cr.jit(lambda x, sizes: x * len(sizes), static_argnames="sizes")
    with pytest.raises(TraceError) as error:
        step(cr.ones(2), [1, 2])
    assert error.value.message == (
        "cr.jit: the static argument sizes must be hashable, for it selects the compiled variant; "
        "got list: give a tuple, a string or a frozen dataclass."
    )


def test_a_name_that_the_function_does_not_take():
    with pytest.raises(ValueError) as error:
        cr.jit(scaled, static_argnames=("setings",))
    assert str(error.value) == "jit.static_argnames: scaled has no parameter 'setings'; did you mean 'settings'?."
