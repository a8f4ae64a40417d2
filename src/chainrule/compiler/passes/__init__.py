"""Passes: a traced graph becomes a smaller one of the same meaning, before kernels are made of it.

What enters and what leaves is a `Graph`. A pass only rewrites what keeps every bit of every result; sums and products
of matrices may round in another order, as they may in compiled code anyway. `PASSES` is the ordered list, `simplify`
runs it until nothing changes.

    dead_code    what nobody reads                          transposes   (A B)^T = B^T A^T
    views        chains of reshape, permute, broadcast      flattening   stacks of matrices stay one matrix
    common       equal equations                            scatters     one update per row: a comparison
    folding      constants                                  pipeline     the order of the passes
    broadcasts   repeated values                            rewriting    the engine: one sweep of rules
    identities   x * 1, -(-x), conversions to and fro       facts        what is known of a value
    reductions   axes kept or dropped                       ranges       which integers it may hold
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chainrule.compiler.passes.dead_code import without_dead_code

if TYPE_CHECKING:
    from chainrule.compiler.passes.pipeline import PASSES, simplify

__all__ = ["PASSES", "simplify", "without_dead_code"]


def __getattr__(name: str) -> Any:
    if name in ("PASSES", "simplify"):  # loaded with the first compilation: eager work needs no pass
        from chainrule.compiler.passes import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
