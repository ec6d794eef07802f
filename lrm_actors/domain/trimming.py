"""What is put on record of the log itself: that its oldest events were removed, or its file had to be made anew."""

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


@event("log.put_back", 1)
class LogPutBack:
    """A file of the log was removed while it was in use, and is there again, with everything that was in it."""

    because: str
    """What was seen, in words."""
    through: int
    """Position of the newest event then."""
