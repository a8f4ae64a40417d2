"""Write docs/config.md, the page of switches, from `chainrule.core.config.SWITCHES`.

Usage: python tools/make_config_page.py      A test compares the page with what this file would write.
"""

from __future__ import annotations

import pathlib

from chainrule.core.config import SWITCHES

HEAD = """# Switches

<!-- written by tools/make_config_page.py from chainrule/core/config.py -->

Environment variables that chainrule reads. A word that a switch does not know is an error that lists the right ones.

| variable | words | meaning |
| --- | --- | --- |
"""


def page() -> str:
    """Return the whole page."""
    rows = [
        f"| `{switch.name}` | {', '.join(f'`{word}`' for word in switch.words) or 'free text'} | {switch.meaning} |\n"
        for switch in SWITCHES
    ]
    return HEAD + "".join(rows)


def main() -> None:
    """Write the page."""
    (pathlib.Path(__file__).resolve().parent.parent / "docs" / "config.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
