"""The shell around one actor's pure core: message in, decision, append, and only then state, reply and effects.

It is built in layers, each of which knows those below: ``committing`` (a turn becomes true), ``failing`` (what goes
wrong), ``turning`` (a turn of messages), and here its life: start, restart, stop. Talks to its mailbox, to the store,
to the clock, and to the guardian through ``Services``. It never decides anything itself, never answers before the
commit, and never ends because a handler failed: it waits, with its mailbox, to be restarted in place.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from pykka import messages

from eventstore.errors import AppendFailed, Fenced, OutcomeUnknown, ReadFailed
from eventstore.records import Batch, StreamWrite
from lrm_actors.domain.behavior import RESTART, START, STORAGE, TAKEOVER, RecoveryContext
from lrm_actors.domain.dead_letters import DeadLetterAdded
from lrm_actors.errors import CommandRefused, HandlerFailed, StorageUnavailable
from lrm_actors.runtime.actor import describe
from lrm_actors.runtime.committing import Published
from lrm_actors.runtime.control import (
    FAILED,
    HALTED,
    NO_STORAGE,
    RUNNING,
    STOPPED,
    SUSPENDED,
    EffectEscaped,
    GoOn,
    Halt,
    Restart,
    Resume,
    Stop,
    StorageBack,
    Suspend,
    TakeSnapshot,
)
from lrm_actors.runtime.envelope import Envelope
from lrm_actors.runtime.hand import Abandoned
from lrm_actors.runtime.mailbox import WAKE, Wake
from lrm_actors.runtime.recovery import recover_from
from lrm_actors.runtime.reply import Reply
from lrm_actors.runtime.turn import deciding
from lrm_actors.runtime.turning import TURN_MESSAGES, Turning

logger = logging.getLogger(__name__)

PAGES_AT_SNAPSHOT = 16
"""Turns of wired events that an actor reads on at most before it stores where it stands."""


class Shell(Turning):
    """One event-sourced actor on its own thread.

    Args:
        spec: the actor's pure core.
        mailbox: outlives this shell; a successor reads on from it.
        services: the world.
        wires: rows of the wiring table that name this actor.
        after_death: it replaces a shell whose thread died, so it begins by waiting for its restart.
    """

    why_first = START
    """Why it recovers first; one that inherits takes over."""

    def run(self) -> None:
        """Recover, then handle messages until stopped; while failed or without storage, obey commands only."""
        self.hand.thread_id = threading.get_ident()
        if self._after_death:
            self.phase = FAILED
        else:
            self._start_first(self.why_first)
        self.settled_once.set()
        while self.phase != STOPPED:
            if self._stopping is not None:
                self._end_normally(self._stopping)
            elif self.phase == RUNNING:
                self._step()
            else:
                self._obey(self.mailbox.wait_command())
        if not self.hand.abandoned:
            self.mailbox.end_commands()

    def on_thread_end(self, death: BaseException | None) -> None:
        """Tell the guardian, once, whatever ended the thread; what was in hand and not stored goes back."""
        self.settled_once.set()
        if self.hand.abandoned:
            return  # its successor has the mailbox, and what was in hand
        self._effects.cancel_timers()
        self._return_to_senders(self.mailbox.in_hand, death)
        self.mailbox.in_hand = []
        self._services.funnel.thread_ended(self.spec.name, death)

    def inherit(self, before: Shell, letter: DeadLetterAdded | None) -> None:
        """Go on where a shell hangs or died. Called before the thread starts.

        Args:
            before: whose published state, counts and failures of wired events are taken over.
            letter: of the message that hung, to be stored before the first message is handled.
        """
        self.why_first = TAKEOVER
        self.published = before.published
        self.counters = before.counters
        self.handled, self.handled_before = before.handled, before.handled_before
        self.failures = before.failures + 1
        self.counters.failures += 1
        self._decider.attempts = before._decider.attempts.copy()  # the other may still count on its own
        self._unsettled = before._unsettled  # a thread that died while its append was not settled yet
        self._to_put_aside = [*before._to_put_aside, *([letter] if letter is not None else ())]

    def retire(self) -> None:
        """Take timers and running effects away from a shell that hangs; nothing of it becomes true any more."""
        self._effects.retire()

    def hung_on(self, delivery: Any) -> int:
        """This wired event hung the actor. Returns how often it has failed by now."""
        return self._decider.hung_on(delivery)

    def consumes(self, types: frozenset[str]) -> bool:
        """Whether any of these event types is wired to this actor."""
        return not self._consumer.types.isdisjoint(types)

    def _start_first(self, why: str) -> None:
        try:
            self._recover(why)
        except (AppendFailed, OutcomeUnknown, ReadFailed) as error:
            self._lose_storage(error)
        except Fenced as error:
            self._end_fenced(error)
        except Abandoned:
            raise
        except BaseException as error:  # noqa: BLE001 - a failure in start-up is a failure like any other
            self.start_error = error
            self._fail("start", error, "start")

    def _recover(self, why: str, *, load: bool = True) -> None:
        """Load the state, let the actor take up its timers and intents again, and run.

        Without ``load`` it goes on where a message failed: state and version are as committed, the message is gone.
        """
        self._effects.cancel_timers()
        with self._services.recoveries.slot(self.spec.name):
            if load or self._epoch is None:
                self._load()
            else:
                self._consumer.load()
            self._take_up(why)
        self.phase = RUNNING
        self.handled_before = self.handled
        self._wake_if_behind()

    def _load(self) -> None:
        """Own the stream, and load the state."""
        spec, store = self.spec, self._services.store
        if self._epoch is None:
            self._epoch = store.acquire(spec.name).epoch
        recovered = recover_from(store, spec)
        version, self._snapshot_version = recovered.version, recovered.snapshot_version
        if self._consumer.load():
            # Else a process that was killed before its first cursor would begin at the end again, a later one.
            fence = StreamWrite(spec.name, (), version, self._epoch)
            store.append(Batch(writes=(fence,), cursors=(self._consumer.take_place(),)))
        self.published = Published(recovered.state, version)
        self._answer_unsettled(version)
        if self._to_put_aside:
            self._store_letters(self._to_put_aside)
            self._to_put_aside = []

    def _take_up(self, why: str) -> None:
        if self.spec.recover is None:
            return
        envelope = Envelope(None)
        turn = self._new_turn()
        context = RecoveryContext(
            now=turn.now,
            command_id=self._services.new_id(),
            correlation_id=self._services.new_id(),
            random=self._services.random,
            new_id=self._services.new_id,
            why=why,
        )
        self.hand.enter(self._services.clock.monotonic())
        try:
            with deciding():
                turn.add(self.spec.recover(self.published.state, context), envelope, context)
        finally:
            self.hand.leave()
        self._append(turn)
        self._adopt(turn)

    def _step(self) -> None:
        items = self.mailbox.take(TURN_MESSAGES)
        if self.hand.abandoned:
            self.mailbox.put_back(items)
            raise Abandoned
        if (control := self.mailbox.next_command()) is not None:
            self._obey_first(control, items)
            return
        batch, stop, after_stop = _until_stop(items)
        if self.mailbox.take_wake():
            self._consumer.behind = True
        if batch or self._consumer.behind:
            self._turn(batch)
        if stop is None:
            return
        rest_of_turn = self.phase == RUNNING and self.mailbox.backlog
        for item in (stop, *after_stop) if rest_of_turn else after_stop:
            self.mailbox.put_off(item)
        if not rest_of_turn:
            self._obey(stop)

    def _obey_first(self, control: Any | None, items: list[Any]) -> None:
        """Commands go ahead of what was taken, which waits meanwhile where a successor would find it."""
        self.mailbox.put_back([item for item in items if item is not WAKE])
        while control is not None:
            self._obey(control)
            control = self.mailbox.next_command() if self.phase == RUNNING else None
        if self.mailbox.take_wake():
            self._consumer.behind = True  # its wake-up was among these, and no other comes before it is heeded
        if self.phase == RUNNING:
            self._wake_if_behind()

    def _obey(self, control: Any) -> None:
        match control:
            case Restart(reply=reply):
                self._failed_on = None
                self._restart(reply)
            case GoOn() if self.phase == FAILED:
                self._restart(None, load=False)
                self._drop_what_failed()
            case Halt(reply=reply):
                if self.phase != NO_STORAGE:  # which does as much, and goes on only once the log can be written
                    self.phase = HALTED
                self._effects.cancel_timers()
                reply.set(None)
            case StorageBack() if self.phase == NO_STORAGE:
                self._start_first(STORAGE)
            case TakeSnapshot(reply=reply):
                self._snapshot_now(reply)
            case Stop():
                self._stop_in_order(control)
            case Suspend(reply=reply):
                self._suspend(reply)
            case Resume() if self.phase == SUSPENDED:
                self.phase = RUNNING
                self._wake_if_behind()
            case EffectEscaped(effect=effect, error=error) if self.phase in {RUNNING, SUSPENDED}:
                self._fail("effect", error, effect)

    def _suspend(self, reply: Reply) -> None:
        if self.phase in {RUNNING, SUSPENDED}:
            self.phase = SUSPENDED
            reply.set(None)
        else:
            reply.fail(CommandRefused(f"{self.spec.name} does not run: it is {self.phase}", actor=self.spec.name))

    def _restart(self, reply: Reply | None, *, load: bool = True) -> None:
        if self.phase == NO_STORAGE:
            if reply is not None:
                reply.fail(StorageUnavailable("waits for the log", actor=self.spec.name))
            return
        started_s = self._services.clock.monotonic()
        try:
            self._recover(RESTART, load=load)
        except (AppendFailed, OutcomeUnknown, ReadFailed) as error:
            self._lose_storage(error)
            failed: BaseException | None = error
        except Fenced as error:
            self._end_fenced(error)
            failed = error
        except Abandoned:
            raise
        except BaseException as error:  # noqa: BLE001 - reported to whoever restarts, who counts it
            self.phase = FAILED
            failed = error
        else:
            failed = None
            self.counters.restarts += 1
        if reply is None:
            if failed is not None and self.phase == FAILED:
                self._fail("start", failed, "start")
        elif failed is not None:
            reply.fail(HandlerFailed(self.spec.name, "start", *describe(failed)))
        else:
            reply.set(self._services.clock.monotonic() - started_s)

    def _stop_in_order(self, stop: Stop) -> None:
        self._store_at_end()
        self.phase = STOPPED
        self.mailbox.close("stopped")
        if stop.reply is not None:
            stop.reply.set(None)

    def _end_normally(self, reason: str) -> None:
        """Stop, as the actor itself decided."""
        self._store_at_end()
        self.phase = STOPPED
        self._effects.cancel_timers()
        self.mailbox.close(f"it has stopped itself: {reason}")
        self._services.funnel.ended_normally(self.spec.name, reason)

    def _store_at_end(self) -> None:
        """The state, so that the next process need not fold it, and the place among what is wired."""
        spec, consumer = self.spec, self._consumer
        snapshot = spec.snapshot_at_stop and self.published.version > self._snapshot_version
        snapshot = snapshot and (spec.snapshot_every > 0 or spec.snapshot_when is not None)
        try:
            if self.phase in {RUNNING, SUSPENDED} and (snapshot or consumer.position > consumer.stored):
                turn = self._new_turn()
                turn.cursor = consumer.position
                turn.snapshot_due = snapshot
                self._append(turn, flush_cursor_after=1)
        except Exception:
            # The cursor is behind by what had no effect; the next process reads those events again.
            logger.exception("%s: its cursor and its state could not be stored at stop", spec.name)

    def _snapshot_now(self, reply: Reply | None) -> None:
        """Store the state as it is, and how far the actor has read, because somebody asked."""
        version: int | None = None
        self._consumer.look()
        for _ in range(PAGES_AT_SNAPSHOT):
            if self.phase == RUNNING and self._consumer.behind and self._stopping is None:
                self._turn([])
        if self.phase == RUNNING:
            turn = self._new_turn()
            turn.cursor = self._consumer.position
            turn.snapshot_due = self.published.version > self._snapshot_version
            if self._commit(turn, []) and self._snapshot_version == self.published.version:
                version = self._snapshot_version
        if reply is not None:
            reply.set(version)


def _until_stop(items: list[Any]) -> tuple[list[Envelope], Stop | None, list[Any]]:
    """What is to be decided on, the stop that comes after it if there is one, and what comes after that."""
    batch: list[Envelope] = []
    for index, one in enumerate(items):
        item = _from_pykka(one)
        if isinstance(item, Stop):
            return batch, item, [item for item in items[index + 1 :] if item is not WAKE]
        if item is not WAKE:
            batch.append(item)
    return batch, None, []


def _from_pykka(envelope: Any) -> Any:
    """Ours as it is; a message sent through pykka's own ``ActorRef`` in our form."""
    if isinstance(envelope, (Envelope, Stop, Wake)):
        return envelope
    if isinstance(envelope.message, messages._ActorStop):  # noqa: SLF001 - what ActorRef.stop() sends
        return Stop(envelope.reply_to)
    return Envelope(envelope.message, envelope.reply_to)
