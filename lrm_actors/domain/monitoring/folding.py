"""What the monitor knows, and what each event changes in it."""

from __future__ import annotations

import math

import attrs

from eventstore.frozen import frozen
from eventstore.records import Instant
from lrm_actors.domain.health import HEALTHY, Mark, is_worse, marked, silence, stepped_down
from lrm_actors.domain.metrics import METRICS, Metrics, nothing_known, overlaid
from lrm_actors.domain.modes import NORMAL
from lrm_actors.domain.monitoring.events import (
    CheckpointsNoted,
    ComponentExited,
    ComponentFailureNoted,
    ComponentRestartNoted,
    ComponentResumed,
    Configured,
    DownForgotten,
    HealthChanged,
    HeartbeatMissed,
    ModeNoted,
    PressureSeen,
    Sampled,
    SampleOverdue,
    TrendsBegun,
)
from lrm_actors.domain.signals import OF_MEMORY, MonitorConfig
from lrm_actors.domain.trends import Trend, TrendsState, fold, restarted, telling
from lrm_actors.domain.trends.telling import TrendCleared, TrendConfirmed, TrendSuspected

NO_SAMPLE = "no sample yet"
SHOWN = ("cpu_percent", "memory_percent", "disk_percent")
HISTORY = 60
"""Samples of which the judged percentages are remembered, for whoever wants to see how they went."""
MAX_COMPONENTS = 256
"""Failed components remembered; the one that failed longest ago is forgotten first."""


@frozen
class MonitorState:
    config: MonitorConfig = attrs.Factory(MonitorConfig)
    mode: str = NORMAL
    status: str = HEALTHY
    cause: str = ""
    last: Metrics | None = None
    """The last sample."""
    last_good: dict[str, int | float] = attrs.Factory(dict)
    """The last known number of each metric."""
    samples: int = 0
    sampled_at_s: float | None = None
    """Monotonic time of the last sample."""
    levels: dict[str, str] = attrs.Factory(dict)
    """The rung each signal stands on, ``unknown`` included; healthy ones are left out."""
    marks: dict[str, Mark] = attrs.Factory(dict)
    """How long each signal has been where it is."""
    history: dict[str, tuple[float | None, ...]] = attrs.Factory(dict)
    """The last values of the metrics in ``SHOWN``, oldest first; None where one was not known."""
    bettered_at_s: float | None = None
    """Monotonic time at which the status last got better; None when its last change was for the worse."""
    changed_at: Instant | None = None
    """When the status last changed."""
    signals: tuple[str, ...] = ()
    """Names of the signals that made the status."""
    failed_at_s: dict[str, float] = attrs.Factory(dict)
    """Monotonic time of the last failure of each component still within the window."""
    well_again: tuple[str, ...] = ()
    """Those of ``failed_at_s`` that were restarted since."""
    down: dict[str, str] = attrs.Factory(dict)
    """Components observed down and not yet restarted, with the observation."""
    checkpoints: str = ""
    """What is wrong with checkpoints; empty: nothing."""
    boot_id: str = ""
    """Boot that the times of ``failed_at_s`` count from."""
    trends: TrendsState = attrs.Factory(TrendsState)
    """Where the metrics are heading, a fold of the samples."""
    told: dict[str, Trend] = attrs.Factory(dict)
    """The trends that were put on record and not yet cleared, as they were then."""


def evolve(state: MonitorState, event: object) -> MonitorState:
    """What one event changes."""
    match event:
        case Sampled(metrics, at_s, levels):
            return attrs.evolve(
                _marked(state, metrics, at_s, levels),
                last=metrics,
                last_good=_known(state, metrics),
                samples=state.samples + 1,
                sampled_at_s=at_s,
                history=_history(state, metrics),
                trends=fold(state.trends, metrics, at_s),
            )
        case TrendSuspected() | TrendConfirmed() | TrendCleared():
            return attrs.evolve(state, told=telling.after(state.told, event))
        case TrendsBegun():
            return attrs.evolve(state, trends=restarted(state.trends))
        case SampleOverdue(waited_s, levels, at_s):
            reason = f"no sample for {waited_s:.0f} s"
            if at_s is not None:
                state = _marked(state, silence(state.marks, reason), at_s, levels)
            return attrs.evolve(state, last=nothing_known(reason), levels=levels)
        case HealthChanged(previous, status, cause, _, signals) if previous == status:
            return attrs.evolve(state, cause=cause, signals=signals)
        case HealthChanged(previous, status, cause, at, signals):
            better_s = at.monotonic_s if at is not None and is_worse(previous, status) else None
            return attrs.evolve(
                state, status=status, cause=cause, bettered_at_s=better_s, changed_at=at, signals=signals
            )
        case PressureSeen(metrics, at_s, levels):
            last = overlaid(state.last or nothing_known(NO_SAMPLE), metrics)
            state = _marked(state, metrics, at_s, levels, only=OF_MEMORY)
            return attrs.evolve(state, last=last, last_good=_known(state, metrics))
        case HeartbeatMissed(component):
            return attrs.evolve(state, down={**state.down, component: "heartbeat_missed"})
        case ComponentExited(component):
            return attrs.evolve(state, down={**state.down, component: "component_exited"})
        case ComponentFailureNoted():
            return _with_failure(state, event)
        case ComponentRestartNoted(component) | ComponentResumed(component):
            down = {name: was for name, was in state.down.items() if name != component}
            well = state.well_again
            if component in state.failed_at_s and component not in well:
                well = (*well, component)
            return attrs.evolve(state, down=down, well_again=well)
        case CheckpointsNoted(reason):
            return attrs.evolve(state, checkpoints=reason)
        case DownForgotten():
            return attrs.evolve(state, down={})
        case ModeNoted(mode):
            return attrs.evolve(state, mode=mode)
        case Configured(config):
            # By other thresholds nothing has lasted yet, and nothing has to be waited for.
            same = attrs.evolve(config, heartbeat_check_s=state.config.heartbeat_check_s) == state.config
            return attrs.evolve(state, config=config, marks=state.marks if same else {})
    return state


def _marked(
    state: MonitorState, metrics: Metrics, at_s: float, levels: dict[str, str], *, only: tuple[str, ...] | None = None
) -> MonitorState:
    """How long everything has lasted, after a reading and what was made of it."""
    marks = marked(state.config, state.marks, metrics, at_s, only)
    return attrs.evolve(state, marks=stepped_down(marks, state.levels, levels), levels=levels)


def _known(state: MonitorState, metrics: Metrics) -> dict[str, int | float]:
    """The last known number of each metric, after a reading."""
    known = {name: value for name in METRICS if (value := getattr(metrics, name)) is not None}
    return {**state.last_good, **known}


def _history(state: MonitorState, metrics: Metrics) -> dict[str, tuple[float | None, ...]]:
    return {name: (*state.history.get(name, ()), getattr(metrics, name))[-HISTORY:] for name in SHOWN}


def _with_failure(state: MonitorState, event: ComponentFailureNoted) -> MonitorState:
    """Remember a failure, and forget those that its window has left behind."""
    before = state.failed_at_s if state.boot_id == event.boot_id else {}
    times = {name: at_s for name, at_s in before.items() if event.at_s - at_s <= state.config.failing_window_s}
    times[event.component] = max(event.at_s, times.get(event.component, -math.inf))
    newest = sorted(times, key=lambda name: times[name])[-MAX_COMPONENTS:]
    well = tuple(name for name in state.well_again if name in newest and name != event.component)
    return attrs.evolve(
        state, failed_at_s={name: times[name] for name in newest}, well_again=well, boot_id=event.boot_id
    )
