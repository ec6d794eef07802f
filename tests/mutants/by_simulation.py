"""Small systems in a ``Simulation``: what happens to them under many schedules, and what must be so afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import attrs

from eventstore.errors import OutcomeUnknown
from eventstore.events import event, name_of
from lrm_actors.domain.behavior import (
    CancelTimer,
    Command,
    Context,
    Decision,
    Effect,
    Spec,
    StartTimer,
    Wire,
    stash,
    then,
)
from lrm_actors.domain.dead_letters import STREAM
from lrm_actors.domain.watching import ActorTakenOver
from lrm_actors.errors import AskError, CommandRefused, HandlerFailed, StorageUnavailable
from lrm_actors.runtime.watchdog import Watch
from lrm_actors.testing import Simulation, explore, search
from tests.testing import mailing as m
from tests.testing.simulation.planted import double_restart

SCHEDULES = 20

# --- a small actor with a bit of everything ---------------------------------------------------------------------------


@event("tried.put", 1)
class Put:
    number: int


@event("tried.opened", 1)
class Opened:
    pass


@event("tried.rang", 1)
class Rang:
    pass


@attrs.frozen
class Box:
    numbers: tuple[int, ...] = ()
    open: bool = True
    rings: int = 0


@attrs.frozen
class PutIn(Command):
    number: int


@attrs.frozen
class OpenIt(Command):
    pass


@attrs.frozen
class RingIn(Command):
    """Replaces the ring that is still to come."""

    delay_s: float


@attrs.frozen
class Ring(Command):
    pass


@attrs.frozen
class Silence(Command):
    pass


@attrs.frozen
class Sort(Effect):
    number: int


@attrs.frozen
class PutAndSort(Command):
    number: int


def decide(state: Box, command: Any, ctx: Context) -> Decision:
    """What it does."""
    match command:
        case PutIn(number) if state.open:
            if number < 0:
                raise CommandRefused("nothing is taken out", actor="box")
            return then(Put(number), reply=len(state.numbers) + 1)
        case PutIn():
            return stash()
        case PutAndSort(number):
            return then(Put(number), effects=[Sort(number)])
        case OpenIt():
            return then(Opened(), unstash=True)
        case RingIn(delay_s):
            return then(effects=[StartTimer("ring", delay_s, Ring())])
        case Ring():
            return then(Rang())
        case Silence():
            return then(effects=[CancelTimer("ring")])
    raise TypeError(command)


def evolve(state: Box, fact: Any) -> Box:
    """What it becomes."""
    match fact:
        case Put(number):
            return attrs.evolve(state, numbers=(*state.numbers, number))
        case Opened():
            return attrs.evolve(state, open=True)
        case Rang():
            return attrs.evolve(state, rings=state.rings + 1)
    return state


def box(name: str = "box", **options: Any) -> Spec[Box]:
    """The small actor."""
    return Spec(name, options.pop("initial", Box()), decide, evolve, **options)


def numbers(sim: Simulation, name: str = "box") -> list[int]:
    """What was put in, by the log; and the actor agrees."""
    sim.check()
    return [record.event.number for record in sim.store.read_stream(name) if isinstance(record.event, Put)]


def by_chance(run: Callable[[Simulation], object]) -> Callable[[], None]:
    """The scene under some schedules by seed."""

    @wraps(run)
    def check() -> None:
        search(run, schedules=SCHEDULES, shrink=False).expect_none()

    return check


def every_schedule(run: Callable[[Simulation], object]) -> Callable[[], None]:
    """The scene under each schedule that there is, the first of them."""

    @wraps(run)
    def check() -> None:
        explore(run, max_schedules=SCHEDULES, shrink=False).expect_none()

    return check


# --- scenes -----------------------------------------------------------------------------------------------------------


@every_schedule
def a_crash_in_a_turn(sim: Simulation) -> None:
    """Of several told messages one fails for once: all are handled, each once, in order."""
    system = sim.system([box()])
    sim.crash("box")
    for number in range(1, 7):
        system.tell("box", PutIn(number))
    sim.run(for_s=30.0)
    assert [1, 2, 3, 4, 5, 6] == numbers(sim)


@every_schedule
def a_message_that_always_fails(sim: Simulation) -> None:
    """It is put aside after three tries, as a dead letter; those after it are handled."""
    system = sim.system([box()])
    for _ in range(3):
        sim.crash("box")
    for number in (1, 2):
        system.tell("box", PutIn(number))
    sim.run(for_s=60.0)
    assert [2] == numbers(sim)
    letters = [record.event for record in sim.store.read_stream(STREAM)]
    assert [("box", "PutIn", 3)] == [(one.to, one.command, one.attempts) for one in letters]


@by_chance
def a_handler_that_hangs(sim: Simulation) -> None:
    """A successor takes over: what was told is done once, who asked hears of it, and the log says so."""
    system = sim.system([box()], watch=Watch(slow_s=1.0, hung_s=4.0))
    told: list[str] = []

    def ask() -> None:
        try:
            sim.ask("box", PutIn(3), timeout_s=40.0)
        except HandlerFailed as error:
            told.append(error.error)
        else:
            told.append("")

    sim.hang("box", for_s=30.0)
    for number in (1, 2):
        sim.spawn(partial(system.tell, "box", PutIn(number)), f"client {number}")
    sim.spawn(ask, "asker")
    sim.run(for_s=60.0)
    done = numbers(sim)
    assert len(done) == len(set(done)), "done twice"
    assert {1, 2} <= set(done), "a told message was lost"
    assert 1 == len(told), "who asked was told nothing"
    assert bool(told[0]) is (3 not in done)
    assert 1 == sum(isinstance(record.event, ActorTakenOver) for record in sim.store.read())


@every_schedule
def a_process_that_is_suspended(sim: Simulation) -> None:
    """Time at which nothing could run is nobody's fault: no actor is taken over for it."""
    system = sim.system([box()], watch=Watch(slow_s=5.0, hung_s=20.0))
    sim.hang("box", for_s=2.0)
    system.tell("box", PutIn(1))
    sim.run(for_s=1.0)
    sim.suspend(600.0)
    sim.run(for_s=60.0)
    assert [1] == numbers(sim)
    assert not any(isinstance(record.event, ActorTakenOver) for record in sim.store.read())


