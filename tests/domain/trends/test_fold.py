"""The fold of samples: the same whichever way it is cut, and calm about gaps, restarts and other boots."""

from __future__ import annotations

import random
from collections.abc import Iterable

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.monitor_trends import size_of
from eventstore.codec import decode_state, encode_state
from lrm_actors.domain.metrics import Metrics, nothing_known
from lrm_actors.domain.trends import Trend, TrendsState, changes, current, fold, growing, restarted
from lrm_actors.domain.trends.growing import Course, Growth
from lrm_actors.testing.leaks import memory_samples
from lrm_actors.testing.traces import cpu_trace, leaking, memory_trace

MB = 10**6
HOUR_S = 3600.0


def ran(samples: Iterable[Metrics], state: TrendsState | None = None, interval_s: float = 30.0) -> TrendsState:
    """The fold of samples at an interval."""
    state = state or TrendsState()
    at_s = state.now_s
    for sample in samples:
        state = fold(state, sample, at_s)
        at_s += interval_s
    return state


def told(samples: Iterable[tuple[float, Metrics]]) -> list[tuple[str, str]]:
    """What is said of samples at their times."""
    state, said = TrendsState(), []
    for at_s, sample in samples:
        after = fold(state, sample, at_s)
        for word, trends in attrs.asdict(changes(state, after), recurse=False).items():
            said += [(word, trend.kind) for trend in trends]
        state = after
    return said


def leak(rate: float = 10.0, hours: float = 9.0, kind: str = "noise") -> list[float]:
    """A trace that leaks after six hours."""
    trace = memory_trace(kind, 3, length_s=hours * HOUR_S)
    return leaking(trace, 1, mb_per_min=rate, onset_s=6 * HOUR_S)


def confirmed(state: TrendsState) -> list[Trend]:
    """Those of the state's trends that are."""
    return [trend for trend in current(state) if trend.stage == "confirmed"]


def test_a_leak_is_told_with_all_that_is_known_of_it() -> None:
    """Its rate, since when, until when, how sure it is, and why."""
    (trend,) = confirmed(ran(memory_samples(leak(), limit_mb=4000.0)))
    assert ("memory_leak", "memory_anonymous_bytes", "MB/min") == (trend.kind, trend.metric, trend.unit)
    assert pytest.approx(10.0, rel=0.1) == trend.rate
    assert pytest.approx(6 * HOUR_S, abs=900.0) == trend.since_s
    assert 0.5 <= trend.confidence <= 1.0
    low_s, likely_s, high_s = trend.exhausted_low_s, trend.exhausted_s, trend.exhausted_high_s
    assert low_s is not None
    assert likely_s is not None
    assert high_s is not None
    assert low_s <= likely_s <= high_s
    assert "never below" in trend.evidence
    assert "MB/min" in trend.evidence


def test_a_limit_that_is_not_known_gives_no_time() -> None:
    """A leak is one all the same."""
    (trend,) = confirmed(ran(memory_samples(leak())))
    assert trend.exhausted_s is None


@pytest.mark.parametrize("cut", [1, 700, 800])
def test_the_fold_goes_on_from_a_snapshot(cut: int) -> None:
    """What was stored and read again goes on as what was not."""
    samples = list(memory_samples(leak(), limit_mb=4000.0))
    half = ran(samples[:cut])
    again = decode_state(encode_state(half), TrendsState)
    assert half == again
    assert ran(samples) == _on(again, samples[cut:], cut)


def _on(state: TrendsState, samples: list[Metrics], number: int) -> TrendsState:
    for place, sample in enumerate(samples):
        state = fold(state, sample, (number + place) * 30.0)
    return state


def test_a_leak_that_was_given_back_is_over_at_once() -> None:
    """When the component is restarted that leaked."""
    samples = leak(20.0, hours=8.0)
    after = [(number * 30.0, sample) for number, sample in enumerate(memory_samples(samples + samples[:240]))]
    assert [("confirmed", "memory_leak"), ("cleared", "memory_leak")] == [
        one for one in told(after) if one[0] != "suspected"
    ]


def test_a_leak_that_has_ended_is_over_within_hours() -> None:
    """It stays where it is: nothing is given back, and nothing more is lost."""
    samples = leak(20.0, hours=8.0)
    rest = [samples[-1] + number % 5 for number in range(720)]
    state = ran(memory_samples(samples))
    assert confirmed(state)
    assert not current(_on(state, list(memory_samples(rest)), len(samples)))


