"""Set-up of every test process: one BLAS thread, a cache folder of its own, a fixed seed, deterministic hypothesis.

The environment is set before NumPy is imported; the workers of pytest-xdist and the subprocesses of tests inherit it.
"""

from __future__ import annotations

import os

# The tests run in one process per core; more BLAS threads than that only wait for each other. And the bits of an eager
# run are promised for a given number of BLAS threads, so tests that compare bits need a given number.
for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.pop("CHAINRULE_SHOW", None)
# Width and colour of everything that rich prints, whatever terminal the suite is started from.
os.environ.update(COLUMNS="120", NO_COLOR="1", TERM="dumb")
os.environ.pop("FORCE_COLOR", None)

import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import hypothesis
import pytest

hypothesis.settings.register_profile("chainrule", deadline=None, derandomize=True, database=None, max_examples=50)
hypothesis.settings.load_profile("chainrule")

_own_cache: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Give the whole session one cache folder that is not the user's; the workers inherit its name."""
    if not hasattr(config, "workerinput"):
        _own_cache.append(tempfile.mkdtemp(prefix="chainrule-test-cache-"))
        os.environ["CHAINRULE_CACHE"] = _own_cache[0]


def pytest_unconfigure() -> None:
    """Remove the cache folder that this process made."""
    while _own_cache:
        shutil.rmtree(_own_cache.pop(), ignore_errors=True)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Start each test from the same generator state, so that no test depends on which ran before it."""
    import chainrule

    chainrule.manual_seed(0)


@pytest.fixture(scope="session")
def repository() -> pathlib.Path:
    """Return the folder that holds pyproject.toml."""
    return pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_folder() -> Iterator[pathlib.Path]:
    """Return the folder with the official data sets; without CHAINRULE_DATA the test is skipped."""
    text = os.environ.get("CHAINRULE_DATA")
    if not text:
        pytest.skip("CHAINRULE_DATA names no folder with data sets")
    return pathlib.Path(text)
