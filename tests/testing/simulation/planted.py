"""Actors with bugs in them that only some schedules bring out, each beside the same without the bug."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any
from unittest import mock

import attrs
import msgspec

from eventstore.events import event, name_of
from eventstore.memory import MemoryStore
from eventstore.memory_log import MemoryLog
from eventstore.prepare import PreparedBatch
from eventstore.records import ANY_VERSION, Appended, Instant
from lrm_actors.domain import children, supervisor
from lrm_actors.domain.behavior import Command, Context, Decision, Effect, Spec, then
from lrm_actors.errors import AskError
from lrm_actors.hosting.running import SPECS
from lrm_actors.runtime.hand import Hand
from lrm_actors.runtime.watchdog import Watch
from lrm_actors.testing import SimulatedAgent, Simulation
from tests.runtime.support import Add, Added, Look, Shout, ShoutLoud, counter

# --- a lost update: what was read is written back after somebody else wrote -----------------------------------------


def lost_update(sim: Simulation, *, planted: bool) -> None:
    """Two effects raise a counter by one: by asking for the total and then for the difference, or in one command.

    Planted: the total that the second command goes by was read by the first.
    """
    setter = Spec("balance", 0, _decide_balance, lambda state, event: event.value)

    def raise_by_one(_: Shout) -> None:
        if planted:
            sim.ask("balance", Set(sim.ask("balance", Look()) + 1))
        else:
            sim.ask("balance", Raise(1))

    system = sim.system([setter, counter("a"), counter("b")], handlers={Shout: raise_by_one})
    for name in ("a", "b"):
        system.tell(name, ShoutLoud("up"))
    sim.run_until_idle()
    assert 2 == system.state("balance"), "an update was lost"


@attrs.frozen
class Set(Command):
    value: int


@attrs.frozen
class Raise(Command):
    by: int


@event("simulated.balance_set", 1)
class BalanceSet:
    value: int


def _decide_balance(state: int, command: Any, _: Context) -> Decision:
    match command:
        case Set(value):
            return then(BalanceSet(value))
        case Raise(by):
            return then(BalanceSet(state + by))
    return then(reply=state)


# --- a rare one: only one order of arrival of many -----------------------------------------------------------------


def rare_order(sim: Simulation, *, planted: bool) -> None:
    """Four clients tell a number each. Planted: the actor cannot stand them in falling order."""

    def evolve(state: tuple[int, ...], event: BalanceSet) -> tuple[int, ...]:
        return (*state, event.value)

    system = sim.system([Spec("order", (), _decide_order, evolve)])
    for number in range(1, 5):
        sim.spawn(partial(system.tell, "order", Set(number)), f"client {number}")
    sim.run_until_idle()
    assert 4 == len(system.state("order"))
    assert not planted or system.state("order") != (4, 3, 2, 1), "they came in falling order"


def _decide_order(_: Any, command: Any, __: Context) -> Decision:
    return then(BalanceSet(command.value))


# --- a double start: a second wish for a child comes before the end of its first start is known ----------------------


@attrs.frozen
class Children:
    """What a careless supervisor knows of its children."""

    starting: tuple[str, ...] = ()
    running: tuple[str, ...] = ()


@attrs.frozen
class Want(Command):
    child: str


@attrs.frozen
class HasStarted(Command):
    child: str


@attrs.frozen
class Start(Effect):
    child: str


@event("simulated.start_begun", 1)
class StartBegun:
    child: str


@event("simulated.start_ended", 1)
class StartEnded:
    child: str


def double_start(sim: Simulation, *, planted: bool) -> None:
    """Two clients want a child to run. Planted: that it is being started already is not looked at."""
    started: list[str] = []

    def start(effect: Start) -> Command:
        started.append(effect.child)
        return HasStarted(effect.child)

    decide = partial(_decide_children, planted=planted)
    system = sim.system([Spec("nursery", Children(), decide, _evolve_children)], handlers={Start: start})
    for number in (1, 2):
        sim.spawn(partial(system.ask_blocking, "nursery", Want("browser")), f"client {number}")
    sim.run_until_idle()
    assert ["browser"] == started, "the child was started twice"


def _decide_children(state: Children, command: Any, _: Context, *, planted: bool) -> Decision:
    match command:
        case Want(child):
            known = state.running if planted else (*state.running, *state.starting)
            return then() if child in known else then(StartBegun(child), effects=[Start(child)])
        case HasStarted(child):
            return then(StartEnded(child))
    return then()


def _evolve_children(state: Children, fact: Any) -> Children:
    match fact:
        case StartBegun(child):
            return attrs.evolve(state, starting=(*state.starting, child))
        case StartEnded(child):
            return Children(tuple(one for one in state.starting if one != child), (*state.running, child))
    return state


def double_restart(sim: Simulation, *, planted: bool) -> None:
    """The supervisor of the library crashes as a backoff ends, so that it hears of the end twice.

    Planted: it does not look whether the restart is under way already.
    """

    def careless(state: Any, command: Any, ctx: Context) -> Decision:
        child = state.children.get(command.child) if isinstance(command, supervisor.RestartDue) else None
        if child is not None and child.status == children.RESTARTING:
            again = attrs.evolve(child, status=children.BACKOFF)
            state = attrs.evolve(state, children={**state.children, command.child: again})
        return supervisor.decide(state, command, ctx)

    decide = careless if planted else supervisor.decide
    specs = [attrs.evolve(spec, decide=decide) if spec.name == supervisor.NAME else spec for spec in SPECS]
    agent = SimulatedAgent(sim, specs=specs)
    agent.start()
    agent.components["browser"].exit_status = 1
    browser = "component:browser"
    assert sim.run_until(lambda: agent.system.state(supervisor.NAME).children[browser].status == children.BACKOFF)
    sim.crash(supervisor.NAME)
    sim.run(30.0)
    news = [record.type for record in sim.store.read() if getattr(record.event, "child", "") == browser]
    begun = "supervisor.restart_started"
    assert (begun, begun) not in itertools.pairwise(news), "a restart was begun while one was under way"
    assert 1 == agent.components["browser"].restarts


# --- a deadlock: two who each hold what the other waits for ----------------------------------------------------------


def two_locks(sim: Simulation, *, planted: bool) -> None:
    """Two effects need the same two locks. Planted: they do not take them in the same order."""
    locks = {"left": sim.machine.lock(), "right": sim.machine.lock()}

    def take_both(effect: Shout) -> None:
        first, second = effect.text.split()
        with locks[first]:
            sim.ask("counter", Add(1))
            with locks[second]:
                sim.ask("counter", Add(1))

    system = sim.system([counter(), counter("a"), counter("b")], handlers={Shout: take_both})
    system.tell("a", ShoutLoud("left right"))
    system.tell("b", ShoutLoud("right left" if planted else "left right"))
    sim.run_until_idle()
    assert 4 == system.state("counter").total


def pool_of_one(sim: Simulation, *, planted: bool) -> None:
    """An effect waits for what another one does. Planted: one thread for both, which the wrong one may have."""
    done = sim.machine.flag()

    def one_waits_for_the_other(effect: Shout) -> None:
        if effect.text == "wait":
            done.wait()
        else:
            done.set()

    threads = 1 if planted else 2
    system = sim.system([counter("a"), counter("b")], handlers={Shout: one_waits_for_the_other}, effect_threads=threads)
    for name, what in (("a", "set"), ("b", "wait")):
        sim.spawn(partial(system.tell, name, ShoutLoud(what)), f"client of {name}")
    sim.run_until_idle()


# --- a missing fence: who was replaced goes on writing ---------------------------------------------------------------


class Unfenced(MemoryLog):
    """A log that asks nobody for an epoch."""

    def check_owner(self, epoch: int) -> None:
        """Whoever it is may write."""

    def raise_epoch(self, name: str) -> tuple[int, int]:
        """Nobody's epoch is ever higher than anybody else's."""
        _, version = super().raise_epoch(name)
        self.streams[name].epoch = 1
        return 1, version


def zombie(sim: Simulation, *, planted: bool) -> None:
    """A second system takes a log over while a client of the first goes on. Planted: the log is not fenced."""
    log = Unfenced() if planted else MemoryLog()
    old = sim.system([counter()], store=MemoryStore(sim.clock.now, log=log), name="old")

    def go_on() -> None:
        with contextlib.suppress(AskError):
            old.ask_blocking("counter", Add(1))

    def take_over() -> None:
        new = sim.system([counter()], store=MemoryStore(sim.clock.now, log=log), name="new", start_by_schedule=True)
        taken_at = log.head
        sim.pause()
        assert taken_at == log.head, "who was replaced wrote once more"
        new.ask_blocking("counter", Add(10))

    sim.spawn(go_on, "client of the old")
    sim.spawn(take_over, "the new")
    sim.run_until_idle()


class Believing(Unfenced):
    """A log that also takes any version for the right one: whoever appends is believed to have looked just now."""

    def write(self, batch: PreparedBatch, instant: Instant) -> tuple[Appended, bool]:
        """Append as the newest owner would."""
        writes = [
            msgspec.structs.replace(write, epoch=self.stream(write.stream).epoch, expected_version=ANY_VERSION)
            for write in batch.writes
        ]
        return super().write(msgspec.structs.replace(batch, writes=tuple(writes)), instant)


def hung(sim: Simulation, *, planted: bool, without: Sequence[str] = ("hand", "log")) -> None:
    """A handler hangs, and a successor takes the actor over. Planted: the zombie does not look whether it was replaced.

    Nor does the log: that alone would keep a zombie's events out.
    """
    unseen = planted and "hand" in without
    store = MemoryStore(sim.clock.now, log=Believing() if planted and "log" in without else MemoryLog())
    with mock.patch.object(Hand, "leave", _leave_unseen) if unseen else contextlib.nullcontext():
        system = sim.system([counter()], store=store, watch=Watch(slow_s=1.0, hung_s=4.0))
        sim.hang("counter", for_s=30.0)
        for amount in (1, 10):
            sim.spawn(partial(system.tell, "counter", Add(amount)), f"client {amount}")
        sim.run(for_s=60.0)
        amounts = sorted(record.event.amount for record in store.read(types=[name_of(Added)]))
        assert [1, 10] == amounts, "a zombie wrote after it was replaced"
        assert 11 == system.state("counter").total


def _leave_unseen(hand: Hand) -> None:
    hand.since_s = None


PLANTED = {
    "lost update": (lost_update, 4),
    "rare order": (rare_order, 5),
    "double start": (double_start, 3),
    "double restart": (double_restart, 0),
    "two locks": (two_locks, 4),
    "pool of one": (pool_of_one, 1),
    "missing fence": (zombie, 6),
    "zombie after a takeover": (hung, 0),
}
"""Each bug, and how many choices the shortest schedule has that brings it out, at most; 0: every schedule does."""
