"""Write docs/native.md, the page of which primitives compiled steps run natively, from the `lower` of the primitives.

Usage: python tools/make_native_page.py      A test compares the page with what this file would write.
"""

from __future__ import annotations

import pathlib

import chainrule  # noqa: F401 - registers every primitive
from chainrule.compiler import control as _control  # noqa: F401 - so do loops and branches
from chainrule.core.lowering import Contraction, Fold, IndexMap, Loop, Pointwise, Reduction
from chainrule.core.primitive import PRIMITIVES, Primitive

HEAD = """# What runs natively

<!-- written by tools/make_native_page.py from the `lower` of the primitives -->

A step under `cr.jit` becomes native code. A primitive without a lowering calls its NumPy reference in between: the step
is as right as before, and such a call costs what it costs eagerly. So do products of integer matrices, and everything
with complex numbers. Native code counts numbers below the smallest normal one as 0. The tests compare each native
primitive with its reference, values and gradients (`python -m chainrule.testing`).

```python
import chainrule as cr
from chainrule.core.primitive import PRIMITIVES

assert PRIMITIVES["tanh"].lower is not None  # native
assert PRIMITIVES["svd"].lower is None  # LAPACK, through NumPy
```

"""

# module of a primitive without a lowering -> why it has none
REASONS = {
    "ops.fft": "a library's algorithm",
    "ops.linalg": "LAPACK, through NumPy",
    "ops.complex_parts": "complex numbers",
    "ops.sort": "NumPy's sort is as fast",
    "ops.bessel": "rare; long expressions",
    "ops.gamma": "rare; long expressions",
    "ops.normal": "rare; long expressions",
    "ops.printing": "it prints",
    "compiler.control": "their bodies are graphs of their own",
}
FORMS = {
    Pointwise: "elementwise: written into its consumers",
    IndexMap: "index map: elements picked, moved or made from their indices",
    Reduction: "reduction",
    Fold: "fold over a window",
    Contraction: "contraction: a sum of products",
    Loop: "sequence: turns in order, or positions of extremes",
}


def reason(primitive: Primitive) -> str:
    """Return why a primitive calls its reference.

    Args:
        primitive: one without a lowering.

    Raises:
        KeyError: it is of a module that has no reason yet.
    """
    place = str(primitive.reference.__globals__["__name__"])
    for module, words in REASONS.items():
        if f"chainrule.{module}" in (place, place.rpartition(".")[0]):
            return words
    raise KeyError(f"{primitive.name} of {place} has no lowering: add lower= to it, or a reason to REASONS")


def page() -> str:
    """Return the whole page."""
    native: dict[str, list[str]] = {words: [] for words in FORMS.values()}
    calls: dict[str, list[str]] = {}
    for name, primitive in sorted(PRIMITIVES.items()):
        if primitive.lower is None:
            calls.setdefault(reason(primitive), []).append(f"`{name}`")
        else:
            native[FORMS[type(primitive.lower)]].append(f"`{name}`")
    count = sum(map(len, native.values()))
    lines = [f"## Native: {count}", "", "| how | primitives |", "| --- | --- |"]
    lines += [f"| {words} | {', '.join(names)} |" for words, names in native.items()]
    lines += ["", f"## Calls its reference: {len(PRIMITIVES) - count}", "", "| why | primitives |", "| --- | --- |"]
    lines += [f"| {words} | {', '.join(names)} |" for words, names in sorted(calls.items())]
    return HEAD + "\n".join(lines) + "\n"


def main() -> None:
    """Write the page."""
    (pathlib.Path(__file__).resolve().parent.parent / "docs" / "native.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
