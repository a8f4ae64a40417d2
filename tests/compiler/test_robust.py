"""Nothing crashes the process: memory, instruction sets, the cache folder, signals, threads and neighbours.

Each job runs in a process of its own; the jobs stand in `robust_jobs`.
"""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest
from tests.compiler.robust_jobs import Training

from chainrule.compiler import system
from chainrule.compiler.llvm.machine import Target, _binding, _host_flags, describe_target
from chainrule.compiler.llvm.step import write_program
from chainrule.compiler.native import references
from chainrule.compiler.ordering import plan_arena
from chainrule.compiler.passes import simplify
from chainrule.compiler.schedule import schedule
from chainrule.core.errors import MachineError

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="limits, forks and signals are tested on Linux")
ROOT = pathlib.Path(__file__).resolve().parents[2]


def start(job: str, **environment: str) -> subprocess.Popen:
    """Start a job of `robust_jobs` in a fresh interpreter."""
    program = f"from tests.compiler import robust_jobs; robust_jobs.{job}"
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, **environment},
    )  # fmt: skip


def finish(process: subprocess.Popen) -> str:
    """Return what a job printed; it must end well and say nothing else."""
    out, err = process.communicate(timeout=200)
    assert (process.returncode, err) == (0, "")
    return out


def run(job: str, **environment: str) -> str:
    """Run a job and return what it printed."""
    return finish(start(job, **environment))


# ------------------------------------------------------------------------------------------------ memory
@LINUX
def test_out_of_memory_is_an_error_that_names_the_largest_buffers_and_the_process_lives():
    compiling, running, again = run("out_of_memory()", CHAINRULE_CACHE="off").splitlines()
    assert re.fullmatch(r"MemoryError: compiling needs about \d+ MB of memory, which the system refuses\.", compiling)
    found = re.fullmatch(
        r"MemoryError: step: the compiled step needs (\d+) MB for temporaries, which this machine does not have; "
        r"the largest: (.*)\. Use a smaller batch, or cr\.checkpoint\.",
        running,
    )
    assert found, running
    sizes = [int(n) for n in re.findall(r"(\d+) MB", found[2])]
    assert len(sizes) == 3
    assert sizes == sorted(sizes, reverse=True)
    assert int(found[1]) >= max(sizes) > 10
    assert re.search(r"for matmul at robust_jobs\.py:\d+ in 0 \(Linear\)", found[2])
    assert again == "True"


# ------------------------------------------------------------------------------------------------ instruction sets
@pytest.mark.parametrize("name", ["mlp", "cnn"])
@pytest.mark.parametrize("target", ["native", "avx2", "sse2"])
def test_each_instruction_set_trains_like_eager_with_the_same_bits_on_two_threads(name, target):
    try:
        wanted = describe_target(target, system.architecture(), _host_flags()).name
    except MachineError as error:
        pytest.skip(str(error))
    used, _, one, two = run(f"train('{name}')", CHAINRULE_TARGET=target).split()
    assert (used, one) == (wanted, two)


# ------------------------------------------------------------------------------------------------ the cache folder
@pytest.fixture
def folder(tmp_path):
    """Return an empty folder for the cache, whose rights are given back at the end."""
    path = tmp_path / "cache"
    path.mkdir(mode=0o700)
    yield path
    for place in [path, *path.rglob("*")]:
        place.chmod(0o700)


def trained(folder: pathlib.Path, **more: str) -> list[str]:
    return run("train('mlp')", CHAINRULE_CACHE=str(folder), **more).split()


def entries(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(folder.rglob("*.code"))


def test_a_corrupt_entry_is_compiled_again(folder):
    _, from_disk, bits, _ = trained(folder)
    assert from_disk == "False"
    assert trained(folder)[1:3] == ["True", bits]
    for path in entries(folder):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    assert trained(folder)[1:3] == ["False", bits]
    assert trained(folder)[1:3] == ["True", bits]


@pytest.mark.skipif(sys.platform == "win32", reason="rights of folders")
def test_a_read_only_folder_changes_no_result(folder):
    bits = trained(folder)[2]
    (folder / "code").chmod(0o500)
    folder.chmod(0o500)
    assert trained(folder)[1:3] == ["True", bits]
    for path in entries(folder):
        path.chmod(0o600)
    (folder / "code").chmod(0o700)
    for path in entries(folder):
        path.unlink()
    (folder / "code").chmod(0o500)
    assert trained(folder)[2] == bits


@pytest.mark.skipif(sys.platform == "win32", reason="rights of folders")
def test_code_from_a_folder_that_others_can_write_to_is_not_run(folder):
    bits = trained(folder)[2]
    names = entries(folder)
    (folder / "code").chmod(0o777)
    process = start("train('mlp')", CHAINRULE_CACHE=str(folder))
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0
    assert out.split()[1:3] == ["False", bits]
    assert "others can write to it (mode 0777)" in err
    assert entries(folder) == names


def test_processes_that_fill_the_folder_at_once(folder):
    jobs = [start("train('mlp')", CHAINRULE_CACHE=str(folder)) for _ in range(3)]
    results = {tuple(finish(job).split()[2:]) for job in jobs}
    assert len(results) == 1
    assert trained(folder)[1] == "True"
    assert [p for p in folder.rglob("*") if p.is_file() and p.suffix not in (".code", ".lock")] == []


# ------------------------------------------------------------------------------------------------ signals, threads
@LINUX
def test_ctrl_c_during_a_long_native_call_leaves_a_whole_step():
    assert run("interrupted()") == "interrupted True True\n"


def test_one_training_step_called_from_two_threads_stays_whole():
    """Updates of two threads may overtake each other, as in eager mode; a half-written update may not be seen."""
    failed, count, _ = run("one_step_in_two_threads()").split(" ", 2)
    assert (failed, count) == ("[]", "1")


@LINUX
def test_a_busy_neighbour_changes_no_bit():
    assert run("busy_neighbour()") == "True\n"


@LINUX
def test_parent_and_child_of_a_fork_train_on():
    one, other = run("forked()").splitlines()
    assert one == other


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_the_text_of_a_step_compiles_for_the_other_architecture(name, monkeypatch):
    """Nobody has run it; LLVM at least makes code of it."""
    llvm = _binding()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        triple = llvm.Target.from_triple("aarch64-unknown-linux-gnu")
    except RuntimeError:
        pytest.skip("this llvmlite has no aarch64")
    with references():
        training = Training(name)
        training.run(1)
    (variant,) = training.step.variants
    monkeypatch.setattr(system, "architecture", lambda: "aarch64")
    target = Target("neon", 128, "generic", "+neon", has_fma=True)
    program = schedule(simplify(variant.graph), target.lanes(32), variant._takes())
    plan_arena(program)
    for text in write_program(program, target).texts:
        module = llvm.parse_assembly(text, llvm.create_context())
        module.verify()
        assert triple.create_target_machine(features=target.features, reloc="pic").emit_object(module)
