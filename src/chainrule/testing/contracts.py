"""The contract that every layer and loss keeps, whoever wrote it: `check_module` runs the whole list.

A contract is a function of (make, inputs): `make()` builds the module anew, `inputs` are the arguments of its forward.
What they promise: eager = compiled, saving and loading, `repr` rebuilds, the same seed gives the same result, a batch
of one, train and eval modes, inputs stay untouched, deep copies and pickles.
"""

from __future__ import annotations

import copy
import functools
import pathlib
import pickle
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import nn
from chainrule.compiler import jit
from chainrule.core import tree
from chainrule.core.random import manual_seed
from chainrule.core.tensor import Tensor
from chainrule.nn.files import load, save
from chainrule.testing.compare import assert_equal, assert_near

__all__ = ["CONTRACTS", "check_module"]

Make = Callable[[], nn.Module]


def check_module(make: Make, *inputs: Tensor, batched: bool = True, only: Sequence[str] | None = None) -> list[str]:
    """Check that a layer or loss keeps the contract of all modules.

    Args:
        make: builds the module; called several times.
        *inputs: arguments of its forward, with the batch on axis 0.
        batched: whether a batch of one must give the first row of the whole batch; not for losses that reduce, nor for
            layers whose rows depend on each other; default True.
        only: names of contracts, from `CONTRACTS`; default all.

    Returns:
        The names of the contracts that were checked.

    Raises:
        AssertionError: a contract is broken; the message opens with its name.
        ValueError: an unknown name in `only`.

    Example:
        >>> import chainrule as cr
        >>> from chainrule.testing import check_module
        >>> check_module(lambda: cr.nn.Linear(3, 2), cr.ones((4, 3)))[:3]
        ['eager_equals_compiled', 'state_dict_round_trip', 'file_round_trip']
    """
    unknown = [name for name in only or () if name not in CONTRACTS]
    if unknown:
        raise ValueError(f"check_module.only must name contracts ({', '.join(CONTRACTS)}); got {unknown[0]!r}.")
    names = [name for name in CONTRACTS if (only is None or name in only) and (batched or name != "batch_of_one")]
    for name in names:
        CONTRACTS[name](make, inputs)
    return names


# ---------------------------------------------------------------------------------------------------- pieces
def _run(module: nn.Module, inputs: Sequence[Tensor]) -> list[np.ndarray]:
    """Return outputs, input gradients and parameter gradients of one seeded forward and backward."""
    manual_seed(11)
    xs = [x.detach().requires_grad_() if x.dtype.is_float else x for x in inputs]
    module.zero_grad()
    outputs = [out for out in tree.flatten(module(*xs))[0] if isinstance(out, Tensor)]
    _pull(outputs)
    gradients = [x.grad for x in (*xs, *module.parameters()) if x.grad is not None]
    return [np.array(tensor.numpy()) for tensor in (*outputs, *gradients)]


def _pull(outputs: Sequence[Tensor]) -> None:
    """Walk back from a number that depends on every output, in a way that no normalisation cancels."""
    pulled = []
    for out in outputs:
        if out.requires_grad:
            wave = Tensor(np.sin(np.arange(out.size)).reshape(out.shape).astype(out.dtype.numpy))
            pulled.append((out * (out + wave)).sum())
    if pulled:
        sum(pulled[1:], pulled[0]).backward()


def _compare(
    name: str,
    got: Sequence[np.ndarray],
    want: Sequence[np.ndarray],
    agree: Callable[[np.ndarray, np.ndarray, str], None] = assert_equal,
) -> None:
    if len(got) != len(want):
        raise AssertionError(f"{name}: {len(got)} outputs and gradients, expected {len(want)}.")
    for position, (a, b) in enumerate(zip(got, want, strict=True)):
        agree(a, b, f"{name}: output or gradient {position}")


