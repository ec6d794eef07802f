"""Patterns of failures over time, each told with its evidence, and none where there is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm_actors.domain import analyzer, patterns
from lrm_actors.domain.analyzer import (
    AnalyzerState,
    FailureFacts,
    FailureRecorded,
    NoteRecovery,
    PatternFound,
    RecordFailure,
)
from tests.domain.kit import Run

REFUSED = ("ConnectionRefusedError", "ConnectionError", "OSError", "Exception", "BaseException")
EXIT = FailureFacts("worker", message="exit by signal 9", observation="component_exited")


@pytest.fixture
def run() -> Run[AnalyzerState]:
    """An analyzer that has just come to life."""
    return Run.of(analyzer.spec())


def fail(run: Run[AnalyzerState], at_s: float, component: str = "site", message: str = "refused") -> list[PatternFound]:
    """A failure at this second, and the patterns that it completes."""
    run.seconds = at_s
    events = run.tell(RecordFailure(FailureFacts(component, REFUSED, message)))
    return [one for one in events if isinstance(one, PatternFound)]


def found(run: Run[AnalyzerState], *times_s: float) -> list[tuple[str, str]]:
    """Patterns and evidence of failures at these seconds."""
    return [(one.pattern, one.evidence) for at_s in times_s for one in fail(run, at_s)]


def test_a_burst(run: Run[AnalyzerState]) -> None:
    """Five within ten seconds, told once."""
    assert "burst" not in dict(found(run, 0.0, 20.0, 21.0, 22.0))
    assert ("burst", "5 failures within 4.0 s") in found(run, 23.0, 24.0)
    assert "burst" not in dict(found(run, 24.5, 25.0))


def test_a_rhythm(run: Run[AnalyzerState]) -> None:
    """Every minute or so, four times."""
    assert "recurring" not in dict(found(run, 0.0, 61.0, 119.0))
    assert ("recurring", "every 60 s, 4 times") in found(run, 180.0)


def test_no_rhythm_where_the_gaps_differ(run: Run[AnalyzerState]) -> None:
    """Now and then is not every minute."""
    assert "recurring" not in dict(found(run, 0.0, 60.0, 90.0, 300.0, 310.0))


def test_an_escalation(run: Run[AnalyzerState]) -> None:
    """After ever shorter times."""
    assert ("escalating", "after 80, 40, 20, 10 s") in found(run, 0.0, 80.0, 120.0, 140.0, 150.0)


def test_a_cascade(run: Run[AnalyzerState]) -> None:
    """Three components within seconds, the first named first."""
    assert [] == fail(run, 0.0, "db")
    assert [] == fail(run, 1.5, "llm")
    (cascade,) = fail(run, 4.0, "browser")
    assert ("cascade", "db", ("db", "llm", "browser")) == (cascade.pattern, cascade.component, cascade.components)
    assert "db, then llm, browser, within 4.0 s" == cascade.evidence


def test_flapping(run: Run[AnalyzerState]) -> None:
    """Down again after each of three restarts."""
    told: list[PatternFound] = []
    for number in range(4):
        run.seconds = 100.0 * number
        events = run.tell(RecordFailure(EXIT))
        told += [one for one in events if isinstance(one, PatternFound) and one.pattern == "flapping"]
        run.seconds += 1.0
        run.tell(NoteRecovery("worker", ok=True))
    assert ["failed again after 3 restarts within 299 s"] == [one.evidence for one in told]


def test_a_recovery_that_does_not_help(run: Run[AnalyzerState]) -> None:
    """The same failure after the same recovery, twice in a row."""
    told = found(run, 0.0, 30.0, 70.0)
    assert ("useless_recovery", "2 times in a row retry_with_backoff did not help") in told


def test_severity_grows_with_patterns(run: Run[AnalyzerState]) -> None:
    """From what one failure is worth up to five, and down again when it is quiet."""
    grades = []
    for number in range(12):
        run.seconds = number * 0.5
        recorded = [
            one for one in run.tell(RecordFailure(FailureFacts("site", REFUSED))) if isinstance(one, FailureRecorded)
        ]
        grades.append(recorded[0].severity)
    assert 1 == grades[0]
    assert grades == sorted(grades)
    assert grades[-1] >= 3
    run.seconds = 1000.0
    (recorded_later, *_) = [
        one for one in run.tell(RecordFailure(FailureFacts("site", REFUSED))) if isinstance(one, FailureRecorded)
    ]
    assert 1 == recorded_later.severity


def test_no_pattern_spans_two_boots(run: Run[AnalyzerState]) -> None:
    """Times of another boot cannot be compared."""
    found(run, 0.0, 1.0, 2.0, 3.0)
    run.boot_id = "another"
    assert "burst" not in dict(found(run, 4.0))


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=8).map(sorted))
def test_any_times_are_judged(times_s: list[float]) -> None:
    """Whatever the times, each function answers, and a burst is one only with enough failures."""
    for judge in (patterns.burst, patterns.recurring, patterns.escalating):
        one = judge("site", times_s)
        assert one is None or (one.pattern in patterns.PATTERNS and one.evidence)
    assert (patterns.burst("site", times_s) is not None) == (
        sum(times_s[-1] - one <= patterns.BURST_S for one in times_s) >= patterns.BURST_COUNT
    )


def test_memory_of_patterns_is_bounded(run: Run[AnalyzerState]) -> None:
    """However many components fail in however many ways."""
    for number in range(patterns.MAX_MARKS + 20):
        fail(run, float(number), f"component {number}", f"failure {'x' * number}")
    state = run.state
    assert len(state.times) <= patterns.MAX_MARKS
    assert len(state.told) <= patterns.MAX_MARKS
    assert len(state.trials) <= analyzer.MAX_STREAKS
    assert len(state.experience) <= 256
