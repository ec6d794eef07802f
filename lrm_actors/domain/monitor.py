"""The monitor's decisions: from samples and heartbeats to health status, with separate enter and leave thresholds."""

from __future__ import annotations

import attrs

from eventstore.events import event
from lrm_actors.domain.behavior import Command, Effect

HEALTHY, WARNING, CRITICAL, FAILING = "healthy", "warning", "critical", "failing"


@attrs.frozen
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


@attrs.frozen
class Metrics:
    """One sample. None: not known now; ``unknown`` says why. All percentages 0 to 100."""

    cpu_percent: float | None = None
    process_cpu_percent: float | None = None
    memory_percent: float | None = None
    memory_rss_bytes: int | None = None
    memory_virtual_bytes: int | None = None
    disk_free_bytes: int | None = None
    disk_read_bytes: int | None = None
    disk_write_bytes: int | None = None
    network_sent_bytes: int | None = None
    network_received_bytes: int | None = None
    thread_count: int | None = None
    open_files: int | None = None
    unknown: dict[str, str] = attrs.Factory(dict)


@attrs.frozen
class MonitorState:
    config: MonitorConfig = MonitorConfig()
    mode: str = "normal"
    status: str = HEALTHY
    cause: str = ""
    last: Metrics | None = None
    """The last sample."""
    last_good: dict[str, float] = attrs.Factory(dict)
    """The last known number of each metric."""
    samples: int = 0
    failed_at_s: dict[str, float] = attrs.Factory(dict)
    """Monotonic time of the last failure of each component still within the window."""
    down: dict[str, str] = attrs.Factory(dict)
    """Components observed down and not yet restarted, with the observation."""
    boot_id: str = ""


# Commands


@attrs.frozen
class Configure(Command):
    config: MonitorConfig


@attrs.frozen
class SampleDue(Command):
    pass


@attrs.frozen
class RecordSample(Command):
    metrics: Metrics


@attrs.frozen
class HeartbeatCheckDue(Command):
    pass


@attrs.frozen
class Observation:
    """How one component looked when it was checked."""

    component: str
    heartbeat_age_s: float | None
    """None: it sends no heartbeats."""
    heartbeat_timeout_s: float | None
    exited: bool = False
    exit_status: int | None = None


@attrs.frozen
class RecordObservations(Command):
    observations: tuple[Observation, ...]
    gap_s: float = 0.0
    """How much later than due the check itself ran; past the timeout, ages say nothing about the component."""


@attrs.frozen
class NoteComponentFailed(Command):
    """From the analyzer's log: a component failed."""

    component: str
    at_s: float
    boot_id: str


@attrs.frozen
class NoteComponentRestarted(Command):
    component: str


@attrs.frozen
class NoteMode(Command):
    mode: str


# Events


@event("monitor.configured", 1)
class Configured:
    config: MonitorConfig


@event("monitor.sampled", 1)
class Sampled:
    metrics: Metrics


@event("monitor.health_changed", 1)
class HealthChanged:
    previous: str
    status: str
    cause: str
    """``memory 96.1 % >= 95.0 %``, ``2 components failed within 60 s: browser, llm`` …"""


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
    """``exit by signal 9`` or ``exit status 1``."""


@event("monitor.component_failure_noted", 1)
class ComponentFailureNoted:
    component: str
    at_s: float
    boot_id: str


@event("monitor.component_restart_noted", 1)
class ComponentRestartNoted:
    component: str


@event("monitor.mode_noted", 1)
class ModeNoted:
    mode: str


# Effects


@attrs.frozen
class TakeSample(Effect):
    """Read the resource metrics; comes back as ``RecordSample``."""


@attrs.frozen
class CheckHeartbeats(Effect):
    """Look at every component; comes back as ``RecordObservations``."""

    due_s: float
    """Monotonic time at which the check was due."""
