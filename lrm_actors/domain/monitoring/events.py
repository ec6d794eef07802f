"""What the monitor puts on record: readings, observations of components, and what they make of the health."""

from __future__ import annotations

import attrs

from eventstore.events import event
from eventstore.records import Instant
from lrm_actors.domain.metrics import Metrics
from lrm_actors.domain.signals import MonitorConfig


@event("monitor.configured", 1)
class Configured:
    config: MonitorConfig


@event("monitor.sampled", 1)
class Sampled:
    metrics: Metrics
    at_s: float = 0.0
    """Monotonic time."""
    levels: dict[str, str] = attrs.Factory(dict)
    """What was made of it: the rung of each metric that is not healthy."""


@event("monitor.pressure_seen", 1)
class PressureSeen:
    """Between two samples memory was found so scarce, or unknown, that it makes the health worse."""

    metrics: Metrics
    """Of memory; all others are None."""
    at_s: float = 0.0
    levels: dict[str, str] = attrs.Factory(dict)
    """The rung of each metric that is not healthy."""


@event("monitor.sample_overdue", 1)
class SampleOverdue:
    """An observation: samples were asked for and none came, so the metrics are not known any more."""

    waited_s: float
    levels: dict[str, str] = attrs.Factory(dict)
    at_s: float | None = None
    """Monotonic time."""


@event("monitor.health_changed", 1)
class HealthChanged:
    """The status changed; or it is critical or failing, and a limit of memory is reached besides, or once more."""

    previous: str
    status: str
    cause: str
    """``memory 96.1 % of cgroup limit 2.0 GiB >= 95.0 %``, ``2 components failed within 60 s: browser, llm`` …"""
    at: Instant | None = None
    """When it was decided."""
    signals: tuple[str, ...] = ()
    """Names of the signals that are as bad as the status; critical ones, where it is failing still."""


@event("monitor.heartbeat_missed", 1)
class HeartbeatMissed:
    """An observation: a component said nothing for longer than it may."""

    component: str
    age_s: float
    timeout_s: float


@event("monitor.component_exited", 1)
class ComponentExited:
    """An observation: a component's process is gone."""

    component: str
    exit_status: int | None
    description: str
    """``exit by signal 9 (SIGKILL)`` or ``exit status 1``."""


@event("monitor.component_resumed", 1)
class ComponentResumed:
    """An observation: a component seen down is well again, and nobody here restarted it."""

    component: str
    was: str


@event("monitor.down_forgotten", 1)
class DownForgotten:
    components: tuple[str, ...]


@event("monitor.component_failure_noted", 1)
class ComponentFailureNoted:
    component: str
    at_s: float
    boot_id: str


@event("monitor.component_restart_noted", 1)
class ComponentRestartNoted:
    component: str


@event("monitor.checkpoints_noted", 1)
class CheckpointsNoted:
    """Checkpoints fail or are missed, which is a warning; or, with an empty reason, that is over."""

    reason: str


@event("monitor.trends_begun", 1)
class TrendsBegun:
    """Another process: its memory, threads and descriptors have no past yet."""


@event("monitor.mode_noted", 1)
class ModeNoted:
    mode: str
