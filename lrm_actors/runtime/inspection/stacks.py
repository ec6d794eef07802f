"""Where a thread is at this moment, as text. Takes a look at the interpreter's frames; stops no thread."""

from __future__ import annotations

import threading

from lrm_actors.runtime import frames

FRAMES_SHOWN = 30
"""The innermost so many."""
LINE_LIMIT = 300
"""Characters of a line."""


def stack_of(thread_id: int | None) -> tuple[str, ...]:
    """The frames of a thread, the outermost first, two lines each; empty when it is not there any more.

    Source lines are shown and no values. Costs some tens of microseconds, and reading the source files the first time.
    """
    shown = frames.stack_of(thread_id, FRAMES_SHOWN + 1)
    if shown is None:
        return ()
    lines = []
    if len(shown) > FRAMES_SHOWN:
        shown.pop()
        lines.append("… frames outside of these are left out")
    for one in reversed(shown):
        lines.append(f"{one.filename}:{one.lineno} in {one.name}"[:LINE_LIMIT])
        if one.line:
            lines.append(f"    {one.line}"[:LINE_LIMIT])
    return tuple(lines)


def main_thread_stack() -> tuple[str, ...]:
    """The frames of the process's main thread."""
    return stack_of(threading.main_thread().ident)
