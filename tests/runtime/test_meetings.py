"""When two things happen at the same time: a snapshot is taken, a handler hangs, the storage hangs, an actor ends."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from eventstore.memory import MemoryStore
from eventstore.records import Appended, Batch
from lrm_actors.domain.behavior import Context, Decision, Spec, Wire, then
from lrm_actors.domain.supervisor import StartChild, TerminateChild
from lrm_actors.runtime import overflow, roster
from lrm_actors.runtime.clock import ManualClock
from lrm_actors.runtime.control import StorageBack, TakeSnapshot
from lrm_actors.runtime.shell import Shell
from tests.runtime.supervising import all_up, counters, root, statuses, supervised
from tests.runtime.support import PATIENCE_S, Add, Added, Count, Note, Noted, Wait, counter, eventually, evolve, running
from tests.runtime.test_watchdog import GATES, WATCH, Hang, enter, gates, hanger, pass_time, zombies_end


def test_what_waits_while_a_snapshot_is_taken_is_handled_by_the_successor() -> None:
    """The actor reads on before it takes one, and hangs on what it reads: nothing that it had taken out is lost."""
    clock = ManualClock()
    wire = Wire(Noted, to="counter", make=lambda fact, _record: Hang(2))
    with gates(1, 2), running(hanger(), counter("other"), wires=[wire], clock=clock, watch=WATCH) as system:
        system.tell("counter", Hang(1))
        enter(1)
        system.ask_blocking("other", Note("x"))
        for amount in (1, 2, 3):
            system.tell("counter", Add(amount))
        system.shell("counter").mailbox.command(TakeSnapshot())
        GATES[1][1].set()
        enter(2)
        pass_time(clock, 7)
        eventually(lambda: system._watchdog.takeovers == 1, "the takeover")
        GATES[2][1].set()
        system.ask_blocking("counter", Add(4))
        zombies_end(system)
        assert [1, 2, 3, 4] == [amount for amount in system.state("counter").history if amount < 1000]


def test_an_actor_that_ended_itself_while_a_snapshot_is_taken_decides_nothing_more() -> None:
    """The end that it decided is the end, also of the events that are wired to it and of what it had taken out."""

    def ending(state: Count, command: Any, ctx: Context) -> Decision:
        if isinstance(command, Note):
            return then(Added(1), stop="it was noted")
        return hanger().decide(state, command, ctx)

    entered, release = threading.Event(), threading.Event()
    wire = Wire(Noted, to="counter", make=lambda fact, _record: Note(fact.text))
    with running(Spec("counter", Count(), ending, evolve), counter("other"), wires=[wire]) as system:
        system.tell("counter", Wait(entered, release))
        assert entered.wait(PATIENCE_S)
        for text in ("a", "b", "c"):
            system.ask_blocking("other", Note(text))
        system.tell("counter", Add(100))
        system.shell("counter").mailbox.command(TakeSnapshot())
        release.set()
        eventually(lambda: system.phase("counter") == "stopped", "its end")
        assert 1 == system.state("counter").total


class HangingStore(MemoryStore):
    """A store whose appends hang while the gate is shut: a disk that does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.open.set()
        self.asked = threading.Event()

    def append(self, batch: Batch) -> Appended:
        if not self.open.is_set():
            self.asked.set()
            self.open.wait()
        return super().append(batch)


def test_storage_that_hangs_does_not_cost_a_thread_with_each_look_of_the_watchdog() -> None:
    """What the watchdog has to say waits for the log on one thread, however long that takes."""
    clock, store = ManualClock(), HangingStore()
    with gates(1), running(hanger("a"), store=store, clock=clock, watch=WATCH) as system:
        system.tell("a", Hang(1))
        enter(1)
        store.open.clear()
        pass_time(clock, 2)
        eventually(store.asked.is_set, "what the watchdog saw is to be stored")
        before = watchdog_threads()
        pass_time(clock, 2)
        after = watchdog_threads()
        store.open.set()
        assert (1, 1) == (before, after)


def watchdog_threads() -> int:
    """How many threads of a watchdog there are."""
    return sum(thread.name == "lrm-watchdog" for thread in threading.enumerate())


def test_an_actor_that_is_started_again_has_a_mailbox_at_every_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever tells all actors something, as the guardian does when the log is back, reaches the others."""
    with supervised(MemoryStore(), root("a"), *counters("a")) as system:
        system.ask_blocking("supervisor", TerminateChild("actor:a"))
        eventually(lambda: system.phase("a") == "stopped", "its end")
        make, reached = overflow.mailbox_for, list[str]()

        def make_slowly(*arguments: Any) -> Any:
            system.command("a", StorageBack())
            reached.append("a")
            return make(*arguments)

        monkeypatch.setattr(roster, "mailbox_for", make_slowly)
        system.ask_blocking("supervisor", StartChild("actor:a"))
        all_up(system, ("a",))
        assert ["a"] == reached


@pytest.mark.parametrize("again", [False, True])
def test_an_actor_for_which_there_is_no_thread_gets_one_later(monkeypatch: pytest.MonkeyPatch, again: bool) -> None:
    """Added, or started again, while the machine has none to give: it does not stay a name that nobody answers to."""
    clock, launch, refused = ManualClock(), Shell.launch, [1, 1]

    def none_at_first(shell: Shell, thread_name: str) -> None:
        if refused and shell.spec.name == "a":
            refused.pop()
            raise RuntimeError("can't start new thread")
        launch(shell, thread_name)

    def answers() -> bool:
        clock.advance(0.05)  # ten times as fast as it is looked: what takes a moment does not seem to hang
        return system.phase("a") == "running" and statuses(system).get("a") == "running"

    (spec,) = counters("a")
    with supervised(MemoryStore(), root(), clock=clock) as system:
        if again:
            system.spawn(spec, supervisor="supervisor")
            system.ask_blocking("supervisor", TerminateChild("actor:a"))
            eventually(lambda: system.phase("a") == "stopped", "its end")
        monkeypatch.setattr(Shell, "launch", none_at_first)
        if again:
            system.ask_blocking("supervisor", StartChild("actor:a"))
        else:
            system.spawn(spec, supervisor="supervisor")
        eventually(answers, "its start")
        assert 1 == system.ask_blocking("a", Add(1))
        assert not refused