def test_restart_of_the_process_is_no_leak() -> None:
    """It begins low and warms up: what was before is no measure, and a leak of the last one is not its own."""
    state = restarted(ran(memory_samples(leak(20.0, hours=8.0))))
    assert () == current(state)
    young = memory_trace("warm_up", 5, length_s=8 * HOUR_S)
    assert () == current(_on(state, list(memory_samples(young)), 960))
    assert restarted(TrendsState()) == TrendsState()


def test_another_boot_goes_on_in_time() -> None:
    """The machine's clock began anew; the fold's own does not go back."""
    state = ran(memory_samples(memory_trace("noise", 1, length_s=3600.0)))
    after = fold(state, Metrics(memory_anonymous_bytes=700 * MB), 5.0)
    assert after.now_s >= state.now_s
    assert fold(after, Metrics(memory_anonymous_bytes=700 * MB), 65.0).now_s == after.now_s + 60.0


def test_gaps_and_unknown_samples_invent_nothing() -> None:
    """Half of the samples are missing or unknown, in long runs of them."""
    chance = random.Random(5)
    samples: list[tuple[float, Metrics]] = []
    at_s, unknown = 0.0, 0
    for number, value in enumerate(memory_trace("noise", 4)):
        at_s = number * 30.0
        if unknown == 0 and chance.random() < 0.01:
            unknown = chance.randint(10, 120)
        if unknown:
            unknown -= 1
            if number % 2:
                samples.append((at_s, nothing_known("the sampler failed")))
            continue
        samples.append((at_s, Metrics(memory_anonymous_bytes=int(value * MB), cpu_percent=50.0)))
    assert [] == told(samples)


def test_unknown_memory_is_not_exchanged_for_another_metric() -> None:
    """Anonymous memory that is not known for once is a gap, although resident memory is known."""
    state = ran(
        Metrics(memory_anonymous_bytes=500 * MB, memory_rss_bytes=900 * MB) if number % 3 else
        Metrics(memory_rss_bytes=900 * MB, unknown={"memory_anonymous_bytes": "gone"})
        for number in range(40)
    )  # fmt: skip
    assert ["memory_anonymous_bytes"] == list(state.courses)
    assert ["memory_rss_bytes"] == list(ran([Metrics(memory_rss_bytes=900 * MB)]).courses)


@pytest.mark.parametrize("interval_s", [5.0, 45.0, 90.0, 180.0, 300.0])
def test_the_interval_may_grow(interval_s: float) -> None:
    """From a few seconds to the five minutes of a slow host in minimal mode a leak is found."""
    trace = memory_trace("noise", 3, length_s=9 * HOUR_S, interval_s=interval_s)
    samples = leaking(trace, 1, mb_per_min=10.0, onset_s=6 * HOUR_S, interval_s=interval_s)
    assert ["memory_leak"] == [trend.kind for trend in confirmed(ran(memory_samples(samples), interval_s=interval_s))]


@settings(max_examples=5)
@given(st.integers(), st.integers(5, 60))
def test_an_irregular_interval_finds_it_too(seed: int, rate: int) -> None:
    """Whatever the times of the samples, what grows steadily for hours is found."""
    chance = random.Random(seed)
    state, at_s, said = TrendsState(), 0.0, []
    while at_s < 7.5 * HOUR_S:
        at_s += chance.uniform(5.0, 170.0)
        value = 500.0 + at_s % 17.0 + max(0.0, at_s - 5 * HOUR_S) * rate / 60.0
        after = fold(state, Metrics(memory_anonymous_bytes=int(value * MB)), at_s)
        said += [(trend.kind, at_s) for trend in changes(state, after).confirmed]
        state = after
    assert {"memory_leak"} == {kind for kind, _ in said}
    assert min(told_s for _, told_s in said) > 5 * HOUR_S


@settings(max_examples=5)
@given(st.integers(), st.integers(0, 40))
def test_what_only_falls_is_no_trend(seed: int, most: int) -> None:
    """Memory that is given back, or stays as it is."""
    chance, level, samples = random.Random(seed), 10**11, []
    for number in range(600):
        level -= chance.randint(0, most) * MB
        samples.append((60.0 * number, Metrics(memory_anonymous_bytes=level, thread_count=9, open_files=30)))
    assert [] == told(samples)


@settings(max_examples=5)
@given(st.integers(0, 3), st.integers(0, 2**40), st.integers(0, 10))
def test_a_level_does_not_matter(kind: int, above: int, scale: int) -> None:
    """The same above another level, and the same in other units with thresholds to match."""
    name = ("noise", "tabs", "drift", "slow_collector")[kind]
    trace = [int(value * MB) for value in leak(20.0, hours=7.5, kind=name)]
    plain = stages(trace, 1)
    assert plain == stages([value + above for value in trace], 1)
    assert plain == stages([value * 2**scale for value in trace], 2**scale)


