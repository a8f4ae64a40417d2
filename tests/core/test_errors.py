"""Errors carry the user's line and the module's path, survive pickling, and say what is closest."""

from __future__ import annotations

import pickle
import warnings

import pytest

import chainrule as cr
from chainrule.core import errors
from chainrule.core.errors import ChainruleError, ChainruleWarning, ShapeError, describe_line, nearest, notice


def test_an_operation_names_the_users_line():
    with pytest.raises(ShapeError) as error:
        cr.ones((2, 3)) + cr.ones((2, 4))
    first = test_an_operation_names_the_users_line.__code__.co_firstlineno
    assert error.value.location == f"test_errors.py:{first + 2}"
    assert str(error.value) == f"{error.value.message}\n  (test_errors.py:{first + 2})"


def test_the_path_of_a_module_stands_beside_the_line():
    error = ShapeError("shapes differ.", location="mlp.py:14")
    error.module_path = "encoder.0 (Linear)"
    assert str(error) == "shapes differ.\n  (mlp.py:14, in encoder.0 (Linear))"
    assert str(ShapeError("shapes differ.")) == "shapes differ."


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name.endswith("Error")])
def test_errors_survive_pickling_and_are_chainrule_errors(name):
    error = getattr(errors, name)("a message.", location="mlp.py:14")
    error.module_path = "0 (Linear)"
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, ChainruleError)
    assert (type(again), str(again)) == (type(error), str(error))


@pytest.mark.parametrize(
    "name, builtin",
    [
        ("ShapeError", ValueError),
        ("DTypeError", TypeError),
        ("IndexRangeError", IndexError),
        ("MissingDataError", FileNotFoundError),
        ("MissingExtraError", ImportError),
        ("NonFiniteError", ArithmeticError),
    ],
)
def test_errors_are_pythons_errors_too(name, builtin):
    assert issubclass(getattr(errors, name), builtin)


def test_places_in_files_and_notebooks():
    assert describe_line("/home/me/mlp.py", 14) == "mlp.py:14"
    assert describe_line("<ipython-input-7-0a1b2c>", 3) == "cell 7, line 3"
    assert describe_line("/tmp/ipykernel_123/456.py", 3) == "cell, line 3"


def test_nearest():
    assert nearest("lerning_rate", ["learning_rate", "epochs"]) == "; did you mean 'learning_rate'?"
    assert nearest("xyzzy", ["learning_rate", "epochs"]) == ""


def test_a_notice_is_given_once():
    message = "a notice of this test only"
    with pytest.warns(ChainruleWarning, match=message):
        notice(message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        notice(message)
    with pytest.warns(ChainruleWarning, match=message):
        notice(message, once=False)
