"""One turn of an actor: decide on several messages in a row, then make all of it true in one append.

``Turn`` is the tentative world between the log and the next commit. It decides and folds; it never writes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct

from eventstore.records import Batch, Cursor, Instant, NewEvent, Receipt, Snapshot, StreamWrite
from lrm_actors.domain.behavior import Context, Decision, Effect, Next, Spec
from lrm_actors.domain.contract import check_decision, check_state
from lrm_actors.domain.dead_letters import STREAM as DEAD_LETTERS
from lrm_actors.domain.dead_letters import Resent
from lrm_actors.domain.deliveries import DELIVERIES, DeliverySkipped
from lrm_actors.errors import CommandUnhandled
from lrm_actors.runtime.envelope import Envelope
from lrm_actors.runtime.recovery import snapshot_of


class _Deciding(threading.local):
    now = False


_deciding = _Deciding()


def is_deciding() -> bool:
    """Whether this thread is inside a ``decide`` or ``evolve``, where asking and telling are refused."""
    return _deciding.now


def set_deciding(now: bool) -> bool:
    """Mark this thread as inside pure code, or not; gives what it was. For who runs several actors on one thread."""
    before = is_deciding()
    _deciding.now = now
    return before


@contextmanager
def deciding() -> Iterator[None]:
    """Mark this thread as inside pure code."""
    _deciding.now = True
    try:
        yield
    finally:
        _deciding.now = False


class Outcome(Struct, eq=False):
    """What one message of the turn comes to, once the turn is committed."""

    envelope: Envelope
    reply: Any
    effects: tuple[Effect, ...]
    last_event: int | None
    """Index in the turn of the decision's last event: what its effects will name as their cause."""
    correlation_id: str
    depth: int
    refused: Exception | None = None
    """The asker's error, when the command was refused."""
    next: Next | None = None
    """What becomes of the command and of the actor besides."""


