"""The health as samples make it: dwell, margins, hard limits, and that noise does not change it all day."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import mode_noise
from benchmarks.mode_noise import INTERVAL_S, Watched
from lrm_actors.domain import health, monitor
from lrm_actors.domain.health import CRITICAL, HEALTHY, STATUSES, WARNING
from lrm_actors.domain.metrics import Metrics
from lrm_actors.domain.monitor import HealthChanged, MonitorState, RecordSample
from lrm_actors.domain.monitoring import status
from lrm_actors.domain.signals import SIGNALS, MonitorConfig
from tests.domain.kit import START, Run, at

MIB = 1024**2
CONFIG = MonitorConfig()


def calm(**values: Any) -> Metrics:
    """A sample in which nothing is wrong but what is given."""
    return Metrics(**{"cpu_percent": 10.0, "memory_percent": 10.0, **values})


def statuses(samples: Sequence[Metrics], config: MonitorConfig = CONFIG) -> list[str]:
    """The status after each sample of the interval."""
    watched = Watched(config)
    return [watched.sample(sample) for sample in samples]


def of_cpu(*loads: float) -> list[str]:
    """The status after each load of the CPU."""
    return statuses([calm(cpu_percent=load) for load in loads])


# How long


def test_a_lasting_overload_is_a_warning_at_the_third_sample_and_critical_at_the_seventh() -> None:
    """45 s at 30 s are three samples; a single one says nothing, however high it is."""
    assert [HEALTHY, HEALTHY, *[WARNING] * 4, CRITICAL] == of_cpu(*[99.0] * 7)
    assert [HEALTHY, HEALTHY, WARNING] == of_cpu(80.0, 80.0, 80.0)
    assert [HEALTHY] * 60 == of_cpu(*[100.0, 100.0, 20.0] * 20)
    assert [HEALTHY] * 5 == of_cpu(*[79.9] * 5)


@pytest.mark.parametrize("interval_s", [0.05, 1.0, 10.0, 30.0, 45.0, 300.0])
def test_whoever_samples_more_often_knows_sooner(interval_s: float) -> None:
    """At any interval an overload is a warning within three samples, and never at the first."""
    config = MonitorConfig(interval_s=interval_s)
    run: Run[MonitorState] = Run(monitor.spec(), MonitorState(config=config))
    run.log.append(monitor.Configured(config))
    seen = []
    for _ in range(3):
        run.tell(RecordSample(calm(cpu_percent=90.0)))
        run.seconds += interval_s * 0.98
        seen.append(run.state.status)
    assert (HEALTHY, WARNING) == (seen[0], seen[2])


def test_a_hard_limit_acts_at_once() -> None:
    """What comes after memory, disk or descriptors have run out cannot be undone: one sample is enough."""
    for sample in (
        calm(memory_percent=95.0),
        calm(disk_percent=98.0, disk_free_bytes=100 * MIB),
        calm(disk_inodes_percent=99.0),
        calm(open_files_percent=96.0),
        calm(pids_percent=96.0),
    ):
        assert [HEALTHY, CRITICAL] == statuses([calm(), sample])
    killed = [calm(oom_kill_count=3), calm(oom_kill_count=3), calm(oom_kill_count=4)]
    assert [HEALTHY, HEALTHY, CRITICAL] == statuses(killed)


def test_better_is_one_status_at_a_time_and_each_takes_its_while() -> None:
    """Five minutes below the margin for each, whatever the value; a pause in the samples makes up for nothing."""
    after = statuses([calm(memory_percent=97.0), *[calm()] * 25])
    assert [*[CRITICAL] * 11, *[WARNING] * 10, *[HEALTHY] * 5] == after
    watched = Watched()
    watched.sample(calm(memory_percent=97.0))
    watched.sample(calm())
    watched.seconds += 86_400.0
    assert CRITICAL == watched.sample(calm())


def test_the_margin_holds_a_status() -> None:
    """Memory that was critical at 95 stays so at 90, for ever; the CPU has twice the margin."""
    assert [CRITICAL] * 101 == statuses([calm(memory_percent=95.0), *[calm(memory_percent=90.0)] * 100])
    assert [WARNING] * 100 == of_cpu(*[85.0] * 3, *[70.0] * 99)[2:]


def test_what_is_noisy_is_left_the_sooner_the_further_below_it_is() -> None:
    """Far below, the CPU is well after five minutes; a little below may be chance, and takes up to ten times that."""
    times = {}
    for load in (10.0, 45.0, 65.0):
        after = of_cpu(*[90.0] * 3, *[load] * 300)
        times[load] = after.index(HEALTHY, 3) - 3
    assert {10.0: 10, 45.0: 16, 65.0: 80} == times


# Signals


def test_what_a_platform_does_not_have_is_not_judged() -> None:
    """Each signal but CPU and memory may be missing; one that could not be read is a warning at least."""
    assert [HEALTHY] == statuses([calm()])
    for signal in SIGNALS:
        unread = attrs.evolve(calm(**{signal.metric: None}), unknown={signal.metric: "it broke"})
        assert [HEALTHY, WARNING] == statuses([calm(), unread]), signal.name
    assert [CRITICAL, CRITICAL] == statuses(
        [calm(disk_percent=99.0), attrs.evolve(calm(), unknown={"disk_percent": "it broke"})]
    )


def test_a_large_disk_is_not_full_because_much_of_it_is_used() -> None:
    """What counts is the share and the free space together: 96 % of 4 TB is no reason to save."""
    assert [HEALTHY] * 5 == statuses([calm(disk_percent=96.0, disk_free_bytes=160 * 1024**3)] * 5)
    assert WARNING == statuses([calm(disk_percent=96.0, disk_free_bytes=2 * 1024**3)] * 3)[-1]


def test_a_counter_counts_by_its_growth() -> None:
    """Kills of long ago, or a counter begun anew, are none of now."""
    samples = [calm(oom_kill_count=count) for count in (7, 7, 0, 0)]
    assert [HEALTHY] * 4 == statuses(samples)


@pytest.mark.parametrize(
    ("sample", "cause"),
    [
        (
            {"memory_percent": 96.0, "memory_limit_bytes": 2 * 1024**3, "limited_by": "cgroup"},
            "memory 96.0 % of cgroup limit 2.0 GiB >= 95.0 %",
        ),
        (
            {"memory_percent": 96.0, "memory_limit_bytes": 500 * MIB, "limited_by": "budget"},
            "memory 96.0 % of the budget of 500.0 MiB >= 95.0 %",
        ),
        (
            {"memory_percent": 96.0, "memory_limit_bytes": 24 * 1024**3, "limited_by": "machine"},
            "memory 96.0 % of the machine's 24.0 GiB >= 95.0 %",
        ),
        (
            {"disk_percent": 99.0, "disk_free_bytes": 12 * MIB},
            "disk 99.0 % full with 12.0 MiB free >= 97.0 %",
        ),
        ({"open_files_percent": 97.0, "open_files_limit": 1024}, "descriptors 97.0 % of 1024 >= 95.0 %"),
    ],
)
def test_a_cause_says_of_what(sample: dict[str, Any], cause: str) -> None:
    """Value, whole and threshold: what somebody who reads it at night can act on."""
    run = Run.of(monitor.spec())
    run.tell(RecordSample(calm(**sample)))
    assert cause == run.state.cause


def test_a_cause_says_for_how_long() -> None:
    """What had to last says how long it did."""
    run = Run.of(monitor.spec())
    for _ in range(3):
        run.seconds += INTERVAL_S
        run.tell(RecordSample(calm(cpu_percent=88.0)))
    assert "cpu 88.0 % >= 80.0 % for 45 s" == run.state.cause


# Noise


@pytest.mark.parametrize(
    ("kind", "noise"), [("autoregressive 78+-6", mode_noise.autoregressive), ("white 75+-8", mode_noise.white)]
)
def test_noise_about_a_threshold_changes_the_mode_three_times_a_day_at_most(
    kind: str, noise: Callable[[int], Any], release: bool
) -> None:
    """In every seeded day of 30 s samples, and not only on average."""
    changes = [mode_noise.mode_changes(noise(seed)) for seed in range(200 if release else 2)]
    print(f"{kind}: {len(changes)} days, {statistics.mean(changes):.2f} changes a day, at most {max(changes)}")
    assert max(changes) <= 3


def test_the_noise_finds_a_health_without_dwell(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: a threshold that holds for each sample alone changes the mode hundreds of times a day."""

    def naive(config: MonitorConfig, signal: Any, metrics: Metrics, *_: Any) -> str:
        value = signal.read(metrics)
        warning, critical = signal.thresholds(config)
        return HEALTHY if value is None or value < warning else WARNING if value < critical else CRITICAL

    monkeypatch.setattr(health, "rung", naive)
    assert mode_noise.mode_changes(mode_noise.autoregressive(1)) > 300


