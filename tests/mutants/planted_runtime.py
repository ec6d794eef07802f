"""Bugs of the runtime, each planted by a small change of the running code."""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs
import pytest

from eventstore.errors import AppendFailed
from eventstore.records import Batch, Cursor
from lrm_actors.domain.behavior import StartTimer
from lrm_actors.runtime import hand, recovery, shell, takeover, turning, watchdog
from lrm_actors.runtime.committing import Committing, Published
from lrm_actors.runtime.consumer import Consumer
from lrm_actors.runtime.deciding import Decider
from lrm_actors.runtime.effects import Effects
from lrm_actors.runtime.failing import Failing
from lrm_actors.runtime.guardian import Guardian
from lrm_actors.runtime.mailbox import Mailbox
from lrm_actors.runtime.shell import Shell
from lrm_actors.runtime.turn import Turn
from tests.mutants.planting import Planted, planted

RUNTIME: list[Planted] = []
runtime = partial(planted, into=RUNTIME)


@runtime("lrm_actors/runtime/committing.py", "simulation/a_disk_that_is_full_for_a_while")
def reply_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """The asker is answered, and then the turn is appended."""
    append = Committing._append

    def eager(self: Committing, turn: Turn, *args: Any, **options: Any) -> None:
        for outcome in turn.outcomes:
            if outcome.envelope.reply_to is not None and outcome.refused is None:
                outcome.envelope.reply_to.set(outcome.reply)
        append(self, turn, *args, **options)

    patch.setattr(Committing, "_append", eager)


@runtime("lrm_actors/runtime/committing.py", "simulation/a_disk_that_is_full_for_a_while")
def state_adopted_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """What others read of an actor is ahead of the log, and was never true when the append fails."""
    append = Committing._append

    def eager(self: Committing, turn: Turn, *args: Any, **options: Any) -> None:
        if turn.events:
            self.published = Published(turn.state, turn.version)
        append(self, turn, *args, **options)

    patch.setattr(Committing, "_append", eager)


@runtime("lrm_actors/runtime/committing.py", "simulation/effects_over_a_restart")
def effects_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """Effects are begun before the events that they belong to are stored."""
    append, carry_out = Committing._append, Committing._carry_out

    def eager(self: Committing, turn: Turn, *args: Any, **options: Any) -> None:
        for outcome in turn.outcomes:
            carry_out(self, outcome, None)
        append(self, turn, *args, **options)

    patch.setattr(Committing, "_append", eager)
    patch.setattr(Committing, "_carry_out", lambda self, outcome, first_position: None)


@runtime("lrm_actors/runtime/shell.py", "simulation/effects_over_a_restart")
def effects_run_on_replay(patch: pytest.MonkeyPatch) -> None:
    """An actor that is restarted carries out again what it had carried out before."""
    carry_out, load = Committing._carry_out, Shell._load
    done: dict[str, list[Any]] = {}

    def remember(self: Committing, outcome: Any, first_position: int | None) -> None:
        done.setdefault(self.spec.name, []).append((outcome, first_position))
        carry_out(self, outcome, first_position)

    def replay(self: Shell) -> None:
        load(self)
        for outcome, first_position in done.get(self.spec.name, ()):
            if not any(isinstance(effect, StartTimer) for effect in outcome.effects):
                carry_out(self, outcome, first_position)

    patch.setattr(Committing, "_carry_out", remember)
    patch.setattr(Shell, "_load", replay)


@runtime("lrm_actors/runtime/turn.py", "machine/lives_of_checked")
def turn_snapshot_off_by_one(patch: pytest.MonkeyPatch) -> None:
    """A snapshot says that it is one event older than it is."""
    taken = Turn._snapshot

    def shifted(self: Turn) -> Any:
        return tuple([attrs.evolve(one, version=max(0, one.version - 1)) for one in taken(self)])

    patch.setattr(Turn, "_snapshot", shifted)


