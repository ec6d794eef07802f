"""How things are printed: data on stdout, talk on stderr, colours only where somebody looks."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import IO, Any

import click

from lrm_actors.inspect.plain import plain, plain_json, plain_lines

STYLES: dict[str, dict[str, Any]] = {
    "dim": {"dim": True},
    "good": {"fg": "green"},
    "warn": {"fg": "yellow"},
    "bad": {"fg": "red"},
    "name": {"bold": True},
}
# Characters that no text has: whatever else commands a terminal is spelled out before these become colours.
_BEGINS = {style: chr(0xFDD0 + number) for number, style in enumerate(STYLES)}
_ENDS = "\ufddf"
_MARKS = frozenset((*_BEGINS.values(), _ENDS))


BARS = "▁▂▃▄▅▆▇█"
UNKNOWN_BAR = "·"


def colours() -> bool:
    """Whether stdout is a terminal that shows colours, and nobody said ``NO_COLOR``."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return sys.stdout is not None and sys.stdout.isatty()


def paint(text: str, style: str) -> str:
    """A text in a style, where there are colours. It is marked only; ``say`` turns the marks into colours."""
    return f"{_BEGINS[style]}{text}{_ENDS}" if colours() else text


def say(line: str = "", *, err: bool = False) -> None:
    """A line of data, or several. Of what it was made from, only what ``paint`` marked commands the terminal."""
    safe = plain_lines(line)
    for style, mark in _BEGINS.items():
        safe = safe.replace(mark, click.style("", **STYLES[style], reset=False))
    click.echo(safe.replace(_ENDS, click.style("")), err=err, color=colours())


def talk(line: str) -> None:
    """A line about what is being done, or several. That nobody can be told changes nothing of it."""
    try:
        click.echo(plain_lines(line), err=True)
    except OSError:  # who read it is gone, or its disk is full
        silence(sys.stderr)


def silence(stream: IO[str] | None) -> None:
    """Let whatever is still to be written to a stream go nowhere, so that it does not fail at exit."""
    if stream is not None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def document(name: str, data: dict[str, Any]) -> None:
    """One JSON document, whose ``schema`` says what it is."""
    click.echo(plain_json(json.dumps({"schema": f"lrm.{name}/1", **data}, ensure_ascii=False, indent=2)))


def json_document(data: Any) -> None:
    """One JSON document that has its ``schema`` already."""
    click.echo(plain_json(json.dumps(data, ensure_ascii=False, indent=2)))


def json_line(name: str, data: dict[str, Any]) -> None:
    """One JSON document on one line."""
    click.echo(plain_json(json.dumps({"schema": f"lrm.{name}/1", **data}, ensure_ascii=False)))


def say_line(line: str) -> None:
    """One line of data, however many those are that it was made from."""
    say(plain(line))


def table(rows: Iterable[Sequence[str]], *, indent: str = "") -> None:
    """Rows in aligned columns, each on one line; the last column is as long as it is."""
    every = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*every, strict=True)] if every else []
    for row in every:
        cells = [cell + " " * (width - _width(cell)) for cell, width in zip(row[:-1], widths, strict=False)]
        say_line((indent + "  ".join([*cells, row[-1]])).rstrip())


def _width(cell: str) -> int:
    return sum(char not in _MARKS for char in cell)


def clock_time(wall_s: float) -> str:
    """The time of day here, to the millisecond."""
    return datetime.fromtimestamp(wall_s).astimezone().strftime("%H:%M:%S.%f")[:-3]


def day_time(wall_s: float) -> str:
    """Day and time here."""
    return datetime.fromtimestamp(wall_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def iso_time(wall_s: float) -> str:
    """Day and time as UTC."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds")


def sparkline(values: Iterable[float | None], *, width: int = 40) -> str:
    """Percentages as a line of bars, the newest at the right; a dot for what was not known.

    Args:
        values: from 0 to 100, oldest first.
        width: bars at most; the oldest go.
    """
    shown = list(values)[-width:]
    last = len(BARS) - 1
    return "".join(UNKNOWN_BAR if one is None else BARS[min(last, max(0, int(one * len(BARS) / 100)))] for one in shown)


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
