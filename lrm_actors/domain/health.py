"""What samples say of the health: how long each signal has been where it is, the rung that gives it, and why.

A signal goes up its ladder any number of rungs, once it has stayed at or above a threshold long enough, or at once at a
hard limit. It goes down one rung at a time, once it has stayed below the threshold less a margin long enough. Times are
counted and values are not averaged: a mean misses short saturation. All of it is monotone: with more pressure in every
sample the health is never better.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from eventstore.events import float_fields
from eventstore.frozen import frozen
from lrm_actors.domain.metrics import Metrics
from lrm_actors.domain.signals import BY_NAME, JUDGED, SIGNALS, MonitorConfig, Signal

__all__ = ["JUDGED", "MonitorConfig"]  # spoken of with the health

HEALTHY, WARNING, CRITICAL, FAILING = "healthy", "warning", "critical", "failing"
STATUSES = (HEALTHY, WARNING, CRITICAL, FAILING)
"""Best first."""
UNKNOWN = "unknown"
"""Rung of a signal that is not known and was healthy before: a warning, until it has been known for a while."""
NEAR, FAR = 0.2, 2.0
"""How fast the time below counts for what is noisy: slowly just below, twice as fast far below."""
DEPTH = 20.0
"""Points below at which it counts as it passes."""


@frozen(field_transformer=float_fields)
class Mark:
    """How long one signal has been where it is, as its readings say, in seconds."""

    at_s: float
    """Monotonic time of the last reading."""
    value: float | None = None
    """The last reading; None when it was not known."""
    count: float | None = None
    """The last known reading of a counter."""
    at_warning_s: float = 0.0
    """Time at or above the warning threshold."""
    at_critical_s: float = 0.0
    below_warning_s: float = 0.0
    """Time below the place where a warning is left."""
    below_critical_s: float = 0.0
    known_s: float = 0.0
    """Time in which it was known."""


# Counting


def silence(marks: Mapping[str, Mark], reason: str) -> Metrics:
    """A sample in which nothing that was ever judged is known."""
    metrics = (signal.metric for signal in SIGNALS if signal.required or signal.name in marks)
    return Metrics(unknown=dict.fromkeys(metrics, reason))


def marked(
    config: MonitorConfig, marks: Mapping[str, Mark], metrics: Metrics, at_s: float, only: Iterable[str] | None = None
) -> dict[str, Mark]:
    """The marks after a reading.

    Args:
        config: the thresholds.
        marks: those before.
        metrics: the reading.
        at_s: its monotonic time. Never counts as more than half of any dwell, so that no pause can make up for it.
        only: signals that were read; None for all.
    """
    after = dict(marks)
    for signal in SIGNALS if only is None else map(BY_NAME.__getitem__, only):
        before = marks.get(signal.name)
        if before is None and not _speaks(signal, metrics):
            continue
        after[signal.name] = _marked(config, signal, before, metrics, at_s)
    return after


def stepped_down(marks: Mapping[str, Mark], before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, Mark]:
    """The marks after a judgement: what went from critical to warning has to stay below for a while yet."""
    down = [name for name, level in after.items() if level == WARNING and before.get(name) == CRITICAL]
    fresh = {name: attrs.evolve(marks[name], below_warning_s=0.0) for name in down if name in marks}
    return {**marks, **fresh} if fresh else dict(marks)


def _speaks(signal: Signal, metrics: Metrics) -> bool:
    """Whether a sample says anything of a signal: its value, or that it is not known."""
    return signal.required or getattr(metrics, signal.metric) is not None or signal.metric in metrics.unknown


def _marked(config: MonitorConfig, signal: Signal, before: Mark | None, metrics: Metrics, at_s: float) -> Mark:
    raw = signal.read(metrics)
    if raw is None:
        silent = not _speaks(signal, metrics)
        was = before or Mark(at_s)
        # What is not known is neither above nor below; what the platform does not have any more is not judged.
        return Mark(at_s, None, was.count, was.at_warning_s, was.at_critical_s, known_s=was.known_s if silent else 0.0)
    value = _grown(raw, before) if signal.counter else raw
    warning, critical = signal.thresholds(config)
    counts = raw if signal.counter else None
    if before is None:  # nothing was ever above: there is nothing to wait for
        forever_s = 4 * leave_s(config, signal)
        return Mark(at_s, value, counts, 0.0, 0.0, forever_s, forever_s, known_s=forever_s)
    passed_s, hold_s = max(0.0, at_s - before.at_s), config.least_hold_s

    def above(so_far_s: float, threshold: float, dwell_s: float) -> float:
        if value < threshold:
            return 0.0
        if before.value is None or before.value < threshold:
            return so_far_s if before.value is None else 0.0
        return min(so_far_s + min(passed_s, dwell_s / 2), 4 * dwell_s)

    def below(so_far_s: float, threshold: float) -> float:
        leave, whole_s = signal.leaves_below(config, threshold), leave_s(config, signal)
        if value >= leave or before.value is None or before.value >= leave:
            return 0.0
        pace = min(max((leave - value) / DEPTH, NEAR), FAR) if signal.noisy else 1.0
        return min(so_far_s + min(passed_s * pace, whole_s / 2), 4 * whole_s)

    return Mark(
        at_s,
        value,
        counts,
        above(before.at_warning_s, warning, config.warning_dwell_s),
        above(before.at_critical_s, critical, config.critical_dwell_s),
        below(before.below_warning_s, warning),
        below(before.below_critical_s, critical),
        before.known_s if before.known_s >= hold_s else before.known_s + min(passed_s, hold_s / 2),
    )


def _grown(raw: float, before: Mark | None) -> float:
    """By how much a counter grew. One that went back was begun anew, as after a reboot."""
    return 0.0 if before is None or before.count is None else max(0.0, raw - before.count)


def leave_s(config: MonitorConfig, signal: Signal) -> float:
    """Seconds of the time below until a status is left. Twice as many for what is noisy, which may count twice."""
    return config.leave_dwell_s * (FAR if signal.noisy else 1.0)


# Judging


def judge(
    config: MonitorConfig, metrics: Metrics, before: Mapping[str, str], marks: Mapping[str, Mark]
) -> dict[str, str]:
    """The rung each signal stands on after a reading; healthy ones are left out.

    Args:
        config: the thresholds.
        metrics: the reading.
        before: the rungs before it.
        marks: the marks after it.
    """
    levels = {}
    for signal in SIGNALS:
        level = rung(config, signal, metrics, before.get(signal.name, HEALTHY), marks.get(signal.name))
        if level != HEALTHY:
            levels[signal.name] = level
    return levels


def rung(config: MonitorConfig, signal: Signal, metrics: Metrics, before: str, mark: Mark | None) -> str:
    """The rung of one signal."""
    raw = signal.read(metrics)
    if raw is None:
        if not _speaks(signal, metrics):
            return HEALTHY
        return UNKNOWN if before == HEALTHY else before
    if mark is None or mark.value is None:
        mark = _marked(config, signal, None, metrics, 0.0)
    value = mark.value if signal.counter else raw
    assert value is not None
    return _best(config, signal, before, _entered(config, signal, value, mark), mark)


def _entered(config: MonitorConfig, signal: Signal, value: float, mark: Mark) -> str:
    """The rung that a value and its duration lead up to."""
    warning, critical = signal.thresholds(config)
    if value >= critical and (signal.hard or mark.at_critical_s >= config.critical_dwell_s):
        return CRITICAL
    return WARNING if value >= warning and mark.at_warning_s >= config.warning_dwell_s else HEALTHY


def _best(config: MonitorConfig, signal: Signal, before: str, entered: str, mark: Mark) -> str:
    """The best rung that a signal may stand on."""
    if before == UNKNOWN:
        return entered if entered != HEALTHY or mark.known_s >= config.least_hold_s else UNKNOWN
    if not is_worse(before, entered):
        return entered
    below_s = mark.below_critical_s if before == CRITICAL else mark.below_warning_s
    if below_s < leave_s(config, signal):
        return before
    return WARNING if before == CRITICAL else HEALTHY


def reached(
    config: MonitorConfig,
    marks: tuple[Mapping[str, Mark], Mapping[str, Mark]],
    levels: tuple[Mapping[str, str], Mapping[str, str]],
    names: Iterable[str],
) -> tuple[str, ...]:
    """Hard limits that are reached, and were not at the reading before, or had been left by a margin since.

    A rung stays for a while when its reason is gone, longer than it may take a process to reach its limit once more.

    Args:
        config: the thresholds.
        marks: those before and after a reading.
        levels: the rungs before and after it.
        names: the signals that matter.
    """
    found = []
    for signal in (BY_NAME[name] for name in names):
        was, now = (some.get(signal.name) for some in marks)
        _, critical = signal.thresholds(config)
        if not signal.hard or levels[1].get(signal.name) != CRITICAL or now is None or now.value is None:
            continue
        left = was is not None and was.value is not None and was.value < signal.leaves_below(config, critical)
        if now.value >= critical and (left or levels[0].get(signal.name) != CRITICAL):
            found.append(signal.name)
    return tuple(found)


def worst(levels: Mapping[str, str]) -> str:
    """The status that the rungs of all signals make together."""
    statuses = (WARNING if level == UNKNOWN else level for level in levels.values())
    return max(statuses, key=STATUSES.index, default=HEALTHY)


def pressing(config: MonitorConfig, marks: Mapping[str, Mark]) -> str:
    """The status that the last readings would make if they lasted: nothing gets better than that."""
    return worst({name: _at(config, BY_NAME[name], mark.value) for name, mark in marks.items() if name in BY_NAME})


def _at(config: MonitorConfig, signal: Signal, value: float | None) -> str:
    warning, critical = signal.thresholds(config)
    if value is None or value < warning:
        return HEALTHY
    return CRITICAL if value >= critical else WARNING


def step_towards(status: str, target: str) -> str:
    """The next status on the way: up at once, down one at a time."""
    return target if not is_worse(status, target) else STATUSES[STATUSES.index(status) - 1]


def is_worse(status: str, than: str) -> bool:
    """Whether one status is worse than another."""
    return STATUSES.index(status) > STATUSES.index(than)
