"""What the watchdog says: a line for each end, a status for whoever looks, and a report when it gives up.

Pure: text from what is known.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from lrm_actors.domain import outer
from lrm_actors.domain.outliving.deciding import told
from lrm_actors.domain.outliving.state import End, OuterState

SHOWN = 300
"""Characters of a command that are shown."""


def status_of(state: OuterState) -> str:
    """What the watchdog is at."""
    restarts = f", {state.restarts} restarts since the log began" if state.restarts else ""
    match state.status:
        case outer.UP if state.process is not None:
            beats = ", which sends heartbeats" if state.process.beats else ""
            return f"keeps process {state.process.pid} alive{beats} (start {state.start}{restarts})"
        case outer.ENDING:
            return f"ends the process: {state.ending}"
        case outer.CLEARING:
            return "ends what the process left running"
        case outer.BACKING_OFF if state.due is not None:
            return f"waits {state.due.delay_s:.1f} s before it starts the process again (start {state.start + 1})"
        case outer.GIVEN_UP | outer.OVER:
            return state.reason or "has ended"
    return "starts the process"


def line_of(state: OuterState) -> str:
    """What became of the last process, and what follows."""
    last = state.last
    ended = "it ended" if last is None else f"start {last.start} ended after {last.lasted_s:.1f} s, {told(last)}"
    if state.status == outer.BACKING_OFF and state.due is not None:
        return f"{ended}; started again in {state.due.delay_s:.1f} s"
    return ended


def report_of(state: OuterState, log: str, lines: int) -> Iterator[str]:
    """What is to be known at the end: one line, or a report where the process was given up.

    Args:
        state: at the end.
        log: the watchdog's.
        lines: of the last words that are repeated.
    """
    place = shlex.quote(str(Path(log).parent.parent))
    gave_up = state.last is not None and state.exit_code == outer.EXIT_GIVEN_UP
    if not gave_up and state.starts_in_watch:
        yield f"over: {state.reason} (exit code {state.exit_code})"
        return
    yield f"given up: {state.reason} (exit code {state.exit_code})"
    yield f"  the command: {_short(shlex.join(state.command))}"
    yield "  what happened:"
    for end in state.ends:
        yield f"    {_told(end)}"
    last = state.last
    if last is not None and last.last_words:
        yield "  what it said last:"
        for line in last.last_words.splitlines()[-lines:]:
            yield f"    {line}"
    yield f"  the whole story: lrm log --log {place}"
    yield f"  and why: lrm why outer.given_up --log {place}"


def _told(end: End) -> str:
    return f"start {end.start}: {told(end)} after {end.lasted_s:.1f} s"


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
