"""The part of a shell that deals with what goes wrong: who is told, what is tried again, what nobody may know yet.

Talks to the guardian through ``Services.funnel``, to those who asked, and to the mailbox, which keeps what was told.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from eventstore.errors import AppendFailed, Fenced, OutcomeUnknown, ReadFailed, is_full
from eventstore.records import Batch, NewEvent, StreamWrite
from lrm_actors.domain.behavior import Command
from lrm_actors.domain.dead_letters import STREAM, DeadLetterAdded
from lrm_actors.domain.deliveries import FAILED_AGAIN, NOT_STORABLE, RESUMED
from lrm_actors.errors import AskError, StorageUnavailable
from lrm_actors.runtime.actor import describe
from lrm_actors.runtime.committing import Committing
from lrm_actors.runtime.control import FAILED, NO_STORAGE, RUNNING, STOPPED
from lrm_actors.runtime.dead_letters import UNSTORABLE, bare, letter_of, resend
from lrm_actors.runtime.deciding import Failure, unavailable, wrapped
from lrm_actors.runtime.envelope import Envelope
from lrm_actors.runtime.inspection.counters import LastError
from lrm_actors.runtime.turn import Turn

logger = logging.getLogger(__name__)


class Failing(Committing):
    """How a shell fails: told once, and with nothing lost that was told."""

    def _fail_on(self, failure: Failure, *, may_retry: bool = True) -> None:
        """A message could not be decided on: its asker hears of it, and what was told is tried again after a restart.

        Args:
            failure: what, and why.
            may_retry: False when the mailbox was closed meanwhile, which has dealt with the message.
        """
        envelope = failure.envelope
        if isinstance(failure.error, ReadFailed):  # nobody's fault: it is decided on when the log can be read again
            error = unavailable(self.spec.name, failure.error)
            self._return_to_senders([] if failure.wired else [envelope], error)
            self._lose_storage(failure.error)
            return
        handling = type(envelope.message).__name__
        kind = "wired" if failure.wired else "asked" if envelope.reply_to is not None else "told"
        if envelope.reply_to is not None:
            envelope.reply_to.fail(wrapped(self.spec.name, failure.error, envelope))
        elif kind == "told" and may_retry:
            envelope.attempts += 1
            if isinstance(failure.error, UNSTORABLE):  # to try the same again is no use
                self._quarantine(envelope, failure.error, NOT_STORABLE)
                return
            if envelope.attempts >= self.spec.quarantine_after:
                self._quarantine(envelope, failure.error, FAILED_AGAIN)
                return
            self.mailbox.put_back([envelope])
            self._failed_on = failure
        self._fail(kind, failure.error, handling)

    def _drop_what_failed(self) -> None:
        """The actor goes on without the message: it is not tried again, but put aside."""
        failure, self._failed_on = self._failed_on, None
        if failure is not None and self.phase == RUNNING:
            self.mailbox.drop_first(failure.envelope)
            self._quarantine(failure.envelope, failure.error, RESUMED)

    def _quarantine(self, envelope: Envelope, error: BaseException, reason: str) -> None:
        """Put a message aside for good, on the record; the actor, whose state it never touched, goes on."""
        name, text = describe(error)
        letter = letter_of(self.spec, envelope, reason, new_id=self._services.new_id, error=name, text=text)
        logger.error("%s puts %s aside: %s: %s", self.spec.name, letter.command, name, text)
        self.failures += 1
        self.counters.failures += 1
        try:
            self._store_letters([letter], cause=envelope.cause, correlation_id=envelope.correlation_id)
        except Fenced as refused:
            self._end_fenced(refused)
        except (AppendFailed, OutcomeUnknown) as refused:
            # Tried once more when the log can be written. If the letter was stored after all, that marks it as re-sent.
            envelope.attempts -= 1
            self.mailbox.put_back([resend(envelope, letter.letter)])
            self._lose_storage(refused)
        except Exception as refused:  # noqa: BLE001 - a fault of the store: the message stays, and so does the trouble
            envelope.attempts -= 1
            self.mailbox.put_back([envelope])
            self._fail("stream", refused, "append")

    def _store_letters(
        self, letters: Sequence[DeadLetterAdded], *, cause: int | None = None, correlation_id: str | None = None
    ) -> None:
        """Append letters, if this shell still owns its stream."""
        fence = StreamWrite(self.spec.name, (), self.published.version, self._epoch)
        events = tuple(NewEvent(letter, cause=cause, correlation_id=correlation_id or "") for letter in letters)
        store = self._services.store
        try:
            store.append(Batch(writes=(fence, StreamWrite(STREAM, events))))
        except UNSTORABLE:  # a cause that does not exist, a text that is none: then without what came with the message
            events = tuple(NewEvent(bare(letter)) for letter in letters)
            store.append(Batch(writes=(fence, StreamWrite(STREAM, events))))

    def _fail(self, kind: str, error: BaseException, handling: str) -> None:
        self.failures += 1
        self.counters.failures += 1
        self.counters.last_error = LastError(kind, *describe(error), handling, self._services.clock.monotonic())
        if self._services.tracer.active:
            self._services.tracer.failed(self.spec.name, error)
        self.phase = FAILED
        self._effects.cancel_timers()
        logger.warning("%s failed on %s", self.spec.name, handling, exc_info=error)
        self._services.funnel.actor_failed(self.spec.name, kind, error, handling)

    def _make_smaller(self, envelopes: Sequence[Envelope], error: BaseException | None) -> None:
        """Where the disk is full, what was told and is too large for it gives way to something that may fit."""
        if error is None or not is_full(error):
            return
        for envelope in envelopes:
            if envelope.reply_to is not None or not isinstance(envelope.message, Command):
                continue
            try:
                smaller: object = envelope.message.where_nothing_fits(getattr(error, "reason", describe(error)[1]))
            except Exception:
                logger.exception("%s: what is too large for the disk waits for room", self.spec.name)
                continue
            if isinstance(smaller, Command):
                envelope.message = smaller

    def _lose_storage(self, error: BaseException) -> None:
        self._lost_to = error
        self.phase = NO_STORAGE
        self._effects.cancel_timers()
        self.mailbox.fail_waiting_asks(unavailable(self.spec.name, error))
        self._services.funnel.storage_failed(self.spec.name, error)

    def _end_fenced(self, error: BaseException) -> None:
        self.phase = STOPPED
        self.mailbox.close("its log has a newer owner")
        self._services.funnel.fenced(self.spec.name, error)

    def _return_to_senders(self, envelopes: list[Envelope], error: BaseException | None) -> None:
        """Nothing of these was stored: asks end with an error, what was told is handled again."""
        for envelope in envelopes:
            if envelope.reply_to is not None:
                envelope.reply_to.fail(
                    error if isinstance(error, AskError) else wrapped(self.spec.name, error, envelope)
                )
        self.mailbox.put_back([envelope for envelope in envelopes if envelope.reply_to is None])

    def _hold(self, turn: Turn) -> None:
        """Nobody is answered before it is known whether the turn was stored."""
        self._unsettled = turn
        for outcome in turn.outcomes:
            if outcome.envelope.reply_to is not None:
                outcome.envelope.reply_to.unsettled = True

    def _answer_unsettled(self, version: int) -> None:
        """The log is settled: a held turn is in it wholly or not at all, and its stream's version says which."""
        turn, self._unsettled = self._unsettled, None
        if turn is None:
            return
        stored = version >= turn.version if turn.events else self._consumer.stored >= (turn.cursor or 0)
        if not stored:
            self._make_smaller([o.envelope for o in turn.outcomes], self._lost_to)
            error = StorageUnavailable(f"{self.spec.name}: the append failed, nothing was stored", actor=self.spec.name)
            self._return_to_senders([o.envelope for o in turn.outcomes if o.envelope.wired_at is None], error)
            return
        for outcome in turn.outcomes:
            # Effects are left to ``recover``, which takes up every intent and timer that the log knows of.
            self._answer(outcome)
