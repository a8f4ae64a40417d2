"""A function of tensors as a formula of SymPy: for contrast with automatic differentiation, and for looking at.

The function is traced, and its graph runs once more with symbols in the place of numbers: moves of data, sums and
products work on arrays of symbols as they are, elementwise functions are SymPy's. A formula grows with every operation
and shares nothing, so this is for functions of a few numbers. SymPy comes with `pip install 'chainrule[symbolic]'`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.compiler.jit import jit
from chainrule.core.context import no_grad
from chainrule.core.errors import MissingExtraError, TraceError
from chainrule.core.graph import Equation, Variable
from chainrule.core.tensor import Tensor
from chainrule.ops._inputs import as_tensor

__all__ = ["Formula", "to_sympy"]

# Operations whose NumPy reference works on arrays of symbols.
_AS_THEY_ARE = frozenset(
    [
        "add", "subtract", "multiply", "divide", "negative", "positive", "square", "pow", "matmul", "sum", "prod",
        "cumulative_sum", "cumulative_prod", "reshape", "permute_dims", "broadcast_to", "slice", "concat", "flip",
        "gather", "take_along", "pad", "identity",
    ]
)  # fmt: skip
_NAMED = {
    "exp": "exp", "log": "log", "sin": "sin", "cos": "cos", "tan": "tan", "asin": "asin", "acos": "acos",
    "atan": "atan", "atan2": "atan2", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "asinh": "asinh",
    "acosh": "acosh", "atanh": "atanh", "sqrt": "sqrt", "abs": "Abs", "sign": "sign", "erf": "erf", "erfc": "erfc",
    "maximum": "Max", "minimum": "Min",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Formula:
    """What `to_sympy` returns.

    Attributes:
        expression: a SymPy expression; of a result with axes a NumPy array of them.
        symbols: argument -> its symbol, or the array of its symbols; numbered from 0, like w_0_1.

    Example:
        >>> import importlib.util
        >>> if importlib.util.find_spec("sympy"):
        ...     formula = to_sympy(lambda x: x * x, 3.0)
        ...     assert str(formula.expression.diff(formula.symbols["x"])) == "2*x"
    """

    expression: Any
    symbols: dict[str, Any]


def to_sympy(function: Callable[..., Tensor], *args: Any) -> Formula:
    """Return a function of tensors as a formula in symbols that have the names of its arguments.

    Args:
        function: takes tensors, returns one tensor; it is traced, so no `if` may ask for a value.
        args: tensors, arrays or numbers, for shapes and dtypes; small ones, for each element is a symbol.

    Returns:
        The formula; tensors from outside the arguments are numbers in it.

    Raises:
        MissingExtraError: SymPy is not installed.
        TraceError: an operation that has no formula here, or more than one result.

    Example:
        >>> import importlib.util
        >>> if importlib.util.find_spec("sympy"):
        ...     formula = to_sympy(lambda x, y, z: (x + y) * z, -2.0, 5.0, -4.0)
        ...     assert str(formula.expression) == "z*(x + y)"
    """
    try:
        import sympy
    except ImportError:
        raise MissingExtraError("formulas need SymPy: pip install 'chainrule[symbolic]'.") from None
    tensors = [as_tensor(float(arg)) if isinstance(arg, int | float) else as_tensor(arg).detach() for arg in args]
    step = jit(lambda *inputs: function(*inputs))
    with no_grad():
        result = step(*tensors)
    if not isinstance(result, Tensor):
        raise TraceError(f"a formula is made of one tensor; the function returned {type(result).__name__}.")
    graph, sources = step.graph(), step.variants[-1].sources
    names = _names(function, len(tensors))
    symbols = {name: _symbols(sympy, name, tensor.shape) for name, tensor in zip(names, tensors, strict=True)}
    values: dict[Variable, np.ndarray] = {}
    for variable, (_, source) in zip(graph.inputs, sources, strict=True):
        given = isinstance(source, int)
        values[variable] = symbols[names[source]] if given else _numbers(sympy, source.numpy())
    for equation in graph.equations:
        values[equation.outputs[0]] = _applied(sympy, equation, [_value(sympy, values, v) for v in equation.inputs])
    end = _value(sympy, values, graph.outputs[0])
    return Formula(_bare(end), {name: _bare(array) for name, array in symbols.items()})


def _names(function: Callable[..., Any], count: int) -> list[str]:
    code = getattr(function, "__code__", None)
    names = list(code.co_varnames[: code.co_argcount]) if code is not None else []
    return names[:count] + [f"x{i}" for i in range(len(names), count)]


def _symbols(sympy: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    array = np.empty(shape, dtype=object)
    for index in np.ndindex(shape):
        array[index] = sympy.Symbol("_".join([name, *map(str, index)]), real=True)
    return array


def _numbers(sympy: Any, array: np.ndarray) -> np.ndarray:
    """Return floats as SymPy's numbers, whole ones exactly; integers and booleans stay, for they are indices."""
    if array.dtype.kind in "iub":
        return array
    found = np.empty(array.shape, dtype=object)
    for index in np.ndindex(array.shape):
        value = float(array[index])
        found[index] = sympy.Integer(int(value)) if value.is_integer() else sympy.Float(value)
    return found


def _value(sympy: Any, values: dict[Variable, np.ndarray], variable: Variable) -> np.ndarray:
    if variable not in values:
        values[variable] = _numbers(sympy, np.asarray(variable.constant))
    return values[variable]


def _applied(sympy: Any, equation: Equation, inputs: list[np.ndarray]) -> np.ndarray:
    """Return the output of one operation on symbols."""
    name, reference = equation.primitive.name, equation.primitive.reference
    if all(array.dtype != object for array in inputs) and name != "astype":
        with np.errstate(all="ignore"):
            return np.asarray(reference(*inputs, **equation.attributes))
    if name in _AS_THEY_ARE:
        return np.asarray(reference(*inputs, **equation.attributes), dtype=object)
    if name == "astype":
        return inputs[0] if inputs[0].dtype == object else _numbers(sympy, inputs[0].astype(np.float64))
    special: dict[str, Callable] = {
        "relu": lambda x: sympy.Max(x, 0),
        "sigmoid": lambda x: 1 / (1 + sympy.exp(-x)),
        "softplus": lambda x: sympy.log(1 + sympy.exp(x)),
        "reciprocal": lambda x: 1 / x,
        "rsqrt": lambda x: 1 / sympy.sqrt(x),
        "expm1": lambda x: sympy.exp(x) - 1,
        "log1p": lambda x: sympy.log(1 + x),
    }
    formula = special.get(name) or (getattr(sympy, _NAMED[name]) if name in _NAMED else None)
    if formula is None:
        known = ", ".join(sorted({*_AS_THEY_ARE, *_NAMED, *special}))
        raise TraceError(f"the operation {name} has no formula here; these have: {known}.")
    return np.asarray(np.frompyfunc(formula, len(inputs), 1)(*inputs), dtype=object)


def _bare(array: np.ndarray) -> Any:
    return array.item() if array.ndim == 0 else array
