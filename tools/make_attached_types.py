"""Write src/chainrule/core/_attached.pyi: what the upper floors attach to Tensor at import, for type checkers.

Usage: python tools/make_attached_types.py [--check]      --check writes nothing and exits with 1 where the file is old.

Operators, methods and `backward` are given to `Tensor` by registration (imports go down the floors only), so a type
checker does not see them in core/tensor.py. This tool imports chainrule, looks at what `Tensor` has beyond its own
class body, and writes each with its signature into a stub that only type checkers read.
"""

from __future__ import annotations

import ast
import inspect
import pathlib
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import chainrule
from chainrule.core.tensor import Tensor

CORE = pathlib.Path(chainrule.__file__).parent / "core"
HEAD = '''"""What the upper floors attach to Tensor, for type checkers; written by tools/make_attached_types.py."""

{imports}

Operand = Tensor | bool | int | float | np.ndarray | np.generic

class Attached:
'''
_BINARY = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift"]
_COMPARISONS = ["lt", "le", "gt", "ge"]
_UNARY = ("__abs__", "__invert__", "__neg__", "__pos__")
OPERATORS = {f"__{side}{name}__" for name in _BINARY for side in ("", "r", "i")} | {f"__{n}__" for n in _COMPARISONS}
# Where a signature is not the function's: comparisons override object's, indexing takes anything.
FIXED = {
    "__eq__": "def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]",
    "__ne__": "def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]",
    "__array_ufunc__": "__array_ufunc__: None",
    "__getitem__": "def __getitem__(self, key: Any) -> Tensor: ...",
    "__setitem__": "def __setitem__(self, key: Any, value: Any) -> None: ...",
}
_PLAIN = {"bool", "int", "float", "complex", "str", "bytes", "tuple", "list", "dict", "set", "object", "type", "None"}


def own_names() -> set[str]:
    """Return the names that the class body of Tensor itself defines."""
    tree = ast.parse((CORE / "tensor.py").read_text(encoding="utf-8"))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Tensor")
    names = {"__module__", "__doc__", "__dict__", "__weakref__", "__hash__"}
    for node in body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names | set(Tensor.__slots__)


def attached() -> dict[str, Any]:
    """Return what Tensor has beyond its class body, by name."""
    own = own_names()
    return {name: value for name, value in sorted(vars(Tensor).items()) if name not in own}


class Writer:
    """Collects the lines of the class and the imports that their annotations need."""

    def __init__(self) -> None:
        self.homes = {"Any": "typing", "Tensor": "chainrule.core.tensor"}  # name -> the module that it is imported from

    def annotation(self, text: Any, function: Callable) -> str:
        """Return an annotation as it is written, and import the names in it.

        Args:
            text: the annotation, a string under `from __future__ import annotations`.
            function: whose annotation it is; its module knows the names.
        """
        if text is inspect.Parameter.empty:
            return "Any"
        text = text if isinstance(text, str) else inspect.formatannotation(text)
        roots = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
        for name in roots - _PLAIN - {"np", "Tensor"}:
            known = inspect.unwrap(function).__globals__.get(name)
            module = getattr(known, "__module__", None)
            home = module if module in ("typing", "collections.abc") or name == getattr(known, "__name__", "") else None
            self.homes.setdefault(name, home or function.__module__)
        return text

    def imports(self) -> str:
        """Return the import lines: the standard library, NumPy, the package."""
        modules: dict[str, list[str]] = {}
        for name, module in sorted(self.homes.items()):
            modules.setdefault(module, []).append(name)
        lines = [f"from {module} import {', '.join(names)}" for module, names in sorted(modules.items())]
        own = [line for line in lines if line.startswith("from chainrule")]
        return "\n".join([*[line for line in lines if line not in own], "", "import numpy as np", "", *own])

    def method(self, name: str, function: Callable) -> str:
        """Return the stub line of one method.

        Args:
            name: its name on Tensor.
            function: what is attached.
        """
        if name in FIXED:
            return FIXED[name]
        if name in _UNARY:
            return f"def {name}(self) -> Tensor: ..."
        if name in OPERATORS:
            return f"def {name}(self, other: Operand) -> Tensor: ..."
        signature, parts, before = inspect.signature(function), ["self"], None
        for parameter in list(signature.parameters.values())[1:]:
            if before is inspect.Parameter.POSITIONAL_ONLY and parameter.kind is not before:
                parts.append("/")
            if parameter.kind is parameter.KEYWORD_ONLY and not any(part.startswith("*") for part in parts):
                parts.append("*")
            stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
            default = "" if parameter.default is parameter.empty else " = ..."
            parts.append(f"{stars}{parameter.name}: {self.annotation(parameter.annotation, function)}{default}")
            before = parameter.kind
        if before is inspect.Parameter.POSITIONAL_ONLY:
            parts.append("/")
        return f"def {name}({', '.join(parts)}) -> {self.result(name, signature, function)}: ..."

    def result(self, name: str, signature: inspect.Signature, function: Callable) -> str:
        """Return the type of what a method gives; operators and properties that say nothing give tensors.

        Args:
            name: the method's name.
            signature: its signature.
            function: the function itself.
        """
        if signature.return_annotation is signature.empty:
            return "Tensor" if name.startswith("__") else "Any"
        return self.annotation(signature.return_annotation, function)

    def line(self, name: str, value: Any) -> str:
        """Return the stub lines of one attached name.

        Args:
            name: the name.
            value: a function, property or other value.
        """
        if isinstance(value, property):
            result = self.result("__property__", inspect.signature(value.fget), value.fget)
            return f"@property\ndef {name}(self) -> {result}: ..."
        return self.method(name, value) if name in FIXED or callable(value) else f"{name}: Any"


def stub() -> str:
    """Return the whole file."""
    writer = Writer()
    body = "".join(textwrap.indent(writer.line(name, value), "    ") + "\n" for name, value in attached().items())
    return HEAD.format(imports=writer.imports()) + body


def main() -> int:
    """Write the file, or compare it."""
    path = CORE / "_attached.pyi"
    if "--check" in sys.argv:
        return int(not path.exists() or path.read_text(encoding="utf-8") != stub())
    path.write_text(stub(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
