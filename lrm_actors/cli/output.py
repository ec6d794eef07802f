"""How things are printed: data on stdout, talk on stderr, colours only where somebody looks."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

STYLES: dict[str, dict[str, Any]] = {
    "dim": {"dim": True},
    "good": {"fg": "green"},
    "warn": {"fg": "yellow"},
    "bad": {"fg": "red"},
    "name": {"bold": True},
}


def colours() -> bool:
    """Whether stdout is a terminal that shows colours, and nobody said ``NO_COLOR``."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and sys.stdout.isatty()


def paint(text: str, style: str) -> str:
    """A text in a style, where there are colours."""
    return click.style(text, **STYLES[style]) if colours() else text


def say(line: str = "") -> None:
    """A line of data."""
    click.echo(line, color=colours())


def talk(line: str) -> None:
    """A line about what is being done."""
    click.echo(line, err=True)


def document(name: str, data: dict[str, Any]) -> None:
    """One JSON document, whose ``schema`` says what it is."""
    click.echo(json.dumps({"schema": f"lrm.{name}/1", **data}, ensure_ascii=False, indent=2))


def json_line(name: str, data: dict[str, Any]) -> None:
    """One JSON document on one line."""
    click.echo(json.dumps({"schema": f"lrm.{name}/1", **data}, ensure_ascii=False))


def table(rows: Iterable[Sequence[str]], *, indent: str = "") -> None:
    """Rows in aligned columns; the last column is as long as it is."""
    every = [list(row) for row in rows]
    widths = [max(map(_width, column)) for column in zip(*every, strict=True)] if every else []
    for row in every:
        cells = [cell + " " * (width - _width(cell)) for cell, width in zip(row[:-1], widths, strict=False)]
        say((indent + "  ".join([*cells, row[-1]])).rstrip())


def _width(cell: str) -> int:
    return len(click.unstyle(cell))


def clock_time(wall_s: float) -> str:
    """The time of day here, to the millisecond."""
    return datetime.fromtimestamp(wall_s).astimezone().strftime("%H:%M:%S.%f")[:-3]


def day_time(wall_s: float) -> str:
    """Day and time here."""
    return datetime.fromtimestamp(wall_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def iso_time(wall_s: float) -> str:
    """Day and time as UTC."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds")


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3m12s``, ``19h04m``, ``5d03h``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    for unit_s, name, smaller_s, smaller in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= unit_s:
            return f"{int(seconds // unit_s)}{name}{int(seconds % unit_s // smaller_s):02d}{smaller}"
    return f"{seconds:.0f} s"


def size(count: float) -> str:
    """``512 B``, ``1.4 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def count(number: int, what: str) -> str:
    """``1 event``, ``3 events``."""
    return f"{number} {what}{'' if number == 1 else 's'}"
