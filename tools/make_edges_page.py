"""Write docs/edges.md, the page of kinks, ties and singular points, from the `edges` of the primitives.

Usage: python tools/make_edges_page.py      A test compares the page with what this file would write.
"""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np

import chainrule  # noqa: F401 - registers every primitive
from chainrule.core.primitive import PRIMITIVES, Edge, Primitive

HEAD = """# Chosen derivatives

<!-- written by tools/make_edges_page.py from the `edges` of the primitives -->

Where a function has a kink, a tie, a jump or a pole, its derivative is a choice. These are the choices: those of
PyTorch's operator of that name, unless the row says otherwise. Forward mode chooses the same, and so do second
derivatives in every pair of modes; the tests check each row (`python -m chainrule.testing`).

```python
import chainrule as cr

x = cr.asarray([1.0, 2.0, 2.0])
assert cr.grad(cr.max)(x).tolist() == [0.0, 0.5, 0.5]  # a tie is shared
assert cr.grad(cr.prod)(cr.asarray([2.0, 0.0, 3.0])).tolist() == [0.0, 6.0, 0.0]  # finite with a zero
assert cr.grad(cr.linalg.vector_norm)(cr.zeros(2)).tolist() == [0.0, 0.0]  # the tip of a cone
assert cr.grad(cr.sqrt)(0.0).item() == float("inf")  # a vertical tangent
```

**NaN in a branch that is not taken.** `cr.where(x > 0, cr.sqrt(x), 0.0)` has the right value everywhere, but its
gradient at a negative x is 0 times the NaN of the square root: NaN. That is so in every library. Choose the argument
first, so that the function never sees what it can't take:

```python
x = cr.asarray([-1.0, 4.0])
wrong = cr.grad(lambda x: cr.where(x > 0, cr.sqrt(x), 0.0).sum())(x)
right = cr.grad(lambda x: cr.where(x > 0, cr.sqrt(cr.where(x > 0, x, 1.0)), 0.0).sum())(x)
assert cr.isnan(wrong).tolist() == [True, False]
assert right.tolist() == [0.0, 0.25]
```

`where` itself is exact: a NaN that it does not take reaches neither its result nor its gradient.

## Every row

The gradient is that of the sum of the result, by each input; a dash stands for an input without one.

| operation | at | gradient | why |
| --- | --- | --- | --- |
"""


def number(value: Any) -> str:
    """Return a number, or nested lists of them, in few digits.

    Args:
        value: number, bool or array.
    """
    array = np.asarray(value)
    if array.ndim:
        return f"[{', '.join(number(part) for part in array)}]"
    return str(array.item()) if array.dtype.kind in "biu" else f"{array.item():.4g}".replace("inf", "∞")


def cells(values: tuple) -> str:
    """Return the inputs or the gradients of an edge in words.

    Args:
        values: one per input; None for an input without gradient.
    """
    return ", ".join("–" if value is None else number(value) for value in values)


def row(primitive: Primitive, edge: Edge) -> str:
    """Return the line of one edge.

    Args:
        primitive: whose edge it is.
        edge: the edge.
    """
    shown = {name: value for name, value in edge.attributes.items() if value not in (False, "the loss")}
    how = "".join(f", {name}={value}" for name, value in shown.items())
    return f"| `{primitive.name}` | {cells(edge.inputs)}{how} | {cells(edge.gradients)} | {edge.why} |\n"


def page() -> str:
    """Return the whole page."""
    primitives = sorted(PRIMITIVES.values(), key=lambda primitive: primitive.name)
    return HEAD + "".join(row(primitive, edge) for primitive in primitives for edge in primitive.edges)


def main() -> None:
    """Write the page."""
    (pathlib.Path(__file__).resolve().parent.parent / "docs" / "edges.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
