"""Hung handlers: noticed by the age of what is in hand, taken over with the turn, and never after a stand-still."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import pytest

from eventstore.memory import MemoryStore
from eventstore.records import Appended, Batch, Record
from lrm_actors.domain import supervisor, watching
from lrm_actors.domain.behavior import Command, Context, Decision, Spec, Wire, then
from lrm_actors.domain.dead_letters import STREAM as DEAD_LETTERS
from lrm_actors.domain.watching import ActorTakenOver, HandlerSlow, WatchdogExhausted
from lrm_actors.errors import HandlerFailed
from lrm_actors.runtime.clock import ManualClock
from lrm_actors.runtime.hand import Abandoned, Hand
from lrm_actors.runtime.system import ActorSystem
from lrm_actors.runtime.watchdog import Exhausted, Watch
from tests.runtime.support import (
    PATIENCE_S,
    Add,
    Added,
    AddLater,
    Count,
    Look,
    Shout,
    ShoutLoud,
    Wait,
    counter,
    decide,
    eventually,
    evolve,
    running,
)

WATCH = Watch(slow_s=1.0, hung_s=5.0, max_zombies=3)


@attrs.frozen
class Hang(Command):
    """Hold the actor in its handler while the gate is shut; goes by its number, for it is stored in a letter."""

    gate: int


GATES: dict[int, tuple[threading.Event, threading.Event]] = {}
"""For each number: entered, and open."""


def hanging(state: Count, command: Any, ctx: Context) -> Decision:
    """The counter's decisions, and one that waits."""
    if isinstance(command, Hang):
        entered, open_ = GATES[command.gate]
        entered.set()
        open_.wait()
        return then(Added(1000), reply=state.total)
    return decide(state, command, ctx)


def hanger(name: str = "counter", **options: Any) -> Spec[Count]:
    """A counter that can be told to hang."""
    return Spec(name, Count(), hanging, evolve, **options)


@contextmanager
def gates(*numbers: int) -> Iterator[None]:
    """Gates that are shut, and open again at the end: no thread may stay in one."""
    for number in numbers:
        GATES[number] = (threading.Event(), threading.Event())
    try:
        yield
    finally:
        for number in numbers:
            GATES.pop(number)[1].set()


def enter(number: int) -> None:
    """Wait until a handler stands before this gate, then shut the door behind it for the next one to be seen."""
    entered, _ = GATES[number]
    assert entered.wait(PATIENCE_S)
    entered.clear()


def pass_time(clock: ManualClock, seconds: float) -> None:
    """Let time go by as the watchdog sees it: look by look."""
    for _ in range(round(seconds / 0.1)):
        clock.advance(0.1)


def zombies_end(system: ActorSystem) -> None:
    """Wait until every hung thread has come out of its handler and ended."""
    eventually(lambda: system._watchdog.running_zombies() == 0, "the end of every zombie")


def events(store: Any, stream: str = watching.STREAM) -> list[Any]:
    """What a stream holds."""
    return [event for record in store.read_stream(stream) for event in record.events]


def test_a_slow_handler_is_put_on_record_once_and_left_alone() -> None:
    """Past the soft limit: one event with message, age and stack; the actor goes on when it is done."""
    clock = ManualClock()
    with gates(1), running(hanger(), clock=clock, watch=WATCH) as system:
        system.tell("counter", Hang(1))
        enter(1)
        pass_time(clock, 3)
        slow = eventually(lambda: events(system.store))
        assert [HandlerSlow] == [type(event) for event in slow]
        assert ("counter", "Hang") == (slow[0].actor, slow[0].handling)
        assert 1.0 <= slow[0].elapsed_s < 1.5
        assert "open_.wait()" in slow[0].stack
        GATES[1][1].set()
        assert 1001 == system.ask_blocking("counter", Add(1))
        assert 0 == system._watchdog.takeovers


def test_a_hung_actor_is_taken_over_with_the_turn_in_its_hand() -> None:
    """Everything that waited, and the rest of the turn, is handled by the successor; the zombie's decision is void."""
    clock = ManualClock()
    with gates(1), running(hanger(), clock=clock, watch=WATCH) as system:
        entered, release = threading.Event(), threading.Event()
        system.tell("counter", Wait(entered, release))
        assert entered.wait(PATIENCE_S)
        for amount in (1, 2):  # these two and the hanging one will be one turn
            system.tell("counter", Add(amount))
        asking = AskThread(system, Hang(1))
        system.tell("counter", Add(3))
        eventually(lambda: system._mailboxes["counter"].depth() >= 4)
        release.set()
        enter(1)
        system.tell("counter", Add(4))
        pass_time(clock, 6)
        assert isinstance(asking.ended(), HandlerFailed)
        eventually(lambda: system.state("counter").history == (1, 2, 3, 4))
        GATES[1][1].set()
        zombies_end(system)
        assert 10 == system.ask_blocking("counter", Look())
        taken = eventually(lambda: [one for one in events(system.store) if isinstance(one, ActorTakenOver)])
        assert [("counter", "Hang", 1, 1)] == [(e.actor, e.handling, e.attempts, e.zombies) for e in taken]
        assert "open_.wait()" in taken[0].stack
        assert (1, 2, 3, 4) == system.state("counter").history


