"""The table of a network: one row per layer with shapes, parameters, bytes, FLOPs and receptive field.

The network runs once through the tracer, so shapes and FLOPs follow from the primitives' rules and nothing is computed;
the state is as before. The receptive field (how many input positions an output can see, from where on, and how far the
fields of neighbouring outputs stand apart) follows the data through layers and operations, with the rules of
`_reach.py`. Where paths join, what both see together counts: of branches around one centre the largest. What is
unknown counts as everything ("all"); statistics of normalisation layers are left out, as everywhere in the literature.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.core import tree
from chainrule.core.context import no_grad
from chainrule.core.dtypes import DType, dtype_of, float32, to_dtype
from chainrule.core.graph import Equation, Variable
from chainrule.core.primitive import TensorType
from chainrule.core.tensor import Tensor
from chainrule.core.tracer import Tracer
from chainrule.nn._reach import HERE, Fields, ReceptiveField, after, joined, layer_fields, primitive_fields
from chainrule.nn.module import Module

__all__ = ["LayerRow", "Summary", "summarize"]


@dataclass(frozen=True)
class LayerRow:
    """One call of a layer.

    Attributes:
        path: where the layer is, like "encoder.0"; empty for the module itself.
        kind: its class.
        inputs: shapes of its tensor arguments.
        outputs: shapes of its results.
        parameters: number of trained and frozen numbers; 0 in a second call of the same layer.
        bytes: of parameters and buffers.
        flops: floating-point operations of this call, for the given batch.
        receptive_field: positions of the network's input that one output sees, like "5x5", or "all".
        jump: distance of neighbouring outputs in the network's input, like "2x2"; "-" where that means nothing.
        start: the first position that the first output sees, negative in the padding, like "-1x-1"; "-" likewise.
        fields: per spatial axis a `chainrule.explain.receptive_field.ReceptiveField` or "all"; empty where no input
            arrives.

    Example:
        >>> import chainrule as cr
        >>> row = cr.nn.Sequential(cr.nn.Linear(3, 2)).summary((1, 3)).rows[0]
        >>> row.path, row.kind, row.outputs, row.parameters
        ('0', 'Linear', ((1, 2),), 8)
    """

    path: str
    kind: str
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]
    parameters: int
    bytes: int
    flops: int
    receptive_field: str
    jump: str = "-"
    start: str = "-"
    fields: Fields = ()


@dataclass(frozen=True)
class Summary:
    """What `Module.summary` returns: rows and totals; printed, it is a table.

    Attributes:
        rows: one per call of a layer, in order of the computation.
        parameters: number of all parameters, a shared one once.
        trainable: number of those that require a gradient.
        bytes: of all parameters and buffers.
        flops: floating-point operations of one forward pass of the given batch.

    Example:
        >>> import chainrule as cr
        >>> table = cr.nn.Linear(3, 2).summary((1, 3))
        >>> table.parameters, table.bytes
        (8, 32)
    """

    rows: tuple[LayerRow, ...]
    parameters: int
    trainable: int
    bytes: int
    flops: int

    def __str__(self) -> str:
        head, rows = self._table()
        return "\n".join([*_text_table([head, *rows]), self._totals()])

    __repr__ = __str__

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return head and rows; a network without windows has no columns for where they stand."""
        shown = len(_HEAD) if any(row.jump != "-" for row in self.rows) else len(_HEAD) - 2
        return _HEAD[:shown], [_cells(row)[:shown] for row in self.rows]

    def _totals(self) -> str:
        frozen = self.parameters - self.trainable
        note = f" ({frozen:,} frozen)" if frozen else ""
        return f"{self.parameters:,} parameters{note}, {_size(self.bytes)}, {self.flops:,} FLOPs"

    def _repr_html_(self) -> str:
        names, rows = self._table()
        head = "".join(f"<th>{html.escape(text)}</th>" for text in names)
        body = "".join(
            "<tr>"
            + "".join(f'<td style="text-align:{side}">{html.escape(text)}</td>' for text, side in zip(cells, _SIDES))
            + "</tr>"
            for cells in rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{html.escape(self._totals())}</p>"


_HEAD = ("path", "layer", "input", "output", "parameters", "bytes", "FLOPs", "receptive field", "jump", "start")
_SIDES = ("left", "left", "left", "left", "right", "right", "right", "right", "right", "right")


def _cells(row: LayerRow) -> tuple[str, ...]:
    shapes = [", ".join(map(str, part)) or "-" for part in (row.inputs, row.outputs)]
    counts = [f"{row.parameters:,}", _size(row.bytes), f"{row.flops:,}"]
    return (row.path or "(all)", row.kind, *shapes, *counts, row.receptive_field, row.jump, row.start)


def _text_table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [text.ljust(w) if side == "left" else text.rjust(w) for text, w, side in zip(row, widths, _SIDES)]
        lines.append("  ".join(cells).rstrip())
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return [lines[0], rule, *lines[1:], rule]


def _size(count: int) -> str:
    amount, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{amount:.1f} {units[0]}" if units[0] != "B" else f"{count} B"


# ------------------------------------------------------------------------------------------- running through the tracer
@dataclass
class _Call:
    """One call of a layer while tracing: which equations belong to it, and what went in and out."""

    module: Module
    number: int  # in order of entering
    start: int
    inputs: list[Variable]
    outputs: list[Variable] = field(default_factory=list)
    end: int = 0
    inner: int = 0  # FLOPs of layers inside this one, which have rows of their own


def summarize(module: Module, *inputs: Any, dtype: Any = None) -> Summary:
    """Return the table of a module; see `Module.summary`.

    Args:
        module: the network.
        *inputs: shapes or sample tensors, one per argument of forward.
        dtype: of inputs given as shapes; default that of the first parameter.

    Returns:
        The summary.

    Raises:
        ShapeError, DTypeError: the layers do not fit together; names the layer.

    Example:
        >>> import chainrule as cr
        >>> print(summarize(cr.nn.Sequential(cr.nn.Linear(4, 2)), (1, 4)))
        path  layer   input   output  parameters  bytes  FLOPs  receptive field
        -----------------------------------------------------------------------
        0     Linear  (1, 4)  (1, 2)          10   40 B     18              all
        -----------------------------------------------------------------------
        10 parameters, 40 B, 18 FLOPs
    """
    first = next(module.parameters(), None)
    default = to_dtype(dtype) if dtype is not None else first.dtype if first is not None else float32
    tracer = Tracer(type(module).__name__)
    calls: list[_Call] = []
    try:
        with no_grad(), tracer:
            arguments = [Tensor(tracer.variable(_input_type(item, default))) for item in inputs]
            symbols = [argument._value for argument in arguments]
            _traced(module, arguments, tracer, calls)
    finally:
        tracer.restore()
    fields = _fields(tracer, symbols, calls)
    return _summary(module, tracer, calls, fields)


def _input_type(item: Any, default: DType) -> TensorType:
    if isinstance(item, Tensor):
        return TensorType(item.shape, item.dtype)
    if isinstance(item, np.ndarray):
        return TensorType(item.shape, dtype_of(item.dtype))
    if isinstance(item, tuple | list) and all(isinstance(n, int) and n >= 0 for n in item):
        return TensorType(tuple(item), default)
    raise TypeError(f"summary takes shapes like (32, 784) or sample tensors; got {item!r}.")


def _traced(module: Module, arguments: list[Tensor], tracer: Tracer, calls: list[_Call]) -> None:
    """Run the module with hooks that note each call; the hooks are no change of structure, and go away again."""
    open_calls: list[_Call] = []
    numbers = itertools.count()

    def enter(layer: Module, args: tuple) -> None:
        open_calls.append(_Call(layer, next(numbers), len(tracer.equations), _variables(args, tracer)))

    def leave(layer: Module, args: tuple, output: Any) -> None:
        call = open_calls.pop()
        call.outputs, call.end = _variables(output, tracer), len(tracer.equations)
        if open_calls:
            open_calls[-1].inner += _flops(tracer, call)
        calls.append(call)

    layers = [m for m in module.modules() if not m._modules or any(p is not None for p in m._parameters.values())]
    try:
        for layer in layers:
            layer._forward_pre_hooks["summary"] = enter
            layer._forward_hooks["summary"] = leave
        module(*arguments)
    finally:
        for layer in layers:
            layer._forward_pre_hooks.pop("summary", None)
            layer._forward_hooks.pop("summary", None)


def _variables(values: Any, tracer: Tracer) -> list[Variable]:
    leaves, _ = tree.flatten(values)
    return [tracer.read(leaf) for leaf in leaves if isinstance(leaf, Tensor)]


def _flops(tracer: Tracer, call: _Call) -> int:
    return sum(equation.flops for equation in tracer.equations[call.start : call.end])


def _summary(module: Module, tracer: Tracer, calls: list[_Call], fields: list[Fields]) -> Summary:
    paths = {id(part): path for path, part in reversed(list(module.named_modules(remove_duplicate=False)))}
    seen: set[int] = set()
    rows = []
    for call, reached in sorted(zip(calls, fields), key=lambda item: item[0].number):
        own = [p for p in call.module._parameters.values() if p is not None and id(p) not in seen]
        held = [b for b in call.module._buffers.values() if b is not None and id(b) not in seen]
        seen.update(id(entry) for entry in (*own, *held))
        rows.append(
            LayerRow(
                path=paths[id(call.module)],
                kind=type(call.module).__name__,
                inputs=tuple(v.shape for v in call.inputs),
                outputs=tuple(v.shape for v in call.outputs),
                parameters=sum(p.size for p in own),
                bytes=sum(entry.nbytes for entry in (*own, *held)),
                flops=_flops(tracer, call) - call.inner,
                receptive_field=_words(reached, lambda axis: axis.size),
                jump=_where(reached, lambda axis: axis.jump),
                start=_where(reached, lambda axis: axis.start),
                fields=reached,
            )
        )
    flops = sum(equation.flops for equation in tracer.equations)
    rest = flops - sum(row.flops for row in rows)
    if rest:
        rows.append(LayerRow("", "(operations outside layers)", (), (), 0, 0, rest, "-"))
    parameters = list(module.parameters())
    trainable = sum(p.size for p in parameters if p.requires_grad)
    size = sum(entry.nbytes for entry in (*parameters, *module.buffers()))
    return Summary(tuple(rows), sum(p.size for p in parameters), trainable, size, flops)


# ---------------------------------------------------------------------------------------------------- receptive field
def _fields(tracer: Tracer, inputs: list[Variable], calls: list[_Call]) -> list[Fields]:
    """Return the receptive fields after each call, by following the data through the equations."""
    known: dict[Variable, Fields] = dict.fromkeys(inputs, (HERE,))
    whole: dict[Variable, np.ndarray] = {}  # integers that do not depend on data: indices of resampling
    found: list[Fields] = []
    left = iter(calls)  # in the order in which they ended
    call = next(left, None)
    for number in range(len(tracer.equations) + 1):
        while call is not None and call.end == number:
            arriving = [known[v] for v in call.inputs if v in known]
            if arriving and call.outputs:
                read = layer_fields(call.module, call.inputs[0].shape, call.outputs[0].shape)
                if read is not None:
                    known.update(dict.fromkeys(call.outputs, after(joined(arriving), read)))
            leaving = [known[v] for v in call.outputs if v in known]
            found.append(joined(leaving) if leaving else ())
            call = next(left, None)
        if number < len(tracer.equations):
            _follow(tracer.equations[number], known, whole)
    return found


def _follow(equation: Equation, known: dict[Variable, Fields], whole: dict[Variable, np.ndarray]) -> None:
    """Note what the outputs of an equation see, or which integers they are."""
    arriving = [known[v] for v in equation.inputs if v in known]
    given = [v.constant if v.constant is not None else whole.get(v) for v in equation.inputs]
    if not arriving:
        [first, *more] = equation.outputs
        plain = not (more or equation.graphs or equation.primitive.effect) and first.size <= 1 << 16
        if plain and first.dtype.kind in "ib" and all(value is not None for value in given):
            whole[first] = np.asarray(equation.primitive.reference(*given, **equation.attributes))
        return
    if equation.primitive.name == "window_pick" and equation.inputs[0] in known:
        arriving = [known[equation.inputs[0]]]  # where the picked elements stand was found in the same windows
    looked_up = equation.primitive.name == "gather" and equation.inputs[0] not in known  # a table's row per index
    read = None if looked_up else primitive_fields(equation, given[-1])
    reached = joined(arriving) if read is None else after(joined(arriving), read)
    known.update(dict.fromkeys(equation.outputs, reached))


def _words(reached: Fields, value: Callable[[ReceptiveField], Any]) -> str:
    words = [axis if isinstance(axis, str) else str(value(axis)) for axis in reached]
    return "x".join(words) if len(set(words)) > 1 or words != ["all"] * len(words) else "all" if words else "-"


def _where(reached: Fields, value: Callable[[ReceptiveField], Any]) -> str:
    return "-" if reached in ((), (HERE,)) or "all" in reached else _words(reached, value)
