"""`cr.jit`: trace a whole step once, state included, and run the graph from then on.

A `Variant` is one traced graph with what selects it: the types of the arguments, the frozen surroundings (guards), the
gradient mode and the presence of gradients that it reads. A call finds its variant or traces a new one, and says why.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.autodiff.backward import gradients
from chainrule.compiler.executor import ReferenceExecutor, evaluate, without_dead_code
from chainrule.compiler.guards import SCALARS, Guards
from chainrule.core import context, tree
from chainrule.core.bind import bind
from chainrule.core.config import shows
from chainrule.core.context import Versioned, enable_grad
from chainrule.core.dtypes import dtype_of
from chainrule.core.errors import TraceError
from chainrule.core.graph import Graph, Variable, check
from chainrule.core.primitive import PRIMITIVES, TensorType
from chainrule.core.tape import FunctionNode, Leaf
from chainrule.core.tensor import CONSUMED, Tensor, connected
from chainrule.core.tracer import GradSlot, Tracer

__all__ = ["JitFunction", "Variant", "jit"]

Where = tuple[str, Any]  # ("argument", leaf index) | ("cell", tensor) | ("grad", owner), owner = leaf index | tensor


def jit(function: Callable[..., Any] | None = None, *, keep_grads: bool = False) -> Any:
    """Trace a step of tensor operations once, and run the traced graph on later calls.

    Forward, backward and optimizer may all be inside: tensors that the step assigns (parameters, optimizer slots,
    statistics, the generator) are updated by the graph. The result is that of the eager step.

    Args:
        function: any Python function of tensors, numbers, modules and nested containers of them.
        keep_grads: keep gradients that an optimizer inside the step used up, so that `.grad` can be read afterwards;
            default False.

    Returns:
        A `JitFunction`; used with keywords only, a decorator.

    Raises:
        TraceError: at the first call, where the step asks for a value that does not exist yet (`.item()`, `if tensor:`).

    Example:
        >>> import chainrule as cr
        >>> @cr.jit
        ... def f(x):
        ...     return (x * x).sum()
        >>> f(cr.asarray([1.0, 2.0]))
        tensor(5., shape=(), dtype=float32)
    """
    if function is None:
        return functools.partial(jit, keep_grads=keep_grads)
    return JitFunction(function, keep_grads)


class JitFunction:
    """A step with its traced variants; made by `cr.jit`, called like the step.

    Args:
        function: the Python step.
        keep_grads: whether consumed gradients stay readable.

    Attributes:
        variants: the traced graphs, newest last.

    Example:
        >>> import chainrule as cr
        >>> f = cr.jit(lambda x: x + 1)
        >>> f(cr.ones(2)), len(f.variants)
        (tensor([2., 2.], shape=(2,), dtype=float32), 1)
    """

    def __init__(self, function: Callable[..., Any], keep_grads: bool = False):
        functools.update_wrapper(self, function)
        self.function = function
        self.keep_grads = keep_grads
        self.variants: list[Variant] = []
        self.retraces: list[str] = []

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        bound = JitFunction(self.function.__get__(instance, owner), self.keep_grads)
        instance.__dict__[self.__name__] = bound  # one set of variants per object
        return bound

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the step; arguments and result are those of the Python function."""
        if context.local.interpreter is not None:
            return self.function(*args, **kwargs)  # inside another trace: part of that graph
        leaves, structure = tree.flatten((args, kwargs))
        leaves = [Tensor(np.array(leaf)) if isinstance(leaf, np.ndarray) else leaf for leaf in leaves]
        key = (structure, context.local.grad, tuple([_describe(leaf) for leaf in leaves]))
        variant = self._find(key)
        if variant is None:
            variant = self._trace(key, leaves, structure)
        return variant.run(leaves)

    def _find(self, key: tuple) -> Variant | None:
        for variant in reversed(self.variants):
            if variant.key == key and variant.guards.changed() is None and variant.fits():
                return variant
        return None

    def _trace(self, key: tuple, leaves: list[Any], structure: Any) -> Variant:
        reason = self._reason(key)
        variant = _trace(self, key, leaves, structure)
        self.variants = [v for v in self.variants if v.key != key or v.guards.changed() is None]
        self.variants.append(variant)
        if reason:
            self.retraces.append(reason)
        if shows("graph"):
            print(variant.graph, file=sys.stderr)
        if shows("retrace") and reason:
            print(f"retrace: {self.__name__}, trace {len(self.retraces) + 1}: {reason}", file=sys.stderr)
        return variant

    def _reason(self, key: tuple) -> str:
        """Return why no variant fits, in words; empty at the first trace."""
        if not self.variants:
            return ""
        last = self.variants[-1]
        if last.key == key:
            return last.guards.changed() or last.misfit() or "the state changed"
        if last.key[0] != key[0]:
            return "the arguments have another structure"
        if last.key[1] != key[1]:
            return f"gradients were {'on' if last.key[1] else 'off'}, now {'on' if key[1] else 'off'}"
        position = next(i for i, (a, b) in enumerate(zip(last.key[2], key[2], strict=True)) if a != b)
        was, now = last.key[2][position], key[2][position]
        return f"argument {last.labels[position]} was {_words(was)}, now {_words(now)}"

    def graph(self) -> Graph:
        """Return the graph of the newest variant.

        Raises:
            TraceError: the function was never called.
        """
        if not self.variants:
            raise TraceError(f"{self.__name__} has no graph yet: call it once.")
        return self.variants[-1].graph

    def frozen(self) -> dict[str, Any]:
        """Return the Python numbers and strings that the newest trace froze, by name; changing one re-traces.

        Raises:
            TraceError: the function was never called.
        """
        self.graph()
        last = self.variants[-1]
        arguments = {last.labels[i]: leaf[1] for i, leaf in enumerate(last.key[2]) if leaf[0] == "value"}
        return {**last.guards.frozen, **arguments}


