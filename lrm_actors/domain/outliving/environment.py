"""The variables in which ``lrm run`` tells the process that it starts what concerns it: the one list of both sides."""

from __future__ import annotations

HEARTBEAT_FD = "LRM_HEARTBEAT_FD"
"""Number of the descriptor that takes heartbeats: each byte written to it is one."""
HEARTBEAT_PIPE = "LRM_HEARTBEAT_PIPE"
"""Device and inode of that pipe, ``12:34567``: in a process further down the number may mean something else."""
HEARTBEAT_EVERY_S = "LRM_HEARTBEAT_EVERY_S"
"""Seconds after which another heartbeat is wanted."""
STEP_TIMEOUT_S = "LRM_STEP_TIMEOUT_S"
"""Seconds that a step of a host without an event loop may take without a word to the journal."""
PREDECESSOR_EXIT = "LRM_PREDECESSOR_EXIT"
"""Exit status of the process before, negative for a signal. Not set where there was none, or nobody saw it."""
OUTER_LOG = "LRM_OUTER"
"""The watchdog's log, and the position in it of this start: ``/path/outer.db#12``. Marks whatever is below it."""

ALL = (HEARTBEAT_FD, HEARTBEAT_PIPE, HEARTBEAT_EVERY_S, STEP_TIMEOUT_S, PREDECESSOR_EXIT, OUTER_LOG)

BEAT = b"."
QUIET = b"\x04"
"""The one byte that is no heartbeat: none is to be expected until the next one (the process ends watching itself)."""


def outer_mark(path: str, position: int) -> str:
    """The value of ``LRM_OUTER``."""
    return f"{path}#{position}"


def read_mark(text: str) -> tuple[str, int]:
    """The log and the position in a value of ``LRM_OUTER``; an empty path where it is none."""
    path, _, digits = text.rpartition("#")
    return (path, int(digits)) if path and digits.isascii() and digits.isdigit() else ("", 0)
