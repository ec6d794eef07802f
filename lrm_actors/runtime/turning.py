"""The part of a shell that handles a turn of messages: decide on them one after the other, commit them together.

Talks to the mailbox and to the decider; what it commits and what fails is for the parts below.
"""

from __future__ import annotations

from eventstore.errors import AppendFailed, Fenced, OutcomeUnknown
from lrm_actors.errors import ActorStopped, StorageUnavailable
from lrm_actors.runtime.actor import describe
from lrm_actors.runtime.consumer import PAGE
from lrm_actors.runtime.control import RUNNING
from lrm_actors.runtime.dead_letters import UNSTORABLE
from lrm_actors.runtime.deciding import Failure, unavailable
from lrm_actors.runtime.envelope import Envelope
from lrm_actors.runtime.failing import Failing
from lrm_actors.runtime.hand import Abandoned
from lrm_actors.runtime.turn import Turn

TURN_MESSAGES = 128
"""Messages decided in one turn, at most."""
TURN_S = 0.005
"""Seconds of deciding after which a turn is committed with what it has."""


class Turning(Failing):
    """How a shell handles messages: as many as wait, in one append; singly when one of them cannot be stored."""

    def _turn(self, batch: list[Envelope]) -> None:
        clock = self._services.clock
        self.busy_since_s = started_s = clock.monotonic()
        self.mailbox.in_hand = batch
        if self._services.tracer.active:
            self._services.tracer.received(self.spec.name, batch)
        turn = self._new_turn()
        failure: Failure | None = None
        decided = 0
        if batch:
            self.hand.enter(started_s, turn, batch)
            for envelope in batch:
                if decided and clock.monotonic() - started_s > TURN_S:
                    break
                decided += 1
                failure = self._decider.decide(turn, envelope)
                if failure is not None or turn.ended:
                    break
            self.hand.leave()
        if failure is None and not turn.ended and self._consumer.types:
            # However many messages wait, the wiring gets its share of each turn.
            failure = self._decider.decide_wired(turn, PAGE if decided == len(batch) else 1)
        told_or_asked = failure is not None and not failure.wired
        done = batch[: decided - 1] if told_or_asked else batch[:decided]
        if len(done) < len(batch):
            self.mailbox.put_back(batch[len(done) :])
            self.mailbox.in_hand = done
        if self._commit(turn, done) and failure is not None:
            # Had the commit failed, it would be decided on again. Gone meanwhile: the mailbox was closed.
            gone = told_or_asked and not self.mailbox.drop_first(failure.envelope)
            self._fail_on(failure, may_retry=not gone)
        self.mailbox.in_hand = []
        self.busy_since_s = None
        self.counters.turn_ended(clock.monotonic() - started_s, len(done))
        if self.phase == RUNNING:
            self._wake_if_behind()

    def _commit(self, turn: Turn, done: list[Envelope]) -> bool:
        """Append the turn and let it take effect; False when it did not and the actor no longer runs."""
        try:
            self._append(turn)
        except UNSTORABLE as error:
            return self._commit_singly(turn, done, error)
        except OutcomeUnknown as error:
            self._hold(turn)
            self._lose_storage(error)
            return False
        except AppendFailed as error:
            self._make_smaller(done, error)
            self._return_to_senders(done, unavailable(self.spec.name, error))
            self._lose_storage(error)
            return False
        except Fenced as error:
            if self.hand.abandoned:  # the mailbox is its successor's, and so is what was in hand
                raise Abandoned from error
            self._return_to_senders(done, ActorStopped(f"{self.spec.name}: {error}", actor=self.spec.name))
            self._end_fenced(error)
            return False
        except BaseException as error:  # noqa: BLE001 - WrongVersion, a closed store, a fault of the store itself
            name, text = describe(error)
            self._return_to_senders(done, StorageUnavailable(f"{name}: {text}", actor=self.spec.name))
            self._fail("stream", error, "append")
            return False
        self._adopt(turn)
        return True

    def _commit_singly(self, turn: Turn, done: list[Envelope], error: Exception) -> bool:
        """An event of this turn cannot be stored: find whose, by committing one message at a time."""
        self._consumer.behind = True  # what was wired to this turn is read again
        wired = len(turn.outcomes) > len(done)
        if len(done) == 1 and not wired:
            self._fail_on(Failure(done[0], error))
            return False
        for index, envelope in enumerate(done):
            self.mailbox.in_hand = done[index:]
            turn = self._new_turn()
            failure = self._decide_one(turn, envelope)
            committed = failure is None and self._commit(turn, [envelope])
            if not committed:
                self.mailbox.put_back(done[index + 1 :])
                if failure is not None:
                    self._fail_on(failure)
                elif self.mailbox.drop_first(envelope):
                    self.mailbox.put_back([envelope])  # to be tried again, and ahead of those after it
                return False
        return self._commit_one_delivery() if (wired or not done) and self._stopping is None else True

    def _decide_one(self, turn: Turn, envelope: Envelope) -> Failure | None:
        self.hand.enter(self._services.clock.monotonic(), turn, (envelope,))
        try:
            return self._decider.decide(turn, envelope)
        finally:
            self.hand.leave()

    def _commit_one_delivery(self) -> bool:
        turn = self._new_turn()
        failure = self._decider.decide_wired(turn, limit=1)
        if failure is None:
            try:
                self._append(turn)
            except UNSTORABLE as error:
                failure = self._decider.refused(turn, error)
        if failure is not None:
            self._fail_on(failure)
            return False
        self._adopt(turn)
        return True
