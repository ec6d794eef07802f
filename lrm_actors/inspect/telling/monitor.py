"""What events say: the monitor's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lrm_actors.domain.signals import BY_NAME
from lrm_actors.domain.trends.trend import CPU_SATURATION, UNUSUAL_TRAFFIC
from lrm_actors.inspect.telling.words import says, short, tells, with_reason

LEVELS = frozenset((CPU_SATURATION, UNUSUAL_TRAFFIC))
"""Trends whose rate is a level, and no growth."""
SAID = ("cpu", "memory")
"""Signals that are told of every sample."""

says("monitor.heartbeat_missed", "no heartbeat of the component {component} for {age_s:.1f} s, {timeout_s:g} s allowed")
says("monitor.component_exited", "the process of the component {component} is gone: {description}")
says("monitor.component_resumed", "the component {component} is well again by itself")
says("monitor.component_failure_noted", "the failure of the component {component} counts towards failing")
says("monitor.component_restart_noted", "the component {component} runs again")
says("monitor.mode_noted", "resources are looked at as in mode {mode}")
says("monitor.trends_begun", "what the last process did says nothing of where this one's memory is heading")
says("monitor.trend_cleared", "{kind} of {metric}, {stage}, is over after {lasted_s:.0f} s")
says("monitor.sample_overdue", "no sample of the resources came for {waited_s:.0f} s")


@tells("monitor.checkpoints_noted")
def _(event: Any) -> str:
    return f"checkpoints are a warning: {event.reason}" if event.reason else "checkpoints are no warning any more"


@tells("monitor.trend_suspected")
@tells("monitor.trend_confirmed")
def _(event: Any) -> str:
    trend = event.trend
    sign = "" if trend.kind in LEVELS else "+"
    return f"{trend.kind} {trend.stage}: {trend.metric} {trend.rate:{sign}.2f} {trend.unit}, {short(trend.evidence)}"


@tells("monitor.configured")
def _(event: Any) -> str:
    config = event.config
    return (
        f"resources are looked at every {config.interval_s:g} s;"
        f" cpu warns at {config.cpu_warning:g} %, is critical at {config.cpu_critical:g} %;"
        f" memory at {config.memory_warning:g} % and {config.memory_critical:g} %"
    )


@tells("monitor.sampled")
def _(event: Any) -> str:
    return "resources: " + sample(event.metrics, event.levels)


@tells("monitor.pressure_seen")
def _(event: Any) -> str:
    value = event.metrics.memory_percent
    return f"between two samples: memory {'unknown' if value is None else f'{value:.1f} %'}"


@tells("monitor.health_changed")
def _(event: Any) -> str:
    if event.previous == event.status:
        return with_reason(f"health is {event.status} still", event.cause)
    return with_reason(f"health went from {event.previous} to {event.status}", event.cause)


@tells("monitor.down_forgotten")
def _(event: Any) -> str:
    return f"what was seen down before this process is looked at afresh: {', '.join(event.components)}"


def sample(metrics: Any, levels: Iterable[str] = ()) -> str:
    """A sample: ``cpu 41.0 %, memory 83.2 %``, and whatever else of it is not healthy, ``disk 98.2 % full``.

    Args:
        metrics: the sample.
        levels: names of the signals that are not healthy after it.
    """
    told = []
    for name in SAID:
        value = getattr(metrics, f"{name}_percent")
        told.append(f"{name} {'unknown' if value is None else f'{value:.1f} %'}")
    for signal in (BY_NAME[name] for name in levels if name in BY_NAME and name not in SAID):
        value = None if signal.counter else signal.read(metrics)  # of a counter, one sample says nothing
        if value is not None:
            told.append(signal.say(value, metrics))
    return ", ".join(told)
