"""Every primitive passes the whole suite of chainrule.testing; a primitive is tested the moment it is declared.

The items are (primitive, kind of check); each runs all samples of that kind and lists every failure. The tests at the
end make sure that the walk is not empty and that nothing is left in the registry.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.primitive import PRIMITIVES
from chainrule.core.tensor import Tensor
from chainrule.testing.compiled import check_compiled, check_compiled_gradients
from chainrule.testing.primitives import KINDS, failure, primitive_checks

CHECKS: dict[tuple[str, str], list] = {}
for _primitive in PRIMITIVES.values():
    for _check in primitive_checks(_primitive):
        CHECKS.setdefault((_primitive.name, _check.kind), []).append(_check)


@pytest.mark.parametrize("name, kind", CHECKS, ids=lambda part: part.replace(" ", "-"))
def test_primitive(name, kind):
    failures = [message for message in map(failure, CHECKS[name, kind]) if message]
    assert not failures, "\n".join(failures)


def test_the_walk_covers_every_primitive_and_every_kind():
    assert {name for name, _ in CHECKS} == set(PRIMITIVES)
    assert {kind for _, kind in CHECKS} == set(KINDS)
    for name, primitive in PRIMITIVES.items():
        assert {"declaration", "types", "layout", "traced"} <= {kind for owner, kind in CHECKS if owner == name}
        assert ("edge" in {kind for owner, kind in CHECKS if owner == name}) == bool(primitive.edges)


def test_every_differentiable_primitive_has_its_gradient_compared_with_central_differences():
    """A sample that may be compared must exist for each primitive with a rule, or it would be checked by nothing."""
    with_rules = {p.name for p in PRIMITIVES.values() if any(rule is not None for rule in p.rules)}
    compared = {name for name, kind in CHECKS if kind in ("gradient", "complex")}
    assert with_rules - compared == set()


@pytest.mark.parametrize("name", ["maximum", "minimum", "add", "multiply", "hypot", "logaddexp", "atan2", "divide"])
@pytest.mark.parametrize("position", [0, 1])
def test_nan_in_either_operand_propagates(name, position):
    operands = [np.array([1.0, 2.0]), np.array([1.5, 0.5])]
    operands[position] = np.array([np.nan, 2.0])
    (result,) = PRIMITIVES[name].run(operands, {})
    assert np.isnan(result).tolist() == [True, False]


@pytest.mark.parametrize("name", ["max", "min", "sum", "prod", "argmax", "argmin"])
def test_nan_at_any_position_reaches_a_reduction(name):
    function = getattr(cr, name)
    for position in range(3):
        values = np.array([1.0, 3.0, 2.0])
        values[position] = np.nan
        result = function(Tensor(values)).item()
        assert result == position if name.startswith("arg") else np.isnan(result)


def test_the_counts_are_printed_by_one_command():
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "chainrule.testing", "add", "exp"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "160"},
    )
    assert (run.returncode, run.stderr) == (0, "")
    add, exp = PRIMITIVES["add"], PRIMITIVES["exp"]
    count = sum(len(checks) for (name, _), checks in CHECKS.items() if name in ("add", "exp"))
    assert run.stdout.splitlines()[-1] == (
        f"2 primitives, {len(add.samples) + len(exp.samples)} samples, {len(add.edges) + len(exp.edges)} edges, "
        f"{len(add.invalid) + len(exp.invalid)} invalid inputs: {count} checks, {count} passed, 0 failed"
    )
    for kind in KINDS:
        assert kind in run.stdout


def test_the_command_names_the_nearest_primitive():
    run = subprocess.run(
        [sys.executable, "-m", "chainrule.testing", "multipy"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1] == (
        "python -m chainrule.testing: error: no primitive is named 'multipy'; did you mean 'multiply'?"
    )


def test_the_command_fails_when_a_check_fails():
    """A wrong gradient gives exit code 1 and a line that names the primitive, the check, and both numbers."""
    program = (
        "import json, sys, chainrule\n"
        "from chainrule.core.primitive import Sample, primitive\n"
        "from chainrule.testing.__main__ import main\n"
        "primitive('wrong', reference=lambda x: x * x, shape=lambda x: x, derivative=lambda x: 3 * x,\n"
        "          flops=lambda x: x.size, samples=[Sample(((2,),)), Sample(((0,),))])\n"
        "code = main(['wrong'])\n"
        "print(json.dumps(code))\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    assert json.loads(lines[-1]) == 1
    assert lines[0].startswith("FAILED wrong: gradient, sample 0 (f64[2]): GradientError: gradient of order 1 differs")
    assert lines[-2].endswith(" passed, 1 failed")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, primitive in PRIMITIVES.items() if primitive.lower is not None])
def test_each_sample_compiled_on_its_own(name):
    """Nothing is merged with its neighbours here, and integers meet all shapes too."""
    assert check_compiled(PRIMITIVES[name], full=True) > 0
    check_compiled_gradients(PRIMITIVES[name], full=True)
