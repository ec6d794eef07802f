"""The comparison of faults and log: it accepts the story as it was, and finds each kind of lie planted in it."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest

from eventstore import Instant, Record
from eventstore.events import type_of
from lrm_actors.demo.compare import Comparison, Explained, compare
from lrm_actors.demo.injected import Injected
from lrm_actors.demo.plan import Kind
from lrm_actors.domain import breaker, monitor, supervisor
from lrm_actors.domain.deadlines import Deadline

UNTIL = Deadline(1.0, 0.0, 0.0, "boot")
TIMEOUTS = ("timeout: SiteTimeout",) * 3
ERRORS = ("status 500: SiteError",) * 3


def at(seconds: float) -> Instant:
    """A moment on the story's clock."""
    return Instant(1000.0 + seconds, seconds, "boot")


def record(position: int, seconds: float, event: object) -> Record:
    """A record as a log would give it, of an event that happened at a time."""
    kind = type_of(type(event))
    return Record(position, "stream", position, kind.name, 1, (event,), at(seconds), None, None, "", 0, b"{}")


def fault(number: int, kind: Kind, seconds: float) -> Injected:
    """A fault as it was injected."""
    return Injected(number, kind, at(seconds), step=number, acknowledged=number - 1)


FAULTS = (
    fault(1, Kind.KILL_AGENT, 1.0),
    fault(2, Kind.KILL_WORKER, 4.0),
    fault(3, Kind.FREEZE_WORKER, 7.0),
    fault(4, Kind.SITE_HANGS, 10.0),
    fault(5, Kind.SITE_FAILS, 14.0),
    fault(6, Kind.KILL_AGENT, 18.0),
)
OBSERVATIONS = {
    10: record(10, 1.5, supervisor.ProcessExitObserved(-9, "exit by signal 9")),
    20: record(20, 4.2, monitor.ComponentExited("browser", -9, "exit by signal 9")),
    30: record(30, 8.0, monitor.HeartbeatMissed("browser", 0.9, 0.8)),
    40: record(40, 12.0, breaker.FailuresObserved("site", TIMEOUTS)),
    43: record(43, 12.9, breaker.ProbeFailed("site", 2, "timeout: SiteTimeout")),
    50: record(50, 14.6, breaker.FailuresObserved("site", ERRORS)),
    60: record(60, 18.4, supervisor.ProcessExitObserved(-9, "exit by signal 9")),
}
EFFECTS = {
    11: (record(11, 1.5, supervisor.ProcessStarted(2, 99, restarted=True)), 10),
    21: (record(21, 4.3, supervisor.RestartStarted("component:browser", 1)), 20),
    22: (record(22, 4.5, supervisor.ChildRestarted("component:browser", 1, 0.2)), 20),
    31: (record(31, 8.1, supervisor.RestartStarted("component:browser", 2)), 30),
    32: (record(32, 8.3, supervisor.ChildRestarted("component:browser", 2, 0.2)), 30),
    41: (record(41, 12.0, breaker.Opened("site", 1, "3 timeouts in a row", UNTIL)), 40),
    44: (record(44, 12.9, breaker.Opened("site", 3, "probe failed", UNTIL)), 43),
    51: (record(51, 14.6, breaker.Opened("site", 5, "3 x status 500 in a row", UNTIL)), 50),
    61: (record(61, 18.4, supervisor.ProcessStarted(3, 100, restarted=True)), 60),
}
CLOSINGS = (
    record(45, 13.4, breaker.Closed("site", 4, "probe succeeded")),
    record(52, 15.9, breaker.Closed("site", 6, "probe succeeded")),
)


def told(
    links: dict[int, int] | None = None,
    *,
    faults: Sequence[Injected] = FAULTS,
    without: Sequence[int] = (),
    own_site: bool = True,
) -> Comparison:
    """Compare the story, with some effects linked to other observations or left out."""
    links = links or {}
    explained = [
        Explained(effect, OBSERVATIONS[links.get(position, root)], ends_at_observation=True)
        for position, (effect, root) in EFFECTS.items()
        if position not in without
    ]
    return compare(faults, explained, CLOSINGS, own_site=own_site)


def problems(comparison: Comparison) -> set[tuple[str, int | None]]:
    """What was found, and at which position."""
    return {(problem.what, problem.position) for problem in comparison.problems}


def test_the_true_story_is_accepted() -> None:
    """Each fault is matched by the observation it caused, the effect that followed, and what made things whole."""
    comparison = told()

    assert comparison.ok
    assert comparison.problems == ()
    assert comparison.explained == len(EFFECTS)
    found = [
        (m.fault.number, m.observation.position, m.effect.position, m.recovery.position) for m in comparison.matches
    ]
    assert found == [
        (1, 10, 11, 11),
        (2, 20, 22, 22),
        (3, 30, 32, 32),
        (4, 40, 41, 45),
        (5, 50, 51, 52),
        (6, 60, 61, 61),
    ]
    assert [round(match.detected_after_s, 1) for match in comparison.matches] == [0.5, 0.2, 1.0, 2.0, 0.6, 0.4]


