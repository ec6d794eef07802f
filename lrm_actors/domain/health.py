"""What a sample says of the health: the words of one, the ladder each metric stands on, and why.

A metric goes up its ladder any number of rungs at once. It goes down one per sample, and only below the enter threshold
less a margin. What is not known is never below warning and never goes down.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from eventstore.events import float_fields
from lrm_actors.domain.metrics import Metrics

HEALTHY, WARNING, CRITICAL, FAILING = "healthy", "warning", "critical", "failing"
STATUSES = (HEALTHY, WARNING, CRITICAL, FAILING)
"""Best first."""
UNKNOWN = "unknown"
"""Rung of a metric that is not known and was healthy before: as bad as a warning, and forgotten once it is known."""
JUDGED = {"cpu": "cpu_percent", "memory": "memory_percent"}
"""The metrics that make the health, by the name they have in a cause."""


@attrs.frozen(field_transformer=float_fields)
class MonitorConfig:
    interval_s: float = 30.0
    """Seconds between samples in normal mode; the mode's multiplier is applied to it."""
    cpu_warning: float = 80.0
    cpu_critical: float = 95.0
    memory_warning: float = 80.0
    memory_critical: float = 95.0
    leave_below: float = 5.0
    """Points below an enter threshold at which its status is left again."""
    failing_components: int = 2
    """Distinct components failed within ``failing_window_s`` that make it failing."""
    failing_window_s: float = 60.0
    heartbeat_check_s: float = 1.0
    """Seconds between looks at heartbeats and exits of components."""


# Judging


def judge(config: MonitorConfig, metrics: Metrics, before: Mapping[str, str]) -> dict[str, str]:
    """The rung each judged metric stands on after a sample; healthy ones are left out."""
    levels = {}
    for name, metric in JUDGED.items():
        level = _rung(config, name, getattr(metrics, metric), before.get(name, HEALTHY))
        if level != HEALTHY:
            levels[name] = level
    return levels


def worst(levels: Mapping[str, str]) -> str:
    """The status that the rungs of all metrics make together."""
    statuses = (WARNING if level == UNKNOWN else level for level in levels.values())
    return max(statuses, key=STATUSES.index, default=HEALTHY)


def step_towards(status: str, target: str) -> str:
    """The next status on the way: up at once, down one at a time."""
    return target if not is_worse(status, target) else STATUSES[STATUSES.index(status) - 1]


def is_worse(status: str, than: str) -> bool:
    """Whether one status is worse than another."""
    return STATUSES.index(status) > STATUSES.index(than)


def _rung(config: MonitorConfig, name: str, value: float | None, before: str) -> str:
    if value is None:
        return UNKNOWN if before == HEALTHY else before
    warning, critical = _thresholds(config, name)
    leave_below = config.leave_below
    if value >= critical or (before == CRITICAL and value >= critical - leave_below):
        return CRITICAL
    if before == CRITICAL or value >= warning or (before == WARNING and value >= warning - leave_below):
        return WARNING
    return HEALTHY


def _thresholds(config: MonitorConfig, name: str) -> tuple[float, float]:
    if name == "cpu":
        return config.cpu_warning, config.cpu_critical
    return config.memory_warning, config.memory_critical


# Saying why


def cause_in_metrics(
    config: MonitorConfig, metrics: Metrics, levels: Mapping[str, str], previous: str, status: str
) -> str:
    """Which metrics made it as bad as ``status``; or, where it got better, what they all are below now."""
    got_worse = is_worse(status, previous)
    said = []
    for name, metric in JUDGED.items():
        value = getattr(metrics, metric)
        level = levels.get(name, HEALTHY)
        warning, critical = _thresholds(config, name)
        if value is None:
            if not got_worse or worst({name: level}) == status:
                said.append(f"{name} unknown: {metrics.unknown.get(metric, 'no reason given')}")
        elif not got_worse:
            enter = critical if is_worse(previous, WARNING) else warning
            leave = enter - config.leave_below
            said.append(f"{name} {value:.1f} % < {leave if value < leave else enter:.1f} %")
        elif level == status:
            said.append(f"{name} {value:.1f} % >= {critical if status == CRITICAL else warning:.1f} %")
    return ", ".join(said)


def cause_in_components(config: MonitorConfig, failures: Mapping[str, bool]) -> str:
    """How many components failed lately, or that they are all well again.

    Args:
        config: names the limit and the window.
        failures: components that failed within the window, and whether each is well again.
    """
    names = sorted(failures)
    listed = ", ".join(names)
    if len(names) >= config.failing_components and all(failures.values()):
        return f"restarted: {listed}"
    count = f"{len(names) or 'no'} component{'' if len(names) == 1 else 's'}"
    return f"{count} failed within {config.failing_window_s:g} s" + (f": {listed}" if names else "")
