"""What computes: versions, processor, BLAS and its threads.

An eager run repeats its bits for a given number of BLAS threads, so a run records it and a resumed one compares.
"""

from __future__ import annotations

import platform
import sys
from typing import Any

import numpy as np

from chainrule.compiler.system import usable_cores
from chainrule.core.threads import get_num_threads

__all__ = ["blas", "cpu_features", "describe", "versions"]

LIBRARIES = ("numpy", "ml_dtypes", "safetensors", "pillow", "typer", "rich", "threadpoolctl", "llvmlite")


def versions() -> dict[str, str]:
    """Return name -> version of chainrule, Python and the libraries it stands on.

    Example:
        >>> versions()["python"].startswith("3.")
        True
    """
    from importlib.metadata import PackageNotFoundError, version

    import chainrule

    found = {"chainrule": chainrule.__version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def cpu_features() -> list[str]:
    """Return the vector instructions that NumPy found, best last; empty where it does not say.

    Example:
        >>> isinstance(cpu_features(), list)
        True
    """
    return list(_config("SIMD Extensions").get("found", []))


def blas() -> str:
    """Return name and version of NumPy's BLAS.

    Example:
        >>> isinstance(blas(), str)
        True
    """
    found = _config("Build Dependencies").get("blas", {})
    return f"{found.get('name', 'unknown')} {found.get('version', '')}".strip()


def describe() -> dict[str, Any]:
    """Return what a run records of the machine: system, processors, BLAS and its threads.

    Example:
        >>> sorted(describe())
        ['blas', 'blas_threads', 'cpus', 'system']
    """
    return {
        "system": f"{sys.platform} {platform.machine()}",
        "cpus": usable_cores(),
        "blas": blas(),
        "blas_threads": get_num_threads(),
    }


def _config(section: str) -> dict[str, Any]:
    try:
        found: Any = np.show_config(mode="dicts")
    except (TypeError, AttributeError):  # a NumPy that describes itself otherwise
        return {}
    return (found or {}).get(section, {})
