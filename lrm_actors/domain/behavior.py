"""The words every actor is written in: command, event, state, effect; and what binds them, ``Spec`` and ``Wire``.

An actor is two pure functions. ``decide(state, command, ctx) -> Decision`` says what shall happen, as events, effects
and a reply. ``evolve(state, event) -> state`` says what an event changes. The runtime appends the events, and only then
adopts the new state, answers, and carries out the effects. Replay calls ``evolve`` alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from msgspec import Struct

from eventstore.events import name_of
from eventstore.frozen import frozen
from eventstore.records import Attachment, Instant, Record
from lrm_actors.errors import BadDecision, BadSpec, ReplyMissing, WiringError

S = TypeVar("S")

MAX_BLOCK_S = 3600.0
"""Seconds that a sender may wait for room, at most."""
MAX_DEPTH = 32
"""Wired hand-overs from one outside trigger before a decision is refused: past it there is a loop in the wiring."""


class Command:
    """Base of every command: an imperative, never stored. Subclasses are ``attrs.frozen``."""

    __slots__ = ()

    def where_nothing_fits(self, message: str) -> Command:
        """What is handled in its place when the disk had no room for what was decided on it; by default it waits.

        Only where it was told: whoever asked gets an error. For a command whose events or attachments are large, and
        that is not worth holding up everything else until there is room.

        Args:
            message: what the storage said.
        """
        del message
        return self


class Effect:
    """Base of every effect: data that describes a side effect. Subclasses are ``attrs.frozen``.

    How an effect is carried out says the system's ``handlers``: a function for each type. It runs after the commit of
    its decision, on a worker thread, and what it returns, a command or None, comes back to the actor that decided it.
    """

    __slots__ = ()


@frozen
class StartTimer(Effect):
    """Send ``command`` to this actor after a delay. A timer of the same key is replaced.

    Raises:
        BadDecision: the delay is no finite number, or the command is none.
    """

    key: str
    delay_s: float
    """Seconds, finite; 0 or less is at once."""
    command: Command

    def __attrs_post_init__(self) -> None:
        """Refuse what could only go wrong later, on another thread."""
        delay_s: Any = self.delay_s
        if not isinstance(delay_s, int | float) or not math.isfinite(delay_s):
            hint = "give it seconds, as a finite number"
            raise BadDecision(f"timer {self.key!r}: its delay is {delay_s!r}", hint=hint)
        if not isinstance(self.command, Command):
            hint = "give it an instance of a subclass of Command"
            raise BadDecision(f"timer {self.key!r}: {self.command!r:.80} is no Command", hint=hint)


@frozen
class CancelTimer(Effect):
    """Forget a timer. Nothing happens if there is none."""

    key: str


class Context(Struct, frozen=True):
    """Everything a decision may know besides state and command; a test can replay it exactly."""

    now: Instant
    command_id: str
    correlation_id: str
    cause: int | None = None
    """Position of the event that led to this command; None from outside."""
    depth: int = 0
    random: Callable[[], float] = lambda: 0.5
    """A number in ``[0, 1)``."""
    new_id: Callable[[], str] = lambda: "id"
    """A fresh id that sorts by time."""


START, RESTART, TAKEOVER, STORAGE = "start", "restart", "takeover", "storage"
"""Why an actor recovers: its process has started, it failed, it replaces one that hung, the log can be used again."""


class RecoveryContext(Context, frozen=True):
    """What ``recover`` may know: the actor's state is what the log says, and no message has been handled since."""

    why: str = START
    """``start``, ``restart``, ``takeover`` or ``storage``."""


@frozen
class Next:
    """What becomes of the command and of the actor, besides events, effects and reply. Made by ``then`` and others."""

    stash: bool = False
    """Put the command off until ``unstash``."""
    unstash: bool = False
    """Handle what was put off next, before everything that waits."""
    stop: str | None = None
    """End the actor after the commit, and why."""
    unhandled: str | None = None
    """The command is not for this actor, or not now, and why."""