# Properties

loads = st.one_of(st.floats(0.0, 100.0), st.sampled_from([0.0, 60.0, 70.0, 75.0, 80.0, 90.0, 95.0, 100.0]))
stretches = st.lists(st.tuples(st.integers(1, 12), loads, loads), min_size=1, max_size=12)


def samples_of(runs: Sequence[tuple[int, float, float]]) -> list[Metrics]:
    """Stretches of equal samples: how many, the CPU, the memory."""
    return [calm(cpu_percent=cpu, memory_percent=memory) for count, cpu, memory in runs for _ in range(count)]


def less_at(less: list[Metrics], more: list[Metrics]) -> list[int]:
    """The checker: samples after which the health is worse although there was never more pressure."""
    order = STATUSES.index
    pairs = zip(statuses(less), statuses(more), strict=True)
    return [number for number, (one, other) in enumerate(pairs) if order(one) > order(other)]


@given(stretches, st.lists(st.tuples(st.floats(0.0, 100.0), st.floats(0.0, 100.0)), min_size=144, max_size=144))
def test_more_pressure_never_means_better_health(
    runs: list[tuple[int, float, float]], extra: list[tuple[float, float]]
) -> None:
    """Whatever the samples, with as much or more in each of them the health is at no time better."""
    less = samples_of(runs)
    more = [
        attrs.evolve(
            sample,
            cpu_percent=min(100.0, (sample.cpu_percent or 0.0) + cpu * (number % 3 == 0)),
            memory_percent=min(100.0, (sample.memory_percent or 0.0) + memory * (number % 5 == 0)),
        )
        for number, (sample, (cpu, memory)) in enumerate(zip(less, extra, strict=False))
    ]
    assert [] == less_at(less, more)