@runtime("lrm_actors/runtime/recovery.py", "behavior/mailing_comes_back_from_its_log")
def recovery_skips_the_first_event(patch: pytest.MonkeyPatch) -> None:
    """Recovery leaves out the first event after the snapshot."""
    original = recovery.recover_from

    class Skipping:
        def __init__(self, reader: Any) -> None:
            self._reader = reader

        def fold(self, stream: str, evolve: Any, state: Any, *, after: int) -> Any:
            return self._reader.fold(stream, evolve, state, after=after + bool(after))

        def __getattr__(self, name: str) -> Any:
            return getattr(self._reader, name)

    def recover_from(reader: Any, spec: Any) -> Any:
        skipping: Any = Skipping(reader)
        return original(skipping, spec)

    patch.setattr(recovery, "recover_from", recover_from)
    patch.setattr(shell, "recover_from", recover_from)


@runtime("lrm_actors/runtime/recovery.py", "simulation/intents_over_a_restart")
def recovery_takes_up_nothing(patch: pytest.MonkeyPatch) -> None:
    """Timers and intents are not taken up again after a restart."""
    patch.setattr(Shell, "_take_up", lambda self, why: None)


@runtime("lrm_actors/runtime/turn.py", "behavior/mailing_comes_back_from_its_log")
def reply_not_kept(patch: pytest.MonkeyPatch) -> None:
    """No receipt is stored, so a command that is asked again is carried out again."""
    batch = Turn.batch

    def forgetful(self: Turn, *args: Any, **options: Any) -> Batch | None:
        self._receipts = {}
        return batch(self, *args, **options)

    patch.setattr(Turn, "batch", forgetful)


@runtime("lrm_actors/runtime/turn.py", "machine/lives_of_delivering")
def cursor_in_memory_alone(patch: pytest.MonkeyPatch) -> None:
    """A consumer's place is not stored with what it led to: after a restart it comes again."""
    append = Committing._append

    def forgetful(self: Committing, turn: Turn, *args: Any, **options: Any) -> None:
        cursor, turn.cursor = turn.cursor, None
        append(self, turn, *args, **options)
        if cursor is not None:
            self._consumer.position = cursor

    patch.setattr(Committing, "_append", forgetful)


@runtime("lrm_actors/runtime/committing.py", "simulation/an_append_of_the_consumer_that_fails")
def cursor_ahead_of_its_events(patch: pytest.MonkeyPatch) -> None:
    """A consumer's place is stored in a transaction of its own, ahead of what it led to: a crash between loses it."""
    append = Committing._append

    def apart(self: Committing, turn: Turn, *args: Any, **options: Any) -> None:
        if turn.cursor is not None and turn.events and turn.cursor > self._consumer.stored:
            self._services.store.append(Batch(cursors=(Cursor(self.spec.name, turn.cursor),)))
            self._consumer.position = self._consumer.stored = turn.cursor
        append(self, turn, *args, **options)

    patch.setattr(Committing, "_append", apart)


@runtime("lrm_actors/runtime/consumer.py", "simulation/events_that_are_wired")
def wired_events_read_too_far(patch: pytest.MonkeyPatch) -> None:
    """Of several wired events that are read together, the last one is taken for handled."""
    read = Consumer.read

    def hasty(self: Consumer, *args: Any) -> Any:
        found: list[Any] = list(read(self, *args))
        if len(found) < 2:
            return found
        self.position = max(self.position, found[-1].position)
        return found[:-1]

    patch.setattr(Consumer, "read", hasty)


@runtime("lrm_actors/runtime/mailbox.py", "simulation/events_that_are_wired")
def wake_up_lost(patch: pytest.MonkeyPatch) -> None:
    """A consumer is not woken by a commit, and hears of it only when something else happens."""
    patch.setattr(Mailbox, "wake", lambda self: None)


@runtime("lrm_actors/runtime/turning.py", "simulation/a_disk_that_is_full_for_a_while")
def failed_append_swallowed(patch: pytest.MonkeyPatch) -> None:
    """An append that failed is taken for one that did not: answers are given, nothing is there."""
    append = Committing._append

    def quiet(self: Committing, turn: Turn, *args: Any, **options: Any) -> None:
        try:
            append(self, turn, *args, **options)
        except AppendFailed:
            turn.first_position = None

    patch.setattr(Committing, "_append", quiet)


