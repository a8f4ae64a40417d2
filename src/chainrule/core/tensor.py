"""The Tensor: a cell that holds an immutable buffer, a version, and where it came from.

Eagerly the buffer is a NumPy array; while tracing it is a symbol of the graph. Assigning puts a new buffer into the
cell: a buffer that a tape, a view or an export holds never changes. Operators and methods are attached by
`chainrule.ops.operators`, `backward` by `chainrule.autodiff`.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.core import context, tape
from chainrule.core.dtypes import DType, dtype_of
from chainrule.core.errors import DTypeError, GradientError, ShapeError, TraceError, user_location
from chainrule.core.levels import Lifted
from chainrule.core.tape import Leaf, Node

if TYPE_CHECKING:  # operators and methods that the upper floors attach; written by tools/make_attached_types.py
    from chainrule.core._attached import Attached as _Attached
else:
    _Attached = object

__all__ = ["Device", "Parameter", "Tensor"]

local = context.local


class Device(str):
    """The place where a tensor lives; today always "cpu"."""

    __slots__ = ()


CPU = Device("cpu")


class _Consumed:
    """Stands in `.grad` for a gradient that a compiled step used up in its optimizer update."""

    def __repr__(self) -> str:
        return "<gradient not kept>"


CONSUMED = _Consumed()


class Tensor(_Attached):
    """An n-dimensional array that remembers how it was made, if a gradient is wanted.

    Make tensors with `cr.asarray`, `cr.zeros`, `cr.arange` and their like. Arithmetic, comparison, indexing and the
    functions of `cr` work elementwise as in the Python Array API standard.

    Attributes:
        shape: sizes of the axes.
        dtype: the element type, like `cr.float32`.
        requires_grad: whether operations on it are recorded.
        grad: the gradient of a leaf after `backward`, or None.

    Example:
        >>> import chainrule as cr
        >>> x = cr.asarray([1.0, 2.0]).requires_grad_()
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([2., 4.], shape=(2,), dtype=float32)
    """

    __slots__ = ("__dict__", "__weakref__", "_grad", "_index", "_node", "_value", "_version")
    __array_priority__ = 1000

    def __init__(self, value: Any):
        self._value = value
        self._node: Node | None = None
        self._index = 0
        self._version = 0
        self._grad: Any = None

    # ------------------------------------------------------------------------------------------------ what it is
    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self._value.shape

    @property
    def dtype(self) -> DType:
        """Type of the elements."""
        return dtype_of(self._value.dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._value.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._value.size

    @property
    def nbytes(self) -> int:
        """Size of the data in bytes."""
        return self._value.size * self._value.dtype.itemsize

    @property
    def device(self) -> Device:
        """The place of the data: "cpu"."""
        return CPU

    @property
    def version(self) -> int:
        """How often the cell was assigned."""
        return self._version

    __hash__ = object.__hash__

    def __len__(self) -> int:
        if not self._value.shape:
            raise ShapeError("len() of a tensor without axes: its shape is (); use .size, which is 1.")
        return self._value.shape[0]

    # ------------------------------------------------------------------------------------------------ gradients
    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded while gradients are enabled."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self.requires_grad_(wanted)

    def requires_grad_(self, wanted: bool = True) -> Tensor:
        """Ask for this tensor's gradient, or stop asking; return the tensor itself.

        Args:
            wanted: whether a gradient is wanted; default True.

        Returns:
            This tensor.

        Raises:
            DTypeError: the dtype is not a float.
            GradientError: `wanted=False` on a result of recorded operations; use `.detach()`.

        Example:
            >>> import chainrule as cr
            >>> cr.ones(2).requires_grad_().requires_grad
            True
        """
        if wanted == (self._node is not None):
            return self
        if wanted:
            if not self.dtype.is_inexact:
                raise DTypeError(
                    f"only float tensors have gradients; this one is {self.dtype.name}: use .astype(cr.float32)."
                )
            self._node, self._index = Leaf(self), 0
        elif not self.is_leaf:
            raise GradientError(
                "requires_grad can't be switched off on a result of recorded operations; use .detach()."
            )
        else:
            self._node = None
        context.structure_changed()
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor."""
        return self._node is None or isinstance(self._node, Leaf)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward` left here, or None.

        Raises:
            GradientError: a compiled step used the gradient up in its optimizer; `cr.jit(keep_grads=True)` keeps it.
        """
        interpreter = local.interpreter
        if interpreter is not None:
            return interpreter.read_grad(self)
        if self._grad is CONSUMED:
            raise GradientError(
                "this gradient was used up by the optimizer inside a compiled step and was not kept: "
                "call zero_grad() before the next backward, or write cr.jit(step, keep_grads=True) to read gradients."
            )
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None and (not isinstance(value, Tensor) or value.shape != self.shape):
            given = f"a tensor of shape {value.shape}" if isinstance(value, Tensor) else f"{type(value).__name__}"
            raise ShapeError(f"grad must be None or a tensor of shape {self.shape}; got {given}.")
        if value is not None and isinstance(value._value, Lifted):
            self._refuse_grad_of(value._value)
        if local.interpreter is not None:
            local.interpreter.write_grad(self, value)
        else:
            self._grad = value

    def _refuse_grad_of(self, value: Lifted) -> None:
        """Refuse a gradient that belongs to a function transform, if this tensor is from outside it."""
        level = value.level
        if isinstance(self._node, Leaf) and self._node.sequence < level.first:
            raise GradientError(
                f"backward inside {level.transform} would put a value of this {level.transform} into the .grad of a "
                "tensor from outside, which outlives it. Use cr.grad inside, and return the gradient.",
                location=user_location(),
            )

    def retain_grad(self) -> Tensor:
        """Ask `backward` to store the gradient of this intermediate result in `.grad`; return the tensor.

        Raises:
            GradientError: the tensor does not require a gradient.
        """
        if self._node is None:
            raise GradientError(
                "retain_grad: this tensor does not require a gradient; call requires_grad_() on an input."
            )
        if not isinstance(self._node, Leaf):
            if self._node.retained is None:
                self._node.retained = {}
            self._node.retained[self._index] = weakref.ref(self)
        return self

    def detach(self) -> Tensor:
        """Return a tensor with the same data through which no gradient flows.

        Example:
            >>> import chainrule as cr
            >>> cr.ones(2).requires_grad_().detach().requires_grad
            False
        """
        value = current_value(self)
        return Tensor(value.stopped() if isinstance(value, Lifted) else value)

    # ------------------------------------------------------------------------------------------------ the cell
    def assign_(self, value: Tensor) -> Tensor:
        """Put the buffer of `value` into this cell; tapes, views and exports keep the old one.

        Args:
            value: tensor of the same shape and dtype.

        Returns:
            This tensor.

        Raises:
            ShapeError, DTypeError: the value does not fit the cell.
            GradientError: the cell is a leaf that requires a gradient and operations are being recorded.

        Example:
            >>> import chainrule as cr
            >>> x = cr.zeros(2)
            >>> x.assign_(cr.ones(2))
            tensor([1., 1.], shape=(2,), dtype=float32)
        """
        if value.shape != self.shape:
            raise ShapeError(
                f"assign_: the cell has the shape {self.shape} and the value {value.shape}; they must be equal."
            )
        if value.dtype is not self.dtype:
            raise DTypeError(
                f"assign_: the cell is {self.dtype.name} and the value {value.dtype.name}; "
                f"write .astype(cr.{self.dtype.name})."
            )
        node = value._node if local.grad else None
        if local.grad and isinstance(self._node, Leaf):
            raise GradientError(
                "a leaf that requires a gradient was assigned while operations are recorded; "
                "put the assignment into `with cr.no_grad():`, or assign to a copy.",
                location=user_location(),
            )
        new = current_value(value)
        if isinstance(new, Lifted):
            new.level.note(self)
        if local.interpreter is not None:
            local.interpreter.write(self)
        if not isinstance(self._node, Leaf):
            self._node, self._index = node, value._index
        self._value = new
        self._version += 1
        return self

    # ------------------------------------------------------------------------------------------------ leaving chainrule
    def numpy(self) -> np.ndarray:
        """Return the data as a read-only NumPy view.

        Raises:
            TraceError: while tracing there is no data yet.

        Example:
            >>> import chainrule as cr
            >>> cr.arange(3).numpy()
            array([0, 1, 2])
        """
        view = concrete_value(self, "numpy()").view()
        view.flags.writeable = False
        return view

    def item(self) -> Any:
        """Return the only element as a Python number.

        Raises:
            ShapeError: the tensor has more or less than one element.
            TraceError: while tracing there is no data yet.

        Example:
            >>> import chainrule as cr
            >>> cr.asarray([2.5]).item()
            2.5
        """
        value = concrete_value(self, "item()")
        if value.size != 1:
            raise ShapeError(
                f"item() needs exactly one element; this tensor has the shape {self.shape}: use .tolist()."
            )
        return value.item()

    def tolist(self) -> Any:
        """Return the data as nested lists of Python numbers.

        Example:
            >>> import chainrule as cr
            >>> cr.eye(2).tolist()
            [[1.0, 0.0], [0.0, 1.0]]
        """
        return concrete_value(self, "tolist()").tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        value = self.numpy()
        if dtype is not None and np.dtype(dtype) != value.dtype:
            if copy is False:
                raise ValueError(
                    f"a copy is needed to convert {value.dtype} to {np.dtype(dtype)}, and copy=False was given"
                )
            return value.astype(dtype)
        return value.copy() if copy else value

    def __buffer__(self, flags: int) -> memoryview:
        """Give the data to `memoryview(tensor)`, read-only; Python asks for it from 3.12 on (PEP 688)."""
        return memoryview(self.numpy())  # type: ignore[arg-type]  # arrays offer a buffer on every version

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        value = concrete_value(self, "DLPack export")
        options = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
        if (max_version or (0, 0)) < (1, 0):
            return value.copy().__dlpack__(**options)  # before version 1 a capsule can't say that it is read-only
        view = value.view()
        view.flags.writeable = False
        return view.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __float__(self) -> float:
        return float(real_scalar(self, "float()"))

    def __int__(self) -> int:
        return int(real_scalar(self, "int()"))

    def __complex__(self) -> complex:
        return complex(concrete_scalar(self, "complex()"))

    def __bool__(self) -> bool:
        return bool(concrete_scalar(self, "bool()"))

    def __index__(self) -> int:
        value = concrete_scalar(self, "an index")
        if not isinstance(value, int) or isinstance(value, bool):
            raise DTypeError(f"only an integer tensor can be an index; this one is {self.dtype.name}.")
        return value

    def __format__(self, spec: str) -> str:
        return format(self.item() if self.size == 1 and spec else str(self), spec)

    def __reduce__(self) -> tuple:
        state = self.__dict__ or None
        return _restore, (
            type(self),
            concrete_value(self, "pickling"),
            isinstance(self._node, Leaf),
            state,
            self._stored_grad(),
        )

    def __deepcopy__(self, memo: dict) -> Tensor:
        if not self.is_leaf:
            raise GradientError(
                "only leaves can be deep-copied; this tensor is a recorded result: use .detach() first."
            )
        import copy

        state = copy.deepcopy(self.__dict__, memo)
        grad = self._stored_grad()
        value = concrete_value(self, "deepcopy")
        new = _restore(type(self), value, isinstance(self._node, Leaf), state, grad)
        memo[id(self)] = new
        return new

    def _stored_grad(self) -> np.ndarray | None:
        return self._grad._value if isinstance(self._grad, Tensor) else None

    def __repr__(self) -> str:
        return describe(self)

    def _repr_html_(self) -> str:
        from chainrule.core.html import tensor_html

        return tensor_html(self)

    def __iter__(self) -> Any:
        if not self._value.shape:
            raise ShapeError("a tensor without axes can't be iterated; its shape is ().")
        return (self[i] for i in range(self._value.shape[0]))


def _restore(kind: type[Tensor], value: np.ndarray, leaf: bool, state: dict | None, grad: np.ndarray | None) -> Tensor:
    tensor = kind.__new__(kind)
    Tensor.__init__(tensor, value)
    if state:
        tensor.__dict__.update(state)
    if leaf:
        tensor._node = Leaf(tensor)
    if grad is not None:
        tensor._grad = Tensor(grad)
    return tensor


class Parameter(Tensor):
    """A tensor that a module trains: `nn.Module` registers it, optimizers update it.

    Args:
        data: float tensor with the initial values; its buffer is shared, not copied.
        requires_grad: whether it is trained; default True.

    Raises:
        DTypeError: `data` is not a float tensor.

    Example:
        >>> import chainrule as cr
        >>> cr.nn.Parameter(cr.zeros(2)).requires_grad
        True
    """

    __slots__ = ()

    def __init__(self, data: Tensor, requires_grad: bool = True):
        super().__init__(current_value(data))
        if requires_grad:
            self.requires_grad_()

    def __repr__(self) -> str:
        return f"Parameter containing:\n{describe(self)}"


def connected(value: Any, node: Node | None, index: int) -> Tensor:
    """Return a tensor that holds `value` and is differentiable through output `index` of `node`."""
    tensor = Tensor(value)
    tensor._node, tensor._index = node, index
    return tensor


tape.connected = connected


def current_value(tensor: Tensor) -> Any:
    """Return the buffer, symbol or lifted value; while tracing, a buffer from outside becomes a captured input."""
    if isinstance(tensor._value, Lifted):
        return tensor._value
    if local.interpreter is not None:
        return local.interpreter.read(tensor)
    return concrete_value(tensor, "using it")


def unrecorded(tensor: Tensor) -> Tensor:
    """Return the value without its tape; unlike `detach`, tangents of forward mode stay."""
    return Tensor(current_value(tensor))


def concrete_value(tensor: Tensor, wish: str) -> np.ndarray:
    """Return the NumPy buffer; `wish` says in the error what asked for it."""
    value = tensor._value
    if isinstance(value, Lifted):
        if not value.level.alive:
            raise leaked(value)
        return value.concrete(wish)
    if local.interpreter is not None:
        raise TraceError(
            f"{wish} asks for the value of {value_type(value)} while cr.jit traces, and there is none yet. "
            "Use cr.where or cr.cond instead of `if`, cr.scan or cr.while_loop instead of a loop that depends on it, "
            "cr.debug_print to look at it, or move this line outside the step.",
            location=user_location(),
        )
    if type(value) is not np.ndarray:
        raise leaked(value)
    return value


def concrete_scalar(tensor: Tensor, wish: str) -> Any:
    value = concrete_value(tensor, wish)
    if value.size != 1:
        raise ShapeError(f"{wish} needs exactly one element; this tensor has the shape {tensor.shape}.")
    return value.item()


def real_scalar(tensor: Tensor, wish: str) -> Any:
    value = concrete_scalar(tensor, wish)
    if isinstance(value, complex):
        raise DTypeError(f"{wish} of a {tensor.dtype.name} tensor: take cr.real(x), cr.imag(x) or cr.abs(x) first.")
    return value


def value_type(value: Any) -> str:
    return f"{dtype_of(value.dtype).short}[{','.join(map(str, value.shape))}]"


def leaked(symbol: Any) -> TraceError:
    """Return the error for a traced tensor that is used after its trace ended."""
    if isinstance(symbol, Lifted):
        name = symbol.level.transform
        return TraceError(
            f"a tensor {value_type(symbol)} made inside {name} is used after its {name} ended. "
            "Return it from the function instead of storing it.",
            location=user_location(),
        )
    made = getattr(symbol, "source", None)
    place = getattr(getattr(symbol, "owner", None), "place", "cr.jit")
    if place != "cr.jit":
        return TraceError(
            f"a tensor {value_type(symbol)} made in {place} is used outside of it, where it has no value. "
            f"It was made at {made or 'an unknown line'}. Return it from there.",
            location=user_location(),
        )
    return TraceError(
        f"a tensor {value_type(symbol)} made while cr.jit was tracing is used after the trace ended; "
        "it never had a value. "
        f"It was made at {made or 'an unknown line'}. Return it from the jitted function instead of storing it.",
        location=user_location(),
    )


def describe(tensor: Tensor) -> str:
    """Return the text of a tensor: its values (large ones elided), shape and dtype."""
    value = tensor._value
    if isinstance(value, Lifted):
        return f"tensor(<{type(value).__name__.lower()}>, shape={tensor.shape}, dtype={tensor.dtype.name})"
    if type(value) is not np.ndarray:
        return f"tensor(<traced>, shape={tensor.shape}, dtype={tensor.dtype.name})"
    text = np.array2string(value, separator=", ", prefix="tensor(", threshold=200, edgeitems=3, max_line_width=100)
    flag = ", requires_grad=True" if tensor._node is not None else ""
    return f"tensor({text}, shape={tensor.shape}, dtype={tensor.dtype.name}{flag})"
