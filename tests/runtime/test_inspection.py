"""Looking at running actors: what is told is true, holding them loses nothing, and no state of theirs hinders it."""

from __future__ import annotations

import json
import threading
from typing import Any

import attrs
import pytest

from eventstore.memory import MemoryStore
from lrm_actors.domain import supervisor
from lrm_actors.domain.behavior import Spec, StartTimer
from lrm_actors.errors import ActorStopped, AskTimeout, CommandRefused, HandlerFailed, MailboxFull, NoSuchActor
from lrm_actors.runtime.clock import ManualClock
from lrm_actors.runtime.envelope import Envelope
from lrm_actors.runtime.inspection.dumping import in_time
from lrm_actors.runtime.inspection.rendering import lines_of
from lrm_actors.runtime.inspection.tracing import BODY_LIMIT, MAX_TRACE_KEPT, Tracer
from tests.runtime.support import (
    PATIENCE_S,
    Add,
    AddLater,
    FailingStore,
    Look,
    Note,
    Raise,
    Refuse,
    Shout,
    ShoutLoud,
    Wait,
    counter,
    eventually,
    running,
)


def fail_with(make: Any) -> Raise:
    """A command that fails."""
    return Raise(make)


# --- state, status, statistics ------------------------------------------------------------------------------------


def test_an_idle_actor_is_told_as_it_is() -> None:
    """State, phase, version, epoch, an empty mailbox, and its place in the tree."""
    with running(supervisor.spec(), counter()) as system:
        system.ask_blocking("counter", Add(2))
        system.ask_blocking("counter", Look())
        seen = system.inspection
        assert seen.get_state("counter").total == 2
        status = eventually(lambda: (s := seen.get_status("counter")).in_hand is None and s)
        assert (status.phase, status.version, status.epoch) == ("running", 1, 1)
        assert (status.parent, status.children) == ("supervisor", ())
        assert seen.get_status("supervisor").children == ("counter",)
        assert seen.get_status("supervisor").parent is None
        assert (status.mailbox.depth, status.mailbox.dead_letters, status.restarts) == (0, 0, 0)
        assert status.last_error is None
        assert status.stack == ()
        assert any("_step" in line for line in seen.get_status("counter", stack=True).stack)
        with pytest.raises(NoSuchActor):
            seen.get_status("nobody")


def test_the_message_in_hand_is_told_with_its_type_and_age() -> None:
    """Of several in one turn, the one that is being decided; and the stack shows where it hangs."""
    clock = ManualClock()
    entered, release = threading.Event(), threading.Event()
    with running(counter(), clock=clock) as system:
        try:
            system.inspection.suspend("counter")
            for command in (Add(1), Wait(entered, release), Note("behind")):
                system.tell("counter", command)
            system.inspection.resume("counter")
            assert entered.wait(PATIENCE_S)
            system.tell("counter", Add(1))
            clock.advance(7.0)
            status = system.inspection.get_status("counter")
            assert status.in_hand is not None
            assert (status.in_hand.type, status.in_hand.age_s) == ("Wait", 7.0)
            assert (status.in_hand.asked, status.in_hand.messages) == (False, 3)
            assert any("release.wait()" in line for line in status.stack)
            assert system.inspection.stack("counter") != ()
        finally:
            release.set()
        eventually(lambda: system.state("counter").total == 2)


def test_statistics_count_what_took_effect() -> None:
    """Messages, replies, events, effects, turns; a failure and a restart besides."""
    with running(counter(), handlers={Shout: lambda effect: None}) as system:
        for _ in range(3):
            system.ask_blocking("counter", Add(1))
        system.ask_blocking("counter", ShoutLoud("x"))
        with pytest.raises(CommandRefused):
            system.ask_blocking("counter", Refuse())
        with pytest.raises(HandlerFailed):
            system.ask_blocking("counter", fail_with(lambda: OSError("gone")))
        counted = eventually(lambda: (c := system.inspection.statistics("counter")).restarts and c)
        assert (counted.messages, counted.replies, counted.events, counted.effects) == (5, 5, 4, 1)
        assert (counted.failures, counted.restarts) == (1, 1)
        assert counted.turns >= 5
        assert counted.largest_turn == 1
        assert counted.turn_s >= counted.longest_turn_s > 0
        last = system.inspection.get_status("counter").last_error
        assert last is not None
        assert (last.kind, last.error, last.message, last.handling) == ("asked", "OSError", "gone", "Raise")