def test_a_told_message_that_hangs_again_and_again_is_put_aside() -> None:
    """It is redone by each successor until it has hung as often as one message may fail; then it is a dead letter."""
    clock = ManualClock()
    with gates(1), running(hanger(), clock=clock, watch=WATCH) as system:
        system.tell("counter", Hang(1))
        system.tell("counter", Add(7))
        for _ in range(3):
            enter(1)
            pass_time(clock, 6)
        eventually(lambda: system.state("counter").history == (7,))
        letters = events(system.store, DEAD_LETTERS)
        assert [("counter", "Hang", watching.HUNG, 3)] == [(e.to, e.command, e.reason, e.attempts) for e in letters]
        GATES[1][1].set()
        zombies_end(system)
        assert (7,) == system.state("counter").history
        system.resend(letters[0].letter)  # the gate is open now
        eventually(lambda: system.state("counter").history == (7, 1000))


def test_a_wired_event_that_hangs_its_consumer_is_skipped_in_the_end() -> None:
    """Its failures are counted across successors."""
    clock = ManualClock()

    def to_command(fact: Added, record: Record) -> Command | None:
        if record.stream != "counter":
            return None
        return Hang(1) if fact.amount == 13 else Add(fact.amount)

    wire = Wire(Added, to="consumer", make=to_command)
    with gates(1), running(counter(), hanger("consumer"), clock=clock, watch=WATCH, wires=[wire]) as system:
        for amount in (1, 13, 2):
            system.ask_blocking("counter", Add(amount))
        for _ in range(3):
            enter(1)
            pass_time(clock, 6)
        eventually(lambda: system.state("consumer").history == (1, 2))
        assert [3] == [event.attempts for event in events(system.store, "deliveries")]
        GATES[1][1].set()
        zombies_end(system)
        assert (1, 2) == system.state("consumer").history


def test_time_in_which_the_process_stood_still_is_forgiven() -> None:
    """A stopped process finds all of its handlers old; none of them has hung."""
    clock = ManualClock()
    with gates(1), running(hanger(), clock=clock, watch=WATCH) as system:
        system.tell("counter", Hang(1))
        enter(1)
        pass_time(clock, 0.5)
        clock._monotonic_s += 3600  # nothing ran meanwhile, the watchdog neither
        pass_time(clock, 0.2)
        GATES[1][1].set()
        assert 1001 == system.ask_blocking("counter", Add(1))
        assert [] == events(system.store)


def test_a_slow_disk_hangs_nobody() -> None:
    """Time spent inside the store's append is not the handler's."""

    class Slow(MemoryStore):
        entered, go_on = threading.Event(), threading.Event()

        def append(self, batch: Batch) -> Appended:
            if any(new.event == Added(5) for write in batch.writes for new in write.events):
                self.entered.set()
                self.go_on.wait(PATIENCE_S)
            return super().append(batch)

    clock, store = ManualClock(), Slow()
    with running(hanger(), clock=clock, store=store, watch=WATCH) as system:
        system.tell("counter", Add(5))
        assert store.entered.wait(PATIENCE_S)
        pass_time(clock, 60)
        store.go_on.set()
        assert 6 == system.ask_blocking("counter", Add(1))
        assert ([], 0) == (events(store), system._watchdog.takeovers)


def test_each_actor_has_limits_of_its_own_and_they_can_be_off() -> None:
    """What stands in a ``Spec`` holds for that actor alone."""
    clock = ManualClock()
    specs = (hanger("patient", slow_after_s=math.inf, hung_after_s=math.inf), hanger("hasty", hung_after_s=2.0))
    with gates(1, 2), running(*specs, clock=clock, watch=WATCH) as system:
        system.tell("patient", Hang(1))
        system.tell("hasty", Hang(2))
        enter(1)
        enter(2)
        pass_time(clock, 3)
        eventually(lambda: system._watchdog.takeovers == 1)
        pass_time(clock, 20)
        GATES[2][1].set()
        eventually(lambda: {event.actor for event in events(system.store)} == {"hasty"})
        GATES[1][1].set()
        assert 1000 == system.ask_blocking("patient", Look())


