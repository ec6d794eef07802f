"""The shell around one actor's pure core: message in, decision, append, and only then state, reply and effects.

Talks to its mailbox, to the store, to the clock, and to the guardian through ``Services``. It never decides anything
itself, never answers before the commit, and never ends because a handler failed: it waits, with its mailbox, to be
restarted in place.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

import attrs
from pykka import messages

from eventstore.errors import AppendFailed, Fenced, OutcomeUnknown, ReadFailed
from eventstore.records import Batch, StreamWrite
from lrm_actors.domain.behavior import Context, Spec, Wire
from lrm_actors.errors import ActorStopped, AskError, HandlerFailed, StorageUnavailable
from lrm_actors.runtime.actor import UnregisteredActor, describe
from lrm_actors.runtime.consumer import PAGE, Consumer
from lrm_actors.runtime.control import (
    FAILED,
    NO_STORAGE,
    RUNNING,
    STARTING,
    STOPPED,
    EffectEscaped,
    Restart,
    Services,
    Stop,
    StorageBack,
)
from lrm_actors.runtime.deciding import UNSTORABLE, Decider, Failure, unavailable, wrapped
from lrm_actors.runtime.effects import Effects
from lrm_actors.runtime.mailbox import WAKE, Envelope, Mailbox, Wake
from lrm_actors.runtime.recovery import recover_state
from lrm_actors.runtime.reply import Reply
from lrm_actors.runtime.turn import Outcome, Turn, deciding

logger = logging.getLogger(__name__)

TURN_MESSAGES = 128
"""Messages decided in one turn, at most."""
TURN_S = 0.005
"""Seconds of deciding after which a turn is committed with what it has."""
CURSOR_LAG = 256
"""Positions a stored cursor may lag behind while there is nothing else to append."""


@attrs.frozen
class Published:
    """What others may read of an actor at any time: its committed state."""

    state: Any
    version: int


class Shell(UnregisteredActor):
    """One event-sourced actor on its own thread.

    Args:
        spec: the actor's pure core.
        mailbox: outlives this shell; a successor reads on from it.
        services: the world.
        wires: rows of the wiring table that name this actor.
        after_death: it replaces a shell whose thread died, so it begins by waiting for its restart.
    """

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
        self.settled_once = threading.Event()
        """Set when the first start has succeeded or failed."""
        self.start_error: BaseException | None = None
        """Why the first start failed."""
        self.busy_since_s: float | None = None
        self.handled = 0
        self.failures = 0
        self._services = services
        self._effects = Effects(mailbox, services)
        self._consumer = Consumer(services.store, spec.name, wires)
        self._epoch: int | None = None
        self._decider = Decider(spec, services.store, self._consumer)
        self._unsettled: Turn | None = None
        self._after_death = after_death

    # --- life ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Recover, then handle messages until stopped; while failed or without storage, obey commands only."""
        if self._after_death:
            self.phase = FAILED
        else:
            self._start_first()
        self.settled_once.set()
        while self.phase != STOPPED:
            if self.phase == RUNNING:
                self._step()
            else:
                self._obey(self.mailbox.wait_command())

    def on_thread_end(self, death: BaseException | None) -> None:
        """Tell the guardian, once, whatever ended the thread; what was in hand and not stored goes back."""
        self.settled_once.set()
        self._effects.cancel_timers()
        self._return_to_senders(self.mailbox.in_hand, death)
        self.mailbox.in_hand = []
        self._services.funnel.thread_ended(self.spec.name, death)

    def consumes(self, types: frozenset[str]) -> bool:
        """Whether any of these event types is wired to this actor."""
        return not self._consumer.types.isdisjoint(types)

    def _start_first(self) -> None:
        try:
            self._recover()
        except (AppendFailed, OutcomeUnknown, ReadFailed) as error:
            self._lose_storage(error)
        except Fenced as error:
            self._end_fenced(error)
        except BaseException as error:  # noqa: BLE001 - a failure in start-up is a failure like any other
            self.start_error = error
            self._fail("start", error, "start")

    def _recover(self) -> None:
        """Own the stream, load the state, then let the actor take up its timers and intents again."""
        spec, store = self.spec, self._services.store
        self._effects.cancel_timers()
        if self._epoch is None:
            self._epoch = store.acquire(spec.name).epoch
        state, version = recover_state(store, spec)
        if self._consumer.load():
            # Else a process that was killed before its first cursor would begin at the end again, a later one.
            fence = StreamWrite(spec.name, (), version, self._epoch)
            store.append(Batch(writes=(fence,), cursors=(self._consumer.take_place(),)))
        self.published = Published(state, version)
        self._answer_unsettled(version)
        if spec.recover is not None:
            envelope = Envelope(None)
            turn = self._new_turn()
            context = Context(
                now=turn.now,
                command_id=self._services.new_id(),
                correlation_id=self._services.new_id(),
                random=self._services.random,
                new_id=self._services.new_id,
            )
            with deciding():
                turn.add(spec.recover(state, context), envelope, context)
            self._append(turn)
            self._adopt(turn)
        self.phase = RUNNING
        self._wake_if_behind()

    def _step(self) -> None:
        item = _from_pykka(self.mailbox.get())
        self.mailbox.in_hand = [item] if isinstance(item, Envelope) else []
        while (control := self.mailbox.next_command()) is not None:
            self._obey(control)
            if self.phase != RUNNING:
                if item is not WAKE:
                    self.mailbox.put_back([item])
                self.mailbox.in_hand = []
                return
        batch: list[Envelope] = []
        stop: Stop | None = None
        while item is not None and len(batch) < TURN_MESSAGES:
            if isinstance(item, Stop):
                stop = item
                break
            if item is not WAKE:
                batch.append(item)
            item = _from_pykka(self.mailbox.get_more()) if len(batch) < TURN_MESSAGES else None
        if self.mailbox.take_wake():
            self._consumer.behind = True
        if batch or self._consumer.behind:
            self._turn(batch)
        if stop is not None and self.phase == RUNNING and self.mailbox.backlog:
            self.mailbox.backlog.append(stop)  # after the rest of a turn that took too long
        elif stop is not None:
            self._obey(stop)

    def _obey(self, control: Any) -> None:
        match control:
            case Restart(reply=reply):
                self._restart(reply)
            case StorageBack() if self.phase == NO_STORAGE:
                self._start_first()
            case Stop():
                self._stop_in_order(control)
            case EffectEscaped(effect=effect, error=error) if self.phase == RUNNING:
                self._fail("effect", error, effect)

    def _restart(self, reply: Reply | None) -> None:
        if self.phase == NO_STORAGE:
            if reply is not None:
                reply.fail(StorageUnavailable("waits for the log", actor=self.spec.name))
            return
        started_s = self._services.clock.monotonic()
        try:
            self._recover()
        except (AppendFailed, OutcomeUnknown, ReadFailed) as error:
            self._lose_storage(error)
            failed: BaseException | None = error
        except Fenced as error:
            self._end_fenced(error)
            failed = error
        except BaseException as error:  # noqa: BLE001 - reported to whoever restarts, who counts it
            self.phase = FAILED
            failed = error
        else:
            failed = None
        if reply is None:
            if failed is not None and self.phase == FAILED:
                self._fail("start", failed, "start")
        elif failed is not None:
            reply.fail(HandlerFailed(self.spec.name, "start", *describe(failed)))
        else:
            reply.set(self._services.clock.monotonic() - started_s)

    def _stop_in_order(self, stop: Stop) -> None:
        try:
            consumer = self._consumer
            if self.phase == RUNNING and consumer.position > consumer.stored:
                turn = self._new_turn()
                turn.cursor = consumer.position
                self._append(turn, flush_cursor_after=1)
        except Exception:
            # The cursor is behind by what had no effect; the next process reads those events again.
            logger.exception("%s: its cursor could not be stored at stop", self.spec.name)
        self.phase = STOPPED
        self.mailbox.close("stopped")
        if stop.reply is not None:
            stop.reply.set(None)

    # --- one turn -----------------------------------------------------------------------------------------------

    def _new_turn(self) -> Turn:
        services = self._services
        return Turn(
            self.spec,
            self.published.state,
            self.published.version,
            now=services.clock.now(),
            new_id=services.new_id,
            random=services.random,
        )

    def _turn(self, batch: list[Envelope]) -> None:
        clock = self._services.clock
        self.busy_since_s = started_s = clock.monotonic()
        self.mailbox.in_hand = batch
        turn = self._new_turn()
        failure: Failure | None = None
        decided = 0
        for envelope in batch:
            if decided and clock.monotonic() - started_s > TURN_S:
                break
            decided += 1
            failure = self._decider.decide(turn, envelope)
            if failure is not None:
                break
        if failure is None:
            # However many messages wait, the wiring gets its share of each turn.
            failure = self._decider.decide_wired(turn, PAGE if decided == len(batch) else 1)
        told_or_asked = failure is not None and not failure.wired
        done = batch[: decided - 1] if told_or_asked else batch[:decided]
        self.mailbox.put_back(batch[len(done) :])
        if self._commit(turn, done) and failure is not None:
            if told_or_asked:
                self.mailbox.drop_first(failure.envelope)  # had the commit failed, it would be decided on again
            self._fail_on(failure)
        self.mailbox.in_hand = []
        self.busy_since_s = None
        if self.phase == RUNNING:
            self._wake_if_behind()

    def _wake_if_behind(self) -> None:
        if self._consumer.behind:
            self.mailbox.wake()

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
            self._return_to_senders(done, unavailable(self.spec.name, error))
            self._lose_storage(error)
            return False
        except Fenced as error:
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
        if turn.cursor is not None:
            consumer.position = turn.cursor
            consumer.stored = turn.cursor

    def _adopt(self, turn: Turn) -> None:
        """The turn is in the log: publish its state, then answer, then carry out."""
        self.published = Published(turn.state, turn.version)
        self.mailbox.in_hand = []
        for outcome in turn.outcomes:
            self._answer(outcome)
        for outcome in turn.outcomes:
            self._carry_out(outcome, turn.first_position)

    def _answer(self, outcome: Outcome) -> None:
        self.handled += 1
        reply = outcome.envelope.reply_to
        if reply is None:
            return
        if outcome.refused is not None:
            reply.fail(outcome.refused)
        else:
            reply.set(outcome.reply)

    def _carry_out(self, outcome: Outcome, first_position: int | None) -> None:
        cause = None
        if outcome.last_event is not None and first_position is not None:
            cause = first_position + outcome.last_event
        correlation_id, depth = (outcome.correlation_id, outcome.depth) if cause is not None else (None, 0)
        for effect in outcome.effects:
            self._effects.carry_out(effect, cause, correlation_id, depth)

    def _commit_singly(self, turn: Turn, done: list[Envelope], error: Exception) -> bool:
        """An event of this turn cannot be stored: find whose, by committing one message at a time."""
        self._consumer.behind = True  # what was wired to this turn is read again
        wired = len(turn.outcomes) > len(done)
        if len(done) == 1 and not wired:
            self._fail_on(Failure(done[0], error))
            return False
        for index, envelope in enumerate(done):
            turn = self._new_turn()
            failure = self._decider.decide(turn, envelope)
            committed = failure is None and self._commit(turn, [envelope])
            if failure is not None:
                self._fail_on(failure)
            if not committed:
                self.mailbox.put_back(done[index + 1 :])
                return False
        return self._commit_one_delivery() if wired or not done else True

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

    # --- what goes wrong ----------------------------------------------------------------------------------------

    def _fail_on(self, failure: Failure) -> None:
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
        self._fail(kind, failure.error, handling)

    def _fail(self, kind: str, error: BaseException, handling: str) -> None:
        self.failures += 1
        self.phase = FAILED
        self._effects.cancel_timers()
        logger.warning("%s failed on %s", self.spec.name, handling, exc_info=error)
        self._services.funnel.actor_failed(self.spec.name, kind, error, handling)

    def _lose_storage(self, error: BaseException) -> None:
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
            error = StorageUnavailable(f"{self.spec.name}: the append failed, nothing was stored", actor=self.spec.name)
            self._return_to_senders([o.envelope for o in turn.outcomes if o.envelope.wired_at is None], error)
            return
        for outcome in turn.outcomes:
            # Effects are left to ``recover``, which takes up every intent and timer that the log knows of.
            self._answer(outcome)


def _from_pykka(envelope: Any) -> Any:
    """Ours as it is; a message sent through pykka's own ``ActorRef`` in our form."""
    if envelope is None or isinstance(envelope, (Envelope, Stop, Wake)):
        return envelope
    if isinstance(envelope.message, messages._ActorStop):  # noqa: SLF001 - what ActorRef.stop() sends
        return Stop(envelope.reply_to)
    return Envelope(envelope.message, envelope.reply_to)