def test_counts_outlive_the_thread_of_an_actor() -> None:
    """What ends a thread ends no count: its successor goes on from there."""
    with running(counter()) as system:
        system.ask_blocking("counter", Add(1))
        shell = system.shell("counter")
        shell._step = lambda: (_ for _ in ()).throw(SystemExit)  # type: ignore[method-assign]
        system.tell("counter", Add(1))
        eventually(lambda: system.shell("counter") is not shell and system.phase("counter") == "running")
        eventually(lambda: system.inspection.statistics("counter").messages == 2)


def test_timers_and_running_effects_are_told() -> None:
    """A timer with the time that is left, an effect with its age, its actor and, when it takes long, its stack."""
    clock = ManualClock()
    entered, release = threading.Event(), threading.Event()

    def shout(_effect: Any) -> None:
        entered.set()
        release.wait(PATIENCE_S)

    with running(counter(), clock=clock, handlers={Shout: shout}) as system:
        system.ask_blocking("counter", AddLater(1, 60.0))
        system.ask_blocking("counter", ShoutLoud("x"))
        assert entered.wait(PATIENCE_S)
        clock.advance(20.0)
        (timer,) = system.inspection.get_status("counter").timers
        assert (timer.key, timer.due_in_s) == ("later", 40.0)
        (effect,) = system.inspection.effects()
        assert (effect.actor, effect.effect, effect.age_s) == ("counter", "Shout", 20.0)
        assert any("release.wait" in line for line in effect.stack)
        release.set()
        eventually(lambda: system.inspection.effects() == ())


def test_the_oldest_ask_without_an_answer_is_told() -> None:
    """With its actor, type and age; it is gone when it was answered or gave up."""
    clock = ManualClock()
    entered, release = threading.Event(), threading.Event()
    with running(counter(), counter("other"), clock=clock) as system:
        assert system.inspection.asks() == (0, None)
        asking = threading.Thread(target=lambda: system.ask_blocking("counter", Wait(entered, release)))
        asking.start()
        assert entered.wait(PATIENCE_S)
        eventually(lambda: system.inspection.asks()[0])
        clock.advance(3.0)
        with pytest.raises(AskTimeout):
            system.ask_blocking("counter", Look(), timeout_s=0.01)
        count, oldest = system.inspection.asks()
        assert oldest is not None
        assert (count, oldest.to, oldest.type, oldest.age_s) == (1, "counter", "Wait", 3.0)
        release.set()
        asking.join()
        assert system.inspection.asks() == (0, None)


# --- suspend and resume -------------------------------------------------------------------------------------------


def test_a_suspended_actor_keeps_everything_until_it_is_resumed() -> None:
    """Told messages and asks wait, in order, and a timer's and a wired event's too; then all of it is handled."""
    with running(counter()) as system:
        system.inspection.suspend("counter")
        system.inspection.suspend("counter")
        assert system.inspection.suspended() == ("counter",)
        assert system.phase("counter") == "suspended"
        for number in range(500):
            system.tell("counter", Add(number))
        with pytest.raises(AskTimeout):
            system.ask_blocking("counter", Look(), timeout_s=0.02)
        assert system.inspection.get_status("counter").in_hand is None
        assert system.state("counter").total == 0
        system.inspection.resume("counter")
        assert system.ask_blocking("counter", Look()) == sum(range(500))
        assert system.state("counter").history == tuple(range(500))
        system.inspection.resume("counter")


def test_a_suspended_consumer_takes_up_the_log_where_it_was() -> None:
    """Events that were wired to it meanwhile are handled, each once, after it was resumed."""
    from lrm_actors.domain.behavior import Wire
    from tests.runtime.support import Added

    wires = [Wire(Added, "second", lambda fact, record: Note(str(fact.amount)))]
    with running(counter(), counter("second"), wires=wires) as system:
        for round_ in range(3):
            system.inspection.suspend("second")
            for number in range(20):
                system.ask_blocking("counter", Add(round_ * 20 + number))
            system.inspection.resume("second")
        eventually(lambda: len(system.state("second").notes) == 60)
        assert system.state("second").notes == tuple(str(number) for number in range(60))