class Turn:
    """The tentative state of one actor and everything that is to be appended for it.

    Args:
        spec: the actor.
        state: its committed state.
        version: the version of that state.
        now: the moment the whole turn is decided at.
        new_id, random: what decisions may draw on.
    """

    # What few turns change is set on those alone: a turn is made for every message of an actor that has little to do.
    cursor: int | None = None
    ended = False
    """Nothing more is to be decided in this turn: the actor stops, or goes on with what it had put off."""
    snapshot_due = False
    """Keep the state with this turn, whatever ``snapshot_every`` says."""
    first_position: int | None = None
    """Where the events went, once appended."""
    _attachments: tuple[Any, ...] = ()
    _discard: tuple[str, ...] = ()
    _skips: tuple[NewEvent, ...] = ()
    _resent: tuple[NewEvent, ...] = ()

    def __init__(
        self,
        spec: Spec[Any],
        state: Any,
        version: int,
        *,
        now: Instant,
        new_id: Callable[[], str],
        random: Callable[[], float],
    ) -> None:
        self.spec = spec
        self.state = state
        self.base_version = version
        self.now = now
        self.events: list[NewEvent] = []
        self.outcomes: list[Outcome] = []
        self._new_id = new_id
        self._random = random
        self._receipts: dict[str, Receipt] = {}

    @property
    def version(self) -> int:
        """The version of the tentative state."""
        return self.base_version + len(self.events)

    def remembers(self, command_id: str) -> Receipt | None:
        """The receipt of a command decided earlier in this very turn."""
        return self._receipts.get(command_id)

    def decide(self, envelope: Envelope) -> None:
        """Decide on one message and fold its events. Whatever it raises, the turn is as it was before."""
        command_id = envelope.command_id or self._new_id()
        correlation_id = envelope.correlation_id or command_id
        cause, depth, new_id = envelope.cause, envelope.depth, self._new_id
        context = Context(self.now, command_id, correlation_id, cause, depth, self._random, new_id)
        _deciding.now = True  # as ``deciding()``, which costs as much as everything else here
        try:
            self.add(self.spec.decide(self.state, envelope.message, context), envelope, context)
        finally:
            _deciding.now = False

    def add(self, decision: Decision, envelope: Envelope, context: Context) -> None:
        """Fold a decision's events onto the tentative state, then keep everything it asks for."""
        check_decision(decision)
        following, last = decision.next, None
        if decision.events:
            if following is not None and following.stash:
                raise TypeError("a command is put off or carried out, not both")
            self._add_events(decision, envelope, context)
            last = len(self.events) - 1
        if decision.attachments:
            self._attachments = (*self._attachments, *decision.attachments)
        if decision.discard:
            # What an earlier command of this turn brought is on no disk yet: it would be written after the deletion.
            self._attachments = tuple([one for one in self._attachments if one.key not in decision.discard])
            self._discard = (*self._discard, *decision.discard)
        outcome = Outcome(envelope, decision.reply, decision.effects, last, context.correlation_id, envelope.depth)
        if following is not None:
            outcome.next = following
            self.ended |= following.unstash or following.stop is not None
            if following.unhandled is not None:
                about = f"{self.spec.name}: {type(envelope.message).__name__}: {following.unhandled}"
                outcome.refused = CommandUnhandled(about, actor=self.spec.name, command_id=context.command_id)
        self.outcomes.append(outcome)

    def _add_events(self, decision: Decision, envelope: Envelope, context: Context) -> None:
        state, due, evolve, when = self.state, False, self.spec.evolve, self.spec.snapshot_when
        folded = decision.folded
        for fact in decision.events:
            state, folded = evolve(state, fact) if folded is None else folded, None
            if state is None:
                check_state(self.spec, state, fact)
            due = due or (when is not None and when(state, fact))
        command_id, cause, depth = context.command_id, envelope.cause, envelope.depth
        receipt = None
        if envelope.given_id or (envelope.reply_to is not None and envelope.keep_reply):
            receipt = Receipt(command_id, decision.reply)
        # Nothing above has touched the turn, and nothing below can fail.
        self.state = state
        self.snapshot_due |= due
        after_previous = False
        for fact in decision.events:
            self.events.append(NewEvent(fact, cause, after_previous, command_id, context.correlation_id, depth))
            after_previous = True
        if receipt is not None:
            self._receipts[command_id] = receipt

    def answer(self, envelope: Envelope, reply: Any) -> None:
        """Give a reply that was decided before: the command is a retry."""
        self.outcomes.append(Outcome(envelope, reply, (), None, "", envelope.depth))

    def refuse(self, envelope: Envelope, error: Exception) -> None:
        """Answer with an error that the actor meant: nothing changes and nothing is restarted."""
        self.outcomes.append(Outcome(envelope, None, (), None, "", envelope.depth, refused=error))

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Take back everything decided inside when it raises: several commands that stand or fall together."""
        mark = (self.state, len(self.events), len(self.outcomes), self._attachments, self._discard)
        receipts, ended, due = dict(self._receipts), self.ended, self.snapshot_due
        try:
            yield
        except BaseException:
            self.state = mark[0]
            del self.events[mark[1] :], self.outcomes[mark[2] :]
            self._attachments, self._discard = mark[3:]
            self._receipts, self.ended, self.snapshot_due = receipts, ended, due
            raise

    def skip(self, position: int, event_type: str, attempts: int, reason: str, correlation_id: str) -> None:
        """Give up a wired event, on the record, so that the consumer can read on."""
        fact = DeliverySkipped(self.spec.name, position, event_type, attempts, reason)
        self._skips += (NewEvent(fact, cause=position, correlation_id=correlation_id),)
        self.cursor = position

    def resent(self, letter: str) -> None:
        """A dead letter was decided on: that is stored with what it led to, so it happens once."""
        self._resent += (NewEvent(Resent(letter)),)

    def batch(self, epoch: int, stored_cursor: int, flush_cursor_after: int) -> Batch | None:
        """Everything to append, or None when there is nothing that must be durable yet.

        Args:
            epoch: the stream epoch of this actor.
            stored_cursor: the cursor as the log has it.
            flush_cursor_after: positions the stored cursor may lag behind when there is nothing else to append.
        """
        lag = 0 if self.cursor is None else self.cursor - stored_cursor
        snapshots = self._snapshot() if self.events or self.snapshot_due else ()
        urgent = self.events or self._skips or self._resent or self._attachments or self._discard or snapshots
        if not urgent and lag < max(1, flush_cursor_after):
            return None
        # Also without events: only a write to the stream lets the store check that this actor still owns it.
        writes = [StreamWrite(self.spec.name, tuple(self.events), self.base_version, epoch)]
        if self._skips:
            writes.append(StreamWrite(DELIVERIES, self._skips))
        if self._resent:
            writes.append(StreamWrite(DEAD_LETTERS, self._resent))
        return Batch(
            writes=tuple(writes),
            cursors=(Cursor(self.spec.name, self.cursor),) if self.cursor is not None and lag > 0 else (),
            receipts=tuple(self._receipts.values()),
            snapshots=snapshots,
            attachments=self._attachments,
            discard=self._discard,
        )

    def _snapshot(self) -> tuple[Snapshot, ...]:
        every = self.spec.snapshot_every
        crossed = every and self.version // every != self.base_version // every
        return snapshot_of(self.spec, self.state, self.version) if crossed or self.snapshot_due else ()
