"""Writes the table of ``docs/explanation/planted-bugs.md`` from the bugs and from what a run of kills came to.

``python3 -m tests.mutants.page --kill9 kills.json``; without it the last column stays as it is.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from tests.docs.markdown import ROOT
from tests.mutants.planted import BUGS

PAGE = ROOT / "docs/explanation/planted-bugs.md"
PLANTED = "| bug | what is wrong | where | caught by | plain `kill -9` |"


def rows_after(text: str, header: str) -> list[list[str]]:
    """The cells of the rows of the table with this header."""
    _, _, rest = text.partition(f"{header}\n")
    lines = rest.split("\n")[1:]
    end = next(index for index, line in enumerate(lines) if not line.startswith("|"))
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[:end]]


def with_rows(text: str, header: str, rows: list[list[str]]) -> str:
    """The page with other rows in that table."""
    before, found, rest = text.partition(f"{header}\n")
    assert found, f"the page has no table {header}"
    separator, _, rest = rest.partition("\n")
    while rest.startswith("|"):
        _, _, rest = rest.partition("\n")
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return f"{before}{header}\n{separator}\n{table}{rest}"


def planted_rows(killed: dict[str, bool]) -> list[list[str]]:
    """A row for each planted bug."""
    return [
        [
            f"`{bug.name}`",
            bug.what.replace("|", "\\|").replace("\n    ", " "),
            f"`{bug.where}`",
            f"`{bug.caught_by}`",
            "yes" if killed.get(bug.name) else "no",
        ]
        for bug in BUGS.values()
    ]


def main(arguments: list[str]) -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kill9", type=Path)
    options = parser.parse_args(arguments)
    text = PAGE.read_text(encoding="utf-8")
    killed = {row[0].strip("`"): row[4] == "yes" for row in rows_after(text, PLANTED)}
    if options.kill9 is not None:
        told = json.loads(options.kill9.read_text(encoding="utf-8"))
        killed |= {name: bool(what) for name, what in told.items()}
    PAGE.write_text(with_rows(text, PLANTED, planted_rows(killed)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
