"""What an actor's thread has in hand while it is inside pure code: since when, and of which turn.

Written by the actor's thread twice a turn, never per message; read by the watchdog. Whoever comes first settles a turn:
the thread, by leaving its code, or the watchdog, by giving the actor to a successor. Time spent in the store lies
outside, so a slow disk is no hung handler.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from lrm_actors.runtime.envelope import Envelope


class Abandoned(BaseException):
    """Ends the thread of a shell whose actor has a successor. Nobody but the thread's own end sees it."""


class Hand:
    """The hand of one shell."""

    __slots__ = ("_lock", "_now", "abandoned", "batch", "delivery", "entries", "since_s", "thread_id", "turn")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.since_s: float | None = None
        """Monotonic time at which the thread entered pure code; None outside of it."""
        self.entries = 0
        """How often it did: tells one stay from the next."""
        self.turn: Any = None
        """The turn that is decided; its outcomes say how far it came. None in recovery."""
        self.batch: Sequence[Envelope] = ()
        """The messages of the turn, when those are what is decided on."""
        self.delivery: Any = None
        """The wired event that is decided on."""
        self.thread_id: int | None = None
        self.abandoned = False
        """A successor has the actor; set only while the thread is inside pure code."""

    def enter(self, now_s: float, turn: Any = None, batch: Sequence[Envelope] = ()) -> None:
        """The thread goes into pure code."""
        self.turn = turn
        self.batch = batch
        self.delivery = None
        self.entries += 1
        self.since_s = now_s

    def leave(self) -> None:
        """The thread is out of it again, and what it decided is its own to commit.

        Raises:
            Abandoned: it took so long that a successor has the actor; nothing of this turn may become true.
        """
        with self._lock:
            self.since_s = None
            if self.abandoned:
                raise Abandoned

    def abandon(self, entry: int) -> bool:
        """Take the actor from the thread, if it is still in the stay of this number. Says whether it was."""
        with self._lock:
            if self.since_s is None or self.entries != entry or self.abandoned:
                return False
            self.abandoned = True
            return True

    def message(self) -> Envelope | None:
        """The very message that is decided on; None in recovery, and for a wired event."""
        turn, batch = self.turn, self.batch
        decided = 0 if turn is None else len(turn.outcomes)
        return batch[decided] if decided < len(batch) else None
