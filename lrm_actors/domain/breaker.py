"""A circuit breaker's decisions. The guard trips by itself at once; everything slower is decided here.

The guard and the actor share **generations**: each state the breaker enters has a number, one higher than the last. A
report about an older generation than the current one is stale and only counted.
"""

from __future__ import annotations

import attrs

from eventstore.events import event
from lrm_actors.domain.behavior import Command, Effect
from lrm_actors.domain.deadlines import Deadline


@attrs.frozen
class BreakerConfig:
    failure_threshold: int = 5
    """Failures in a row that open it, at least 1."""
    recovery_timeout_s: float = 60.0
    """Seconds open before probes are let through; doubled by each failed probe up to the cap."""
    recovery_timeout_max_s: float = 600.0
    half_open_permits: int = 1
    """Probes at a time."""
    successes_to_close: int = 1
    probe_lease_s: float = 120.0
    """A probe that has not answered by then loses its permit."""


@attrs.frozen
class BreakerState:
    config: BreakerConfig = BreakerConfig()
    status: str = "closed"
    """``closed``, ``open``, ``half_open``."""
    generation: int = 0
    openings: int = 0
    """Openings in a row without a closing between; exponent of the open time."""
    open_until: Deadline | None = None
    last_failures: tuple[str, ...] = ()
    probe_successes: int = 0
    stale_reports: int = 0


# Commands


@attrs.frozen
class Configure(Command):
    config: BreakerConfig


@attrs.frozen
class ReportTrip(Command):
    """The guard tripped from closed to ``generation`` after these failures in a row."""

    generation: int
    failures: tuple[str, ...]
    """What each failure was, ``timeout: ReadTimeout`` …"""
    open_until: Deadline


@attrs.frozen
class ReportProbeStarted(Command):
    """The first probe of an open breaker whose time is over went through."""

    generation: int


@attrs.frozen
class ReportProbe(Command):
    generation: int
    ok: bool
    failure: str = ""


@attrs.frozen
class ForceState(Command):
    """By an operator or the analyzer: ``open`` or ``closed``."""

    status: str
    reason: str


# Events


@event("breaker.configured", 1)
class Configured:
    config: BreakerConfig


@event("breaker.failures_observed", 1)
class FailuresObserved:
    """The failures in a row that tripped it. An observation."""

    service: str
    failures: tuple[str, ...]


@event("breaker.opened", 1)
class Opened:
    service: str
    generation: int
    reason: str
    """``3 timeouts in a row``, ``probe failed: …``, ``forced: …``."""
    open_until: Deadline


@event("breaker.half_opened", 1)
class HalfOpened:
    service: str
    generation: int


@event("breaker.probe_failed", 1)
class ProbeFailed:
    """An observation: the probe's failure."""

    service: str
    generation: int
    failure: str


@event("breaker.probe_succeeded", 1)
class ProbeSucceeded:
    service: str
    generation: int


@event("breaker.closed", 1)
class Closed:
    service: str
    generation: int
    reason: str


# Effects


@attrs.frozen
class PublishBreaker(Effect):
    """Hand the committed state to the guard. Carried out in memory."""

    service: str
