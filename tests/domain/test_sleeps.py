"""Sleeps of the journal: on record when they begin, and given what is left of them when they are asked for again."""

from __future__ import annotations

import pytest

from lrm_actors.domain import journal, sleeps
from lrm_actors.domain.deadlines import Deadline
from lrm_actors.domain.journal import AbandonStep, BeginStep, CommitStep, JournalState, OpenJournal
from lrm_actors.domain.sleeps import BeginSleep, SleepBegun
from lrm_actors.errors import StepOrder
from tests.domain.kit import START, Run, at


def opened() -> Run[JournalState]:
    """A journal that its first process has opened."""
    run = Run.of(journal.spec())
    run.tell(OpenJournal())
    return run


def left(run: Run[JournalState], key: str = "pause", occurrence: int = 1, *, inside: bool = True) -> float:
    """What is left of a sleep of ten seconds."""
    return float(run.ask(BeginSleep(key, inside, occurrence, 10.0))["remaining_s"])


def test_a_sleep_is_on_record_when_it_begins() -> None:
    """With the moment at which it is over, by both clocks, and the step that it belongs to."""
    run = opened()
    run.tell(BeginStep("wait"))
    assert {"remaining_s": 10.0, "resumed": False} == run.ask(BeginSleep("pause", True, 1, 10.0))
    until = Deadline(10.0, START.monotonic_s + 10.0, START.wall_s + 10.0, START.boot_id)
    assert SleepBegun(1, "pause", inside=True, occurrence=1, until=until) == run.log[-1]


def test_one_that_is_asked_for_again_has_only_the_rest_left() -> None:
    """In a repeated step as in the next process; nothing once it is over. It is recorded once."""
    run = opened()
    run.tell(BeginStep("wait"))
    assert 10.0 == left(run)
    run.seconds = 4.0
    run.tell(AbandonStep(1, "no"))
    run.tell(BeginStep("wait"))
    assert 6.0 == left(run)
    run.tell(OpenJournal())
    run.seconds = 7.0
    run.tell(BeginStep("wait"))
    assert 3.0 == left(run)
    run.seconds = 99.0
    assert 0.0 == left(run)
    assert 1 == sum(isinstance(event, SleepBegun) for event in run.log)


def test_after_a_reboot_the_wall_clock_decides_within_bounds() -> None:
    """A clock that was set back makes it no longer than it ever was, one that was set forward ends it."""
    run = opened()
    run.tell(BeginStep("wait"))
    left(run)
    run.boot_id = "another"
    run.seconds = 4.0
    assert 6.0 == left(run)
    run.seconds = -3600.0
    assert 10.0 == left(run)
    run.seconds = 3600.0
    assert 0.0 == left(run)


def test_sleeps_of_one_key_in_a_step_are_told_apart_by_their_order() -> None:
    """The earlier ones are over when a later one has begun."""
    run = opened()
    run.tell(BeginStep("wait"))
    left(run, occurrence=1)
    run.seconds = 10.0
    left(run, occurrence=2)
    run.seconds = 15.0
    run.tell(OpenJournal())
    run.tell(BeginStep("wait"))
    assert [0.0, 5.0, 10.0] == [left(run, occurrence=number) for number in (1, 2, 3)]


def test_between_two_steps_the_first_of_a_process_goes_on_with_the_newest() -> None:
    """So a host that polls does not poll again for each time that it slept before it was killed."""
    run = opened()
    for number in (1, 2, 3):
        assert 10.0 == left(run, occurrence=number, inside=False)
        run.seconds += 10.0
    run.seconds -= 7.0
    run.tell(OpenJournal())
    assert 7.0 == left(run, occurrence=1, inside=False)
    assert 10.0 == left(run, occurrence=2, inside=False)
    occurrences = [event.occurrence for event in run.log if isinstance(event, SleepBegun)]
    assert [1, 2, 3, 4] == occurrences


def test_a_committed_step_ends_what_is_known_of_its_sleeps() -> None:
    """Those inside it, and those before it; the next ones are other sleeps."""
    run = opened()
    left(run, inside=False)
    run.tell(BeginStep("wait"))
    left(run)
    run.seconds = 10.0
    run.tell(CommitStep(1, None))
    assert 10.0 == left(run, inside=False)
    run.tell(BeginStep("wait"))
    assert 10.0 == left(run)


def test_one_inside_a_step_needs_an_open_step() -> None:
    """A step that ended meanwhile has no more sleeps."""
    with pytest.raises(StepOrder):
        opened().tell(BeginSleep("pause", True, 1, 10.0))


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest keys go."""
    monkeypatch.setattr(sleeps, "MAX_KEYS", 3)
    run = opened()
    for number in range(5):
        left(run, f"pause {number}", inside=False)
    assert ["before pause 2", "before pause 3", "before pause 4"] == list(run.state.sleeps.newest)


def test_those_that_are_not_over_say_what_they_have_left() -> None:
    """By their key, whether they were begun inside a step or before it; nothing of what is over or was committed."""
    run = opened()
    run.tell(BeginSleep("pause", False, 1, 5.0))
    run.tell(BeginStep("wait"))
    run.tell(BeginSleep("pause", True, 1, 10.0))
    run.tell(BeginSleep("two words", True, 1, 3.0))
    run.seconds = 4.0
    assert {"pause": 6.0} == run.state.sleeps.left_s(at(4.0).now)
    assert {"pause": 9.0, "two words": 2.0} == run.state.sleeps.left_s(at(1.0).now)
    run.tell(CommitStep(1, None))
    assert {} == run.state.sleeps.left_s(at(4.0).now)
