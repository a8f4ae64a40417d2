"""The number of threads of NumPy's BLAS."""

import os
import subprocess
import sys

import pytest

import chainrule as cr
from chainrule.core.errors import ChainruleError
from chainrule.core.threads import requested_threads


def test_setting_and_reading():
    before = cr.get_num_threads()
    try:
        cr.set_num_threads(1)
        assert cr.get_num_threads() == 1
    finally:
        cr.set_num_threads(before)
    assert cr.get_num_threads() == before


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_what_is_no_number_of_threads(threads):
    with pytest.raises(ValueError, match=r"set_num_threads\.threads must be an int >= 1; got"):
        cr.set_num_threads(threads)


def test_the_environment_sets_it_at_import():
    code = "import chainrule as cr; print(cr.get_num_threads())"
    environment = {**os.environ, "CHAINRULE_THREADS": "1", "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_a_wrong_word_in_the_environment(monkeypatch):
    monkeypatch.setenv("CHAINRULE_THREADS", "all")
    with pytest.raises(ChainruleError) as error:
        requested_threads()
    assert error.value.message == "CHAINRULE_THREADS must be a number of threads, at least 1; got 'all'."