WRONG_LINKS = {
    "a process start to an earlier exit": ({61: 10}, {("does not fit", 61), ("not noticed", None)}),
    "a process start to a later exit": ({11: 60}, {("does not fit", 11), ("not noticed", None)}),
    "a process start to a missed heartbeat": ({61: 30}, {("does not fit", 61), ("not noticed", None)}),
    "a restart to another fault's observation": ({32: 20}, {("explained twice", 32), ("not recovered", None)}),
    "a whole restart to another fault's": ({31: 20, 32: 20}, {("explained twice", 32), ("not noticed", None)}),
    "a restart to a breaker's failures": ({22: 40}, {("does not fit", 22), ("not recovered", None)}),
    "an opening to an earlier one's failures": ({51: 40}, {("explained twice", 51), ("not noticed", None)}),
    "an opening to a restart's observation": ({41: 30}, {("does not fit", 41), ("not noticed", None)}),
    "an opening to a probe of another time": ({51: 43}, {("not noticed", None)}),
}


@pytest.mark.parametrize("name", WRONG_LINKS)
def test_a_planted_wrong_link_is_found(name: str) -> None:
    """One cause altered, and the comparison fails and says where."""
    links, expected = WRONG_LINKS[name]

    assert problems(told(links)) == expected


@pytest.mark.parametrize("effects", [(11,), (21, 22), (31, 32), (41, 44), (51,), (61,)])
def test_a_fault_that_nothing_goes_back_to_is_found(effects: Sequence[int]) -> None:
    """Harm that was done and left no trace in the log is not passed over."""
    assert problems(told(without=effects)) == {("not noticed", None)}


@pytest.mark.parametrize(("number", "position"), [(1, 11), (2, 22), (3, 32), (4, 41), (5, 51), (6, 61)])
def test_a_restart_without_a_fault_is_found(number: int, position: int) -> None:
    """What the log explains by something nobody did is reported, whichever kind it is."""
    comparison = told(faults=[one for one in FAULTS if one.number != number])

    assert ("no such fault", position) in problems(comparison)


def test_a_fault_of_another_kind_does_not_match() -> None:
    """A kill is not explained by a missed heartbeat at the same time, nor timeouts by status 500."""
    swapped = {Kind.KILL_WORKER: Kind.FREEZE_WORKER, Kind.SITE_HANGS: Kind.SITE_FAILS}
    faults = [attrs.evolve(one, kind=swapped.get(one.kind, one.kind)) for one in FAULTS]

    found = {position for what, position in problems(told(faults=faults)) if what == "no such fault"}
    assert found == {21, 22, 41}


@pytest.mark.parametrize("seconds", [-20.0, 20.0])
def test_a_fault_at_another_time_does_not_match(seconds: float) -> None:
    """Injected long before, or after it was observed, it is not the one."""
    first, *others = FAULTS
    moved = fault(1, Kind.KILL_AGENT, 1.0 + seconds)

    assert problems(told(faults=[moved, *others])) >= {("no such fault", 11), ("not noticed", None)}
    assert first.at != moved.at


def test_a_chain_that_ends_nowhere_is_found() -> None:
    """A restart whose causes do not reach an observation explains nothing."""
    effect, root = EFFECTS[11]
    lost = Explained(effect, OBSERVATIONS[root], ends_at_observation=False)

    assert problems(compare((), [lost])) == {("unexplained", 11)}


def test_a_fault_that_is_observed_twice_is_found() -> None:
    """One kill is one exit: a second start that goes back to the same kill is a restart nobody caused."""
    again = record(12, 2.0, supervisor.ProcessExitObserved(-9, "exit by signal 9"))
    start = record(13, 2.0, supervisor.ProcessStarted(3, 101, restarted=True))
    explained = [
        Explained(EFFECTS[11][0], OBSERVATIONS[10], ends_at_observation=True),
        Explained(start, again, ends_at_observation=True),
    ]

    assert problems(compare(FAULTS[:1], explained)) == {("noticed twice", None)}


def test_an_exit_that_nobody_caused_is_found() -> None:
    """An agent that ends by itself, by whatever status, is not explained by a kill."""
    exited = record(10, 1.5, supervisor.ProcessExitObserved(1, "exit status 1"))
    explained = [Explained(EFFECTS[11][0], exited, ends_at_observation=True)]

    assert problems(compare(FAULTS[:1], explained)) == {("no such fault", 11), ("not noticed", None)}


def test_a_restart_that_had_to_be_tried_again_has_one_cause() -> None:
    """Two attempts and one success for one observation are one recovery."""
    attempts = [
        Explained(record(position, 4.3, supervisor.RestartStarted("component:browser", 1)), OBSERVATIONS[20], True)
        for position in (21, 23)
    ]
    done = record(24, 4.9, supervisor.ChildRestarted("component:browser", 2, 0.2))

    assert compare(FAULTS[1:2], [*attempts, Explained(done, OBSERVATIONS[20], True)]).ok


def test_a_site_that_is_not_ours_may_fail_by_itself() -> None:
    """With a site of the user's own, an opening needs its observation but no fault."""
    harm = [one for one in FAULTS if not one.kind.of_site]

    assert told(faults=harm, own_site=False).ok
    assert not told(faults=harm, own_site=True).ok
