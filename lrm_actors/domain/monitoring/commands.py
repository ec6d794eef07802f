"""What the monitor is told, and the effects by which it asks."""

from __future__ import annotations

from eventstore.frozen import frozen
from lrm_actors.domain.behavior import Command, Effect
from lrm_actors.domain.metrics import Metrics
from lrm_actors.domain.signals import MonitorConfig


@frozen
class Configure(Command):
    config: MonitorConfig


@frozen
class SampleDue(Command):
    waiting_since_s: float | None = None
    """Monotonic time since which samples were asked for and none came."""


@frozen
class SampleMissing(Command):
    """Samples are asked for, and none comes."""

    waited_s: float


@frozen
class RecordSample(Command):
    metrics: Metrics


@frozen
class RecordPressure(Command):
    """What was found of memory alone, between two samples. Stored only where it makes the health worse."""

    metrics: Metrics
    """Of memory; all others are None without a reason."""


@frozen
class HeartbeatCheckDue(Command):
    due_s: float | None = None
    """Monotonic time at which it was meant to come; None: now."""


@frozen
class Observation:
    """How one component looked when it was checked."""

    component: str
    heartbeat_age_s: float | None
    """Seconds since its last heartbeat. None: it sends none."""
    heartbeat_timeout_s: float | None
    exited: bool = False
    exit_status: int | None = None
    seen: str = ""
    """How it was found to have exited, where nobody saw its exit status: ``its process 17 is a zombie``."""


@frozen
class RecordObservations(Command):
    observations: tuple[Observation, ...]
    gap_s: float = 0.0
    """How much later than due the check itself ran; past half a timeout, ages say nothing about the component."""


@frozen
class NoteComponentFailed(Command):
    """From the analyzer's log: a component failed."""

    component: str
    at_s: float
    boot_id: str


@frozen
class NoteComponentRestarted(Command):
    component: str


@frozen
class ForgetDown(Command):
    """The monitor began anew: what was down is looked at afresh."""


@frozen
class NoteCheckpoints(Command):
    """From the checkpointer's log: what is wrong with checkpoints; empty when nothing is any more."""

    reason: str


@frozen
class BeginTrends(Command):
    """The process began: what the last one's memory did says nothing of this one's."""


@frozen
class NoteMode(Command):
    mode: str


# Effects


@frozen
class TakeSample(Effect):
    """Read the resource metrics; comes back as ``RecordSample``."""


@frozen
class CheckHeartbeats(Effect):
    """Look at every component; comes back as ``RecordObservations``."""

    due_s: float
    """Monotonic time at which the check was due."""
