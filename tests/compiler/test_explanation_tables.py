"""An explanation as text and as HTML: every number of a row, the widths, and steps of hundreds of kernels."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from chainrule.compiler.explanation import Explanation, KernelRow, Operation

ROWS = (
    KernelRow("k0", "contraction", (
                  Operation("transpose", "a.py:1", "", True), Operation("matmul", "a.py:1", "0 (Linear)"),
                  Operation("add", "a.py:2"), Operation("add", "a.py:2"),
              ), "64 rows x 32 columns, sums of 48",
              "outer product 6x2", (), 8, True, 2_000_000, 24_000, 8_000, "f32", 10e-6),
    KernelRow("", "reference", (Operation("cholesky", "a.py:3"),), "4 x 4", "NumPy", (), 1, False, 0, 64, 64, "f32",
              30e-6),
    KernelRow("k1", "loops", (Operation("exp"),), "100", "loops by plain", ("writes channels last",), 12, False, 1000,
              400, 400, "f64", None),
)  # fmt: skip
PLAN = Explanation(
    "step", ROWS, "avx512", 2, 45e-6, 41_000, 128, (("f32", 4096, 16_384),), 0.5, False, 400.0, 800.0, 50.0
)


def large(count: int = 60) -> Explanation:
    """Return a step of many kernels, of which 3 in 4 are equal."""
    first, _, last = ROWS
    loops = [replace(last, seconds=1e-6 * (n % 4 + 1), function=f"k{n if n % 4 == 3 else 'x'}") for n in range(count)]
    return replace(PLAN, rows=(*loops, replace(first, seconds=5e-3)), seconds=6e-3)


# ------------------------------------------------------------------------------------------------ numbers


def test_numbers_of_a_row():
    first, second, third = ROWS
    assert first.gflops == pytest.approx(200.0)
    assert first.bandwidth == pytest.approx(3.2)
    assert PLAN.of_peak(first) == pytest.approx(0.5)
    assert PLAN.of_bandwidth(first) == pytest.approx(3.2 / 50)
    assert PLAN.share(second) == pytest.approx(0.75)
    assert (PLAN.of_peak(second), third.gflops, PLAN.share(third)) == (None, None, None)


@pytest.mark.parametrize(("precision", "peak"), [("f32", 400.0), ("f64", 200.0), ("bf16", 800.0), ("", None)])
def test_each_precision_has_its_own_peak(precision, peak):
    row = replace(ROWS[0], precision=precision)
    assert PLAN.peak(precision) == peak
    assert PLAN.of_peak(row) == (peak and pytest.approx(200 / peak))


def test_what_is_kept_has_no_share_and_no_time_of_the_step():
    plan = replace(PLAN, rows=(replace(ROWS[0], prepared=True), ROWS[1]))
    assert plan.kernel_seconds == 30e-6
    assert plan.share(plan.rows[0]) is None
    assert re.search(r" 10 us +kept +2 M ", plan.table(width=100))
    lines = plan.table(width=120).splitlines()
    assert lines[1] == (
        "Time: kernels 30 us of 45 us, without Python's part of a call; 1 kernel only when the state has changed."
    )


def test_kernels_that_together_take_longer_than_the_step_are_not_a_part_of_it():
    assert "Time: kernels 40 us one by one beside 39 us, without" in replace(PLAN, seconds=39e-6).table(width=120)


def test_equal_kernels_are_found_and_added_up():
    plan = large(8)
    assert plan.alike() == ((8,), (0, 1, 2, 4, 5, 6), (3,), (7,))
    row = plan.together((0, 1, 2, 4, 5, 6))
    assert row.seconds == pytest.approx(12e-6)
    assert (row.flops, row.read, row.written) == (6000, 2400, 2400)
    assert plan.together((8,)) == plan.rows[8]


def test_without_times_those_that_compute_most_come_first():
    plan = replace(PLAN, rows=tuple(replace(row, seconds=None) for row in reversed(ROWS)))
    assert plan.alike() == ((2,), (0,), (1,))


# ------------------------------------------------------------------------------------------------ text


def test_the_table():
    assert PLAN.table(width=100).splitlines() == [
        "step: 3 kernels, 2 MFLOP, 45 us on 2 threads (avx512); compiled in 0.50 s.",
        "Time: kernels 40 us of 45 us, without Python's part of a call.",
        "Temporaries: 41 kB, of which the largest: f32[4,096] 16.4 kB.",
        "This machine's measured peak: 400 GFLOP/s in float32, 50 GB/s with memory; more GB/s than that come",
        "from caches.",
        "Without native code, so their NumPy references are called: cholesky.",
        "",
        "  # kernel                             time   share  FLOP  GFLOP/s  peak   read  written  GB/s  peak",
        "  0 matmul + 2 add                    10 us  25.0 %   2 M      200  50 %  24 kB     8 kB  3.20   6 %",
        "      64 rows x 32 columns, sums of 48; outer product 6x2",
        "      a.py:1 0 (Linear), a.py:2",
        "  1 reference of cholesky             30 us  75.0 %     -        -     -   64 B     64 B  0.00   0 %",
        "      4 x 4; NumPy",
        "      a.py:3",
        "  2 exp                                   -       -   1 k        -     -  400 B    400 B     -     -",
        "      100; loops by plain; 12 units; by one thread; writes channels last",
    ]


def test_in_80_columns_the_bytes_stand_below():
    assert PLAN.table(width=80).splitlines()[-12:] == [
        "  # kernel                         time   share  FLOP  GFLOP/s  peak  GB/s  peak",
        "  0 matmul + 2 add                10 us  25.0 %   2 M      200  50 %  3.20   6 %",
        "      64 rows x 32 columns, sums of 48; outer product 6x2",
        "      reads 24 kB, writes 8 kB",
        "      a.py:1 0 (Linear), a.py:2",
        "  1 reference of cholesky         30 us  75.0 %     -        -     -  0.00   0 %",
        "      4 x 4; NumPy",
        "      reads 64 B, writes 64 B",
        "      a.py:3",
        "  2 exp                               -       -   1 k        -     -     -     -",
        "      100; loops by plain; 12 units; by one thread; writes channels last",
        "      reads 400 B, writes 400 B",
    ]


def test_the_peak_of_bfloat16_is_named_where_it_counts():
    plan = replace(PLAN, rows=(replace(ROWS[0], precision="bf16"),))
    expected = "This machine's measured peak: 400 GFLOP/s in float32, 800 in bfloat16, 50 GB/s with memory; more GB/s"
    assert expected in plan.table(width=120)
    assert "  200  25 %" in plan.table(width=100)


@pytest.mark.parametrize("plan", [PLAN, large()], ids=["few", "many"])
@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_line_is_wider_than_asked_for(plan, width):
    lines = plan.table(width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert max(map(len, plan.table(top=None, width=width).splitlines())) <= width


@pytest.mark.parametrize(("columns", "width"), [("60", 80), ("90", 90), ("200", 120)])
def test_the_width_is_the_terminals_within_bounds(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    assert str(large()) == large().table(width=width) == repr(large())


def test_a_width_that_is_too_small():
    with pytest.raises(ValueError, match=r"^Explanation\.table: width must be at least 80 columns; got 60\.$"):
        PLAN.table(width=60)


def test_equal_kernels_name_all_their_places():
    places = [Operation("exp", "a.py:9", f"layer{n} (ReLU)") for n in range(50)]
    rows = tuple(replace(ROWS[2], operations=(place,)) for place in places)
    assert "layer0 (ReLU), a.py:9 layer1 (ReLU), a.py:9 layer2" in replace(PLAN, rows=rows).table(width=100)


def test_of_many_kernels_the_most_expensive_ones_are_shown():
    lines = large().table(top=2, width=100).splitlines()
    assert lines[6:] == [
        "kind                kernels    time   share  FLOP  GFLOP/s  peak   read  written  GB/s  peak",
        "contractions in f32       1    5 ms  97.1 %   2 M     0.40   0 %  24 kB     8 kB  0.01   0 %",
        "loops                    60  150 us   2.9 %  60 k     0.40   0 %  24 kB    24 kB  0.32   1 %",
        "",
        "The most expensive kernels, equal ones together (# is the number of the first):",
        "",
        "  # kernel                             time   share  FLOP  GFLOP/s  peak   read  written  GB/s  peak",
        " 60 matmul + 2 add                     5 ms  97.1 %   2 M     0.40   0 %  24 kB     8 kB  0.01   0 %",
        "      64 rows x 32 columns, sums of 48; outer product 6x2",
        "      a.py:1 0 (Linear), a.py:2",
        "  0 45 x exp                          90 us   1.7 %  45 k     0.50   0 %  18 kB    18 kB  0.40   1 %",
        "      100; loops by plain; 12 units; by one thread; writes channels last",
        "",
        "15 more kernels with 1.2 % of the time. All, in the order of the step: table(top=None).",
    ]


def test_all_of_many_kernels_on_demand():
    text = large().table(top=None, width=100)
    assert len(re.findall(r"^ {0,2}\d+ ", text, re.MULTILINE)) == 61
    assert "most expensive" not in text


# ------------------------------------------------------------------------------------------------ notebooks


def test_html():
    text = PLAN._repr_html_()
    assert text.count("<tr") == 1 + 2 * len(ROWS)
    assert "<b>matmul + 2 add</b>" in text
    assert "<script" not in text
    assert "a.py:1 0 (Linear)" in text
    assert "rgba(66,133,244,.35) 75.0%" in text  # a bar as long as the share
    assert "<details" not in text
    assert "&lt;lambda&gt;" in Explanation("<lambda>", (), "avx2", 1)._repr_html_()


def test_html_of_many_kernels_folds_the_whole_list():
    text = large()._repr_html_()
    top, every = text.split("<details")
    assert "<b>The most expensive kernels</b>" in top
    assert "45 &times; <b>exp</b>" in top
    assert every.count("<tr") == 1 + 2 * 61
    assert "All 61 kernels, in the order of the step" in every