@frozen
class Decision:
    """What shall happen. Make one with ``then``, ``stash`` or ``unhandled``."""

    events: tuple[object, ...] = ()
    effects: tuple[Effect, ...] = ()
    reply: Any = None
    attachments: tuple[Attachment, ...] = ()
    discard: tuple[str, ...] = ()
    next: Next | None = None
    folded: Any = None
    """The state after the first event, where ``decide`` folded it already."""


NOTHING = Decision()
"""Nothing shall happen; an asker gets None."""


def then(
    *events: object,
    effects: Iterable[Effect] = (),
    reply: Any = None,
    attachments: Iterable[Attachment] = (),
    discard: Iterable[str] = (),
    unstash: bool = False,
    stop: str | None = None,
    folded: Any = None,
) -> Decision:
    """Decide on events, in order and atomically.

    The first event is caused by whatever led to the command; each further one by the event before it. ``effects`` are
    carried out after the commit; what comes back from them is caused by the last event, or by nothing without one.
    ``reply`` must be a JSON value when there are events, because it is kept for retries.

    With ``unstash`` the commands that were put off with ``stash`` are handled next, in their order and before whatever
    waits. With ``stop``, the reason, the actor ends once this is committed, answered, and its effects are begun: that
    is no failure, and what waits gets ``ActorStopped``.

    ``folded`` is for an actor whose ``evolve`` is dear and whose ``decide`` needs what it gives for the first event: it
    is taken in place of folding that again, and must be the same.
    """
    following = Next(unstash=unstash, stop=stop) if unstash or stop is not None else None
    return Decision(tuple(events), tuple(effects), reply, tuple(attachments), tuple(discard), following, folded)


_STASH = Decision(next=Next(stash=True))


def stash() -> Decision:
    """Put the command off until a decision says ``unstash``; nothing else happens, and an asker keeps waiting.

    At most ``Spec.stash_capacity`` are kept, in memory: they outlive restarts of the actor and not the process. A wired
    event is not taken out of the log instead, and holds up those after it; so it outlives the process too.
    """
    return _STASH


def unhandled(reason: str = "") -> Decision:
    """Refuse a command: an asker gets ``CommandUnhandled``, a told one is a dead letter. Nothing is restarted."""
    return Decision(next=Next(unhandled=reason or "it has no use for it"))


def must_reply(decide: Callable[[S, Any, Context], Decision]) -> Callable[[S, Any, Context], Decision]:
    """Make every decision of ``decide`` have a reply, be put off or be refused; for actors whose callers count on one.

    Raises (the result, as any failure of the actor):
        ReplyMissing: the reply is None, which is what a forgotten one looks like.
    """

    @functools.wraps(decide)
    def checked(state: S, command: Any, ctx: Context) -> Decision:
        decision = decide(state, command, ctx)
        following = decision.next
        answered = following is not None and (following.stash or following.unhandled is not None)
        if decision.reply is None and not answered:
            raise ReplyMissing(f"the decision on {type(command).__name__} has no reply")
        return decision

    return checked


REFUSE, DROP_OLDEST, BLOCK = "refuse", "drop_oldest", "block"
"""What a full mailbox does: refuse the new message, drop the oldest that waits, have the sender wait for room."""


