"""What the watchdog puts on record: handlers that are slow, actors that were taken from a hung one, and its own end.

A stream of its own, which nobody acquires and no actor folds: the watchdog must be able to say so when the supervisor
itself is the one that hangs.
"""

from __future__ import annotations

from eventstore.events import event

STREAM = "watchdog"
HUNG = "hung again and again"
"""Why a message is put aside: it hung its actor as often as its actor allows one message to fail."""


@event("watchdog.handler_slow", 1)
class HandlerSlow:
    """A message has been in hand for longer than its actor's soft limit."""

    actor: str
    handling: str
    """Type of the command in hand, of the wired event, or ``recover``."""
    command_id: str
    elapsed_s: float
    """Seconds it was seen in hand; those in which the whole process stood still do not count."""
    stack: str
    """Where the handler was, innermost call last, shortened."""


@event("watchdog.actor_taken_over", 1)
class ActorTakenOver:
    """A handler hung: a successor has the mailbox, with the turn in hand, and the stream under a new epoch."""

    actor: str
    handling: str
    command_id: str
    elapsed_s: float
    stack: str
    attempts: int
    """How often this message has failed or hung by now."""
    zombies: int
    """Threads of this process that hang, this one included."""


@event("watchdog.exhausted", 1)
class WatchdogExhausted:
    """One more actor hangs than may: it is taken over no more, and the process is to be replaced."""

    actor: str
    handling: str
    elapsed_s: float
    stack: str
    zombies: int
