"""What `chainrule doctor` looks at: versions, processor, BLAS and its threads, data sets, folders, the terminal."""

from __future__ import annotations

import os
import pathlib
import sys
import tempfile

from chainrule.compiler.system import usable_cores
from chainrule.core.config import SWITCHES, cache_folder, data_folder
from chainrule.core.errors import ChainruleError
from chainrule.core.threads import get_num_threads
from chainrule.data.mnist import FILES, PACKAGED, mnist, unpacked
from chainrule.recipes import machine

__all__ = ["examine"]

Row = tuple[str, str, str]


def examine() -> tuple[list[Row], bool]:
    """Return rows of (mark, what, finding), and whether nothing is wrong; "ok" and "--" are fine, "!!" is not.

    Example:
        >>> rows, healthy = examine()
        >>> rows[0][:2]
        ('ok', 'chainrule')
    """
    rows = [*_versions(), *_processor(), *_data(), *_folders(), *_surroundings()]
    return rows, all(mark != "!!" for mark, _, _ in rows)


def _versions() -> list[Row]:
    return [
        ("!!" if version == "not installed" else "ok", name, version) for name, version in machine.versions().items()
    ]


def _processor() -> list[Row]:
    threads = get_num_threads()
    features = machine.cpu_features()
    return [
        ("ok", "processors", f"{usable_cores()} usable of {os.cpu_count()}"),
        ("ok", "vectors", ", ".join(features) if features else "NumPy does not say"),
        ("ok", "BLAS", f"{machine.blas()}, {threads} thread{'s' if threads > 1 else ''} (CHAINRULE_THREADS)"),
        _compiler(),
    ]


def _compiler() -> Row:
    from chainrule.compiler.llvm import machine as native

    try:
        target = native.host_target()
    except ChainruleError as error:
        return "!!", "compiler", f"{error}"
    extra = ", bfloat16 pairs" if target.has_avx512_bf16 else ""
    return "ok", "compiler", f"{target.name}, {target.vector_bits} bits{extra}; {native.llvm_version()}"


def _data() -> list[Row]:
    rows: list[Row] = []
    try:
        for file in FILES.values():
            unpacked(file)
        size = sum(path.stat().st_size for path in PACKAGED.glob("*.xz"))
        rows.append(("ok", "mnist", f"in the package ({size / 1e6:.1f} MB), checksums right"))
    except ChainruleError as error:
        rows.append(("!!", "mnist", error.message))
    folder = data_folder()
    if folder is None:
        return [*rows, ("--", "other data", "CHAINRULE_DATA is not set; the recipes of CIFAR-10 look there for it")]
    if not folder.is_dir():
        return [*rows, ("!!", "other data", f"CHAINRULE_DATA names {folder}, which is no folder")]
    if (folder / "mnist").is_dir():
        try:
            for split in ("train", "test"):
                mnist(split, folder)
            rows.append(("ok", "mnist files", f"{folder / 'mnist'}, checksums right"))
        except ChainruleError as error:
            rows.append(("!!", "mnist files", error.message))
    return [
        *rows,
        ("ok", "other data", f"{folder}: {', '.join(sorted(p.name for p in folder.iterdir() if p.is_dir()))}"),
    ]


def _folders() -> list[Row]:
    try:
        cache = _writable(cache_folder(), "cache", "without it MNIST is unpacked at each start (0.6 s)", "--")
    except (OSError, RuntimeError) as error:
        cache = ("--", "cache", str(getattr(error, "strerror", None) or error))
    return [
        cache,
        (*_writable(pathlib.Path.cwd(), "here", "runs are saved below the current folder: use --out elsewhere", "!!"),),
    ]


def _writable(folder: pathlib.Path, name: str, otherwise: str, mark: str) -> Row:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ("ok", name, f"{folder}, writable")
    except OSError as error:
        return (mark, name, f"{folder}: {error.strerror}; {otherwise}")


def _surroundings() -> list[Row]:
    import shutil

    kind = "a terminal" if sys.stderr.isatty() else "no terminal: plain lines"
    columns = shutil.get_terminal_size().columns
    switches = [f"{switch.name}={os.environ[switch.name]}" for switch in SWITCHES if switch.name in os.environ]
    return [
        ("ok", "progress", f"{kind}, {columns} columns, {sys.stdout.encoding}"),
        ("ok", "switches", ", ".join(switches) or "none set"),
    ]