def _perturbed(make: Make) -> nn.Module:
    """Return a module whose state differs from a freshly made one."""
    module = make()
    manual_seed(5)
    state = {name: value + 0.125 if value.dtype.is_float else value for name, value in module.state_dict().items()}
    module.load_state_dict(state)
    return module


# ---------------------------------------------------------------------------------------------------- the contracts
def eager_equals_compiled(make: Make, inputs: Sequence[Tensor]) -> None:
    """The compiled forward and backward give the eager ones but for rounding, and the same bits at each call."""
    module = make()
    eager = _run(module, inputs)

    @jit(keep_grads=True)
    def step(*xs: Tensor) -> Any:
        outputs = [out for out in tree.flatten(module(*xs))[0] if isinstance(out, Tensor)]
        _pull(outputs)
        return tuple(outputs), tuple(x.grad for x in (*xs, *module.parameters()) if x.grad is not None)

    # gradients are sums of about as many terms as there are elements, and of the size of the outputs and gradients
    terms = max((a.size for a in eager), default=0) ** 0.5
    scale = max((float(np.max(np.abs(a), initial=1.0)) for a in eager if a.dtype.kind == "f"), default=1.0) * terms
    agree = functools.partial(assert_near, scale=max(scale, 1.0))
    found = []
    for call in ("first", "second"):
        manual_seed(11)
        module.zero_grad()
        outputs, gradients = step(*(x.detach().requires_grad_() if x.dtype.is_float else x for x in inputs))
        found.append([t.numpy() for t in (*outputs, *gradients)])
        _compare(f"eager_equals_compiled, {call} call", found[-1], eager, agree)
    _compare("eager_equals_compiled, second call against the first", found[1], found[0])
    if len(step.variants) != 1:
        raise AssertionError(
            f"eager_equals_compiled: two equal calls were traced {len(step.variants)} times: {step.retraces}"
        )


def state_dict_round_trip(make: Make, inputs: Sequence[Tensor]) -> None:
    """A state dict carries everything that the result depends on, and is not changed by later assignments."""
    source, target = _perturbed(make), make()
    state = source.state_dict()
    before = {name: np.array(value.numpy()) for name, value in state.items()}
    want = _run(source, inputs)
    target.load_state_dict(state)
    _compare("state_dict_round_trip", _run(target, inputs), want)
    make_different = {name: value * 0 for name, value in state.items()}
    source.load_state_dict(make_different)
    for name, value in state.items():
        assert_equal(value, before[name], f"state_dict_round_trip: {name} changed with the module")


def file_round_trip(make: Make, inputs: Sequence[Tensor]) -> None:
    """Saved to a file and loaded into a fresh module, it computes the same."""
    source, target = _perturbed(make), make()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "module.safetensors"
        save(path, source)
        target.load_state_dict(load(path))
    _compare("file_round_trip", _run(target, inputs), _run(source, inputs))


def repr_rebuilds(make: Make, inputs: Sequence[Tensor]) -> None:
    """The `repr` of a layer, evaluated, gives a layer that computes the same with the same state."""
    source = make()
    text = repr(source)
    if "\n" in text:
        return  # a container prints as a tree
    target = eval(
        text, {"__builtins__": {}}, {**vars(nn), type(source).__name__: type(source), "True": True, "False": False}
    )
    if repr(target) != text:
        raise AssertionError(f"repr_rebuilds: {text} gives {target!r}.")
    target.load_state_dict(source.state_dict())
    _compare(f"repr_rebuilds: {text}", _run(target, inputs), _run(source, inputs))


def same_seed_same_result(make: Make, inputs: Sequence[Tensor]) -> None:
    """The same seed gives the same initial values, and the same results in train mode."""
    results = []
    for _ in range(2):
        manual_seed(3)
        results.append(_run(make(), inputs))
    _compare("same_seed_same_result", results[1], results[0])


