"""All trends as a fold of the samples: what each metric is watched for, and what changed from one sample to the next.

``fold`` is pure and everything it makes immutable, so the trends of a log can be found again from its samples alone.
"""

from __future__ import annotations

import attrs

from eventstore.frozen import frozen
from lrm_actors.domain.metrics import Metrics
from lrm_actors.domain.trends import growing, levels, saturation
from lrm_actors.domain.trends.growing import Course, Growth
from lrm_actors.domain.trends.levels import Level, Shift
from lrm_actors.domain.trends.saturation import Saturation
from lrm_actors.domain.trends.trend import (
    CONFIRMED,
    CPU_SATURATION,
    CPU_SHIFT,
    DESCRIPTOR_GROWTH,
    DISK_FILL,
    MEMORY_LEAK,
    THREAD_GROWTH,
    UNUSUAL_TRAFFIC,
    Trend,
    confidence,
)

ANONYMOUS, RESIDENT = "memory_anonymous_bytes", "memory_rss_bytes"
CPU, THREADS, FILES, DISK = "cpu_percent", "thread_count", "open_files", "disk_free_bytes"
OF_THE_PROCESS = (ANONYMOUS, RESIDENT, THREADS, FILES)
"""What begins anew with the process."""

MEMORY = Growth(MEMORY_LEAK, least_rise=80e6, slow_rate=1e6)
GROWTHS = {
    ANONYMOUS: MEMORY,
    RESIDENT: MEMORY,
    THREADS: Growth(THREAD_GROWTH, least_rise=24.0, slow_rate=0.5, unit="threads", size=1.0),
    FILES: Growth(DESCRIPTOR_GROWTH, least_rise=40.0, slow_rate=1.0, unit="descriptors", size=1.0),
    DISK: Growth(DISK_FILL, least_rise=200e6, within_s=48 * 3600.0, falls=True),
}
CPU_LEVEL = Shift(least=6.0)
"""Points."""
TRAFFIC = {"network_sent_bytes": Shift(least=256e3, times=3.0), "network_received_bytes": Shift(least=512e3, times=3.0)}
"""Bytes per second: four times as much as in the busiest five minutes of a day."""


@frozen
class Counter:
    """A counter at the last sample that had it."""

    at_s: float
    value: float


@frozen
class TrendsState:
    """What is remembered of the samples."""

    now_s: float = 0.0
    """Time of the last sample on the fold's own clock: monotonic, and going on where another boot began."""
    offset_s: float = 0.0
    """What has to be added to the machine's monotonic time."""
    samples: int = 0
    courses: dict[str, Course] = attrs.Factory(dict)
    levels: dict[str, Level] = attrs.Factory(dict)
    saturation: Saturation = attrs.Factory(Saturation)
    counters: dict[str, Counter] = attrs.Factory(dict)

    @property
    def concerning(self) -> bool:
        """Whether any trend is suspected or confirmed."""
        return (
            bool(self.saturation.stage)
            or any(course.leak is not None or course.slow is not None for course in self.courses.values())
            or any(level.stage for level in self.levels.values())
        )


def fold(state: TrendsState, metrics: Metrics, at_s: float) -> TrendsState:
    """The state after one more sample.

    Args:
        state: until now.
        metrics: the sample. What it does not know is passed over, and is a gap in that metric.
        at_s: the machine's monotonic time. Earlier than the last: another boot.
    """
    now_s, offset_s = at_s + state.offset_s, state.offset_s
    if now_s < state.now_s:
        now_s, offset_s = state.now_s, state.now_s - at_s
    return TrendsState(
        now_s,
        offset_s,
        state.samples + 1,
        _courses(state.courses, metrics, now_s),
        *_cpu_and_traffic(state, metrics, now_s),
    )


def restarted(state: TrendsState) -> TrendsState:
    """The state as another process begins: what was the last one's is no past of this one's."""
    courses = {name: course for name, course in state.courses.items() if name not in OF_THE_PROCESS}
    return state if len(courses) == len(state.courses) else attrs.evolve(state, courses=courses)


def current(state: TrendsState) -> tuple[Trend, ...]:
    """The trends that are suspected or confirmed now, by kind and metric."""
    found = [trend for course in state.courses.values() for trend in (course.leak, course.slow) if trend is not None]
    if state.saturation.stage:
        found.append(_saturated(state.saturation))
    found += [_shifted(name, level) for name, level in state.levels.items() if level.stage]
    return tuple(sorted(found, key=lambda trend: trend.key))


@frozen
class Changes:
    """What two states differ in."""

    suspected: tuple[Trend, ...] = ()
    confirmed: tuple[Trend, ...] = ()
    cleared: tuple[Trend, ...] = ()
    """As they were seen last."""


