"""The operation mode: which one the health asks for, and what each mode changes."""

from __future__ import annotations

import attrs

from eventstore.events import event
from lrm_actors.domain.behavior import NOTHING, Command, Context, Decision, Spec, then
from lrm_actors.errors import CommandRefused

NAME = "modes"
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
    """Off: the mode stays normal whatever happens."""
    health: str = "healthy"
    cause: str = ""
    """Why the health is what it is."""
    reduced: str = ""
    """Why the load was reduced besides; empty when it was not."""
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


@event("modes.load_reduced", 1)
class LoadReduced:
    """Degraded at least, until the health changes."""

    reason: str


@event("modes.pinned", 1)
class Pinned:
    mode: str | None
    reason: str


@event("modes.changed", 1)
class ModeChanged:
    previous: str
    mode: str
    cause: str


def decide(state: ModesState, command: Command, ctx: Context) -> Decision:
    """Decide on one command.

    Raises:
        CommandRefused: there is no such health status or mode.
    """
    match command:
        case Configure(enabled) if enabled != state.enabled:
            return _settle(state, Configured(enabled), f"modes switched {'on' if enabled else 'off'}")
        case ConsiderHealth(status, cause) if (status, cause) != (state.health, state.cause):
            _check("health status", status, tuple(MODE_FOR_HEALTH))
            return _settle(state, HealthConsidered(status, cause), _because(status, cause))
        case ReduceLoad(reason) if state.enabled and not state.reduced:
            return _settle(state, LoadReduced(reason), reason)
        case Pin(mode, reason) if mode != state.pinned:
            if mode is not None:
                _check("mode", mode, tuple(PROFILES))
            return _settle(state, Pinned(mode, reason), reason)
    return NOTHING


def evolve(state: ModesState, event: object) -> ModesState:
    """Fold one event."""
    match event:
        case Configured(enabled):
            return attrs.evolve(state, enabled=enabled)
        case HealthConsidered(status, cause):
            reduced = state.reduced if status == state.health else ""
            return attrs.evolve(state, health=status, cause=cause, reduced=reduced)
        case LoadReduced(reason):
            return attrs.evolve(state, reduced=reason)
        case Pinned(mode):
            return attrs.evolve(state, pinned=mode)
        case ModeChanged(_, mode):
            return attrs.evolve(state, mode=mode, changes=state.changes + 1)
    return state


def spec() -> Spec[ModesState]:
    """The modes actor."""
    return Spec(NAME, ModesState(), decide, evolve)


def wanted(state: ModesState) -> str:
    """The mode that everything known asks for: a pin before the health, and off before both."""
    if not state.enabled:
        return NORMAL
    if state.pinned is not None:
        return state.pinned
    mode = MODE_FOR_HEALTH[state.health]
    return DEGRADED if state.reduced and mode == NORMAL else mode


def should_run(state: ModesState, criticality: str = "critical") -> bool:
    """Whether work of this criticality runs in the current mode.

    Raises:
        CommandRefused: there is no such criticality.
    """
    _check("criticality", criticality, CRITICALITIES)
    least = PROFILES[state.mode].least_criticality
    return CRITICALITIES.index(criticality) >= CRITICALITIES.index(least)


def _settle(state: ModesState, fact: object, cause: str) -> Decision:
    """Record a fact, and the change of mode that follows from it, if any."""
    mode = wanted(evolve(state, fact))
    if mode == state.mode:
        return then(fact, reply=mode)
    return then(fact, ModeChanged(state.mode, mode, cause), reply=mode)


def _because(status: str, cause: str) -> str:
    return f"health {status}: {cause}" if cause else f"health {status}"


def _check(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        choices = ", ".join(allowed)
        raise CommandRefused(f"there is no {what} {value!r}", actor=NAME, hint=f"{what} is one of {choices}")
