"""Compiled steps that stop, in several threads and processes, and on odd arrays: state is that after a whole step."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest
from tests.compiler.networks import Net, f32, matrix, numbers_of

import chainrule as cr
from chainrule.compiler.program import NativeExecutor
from chainrule.core.errors import ChainruleError
from chainrule.testing import assert_close, assert_equal


# ---------------------------------------------------------------------------------------------------- steps that stop
@pytest.mark.parametrize("warm", [0, 1, 4])
def test_a_label_out_of_range_changes_no_state(warm):
    net = Net()
    net.run(warm)
    before = net.state(), [np.array(t) for t in map(np.asarray, numbers_of(net.optimizer.state_dict()))]
    wrong = cr.asarray(np.full(16, 7))
    for _ in range(2):
        with pytest.raises(ChainruleError):
            net.step(net.x, wrong)
    for got, want in zip(net.state(), before[0], strict=True):
        assert_equal(got, want)
    for got, want in zip(map(np.asarray, numbers_of(net.optimizer.state_dict())), before[1], strict=True):
        assert_equal(got, want)
    other = Net()
    other.run(warm + 3)
    net.run(3)
    for got, want in zip(net.state(), other.state(), strict=True):
        assert_equal(got, want)


def test_an_index_out_of_range_behind_an_update_changes_no_state():
    table, count = matrix(), f32([0.0])

    @cr.jit
    def step(i):
        count.assign_(count + 1)
        row = table[i]
        table.assign_(table * 2)
        return row

    step(cr.asarray(np.array([1, 2])))
    for _ in range(2):
        with pytest.raises(ChainruleError):
            step(cr.asarray(np.array([1, 9])))
    assert (count.item(), table[1, 0].item()) == (1.0, pytest.approx(0.8))


def test_ctrl_c_in_the_native_call_leaves_the_state_after_a_whole_step(monkeypatch):
    """Gradients that are kept are new arrays, parameters lie where they lay: an interrupt must not part them."""
    nets, original = [Net(keep_grads=True), Net(keep_grads=True)], NativeExecutor.__call__
    for net in nets:
        net.run(2)

    def interrupted(self, *args):
        found = original(self, *args)
        signal.raise_signal(signal.SIGINT)
        return found

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(NativeExecutor, "__call__", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            nets[0].run(1)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
        monkeypatch.undo()
    nets[1].run(1)
    for net in nets:
        net.found = [*net.state(), *(p.grad.numpy() for p in net.model.parameters())]
        net.found += map(np.asarray, numbers_of(net.optimizer.state_dict()))
    for got, want in zip(nets[0].found, nets[1].found, strict=True):
        assert_equal(got, want)


# ---------------------------------------------------------------------------------------------- threads, processes
def test_two_python_threads_train_two_networks():
    nets, alone = [Net(), Net()], Net()
    alone.run(30)
    threads = [threading.Thread(target=net.run, args=(30,)) for net in nets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for net in nets:
        for got, want in zip(net.state(), alone.state(), strict=True):
            assert_equal(got, want)


def test_one_jitted_function_in_several_threads():
    weights = matrix()
    f = cr.jit(lambda x: cr.tanh(x @ weights).sum(axis=0))
    inputs = [f32(np.full((32, 4), n / 7)) for n in range(4)]
    want = [f(x).numpy() for x in inputs]
    wrong = []

    def work(number):
        for _ in range(200):
            if not np.array_equal(f(inputs[number]).numpy(), want[number]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_trains_on_its_own_copy():
    net, other = Net(), Net()
    net.run(3)
    other.run(6)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            net.run(3)
            os.write(write, b"".join(value.tobytes() for value in net.state()))
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    assert told == b"".join(value.tobytes() for value in other.state())
    net.run(3)
    for got, want in zip(net.state(), other.state(), strict=True):
        assert_equal(got, want)


# ---------------------------------------------------------------------------------------------------- odd arrays
def test_inputs_that_are_strided_reversed_or_repeated():
    base = np.arange(48, dtype=np.float32).reshape(6, 8)
    f = cr.jit(lambda x: x * 2 + x.sum(axis=0))
    for x in (base[:4, :4], base[::-1, ::2][:4], base.T[:4, :4], np.broadcast_to(base[0, :4], (4, 4)), base[2:, 4:]):
        for _ in range(2):
            tensor = cr.asarray(x, copy=False)
            assert_close(f(tensor), x * 2 + x.sum(axis=0))


def test_inputs_at_any_byte():
    memory = np.zeros(4 * 64 + 1, np.uint8)
    x = np.frombuffer(memory.data, np.float32, 64, offset=1)
    memory[1:] = np.arange(64, dtype=np.float32).view(np.uint8)
    assert not x.flags.aligned
    f = cr.jit(lambda x: x * 2 + x.sum())
    for _ in range(2):
        assert_close(f(cr.asarray(x, copy=False)), np.arange(64) * 2.0 + 2016)
