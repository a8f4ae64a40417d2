"""`cr.jit`: trace a whole step once, state included, and run the graph from then on.

A `Variant` is one traced graph with what selects it: the types of the arguments, the frozen surroundings (guards), the
gradient mode, the precision and the presence of gradients that it reads. A call finds its variant or traces a new one,
and says why.
"""

from __future__ import annotations

import copy
import functools
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.compiler.caller import MISS, Caller
from chainrule.compiler.guards import SCALARS
from chainrule.compiler.many import many
from chainrule.compiler.static import Static, StaticNames
from chainrule.compiler.trace import is_argument, trace
from chainrule.compiler.variant import Variant, grad_kind, grad_type
from chainrule.core import context, tree
from chainrule.core.config import shows
from chainrule.core.context import Versioned
from chainrule.core.dtypes import dtype_of
from chainrule.core.errors import TraceError
from chainrule.core.graph import Graph
from chainrule.core.precision import Operands, name_of, operand_dtype
from chainrule.core.primitive import TensorType
from chainrule.core.tensor import Tensor

if TYPE_CHECKING:
    from chainrule.compiler.explanation import Explanation

__all__ = ["JitFunction", "jit"]


def jit(
    function: Callable[..., Any] | None = None,
    *,
    keep_grads: bool = False,
    precision: str | None = None,
    static_argnames: str | Sequence[str] = (),
) -> Any:
    """Trace a step of tensor operations once, and run the traced graph on later calls.

    Forward, backward and optimizer may all be inside: tensors that the step assigns (parameters, optimizer slots,
    statistics, the generator) are updated by the graph. The result is that of the eager step.

    Args:
        function: any Python function of tensors, numbers, modules and nested containers of them.
        keep_grads: keep gradients that an optimizer inside the step used up, so that `.grad` can be read afterwards;
            default False.
        precision: "float32" or "bf16", as in `cr.precision`; default None, that of the call's surroundings.
        static_argnames: parameters whose arguments select a compiled variant by equality: settings in a hashable
            object, say. Numbers, strings and booleans do so without being named, other objects by identity.

    Returns:
        A `JitFunction`; used with keywords only, a decorator.

    Raises:
        SettingError: an unknown precision.
        TraceError: at the first call, if the step asks for a value that does not exist yet (`.item()`, `if tensor:`);
            a static argument that can't be hashed.
        ValueError: the function has no parameter of a name in `static_argnames`.

    Example:
        >>> import chainrule as cr
        >>> @cr.jit
        ... def f(x):
        ...     return (x * x).sum()
        >>> f(cr.asarray([1.0, 2.0]))
        tensor(5., shape=(), dtype=float32)
    """
    if function is None:
        return functools.partial(jit, keep_grads=keep_grads, precision=precision, static_argnames=static_argnames)
    return JitFunction(function, keep_grads, precision, static_argnames)


MOST_VARIANTS = 32  # traced graphs kept per function; the oldest goes first


