"""Primitives: everything a tensor can do, declared once with all it needs, and the registry of them.

A primitive states, side by side:

- `reference`: its meaning in NumPy, `reference(x, w, *, axis)`. Eager mode runs it. Its positional parameters name the
  inputs, its keyword-only parameters the attributes.
- `shape`: the shape and dtype rule, `shape(x, w, *, axis) -> TensorType`, over `TensorType`s, without data. It alone
  decides shapes, and raises the user-facing error.
- gradient rules, in one of three forms:
    `derivative`: elementwise; one function per input that gives the local derivative. `vjp` and `jvp` follow.
    `transpose` with `linear`: linear in the named inputs; one function per input that maps g back. `jvp` follows.
    `vjp` and `jvp`: for all others.
  The parameters of a rule name what it keeps of the forward pass, and the tape holds nothing else: an input's name
  keeps that input, `y` the output (`y0`, `y1`, ... the outputs of a primitive that has several, whose rules get a tuple
  of gradients), `x_shape` and `x_dtype` only these. Keyword-only parameters are attributes.
- `lower`: what one element of the output is, for the compiler: see `lowering.py`. An elementwise primitive states a
  function of scalars, `lower=lambda k, x1, x2: k.add(x1, x2)`.
- `contraction`: a product of two operands, summed. Its optional attribute `dtype` asks for a result, and sums, wider
  than the operands; `cr.precision` uses it. Gradients of such operands have the wide dtype too.
- `flops`: floating-point operations, from the types of the inputs.
- `samples`, `edges`, `invalid`: what the registry-driven tests run: see `Sample`, `Edge`, `Invalid`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.context import module_path
from chainrule.core.dtypes import DType, bfloat16, dtype_of, float32, float64
from chainrule.core.errors import ChainruleError, user_location
from chainrule.core.lowering import Lowering, Pointwise

__all__ = ["PRIMITIVES", "Edge", "Invalid", "Primitive", "Rule", "Sample", "TensorType", "primitive"]


class TensorType(NamedTuple):
    """The shape and dtype of a tensor without its data; printed like f32[32,784]."""

    shape: tuple[int, ...]
    dtype: DType

    def __str__(self) -> str:
        return f"{self.dtype.short}[{','.join(map(str, self.shape))}]"

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of the data in bytes."""
        return self.size * self.dtype.itemsize


@dataclass(frozen=True)
class Sample:
    """Valid inputs of a primitive for the tests.

    Args:
        inputs: one per input: a shape (random floats), a tuple (shape, low, high) of random floats, or an array.
        attributes: keyword attributes.
        smooth: whether gradients may be compared with central differences here.
    """

    inputs: tuple
    attributes: dict[str, Any] = field(default_factory=dict)
    smooth: bool = True


@dataclass(frozen=True)
class Edge:
    """A kink, tie or singular point with its chosen gradient.

    Args:
        inputs: arrays or numbers (float64).
        gradients: for each input the gradient of the sum of the output, or None.
        attributes: keyword attributes.
        why: the choice in words.
    """

    inputs: tuple
    gradients: tuple
    attributes: dict[str, Any] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True)
class Invalid:
    """Inputs that must be refused, and the message.

    Args:
        inputs: arrays.
        message: the whole message, without the place.
        attributes: keyword attributes.
    """

    inputs: tuple
    message: str
    attributes: dict[str, Any] = field(default_factory=dict)


class Rule:
    """A gradient rule together with what it keeps, read off its own signature."""

    __slots__ = ("attributes", "function", "keeps", "outputs")

    def __init__(self, function: Callable, keeps: tuple[str, ...], attributes: tuple[str, ...]):
        self.function, self.keeps, self.attributes = function, keeps, attributes
        self.outputs = tuple(map(_output, keeps))  # per kept name which output it is, None for an input

    @classmethod
    def of(cls, function: Callable | None, skip: int) -> Rule | None:
        """Read the signature of `function`, whose first `skip` parameters are incoming gradients or tangents."""
        if function is None:
            return None
        parameters = list(inspect.signature(function).parameters.values())[skip:]
        return cls(
            function,
            tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD),
            tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY),
        )


def _output(name: str) -> int | None:
    """Return which output a parameter of a rule names: 0 for y, i for y0, y1, ...; None for an input."""
    if name == "y":
        return 0
    return int(name[1:]) if name[0] == "y" and name[1:].isdigit() else None


