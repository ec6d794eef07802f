"""The words every actor is written in: command, event, state, effect; and what binds them, ``Spec`` and ``Wire``.

An actor is two pure functions. ``decide(state, command, ctx) -> Decision`` says what shall happen, as events, effects
and a reply. ``evolve(state, event) -> state`` says what an event changes. The runtime appends the events, and only then
adopts the new state, answers, and carries out the effects. Replay calls ``evolve`` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

import attrs

from eventstore.events import name_of
from eventstore.records import Attachment, Instant, Record

S = TypeVar("S")

MAX_DEPTH = 32
"""Wired hand-overs from one outside trigger before a decision is refused: past it there is a loop in the wiring."""


class Command:
    """Base of every command: an imperative, never stored. Subclasses are ``attrs.frozen``."""

    __slots__ = ()


class Effect:
    """Base of every effect: data that describes a side effect. Subclasses are ``attrs.frozen``.

    How an effect is carried out stands in ``lrm_actors/actors``. It runs after the commit of its decision, on a worker
    thread, and what it returns, a command or None, comes back to the actor that decided it.
    """

    __slots__ = ()


@attrs.frozen
class StartTimer(Effect):
    """Send ``command`` to this actor after a delay. A timer of the same key is replaced."""

    key: str
    delay_s: float
    command: Command


@attrs.frozen
class CancelTimer(Effect):
    """Forget a timer. Nothing happens if there is none."""

    key: str


@attrs.frozen
class Context:
    """Everything a decision may know besides state and command; a test can replay it exactly."""

    now: Instant
    command_id: str
    correlation_id: str
    cause: int | None = None
    """Position of the event that led to this command; None from outside."""
    depth: int = 0
    random: Callable[[], float] = attrs.field(default=lambda: 0.5, eq=False)
    """A number in ``[0, 1)``."""
    new_id: Callable[[], str] = attrs.field(default=lambda: "id", eq=False)
    """A fresh id that sorts by time."""


@attrs.frozen
class Decision:
    """What shall happen. Make one with ``then``."""

    events: tuple[object, ...] = ()
    effects: tuple[Effect, ...] = ()
    reply: Any = None
    attachments: tuple[Attachment, ...] = ()
    discard: tuple[str, ...] = ()


NOTHING = Decision()
"""Nothing shall happen; an asker gets None."""


def then(
    *events: object,
    effects: Iterable[Effect] = (),
    reply: Any = None,
    attachments: Iterable[Attachment] = (),
    discard: Iterable[str] = (),
) -> Decision:
    """Decide on events, in order and atomically.

    The first event is caused by whatever led to the command; each further one by the event before it. ``effects`` are
    carried out after the commit; what comes back from them is caused by the last event, or by nothing without one.
    ``reply`` must be a JSON value when there are events, because it is kept for retries.
    """
    return Decision(tuple(events), tuple(effects), reply, tuple(attachments), tuple(discard))


@attrs.frozen
class Spec(Generic[S]):
    """One actor: its name, its two functions, and its limits."""

    name: str
    """Name and stream, ``category`` or ``category/instance``."""
    initial: S
    """The state before the first event: an attrs instance that msgspec can encode, or its snapshots cannot be kept."""
    decide: Callable[[S, Any, Context], Decision]
    evolve: Callable[[S, Any], S]
    recover: Callable[[S, Context], Decision] | None = None
    """Called once after each recovery, before the first message: start timers, take up intents again."""
    snapshot_every: int = 500
    """Events between snapshots, 0 for none."""
    state_version: int = 1
    """Raise it when the state class changes; snapshots of other versions are then ignored."""
    mailbox_capacity: int = 10_000
    """Messages that may wait; one more is refused with ``MailboxFull``."""

    @property
    def category(self) -> str:
        """The name up to the first slash."""
        return self.name.partition("/")[0]

    @property
    def state_schema(self) -> str:
        """Names the form of this actor's snapshots."""
        return f"{self.category}/{self.state_version}"


@attrs.frozen
class Wire:
    """One line of the wiring table: an event type, and the command it becomes for another actor."""

    event: type
    to: str
    """Name of the consuming actor."""
    make: Callable[[Any, Record], Command | None]
    """Event and its record to a command; None when this one is not for the consumer. Pure."""
    start: str = "beginning"
    """Where a consumer without a cursor begins: ``beginning`` or ``end`` of the log."""

    @property
    def event_name(self) -> str:
        """Stored name of the event."""
        return name_of(self.event)
