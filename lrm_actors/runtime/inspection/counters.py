"""What an actor counts of itself: a few additions for each turn, always on. Talks to nobody."""

from __future__ import annotations

import attrs

from eventstore.frozen import frozen


@frozen
class LastError:
    """The newest failure of an actor."""

    kind: str
    """``start``, ``told``, ``asked``, ``wired``, ``effect``, ``stream``, ``thread``."""
    error: str
    """Class name."""
    message: str
    """Its text, shortened."""
    handling: str
    """What it was handling: a command's class name, or ``start``, ``append``, ``loop``."""
    at_s: float
    """When, on the system's monotonic clock."""


@attrs.define
class Counters:
    """Counts of one actor since the system started, over restarts and successors. Written by its own thread alone."""

    messages: int = 0
    """Messages that took effect: told, asked and wired."""
    replies: int = 0
    events: int = 0
    """Events appended."""
    effects: int = 0
    """Effects handed over to be carried out, timers included."""
    turns: int = 0
    turn_s: float = 0.0
    """Seconds spent in turns, their appends included."""
    longest_turn_s: float = 0.0
    largest_turn: int = 0
    """Messages of the turn that held the most."""
    failures: int = 0
    restarts: int = 0
    """Times it came back after a failure."""
    last_error: LastError | None = None

    def turn_ended(self, took_s: float, messages: int) -> None:
        """A turn is over, whatever became of it."""
        self.turns += 1
        self.turn_s += took_s
        self.longest_turn_s = max(self.longest_turn_s, took_s)
        self.largest_turn = max(self.largest_turn, messages)
