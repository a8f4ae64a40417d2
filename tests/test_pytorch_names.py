"""PyTorch's names for functions that are called otherwise here lead to the right one."""

import pytest

import chainrule as cr


@pytest.mark.parametrize("name", sorted(cr._PYTORCH))
def test_the_hint_names_something_that_exists(name):
    with pytest.raises(AttributeError) as error:
        getattr(cr, name)
    hint = cr._PYTORCH[name]
    assert str(error.value) == f"module 'chainrule' has no attribute {name!r}: write cr.{hint}"
    found = cr
    for part in hint.split("(")[0].split("."):
        found = getattr(found, part)


def test_a_misspelt_name_is_corrected():
    with pytest.raises(AttributeError, match=r"module 'chainrule' has no attribute 'matmull'; did you mean 'matmul'\?"):
        cr.matmull


def test_a_module_shows_its_parameters_in_a_notebook():
    model = cr.nn.Sequential(cr.nn.Linear(2, 3), cr.nn.Linear(3, 1))
    model[0].freeze()
    shown = model.eval()._repr_html_()
    assert "<b>13</b> parameters, 9 of them frozen; eval mode" in shown
    assert "(0): Linear(2, 3)" in shown
