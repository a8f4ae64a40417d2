"""The engine of the passes: one sweep over the equations in order, with rules that replace an equation.

A rule sees an equation whose inputs are already rewritten and returns a variable of the same type that stands for its
output, or None. What a rule emits goes through the same rules before it is appended, so one sweep reaches everything
that its own rules can reach; it takes time linear in the number of equations. Effects keep their order, for nothing is
ever moved: new equations stand where the replaced one stood. Each new equation has the user's line of the replaced one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Union

import numpy as np

from chainrule.compiler.passes.dead_code import without_dead_code
from chainrule.core.dtypes import dtype_of
from chainrule.core.graph import Equation, Graph, GraphError, Variable, frozen
from chainrule.core.primitive import PRIMITIVES, Primitive, TensorType

__all__ = ["Rewriting", "Rule", "Rules", "rewrite"]

Rule = Callable[["Rewriting", Equation], Union[Variable, tuple[Variable, ...], None]]  # noqa: UP007 - a forward name


class Rules:
    """Rules by primitive, tried in the order in which they were declared; the first that answers wins."""

    def __init__(self) -> None:
        self._entries: list[tuple[Callable[[Primitive], bool], Rule]] = []
        self.found: dict[Primitive, tuple[Rule, ...]] = {}  # what `of` has answered

    def on(self, *names: str) -> Callable[[Rule], Rule]:
        """Declare a rule for the named primitives."""
        return self._declare(lambda p: p.name in names)

    def on_elementwise(self) -> Callable[[Rule], Rule]:
        """Declare a rule for all elementwise primitives but `barrier`, through which no pass looks."""
        return self._declare(lambda p: p.elementwise and p.name != "barrier")

    def on_all(self) -> Callable[[Rule], Rule]:
        """Declare a rule for all primitives but effects and `barrier`."""
        return self._declare(lambda p: not p.effect and p.name != "barrier")

    def of(self, primitive: Primitive) -> tuple[Rule, ...]:
        """Return the rules for a primitive."""
        if primitive not in self.found:
            self.found[primitive] = tuple(rule for wanted, rule in self._entries if wanted(primitive))
        return self.found[primitive]

    def _declare(self, wanted: Callable[[Primitive], bool]) -> Callable[[Rule], Rule]:
        def declare(rule: Rule) -> Rule:
            self._entries.append((wanted, rule))
            self.found.clear()
            return rule

        return declare


def rewrite(graph: Graph, rules: Rules) -> Graph:
    """Return the graph after one sweep of some rules; the same object if none of them found anything."""
    return Rewriting(graph, rules).run()


class Rewriting:
    """A sweep in progress: what the new graph holds so far, and how often each value is used.

    Args:
        graph: a checked graph.
        rules: what to do.

    Attributes:
        equations: of the new graph so far; some may be dead already.
        uses: value -> how many equations and outputs read it, as far as is known.
    """

    def __init__(self, graph: Graph, rules: Rules):
        self.graph, self.rules = graph, rules
        self.equations: list[Equation] = []
        self.uses: dict[Variable, int] = {}
        self._maker: dict[Variable, Equation] = {}
        self._replaced: dict[Variable, Variable] = {}
        self._dropped: set[Variable] = set()  # values whose last reader went
        self._like: Equation | None = None
        uses = self.uses
        for equation in graph.equations:
            for v in equation.inputs:
                uses[v] = uses.get(v, 0) + 1
        for v in graph.outputs:
            uses[v] = uses.get(v, 0) + 1

    def run(self) -> Graph:
        """Return the new graph, without dead code."""
        replaced, maker, found = self._replaced, self._maker, self.rules.found
        append = self.equations.append
        for original in self.graph.equations:
            equation = original
            if replaced and not replaced.keys().isdisjoint(original.inputs):
                equation = _with_inputs(original, tuple([replaced.get(v, v) for v in original.inputs]))
            primitive = equation.primitive
            rules = found[primitive] if primitive in found else self.rules.of(primitive)
            if rules and (result := self._applied(rules, equation)) is not None:
                self._replace(equation, result)
                continue
            append(equation)
            for v in equation.outputs:
                maker[v] = equation
        if not replaced:
            return self.graph
        graph = self.graph
        outputs = tuple([replaced.get(v, v) for v in graph.outputs])
        return without_dead_code(Graph(graph.name, graph.inputs, tuple(self.equations), outputs, graph.labels))

    # ------------------------------------------------------------------------------------------------ for the rules
    def maker(self, v: Variable, *names: str) -> Equation | None:
        """Return the equation that makes a value, if it is of one of the named primitives; without names any."""
        equation = self._maker.get(v)
        return equation if equation is not None and (not names or equation.primitive.name in names) else None

    def used_once(self, v: Variable) -> bool:
        """Return whether the equation at hand is the only reader of a value."""
        return self.uses.get(v, 0) == 1

    def abandon(self, v: Variable) -> None:
        """Note that the equation at hand, the only reader of a value, will be replaced by one that does not read it."""
        if v in self._maker and v not in self._dropped:
            self._dropped.add(v)
            for source in self._maker[v].inputs:
                self.uses[source] -= 1  # and no further: what replaces it reads on from here

    def emit(self, primitive: str | Primitive, *inputs: Variable, **attributes: Any) -> Variable:
        """Return the output of a new equation, or what the rules make of it.

        Raises:
            ShapeError, DTypeError: the inputs do not fit; then a rule is wrong.
        """
        p = PRIMITIVES[primitive] if isinstance(primitive, str) else primitive
        like = self._like
        assert like is not None
        (type,) = p.infer([v.type for v in inputs], attributes)
        output = Variable(type, like.source, like.outputs[0].owner)
        equation = Equation(p, tuple(inputs), frozen(attributes), (output,), like.source, like.module)
        for v in inputs:
            self._acquire(v)
        rules = self.rules.of(p)
        result = self._tried(rules, equation) if rules else None
        if result is not None:
            _expect(equation, (result,))
            self._acquire(result)
            for v in inputs:
                self._release(v)
            self.uses[result] -= 1  # whoever asked for it will read it
            return result
        self.equations.append(equation)
        self._maker[output] = equation
        return output

    def same(self, equation: Equation, *inputs: Variable) -> Variable:
        """Return the output of the same operation on other inputs."""
        return self.emit(equation.primitive, *inputs, **equation.attributes)

    def constant(self, array: np.ndarray) -> Variable:
        """Return a value whose data is known."""
        like = self._like
        assert like is not None
        type = TensorType(array.shape, dtype_of(array.dtype))
        return Variable(type, like.source, like.outputs[0].owner, array)

    def reshaped(self, v: Variable, shape: Sequence[int]) -> Variable:
        """Return a value in another shape; itself if it has it."""
        return v if v.shape == tuple(shape) else self.emit("reshape", v, shape=tuple(shape))

    def spread(self, v: Variable, shape: Sequence[int]) -> Variable:
        """Return a value broadcast to a shape; itself if it has it."""
        return v if v.shape == tuple(shape) else self.emit("broadcast_to", v, shape=tuple(shape))

    def permuted(self, v: Variable, axes: Sequence[int]) -> Variable:
        """Return a value with its axes in another order; itself if it is the same order."""
        return v if list(axes) == list(range(len(axes))) else self.emit("permute_dims", v, axes=tuple(axes))

    # ------------------------------------------------------------------------------------------------ inside
    def _applied(self, rules: tuple[Rule, ...], equation: Equation) -> tuple[Variable, ...] | None:
        self._like = equation
        for rule in rules:
            result = rule(self, equation)
            if result is not None:
                return result if isinstance(result, tuple) else (result,)
        return None

    def _tried(self, rules: tuple[Rule, ...], equation: Equation) -> Variable | None:
        """Apply rules to an equation that a rule emits; what they emit has the place of the outermost one."""
        for rule in rules:
            result = rule(self, equation)
            if result is not None:
                return result[0] if isinstance(result, tuple) else result
        return None

    def _replace(self, equation: Equation, results: tuple[Variable, ...]) -> None:
        _expect(equation, results)
        for old, new in zip(equation.outputs, results, strict=True):
            self._replaced[old] = new
            count = self.uses.get(old, 0)
            if count:
                self._acquire(new, count)
        for v in equation.inputs:
            self._release(v)

    def _acquire(self, v: Variable, count: int = 1) -> None:
        """Count more readers; what was dropped and is read again reads its own inputs again."""
        self.uses[v] = self.uses.get(v, 0) + count
        revived = [v] if v in self._dropped else []
        while revived:
            v = revived.pop()
            self._dropped.discard(v)
            for source in self._maker[v].inputs:
                self.uses[source] = self.uses.get(source, 0) + 1
                if source in self._dropped:
                    revived.append(source)

    def _release(self, v: Variable) -> None:
        """Count one reader less; what nobody reads any more reads nothing itself."""
        released = [v]
        while released:
            v = released.pop()
            self.uses[v] = count = self.uses.get(v, 1) - 1
            equation = self._maker.get(v)
            if count or equation is None or v in self._dropped:
                continue
            if len(equation.outputs) == 1 and not equation.effect:
                self._dropped.add(v)
                released.extend(equation.inputs)


def _with_inputs(equation: Equation, inputs: tuple[Variable, ...]) -> Equation:
    return Equation(equation.primitive, inputs, equation.attributes, equation.outputs, equation.source, equation.module)


def _expect(equation: Equation, results: tuple[Variable, ...]) -> None:
    """Refuse a replacement of another type: always looked at, for it costs nothing."""
    for old, new in zip(equation.outputs, results, strict=True):
        if old.type != new.type:
            raise GraphError(
                f"a pass replaces {equation.primitive.name} of type {old.type} by a value of type {new.type}"
            )