class JitFunction:
    """A step with its traced variants; made by `cr.jit`, called like the step.

    Args:
        function: the Python step.
        keep_grads: whether consumed gradients stay readable.
        precision: that of its matrix products and convolutions; default None, that of a call's surroundings.
        static_argnames: parameters whose arguments select a variant by equality; default none.

    Attributes:
        variants: the traced graphs, newest last.

    Example:
        >>> import chainrule as cr
        >>> f = cr.jit(lambda x: x + 1)
        >>> f(cr.ones(2)), len(f.variants)
        (tensor([2., 2.], shape=(2,), dtype=float32), 1)
    """

    def __init__(
        self,
        function: Callable[..., Any],
        keep_grads: bool = False,
        precision: str | None = None,
        static_argnames: str | Sequence[str] = (),
    ):
        functools.update_wrapper(self, function, updated=())
        self.__name__ = getattr(function, "__name__", type(function).__name__)  # a partial or a module has none
        self.function = function
        self.keep_grads = keep_grads
        self.precision = precision
        self.static_argnames = static_argnames
        self._static = StaticNames(function, static_argnames)
        self._operands = None if precision is None else operand_dtype(precision, "jit.precision")
        self.variants: list[Variant] = []
        self.retraces: list[str] = []
        self._fast: tuple[Caller, bool, Any] | None = None

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        bound = JitFunction(
            self.function.__get__(instance, owner), self.keep_grads, self.precision, self.static_argnames
        )
        instance.__dict__[self.__name__] = bound  # one set of variants per object
        return bound

    def __deepcopy__(self, memo: dict) -> JitFunction:
        # graphs belong to the original's state
        return JitFunction(copy.deepcopy(self.function, memo), self.keep_grads, self.precision, self.static_argnames)

    def __reduce__(self) -> Any:
        """Pickle by name, as a method of its object, or by the function that it compiles; graphs are traced anew."""
        receiver = getattr(self.function, "__self__", None)
        if getattr(receiver, "__dict__", {}).get(self.__name__) is self and hasattr(type(receiver), self.__name__):
            return getattr, (receiver, self.__name__)
        name = getattr(self, "__qualname__", self.__name__)
        found: Any = sys.modules.get(getattr(self, "__module__", ""))
        for part in name.split("."):
            found = getattr(found, part, None)
        return (
            name
            if found is self
            else (JitFunction, (self.function, self.keep_grads, self.precision, self.static_argnames))
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the step; arguments and result are those of the Python function."""
        local = context.local
        operands = local.precision if self.precision is None else self._operands
        if local.interpreter is not None or local.transform is not None:
            with Operands(operands):
                return self.function(*args, **kwargs)  # part of the trace, jvp or vmap around it
        fast = self._fast
        if fast is not None and not kwargs and fast[1] is local.grad and fast[2] is operands:
            result = fast[0](args) if len(args) == fast[0].count else MISS
            if result is not MISS:
                return result
        variant, leaves = self._variant(args, kwargs, operands)
        result = variant.run(leaves)
        self._fast = None
        if not kwargs and variant.caller is not None and len(args) == variant.caller.count:
            self._fast = variant.caller, local.grad, operands
        return result

    def many(self, *arguments: Any, indices: Any = None, partial: bool = False) -> Any:
        """Run the step many times in few native calls: as a loop over rows would, without any Python per step.

            for k in range(steps):  step(x[k], y[k], ...)                      without indices
            for k in range(steps):  step(x[indices[k]], y[indices[k]], ...)    with indices [steps, batch]

        The steps are those that single calls would run, bit for bit. Between native calls of about 50 ms Python answers
        Ctrl-C; the state is then that after a whole step. Integer data stay as they are in memory: convert and scale
        inside the step. A step that can't run so (it calls Python back, its state is shared or its gradients are kept)
        is called in a loop.

        Args:
            *arguments: arrays or tensors, one per parameter: [steps, ...], or [n, ...] with indices; all of equal
                length. NumPy arrays are read where they lie, memory-mapped ones too.
            indices: integers [steps, batch] in [0, n): which rows make the batch of each step; default none.
            partial: return after one native call, with the results of the steps done by then, at least one; what comes
                next is for another call. Default False, all steps.

        Returns:
            What the step returns, with each tensor stacked: [steps, ...]; other values as the last step gave them. No
            gradient flows back from it.

        Raises:
            ShapeError: no arguments or steps, unequal lengths, indices of another shape or dtype, results that
                can't be stacked.
            IndexRangeError: an index out of range; nothing was run.
            GradientError: an argument requires a gradient.
            TraceError: called inside a trace.
            TypeError: an argument is neither an array nor a tensor.
            ChainruleError: a step refuses its batch (a label out of range, a NaN loss); a note says which. The steps
                before it are done, and it has changed nothing. With `partial` it is raised by the call that begins
                with it.

        Example:
            >>> import chainrule as cr
            >>> total = cr.asarray(0.0)
            >>> @cr.jit
            ... def add(x):
            ...     total.assign_(total + x.sum())
            ...     return total
            >>> add.many(cr.asarray([[1.0, 2.0], [3.0, 4.0]]), indices=[[0], [1], [0]]).tolist()
            [3.0, 10.0, 13.0]
        """
        return many(self, arguments, indices, partial)

    def _variant(self, args: tuple, kwargs: dict, operands: Any) -> tuple[Variant, list[Any]]:
        """Return the variant for a call, traced if there is none yet, and the leaves of its arguments."""
        leaves, structure = tree.flatten(self._static.marked(args, kwargs))
        leaves = [Tensor(np.array(leaf)) if isinstance(leaf, np.ndarray) else leaf for leaf in leaves]
        key = (structure, context.local.grad, tuple([_describe(leaf) for leaf in leaves]), operands)
        return self._find(key) or self._trace(key, leaves, structure), leaves

    def _find(self, key: tuple) -> Variant | None:
        for variant in reversed(self.variants):
            if variant.key == key and variant.guards.changed() is None and variant.fits():
                return variant
        return None

    def _trace(self, key: tuple, leaves: list[Any], structure: Any) -> Variant:
        reason = self._reason(key)
        with Operands(key[3]):
            variant = trace(self.function, self.__name__, key, leaves, structure, self.keep_grads)
        variant.objects = [leaf for leaf in leaves if not is_argument(leaf)]
        self.variants = [*self.variants[1 - MOST_VARIANTS :], variant]  # one that fits again later is found again
        if reason:
            self.retraces.append(reason)
        if shows("graph"):
            sys.stderr.write(f"{variant.graph}\n")
        if shows("retrace") and reason:
            sys.stderr.write(f"retrace: {self.__name__}, trace {len(self.retraces) + 1}: {reason}\n")
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
        if last.key[3] is not key[3]:
            return f"the precision was {name_of(last.key[3])}, now {name_of(key[3])}"
        position = next(i for i, (a, b) in enumerate(zip(last.key[2], key[2], strict=True)) if a != b)
        was, now = last.key[2][position], key[2][position]
        return f"argument {last.labels[position]} was {_words(was)}, now {_words(now)}"

    def explain(self, *args: Any, measure: bool = True, **kwargs: Any) -> Explanation:
        """Return what the compiled step consists of: its kernels, what each fuses, moves and takes, and how fast it is.

        The step runs on copies, whole and with a look at the clock between its kernels: the state stays as it is, and
        the random generator too.

        Args:
            *args, **kwargs: arguments of a call, which is compiled if it was not yet, and not run; default those of
                the newest variant, with random numbers in their place.
            measure: whether to run the kernels, for some seconds; default True.

        Returns:
            An `Explanation`: its `rows` hold the numbers, and printing it gives a table.

        Raises:
            TraceError: without arguments, if the function was never called; where this system runs no compiled code.
            MemoryError: there is no memory for a second set of temporaries.

        Example:
            >>> import chainrule as cr
            >>> f = cr.jit(lambda x: cr.exp(x).sum() * 2)
            >>> plan = f.explain(cr.ones((64, 64)), measure=False)
            >>> [row.name for row in plan.rows], plan.flops > 64 * 64
            (['exp + sum + multiply'], True)
        """
        operands = context.local.precision if self.precision is None else self._operands
        if not args and not kwargs:
            self.graph()
            return self.variants[-1].explain(None, measure)
        variant, leaves = self._variant(args, kwargs, operands)
        return variant.explain(leaves, measure)

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
        arguments = {last.labels[i]: _number(leaf) for i, leaf in enumerate(last.key[2]) if leaf[0] == "value"}
        return {**last.guards.frozen, **arguments}


def _describe(leaf: Any) -> tuple:
    """Return what a variant depends on in one argument."""
    if is_argument(leaf):
        value = leaf._value
        return ("tensor", value.shape, value.dtype, grad_kind(leaf), leaf._node is not None and grad_type(leaf))
    if type(leaf) is Static:
        return ("static", leaf.value, type(leaf.value))
    if isinstance(leaf, SCALARS):
        return ("value", leaf.hex() if isinstance(leaf, float) else leaf, type(leaf))  # -0.0 is not 0.0, NaN is NaN
    if isinstance(leaf, Versioned):
        return ("object", id(leaf), leaf._fingerprint())
    return ("object", id(leaf), ())


def _words(description: tuple) -> str:
    if description[0] == "tensor":
        kind = str(TensorType(description[1], dtype_of(description[2])))
        return kind + (" that requires a gradient" if description[3] else "")
    if description[0] == "static":
        return repr(description[1])
    return repr(_number(description)) if description[0] == "value" else "another object"


def _number(description: tuple) -> Any:
    """Return the Python value that a description stands for."""
    return float.fromhex(description[1]) if description[2] is float else description[1]
