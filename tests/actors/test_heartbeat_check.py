"""The look at heartbeats: what it tells of components, and what it does not hold against them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lrm_actors.actors.monitor import monitor_handlers
from lrm_actors.actors.sampling.sampler import Sampler
from lrm_actors.domain.monitor import CheckHeartbeats, Observation, RecordObservations
from tests.domain.kit import START


class Times:
    """A clock that stands where it is put."""

    now_s = START.monotonic_s

    def __call__(self) -> float:
        return self.now_s


def check(times: Times, *seen: Observation) -> Callable[[float], RecordObservations]:
    """A heartbeat check over these components, called with when it was due."""
    handlers = monitor_handlers(Sampler(Path()), lambda: seen, times)

    def run(due_s: float) -> RecordObservations:
        command = handlers[CheckHeartbeats](CheckHeartbeats(due_s))
        assert isinstance(command, RecordObservations)
        return command

    return run


def test_how_late_a_check_came_is_told() -> None:
    """The monitor learns it with what was seen; a check with nothing to see answers too."""
    times = Times()
    assert RecordObservations((), 2.5) == check(times)(times.now_s - 2.5)
    assert RecordObservations((), 0.0) == check(times)(times.now_s + 1.0)


def test_what_changes_nothing_is_not_told() -> None:
    """It would wake the monitor for nothing; who is asked sees all that was seen."""
    asked: list[RecordObservations] = []

    def is_news(seen: RecordObservations) -> bool:
        asked.append(seen)
        return seen.gap_s > 1.0

    handlers = monitor_handlers(Sampler(Path()), tuple, times := Times(), is_news)
    assert handlers[CheckHeartbeats](CheckHeartbeats(times.now_s)) is None
    assert RecordObservations((), 2.5) == handlers[CheckHeartbeats](CheckHeartbeats(times.now_s - 2.5))
    assert [0.0, 2.5] == [seen.gap_s for seen in asked]


def test_time_held_up_does_not_count_against_a_component() -> None:
    """After this process was stopped for 20 s, a heartbeat 21 s old is 1 s old, also at the checks that follow."""
    times = Times()
    ages = [21.0, 22.0, 30.0]
    handlers = monitor_handlers(Sampler(Path()), lambda: (Observation("browser", ages.pop(0), 10.0),), times)
    seen = []
    for late_s, gone_s in ((20.0, 0.0), (0.0, 1.0), (0.0, 8.0)):
        times.now_s += gone_s
        command = handlers[CheckHeartbeats](CheckHeartbeats(times.now_s - late_s))
        assert isinstance(command, RecordObservations)
        seen.append(command.observations[0].heartbeat_age_s)
    assert [1.0, 2.0, 10.0] == seen


def test_a_beat_since_the_hold_up_is_as_old_as_it_is() -> None:
    """Only the part of the hold-up that lies after the last heartbeat is credited."""
    times = Times()
    run = check(times, Observation("browser", 3.0, 10.0), Observation("silent", None, None))
    assert (Observation("browser", 0.0, 10.0), Observation("silent", None, None)) == run(times.now_s - 5.0).observations
    times.now_s += 100.0
    assert 3.0 == run(times.now_s).observations[0].heartbeat_age_s
