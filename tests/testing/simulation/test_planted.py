"""Bugs that only some schedules bring out are found and made short; without the bug, nothing is found."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial

import hypothesis
import pytest

from lrm_actors.testing import Simulation, SimulationStuck, explore, schedules, search
from tests.testing.simulation.planted import PLANTED, hung, pool_of_one, two_locks

SCHEDULES, SCHEDULES_RELEASE = 300, 20_000
"""Schedules of the right actors that find nothing."""
LARGE = {"double restart": 12}
"""How many times fewer of what is a whole agent."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Thousands of crashes on purpose would fill the captured log."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found_by_trying_every_schedule_and_shrunk(name: str) -> None:
    """The first schedule that fails is among few, and what is left of it is short and fails again."""
    run, most = PLANTED[name]
    found = explore(partial(run, planted=True), max_schedules=2_000).failure
    assert found is not None, f"{name} was not found"
    print(f"{name}: found by schedule {found.found_after}, {found.shrunk_from} choices shrunk to {found.trace!r}")
    assert len(found.choices) <= most
    with pytest.raises(type(found.error)), Simulation(found.seed, replay=found.trace) as sim:
        run(sim, planted=True)


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found_by_chance_and_shrunk(name: str) -> None:
    """Random schedules find it too."""
    run, most = PLANTED[name]
    found = search(partial(run, planted=True), schedules=500).failure
    assert found is not None, f"{name} was not found"
    assert len(found.choices) <= most


@pytest.mark.parametrize("name", [name for name, (_, most) in PLANTED.items() if most])
def test_a_planted_bug_is_found_by_hypothesis_and_shrunk(name: str) -> None:
    """Hypothesis finds it, and shrinks the schedule as it shrinks anything."""
    run, most = PLANTED[name]

    def fails(schedule: tuple[int, ...]) -> bool:
        try:
            with Simulation(choose=schedule) as sim:
                run(sim, planted=True)
        except Exception:
            return True
        return False

    bounded = hypothesis.settings(max_examples=1_000, deadline=None, derandomize=True, database=None)
    shortest = hypothesis.find(schedules(max_choices=20), fails, settings=bounded)
    assert len(shortest) <= most


@pytest.mark.parametrize("name", PLANTED)
def test_without_the_bug_no_schedule_fails(name: str, release: bool) -> None:
    """The same actors without what was planted: the checks are not what fails."""
    run, _ = PLANTED[name]
    most = (SCHEDULES_RELEASE if release else SCHEDULES) // LARGE.get(name, 1)
    found = explore(partial(run, planted=False), max_schedules=most)
    print(
        f"{name}: {found.schedules} schedules of the right actors, {'all there are' if found.complete else 'not all'}"
    )
    found.expect_none()


@pytest.mark.parametrize("without", ["hand", "log"])
def test_each_of_the_two_fences_alone_keeps_a_zombie_out(without: str) -> None:
    """The thread that looks whether it was replaced, and the log that asks for the epoch: one of them is enough."""
    explore(partial(hung, planted=True, without=[without])).expect_none()


def test_a_deadlock_says_who_waits_for_whom() -> None:
    """Both who wait are named, with what they wait for and who has it; so is what no thread is left for."""
    error = explore(partial(two_locks, planted=True)).failure
    assert error is not None
    assert isinstance(error.error, SimulationStuck)
    waits = {one.who: one.what for one in error.error.waiting}
    assert {
        "lrm-effect-1": "a lock that lrm-effect-2 holds",
        "lrm-effect-2": "a lock that lrm-effect-1 holds",
    } == waits
    error = explore(partial(pool_of_one, planted=True)).failure
    assert error is not None
    assert "1 effects wait for a thread" in str(error.error)
