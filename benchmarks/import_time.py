"""Seconds that `import chainrule` takes: the median of fresh interpreters, beside a bare one and one with NumPy.

Usage: python benchmarks/import_time.py [RUNS]
The budget is 0.25 s on top of a bare interpreter. Runs alternate, so that a neighbour on the machine burdens all alike.
Python may keep compiled files, as it does for every user: PYTHONDONTWRITEBYTECODE is not handed on.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time

PROGRAMS = {
    "bare interpreter": "pass",
    "import numpy, ml_dtypes": "import numpy, ml_dtypes",
    "import chainrule": "import chainrule",
}
BUDGET = 0.25  # seconds


def measure(runs: int) -> dict[str, list[float]]:
    """Return the seconds of each run of each program, after one unmeasured run of each that warms the file cache."""
    seconds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for run in range(runs + 1):
        for name, program in PROGRAMS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], env=environment, check=True)
            if run:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def main() -> int:
    """Print the table; exit with 1 where the budget is overdrawn."""
    seconds = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
    bare = statistics.median(seconds["bare interpreter"])
    print(f"Python {platform.python_version()}, {platform.machine()}, {len(seconds['import chainrule'])} runs each")
    print(f"{'':26}{'median':>10}{'fastest':>10}{'over bare':>12}")
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:26}{median:9.3f}s{min(values):9.3f}s{median - bare:11.3f}s")
    taken = statistics.median(seconds["import chainrule"]) - bare
    print(f"import chainrule takes {taken:.3f} s; the budget is {BUDGET} s")
    return int(taken > BUDGET)


if __name__ == "__main__":
    raise SystemExit(main())
