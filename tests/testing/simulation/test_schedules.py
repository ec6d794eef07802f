"""The simulator: each schedule once, the same again from what is printed, and time that only passes when it must."""

from __future__ import annotations

from functools import cache, partial
from math import comb
from typing import Any

import attrs
import hypothesis
import pytest
from hypothesis import strategies as st

from eventstore.errors import OutcomeUnknown
from lrm_actors.errors import AskTimeout, HandlerFailed, StorageUnavailable
from lrm_actors.runtime.machine import THIS, here
from lrm_actors.runtime.system import ActorSystem
from lrm_actors.testing import Simulation, SimulationRunsOn, SimulationStuck, explore, schedules
from tests.runtime.support import Add, AddLater, Count, Look, Raise, Shout, ShoutLoud, counter


def tell_twice(system: ActorSystem, name: str) -> None:
    """What a client does."""
    for amount in (1, 2):
        system.tell(name, Add(amount))


def two_workers(sim: Simulation) -> None:
    """Two clients tell a worker each two messages; the workers know nothing of each other."""
    system = sim.system([counter("a"), counter("b")])
    for name in ("a", "b"):
        sim.spawn(partial(tell_twice, system, name), f"client of {name}")
    sim.run_until_idle()
    sim.check()
    for name in ("a", "b"):
        assert (1, 2) == system.state(name).history


@cache
def ways(sent_a: int, waiting_a: int, sent_b: int, waiting_b: int) -> int:
    """How many ways there are on, each a choice of who goes on next: told of by a model of its own.

    A client sends one message a step; a worker takes all that waits for it in one.
    """
    on = 0
    if sent_a < 2:
        on += ways(sent_a + 1, waiting_a + 1, sent_b, waiting_b)
    if waiting_a:
        on += ways(sent_a, 0, sent_b, waiting_b)
    if sent_b < 2:
        on += ways(sent_a, waiting_a, sent_b + 1, waiting_b + 1)
    if waiting_b:
        on += ways(sent_a, waiting_a, sent_b, 0)
    return on or 1


def test_all_schedules_of_two_workers_with_two_messages_are_enumerated_each_once() -> None:
    """One worker and its client take 3 steps (both messages in one turn) or 4; two such pairs interleave freely."""
    seen: set[str] = set()

    def run(sim: Simulation) -> None:
        two_workers(sim)
        assert sim.trace not in seen, "a schedule was run twice"
        seen.add(sim.trace)

    found = explore(run).expect_none()
    formula = comb(3 + 3, 3) + 2 * comb(3 + 4, 3) + comb(4 + 4, 4)
    print(f"schedules of two workers with two messages each: {found.schedules}")
    assert found.complete
    assert formula == ways(0, 0, 0, 0) == found.schedules == len(seen) == 160


def test_every_order_of_two_workers_events_is_reached() -> None:
    """Nothing that could be in the log is missed: each interleaving of both streams comes up."""
    orders: set[tuple[str, ...]] = set()

    def run(sim: Simulation) -> None:
        two_workers(sim)
        orders.add(tuple(record.stream for record in sim.events()))

    explore(run).expect_none()
    assert comb(4, 2) == len(orders)


@pytest.mark.parametrize("seed", range(5))
def test_a_schedule_replays_from_its_seed_and_from_its_trace(seed: int) -> None:
    """The same seed makes the same choices, and the printed trace makes them again."""

    def run(**how: Any) -> tuple[str, list[Any]]:
        with Simulation(seed, **how) as sim:
            two_workers(sim)
            return sim.trace, [(record.stream, record.events, record.command_id) for record in sim.events()]

    trace, events = run()
    assert (trace, events) == run()
    assert (trace, events) == run(replay=trace)
    assert (trace, events) == run(choose=trace)


def test_a_failure_carries_the_line_that_replays_it_and_the_end_of_the_log() -> None:
    """What a failing test prints is enough to have it again."""
    with pytest.raises(AssertionError) as raised, Simulation(4) as sim:
        two_workers(sim)
        raise AssertionError
    (note,) = raised.value.__notes__
    assert "replay this schedule with: Simulation(4)" in note
    assert "Added(amount=2)" in note
    with pytest.raises(AssertionError) as raised, Simulation(4, choose="0101") as sim:
        two_workers(sim)
        raise AssertionError
    assert "Simulation(4, replay='0101')" in raised.value.__notes__[0]


@hypothesis.given(schedules())
def test_a_schedule_may_come_from_a_strategy(schedule: tuple[int, ...]) -> None:
    """Whatever hypothesis makes up is a schedule."""
    with Simulation(choose=schedule) as sim:
        two_workers(sim)


@hypothesis.given(st.data())
def test_a_schedule_may_be_drawn_choice_by_choice(data: st.DataObject) -> None:
    """The data object of hypothesis chooses too."""
    with Simulation(choose=data) as sim:
        two_workers(sim)


def test_time_stands_while_anybody_can_go_on_and_then_jumps() -> None:
    """A timer of a day takes no time; both clocks say that a day went by."""
    with Simulation() as sim:
        system = sim.system([counter()])
        before = sim.clock.now()
        system.ask_blocking("counter", AddLater(5, 86_400.0))
        sim.run(for_s=86_399.0)
        assert 0 == system.state("counter").total
        sim.run(for_s=1.0)
        assert 5 == system.state("counter").total
        assert 86_400.0 == sim.clock.now().monotonic_s - before.monotonic_s == sim.clock.now().wall_s - before.wall_s