@every_schedule
def commands_that_are_put_off(sim: Simulation) -> None:
    """They come in their order once the actor says so, over a restart, and ahead of what came later."""
    system = sim.system([box(initial=Box(open=False))])
    for number in (1, 2, 3):
        system.tell("box", PutIn(number))
    sim.run_until_idle()
    sim.crash("box")
    system.tell("box", OpenIt())
    system.tell("box", PutIn(4))
    sim.run(for_s=30.0)
    assert [1, 2, 3, 4] == numbers(sim)


@every_schedule
def timers_that_are_replaced(sim: Simulation) -> None:
    """Of several under one key the last one rings, once; none that was cancelled does, nor one of before a restart."""
    system = sim.system([box()])
    for delay_s in (5.0, 10.0, 20.0):
        system.tell("box", RingIn(delay_s))
    sim.run(for_s=19.0)
    assert 0 == system.state("box").rings
    sim.run(for_s=30.0)
    assert 1 == system.state("box").rings
    system.tell("box", RingIn(10.0))
    sim.run_until_idle()
    system.tell("box", Silence())
    sim.run(for_s=30.0)
    system.tell("box", RingIn(10.0))
    sim.run_until_idle()
    system.restart_actor("box")
    sim.run(for_s=30.0)
    assert 1 == system.state("box").rings


@by_chance
def events_that_are_wired(sim: Simulation) -> None:
    """Each comes to the other actor once, whoever crashes, whether the process is killed or an append fails."""
    wires = [Wire(Put, to="copy", make=_to_copy)]
    specs = [box(snapshot_every=3), box("copy", snapshot_every=2)]
    sim.system(specs, wires=wires)
    for number in (1, 2, 3):
        sim.tell("box", PutIn(number))
    sim.crash("copy")
    sim.run(for_s=10.0)
    sim.fail_next_append()
    with contextlib.suppress(AskError):
        sim.ask("box", PutIn(4), command_id="four")
    sim.run(for_s=10.0)
    with contextlib.suppress(AskError):
        sim.ask("box", PutIn(4), command_id="four")
    sim.fail_next_append(OutcomeUnknown("who knows"), stored=True)
    sim.tell("copy", PutIn(0))
    sim.run(for_s=10.0)
    sim.kill()
    system = sim.system(specs, wires=wires)
    sim.tell("box", PutIn(5))
    sim.run(for_s=10.0)
    assert [1, 2, 3, 4, 5] == [number for number in numbers(sim, "copy") if number]
    assert list(system.state("box").numbers) == numbers(sim)


@every_schedule
def an_append_of_the_consumer_that_fails(sim: Simulation) -> None:
    """Its place among what is wired is stored with what it led to, or not at all: nothing is passed over."""
    system = sim.system([box(), box("copy")], wires=[Wire(Put, to="copy", make=_to_copy)])

    def put_in() -> None:
        sim.ask("box", PutIn(1))
        sim.fail_next_append()

    sim.spawn(put_in)
    sim.run(for_s=10.0)
    system.tell("box", PutIn(2))
    sim.run(for_s=10.0)
    assert [1, 2] == numbers(sim, "copy")


def _to_copy(fact: Put, record: Any) -> Command | None:
    return PutIn(fact.number) if record.stream == "box" else None


@every_schedule
def a_disk_that_is_full_for_a_while(sim: Simulation) -> None:
    """Asks end with an error, what was told waits, and once there is room everything goes on by itself."""
    system = sim.system([box()])
    sim.fail_next_append()
    assert not _answers(sim, PutIn(8)), "an answer to what was not stored"
    sim.run(for_s=5.0)
    sim.disk_full = True
    for number in (1, 2):
        system.tell("box", PutIn(number))
    assert not _answers(sim, PutIn(9))
    sim.run(for_s=5.0)
    assert [] == numbers(sim)
    sim.disk_full = False
    sim.run(for_s=10.0)
    assert [1, 2] == numbers(sim)
    assert 3 == sim.ask("box", PutIn(3))


