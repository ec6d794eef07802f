"""The part of a shell that makes a turn true: one append, and only then state, answers and effects.

Talks to the store, through the turn's batch, and to whoever waits for an answer. It decides nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from eventstore.frozen import frozen
from lrm_actors.domain.behavior import Next, Spec, Wire
from lrm_actors.domain.dead_letters import DeadLetterAdded
from lrm_actors.runtime.actor import UnregisteredActor
from lrm_actors.runtime.consumer import Consumer
from lrm_actors.runtime.control import STARTING, Services
from lrm_actors.runtime.deciding import Decider, Failure
from lrm_actors.runtime.effects import Effects
from lrm_actors.runtime.hand import Hand
from lrm_actors.runtime.inspection.counters import Counters
from lrm_actors.runtime.machine import here
from lrm_actors.runtime.mailbox import Mailbox
from lrm_actors.runtime.turn import Outcome, Turn

logger = logging.getLogger(__name__)

CURSOR_LAG = 256
"""Positions a stored cursor may lag behind while there is nothing else to append."""


@frozen
class Published:
    """What others may read of an actor at any time: its committed state."""

    state: Any
    version: int


class Committing(UnregisteredActor):
    """What a shell owns, and how a turn becomes part of it. See ``Shell`` for the arguments."""

    def __init__(
        self,
        spec: Spec[Any],
        mailbox: Mailbox,
        services: Services,
        wires: Sequence[Wire] = (),
        *,
        after_death: bool = False,
    ) -> None:
        super().__init__()
        self.use_mailbox(mailbox)
        self.spec = spec
        self.mailbox = mailbox
        self.phase = STARTING
        self.published = Published(spec.initial, 0)
        self.settled_once = here().flag()
        """Set when the first start has succeeded or failed."""
        self.start_error: BaseException | None = None
        """Why the first start failed."""
        self.busy_since_s: float | None = None
        self.hand = Hand()
        self.handled = 0
        self.counters = Counters()
        """Over restarts and successors of this shell: each hands it on."""
        self.handled_before = 0
        """How many of them before its last start or restart."""
        self.failures = 0
        self._services = services
        self._effects = Effects(mailbox, services)
        self._consumer = Consumer(services.store, spec.name, wires)
        self._epoch: int | None = None
        self._decider = Decider(spec, services.store, self._consumer, self.hand, services.clock.monotonic)
        self._unsettled: Turn | None = None
        self._lost_to: BaseException | None = None
        """What the storage last failed with."""
        self._after_death = after_death
        self._stopping: str | None = None
        """Why the actor has decided to end, once that is committed."""
        self._snapshot_version = 0
        """Version of the newest snapshot that is known to be stored."""
        self._failed_on: Failure | None = None
        """A told message that waits to be tried again after the restart."""
        self._to_put_aside: list[DeadLetterAdded] = []
        """Letters that a predecessor left to be stored first."""

    @property
    def epoch(self) -> int | None:
        """Of its stream; None before it was owned."""
        return self._epoch

    def pending_timers(self) -> list[tuple[str, float]]:
        """Key and due time, on the system's monotonic clock, of each timer that has not fired."""
        return self._effects.pending()

    def _new_turn(self) -> Turn:
        services = self._services
        published, now = self.published, services.clock.now()
        return Turn(
            self.spec, published.state, published.version, now=now, new_id=services.new_id, random=services.random
        )

    def _append(self, turn: Turn, flush_cursor_after: int = CURSOR_LAG) -> None:
        consumer = self._consumer
        if turn.cursor is not None and turn.cursor <= consumer.stored:
            turn.cursor = None
        batch = turn.batch(self._epoch or 0, consumer.stored, flush_cursor_after)
        if batch is None:
            if turn.cursor is not None:
                consumer.position = turn.cursor
            turn.first_position = None
            return
        turn.first_position = self._services.store.append(batch).first_position
        if batch.snapshots:
            self._snapshot_version = turn.version
        if turn.cursor is not None:
            consumer.position = turn.cursor
            consumer.stored = turn.cursor

    def _adopt(self, turn: Turn) -> None:
        """The turn is in the log: publish its state, then answer, then carry out."""
        if turn.events:
            self.published = Published(turn.state, turn.version)
        self.mailbox.in_hand = []
        self.counters.messages += len(turn.outcomes)
        self.counters.events += len(turn.events)
        if self._services.tracer.active:
            self._services.tracer.adopted(self.spec.name, turn)
        for outcome in turn.outcomes:
            self._answer(outcome)
        for outcome in turn.outcomes:
            if outcome.effects:
                self._carry_out(outcome, turn.first_position)

    def _answer(self, outcome: Outcome) -> None:
        if outcome.next is not None and self._follow(outcome, outcome.next):
            return
        self.handled += 1
        reply = outcome.envelope.reply_to
        if reply is None:
            return
        self.counters.replies += 1
        if outcome.refused is not None:
            reply.fail(outcome.refused)
        else:
            reply.set(outcome.reply)

    def _follow(self, outcome: Outcome, following: Next) -> bool:
        """Do what was decided of the command and the actor themselves; True when nobody is to be answered yet."""
        if following.stash:
            self.mailbox.stash(outcome.envelope)
            return True
        if following.unstash:
            self.mailbox.unstash()
            self._consumer.release()
        if following.stop is not None:
            self._stopping = following.stop
        if outcome.refused is not None and outcome.envelope.reply_to is None:
            logger.warning("%s", outcome.refused)
            if outcome.envelope.wired_at is None:
                self.mailbox.bury(outcome.envelope, following.unhandled or "unhandled")
        return False

    def _carry_out(self, outcome: Outcome, first_position: int | None) -> None:
        cause = None
        if outcome.last_event is not None and first_position is not None:
            cause = first_position + outcome.last_event
        correlation_id, depth = (outcome.correlation_id, outcome.depth) if cause is not None else (None, 0)
        self.counters.effects += len(outcome.effects)
        for effect in outcome.effects:
            self._effects.carry_out(effect, cause, correlation_id, depth)

    def _wake_if_behind(self) -> None:
        if self._consumer.behind:
            self.mailbox.wake()