def changes(before: TrendsState, after: TrendsState) -> Changes:
    """Which trends are new, confirmed since, or over."""
    if not before.concerning and not after.concerning:
        return Changes()
    old = {trend.key: trend for trend in current(before)}
    new = {trend.key: trend for trend in current(after)}
    risen = [
        trend
        for key, trend in new.items()
        if key not in old or (old[key].stage, old[key].told) != (trend.stage, trend.told)
    ]
    return Changes(
        tuple(trend for trend in risen if trend.stage != CONFIRMED),
        tuple(trend for trend in risen if trend.stage == CONFIRMED),
        tuple(trend for key, trend in old.items() if key not in new),
    )


# Growth


def _courses(before: dict[str, Course], metrics: Metrics, now_s: float) -> dict[str, Course]:
    after = dict(before)
    memory = _memory_metric(metrics)
    if memory == ANONYMOUS:
        after.pop(RESIDENT, None)
    for name in (memory, THREADS, FILES, DISK):
        value = getattr(metrics, name)
        if value is None:
            continue
        course = before.get(name) or Course()
        after[name] = growing.advance(
            course, GROWTHS[name], name, now_s, float(value), headroom=_headroom(name, metrics)
        )
    return after


def _memory_metric(metrics: Metrics) -> str:
    """What no file stands behind where it is told; where it was never told, resident memory."""
    told = metrics.memory_anonymous_bytes is not None or ANONYMOUS in metrics.unknown
    return ANONYMOUS if told else RESIDENT


def _headroom(name: str, metrics: Metrics) -> float | None:
    """How much more there can be of a metric."""
    if name in {ANONYMOUS, RESIDENT}:
        return None if metrics.memory_headroom_bytes is None else float(metrics.memory_headroom_bytes)
    if name == DISK:
        return None if metrics.disk_free_bytes is None else float(metrics.disk_free_bytes)
    if name == FILES and metrics.open_files_limit is not None and metrics.open_files_percent is not None:
        return metrics.open_files_limit * max(0.0, 100.0 - metrics.open_files_percent) / 100.0
    return None


# CPU and traffic


def _cpu_and_traffic(
    state: TrendsState, metrics: Metrics, now_s: float
) -> tuple[dict[str, Level], Saturation, dict[str, Counter]]:
    after, saturated, counters = dict(state.levels), state.saturation, state.counters
    percent = _cpu_percent(metrics)
    if percent is not None:
        saturated = saturation.advance(saturated, now_s, percent)
        held_back = saturated.stage == CONFIRMED
        after[CPU] = levels.advance(after.get(CPU) or Level(), CPU_LEVEL, now_s, percent, held_back=held_back)
    for name, shift in TRAFFIC.items():
        value = getattr(metrics, name)
        if value is None:
            continue
        last = counters.get(name)
        counters = {**counters, name: Counter(now_s, float(value))}
        if last is not None and value >= last.value and now_s > last.at_s:
            rate = (value - last.value) / (now_s - last.at_s)
            after[name] = levels.advance(after.get(name) or Level(), shift, now_s, rate)
    return after, saturated, counters


def _cpu_percent(metrics: Metrics) -> float | None:
    """Of the machine's CPUs, or of the control group's quota where more of that is used."""
    if metrics.cpu_percent is None or metrics.cgroup_cpu_percent is None:
        return metrics.cpu_percent
    return max(metrics.cpu_percent, metrics.cgroup_cpu_percent)


def _saturated(state: Saturation) -> Trend:
    mean = state.total / max(1, state.run)
    evidence = f"{state.run} samples in a row from {state.top:.0f} % up, {mean:.1f} % on average"
    sure = min(4.0, state.run / saturation.RUN)
    return Trend(
        CPU_SATURATION, CPU, state.stage, confidence(sure), round(mean, 1), "%", state.began_s, evidence=evidence
    )


def _shifted(name: str, level: Level) -> Trend:
    """What a level that is above all before is told as."""
    count = sum(1 for index in level.index if index >= level.began)
    mean = sum(level.mean[-count:]) / count if count else level.mean[-1]
    sure = (mean - level.usual) / (level.limit - level.usual)
    since_s = level.began * levels.BLOCK_S
    minutes = max(1, count) * levels.BLOCK_S / 60.0
    if name == CPU:
        evidence = f"{mean:.0f} % for {minutes:.0f} min, before never above {level.usual:.0f} % in 5 min"
        rate, unit, kind = mean - level.usual, "points", CPU_SHIFT
    else:
        evidence = f"{mean / 1e6:.2f} MB/s for {minutes:.0f} min, before never above {level.usual / 1e6:.2f} in 5 min"
        rate, unit, kind = mean / 1e6, "MB/s", UNUSUAL_TRAFFIC
    return Trend(kind, name, level.stage, confidence(sure), round(rate, 3), unit, since_s, evidence=evidence)