def there_and_back(changes: Sequence[HealthChanged], hold_s: float) -> list[str]:
    """The checker: where a status was left and taken again within the hold, but for what acts at once."""
    return [
        f"{one.previous} {one.status} {other.status}"
        for one, other in itertools.pairwise(changes)
        if one.previous == other.status
        and one.at is not None
        and other.at is not None
        and other.at.monotonic_s - one.at.monotonic_s < hold_s
        and not acts_at_once(other)
    ]


def acts_at_once(change: HealthChanged) -> bool:
    """Whether it was a hard limit, or something not known, that made it worse."""
    return health.is_worse(change.status, change.previous) and (
        (change.status == CRITICAL and "memory" in change.signals) or "unknown" in change.cause
    )


def changes_of(samples: Sequence[Metrics | None], config: MonitorConfig = CONFIG) -> list[HealthChanged]:
    """What the monitor makes of samples, looking at its components in between."""
    state, changes = MonitorState(config=config), []
    for number, sample in enumerate(samples):
        told = RecordSample(sample if sample is not None else calm(cpu_percent=None))
        for seconds, command in ((0.0, told), (1.0, monitor.RecordObservations(()))):
            for fact in monitor.decide(state, command, at(number * INTERVAL_S + seconds)).events:
                state = monitor.evolve(state, fact)
                changes += [fact] if isinstance(fact, HealthChanged) else []
    return changes


