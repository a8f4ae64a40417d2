"""A pickle read by a machine that knows only what plain data need: it has no way to call a function of Python's.

A pickle is a program for a stack machine. `pickletools` splits it into instructions, which is harmless; `Machine` then
does those that build dicts, lists, tuples, numbers and texts. The instruction GLOBAL, which in Python's own machine
imports whatever is named, here looks the name up in a fixed table of ours, and REDUCE calls nothing but that table's
entries. Everything else (INST, OBJ, NEWOBJ, EXT, ...) is refused. The time is linear in the file's size: keys of dicts
are numbers and texts only, whose hashes are cheap.

Source: Python's Lib/pickletools.py describes the instructions; PyTorch's torch/_weights_only_unpickler.py has the same
idea.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

from chainrule.nn.foreign.limits import Refused

__all__ = ["Known", "Machine", "shown"]

LONGEST_NUMBER = 16  # bytes of a whole number; PyTorch's old format begins with one of ten


class Known:
    """What a global of the file stands for here.

    Args:
        name: the file's name for it, such as "torch._utils._rebuild_tensor_v2".
        make: what REDUCE calls, with the tuple of the arguments; default none: the global is no function.
        value: what it is as an argument of another; default none.
    """

    def __init__(self, name: str, make: Callable[[tuple], Any] | None = None, value: Any = None):
        self.name, self.make, self.value = name, make, value


def shown(value: Any) -> str:
    """Return a value from a file for a message: short, and of containers only the type."""
    if isinstance(value, str | int | float | bool | None):
        text = repr(value)
        return text if len(text) <= 80 else f"{text[:76]}..."
    return value.name if isinstance(value, Known) else type(value).__name__


class Machine:
    """Run one pickle.

    Args:
        known: global's name -> what it stands for.
        persistent: makes the object behind a persistent id.
    """

    def __init__(self, known: Mapping[str, Known], persistent: Callable[[Any], Any]):
        self.known, self.persistent = known, persistent
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under each mark
        self.memo: dict[int, Any] = {}

    def run(self, stream: io.BytesIO) -> Any:
        """Return the object that a pickle describes; the stream then stands behind it.

        Args:
            stream: begins with a pickle.

        Raises:
            Refused: an unknown global or instruction, or a damaged pickle.
        """
        from pickletools import genops

        try:
            for instruction, argument, _ in genops(stream):
                if instruction.name == "STOP":
                    return self._pop()
                action = _ACTIONS.get(instruction.name)
                if action is None:
                    raise Refused(f"asks for the pickle instruction {instruction.name}, which no weights need")
                action(self, argument)
        except (ValueError, KeyError, IndexError, TypeError, OverflowError, MemoryError) as error:
            raise Refused(f"is truncated or damaged: {_first_line(error)}") from None
        raise Refused("is truncated: its pickle has no end")

    # ------------------------------------------------------------------------------------------------ the stack
    def _pop(self) -> Any:
        if not self.stack:
            raise Refused("is damaged: its pickle takes more than it has")
        return self.stack.pop()

    def _top(self, kind: type, action: str) -> Any:
        if not self.stack or not isinstance(self.stack[-1], kind):
            found = shown(self.stack[-1]) if self.stack else "nothing"
            raise Refused(f"is damaged: its pickle would {action} {found}")
        return self.stack[-1]

    def _pop_mark(self) -> list[Any]:
        if not self.below:
            raise Refused("is damaged: its pickle takes more than it has")
        items, self.stack = self.stack, self.below.pop()
        return items

    def mark(self, _argument: Any) -> None:
        """Begin a group."""
        self.below.append(self.stack)
        self.stack = []

    def push(self, value: Any) -> None:
        """Put a number or a text on the stack."""
        if isinstance(value, int) and value.bit_length() > 8 * LONGEST_NUMBER:
            raise Refused(f"is damaged: it has a whole number of {value.bit_length()} bits")
        self.stack.append(value)

    def get(self, place: int) -> None:
        """Put something on the stack that was there before."""
        self.stack.append(self.memo[int(place)])

    def put(self, place: int) -> None:
        """Remember the top of the stack under a number."""
        self.memo[int(place)] = self._top(object, "remember")

    def memoize(self, _argument: Any) -> None:
        """Remember the top of the stack under the next number."""
        self.put(len(self.memo))

    # ------------------------------------------------------------------------------------------------ containers
    def make_tuple(self, count: int | None) -> None:
        """Make a tuple of the group, or of the last `count`."""
        if count is None:
            items = self._pop_mark()
        else:
            items = [self._pop() for _ in range(count)][::-1]
        self.stack.append(tuple(items))

    def make_list(self, _argument: Any) -> None:
        """Make a list of the group."""
        items = self._pop_mark()
        self.stack.append(items)

    def make_dict(self, _argument: Any) -> None:
        """Make a dict of the group."""
        items = self._pop_mark()
        self.stack.append({})
        self._set(items)

    def append(self, _argument: Any) -> None:
        """Put the last value into a list."""
        value = self._pop()
        self._top(list, "append to").append(value)

    def appends(self, _argument: Any) -> None:
        """Put the group into a list."""
        items = self._pop_mark()
        self._top(list, "append to").extend(items)

    def set_item(self, _argument: Any) -> None:
        """Put the last key and value into a dict."""
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def set_items(self, _argument: Any) -> None:
        """Put the group's keys and values into a dict."""
        self._set(self._pop_mark())

    def _set(self, items: list[Any]) -> None:
        target = self._top(dict, "set an item of")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | int | float | bytes | None):  # a nested tuple's hash can take for ever
                raise Refused(f"has a dict with a key of type {shown(key)}, which no weights need")
            target[key] = value

    # ------------------------------------------------------------------------------------------------ what is not plain
    def find(self, argument: str) -> None:
        """Look a global up in the table."""
        self._find(*argument.split(" ", 1))

    def find_from_stack(self, _argument: Any) -> None:
        """Look up a global whose two names lie on the stack."""
        name, module = self._pop(), self._pop()
        self._find(module, name)

    def _find(self, module: Any, name: Any) -> None:
        whole = f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else shown((module, name))
        if whole not in self.known:
            short = whole if len(whole) <= 120 else f"{whole[:117]}..."
            raise Refused(
                f"asks for the global {short}. Weights need only tensors, so it was not looked up and nothing was run. "
                "If you trust the file, save its weights alone, with PyTorch: torch.save(model.state_dict(), path)"
            )
        self.stack.append(self.known[whole])

    def reduce(self, _argument: Any) -> None:
        """Call an entry of the table."""
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, Known) or function.make is None or not isinstance(arguments, tuple):
            raise Refused(f"would call {shown(function)} with {shown(arguments)}, which is no way to make a tensor")
        self.stack.append(function.make(arguments))

    def build(self, _argument: Any) -> None:
        """Leave out the attributes that an ordered dict may have: PyTorch keeps versions of layers there."""
        self._pop()
        self._top(dict, "set attributes of")

    def persist(self, _argument: Any) -> None:
        """Ask for the object behind a persistent id."""
        self.stack.append(self.persistent(self._pop()))


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:200].rstrip(".")


