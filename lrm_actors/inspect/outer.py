"""Where the outer watchdog's log is, beside an agent's."""

from __future__ import annotations

from pathlib import Path

DIRECTORY, NAME = "outer", "outer.db"
"""A directory of its own, because the lock of a log is its directory's; and a name of its own, so that nobody who looks
for agents' logs takes it for one."""


def outer_log(log: Path) -> Path:
    """The watchdog's log that belongs beside an agent's."""
    return log.parent / DIRECTORY / NAME