def stages(trace: list[int], scale: int) -> list[tuple[int, str]]:
    """When a leak is told of, with thresholds in units of ``scale``."""
    rules = Growth("memory_leak", least_rise=80.0 * MB * scale, slow_rate=1.0 * MB * scale, size=1.0 * MB * scale)
    course, said = Course(), [(-1, "")]
    for number, value in enumerate(trace):
        course = growing.advance(course, rules, "m", number * 30.0, float(value), headroom=None)
        stage = course.leak.stage if course.leak is not None else ""
        if stage != said[-1][1]:
            said.append((number, stage))
    return said


def test_threads_descriptors_and_a_disk() -> None:
    """Each grows by its own measure and in its own unit; a disk by what is left of it."""
    chance = random.Random(2)
    samples = []
    for number in range(1200):
        since = max(0, number - 720)
        metrics = Metrics(
            thread_count=40 + chance.randint(0, 6) + since // 8,
            open_files=100 + chance.randint(0, 12) + since // 4,
            open_files_limit=1024,
            open_files_percent=round((100 + since // 4) / 10.24, 2),
            disk_free_bytes=40_000 * MB - chance.randint(0, 100) * MB - since * 20 * MB,
        )
        samples.append(metrics)
    trends = {trend.kind: trend for trend in confirmed(ran(samples))}
    assert {"thread_growth", "descriptor_growth", "disk_fill"} == set(trends)
    assert ("threads/min", "descriptors/min", "MB/min") == tuple(
        trends[kind].unit for kind in ("thread_growth", "descriptor_growth", "disk_fill")
    )
    assert pytest.approx(40.0, rel=0.1) == trends["disk_fill"].rate
    left_s = (40_000 - 480 * 20) / 40.0 * 60.0
    assert pytest.approx(left_s, rel=0.1) == trends["disk_fill"].exhausted_s
    assert trends["descriptor_growth"].exhausted_s is not None
    assert "never above" in trends["disk_fill"].evidence


def test_a_disk_with_room_for_weeks_is_left_alone() -> None:
    """The same rate, and a disk that is fifty times as large."""
    samples = [Metrics(disk_free_bytes=2_000_000 * MB - max(0, number - 720) * 20 * MB) for number in range(1200)]
    assert () == current(ran(samples))


def test_unusual_traffic_and_its_end() -> None:
    """Four times as much as the busiest minutes of the day; a counter that begins anew is no traffic."""
    sent, samples = 0, []
    for number in range(1400):
        sent += (5_000_000 if 900 <= number < 1000 else 300_000) * 30
        samples.append((number * 30.0, Metrics(network_sent_bytes=sent % 2**33, network_received_bytes=0)))
    assert [
        ("suspected", "unusual_traffic"), ("confirmed", "unusual_traffic"), ("cleared", "unusual_traffic"),
    ] == told(samples)  # fmt: skip


def test_a_shifted_cpu_level_becomes_the_usual_one() -> None:
    """After half a day nobody needs to hear of it any more."""
    trace = [value + (30.0 if number > 960 else 0.0) for number, value in enumerate(cpu_trace("white_20", 1))]
    said = told((number * 30.0, Metrics(cpu_percent=value)) for number, value in enumerate(trace))
    assert [("suspected", "cpu_shift"), ("confirmed", "cpu_shift"), ("cleared", "cpu_shift")] == said


def test_saturation_and_its_end() -> None:
    """Within three samples there, and within three gone."""
    quiet = [20.0 + number % 9 for number in range(800)]
    state = ran(Metrics(cpu_percent=value) for value in [*quiet, 99.0, 100.0])
    assert ["suspected"] == [trend.stage for trend in current(state)]
    state = _on(state, [Metrics(cpu_percent=100.0)], 802)
    (trend,) = confirmed(state)
    assert ("cpu_saturation", "%") == (trend.kind, trend.unit)
    state = _on(state, [Metrics(cpu_percent=30.0)] * 3, 803)
    assert () == current(state)


def test_two_days_are_remembered_in_little_space() -> None:
    """All metrics of 48 hours within two megabytes, in memory and as a snapshot."""
    state = ran(
        Metrics(
            cpu_percent=50.0 + number % 37,
            memory_anonymous_bytes=500 * MB + number * 7919 % 99991,
            thread_count=30 + number % 7,
            open_files=80 + number % 11,
            disk_free_bytes=10**11 + number * 7919 % 99991,
            network_sent_bytes=number * 10**6,
            network_received_bytes=number * 10**6,
        )
        for number in range(5760)
    )
    print(f"48 h: {size_of(state) / MB:.2f} MB in memory, {len(encode_state(state)) / MB:.2f} MB stored")
    assert size_of(state) <= 2 * MB
