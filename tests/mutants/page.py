"""Writes the tables of ``docs/explanation/planted-bugs.md`` from the bugs and from what a run of each list came to.

``python3 -m tests.mutants.page --kill9 kills.json --generic mutants.json``; what is not given stays as it is.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path

from tests.docs.markdown import ROOT
from tests.mutants.planted import BUGS

PAGE = ROOT / "docs/explanation/planted-bugs.md"
SURVIVORS = ROOT / "tests/mutants/survivors.json"
PLANTED = "| bug | what is wrong | where | caught by | plain `kill -9` |"
AREAS = "| area | changes | killed at first | killed now |"
LEFT = "| where | was | became | why it is harmless |"


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


def area_rows(met: list[dict[str, object]]) -> list[list[str]]:
    """A row for each area, and one for all."""
    areas = sorted({_area(one) for one in met})
    rows = [(area, [one for one in met if _area(one) == area]) for area in areas]
    return [
        [
            name,
            str(len(there)),
            _share(sum(not one["survived_at_first"] for one in there), len(there)),
            _share(sum(not one["survived"] for one in there), len(there)),
        ]
        for name, there in [*rows, ("all", met)]
    ]


def _area(one: dict[str, object]) -> str:
    module = str(one["module"])
    if module.startswith("eventstore/"):
        return "the store's writer"
    return f"`{'/'.join(module.split('/')[:2])}`"


def _share(part: int, whole: int) -> str:
    return f"{part} ({100 * part / max(1, whole):.1f} %)"


def survivor_rows() -> list[list[str]]:
    """A row for each change that survived, with the reason that somebody gave."""
    known = json.loads(SURVIVORS.read_text(encoding="utf-8"))
    return [[f"`{one['where']}`", _code(one["was"]), _code(one["became"]), one["why"]] for one in known]


def _code(text: str) -> str:
    escaped = text.strip().replace("|", "\\|")
    return f"`` {escaped} ``" if "`" in escaped else f"`{escaped}`"


def _changed(diff: str) -> tuple[str, str]:
    """The line that a change takes away, and the one that it puts there."""
    lines = diff.splitlines()
    gone = [line[1:].strip() for line in lines if line.startswith("-") and not line.startswith("---")]
    came = [line[1:].strip() for line in lines if line.startswith("+") and not line.startswith("+++")]
    return next(filter(None, gone), ""), next(filter(None, came), "")


def main(arguments: list[str]) -> int:
    """Write the page, and say which survivors nobody has given a reason for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kill9", type=Path)
    parser.add_argument("--generic", type=Path)
    options = parser.parse_args(arguments)
    text = PAGE.read_text(encoding="utf-8")
    killed = {row[0].strip("`"): row[4] == "yes" for row in rows_after(text, PLANTED)}
    if options.kill9 is not None:
        told = json.loads(options.kill9.read_text(encoding="utf-8"))
        killed |= {name: bool(what) for name, what in told.items()}
    text = with_rows(text, PLANTED, planted_rows(killed))
    missing = 0
    if options.generic is not None:
        met = json.loads(options.generic.read_text(encoding="utf-8"))
        text = with_rows(text, AREAS, area_rows(met))
        known = Counter((one["where"], one["became"]) for one in json.loads(SURVIVORS.read_text(encoding="utf-8")))
        for one in met:
            was, became = _changed(one["diff"])
            if one["survived"] and not known[one["module"], became]:
                missing += 1
                print(json.dumps({"where": one["module"], "was": was, "became": became, "why": ""}))
        text = with_rows(text, LEFT, survivor_rows())
    PAGE.write_text(text, encoding="utf-8")
    return missing


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
