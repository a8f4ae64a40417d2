"""step.explain(): every kernel with what it fuses, moves and takes; nothing of the step changes by being measured."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler.explanation import WIDTH, Explanation, KernelRow, Operation
from chainrule.compiler.llvm import cache
from chainrule.compiler.llvm import peak as peaks
from chainrule.compiler.llvm.machine import host_target
from chainrule.compiler.native import references
from chainrule.core.errors import TraceError


def training() -> tuple:
    """Return a step of a small network, its state, and a batch."""
    net = cr.nn.Sequential(
        cr.nn.Conv2d(3, 16, 3, padding=1), cr.nn.BatchNorm2d(16), cr.nn.ReLU(), cr.nn.MaxPool2d(2), cr.nn.Flatten(),
        cr.nn.Dropout(0.25), cr.nn.Linear(16 * 4 * 4, 10),
    )  # fmt: skip
    optimizer = cr.optim.Adam(net.parameters(), lr=1e-3)
    criterion = cr.nn.CrossEntropyLoss()

    @cr.jit
    def step(x, y):
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    rng = np.random.default_rng(0)
    x = cr.asarray(rng.standard_normal((8, 3, 8, 8)).astype(np.float32))
    return step, net, optimizer, (x, cr.asarray(rng.integers(0, 10, 8)))


def state(net, optimizer) -> list[bytes]:
    parts = [*net.state_dict().values(), cr.get_rng_state() if hasattr(cr, "get_rng_state") else cr.zeros(1)]
    slots = [x for slot in optimizer.state.values() for x in slot.values()] if hasattr(optimizer, "state") else []
    return [np.asarray(x).tobytes() for x in (*parts, *slots)]


# ------------------------------------------------------------------------------------------------ a whole step


def test_explaining_changes_nothing_of_a_training_step():
    losses = []
    for explained in (False, True):
        cr.manual_seed(5)
        step, net, optimizer, batch = training()
        found = []
        for _ in range(3):
            found.append(step(*batch).item().hex())
            if explained:
                before = state(net, optimizer)
                step.explain()
                step.explain(*batch)
                assert state(net, optimizer) == before
        losses.append((found, state(net, optimizer)))
    assert losses[0] == losses[1]


def test_every_kernel_of_a_training_step_is_measured_and_accounted_for():
    step, net, _, batch = training()
    plan = step.explain(*batch)  # compiled for it, and not run
    assert not step.variants[0].executor.memory().flag[0]
    assert plan.name == "step"
    assert plan.target == host_target().name
    assert plan.threads >= 1
    assert plan.temporaries > 0
    assert len(plan.largest) == 3
    assert plan.compile_seconds > 0
    assert plan.seconds > 0
    assert all(row.seconds > 0 for row in plan.rows)
    assert sum(plan.share(row) for row in plan.rows) == pytest.approx(1.0)
    contractions = [row for row in plan.rows if row.kind == "contraction"]
    assert sum(row.flops for row in contractions) >= 2 * 2 * (8 * 8 * 8 * 16 * 27) + 3 * 2 * (8 * 256 * 10)
    names = {o.name for row in plan.rows for o in row.operations}
    assert {"convolution", "convolution_weight_gradient", "matmul", "relu", "log", "sqrt"} <= names
    assert any("Conv2d" in place for row in plan.rows for place in row.places)
    assert any(__file__.rpartition("/")[2] in place for row in plan.rows for place in row.places)
    total = sum(p.size for p in net.parameters()) * 4
    assert sum(row.written for row in plan.rows) > 3 * total  # parameters and both slots
    assert any(row.kind == "border" for row in plan.rows)
    assert any("channels last" in note for row in plan.rows for note in row.notes)


def test_the_same_kernels_stand_there_when_the_code_comes_from_the_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "surroundings", lambda: "of this test")  # whatever is edited meanwhile
    cache._trusted.cache_clear()
    plans = []
    for _ in range(2):
        cr.manual_seed(1)
        step, _, _, batch = training()
        plans.append(step.explain(*batch, measure=False))
    cache._trusted.cache_clear()
    assert [plan.from_disk for plan in plans] == [False, True]
    assert plans[0].rows == plans[1].rows
    assert plans[0].compile_seconds == plans[1].compile_seconds
    assert "compiled in" in plans[0].head()[0]
    assert "code from the disk, compiled in" in plans[1].head()[0]


# ------------------------------------------------------------------------------------------------ single kernels


def test_a_matrix_product_with_its_epilogue_is_one_kernel():
    f = cr.jit(lambda x, w, b: cr.nn.functional.relu(x @ w + b))
    plan = f.explain(cr.ones((64, 48)), cr.ones((48, 32)), cr.ones(32), measure=False)
    (row,) = plan.rows
    assert (row.kind, row.name) == ("contraction", "matmul + add + relu")
    assert row.shape == "64 rows x 32 columns, sums of 48"
    assert row.flops == 2 * 64 * 48 * 32 + 2 * 64 * 32
    assert row.read == 4 * (64 * 48 + 48 * 32 + 32)
    assert row.written == 4 * 64 * 32
    assert row.precision == "f32"
    assert "outer product" in row.strategy
    assert row.seconds is None
    assert plan.seconds is None
    assert plan.peak_gflops is None


def test_bytes_read_are_those_that_are_touched():
    """Three rows of a large table, not the table."""
    table = cr.asarray(np.zeros((10_000, 8), np.float32))
    f = cr.jit(lambda i: cr.exp(table[i]))
    (row,) = f.explain(cr.asarray([3, 1, 2]), measure=False).rows
    assert row.read <= 3 * 8 * 4 + 3 * 8 * 8
    assert row.written == 3 * 8 * 4


def test_a_sum_in_parts_counts_its_work_once():
    f = cr.jit(lambda x: cr.square(x).sum())
    plan = f.explain(cr.ones(1 << 20), measure=False)
    assert [row.name for row in plan.rows] == ["square + sum", "sum"]
    assert [row.flops for row in plan.rows] == [2 << 20, 0]


def test_references_are_named_and_measured():
    f = cr.jit(lambda x: cr.exp(cr.linalg.cholesky(x @ x.T + 8 * cr.eye(4))))
    plan = f.explain(cr.asarray(np.eye(4, dtype=np.float32)))
    assert plan.references == ("cholesky",)
    (row,) = [row for row in plan.rows if row.kind == "reference"]
    assert row.name == "reference of cholesky"
    assert row.function == ""
    assert row.seconds > 0
    assert "Without native code, so their NumPy references are called: cholesky." in str(plan)


def test_a_reference_that_refuses_random_numbers_has_no_time():
    f = cr.jit(lambda x: cr.linalg.cholesky(x))
    f(cr.eye(3))
    plan = f.explain()
    assert [row.seconds for row in plan.rows if row.kind == "reference"] == [None]
    assert str(plan).count("cholesky") >= 1


def test_a_step_without_kernels():
    f = cr.jit(lambda x: x)
    plan = f.explain(cr.ones(3))
    assert plan.rows == ()
    assert plan.flops == 0
    assert str(plan).startswith("<lambda>: 0 kernels, 0 FLOP")


def test_what_can_not_be_explained():
    f = cr.jit(lambda x: x + 1)
    with pytest.raises(TraceError, match=r"^<lambda> has no graph yet: call it once\.$"):
        f.explain()
    with references():
        f(cr.ones(2))
        expected = r"^<lambda> runs the NumPy references here, so there are no kernels to explain\.$"
        with pytest.raises(TraceError, match=expected):
            f.explain()


# ------------------------------------------------------------------------------------------------ the table

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
PLAN = Explanation("step", ROWS, "avx512", 2, 45e-6, 41_000, 128, (("f32", 4096, 16_384),), 0.5, False, 400.0, 50.0)


def test_numbers_of_a_row():
    first, second, third = ROWS
    assert first.gflops == pytest.approx(200.0)
    assert first.bandwidth == pytest.approx(3.2)
    assert PLAN.of_peak(first) == pytest.approx(0.5)
    assert PLAN.of_bandwidth(first) == pytest.approx(3.2 / 50)
    assert PLAN.share(second) == pytest.approx(0.75)
    assert (PLAN.of_peak(second), third.gflops, PLAN.share(third)) == (None, None, None)


def test_the_table():
    assert str(PLAN).splitlines() == [
        "step: 3 kernels, 2 MFLOP, 45 us on 2 threads (avx512); compiled in 0.50 s.",
        "Temporaries: 41 kB, of which the largest: f32[4,096] 16.4 kB.",
        "This machine's measured peak: 400 GFLOP/s in float32, 50 GB/s; more GB/s than that come from caches.",
        "Without native code, so their NumPy references are called: cholesky.",
        "",
        "  # kernel                              time  share  FLOP  GFLOP/s  peak   read  written  GB/s  peak",
        "  0 matmul + 2 add                     10 us   25 %   2 M      200  50 %  24 kB     8 kB  3.20   6 %",
        "      64 rows x 32 columns, sums of 48; outer product 6x2",
        "      a.py:1, a.py:1 0 (Linear), a.py:2",
        "  1 reference of cholesky              30 us   75 %     -        -     -   64 B     64 B  0.00   0 %",
        "      4 x 4; NumPy",
        "      a.py:3",
        "  2 exp                                    -      -   1 k        -     -  400 B    400 B     -     -",
        "      100; loops by plain; 12 units; by one thread; writes channels last",
    ]


def test_a_table_is_at_most_100_columns_wide():
    step, _, _, batch = training()
    lines = str(step.explain(*batch)).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert len(lines) > 40


def test_html():
    text = PLAN._repr_html_()
    assert text.count("<tr>") == 1 + 2 * len(ROWS)
    assert "<b>matmul + 2 add</b>" in text
    assert "<script" not in text
    assert "a.py:1 0 (Linear)" in text
    assert "&lt;lambda&gt;" in Explanation("<lambda>", (), "avx2", 1)._repr_html_()


# ------------------------------------------------------------------------------------------------ the machine's peak


def test_the_peak_is_measured_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "surroundings", lambda: "of this test")  # whatever is edited meanwhile
    cache._trusted.cache_clear()
    monkeypatch.setattr(peaks, "_known", {})
    monkeypatch.setattr(peaks, "ROUNDS", 5000)
    monkeypatch.setattr(peaks, "ELEMENTS", 1 << 18)
    first = peaks.peak(1)
    assert first.gflops > 0.5
    assert first.bandwidth > 0.1
    monkeypatch.setattr(peaks, "_measured", lambda target, threads: pytest.fail("measured again"))
    assert peaks.peak(1) is first
    monkeypatch.setattr(peaks, "_known", {})
    assert peaks.peak(1) == first
    better = peaks.Peak(2 * first.gflops, 0.0)
    assert peaks.raise_peak(better, host_target(), 1) == peaks.Peak(2 * first.gflops, first.bandwidth)
    monkeypatch.setattr(peaks, "_known", {})
    assert peaks.peak(1).gflops == 2 * first.gflops
    cache._trusted.cache_clear()