@frozen
class Spec(Generic[S]):
    """One actor: its name, its two functions, and its limits."""

    name: str
    """Name and stream, ``category`` or ``category/instance``."""
    initial: S
    """The state before the first event: an attrs instance that msgspec can encode, or its snapshots cannot be kept."""
    decide: Callable[[S, Any, Context], Decision]
    evolve: Callable[[S, Any], S]
    recover: Callable[[S, RecoveryContext], Decision] | None = None
    """Called once after each recovery, before the first message: start timers, take up intents again."""
    snapshot_every: int = 500
    """Events between snapshots, 0 for none."""
    snapshot_when: Callable[[S, Any], bool] | None = None
    """Also a snapshot with the turn of an event for which this says so, given the state after it and it. Pure."""
    snapshot_at_stop: bool = True
    """Also a snapshot when the actor is stopped in order, if there were events since the last."""
    state_version: int = 1
    """Raise it when the state class changes; snapshots of other versions are then ignored."""
    mailbox_capacity: int = 10_000
    """Messages that may wait."""
    mailbox_policy: str = REFUSE
    """What becomes of one more: ``refuse`` ends it with ``MailboxFull``, ``drop_oldest`` has it take the place of the
    oldest, whose asker gets ``MessageDropped``, and ``block`` has its sender wait."""
    mailbox_block_s: float = 1.0
    """Seconds that a sender waits for room with ``block``; then ``MailboxFull``."""
    stash_capacity: int = 1_000
    """Commands that may be put off with ``stash``; one more ends with ``StashFull``."""
    quarantine_after: int = 3
    """Failures of one and the same message after which it is put aside: a dead letter, or a skipped delivery."""
    slow_after_s: float | None = None
    """Seconds one message may be in hand before that is put on record; None for the system's limit, inf for none."""
    hung_after_s: float | None = None
    """Seconds after which a successor takes the actor from its hung handler; None and inf as above."""
    commands: tuple[type[Command], ...] = ()
    """The commands that a dead letter of this actor may be made into again; by default those that the module of
    ``decide`` knows."""

    def __attrs_post_init__(self) -> None:
        """Refuse what could only go wrong later."""
        name: Any = self.name
        if not isinstance(name, str) or not name or "\0" in name:
            raise BadSpec(repr(name), "name", name, "text that is not empty and has no NUL")
        for field in ("decide", "evolve"):
            self._must(callable(getattr(self, field)), field, "a function")
        for field in ("recover", "snapshot_when"):
            self._must(getattr(self, field) is None or callable(getattr(self, field)), field, "a function, or None")
        self._must(not isinstance(self.initial, type), "initial", "a state, an instance and not its class")
        if self.mailbox_policy not in {REFUSE, DROP_OLDEST, BLOCK}:
            raise BadSpec(self.name, "mailbox_policy", self.mailbox_policy, "refuse, drop_oldest or block")
        block_s: Any = self.mailbox_block_s
        bounded = isinstance(block_s, int | float) and 0 < block_s < MAX_BLOCK_S
        self._must(bounded, "mailbox_block_s", f"more than 0 and under {MAX_BLOCK_S:g}")
        limits = (("mailbox_capacity", 1), ("stash_capacity", 0), ("snapshot_every", 0), ("quarantine_after", 1))
        for field, least in limits:
            value = getattr(self, field)
            if not isinstance(value, int) or value < least:
                raise BadSpec(self.name, field, value, f"a whole number of at least {least}")
        for field in ("slow_after_s", "hung_after_s"):
            value = getattr(self, field)
            above = value is None or (isinstance(value, int | float) and value > 0)
            self._must(above, field, "more than 0 (seconds), or None")

    def _must(self, holds: bool, field: str, allowed: str) -> None:
        if not holds:
            raise BadSpec(self.name, field, getattr(self, field), allowed)

    @property
    def category(self) -> str:
        """The name up to the first slash."""
        return self.name.partition("/")[0]

    @property
    def state_schema(self) -> str:
        """Names the form of this actor's snapshots."""
        return f"{self.category}/{self.state_version}"


@frozen
class Wire:
    """One line of the wiring table: an event type, and the command it becomes for another actor."""

    event: type
    to: str
    """Name of the consuming actor."""
    make: Callable[[Any, Record], Command | None]
    """Event and its record to a command; None when this one is not for the consumer. Pure."""
    start: str = "beginning"
    """Where a consumer without a cursor begins: ``beginning`` or ``end`` of the log."""

    def __attrs_post_init__(self) -> None:
        """Refuse what could only go wrong later.

        Raises:
            NotAnEvent: ``event`` is no class that was declared with ``@event``.
            WiringError: ``make`` is no function, or ``start`` is no place.
        """
        row = f"{self.event_name} to {self.to!r}"
        if not callable(self.make):
            raise WiringError(f"{row}: make = {self.make!r} is no function", hint="give make=lambda event, record: ...")
        if self.start not in {"beginning", "end"}:
            raise WiringError(f"{row}: start = {self.start!r} is no place", hint="start at 'beginning' or at 'end'")

    @property
    def event_name(self) -> str:
        """Stored name of the event."""
        return name_of(self.event)
