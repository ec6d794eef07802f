"""What is put on record when a running agent removes the oldest events of its own log, because it had grown."""

from __future__ import annotations

from eventstore.events import event

STREAM = "log"
"""Nobody acquires it: there is no state."""


@event("log.trimmed", 1)
class LogTrimmed:
    """The oldest events were removed, as far as nothing needed them."""

    removed: int
    """Events that went."""
    first: int
    """Position of the oldest event kept."""
    freed_bytes: int
    because: str
    """``size`` or ``age``: the limit that was passed."""
    held_by: str
    """What kept the next event: ``policy``, ``cursor NAME`` or ``stream NAME``."""