def test_suspending_many_times_among_senders_loses_and_repeats_nothing(release: bool) -> None:
    """Two threads tell while a third suspends and resumes."""
    times = 2_000 if release else 60
    with running(counter(mailbox_capacity=50_000)) as system:
        over = threading.Event()
        sent = {0: 0, 1_000_000: 0}

        def send(first: int) -> None:
            while not over.is_set():
                for _ in range(5):
                    system.tell("counter", Add(first + sent[first]))
                    sent[first] += 1
                over.wait(0.0005)

        senders = [threading.Thread(target=send, args=(first,)) for first in sent]
        for sender in senders:
            sender.start()
        try:
            for _ in range(times):
                system.inspection.suspend("counter")
                system.inspection.resume("counter")
        finally:
            over.set()
            for sender in senders:
                sender.join()
        count = sum(sent.values())
        eventually(lambda: len(system.state("counter").history) >= count)
        history = system.state("counter").history
        for first, told in sent.items():
            theirs = [one for one in history if first <= one < first + 1_000_000]
            assert theirs == list(range(first, first + told))
    print(f"{count} messages, suspended {times} times: 0 lost, 0 repeated")


def total_after_suspending_behind_a_message() -> int:
    """A message is taken out of the mailbox, and with it the command to suspend: what becomes of the message."""
    entered, release = threading.Event(), threading.Event()
    with running(counter()) as system:
        system.tell("counter", Wait(entered, release))
        assert entered.wait(PATIENCE_S)
        system.tell("counter", Add(1))
        held = threading.Thread(target=lambda: system.inspection.suspend("counter"))
        held.start()
        eventually(system.shell("counter").mailbox._control.qsize)
        release.set()
        held.join()
        system.inspection.resume("counter")
        return int(system.ask_blocking("counter", Look()))


def test_a_message_that_was_taken_out_with_the_command_is_not_lost() -> None:
    """It is put back, and handled after the resumption."""
    assert total_after_suspending_behind_a_message() == 1


def test_planted_a_suspend_that_drops_what_it_took_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without putting it back, it is gone."""
    from lrm_actors.runtime.mailbox import Mailbox

    monkeypatch.setattr(Mailbox, "put_back", lambda self, envelopes: None)
    assert total_after_suspending_behind_a_message() == 0


def test_a_hung_actor_is_not_suspended_after_the_timeout() -> None:
    """Whoever was told that it is not suspended can rely on it, also when the handler ends after all."""
    entered, release = threading.Event(), threading.Event()
    with running(counter()) as system:
        system.tell("counter", Wait(entered, release))
        assert entered.wait(PATIENCE_S)
        with pytest.raises(AskTimeout):
            system.inspection.suspend("counter", timeout_s=0.02)
        release.set()
        assert system.ask_blocking("counter", Add(1)) == 1
        assert system.phase("counter") == "running"


def test_a_suspended_actor_is_stopped_with_its_system_and_nothing_of_its_is_lost() -> None:
    """Stopping resumes it: what waited is handled first, as at any stop, and in time."""
    store = MemoryStore()
    with running(counter(), store=store) as system:
        system.inspection.suspend("counter")
        for _ in range(10):
            system.tell("counter", Add(1))
        assert system.stop(deadline_s=5.0).clean
    assert store.version("counter") == 10


def test_an_actor_that_does_not_run_cannot_be_suspended() -> None:
    """One that failed is refused, one that has stopped is gone, and an effect that escapes fails one that is held."""
    with running(counter(), handlers={Shout: lambda effect: 1 / 0}, supervisor="counter2") as system:
        shell = system.shell("counter")
        system.inspection.suspend("counter")
        shell._effects.carry_out(Shout("x"), None, None, 0)
        eventually(lambda: shell.counters.restarts == 1)
        assert system.phase("counter") == "running"
        shell.mailbox.command = lambda control: None  # type: ignore[method-assign] # the guardian's restart comes late
        system.tell("counter", fail_with(lambda: OSError("gone")))
        eventually(lambda: system.phase("counter") == "failed")
        del shell.mailbox.command
        with pytest.raises(CommandRefused, match="it is failed"):
            system.inspection.suspend("counter")
        system.stop_actor("counter", "enough")
        eventually(lambda: system.phase("counter") == "stopped")
        with pytest.raises(ActorStopped):
            system.inspection.suspend("counter")


def test_a_restart_ends_a_suspension() -> None:
    """A new life is a running one, as in OTP."""
    with running(counter()) as system:
        system.inspection.suspend("counter")
        system.restart_actor("counter")
        assert system.ask_blocking("counter", Add(1)) == 1
        assert system.inspection.suspended() == ()


def test_a_suspended_actor_refuses_what_its_mailbox_cannot_hold() -> None:
    """The bound holds while it is held."""
    with running(counter(mailbox_capacity=5)) as system:
        system.inspection.suspend("counter")
        with pytest.raises(MailboxFull):
            for _ in range(50):
                system.tell("counter", Add(1))


# --- trace --------------------------------------------------------------------------------------------------------


def test_a_trace_shows_messages_events_replies_and_failures_without_what_is_in_them() -> None:
    """In order, with ids and positions; a secret in a message does not get in."""
    with running(counter(), counter("other"), handlers={Shout: lambda effect: None}) as system:
        seen = system.inspection
        assert seen.traced() == ()
        seen.trace("counter")
        assert seen.tracing
        system.ask_blocking("counter", ShoutLoud("hunter2"), command_id="order-1")
        system.ask_blocking("other", Note("not followed"))
        with pytest.raises(HandlerFailed):
            system.ask_blocking("counter", fail_with(lambda: OSError("hunter2")))
        eventually(lambda: any(one.kind == "failed" for one in seen.traced()))
        seen.stop_trace()
        system.ask_blocking("counter", Add(1))
        traced = seen.traced()
        assert [(one.kind, one.type) for one in traced] == [
            ("message", "ShoutLoud"),
            ("event", "counting.noted"),
            ("reply", "str"),
            ("effect", "Shout"),
            ("message", "Raise"),
            ("failed", "OSError"),
        ]
        assert [one.number for one in traced] == [1, 2, 3, 4, 5, 6]
        assert traced[1].position == 1
        assert {one.command_id for one in traced[:4]} == {"order-1"}
        assert "hunter2" not in repr(traced)
        assert [one.number for one in seen.traced(last=2)] == [5, 6]


def test_bodies_are_kept_on_request_and_shortened() -> None:
    """Also of what cannot be shown: a trace fails on nothing."""

    @attrs.frozen
    class Odd(Look):
        def __repr__(self) -> str:
            raise SystemExit

    with running(counter()) as system:
        system.inspection.trace(bodies=True)
        system.ask_blocking("counter", Note("x" * 2 * BODY_LIMIT))
        system.ask_blocking("counter", Odd())
        bodies = [one.body or "" for one in system.inspection.traced() if one.kind == "message"]
        assert bodies[0].startswith("Note(text='xxx")
        assert len(bodies[0]) == BODY_LIMIT + 1
        assert bodies[1] == "<no text: its __repr__ failed>"


def test_a_trace_that_is_off_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Near no cost: an actor looks at a flag for each turn and at nothing else."""

    def never(*_arguments: Any, **_options: Any) -> None:
        raise AssertionError

    for method in ("received", "adopted", "failed", "_add"):
        monkeypatch.setattr(Tracer, method, never)
    with running(counter()) as system:
        system.inspection.trace("counter")
        system.inspection.stop_trace()
        assert system.ask_blocking("counter", Add(1)) == 1
        with pytest.raises(HandlerFailed):
            system.ask_blocking("counter", fail_with(lambda: OSError("gone")))
        eventually(lambda: system.phase("counter") == "running")