def batch_of_one(make: Make, inputs: Sequence[Tensor]) -> None:
    """In eval mode a batch of one gives the first row of the whole batch."""
    module = make().eval()
    whole, one = module(*inputs), module(*(x[:1] for x in inputs))
    for all_rows, row in zip(tree.flatten(whole)[0], tree.flatten(one)[0], strict=True):
        if row.shape != (1, *all_rows.shape[1:]):
            raise AssertionError(f"batch_of_one: the shape is {row.shape}; expected {(1, *all_rows.shape[1:])}.")
        want = all_rows.numpy()[:1]
        rounding = 5e-7 * np.abs(want).max(initial=0.2)  # a sum that nearly cancels, added up in another order
        np.testing.assert_allclose(row.numpy(), want, rtol=1e-6, atol=rounding, err_msg="batch_of_one")


def train_and_eval(make: Make, inputs: Sequence[Tensor]) -> None:
    """`train` and `eval` switch every part, return the module, and eval mode repeats itself whatever the seed."""
    module = make()
    for mode in (False, True, False):
        if module.train(mode) is not module or any(part.training is not mode for part in module.modules()):
            raise AssertionError(
                f"train_and_eval: train({mode}) does not switch every part, or does not return the module."
            )
    version = module._fingerprint()
    module.train().eval()
    if module._fingerprint() != version:
        raise AssertionError(
            "train_and_eval: train() and eval() again leave another version: compiled steps would re-trace."
        )
    results = []
    for seed in (1, 2):
        manual_seed(seed)
        results.append([out.numpy() for out in tree.flatten(module(*inputs))[0]])
    _compare("train_and_eval", results[1], results[0])


def inputs_untouched(make: Make, inputs: Sequence[Tensor]) -> None:
    """Forward and backward change neither the data nor the version of the inputs."""
    before = [(np.array(x.numpy()), x.version) for x in inputs]
    outputs = [out for out in tree.flatten(make()(*inputs))[0] if out.requires_grad]
    if outputs:
        sum((out * out).sum() for out in outputs).backward()
    for position, (x, (value, version)) in enumerate(zip(inputs, before, strict=True)):
        assert_equal(x, value, f"inputs_untouched: input {position}")
        if x.version != version:
            raise AssertionError(f"inputs_untouched: input {position} was assigned.")


def deep_copies(make: Make, inputs: Sequence[Tensor]) -> None:
    """A deep copy computes the same, and shares no parameter with the original."""
    source = make()
    target = copy.deepcopy(source)
    _compare("deep_copies", _run(target, inputs), _run(source, inputs))
    _independent("deep_copies", source, target)


def pickles(make: Make, inputs: Sequence[Tensor]) -> None:
    """A pickled module comes back, computes the same, and shares no parameter with the original."""
    source = make()
    target = pickle.loads(pickle.dumps(source))  # noqa: TID251 - bytes made on the same line, not from a file
    _compare("pickles", _run(target, inputs), _run(source, inputs))
    _independent("pickles", source, target)


def _independent(name: str, source: nn.Module, target: nn.Module) -> None:
    shared = {id(p) for p in source.parameters()} & {id(p) for p in target.parameters()}
    if shared or target.training is not source.training:
        raise AssertionError(f"{name}: the copy shares parameters with the original, or has another mode.")
    before = {key: np.array(value.numpy()) for key, value in source.state_dict().items()}
    target.load_state_dict({key: value * 0 for key, value in target.state_dict().items()})
    for key, value in source.state_dict().items():
        assert_equal(value, before[key], f"{name}: {key} of the original changed with the copy")


CONTRACTS: dict[str, Callable[[Make, Sequence[Tensor]], None]] = {
    function.__name__: function
    for function in (
        eager_equals_compiled,
        state_dict_round_trip,
        file_round_trip,
        repr_rebuilds,
        same_seed_same_result,
        batch_of_one,
        train_and_eval,
        inputs_untouched,
        deep_copies,
        pickles,
    )
}
