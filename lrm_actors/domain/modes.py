"""The operation mode: which one the health asks for, and what each mode changes."""

from __future__ import annotations

import attrs

from eventstore.events import event
from lrm_actors.domain.behavior import Command

NORMAL, DEGRADED, MINIMAL, RECOVERY = "normal", "degraded", "minimal", "recovery"
MODE_FOR_HEALTH = {"healthy": NORMAL, "warning": DEGRADED, "critical": MINIMAL, "failing": RECOVERY}
CRITICALITIES = ("sheddable", "sheddable_plus", "critical", "critical_plus")
"""Least important first, as in the SRE book."""


@attrs.frozen
class ModeProfile:
    """What a mode changes."""

    monitoring_factor: float
    """Multiplies the user's monitoring interval."""
    checkpoint_factor: float | None
    """Multiplies the user's checkpoint interval; None: emergency checkpoints only."""
    least_criticality: str
    """Work below this criticality is shed."""
    verbose: bool = False
    """Failures are logged with their full facts."""


PROFILES = {
    NORMAL: ModeProfile(1.0, 1.0, "sheddable"),
    DEGRADED: ModeProfile(1.5, 1.5, "sheddable_plus"),
    MINIMAL: ModeProfile(3.0, None, "critical"),
    RECOVERY: ModeProfile(1.0, 0.5, "critical", verbose=True),
}


@attrs.frozen
class ModesState:
    mode: str = NORMAL
    enabled: bool = True
    health: str = "healthy"
    cause: str = ""
    pinned: str | None = None
    """A mode set by hand."""
    changes: int = 0


# Commands


@attrs.frozen
class Configure(Command):
    enabled: bool


@attrs.frozen
class ConsiderHealth(Command):
    status: str
    cause: str


@attrs.frozen
class ReduceLoad(Command):
    """The analyzer asks for degraded at least, until the health next changes."""

    reason: str


@attrs.frozen
class Pin(Command):
    """Hold a mode by hand; None lets go."""

    mode: str | None
    reason: str = "by hand"


# Events


@event("modes.configured", 1)
class Configured:
    enabled: bool


@event("modes.health_considered", 1)
class HealthConsidered:
    status: str
    cause: str


@event("modes.pinned", 1)
class Pinned:
    mode: str | None
    reason: str


@event("modes.changed", 1)
class ModeChanged:
    previous: str
    mode: str
    cause: str
