"""step.explain(): every kernel with what it fuses, moves and takes; nothing of the step changes by being measured."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import explaining
from chainrule.compiler.llvm import cache
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
    assert all(plan.of_peak(row) > 0 for row in plan.rows if row.kind == "contraction")
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
    zeros = [o.name for row in plan.rows if "writes between borders of zeros" in row.notes for o in row.operations]
    assert zeros == ["convolution"]  # the copy of the picture
    gaps = [o.name for row in plan.rows if "leaves gaps between rows" in row.notes for o in row.operations]
    assert gaps[0] == "convolution_weight_gradient"


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
    assert "(" + host_target().name + "); compiled in " in plans[0].table(width=120)
    assert "; code from the disk, compiled in " in plans[1].table(width=120)


@pytest.fixture
def one_thread():
    """Beside other work, threads wait for each other as chance has it."""
    before = cr.get_num_threads()
    cr.set_num_threads(1)
    yield
    cr.set_num_threads(before)


@pytest.mark.parametrize("batch", [4, 64])
def test_the_kernels_times_add_up_to_the_steps(batch, one_thread):
    """Repeated on warm caches the kernels of a large step took 0.8 of it; medians, on a busy machine, even 0.5."""
    net = cr.nn.Sequential(cr.nn.Conv2d(3, 32, 3, padding=1), cr.nn.ReLU(), cr.nn.Conv2d(32, 32, 3, padding=1))
    optimizer = cr.optim.SGD(net.parameters(), lr=1e-6)

    @cr.jit
    def step(x):
        optimizer.zero_grad()
        loss = cr.square(net(x)).mean()
        loss.backward()
        optimizer.step()
        return loss

    plan = step.explain(cr.ones((batch, 3, 32, 32)))
    assert 0.75 < plan.kernel_seconds / plan.seconds < 1.3


def test_code_that_differs_from_what_runs_is_compiled_and_measured(monkeypatch):
    """The disk may hold what an older release compiled for the same graph."""
    f = cr.jit(lambda x, w: cr.exp(x @ w))
    arguments = cr.ones((16, 16)), cr.ones((16, 16))
    f(*arguments)
    monkeypatch.setattr(explaining, "text_digest", lambda texts: "other")
    plan = f.explain(*arguments)
    assert [row.name for row in plan.rows] == ["matmul + exp"]
    assert plan.rows[0].seconds > 0
    assert plan.seconds > 0


def test_what_is_kept_from_call_to_call_is_no_part_of_the_steps_time():
    net = cr.nn.Conv2d(64, 64, 3, padding=1)
    f = cr.jit(lambda x: net(x))
    plan = f.explain(cr.ones((4, 64, 16, 16)))
    kept = [row for row in plan.rows if row.prepared]
    assert [row.name for row in kept] == ["copy for convolution"]
    assert kept[0].seconds > 0
    assert plan.share(kept[0]) is None
    assert plan.kernel_seconds == sum(row.seconds for row in plan.rows if not row.prepared)


def test_references_between_kernels_are_timed_in_their_place():
    f = cr.jit(lambda x: cr.exp(cr.linalg.cholesky(cr.exp(x) + 8 * cr.eye(4)).sum(axis=0)))
    plan = f.explain(cr.asarray(np.zeros((4, 4), np.float32)))
    assert [row.kind for row in plan.rows] == ["loops", "reference", "loops"]
    assert all(row.seconds > 0 for row in plan.rows)
    assert plan.seconds > plan.rows[1].seconds / 2


def test_gradients_of_contractions_name_the_layers_they_belong_to():
    step, *_, batch = training()
    plan = step.explain(*batch, measure=False)
    found = {
        (o.name, o.module) for row in plan.rows if row.kind == "contraction" for o in row.operations
        if o.name in ("matmul", "convolution", "convolution_weight_gradient")
    }  # fmt: skip
    assert found == {
        ("convolution", "0 (Conv2d)"), ("convolution_weight_gradient", "0 (Conv2d)"), ("matmul", "6 (Linear)"),
    }  # fmt: skip


def test_a_contraction_of_bfloat16_is_held_against_the_peak_of_bfloat16():
    f = cr.jit(lambda x, w: x @ w, precision="bf16")
    plan = f.explain(cr.ones((256, 256)), cr.ones((256, 256)))
    (row,) = [row for row in plan.rows if row.kind == "contraction"]
    assert row.precision == "bf16"
    assert plan.of_peak(row) == pytest.approx(row.gflops / plan.peak_bf16_gflops)
    assert plan.peak_bf16_gflops > 0
    assert all(row.precision == "f32" for row in plan.rows if row.kind != "contraction")  # bf16 is widened


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


def test_a_step_that_refuses_its_numbers_has_no_time_but_its_kernels_have():
    table = cr.asarray(np.zeros((10, 8), np.float32))
    f = cr.jit(lambda i: cr.exp(table[i]))
    plan = f.explain(cr.asarray([3, 99]))
    assert plan.seconds is None
    assert [row.seconds > 0 for row in plan.rows] == [True]
    assert "Time:" not in str(plan)


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