def test_an_effect_may_wait_and_holds_up_only_itself() -> None:
    """Handlers of effects are threads of their own: one that sleeps, asks and restarts is not in anybody's way."""
    heard: list[Any] = []

    def shout(effect: Shout) -> None:
        sim.sleep(10.0)
        heard.append((effect.text, sim.ask("other", Add(1)), sim.systems[0].restart_actor("counter")))

    with Simulation() as sim:
        system = sim.system([counter(), counter("other")], handlers={Shout: shout})
        assert "decided" == system.ask_blocking("counter", ShoutLoud("late"))
        assert 3 == system.ask_blocking("other", Add(3))
        sim.run(for_s=9.0)
        assert [] == heard
        assert sim.run_until(lambda: heard, within_s=2.0)
        assert [("late", 4, 0.0)] == heard


def test_faults_do_what_they_do_outside() -> None:
    """A crash, a hang, an append that fails or has no known outcome, a full disk: the same errors and recovery."""
    with Simulation() as sim:
        system = sim.system([counter()])
        sim.crash("counter")
        with pytest.raises(HandlerFailed):
            sim.ask("counter", Add(1))
        assert 1 == sim.ask("counter", Add(1))
        sim.hang("counter", for_s=7.0)
        with pytest.raises(AskTimeout):
            sim.ask("counter", Add(1), timeout_s=5.0)
        assert 2 == sim.ask("counter", Look(), timeout_s=5.0)
        sim.fail_next_append()
        with pytest.raises(StorageUnavailable):
            sim.ask("counter", Add(1))
        assert sim.run_until(lambda: system.phase("counter") == "running")
        for stored, total in ((True, 3), (False, 3)):
            sim.fail_next_append(OutcomeUnknown("fsync failed"), stored=stored)
            if stored:
                assert total == sim.ask("counter", Add(1))
            else:
                with pytest.raises(StorageUnavailable):
                    sim.ask("counter", Add(1))
            assert total == sim.ask("counter", Look())
        sim.disk_full = True
        with pytest.raises(StorageUnavailable):
            sim.ask("counter", Add(1))
        sim.run(for_s=600.0)
        sim.disk_full = False
        assert sim.run_until(lambda: system.phase("counter") == "running")
        assert 3 == sim.ask("counter", Look())
        sim.check()


def tell_late(sim: Simulation, system: ActorSystem) -> None:
    """What never comes to it when the process is killed before."""
    sim.sleep(1.0)
    system.tell("counter", Add(100))


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_killed_process_finds_in_the_log_what_was_acknowledged(tmp_path: Any, on_disk: bool) -> None:
    """Kill: nobody goes on, no timer fires, what was in memory is gone, and the log is as it was."""
    with Simulation(path=tmp_path / "lrm.db" if on_disk else None) as sim:
        system = sim.system([counter()])
        sim.ask("counter", Add(1))
        sim.ask("counter", AddLater(10, 60.0))
        sim.spawn(partial(tell_late, sim, system))
        sim.kill(reboot=True)
        sim.run(for_s=120.0)
        sim.system([counter()])
        assert 1 == sim.ask("counter", Look())
        assert 2 == sim.ask("counter", Add(1))
        boots = [record.recorded_at.boot_id for record in sim.events()]
        assert ["simulated-1", "simulated-2"] == boots
        sim.check()


def test_wall_clock_jumps_and_suspensions_move_what_they_should() -> None:
    """A jump moves the wall clock alone; a suspended process wakes with everything due at once."""
    with Simulation() as sim:
        system = sim.system([counter()])
        sim.ask("counter", AddLater(5, 60.0))
        before = sim.clock.now()
        sim.jump_wall(-3600.0)
        assert before.wall_s - 3600.0 == sim.clock.now().wall_s
        assert before.monotonic_s == sim.clock.now().monotonic_s
        sim.suspend(for_s=3600.0)
        assert 0 == system.state("counter").total
        sim.run_until_idle()
        assert 5 == system.state("counter").total


def test_whoever_waits_for_ever_is_named() -> None:
    """Nobody can go on and nothing is to happen: who waits, for what, and what is left in the mailboxes."""
    with Simulation() as sim:
        sim.system([counter()])
        flag = sim.machine.flag()
        sim.spawn(flag.wait, "a client")
        with pytest.raises(SimulationStuck, match="a client waits for a flag to be set"):
            sim.run_until_idle()


def test_what_never_ends_at_one_moment_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Actors that keep each other busy without time passing do not hang the test."""
    monkeypatch.setattr("lrm_actors.testing.simulation.scheduler.STEPS_AT_ONE_MOMENT", 1000)
    with Simulation() as sim:
        sim.system([counter()], handlers={Shout: lambda effect: ShoutLoud(effect.text)})
        sim.tell("counter", ShoutLoud("for ever"))
        with pytest.raises(SimulationRunsOn, match="no time went by"):
            sim.run_until_idle()


def test_state_that_is_not_the_fold_is_noticed() -> None:
    """Planted: an ``evolve`` that counts how often it is called gives another state when it folds again."""
    calls: list[int] = []

    def evolve(state: Count, fact: Any) -> Count:
        calls.append(1)
        return Count(total=len(calls))

    with Simulation() as sim:
        sim.system([attrs.evolve(counter(), evolve=evolve)])
        sim.ask("counter", Add(1))
        with pytest.raises(AssertionError, match="not the fold"):
            sim.check()


def test_a_simulation_leaves_nothing_behind_in_the_thread() -> None:
    """After it, what is made is made of the machine's own parts again, whatever became of it."""
    with pytest.raises(ZeroDivisionError), Simulation() as sim:
        sim.system([counter()])
        sim.tell("counter", Raise(ZeroDivisionError))
        sim.spawn(lambda: 1 // 0)
        sim.run_until_idle()
    assert here() is THIS