@runtime("lrm_actors/runtime/failing.py", "simulation/an_append_of_unknown_outcome")
def unknown_outcome_done_again(patch: pytest.MonkeyPatch) -> None:
    """After an append of unknown outcome what was told is handled again, without looking whether it was stored."""

    def careless(self: Any, turn: Turn) -> None:
        self.mailbox.put_back([one.envelope for one in turn.outcomes if one.envelope.reply_to is None])

    patch.setattr(Failing, "_hold", careless)


@runtime("lrm_actors/runtime/guardian.py", "simulation/a_disk_that_is_full_for_a_while")
def storage_tried_once(patch: pytest.MonkeyPatch) -> None:
    """The storage is looked at once after a failure and then never again."""
    patch.setattr(Guardian, "_try_settling_later", lambda self: None)


@runtime("lrm_actors/runtime/root_restarts.py", "simulation/a_failing_actor_is_left_alone_for_longer_each_time")
def restart_without_backoff(patch: pytest.MonkeyPatch) -> None:
    """An actor that fails again and again is restarted at once each time."""
    patch.setattr("lrm_actors.runtime.root_restarts.RESTART_FIRST_S", 0.0)


@runtime("lrm_actors/runtime/mailbox.py", "simulation/a_crash_in_a_turn")
def put_back_in_reverse(patch: pytest.MonkeyPatch) -> None:
    """What a failed turn leaves is handled in reverse order."""
    put_back = Mailbox.put_back
    patch.setattr(Mailbox, "put_back", lambda self, envelopes: put_back(self, list(envelopes)[::-1]))


@runtime("lrm_actors/runtime/turning.py", "simulation/a_crash_in_a_turn")
def rest_of_a_failed_turn_lost(patch: pytest.MonkeyPatch) -> None:
    """The messages behind the one that failed are gone with it."""

    def forgetful(self: Mailbox, envelopes: Any) -> None:
        if first := list(envelopes)[:1]:
            self._note_backlog()
            self.backlog.extendleft(first)

    patch.setattr(Mailbox, "put_back", forgetful)


@runtime("lrm_actors/runtime/mailbox.py", "simulation/commands_that_are_put_off")
def stash_in_reverse(patch: pytest.MonkeyPatch) -> None:
    """What an actor put off comes back in reverse order."""

    def reverse(self: Mailbox) -> None:
        kept = list(self.stashed)[::-1]
        self.stashed.clear()
        self.put_back(kept)

    patch.setattr(Mailbox, "unstash", reverse)


@runtime("lrm_actors/runtime/shell.py", "simulation/commands_that_are_put_off")
def stash_lost_by_a_restart(patch: pytest.MonkeyPatch) -> None:
    """A restart forgets what the actor had put off."""
    restart = Shell._restart

    def forgetful(self: Shell, *args: Any, **options: Any) -> None:
        self.mailbox.stashed.clear()
        restart(self, *args, **options)

    patch.setattr(Shell, "_restart", forgetful)


@runtime("lrm_actors/runtime/effects.py", "simulation/timers_that_are_replaced")
def timer_not_cancelled(patch: pytest.MonkeyPatch) -> None:
    """A timer that was replaced or cancelled rings all the same."""
    patch.setattr(Effects, "_cancel", lambda self, key: self._timers.pop(key, None))


@runtime("lrm_actors/runtime/failing.py", "simulation/a_message_that_always_fails")
def dead_letter_not_stored(patch: pytest.MonkeyPatch) -> None:
    """A message that is put aside is forgotten."""
    patch.setattr(Failing, "_store_letters", lambda self, letters, **options: None)


@runtime("lrm_actors/runtime/failing.py", "simulation/a_message_that_always_fails")
def poison_tried_for_ever(patch: pytest.MonkeyPatch) -> None:
    """A message that fails each time is never put aside, and nothing behind it is handled."""
    fail_on = Failing._fail_on

    def patient(self: Any, failure: Any, *, may_retry: bool = True) -> None:
        failure.envelope.attempts = 0
        fail_on(self, failure, may_retry=may_retry)

    patch.setattr(Failing, "_fail_on", patient)
    patch.setattr(turning.Turning, "_fail_on", patient)


@runtime("lrm_actors/runtime/mailbox.py", "simulation/who_asks_is_answered")
def asks_forgotten_at_the_end(patch: pytest.MonkeyPatch) -> None:
    """Who asks an actor that is stopped meanwhile hears nothing."""

    def forgetful(self: Mailbox, item: Any) -> None:
        if getattr(item, "reply_to", None) is None and hasattr(item, "message"):
            self.bury(item, "stopped")

    patch.setattr(Mailbox, "_end", forgetful)


