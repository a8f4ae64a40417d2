"""Many steps of a jitted function in one native call: what `JitFunction.many` does.

The steps run in blocks, each one native call that lasts about 50 ms, measured as they go: between two blocks Python
answers Ctrl-C. A block ends before a step that refuses its batch; that step then runs alone, and raises the error that
it always raises. Where the step has no short way in (see `caller`), it is called in a Python loop, with the same
results.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.compiler.caller import Caller
from chainrule.compiler.llvm.many import DONE, HEAD, INPUT_WORDS, RESULT_WORDS, many_steps
from chainrule.compiler.llvm.pool import thread_pool
from chainrule.compiler.llvm.step import FIRST
from chainrule.compiler.program import aligned
from chainrule.compiler.results import Output
from chainrule.core import context, tree
from chainrule.core.dtypes import dtype_of
from chainrule.core.errors import DTypeError, GradientError, IndexRangeError, ShapeError, TraceError
from chainrule.core.tensor import Tensor

if TYPE_CHECKING:
    from chainrule.compiler.jit import JitFunction

__all__ = ["BLOCK", "many"]

BLOCK = 0.05  # seconds that a native call lasts
GROWTH = 8  # a block has at most so many times the steps of the one before, whose time is a guess for it
FEW = 8.0  # microseconds: a step below this runs on one thread, for which nobody has to wait
AHEAD = 1 << 20  # bytes of a batch up to which the next one is fetched into the cache

Leaves = list[Any]  # leaves of a result: arrays with a row per step, and other values as the last step gave them


def many(step: JitFunction, arguments: Sequence[Any], indices: Any, partial: bool) -> Any:
    """Run a step once per row of its arguments; `JitFunction.many` says how."""
    if context.local.interpreter is not None or context.local.transform is not None:
        raise TraceError(
            f"{step.__name__}.many runs whole steps and can't be part of a trace, jvp or vmap: call it outside, "
            "or write cr.scan inside."
        )
    batches = _Batches(step.__name__, arguments, indices)
    blocks: list[Leaves] = []
    structure, done = None, 0
    while done < batches.steps:
        runner = _runner(step, batches)
        count, found = (0, None) if runner is None else runner.block(batches, done)
        if not count:
            if partial and done:
                break
            found = _alone(step, batches, done)
            count = 1
        structure_now, leaves = found  # type: ignore[misc]
        if structure is not None and structure_now != structure:
            raise ShapeError(f"{step.__name__}.many: step {done} returned another structure than the steps before it.")
        structure = structure_now
        blocks.append(leaves)
        done += count
        if partial:
            break
    return tree.unflatten(structure, _joined(step.__name__, blocks))


class _Batches:
    """The data of all steps, checked.

    Args:
        name: of the step, for messages.
        arguments: arrays or tensors; [steps, ...] without indices, [n, ...] with.
        indices: integers [steps, batch], or None.

    Attributes:
        arrays: NumPy arrays of the arguments.
        indices: int64 [steps, batch], contiguous, or None.
        steps: how many there are.
        types: (shape, dtype) of each argument of one step.
        plain: whether native code can read the arrays: their rows are contiguous.
    """

    def __init__(self, name: str, arguments: Sequence[Any], indices: Any):
        if not arguments:
            raise ShapeError(f"{name}.many needs at least one argument: an array with the data of all steps.")
        self.arrays = [_array(name, number, argument) for number, argument in enumerate(arguments)]
        lengths = sorted({len(array) for array in self.arrays})
        if len(lengths) > 1:
            raise ShapeError(f"{name}.many needs arguments of equal length; got {', '.join(map(str, lengths))} rows.")
        self.indices = None if indices is None else _indices(name, indices, lengths[0])
        self.steps = lengths[0] if self.indices is None else len(self.indices)
        if not self.steps:
            raise ShapeError(f"{name}.many needs at least one step; got none.")
        head = () if self.indices is None else self.indices.shape[1:]
        self.types = [((*head, *array.shape[1:]), array.dtype) for array in self.arrays]
        self.plain = all(array.flags.aligned and array[:1].flags.c_contiguous for array in self.arrays)

    def batch(self, number: int) -> list[Tensor]:
        """Return the arguments of one step."""
        rows = number if self.indices is None else self.indices[number]
        return [Tensor(np.array(array[rows])) for array in self.arrays]


def _array(name: str, number: int, argument: Any) -> np.ndarray:
    if isinstance(argument, Tensor):
        if argument._node is not None:
            raise GradientError(
                f"{name}.many takes data; argument {number} requires a gradient: give it as x.detach()."
            )
        argument = argument._value
    elif not isinstance(argument, np.ndarray):
        raise TypeError(
            f"{name}.many takes arrays and tensors; argument {number} is {type(argument).__name__}. "
            "Anything else belongs into the step, or into its closure."
        )
    if argument.ndim == 0:
        raise ShapeError(f"{name}.many takes a row per step or sample; argument {number} has no axes.")
    dtype_of(argument.dtype)  # the error for a type that no tensor has
    if not argument.dtype.isnative:
        raise DTypeError(
            f"{name}.many: argument {number} has foreign byte order ({argument.dtype.str}): "
            "use array.astype(array.dtype.newbyteorder('='))."
        )
    return argument


def _indices(name: str, indices: Any, rows: int) -> np.ndarray:
    found = np.asarray(indices._value if isinstance(indices, Tensor) else indices)
    if found.ndim != 2 or found.dtype.kind not in "iu":
        raise ShapeError(
            f"{name}.many: indices must be integers [steps, batch]; got {found.dtype} of shape {found.shape}."
        )
    if found.size and (found.min() < 0 or found.max() >= rows):
        bad = (found < 0) | (found >= rows)
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        raise IndexRangeError(
            f"{name}.many: the index {found[place]} at position {place} is out of range; the arguments have {rows} "
            f"rows, so indices must be in [0, {rows - 1}]."
        )
    return np.ascontiguousarray(found, np.int64)


def _alone(step: JitFunction, batches: _Batches, number: int) -> tuple[Any, Leaves]:
    """Run one step by a call; its error says which step it was."""
    try:
        result = step(*batches.batch(number))
    except Exception as error:
        if batches.steps > 1:
            error.add_note(f"in step {number} of {batches.steps} of {step.__name__}.many; those before it are done")
        raise
    leaves, structure = tree.flatten(result)
    return structure, [leaf._value[None] if isinstance(leaf, Tensor) else leaf for leaf in leaves]


def _joined(name: str, blocks: list[Leaves]) -> Leaves:
    """Return the leaves of all blocks as tensors with a row per step."""
    joined = []
    for parts in zip(*blocks, strict=True):
        if not isinstance(parts[-1], np.ndarray):
            joined.append(parts[-1])
            continue
        kinds = list(dict.fromkeys(f"{part.dtype} {part.shape[1:]}" for part in parts))
        if len(kinds) > 1:
            raise ShapeError(f"{name}.many stacks results, but steps gave different ones: {' and '.join(kinds)}.")
        joined.append(Tensor(parts[0] if len(parts) == 1 else np.concatenate(parts)))
    return joined


# ------------------------------------------------------------------------------------------------ the native way
def _runner(step: JitFunction, batches: _Batches) -> _Runner | None:
    """Return what runs blocks of these batches natively, once a call has found the short way for them."""
    fast, local = step._fast, context.local
    operands = local.precision if step.precision is None else step._operands
    if fast is None or not batches.plain or fast[1] is not local.grad or fast[2] is not operands:
        return None
    caller = fast[0]
    if caller.types != batches.types:
        return None
    if caller.runner is None:
        caller.runner = _Runner(caller)
    return caller.runner


class _Runner:
    """Blocks of steps of one caller.

    Args:
        caller: the short way into a variant.
    """

    def __init__(self, caller: Caller):
        self.caller = caller
        self.threads = 1 if caller.executor.cost < FEW else None
        self.most = max(1, int(0.1 * BLOCK / (1e-6 * caller.executor.cost + 1e-7)))  # steps of a block; measured later
        self.buffers: list[tuple[np.ndarray, int]] = [
            aligned(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize) for shape, dtype in caller.types
        ]
        self.large = {i: np.empty(shape, dtype) for i, shape, dtype, fixed in caller.outputs if fixed is None}
        moved = len(caller.endings.results) + len(caller.endings.carried)
        self.record = np.zeros(HEAD + INPUT_WORDS * caller.count + RESULT_WORDS * moved, np.int64)

    def block(self, batches: _Batches, start: int) -> tuple[int, tuple[Any, Leaves] | None]:
        """Run steps from number `start` on; return how many were done, and structure and leaves of their results."""
        caller = self.caller
        if not caller.executor.lock.acquire(blocking=False):
            return 0, None
        try:
            if not caller.ready():
                return 0, None
            steps = min(self.most, batches.steps - start)
            results = self._write(batches, start, steps)
            pool, begin = thread_pool(), time.perf_counter()
            pool.run(many_steps(), self.record.ctypes.data, self.threads, steps * caller.executor.cost)
            seconds = time.perf_counter() - begin
            done = int(self.record[DONE])
            caller.held = caller.coming if done else None
            caller.note(done)
            caller.memory.flag[0] = 0
        finally:
            caller.executor.lock.release()
        if done == steps:  # a block cut short by the end of the data says enough too
            self.most = max(1, min(GROWTH * self.most, int(BLOCK * steps / max(seconds, 1e-9))))
        if not done:
            return 0, None
        variant = caller.variant
        leaves = [results[x.index][:done] if isinstance(x, Output) else x for x in variant.results]
        return done, (variant.structure, leaves)

    def _write(self, batches: _Batches, start: int, steps: int) -> dict[int, np.ndarray]:
        """Fill the record for a block; return the arrays that its results go to."""
        caller, record, context = self.caller, self.record, self.caller.context
        base = context.ctypes.data
        first, batch = 0, 0
        if batches.indices is not None:
            batch = batches.indices.shape[1]
            first = batches.indices.ctypes.data + 8 * start * batch
        types = caller.executor.types
        results = {i: np.empty((steps, *types[i][0]), types[i][1]) for i in caller.endings.results}
        for index, array in self.large.items():
            context[caller.first_output + index] = array.ctypes.data
        flag = caller.memory.flag.ctypes.data
        caller.memory.flag[0] = 0
        moved = len(results) + len(caller.endings.carried)
        head: list[Any] = [caller.executor.stretches[0], base, flag, steps, 0, caller.count, moved, first, batch]
        for number, (array, (_, buffer)) in enumerate(zip(batches.arrays, self.buffers, strict=True)):
            stride, row, place = array.strides[0], array[:1].nbytes, base + 8 * (FIRST + number)
            caller.given[number] = None  # the next single call gives its own
            if batches.indices is None:
                head += [array.ctypes.data + start * stride, stride, row, 0, place, 0]
            else:
                context[FIRST + number] = buffer
                head += [array.ctypes.data, stride, row, buffer, place, row if batch * row <= AHEAD else 0]
        for index, array in results.items():
            size = array[:1].nbytes
            source = int(context[caller.endings.place(caller.endings.results[index])])
            head += [source, size, array.ctypes.data, size]
        record[:] = head + caller.carries()
        return results
