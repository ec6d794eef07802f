"""What is told of a running actor: plain frozen records, each of one moment."""

from __future__ import annotations

from eventstore.frozen import frozen
from lrm_actors.runtime.inspection.counters import LastError


@frozen
class InHand:
    """The turn that an actor is in."""

    type: str
    """Class of the message that is being decided on; name of the wired event; ``recover``; or ``append``."""
    age_s: float
    """Seconds since it entered its code; of an append, since the turn began."""
    command_id: str | None
    asked: bool
    """Somebody waits for the reply."""
    messages: int
    """Messages of the turn."""


@frozen
class MailboxStatus:
    """What waits for an actor."""

    depth: int
    capacity: int
    oldest_age_s: float
    """Seconds that the oldest message waits, at most; 0 when none does."""
    stashed: int
    """Messages that the actor keeps for later."""
    dropped: int
    """Messages that made room for newer ones."""
    dead_letters: int
    closed: bool


@frozen
class TimerStatus:
    """A timer that has not fired."""

    key: str
    due_in_s: float


@frozen
class EffectStatus:
    """An effect that a worker is carrying out."""

    actor: str
    effect: str
    age_s: float
    stack: tuple[str, ...] = ()


@frozen
class ZombieStatus:
    """A thread that hangs in a handler though its actor has a successor."""

    name: str
    """The actor's."""
    age_s: float
    handling: str
    stack: tuple[str, ...]


@frozen
class SupervisedStatus:
    """What the supervisor has on record of an actor or a component."""

    status: str
    attempt: int
    last_error: str


@frozen
class ActorStatus:
    """One actor at one moment."""

    name: str
    parent: str | None
    """Its supervisor; None for the supervisor itself, which the guardian looks after."""
    children: tuple[str, ...]
    """Names of the actors that it supervises."""
    phase: str
    """``starting``, ``running``, ``suspended``, ``failed``, ``no_storage``, ``halted``, ``stopped``."""
    version: int
    epoch: int | None
    mailbox: MailboxStatus
    in_hand: InHand | None
    restarts: int
    failures: int
    last_error: LastError | None
    last_error_age_s: float | None
    supervised: SupervisedStatus | None
    timers: tuple[TimerStatus, ...]
    stack: tuple[str, ...]
    """Where its thread is, when it has been there for a while."""


@frozen
class ActorCounts:
    """The statistics of one actor since the system started."""

    name: str
    messages: int
    replies: int
    events: int
    effects: int
    turns: int
    turn_s: float
    longest_turn_s: float
    largest_turn: int
    failures: int
    restarts: int


@frozen
class AskStatus:
    """An ask that has not been answered yet."""

    to: str
    type: str
    age_s: float
    command_id: str