@runtime("lrm_actors/runtime/mailbox.py", "simulation/who_asks_is_answered")
def told_forgotten_at_the_end(patch: pytest.MonkeyPatch) -> None:
    """What was told to an actor that is stopped meanwhile is gone without a word."""
    patch.setattr(Mailbox, "bury", lambda self, envelope, why: None)


@runtime("lrm_actors/runtime/committing.py", "machine/lives_of_checked")
def refusal_not_told(patch: pytest.MonkeyPatch) -> None:
    """Who is refused waits for ever."""
    answer = Committing._answer

    def quiet(self: Committing, outcome: Any) -> None:
        if outcome.refused is None:
            answer(self, outcome)

    patch.setattr(Committing, "_answer", quiet)


@runtime("lrm_actors/runtime/takeover.py", "simulation/a_handler_that_hangs")
def takeover_loses_what_was_in_hand(patch: pytest.MonkeyPatch) -> None:
    """The message that hung, and the rest of its turn, do not come to the successor."""
    take_over = takeover.take_over

    def forgetful(stay: Any, successors: Any) -> int | None:
        stay.shell.mailbox.in_hand = [one for one in stay.shell.mailbox.in_hand if one.reply_to is not None]
        return take_over(stay, successors)

    patch.setattr(watchdog, "take_over", forgetful)


@runtime("lrm_actors/runtime/hand.py", "simulation/a_handler_that_hangs")
def zombie_goes_on(patch: pytest.MonkeyPatch) -> None:
    """A thread that was replaced does not look, takes over the epoch of its successor, and commits what it decided."""
    commit = turning.Turning._commit

    def unseen(self: hand.Hand) -> None:
        self.since_s = None

    def as_the_successor(self: Any, turn: Turn, done: list[Any]) -> bool:
        if self.hand.abandoned:
            store = self._services.store
            self._epoch = store.acquire(self.spec.name).epoch
            turn.base_version = store.version(self.spec.name)
        return commit(self, turn, done)

    patch.setattr(hand.Hand, "leave", unseen)
    patch.setattr(turning.Turning, "_commit", as_the_successor)


@runtime("lrm_actors/runtime/takeover.py", "simulation/a_handler_that_hangs")
def asker_of_a_hung_handler_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Who asked for what hangs is not told: the message is handled by the successor, without anybody to answer."""
    take_over = takeover.take_over

    def forgetful(stay: Any, successors: Any) -> int | None:
        for envelope in stay.shell.mailbox.in_hand:
            envelope.reply_to = None
        return take_over(stay, successors)

    patch.setattr(watchdog, "take_over", forgetful)


@runtime("lrm_actors/runtime/watchdog.py", "simulation/a_process_that_is_suspended")
def suspended_time_counted(patch: pytest.MonkeyPatch) -> None:
    """Time at which the whole process stood still counts as time in the handler."""
    look = watchdog.Watchdog.look

    def unfair(self: Any) -> None:
        self._time_s += max(0.0, self._system.clock.monotonic() - self._looked_at_s - 2 * self._scan_s)
        look(self)

    patch.setattr(watchdog.Watchdog, "look", unfair)


@runtime("lrm_actors/runtime/watchdog.py", "simulation/a_handler_that_hangs")
def hung_handler_not_noticed(patch: pytest.MonkeyPatch) -> None:
    """Nobody looks how long a message is in hand."""
    patch.setattr(watchdog.Watchdog, "start", lambda self: None)


@runtime("lrm_actors/runtime/deciding.py", "simulation/an_append_of_unknown_outcome")
def retry_decided_again(patch: pytest.MonkeyPatch) -> None:
    """That a command was carried out before is not looked up, so a retry is decided on anew."""
    decide = Decider.decide

    def forgetful(self: Decider, turn: Turn, envelope: Any) -> Any:
        given, envelope.given_id = envelope.given_id, False
        try:
            return decide(self, turn, envelope)
        finally:
            envelope.given_id = given

    patch.setattr(Decider, "decide", forgetful)
