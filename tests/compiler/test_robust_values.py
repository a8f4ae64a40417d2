"""Values that processors dislike end no process: each job of `robust_values` runs in one of its own."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "job, count",
    [("integers", 160), ("floats", 126), ("indices", 45), ("empty", 86)],
)
def test_compiled_results_are_those_of_the_references(job, count):
    program = f"from tests.compiler import robust_values; robust_values.{job}()"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=250, check=False, cwd=ROOT
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"{count}\n"
