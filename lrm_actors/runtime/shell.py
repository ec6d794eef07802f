"""The shell around one actor's pure core: message in, decision, append, and only then state, reply and effects.

It is built in layers, each of which knows those below: ``committing`` (a turn becomes true), ``failing`` (what goes
wrong), ``turning`` (a turn of messages), and here its life: start, restart, stop. Talks to its mailbox, to the store,
to the clock, and to the guardian through ``Services``. It never decides anything itself, never answers before the
commit, and never ends because a handler failed: it waits, with its mailbox, to be restarted in place.
"""

from __future__ import annotations

import logging
from typing import Any

from pykka import messages

from eventstore.errors import AppendFailed, Fenced, OutcomeUnknown, ReadFailed
from eventstore.records import Batch, StreamWrite
from lrm_actors.domain.behavior import Context
from lrm_actors.errors import HandlerFailed, StorageUnavailable
from lrm_actors.runtime.actor import describe
from lrm_actors.runtime.committing import Published
from lrm_actors.runtime.control import (
    FAILED,
    NO_STORAGE,
    RUNNING,
    STOPPED,
    EffectEscaped,
    Restart,
    Stop,
    StorageBack,
)
from lrm_actors.runtime.mailbox import WAKE, Envelope, Wake
from lrm_actors.runtime.recovery import recover_state
from lrm_actors.runtime.reply import Reply
from lrm_actors.runtime.turn import deciding
from lrm_actors.runtime.turning import TURN_MESSAGES, Turning

logger = logging.getLogger(__name__)


class Shell(Turning):
    """One event-sourced actor on its own thread.

    Args:
        spec: the actor's pure core.
        mailbox: outlives this shell; a successor reads on from it.
        services: the world.
        wires: rows of the wiring table that name this actor.
        after_death: it replaces a shell whose thread died, so it begins by waiting for its restart.
    """

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


def _from_pykka(envelope: Any) -> Any:
    """Ours as it is; a message sent through pykka's own ``ActorRef`` in our form."""
    if envelope is None or isinstance(envelope, (Envelope, Stop, Wake)):
        return envelope
    if isinstance(envelope.message, messages._ActorStop):  # noqa: SLF001 - what ActorRef.stop() sends
        return Stop(envelope.reply_to)
    return Envelope(envelope.message, envelope.reply_to)