class Primitive:
    """One operation with its reference, shape rule and gradient rules; see the module's docstring.

    Made by `primitive(...)`, which also registers it. `name` is unique; `inputs` are the names of the tensor inputs.
    """

    def __init__(self, name: str, reference: Callable, shape: Callable, **options: Any):
        self.name, self.reference, self.shape = name, reference, shape
        parameters = inspect.signature(reference).parameters.values()
        self.inputs = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)  # any number of inputs, like concat
        self.attributes = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        self.multiple: bool = options.pop("multiple", False)  # returns a tuple of tensors
        self.source: str = options.pop("source", "")
        self.flops: Callable = options.pop("flops", lambda *types, **attributes: 0)
        self.elementwise: bool = options.pop("elementwise", False)
        self.contraction: bool = options.pop("contraction", False)
        self.linear: tuple[int, ...] | str = options.pop("linear", ())
        self.samples: Sequence[Sample] = options.pop("samples", ())
        self.edges: Sequence[Edge] = options.pop("edges", ())
        self.invalid: Sequence[Invalid] = options.pop("invalid", ())
        self.effect: bool = options.pop("effect", False)  # must run although nobody reads its output
        self.lower: Lowering | None = options.pop("lower", None)  # without one, compiled code calls the reference
        self.derivatives = _rules(options.pop("derivative", None), 0)
        self.rules = self.derivatives or _rules(options.pop("vjp", None) or options.pop("transpose", None), 1)
        self.pushforward = Rule.of(options.pop("jvp", None), 1)
        if callable(self.lower) and self.elementwise:
            self.lower = Pointwise(self.lower)
        if options:
            raise TypeError(f"primitive {name} does not take {sorted(options)}")
        self._accepted: set = set()

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __reduce__(self) -> tuple:
        return _registered, (self.name,)

    def infer(self, types: Sequence[TensorType], attributes: dict[str, Any]) -> tuple[TensorType, ...]:
        """Return the types of the outputs.

        Raises:
            ChainruleError: the inputs do not fit; the error names the user's line and the module.
        """
        try:
            result = self.shape(*types, **attributes)
        except ChainruleError as error:
            _place(error)
            raise
        return tuple(result) if self.multiple else (result,)

    def accept(self, values: Sequence[Any], attributes: dict[str, Any]) -> None:
        """Check shapes and dtypes of NumPy values; what was accepted once is not checked again."""
        key = (tuple([(v.shape, v.dtype) for v in values]), tuple(attributes.items()) if attributes else None)
        if key not in self._accepted:
            self.infer([TensorType(v.shape, dtype_of(v.dtype)) for v in values], attributes)
            if len(self._accepted) >= 4096:
                self._accepted.clear()
            self._accepted.add(key)

    def run(self, values: Sequence[np.ndarray], attributes: dict[str, Any]) -> list[np.ndarray]:
        """Run the reference; bfloat16 inputs are computed in float32 and rounded once."""
        try:
            with np.errstate(all="ignore"):
                return self.kernel([v.dtype for v in values])(*values, **attributes)
        except ChainruleError as error:
            _place(error)
            raise

    def kernel(self, dtypes: Sequence[np.dtype]) -> Callable[..., list[np.ndarray]]:
        """Return the function that computes the outputs for inputs of these NumPy dtypes, each as an array.

        Whoever calls it silences NumPy's floating-point warnings.
        """
        if bfloat16.numpy in dtypes and (self.contraction or "dtype" not in self.attributes):
            return self._in_float32
        return self._several if self.multiple else self._single

    def _single(self, *values: np.ndarray, **attributes: Any) -> list[np.ndarray]:
        out = self.reference(*values, **attributes)
        return [out if type(out) is np.ndarray else np.asarray(out)]

    def _several(self, *values: np.ndarray, **attributes: Any) -> list[np.ndarray]:
        return [np.asarray(out) for out in self.reference(*values, **attributes)]

    def _in_float32(self, *values: np.ndarray, **attributes: Any) -> list[np.ndarray]:
        if "dtype" in attributes:  # of a contraction, whose reference widens by itself
            return self._single(*values, **attributes)
        low = bfloat16.numpy
        wide = [v.astype(np.float32) if v.dtype == low else v for v in values]
        outputs = (self._several if self.multiple else self._single)(*wide, **attributes)
        return [out.astype(low) if out.dtype == np.float32 else out for out in outputs]


def _place(error: ChainruleError) -> None:
    """Give the error the user's line and the module being called."""
    error.location = error.location or user_location()
    error.module_path = error.module_path or module_path()


def _rules(functions: Any, skip: int) -> tuple[Rule | None, ...]:
    """Return one Rule per input; a single function serves a unary or variadic primitive."""
    if functions is None:
        return ()
    if isinstance(functions, tuple):
        return tuple(Rule.of(function, skip) for function in functions)
    return (Rule.of(functions, skip),)


PRIMITIVES: dict[str, Primitive] = {}


def _registered(name: str) -> Primitive:
    return PRIMITIVES[name]  # what a pickle holds of a primitive is its name


def primitive(name: str, *, reference: Callable, shape: Callable, **options: Any) -> Primitive:
    """Declare and register a primitive; the arguments are those listed at the top of this file.

    Args:
        name: unique name, used in printed graphs and messages.
        reference: NumPy meaning.
        shape: shape and dtype rule.
        options: derivative, linear + transpose, vjp + jvp, flops, lower, samples, edges, invalid, source, multiple,
            effect.

    Returns:
        The registered Primitive, to be passed to `bind`.

    Raises:
        ValueError: the name is taken.

    Example:
        >>> from chainrule.core.primitive import PRIMITIVES
        >>> PRIMITIVES["exp"]
        <primitive exp>
    """
    if name in PRIMITIVES:
        raise ValueError(f"a primitive named {name!r} exists already")
    PRIMITIVES[name] = Primitive(name, reference, shape, **options)
    return PRIMITIVES[name]


def sample_arrays(
    item: Sample | Edge | Invalid, rng: np.random.Generator, dtype: DType = float64
) -> Iterator[np.ndarray]:
    """Yield the inputs of a sample as arrays: shapes become random floats of `dtype`, arrays stay (floats are cast)."""
    for spec in item.inputs:
        if isinstance(spec, tuple):
            shape, low, high = spec if spec and isinstance(spec[0], tuple) else (spec, -2.0, 2.0)
            yield np.asarray(rng.uniform(low, high, shape), dtype=dtype.numpy)
        else:
            array = np.asarray(spec)
            yield array.astype(dtype.numpy) if array.dtype in (float64.numpy, float32.numpy) else array
