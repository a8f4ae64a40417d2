"""The compiler's fuzzer: random training steps against the references, and that the fuzzer finds what is broken.

Seeds 0 to 299 run by default, 0 to 19,999 with `-m slow` (half an hour on 2 cores); the command is
`python -m chainrule.testing.fuzz --seeds 0:20000 --jobs 2`.
"""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from tests.compiler.passes.graphs import Building

from chainrule.compiler import plan
from chainrule.compiler.passes import pipeline
from chainrule.compiler.program import NativeExecutor
from chainrule.core.graph import Equation, Graph
from chainrule.core.primitive import PRIMITIVES
from chainrule.testing import fuzz
from chainrule.testing._fuzz_checks import Mismatch, Tolerances, check_case, check_native, check_passes
from chainrule.testing._fuzz_programs import random_case
from chainrule.testing._fuzz_shrink import shrink


@pytest.mark.parametrize("part", range(12))
def test_random_steps(part):
    report = fuzz.fuzz(range(25 * part, 25 * part + 25))
    assert not report.findings, "\n".join(map(str, report.findings))
    assert report.passed + report.refused == 25
    assert report.passed >= 20


@pytest.mark.slow
@pytest.mark.parametrize("part", range(200))
def test_many_random_steps(part):
    report = fuzz.fuzz(range(100 * part, 100 * part + 100))
    assert not report.findings, "\n".join(map(str, report.findings))


# ---------------------------------------------------------------------------------------------------- the fuzzer itself
def test_a_seed_is_the_same_step_every_time():
    one, two = random_case(4), random_case(4)
    assert str(one.graph).split("#")[0] == str(two.graph).split("#")[0]
    assert one.takes == two.takes
    assert all(np.array_equal(a, b) for a, b in zip(one.arrays, two.arrays, strict=True))


def test_the_steps_use_nearly_every_primitive_that_trains():
    found, wide, taken, twice, plain = set(), 0, 0, 0, 0
    for seed in range(300):
        case = random_case(seed)
        if case is None:
            continue
        found |= {e.primitive.name for e in case.graph.equations}
        wide += case.wide
        taken += bool(case.takes)
        twice += len(set(case.graph.outputs)) < len(case.graph.outputs)
        plain += any(v in case.graph.inputs or v.constant is not None for v in case.graph.outputs)
        assert len(case.arrays) == len(case.graph.inputs)
    assert len(found) > 90
    assert (wide >= 25, taken > 100, twice > 10, plain > 30) == (True,) * 4
    needed = "convolution_weight_gradient convolution_input_gradient matmul scatter_add window_pick random_bits"
    assert found >= set(needed.split())


def test_wrong_code_is_found_and_made_small(monkeypatch):
    lower = PRIMITIVES["tanh"].lower
    rule = lower.rule
    monkeypatch.setattr(
        PRIMITIVES["tanh"], "lower", type(lower)(lambda k, x, **rest: k.mul(rule(k, x, **rest), k.const(1.001, x)))
    )
    case = next(c for c in map(random_case, range(100)) if c and _has(c.graph, "tanh"))
    with pytest.raises(Mismatch, match=r"^native: output \d+ ") as error:
        check_case(case)
    small = shrink(case.graph, case.arrays, case.takes, error.value.stage)
    assert len(small.graph.equations) <= 3
    assert _has(small.graph, "tanh")


def test_a_wrong_pass_is_told_from_wrong_code(monkeypatch):
    def worse(graph):
        """Take x for exp(x)."""
        gone = {e.outputs[0]: e.inputs[0] for e in graph.equations if e.primitive.name == "exp"}
        if not gone:
            return graph
        swap = lambda v: swap(gone[v]) if v in gone else v  # noqa: E731
        rest = [e for e in graph.equations if e.outputs[0] not in gone]
        made = [Equation(e.primitive, tuple(map(swap, e.inputs)), e.attributes, e.outputs) for e in rest]
        return Graph(graph.name, graph.inputs, tuple(made), tuple(map(swap, graph.outputs)))

    monkeypatch.setattr(pipeline.simplify, "__kwdefaults__", {"checked": False, "passes": (worse,)})
    stages = [_stage(case) for case in map(random_case, range(120)) if case and _has(case.graph, "exp")]
    assert set(stages) <= {"pass worse", ""}
    assert stages.count("pass worse") > len(stages) / 2


def _stage(case):
    try:
        check_passes(case.graph, case.arrays, Tolerances(case.graph, case.arrays))
    except Mismatch as error:
        return error.stage
    return ""  # what exp gives is not shown, or rounding decides it


def test_code_that_depends_on_rubbish_or_writes_over_its_inputs_is_found(monkeypatch):
    case = next(c for c in map(random_case, range(100)) if c and c.takes)
    simple = pipeline.simplify(case.graph)
    tolerances = Tolerances(simple, case.arrays)
    honest = plan.compile_graph(simple, case.takes)
    monkeypatch.setattr(
        "chainrule.testing._fuzz_checks.NativeExecutor", lambda graph, made: _Overwriting(graph, honest)
    )
    with pytest.raises(Mismatch, match="^native: input 0 was written over$"):
        check_native(simple, case.arrays, case.takes, tolerances)


class _Overwriting(NativeExecutor):
    """An executor that changes its first input."""

    def __call__(self, inputs, owned=()):
        found = super().__call__(inputs, owned)
        inputs[0][...] = 1
        return found


def test_a_worker_that_dies_is_a_finding_and_the_next_seed_goes_on(monkeypatch):
    monkeypatch.setattr(fuzz, "_start", lambda start=fuzz._start: _dying(start))
    report = fuzz.fuzz([0, 1])
    assert [str(f) for f in report.findings] == ["seed 0: the process ended by SIGABRT"]
    assert report.passed == 1


_started: list[int] = []


def _dying(start):
    worker = start()
    if not _started:
        os.kill(worker.pid, signal.SIGABRT)
    _started.append(1)
    return worker


def _has(graph, name):
    return any(e.primitive.name == name for e in graph.equations)


def test_a_comparison_for_equality_is_left_out_where_rounding_decides_it():
    build = Building()
    matrix, x = build.input("float32", 3, 3), build.input("float32", 3, 4)
    graph = build.graph(build("not_equal", build("matmul", matrix, x), x), build("equal", x, x))
    nearly = np.eye(3, dtype=np.float32) + np.float32(1e-7)
    tolerances = Tolerances(graph, [nearly, np.ones((3, 4), np.float32)])
    assert np.isinf(tolerances.allowed[0]).mean() > 0.5
    assert (tolerances.allowed[1] == 0).all()
