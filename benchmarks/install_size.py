"""Megabytes of chainrule and its core dependencies: site-packages of a fresh environment without pip and setuptools.

Usage: python benchmarks/install_size.py [EXTRA ...]      (needs the package registry)
The budget is 310 MB (10^6 bytes) without extras. Compiled .pyc files count: pip writes them.
"""

from __future__ import annotations

import collections
import pathlib
import subprocess
import sys
import tempfile
import venv

BUDGET = 310.0  # MB
INSTALLERS = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "wheel")


def sizes(site: pathlib.Path) -> dict[str, int]:
    """Return the bytes under each top entry of a site-packages folder, metadata folders under their package's name."""
    found: dict[str, int] = collections.Counter()
    for path in site.rglob("*"):
        if path.is_file() and not path.is_symlink():
            top = path.relative_to(site).parts[0].split("-")[0].removesuffix(".libs")
            if top not in INSTALLERS:
                found[top] += path.stat().st_size
    return dict(found)


def main() -> int:
    """Install into a temporary environment, print the table; exit with 1 where the budget is overdrawn."""
    repository = pathlib.Path(__file__).resolve().parent.parent
    target = f"{repository}[{','.join(sys.argv[1:])}]" if sys.argv[1:] else str(repository)
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = pathlib.Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", target], check=True)
        question = "import sysconfig; print(sysconfig.get_path('purelib'))"
        site = subprocess.run([python, "-c", question], check=True, capture_output=True, text=True).stdout.strip()
        found = sizes(pathlib.Path(site))
    for name, size in sorted(found.items(), key=lambda item: -item[1]):
        if size >= 100_000:
            print(f"{size / 1e6:9.1f} MB  {name}")
    total = sum(found.values()) / 1e6
    print(f"{total:9.1f} MB  in all; the budget is {BUDGET:.0f} MB")
    return int(total > BUDGET)


if __name__ == "__main__":
    raise SystemExit(main())
