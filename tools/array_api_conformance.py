"""Run the public conformance suite of the Array API standard on chainrule.

    git clone --recursive https://github.com/data-apis/array-api-tests
    pip install -r array-api-tests/requirements.txt
    python tools/array_api_conformance.py array-api-tests

Further arguments go to pytest, like `-k linalg`. The exit code is pytest's: 0 when nothing fails.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

VERSION = "2024.12"

# Test id (or a part of it that names no other) -> why it is skipped.
SKIPS: dict[str, str] = {}


def command(examples: int, skips: pathlib.Path, further: list[str]) -> list[str]:
    """Return the words that start pytest in the folder of the suite."""
    words = [sys.executable, "-m", "pytest", "array_api_tests/", f"--max-examples={examples}", f"--skips-file={skips}"]
    return [*words, "-p", "no:cacheprovider", "-p", "no:xdist", "-rs", *further]


def main() -> int:
    """Read the arguments, run the suite, list what was skipped and why; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=pathlib.Path, help="folder of array-api-tests, with its submodule array-api")
    parser.add_argument("--max-examples", type=int, default=50, help="examples that hypothesis tries per test")
    arguments, further = parser.parse_known_args()
    for needed in ("array_api_tests", "array-api/src/array_api_stubs"):
        if not (arguments.checkout / needed).is_dir():
            parser.error(f"{arguments.checkout} has no folder {needed}: git clone --recursive the suite.")
    source = pathlib.Path(__file__).resolve().parent.parent / "src"
    environment = {
        **os.environ,
        "ARRAY_API_TESTS_MODULE": "chainrule",
        "ARRAY_API_TESTS_VERSION": VERSION,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH")])),
    }
    with tempfile.TemporaryDirectory() as folder:
        skips = pathlib.Path(folder) / "skips.txt"
        skips.write_text("".join(f"{test}\n" for test in SKIPS), encoding="utf-8")
        run = subprocess.run(
            command(arguments.max_examples, skips, further), cwd=arguments.checkout, env=environment, check=False
        )
    print(f"skipped on our own account: {len(SKIPS)}")
    for test, reason in SKIPS.items():
        print(f"  {test}\n    {reason}")
    return run.returncode


if __name__ == "__main__":
    raise SystemExit(main())