def kept_of(tracer: Tracer, count: int, keep: int) -> int:
    """How many entries are kept of so many."""
    tracer.start(None, keep=keep, bodies=False)
    for _ in range(count):
        tracer.received("any", [Envelope(Look())])
    return len(tracer.entries())


def test_a_trace_is_bounded() -> None:
    """As many as were asked for and no more, and no more can be asked for than the limit."""
    tracer = Tracer(lambda: 0.0)
    assert kept_of(tracer, 1_000, 10) == 10
    assert tracer.entries()[0].number == 991
    with running(counter()) as system:
        for keep in (0, -1, MAX_TRACE_KEPT + 1):
            with pytest.raises(ValueError, match="keep = "):
                system.inspection.trace(keep=keep)


def test_planted_a_trace_without_bound_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a ring that never lets go, the count above is not kept to."""
    from collections import deque

    monkeypatch.setattr("lrm_actors.runtime.inspection.tracing.deque", lambda maxlen=None: deque())
    assert kept_of(Tracer(lambda: 0.0), 1_000, 10) > 10


# --- the dump -----------------------------------------------------------------------------------------------------


def dumped(system: Any, actor: str | None = None) -> Any:
    """A dump that is JSON, of which text can be made."""
    told = system.inspection.dump(actor)
    assert lines_of(json.loads(json.dumps(told, allow_nan=False)))
    return told


def test_a_dump_has_everything_of_a_system() -> None:
    """Every actor in its place, and the text shows it as a tree."""
    with running(supervisor.spec(), counter(), counter("other")) as system:
        system.ask_blocking("counter", Add(1))
        told = dumped(system)
        assert told["schema"] == "lrm.dump/1"
        assert [one["name"] for one in told["actors"]] == ["supervisor", "counter", "other"]
        assert told["store"]["head"] == system.store.head
        assert told["system"]["state"] == "running"
        assert any("test_inspection" in line for line in told["system"]["main_thread"])
        lines = system.inspection.tree().splitlines()
        indents = {line.split()[0]: len(line) - len(line.lstrip()) for line in lines if line.strip()}
        assert indents["guardian"] < indents["supervisor"] < indents["counter"] == indents["other"]
        only = dumped(system, "counter")
        assert [one["name"] for one in only["actors"]] == ["counter"]
        assert only["actors"][0]["stack"]
        with pytest.raises(NoSuchActor):
            system.inspection.dump("nobody")


def test_a_dump_of_a_system_that_was_not_started_or_was_stopped() -> None:
    """There is one all the same."""
    from lrm_actors.runtime.system import ActorSystem

    system = ActorSystem(MemoryStore(), [counter()])
    assert dumped(system)["actors"] == []
    system.start()
    system.stop()
    assert dumped(system)["actors"][0]["phase"] == "stopped"


def test_a_dump_is_of_a_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many actors, timers and effects there are, and however long what they are called by."""
    from lrm_actors.runtime.inspection import dumping

    monkeypatch.setattr(dumping, "ACTORS_SHOWN", 3)
    long = "x" * 5_000
    handlers = {Shout: lambda effect: None}
    with running(*(counter(f"c{number}") for number in range(8)), handlers=handlers) as system:
        for number in range(8):
            system.ask_blocking(f"c{number}", Note(long), command_id=f"{number}" + "i" * 100)
            with pytest.raises(HandlerFailed):
                system.ask_blocking(f"c{number}", fail_with(lambda: OSError(long)))
        shell = system.shell("c0")
        for number in range(500):
            shell._effects.carry_out(StartTimer(f"{number}{long}", 3_600.0, Add(1)), None, None, 0)
        system.inspection.trace(bodies=True, keep=10_000)
        for _ in range(300):
            system.ask_blocking("c1", Note(long))
        told = dumped(system)
        assert (len(told["actors"]), told["actors_left_out"]) == (3, 5)
        assert len(told["trace"]["entries"]) == 200
        assert len(json.dumps(told)) < 250_000


