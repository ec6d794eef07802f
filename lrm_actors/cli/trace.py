"""``lrm trace``: the messages, events and replies of a running agent's actors, as they come."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import click

from lrm_actors.cli.asking import ask
from lrm_actors.cli.common import Request, on_a_log
from lrm_actors.cli.output import json_line, say_line, talk

POLL_S = 0.2


@click.command(epilog="Exit codes: 0 traced, 13 no process is alive, or it does not answer.")
@click.option("--actor", "actors", metavar="NAME", multiple=True, help="Only this actor. May be given again.")
@click.option("--seconds", metavar="SECONDS", type=click.FloatRange(0.0, 86_400.0), help="Until Ctrl-C otherwise.")
@click.option("--bodies", is_flag=True, help="Show what is in messages, events and replies. It may be secret.")
@on_a_log
def command(*, actors: tuple[str, ...], seconds: float | None, bodies: bool, request: Request) -> None:
    """Show what the actors of a running agent are given and do, as it happens.

    Its process is asked over a socket beside the log. Types and ids are shown, and positions in the log.
    """
    path = request.path()
    _ask(path, {"do": "start", "actors": list(actors) or None, "bodies": bodies})
    try:
        with contextlib.suppress(KeyboardInterrupt):
            _follow(path, None if seconds is None else time.monotonic() + seconds, as_json=request.json)
    finally:
        _ask(path, {"do": "stop"})


def _follow(path: Path, until_s: float | None, *, as_json: bool) -> None:
    """Print what is new, again and again."""
    last = 0
    while True:
        over = until_s is not None and time.monotonic() >= until_s
        told = _ask(path, {"do": "read", "after": last})
        for entry in told["entries"]:
            if entry["number"] > last + 1:
                talk(f"{entry['number'] - last - 1} entries came too fast to be kept")
            last = entry["number"]
            if as_json:
                json_line("trace", entry)
            else:
                say_line(_line(entry))
        if not told["entries"]:
            if over or not told["on"]:
                return
            time.sleep(POLL_S)


def _ask(path: Path, arguments: dict[str, Any]) -> Any:
    return ask(path, "trace", arguments)


def _line(entry: dict[str, Any]) -> str:
    from lrm_actors.runtime.inspection.rendering import trace_line

    return trace_line(entry)