def _answers(sim: Simulation, command: Command) -> bool:
    try:
        sim.ask("box", command)
    except StorageUnavailable:
        return False
    return True


@every_schedule
def an_append_of_unknown_outcome(sim: Simulation) -> None:
    """It is settled before anybody is told; a retry with the same id is carried out once; what was told is, too."""
    for stored in (True, False):
        with contextlib.suppress(AskError):
            sim.kill()
        system = sim.system([box()])
        retried = partial(sim.ask, command_id=f"retried {stored}", timeout_s=3.0)
        for send, again in ((retried, retried), (system.tell, None)):
            sim.fail_next_append(OutcomeUnknown("who knows"), stored=stored)
            number = len(numbers(sim)) + 1
            with contextlib.suppress(AskError):
                send("box", PutIn(number))
            sim.run(for_s=10.0)
            if again is not None:
                assert number == again("box", PutIn(number))
            assert number == len(numbers(sim))
    assert [1, 2, 3, 4] == numbers(sim)


@every_schedule
def effects_over_a_restart(sim: Simulation) -> None:
    """An effect is begun once its event is stored, once, and never by reading the log again."""
    sorted_: list[int] = []

    def sort(effect: Sort) -> None:
        assert effect.number in numbers(sim), "an effect ran ahead of its event"
        sorted_.append(effect.number)

    system = sim.system([box(snapshot_every=2)], handlers={Sort: sort})
    for number in (1, 2, 3):
        system.tell("box", PutAndSort(number))
    sim.run_until_idle()
    system.restart_actor("box")
    sim.run(for_s=5.0)
    sim.kill()
    system = sim.system([box(snapshot_every=2)], handlers={Sort: sort})
    sim.fail_next_append()
    system.tell("box", PutAndSort(4))
    sim.run(for_s=10.0)
    assert [1, 2, 3, 4] == sorted(sorted_)


@every_schedule
def intents_over_a_restart(sim: Simulation) -> None:
    """What is not known to be done is taken up again by a restart and by the next process, timers too."""
    sent: list[int] = []

    def deliver(effect: m.Deliver) -> None:
        sent.append(effect.number)

    sim.system([m.mailing()], handlers={m.Deliver: deliver}).tell("mailing", m.Plan("a"))
    sim.run_until_idle()
    sim.systems[-1].restart_actor("mailing")
    sim.run(for_s=1.0)
    assert [1, 1] == sent
    sim.kill()
    system = sim.system([m.mailing()], handlers={m.Deliver: deliver})
    sim.run(for_s=2 * m.REMIND_AFTER_S)
    assert [1, 1, 1] == sent
    assert 1 == system.state("mailing").reminders


@every_schedule
def who_asks_is_answered(sim: Simulation) -> None:
    """By the reply, by the refusal, by the failure, or by the end of the actor; what was told then is a dead letter."""
    system = sim.system([box()])
    outcomes: list[str] = []

    def ask(number: int) -> None:
        try:
            sim.ask("box", PutIn(number), timeout_s=60.0)
        except AskError as error:
            outcomes.append(type(error).__name__)
        else:
            outcomes.append("answered")

    for number in (1, -1):
        ask(number)
    sim.crash("box")
    ask(2)
    sim.run(for_s=5.0)
    assert ["answered", "CommandRefused", "HandlerFailed"] == outcomes
    sim.hang("box", for_s=5.0)
    for number in (3, 4):
        sim.spawn(partial(ask, number), f"asker {number}")
    sim.run(for_s=1.0)
    system.tell("box", PutIn(5))
    system.stop_actor("box", "enough")
    sim.run(for_s=30.0)
    assert 5 == len(outcomes)
    assert "AskTimeout" not in outcomes
    letters = [record.event.command for record in sim.store.read_stream(STREAM)]
    assert (5 in numbers(sim)) is not ("PutIn" in letters)


@every_schedule
def a_failing_actor_is_left_alone_for_longer_each_time(sim: Simulation) -> None:
    """Without a supervisor the guardian restarts it: at once, then after longer and longer."""
    system = sim.system([box(quarantine_after=100)])
    for _ in range(40):
        sim.crash("box")
    system.tell("box", PutIn(1))
    sim.run(for_s=10.0)
    assert 2 <= system.statistics().actors[0].failures <= 12
    assert name_of(Put) not in [record.type for record in sim.store.read()]


def a_component_is_restarted_once() -> None:
    """Of a whole agent: the supervisor fails just as a backoff ends."""
    explore(partial(double_restart, planted=False), max_schedules=3, shrink=False).expect_none()


CHECKS = (
    a_crash_in_a_turn,
    a_message_that_always_fails,
    a_handler_that_hangs,
    a_process_that_is_suspended,
    commands_that_are_put_off,
    timers_that_are_replaced,
    events_that_are_wired,
    an_append_of_the_consumer_that_fails,
    a_disk_that_is_full_for_a_while,
    an_append_of_unknown_outcome,
    effects_over_a_restart,
    intents_over_a_restart,
    who_asks_is_answered,
    a_failing_actor_is_left_alone_for_longer_each_time,
    a_component_is_restarted_once,
)