def _describe(leaf: Any) -> tuple:
    """Return what a variant depends on in one argument."""
    if isinstance(leaf, Tensor):
        value = leaf._value
        return ("tensor", value.shape, value.dtype, leaf._node is not None, leaf._node is not None and _grad_type(leaf))
    if isinstance(leaf, SCALARS):
        return ("value", leaf, type(leaf))
    if isinstance(leaf, Versioned):
        return ("object", id(leaf), leaf._fingerprint())
    return ("object", id(leaf), ())


def _grad_type(owner: Tensor) -> Any:
    gradient = owner._grad
    return (gradient.shape, gradient._value.dtype) if isinstance(gradient, Tensor) else None


def _words(description: tuple) -> str:
    if description[0] == "tensor":
        kind = str(TensorType(description[1], dtype_of(description[2])))
        return kind + (" that requires a gradient" if description[3] else "")
    return repr(description[1]) if description[0] == "value" else "another object"


class Variant:
    """One traced graph, where its inputs come from, and where its outputs go.

    Attributes:
        graph: the traced graph.
        key: argument types and modes that select it.
        guards: the surroundings that it froze.
    """

    def __init__(self, key: tuple, guards: Guards, graph: Graph, labels: Sequence[str]):
        self.key, self.guards, self.graph, self.labels = key, guards, graph, labels
        self.executor = ReferenceExecutor(graph)
        self.sources: list[Where] = []  # one per graph input
        self.cells: list[tuple[Tensor, tuple, bool]] = []  # captured cells: type and requires_grad at the trace
        self.slots: list[tuple[Any, Any]] = []  # captured .grad owners and the type each held at the trace
        self.results: list[int | Any] = []  # per leaf of the result: graph output, or a Python value
        self.structure: Any = None
        self.writes: list[tuple[Where, int]] = []
        self.clears: list[tuple[Any, Any]] = []  # owner, None | CONSUMED
        self.connected: dict[int, int] = {}  # result leaf -> graph output, where a tape is wanted

    def misfit(self) -> str | None:
        """Return which captured tensor or gradient is of another kind than at the trace, or None."""
        for cell, type, wanted in self.cells:
            value = cell._value
            if (value.shape, value.dtype) != type or (cell._node is not None) is not wanted:
                return f"a captured tensor of shape {type[0]} changed its shape, dtype or requires_grad"
        for owner, type in self.slots:
            if isinstance(owner, Tensor) and (_grad_type(owner) != type or owner._grad is CONSUMED):
                return "a gradient is present where there was none, or the other way round"
        return None

    def fits(self) -> bool:
        """Return whether captured state has the types it had at the trace."""
        return self.misfit() is None

    def run(self, leaves: list[Any]) -> Any:
        """Run the graph, then update the state; nothing is updated if the run raises."""
        inputs = [self._input(where, leaves) for where in self.sources]
        outputs = self.executor(inputs)
        results = self._results(leaves, inputs, outputs)
        for (kind, owner), index in self.writes:
            target = leaves[owner] if isinstance(owner, int) else owner
            if kind == "cell":
                target._value = outputs[index]
                target._version += 1
            else:
                target._grad = Tensor(outputs[index])
        for owner, value in self.clears:
            (leaves[owner] if isinstance(owner, int) else owner)._grad = value
        return results

    def _input(self, where: Where, leaves: list[Any]) -> np.ndarray:
        kind, owner = where
        tensor = leaves[owner] if isinstance(owner, int) else owner
        return tensor._grad._value if kind == "grad" else tensor._value

    def _results(self, leaves: list[Any], inputs: list[np.ndarray], outputs: list[np.ndarray]) -> Any:
        items = []
        for item in self.results:
            items.append(Tensor(outputs[item.index]) if isinstance(item, _Output) else item)
        if self.connected and context.local.grad:
            self._connect(leaves, inputs, items)
        return tree.unflatten(self.structure, items)

    def _connect(self, leaves: list[Any], inputs: list[np.ndarray], items: list[Any]) -> None:
        """Put the whole call on the tape as one node, which runs the graph again, recorded, when gradients are asked for."""
        tensors = [leaves[o] if isinstance(o, int) else o for kind, o in self.sources]
        kept = [(value, t._node if kind == "cell" else None, t._index) for value, t, (kind, _) in zip(inputs, tensors, self.sources, strict=True)]
        chosen = sorted(self.connected)
        outs = [items[i] for i in chosen]

        def pull(*upstream: Tensor) -> list[Tensor | None]:
            wants = context.local.grad
            with enable_grad():
                aliases = [bind(PRIMITIVES["identity"], connected(*k)) if k[1] is not None else connected(*k) for k in kept]
                results = evaluate(self.graph, aliases)
                again = [results[self.connected[i]] for i in chosen]
                inner = [alias for alias in aliases if alias._node is not None]
                found = iter(gradients(again, inner, upstream, create_graph=wants))
            return [next(found) if alias._node is not None else None for alias in aliases]

        edges = [None if node is None else (node, index) for _, node, index in kept]
        node = FunctionNode(f"jit {self.graph.name}", pull, edges, [(v.shape, v.dtype) for v in inputs], [(o._value.shape, o._value.dtype) for o in outs])
        for index, out in enumerate(outs):
            out._node, out._index = node, index


