"""Trying messages against a turn: what fails, what is refused, and what a wired event comes to.

Reads receipts and wired events from the log; decides through the turn; writes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from eventstore.errors import EventStoreError
from eventstore.frozen import frozen
from eventstore.protocol import EventReader
from eventstore.records import Receipt, Record
from lrm_actors.domain.behavior import Spec
from lrm_actors.domain.deliveries import FAILED_AGAIN, TOO_DEEP
from lrm_actors.errors import ActorStopped, CommandRefused, HandlerFailed, LrmError, StorageUnavailable
from lrm_actors.runtime.actor import describe
from lrm_actors.runtime.consumer import PAGE, Consumer, Delivery
from lrm_actors.runtime.dead_letters import Resend
from lrm_actors.runtime.envelope import Envelope
from lrm_actors.runtime.hand import Hand
from lrm_actors.runtime.turn import Turn

logger = logging.getLogger(__name__)


@frozen
class Failure:
    """A message that the actor could not decide on."""

    envelope: Envelope
    error: BaseException
    wired: bool = False


class _PutOff(Exception):
    """A wired event is to be decided on later."""


class Decider:
    """Decides on the messages of one actor.

    Args:
        spec: the actor.
        reader: the log, for receipts of earlier commands.
        consumer: the actor's place among the events wired to it.
        hand: told of each stay inside the pure code of the wiring and of what it leads to.
        monotonic: the clock that those are timed by.
    """

    def __init__(
        self,
        spec: Spec[Any],
        reader: EventReader,
        consumer: Consumer,
        hand: Hand,
        monotonic: Callable[[], float],
    ) -> None:
        self._spec = spec
        self._reader = reader
        self._consumer = consumer
        self._put_off = False
        self._hand = hand
        self._monotonic = monotonic
        self.attempts: dict[int, int] = {}
        """Failures of wired events, by position."""

    def decide(self, turn: Turn, envelope: Envelope) -> Failure | None:
        """Decide on one message; a retry of a command that was carried out gets its first reply."""
        reply = envelope.reply_to
        if reply is not None and reply.withdrawn:  # its asker was cancelled before it was begun
            turn.answer(envelope, None)
            return None
        try:
            if envelope.given_id and envelope.command_id is not None:
                receipt = turn.remembers(envelope.command_id) or self._reader.receipt(envelope.command_id)
                if isinstance(envelope, Resend):
                    self._decide_letter(turn, envelope, receipt)
                    return None
                if receipt is not None:
                    turn.answer(envelope, receipt.reply)
                    return None
            turn.decide(envelope)
        except CommandRefused as error:
            turn.refuse(envelope, error)
        except BaseException as error:  # noqa: BLE001 - SystemExit and CancelledError are failures of this actor alone
            return Failure(envelope, error)
        return None

    def _decide_letter(self, turn: Turn, envelope: Resend, receipt: Receipt | None) -> None:
        if receipt is None:
            try:
                turn.decide(envelope)
            except CommandRefused as error:
                turn.refuse(envelope, error)
        else:
            turn.answer(envelope, receipt.reply)
        following = turn.outcomes[-1].next
        if following is None or not following.stash:  # what is put off is not handled yet
            turn.resent(envelope.letter)

    def decide_wired(self, turn: Turn, limit: int = PAGE) -> Failure | None:
        """Decide on the next wired events, each wholly or not at all, and move the turn's cursor past them."""
        try:
            records = self._consumer.read(limit)
        except EventStoreError as error:
            return Failure(Envelope(None), error, wired=True)
        if records:
            self._hand.enter(self._monotonic(), turn)
            try:
                failure = self._decide_deliveries(turn, records)
            finally:
                self._hand.leave()
            if failure is not None:
                return failure
        turn.cursor = max(turn.cursor or 0, self._consumer.position) or None
        return None

    def _decide_deliveries(self, turn: Turn, records: Sequence[Record | Delivery]) -> Failure | None:
        for record in records:
            self._hand.delivery = record
            delivery = self._consumer.deliver(record)
            position = delivery.record.position
            failed_before = self.attempts.get(position, 0)
            if delivery.too_deep or failed_before >= self._spec.quarantine_after:
                self._skip(turn, delivery, failed_before)
                continue
            failure = self._decide_delivery(turn, delivery)
            if failure is not None:
                self.attempts[position] = failed_before + 1
                return failure
            if self._put_off:
                self._put_off = False
                self._consumer.hold()
                break
            turn.cursor = position
            if turn.ended:
                self._consumer.behind = True  # there may be others after it, which were read already
                break
        return None

    def hung_on(self, record: Record | Delivery) -> int:
        """The wired event in hand hung its actor: one more failure of it. Returns how many there are."""
        position = record.record.position if isinstance(record, Delivery) else record.position
        self.attempts[position] = failed = self.attempts.get(position, 0) + 1
        return failed

    def refused(self, turn: Turn, error: Exception) -> Failure:
        """The one wired event of this turn made something that cannot be stored: count it as a failed try."""
        position = turn.cursor or 0
        self.attempts[position] = self.attempts.get(position, 0) + 1
        return Failure(turn.outcomes[0].envelope if turn.outcomes else Envelope(None), error, wired=True)

    def _decide_delivery(self, turn: Turn, delivery: Delivery) -> Failure | None:
        envelope = Envelope(delivery.record)
        try:
            if delivery.problem is not None:
                raise delivery.problem
            with turn.all_or_nothing():
                for envelope in delivery.envelopes:
                    turn.decide(envelope)
                    if (following := turn.outcomes[-1].next) is not None and following.stash:
                        raise _PutOff
        except _PutOff:
            self._put_off = True  # the log keeps it, so the place in it stays
        except CommandRefused as error:
            logger.warning("%s refuses position %d: %s", self._spec.name, delivery.record.position, error)
        except BaseException as error:  # noqa: BLE001 - as in ``decide``
            return Failure(envelope, error, wired=True)
        return None

    def _skip(self, turn: Turn, delivery: Delivery, attempts: int) -> None:
        record = delivery.record
        reason = TOO_DEEP if delivery.too_deep else FAILED_AGAIN
        turn.skip(record.position, record.type, attempts, reason, record.correlation_id)
        self.attempts.pop(record.position, None)
        logger.error("%s skips position %d (%s): %s", self._spec.name, record.position, record.type, reason)


def wrapped(actor: str, error: BaseException | None, envelope: Envelope) -> HandlerFailed:
    """What an asker gets for an actor's failure: its text, never the error itself, which might end the asker's loop."""
    name, text = describe(error if error is not None else ActorStopped("stopped"))
    tip = error.hint if isinstance(error, LrmError | EventStoreError) else ""
    hint = f"{tip}; the command changed nothing" if tip else None
    command = type(envelope.message).__name__
    return HandlerFailed(actor, command, name, text, command_id=envelope.command_id or "", hint=hint)


def unavailable(actor: str, error: BaseException) -> StorageUnavailable:
    """What an asker gets when the log could not be written."""
    return StorageUnavailable(f"{actor}: {describe(error)[1]}", actor=actor)