def test_a_store_that_hangs_does_not_hold_up_a_dump() -> None:
    """It is named as not known, with why."""
    release = threading.Event()
    assert in_time(lambda: release.wait(PATIENCE_S), 0.02) == {"unknown": "no answer within 0.02 s"}
    release.set()
    assert in_time(lambda: 1 / 0) == {"unknown": "ZeroDivisionError: division by zero"}


def test_a_dump_during_a_storm_of_restarts_never_raises(release: bool) -> None:
    """Actors fail, restart, are added, die and lose their log, while others look on."""
    rounds = 400 if release else 25
    store = FailingStore()
    specs: list[Spec[Any]] = [counter(f"c{number}") for number in range(6)]
    with running(*specs, store=store) as system:
        over = threading.Event()

        def storm() -> None:
            number = 0
            while not over.is_set():
                number += 1
                for spec in specs:
                    try:
                        system.tell(spec.name, AddLater(1, 0.001))
                        system.tell(spec.name, fail_with(lambda: OSError("storm")))
                    except MailboxFull:
                        pass
                store.full = number % 5 == 0
                if number < 40:
                    system.spawn(counter(f"late{number}"))
                over.wait(0.001)

        raging = threading.Thread(target=storm)
        raging.start()
        try:
            for number in range(rounds):
                told = dumped(system)
                assert not [one for one in told["actors"] if "unknown" in one], told["actors"]
                if number % 3 == 0:
                    system.inspection.trace(keep=50)
        finally:
            over.set()
            raging.join()
            store.full = False
        failures = sum(system.inspection.statistics(spec.name).failures for spec in specs)
        assert failures > 0
    print(f"{rounds} dumps among {failures} failures")


def test_looking_changes_nothing() -> None:
    """Neither the log nor a mailbox nor a state is another afterwards."""
    store = MemoryStore()
    with running(supervisor.spec(), counter(), store=store) as system:
        system.ask_blocking("counter", Add(1))
        eventually(lambda: not system.inspection.get_status("counter").in_hand)
        before = (store.head, system.state("counter"), system.statistics())
        for _ in range(20):
            system.inspection.dump()
            system.inspection.get_status("counter", stack=True)
            system.inspection.statistics("counter")
        assert (store.head, system.state("counter"), system.statistics()) == before
