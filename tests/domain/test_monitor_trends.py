"""The monitor tells of trends: once each, by themselves, and never of the memory of a process that is gone."""

from __future__ import annotations

import json
from collections import Counter

import msgspec
import pytest

from lrm_actors import report
from lrm_actors.domain import monitor
from lrm_actors.domain.behavior import RESTART, START, StartTimer
from lrm_actors.domain.monitor import (
    BeginTrends,
    HealthChanged,
    Metrics,
    MonitorState,
    RecordSample,
    Sampled,
    TrendsBegun,
)
from lrm_actors.domain.trends import telling
from lrm_actors.domain.trends.telling import TrendCleared, TrendConfirmed, TrendSuspected
from lrm_actors.testing.traces import leaking, memory_trace
from tests.domain.kit import Run, at

MB = 10**6


@pytest.fixture
def run() -> Run[MonitorState]:
    """A monitor that has just come to life."""
    return Run.of(monitor.spec())


def sampled(run: Run[MonitorState], *percents: float) -> list[tuple[object, ...]]:
    """Samples of the CPU, one each 30 s; the events of each."""
    found = []
    for percent in percents:
        run.seconds += 30.0
        found.append(run.tell(RecordSample(Metrics(cpu_percent=percent, memory_percent=20.0))))
    return found


def test_a_trend_is_told_when_it_is_suspected_confirmed_and_over(run: Run[MonitorState]) -> None:
    """One event each, however long it goes on, and each after the sample it was found in."""
    told = sampled(run, *[20.0, 23.0] * 6, *[100.0] * 8, *[20.0] * 12)
    kinds = (TrendSuspected, TrendConfirmed, TrendCleared)
    of_trends = [one for events in told for one in events if isinstance(one, kinds)]
    assert list(kinds) == [type(one) for one in of_trends]
    assert {} == run.state.told
    cleared = of_trends[-1]
    assert isinstance(cleared, TrendCleared)
    assert ("cpu_saturation", "cpu_percent", "confirmed") == (cleared.kind, cleared.metric, cleared.stage)
    assert cleared.lasted_s >= 240.0


def test_a_change_of_health_is_told_alone(run: Run[MonitorState]) -> None:
    """Else one would seem to be the cause of the other: the trend is told with the sample after."""
    for events in sampled(run, *[20.0] * 12, *[100.0] * 20, *[20.0] * 30):
        kinds = Counter(type(one) for one in events)
        assert 1 == kinds[Sampled]
        assert kinds.total() <= 2
    assert any(isinstance(one, HealthChanged) for one in run.log)
    assert any(isinstance(one, TrendConfirmed) for one in run.log)


def leaked() -> MonitorState:
    """After nine hours of which the last three leaked."""
    state = MonitorState()
    trace = leaking(memory_trace("noise", 3, length_s=9 * 3600.0), 1, mb_per_min=10.0, onset_s=6 * 3600.0)
    for number, value in enumerate(trace):
        metrics = Metrics(memory_anonymous_bytes=int(value * MB), memory_headroom_bytes=int((4000.0 - value) * MB))
        state = monitor.evolve(state, Sampled(metrics, number * 30.0))
    return state


def test_the_report_shows_it_and_what_runs_out() -> None:
    """As plain data, with the interval among the forecasts."""
    state = leaked()
    built = report.build(agent_id="a", trends=telling.report(state.trends))
    (trend,) = json.loads(json.dumps(built))["trends"]
    assert ("memory_leak", "memory_anonymous_bytes", "confirmed") == (trend["kind"], trend["metric"], trend["stage"])
    assert pytest.approx(3 * 3600.0, abs=900.0) == trend["for_s"]
    assert trend["exhausted_low_s"] <= trend["exhausted_s"] <= trend["exhausted_high_s"]
    assert {"metric", "kind", "low_s", "high_s"} == set(built["forecast"][0])


def test_another_process_has_no_past() -> None:
    """When it starts; not when the monitor alone is restarted."""
    state = leaked()
    restart = monitor.recover(state, msgspec.structs.replace(at(0.0), why=RESTART))
    assert not [one for one in restart.effects if isinstance(one, StartTimer) and one.command == BeginTrends()]
    start = monitor.recover(state, msgspec.structs.replace(at(0.0), why=START))
    assert [one for one in start.effects if isinstance(one, StartTimer) and one.command == BeginTrends()]
    begun = monitor.decide(state, BeginTrends(), at(0.0))
    assert (TrendsBegun(),) == begun.events
    after = monitor.evolve(state, TrendsBegun())
    assert [] == telling.report(after.trends)
    assert () == monitor.decide(after, BeginTrends(), at(0.0)).events


def test_what_was_told_before_a_crash_is_not_told_again() -> None:
    """What is on record is part of the state; what is not is told by whoever reads the samples next."""
    state = leaked()
    news = telling.untold(state.trends, state.told)
    assert isinstance(news, TrendConfirmed)
    told = monitor.evolve(state, news)
    assert telling.untold(told.trends, told.told) is None
    over = telling.untold(monitor.evolve(told, TrendsBegun()).trends, told.told)
    assert isinstance(over, TrendCleared)