def _nothing(_machine: Machine, _argument: Any) -> None:
    pass


def _constant(value: Any) -> Callable[[Machine, Any], None]:
    return lambda machine, _argument: machine.stack.append(value)


_ACTIONS: dict[str, Callable[[Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME"), _nothing),
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"), Machine.push),
    **dict.fromkeys(("FLOAT", "BINFLOAT"), Machine.push),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), Machine.push),
    **dict.fromkeys(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), Machine.push),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), Machine.push),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine.get),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Machine.put),
    "MEMOIZE": Machine.memoize,
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "MARK": Machine.mark,
    "EMPTY_TUPLE": lambda machine, _argument: machine.make_tuple(0),
    "TUPLE1": lambda machine, _argument: machine.make_tuple(1),
    "TUPLE2": lambda machine, _argument: machine.make_tuple(2),
    "TUPLE3": lambda machine, _argument: machine.make_tuple(3),
    "TUPLE": Machine.make_tuple,
    "EMPTY_LIST": lambda machine, _argument: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _argument: machine.stack.append({}),
    "LIST": Machine.make_list,
    "DICT": Machine.make_dict,
    "APPEND": Machine.append,
    "APPENDS": Machine.appends,
    "SETITEM": Machine.set_item,
    "SETITEMS": Machine.set_items,
    "GLOBAL": Machine.find,
    "STACK_GLOBAL": Machine.find_from_stack,
    "REDUCE": Machine.reduce,
    "BUILD": Machine.build,
    "BINPERSID": Machine.persist,
}
