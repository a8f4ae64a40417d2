"""What the library can do, in the words of the Array API standard: `cr.__array_namespace_info__()`."""

from __future__ import annotations

from typing import Any

from chainrule.core.dtypes import ALL, DType, bfloat16, complex64, float32, int64
from chainrule.core.tensor import CPU, Device
from chainrule.ops._inputs import check_device
from chainrule.ops.data_types import KINDS

__all__ = ["__array_namespace_info__"]


class NamespaceInfo:
    """Answers to the standard's questions about dtypes, devices and limits."""

    def capabilities(self) -> dict[str, Any]:
        """Return whether masks index, whether shapes depend on values (never while tracing), and the most axes."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Device:
        """Return the place where tensors are made."""
        return CPU

    def default_dtypes(self, *, device: str | None = None) -> dict[str, DType]:
        """Return the dtypes of Python's numbers and of indices.

        Args:
            device: None or "cpu".
        """
        check_device("default_dtypes", device)
        return {"real floating": float32, "complex floating": complex64, "integral": int64, "indexing": int64}

    def devices(self) -> list[Device]:
        """Return all places for tensors."""
        return [CPU]

    def dtypes(self, *, device: str | None = None, kind: str | tuple[str, ...] | None = None) -> dict[str, DType]:
        """Return the standard's dtypes by name; bfloat16 is beyond it.

        Args:
            device: None or "cpu".
            kind: a kind as in `isdtype`, or a tuple of kinds; default all.
        """
        check_device("dtypes", device)
        wanted = KINDS if kind is None else (kind,) if isinstance(kind, str) else kind
        for one in wanted:
            if one not in KINDS:
                raise ValueError(f"dtypes.kind must be one of {', '.join(map(repr, KINDS))}; got {one!r}.")
        kinds = {part for one in wanted for part in KINDS[one]}
        return {dtype.name: dtype for dtype in ALL if dtype.kind in kinds and dtype is not bfloat16}


def __array_namespace_info__() -> NamespaceInfo:
    """Return the object that answers the Array API standard's questions about dtypes, devices and limits.

    Returns:
        Object with the methods capabilities, default_device, default_dtypes, devices and dtypes.

    Example:
        >>> import chainrule as cr
        >>> cr.__array_namespace_info__().default_dtypes()["real floating"]
        chainrule.float32
    """
    return NamespaceInfo()