class _Output:
    """A leaf of the result that is a graph output."""

    def __init__(self, index: int):
        self.index = index


def _trace(owner: JitFunction, key: tuple, leaves: list[Any], structure: Any) -> Variant:
    """Run the step once with symbols, and return the variant; every cell is as before, whatever happens."""
    tracer = Tracer(owner.__name__)
    proxies: list[Any] = []
    places: dict[int, int] = {}
    for index, leaf in enumerate(leaves):
        proxy = leaf
        if isinstance(leaf, Tensor):
            proxy = _proxy(tracer, leaf)
            places[id(proxy)] = index
        proxies.append(proxy)
    versioned = [leaf for leaf in leaves if isinstance(leaf, Versioned)]
    symbols = [p._value for i, p in enumerate(proxies) if i in places.values()]
    try:
        with tracer:
            args, kwargs = tree.unflatten(structure, proxies)
            result = owner.function(*args, **kwargs)
            out_leaves, out_structure = tree.flatten(result)
            returned = [tracer.read(x) if isinstance(x, Tensor) else x for x in out_leaves]
            wants_tape = [isinstance(x, Tensor) and x._node is not None and x._node.kept is not None for x in out_leaves]
            ends = _state_outputs(tracer, proxies, places, owner.keep_grads)
    finally:
        tracer.restore()
    guards = Guards(owner.function, versioned)
    labels = _labels(owner.function, structure, len(leaves))
    outputs: list[Variable] = []

    def output(v: Variable) -> int:
        outputs.append(v)
        return len(outputs) - 1

    results = [_Output(output(v)) if isinstance(v, Variable) else v for v in returned]
    writes = [(where, output(v)) for where, v in ends[0]]
    captured = list(tracer.captured.values())
    grads = [slot for slot in tracer.grads.values() if slot.read is not None]
    inputs = [*symbols, *(v for _, v in captured), *(slot.read for slot in grads)]
    names = [*(labels[i] for i in sorted(places.values())), *(f"state{i}" for i in range(len(captured))), *(f"grad{i}" for i in range(len(grads)))]
    graph = check(without_dead_code(tracer.graph(inputs, outputs, names)))
    variant = Variant(key, guards, graph, labels)
    place = lambda tensor: places.get(id(tensor), tensor)  # noqa: E731
    variant.sources = [*(("cell", i) for i in sorted(places.values())), *(("cell", t) for t, _ in captured), *(("grad", place(s.owner)) for s in grads)]
    variant.cells = [(t, (t._value.shape, t._value.dtype), t._node is not None) for t, _ in captured]
    variant.slots = [(place(s.owner), _before(s)) for s in tracer.grads.values() if s.was_read]
    variant.results, variant.structure, variant.writes, variant.clears = results, out_structure, writes, ends[1]
    variant.connected = {i: item.index for i, item in enumerate(results) if isinstance(item, _Output) and wants_tape[i]}
    return variant


