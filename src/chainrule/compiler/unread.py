"""Kernels without what nobody reads: stores into temporaries, sums for them, and kernels that store nothing else."""

from __future__ import annotations

from chainrule.compiler import expr
from chainrule.compiler.expr import Expr
from chainrule.compiler.kernels import Buffer, Call, Kernel, Loops, Product, Store, Sum

__all__ = ["without_unread"]


def without_unread(kernels: list[Kernel]) -> list[Kernel]:
    """Drop stores into memory that nobody reads, and kernels that store nothing."""
    while True:
        read: set[Buffer] = set()
        for kernel in kernels:
            kernel.finish()
            read.update(kernel.reads)
        changed = False
        left: list[Kernel] = []
        for kernel in kernels:
            if isinstance(kernel, Loops):
                for stage in kernel.stages:
                    keep = [s for s in stage.statements if isinstance(s, Sum) or _is_read(s, read)]
                    changed = changed or len(keep) < len(stage.statements)
                    stage.statements = keep
                changed = _drop_sums(kernel) or changed
                kernel.stages = [s for s in kernel.stages if s.statements]
                if kernel.stages:
                    left.append(kernel)
            elif isinstance(kernel, Product):
                keep_stores = [s for s in kernel.epilogue if _is_read(s, read)]
                changed = changed or len(keep_stores) < len(kernel.epilogue)
                kernel.epilogue = keep_stores
                if keep_stores:
                    left.append(kernel)
            elif isinstance(kernel, Call) or any(b.place != "arena" or b in read for b in kernel.writes):
                left.append(kernel)
            else:
                changed = True
        kernels = left
        if not changed:
            return kernels


def _is_read(s: Store, read: set[Buffer]) -> bool:
    return s.view.buffer.place != "arena" or s.view.buffer in read or any(p.op == "check" for p in expr.walk([s.value]))


def _drop_sums(kernel: Loops) -> bool:
    used: set[Expr] = set()
    for s in kernel.statements():
        used |= s.value.free
    changed = False
    for stage in kernel.stages:
        keep = [s for s in stage.statements if isinstance(s, Store) or s.symbol in used]
        changed = changed or len(keep) < len(stage.statements)
        stage.statements = keep
    return changed