def test_timers_and_effects_of_a_zombie_reach_nobody() -> None:
    """What it started before comes to nothing; the successor takes up what the log knows of."""
    clock = ManualClock()
    entered, go_on = threading.Event(), threading.Event()

    def shout(_effect: Shout) -> Command:
        entered.set()
        go_on.wait(PATIENCE_S)
        return Add(100)

    with gates(1), running(hanger(), clock=clock, watch=WATCH, handlers={Shout: shout}) as system:
        system.ask_blocking("counter", AddLater(10, 30.0))
        system.ask_blocking("counter", ShoutLoud("hey"))
        assert entered.wait(PATIENCE_S)
        asking = AskThread(system, Hang(1))
        enter(1)
        pass_time(clock, 6)
        assert isinstance(asking.ended(), HandlerFailed)
        assert 1 == system.ask_blocking("counter", Add(1))
        go_on.set()
        pass_time(clock, 40)
        GATES[1][1].set()
        zombies_end(system)
        assert 3 == system.ask_blocking("counter", Add(2))


def test_a_recovery_that_hangs_is_taken_over_and_counts_as_a_failed_restart() -> None:
    """Its successor waits for whoever decides on failures, or each would hang the next."""
    clock = ManualClock()
    hang = [True]
    entered, release = threading.Event(), threading.Event()

    def recover(_state: Count, _ctx: Context) -> Decision:
        if hang:
            hang.clear()
            entered.set()
            release.wait(PATIENCE_S)
        return then()

    system = ActorSystem(MemoryStore(), [hanger(recover=recover)], clock=clock, watch=WATCH)
    starting = threading.Thread(target=system.start)
    starting.start()
    assert entered.wait(PATIENCE_S)
    system._watchdog.start()  # as when an actor is restarted in a system that runs
    pass_time(clock, 6)
    eventually(lambda: system._watchdog.takeovers)
    release.set()
    starting.join()
    try:

        def runs() -> bool:
            clock.advance(0.1)
            return system.phase("counter") == "running"

        eventually(runs)
        assert 1 == system.ask_blocking("counter", Add(1))
    finally:
        system.stop(2.0)


def test_past_the_cap_the_host_is_told_once_and_the_actor_stays() -> None:
    """One zombie more than the process may have: it is to be replaced, and its host says how."""
    clock, told = ManualClock(), list[Exhausted]()
    names = [f"counter/{number}" for number in range(5)]
    specs = [hanger(name) for name in names]
    with gates(*range(5)), running(*specs, clock=clock, watch=WATCH, on_exhausted=told.append) as system:
        for number, name in enumerate(names):
            asking = AskThread(system, Hang(number), to=name)
            enter(number)
            pass_time(clock, 6)
            if number < 3:
                assert isinstance(asking.ended(), HandlerFailed)
        eventually(lambda: told)
        pass_time(clock, 30)
        assert [("counter/3", "Hang", 3)] == [(one.actor, one.handling, one.zombies) for one in told]
        exhausted = [event for event in events(system.store) if isinstance(event, WatchdogExhausted)]
        assert [("counter/3", 3)] == [(event.actor, event.zombies) for event in exhausted]
        assert 3 == system._watchdog.takeovers
        for number in range(5):
            GATES[number][1].set()
        zombies_end(system)


def test_the_supervisor_itself_can_be_taken_over() -> None:
    """The watchdog needs no supervisor: it records in a stream of its own."""
    clock = ManualClock()
    entered, release = threading.Event(), threading.Event()
    own = supervisor.spec()
    stuck = [True]

    def decide_slowly(state: Any, command: Any, ctx: Context) -> Decision:
        if isinstance(command, supervisor.AddChild) and stuck:
            stuck.clear()
            entered.set()
            release.wait(PATIENCE_S)
        return own.decide(state, command, ctx)

    hasty = attrs.evolve(own, decide=decide_slowly)
    with running(hasty, counter(), clock=clock, watch=WATCH) as system:
        system.ask_blocking("supervisor", supervisor.StartSupervising(("actor:counter",), 1))
        system.tell("supervisor", supervisor.AddChild("component:browser"))
        assert entered.wait(PATIENCE_S)
        pass_time(clock, 6)
        eventually(lambda: "component:browser" in system.state("supervisor").children)
        release.set()
        zombies_end(system)


def test_a_hand_is_settled_by_whoever_comes_first() -> None:
    """Left before it was abandoned, it stays its thread's; abandoned first, its thread ends."""
    hand = Hand()
    hand.enter(1.0)
    hand.leave()
    assert not hand.abandon(1)
    hand.enter(2.0)
    assert not hand.abandon(1), "another stay"
    assert hand.abandon(2)
    with pytest.raises(Abandoned):
        hand.leave()


@attrs.define
class AskThread:
    """An ask on a thread of its own, and what it ended with."""

    system: ActorSystem
    command: Command
    to: str = "counter"
    _end: list[Any] = attrs.Factory(list)
    _thread: threading.Thread = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        try:
            self._end.append(self.system.ask_blocking(self.to, self.command, timeout_s=PATIENCE_S))
        except Exception as error:
            self._end.append(error)

    def ended(self) -> Any:
        self._thread.join(PATIENCE_S + 5)
        return self._end[0]
