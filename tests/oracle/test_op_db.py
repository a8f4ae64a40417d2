"""PyTorch's operator database as oracle: values, gradients and second gradients of every entry that has a row.

Twenty samples per entry run by default, all of them behind `slow`; `python tools/op_db.py` counts.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")
pytestmark = pytest.mark.oracle
torch.set_num_threads(1)

import fnmatch

from tests.oracle import harness, table, uncovered

import chainrule as cr

NAMES = [name for name in table.OPERATORS if name in harness.ENTRIES]


def _check(name: str, most: int | None) -> None:
    outcome = harness.run(name, table.OPERATORS[name], most)
    listed = "\n".join(f"sample {number}: {message}" for number, message in outcome.failures[:3])
    assert not outcome.failures, f"{name}: {len(outcome.failures)} of {outcome.samples} samples differ.\n{listed}"
    assert outcome.counts, f"{name}: too few of {outcome.samples} samples ran; left out: {dict(outcome.skipped)}."


@pytest.mark.parametrize("name", NAMES)
def test_entry_agrees_with_pytorch(name):
    _check(name, 20)


COMPLEX = [
    name
    for name in NAMES
    if harness.ENTRIES[name].supports_dtype(torch.complex128, "cpu")
    and harness.dtype_of(harness.ENTRIES[name]) is torch.float64
]


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_numbers_agree_with_pytorch_or_are_refused(name):
    outcome = harness.run(name, table.OPERATORS[name], 8, torch.complex128)
    wrong = [message for _, message in outcome.failures if not message.startswith("DTypeError: ")]
    assert not wrong, f"{name}: {wrong[0]}"
    assert not outcome.passed or not outcome.failures, f"{name} refuses only some samples"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_entry_agrees_with_pytorch_on_all_samples(name):
    _check(name, None)


# ---------------------------------------------------------------------------------------------------- the tables
def test_every_entry_has_a_row_or_a_reason():
    for name in harness.ENTRIES:
        words = uncovered.reason(name)
        if name in table.OPERATORS:
            assert words is None, f"{name} has a row and a reason: {words}"
        else:
            assert words is not None, f"{name} has neither a row in tests/oracle nor a reason in uncovered.py"


def test_every_row_and_every_reason_is_of_the_database():
    assert set(table.OPERATORS) <= set(harness.ENTRIES)
    for pattern in " ".join(uncovered.REASONS.values()).split():
        assert fnmatch.filter(harness.ENTRIES, pattern), f"no entry is called {pattern}"


def test_whatever_is_compared_less_strictly_says_why():
    for name, operator in table.OPERATORS.items():
        loose = operator.order != 2 or operator.rtol != harness.RTOL or operator.plain is not None
        assert not loose or operator.why, f"{name} needs a reason"


def test_enough_of_the_database_is_covered():
    def count(pattern: str) -> int:
        return len(fnmatch.filter(NAMES, pattern))

    assert len(NAMES) >= 300
    assert count("nn.functional.*") >= 75
    assert count("linalg.*") >= 30
    assert count("fft.*") >= 16


def test_the_page_says_what_the_tables_say(monkeypatch, repository):
    monkeypatch.syspath_prepend(repository / "tools")
    import op_db

    text = op_db.PAGE.read_text(encoding="utf-8")
    counts = "".join(line + "\n" for line in text.split("\n## ")[0].splitlines() if line.startswith("|"))
    assert text == op_db.page(counts), "docs/coverage.md is old; run: python tools/op_db.py --write"
    total = [int(cell.replace(",", "")) for cell in counts.splitlines()[-1].split("|")[2:-1]]
    assert total[:2] == [len(harness.ENTRIES), len(NAMES)]
    assert total[4] == 0


# ---------------------------------------------------------------------------------------------------- the harness
def test_a_wrong_value_is_noticed():
    operator = harness.Operator(lambda x: cr.exp(x) * (1.0 + 1e-6))
    outcome = harness.run("exp", operator)
    assert len(outcome.failures) == 2  # of three samples, one of which is empty
    assert outcome.failures[0][1].startswith("AssertionError: output 0: ")
    assert not outcome.counts


def test_a_wrong_gradient_is_noticed():
    operator = harness.Operator(lambda x: cr.sin(x) + 1e-6 * (x - x.detach()))
    (_, message), *_ = harness.run("sin", operator).failures
    assert message.startswith("AssertionError: gradient 0 of order 1: ")


def test_a_wrong_second_gradient_is_noticed():
    operator = harness.Operator(lambda x: cr.sin(x) + 1e-6 * (x - x.detach()) ** 2)
    (_, message), *_ = harness.run("sin", operator).failures
    assert message.startswith("AssertionError: gradient 0 of order 2: ")


def test_a_missing_gradient_is_noticed():
    (_, message), *_ = harness.run("sin", harness.Operator(lambda x: cr.sin(x.detach()))).failures
    assert message.startswith("AssertionError: gradient 0 of order 1: ")


def test_another_dtype_is_noticed():
    (_, message), *_ = harness.run("sin", harness.Operator(lambda x: cr.sin(x.astype(cr.float32)))).failures
    assert message == "AssertionError: output 0: got the dtype float32, expected float64."


def test_a_missing_output_is_noticed():
    (_, message), *_ = harness.run("aminmax", harness.Operator(lambda x, **_: cr.min(x))).failures
    assert message == "AssertionError: got 1 outputs, expected 2."


def test_an_entry_whose_samples_are_left_out_does_not_count():
    def left_out(x):
        raise harness.Skip("dtype")

    outcome = harness.run("sin", harness.Operator(left_out))
    assert outcome.skipped == {"dtype": outcome.samples}
    assert not outcome.counts


def test_a_dtype_that_chainrule_lacks_leaves_a_sample_out():
    with pytest.raises(harness.Skip, match="^dtype$"):
        harness.ours_dtype(torch.float16)


def test_the_samples_are_the_same_in_every_run():
    first, second = (harness.samples(harness.ENTRIES["matmul"]) for _ in range(2))
    assert all(torch.equal(a.input, b.input) for a, b in zip(first, second, strict=True))


def test_few_samples_are_spread_over_all():
    assert harness.spread(4, 6) == [0, 1, 2, 3]
    assert harness.spread(1440, 6) == [0, 288, 576, 863, 1151, 1439]
    assert harness.spread(3, None) == [0, 1, 2]