def _proxy(tracer: Tracer, leaf: Tensor) -> Tensor:
    """Return the tensor that stands for an argument inside the trace."""
    value = leaf._value
    proxy = Tensor(tracer.variable(TensorType(value.shape, dtype_of(value.dtype))))
    if leaf._node is not None:
        proxy._node = Leaf(proxy)
        proxy._grad = leaf._grad
    return proxy


def _before(slot: GradSlot) -> Any:
    return (slot.before.shape, slot.before._value.dtype) if isinstance(slot.before, Tensor) else None


def _state_outputs(tracer: Tracer, proxies: list[Any], places: dict[int, int], keep: bool) -> tuple[list, list]:
    """Return what the step assigned: (writes of cells and gradients, gradients that are cleared or were used up)."""
    writes: list[tuple[Where, Variable]] = []
    clears: list[tuple[Any, Any]] = []
    for cell, *_ in tracer.written.values():
        writes.append((("cell", cell), tracer.read(cell)))
    for index, proxy in enumerate(proxies):
        if id(proxy) in places and proxy._version:
            writes.append((("cell", index), tracer.read(proxy)))
    for slot in tracer.grads.values():
        owner = places.get(id(slot.owner), slot.owner)
        final = slot.owner._grad
        if not slot.written:
            continue
        if final is None:
            clears.append((owner, None))
        elif slot.consumed and not keep:
            clears.append((owner, CONSUMED))
        else:
            writes.append((("grad", owner), tracer.read(final)))
    return writes, clears


def _labels(function: Callable[..., Any], structure: Any, count: int) -> list[str]:
    """Return a name for each argument leaf: the parameter's, with a number where it holds several."""
    code = getattr(function, "__code__", None)
    names = list(code.co_varnames[: code.co_argcount]) if code else []
    if getattr(function, "__self__", None) is not None:
        names = names[1:]
    positional, keyword = structure[2]
    labels: list[str] = []
    parts = [(names[i] if i < len(names) else f"arg{i}", part) for i, part in enumerate(positional[2])]
    parts += list(zip(keyword[1], keyword[2], strict=True))
    for name, part in parts:
        leaves = _count(part)
        labels += [name] if leaves == 1 else [f"{name}.{i}" for i in range(leaves)]
    return labels[:count]


def _count(structure: Any) -> int:
    return 1 if structure == tree.LEAF else sum(map(_count, structure[2]))
