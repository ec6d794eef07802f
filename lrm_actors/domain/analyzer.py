"""The analyzer's decisions: what a failure is, and which recovery suits it."""

from __future__ import annotations

import attrs

from eventstore.events import event
from lrm_actors.domain.behavior import Command

RESTART_COMPONENT = "restart_component"
RETRY_WITH_BACKOFF = "retry_with_backoff"
WAIT_FOR_BREAKER = "wait_for_breaker"
CLEAR_CACHES = "clear_caches"
REDUCE_LOAD = "reduce_load"
CLEAN_UP_CHECKPOINTS = "clean_up_checkpoints"
EMERGENCY_CHECKPOINT = "emergency_checkpoint"
STOP_AND_REPORT = "stop_and_report"
STRATEGIES = (
    RESTART_COMPONENT,
    RETRY_WITH_BACKOFF,
    WAIT_FOR_BREAKER,
    CLEAR_CACHES,
    REDUCE_LOAD,
    CLEAN_UP_CHECKPOINTS,
    EMERGENCY_CHECKPOINT,
    STOP_AND_REPORT,
)


@attrs.frozen
class FailureFacts:
    """What is known of a failure, without its exception object."""

    component: str
    class_names: tuple[str, ...] = ()
    """Class names along the MRO of the error and of its causes, outermost first, ``openai.RateLimitError``."""
    message: str = ""
    status_code: int | None = None
    error_code: str = ""
    os_error: str = ""
    """``ENOSPC`` …"""
    exit_status: int | None = None
    observation: str = ""
    """``heartbeat_missed``, ``component_exited``, ``breaker_opened``; empty for an exception."""
    step: int | None = None


@attrs.frozen
class FailureSeen:
    """One remembered failure."""

    at_s: float
    component: str
    category: str
    fingerprint: str
    message: str


@attrs.frozen
class AnalyzerState:
    auto_recovery: bool = True
    recent: tuple[FailureSeen, ...] = ()
    """The newest 50."""
    counts: dict[str, int] = attrs.Factory(dict)
    """Failures per category since the log began."""
    boot_id: str = ""


# Commands


@attrs.frozen
class Configure(Command):
    auto_recovery: bool


@attrs.frozen
class RecordFailure(Command):
    """The reply is a dict: category, strategy, acted (bool)."""

    facts: FailureFacts


@attrs.frozen
class NoteRecovery(Command):
    """A component was restarted, or given up."""

    component: str
    ok: bool


# Events


@event("analyzer.configured", 1)
class Configured:
    auto_recovery: bool


@event("analyzer.failure_recorded", 1)
class FailureRecorded:
    component: str
    category: str
    fingerprint: str
    """The same for failures that look alike."""
    message: str
    facts: FailureFacts
    at_s: float
    boot_id: str


@event("analyzer.recovery_chosen", 1)
class RecoveryChosen:
    """What shall be done; the wiring hands it to who does it."""

    component: str
    category: str
    strategy: str
    reason: str


@event("analyzer.recovery_withheld", 1)
class RecoveryWithheld:
    """What would have been done, were automatic recovery on."""

    component: str
    category: str
    strategy: str
    reason: str


@event("analyzer.recovery_finished", 1)
class RecoveryFinished:
    component: str
    ok: bool