@given(stretches, st.sets(st.integers(0, 60), max_size=6))
def test_nothing_goes_there_and_back_within_the_hold(runs: list[tuple[int, float, float]], lost: set[int]) -> None:
    """No status is left and taken again within the hold, by whatever samples, some of them not to be read.

    And worse is any number of statuses at once, better one at a time.
    """
    samples = [None if number in lost else sample for number, sample in enumerate(samples_of(runs))]
    changes = changes_of(samples)
    assert [] == there_and_back(changes, CONFIG.least_hold_s)
    for change in changes:
        assert STATUSES.index(change.status) >= STATUSES.index(change.previous) - 1


def test_the_checker_sees_a_status_left_at_its_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: as soon as a value is below its threshold, the status is left."""
    samples: list[Metrics | None] = [calm(cpu_percent=load) for load in (85.0, 85.0, 85.0, 60.0, 85.0, 85.0, 85.0)]
    assert [] == there_and_back(changes_of(samples), CONFIG.least_hold_s)
    monkeypatch.setattr(health, "leave_s", lambda *_: 0.0)
    assert ["healthy warning healthy"] == there_and_back(changes_of(samples), CONFIG.least_hold_s)


def test_the_checker_sees_a_status_left_while_another_signal_presses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: what was unknown is well again, and memory has been scarce for nearly long enough."""
    samples: list[Metrics | None] = [*[calm()] * 3, None, *[calm(memory_percent=85.0)] * 4]
    assert [] == there_and_back(changes_of(samples), CONFIG.least_hold_s)
    monkeypatch.setattr(status, "pressing", lambda *_: HEALTHY)
    assert ["warning healthy warning"] == there_and_back(changes_of(samples), CONFIG.least_hold_s)


def test_the_checker_sees_a_hold_that_counts_from_the_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: time below counts only since the status was entered, so less pressure, later, may be worse."""
    less = [calm(memory_percent=percent) for percent in (10.0, 10.0, 97.0, *[10.0] * 10)]
    more = [calm(memory_percent=percent) for percent in (97.0, 97.0, 97.0, *[10.0] * 10)]
    assert [] == less_at(less, more)
    entered: dict[int, int] = {}

    def from_the_entry(config: MonitorConfig, signal: Any, metrics: Metrics, before: str, mark: Any) -> str:
        value = signal.read(metrics)
        if signal.name != "memory" or value is None:
            return HEALTHY
        if value >= 95.0:
            entered.setdefault(0, mark.at_s)
            return CRITICAL
        if before == CRITICAL and mark.at_s - entered[0] < 150.0:
            return CRITICAL
        entered.pop(0, None)
        return HEALTHY

    monkeypatch.setattr(health, "rung", from_the_entry)
    assert [] != less_at(less, more)


@given(stretches, st.floats(50.0, 90.0))
def test_the_health_is_the_fold_of_what_is_stored(runs: list[tuple[int, float, float]], warning: float) -> None:
    """Every status the monitor ever had follows from its events alone, read again one by one."""
    run = Run.of(monitor.spec())
    run.tell(monitor.Configure(MonitorConfig(cpu_warning=warning, memory_warning=warning)))
    had = []
    for sample in samples_of(runs)[:40]:
        run.seconds += INTERVAL_S
        run.tell(RecordSample(sample))
        had.append((run.state.status, run.state.levels, run.state.marks))
    state = run.spec.initial
    folded = []
    for fact, following in itertools.pairwise([*run.log, None]):
        state = monitor.evolve(state, fact)
        if isinstance(fact, (monitor.Sampled, HealthChanged)) and not isinstance(following, HealthChanged):
            folded.append((state.status, state.levels, state.marks))
    assert had == folded
    assert START.monotonic_s + run.seconds == state.sampled_at_s
