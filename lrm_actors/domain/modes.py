"""The operation mode: which one the health asks for, and what each mode changes."""

from __future__ import annotations

import math

import attrs

from eventstore.events import event
from eventstore.frozen import frozen
from lrm_actors.domain.behavior import (
    NOTHING,
    CancelTimer,
    Command,
    Context,
    Decision,
    Effect,
    RecoveryContext,
    Spec,
    StartTimer,
    then,
)
from lrm_actors.domain.deadlines import Deadline, deadline
from lrm_actors.errors import CommandRefused

NAME = "modes"
NORMAL, DEGRADED, MINIMAL, RECOVERY = "normal", "degraded", "minimal", "recovery"
MODE_FOR_HEALTH = {"healthy": NORMAL, "warning": DEGRADED, "critical": MINIMAL, "failing": RECOVERY}
CRITICALITIES = ("sheddable", "sheddable_plus", "critical", "critical_plus")
"""Least important first, as in the SRE book."""
PIN_TIMER, REDUCED_TIMER = "pin", "reduced"
REDUCED_S = 600.0
"""How long the load stays reduced after a failure that asked for it, where the health says nothing of it."""
PIN_S = 3600.0
"""How long a mode is held by hand, unless somebody says for how long."""
MAX_PIN_S = 7 * 86_400.0


@frozen
class ModeProfile:
    """What a mode changes."""

    monitoring_factor: float
    """Multiplies the user's monitoring interval."""
    checkpoint_factor: float | None
    """Multiplies the user's checkpoint interval; None: emergency checkpoints only."""
    least_criticality: str
    """Work below this criticality is shed."""
    verbose: bool = False
    """Everything that happens is logged, and not only what is worth a line in normal operation."""


PROFILES = {
    NORMAL: ModeProfile(1.0, 1.0, "sheddable"),
    DEGRADED: ModeProfile(1.5, 1.5, "sheddable_plus"),
    MINIMAL: ModeProfile(3.0, None, "critical"),
    RECOVERY: ModeProfile(1.0, 0.5, "critical", verbose=True),
}


RUNS = {
    mode: frozenset(CRITICALITIES[CRITICALITIES.index(profile.least_criticality) :])
    for mode, profile in PROFILES.items()
}
"""The criticalities whose work runs in each mode: looked up, and not worked out, for each piece of work."""


@frozen
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
    why: str = ""
    """The cause of the last change of mode; empty while it was never changed."""
    pin_reason: str = ""
    pinned_until: Deadline | None = None
    """When the pin lets go by itself; None for one that does not."""
    reduced_until: Deadline | None = None
    """When the load is reduced no more; None: once the health changes."""

    @property
    def runs(self) -> frozenset[str]:
        """The criticalities whose work runs."""
        return RUNS[self.mode]


# Commands


@frozen
class Configure(Command):
    enabled: bool


@frozen
class ConsiderHealth(Command):
    status: str
    cause: str


@frozen
class ReduceLoad(Command):
    """The analyzer asks for degraded at least, for a while, or until the health next changes."""

    reason: str


@frozen
class ReducedOver(Command):
    """The time of a reduced load has passed."""

    until: Deadline


@frozen
class Pin(Command):
    """Hold a mode by hand; None lets go."""

    mode: str | None
    reason: str = "by hand"
    for_s: float | None = None
    """Seconds after which it lets go by itself; None: never."""


@frozen
class PinOver(Command):
    """The time of a pin has passed."""

    until: Deadline


@frozen
class ReportReclaimed(Command):
    """Something was asked to give memory back."""

    name: str
    freed_bytes: int
    needed_bytes: int
    took_s: float
    error: str = ""


@frozen
class ReportRestartAsked(Command):
    """Nothing gave enough memory back: the process is to be replaced."""

    reason: str


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
    """Degraded at least, until the health changes or the time is over."""

    reason: str
    """Empty: no more."""
    until: Deadline | None = None


@event("modes.pinned", 1)
class Pinned:
    mode: str | None
    reason: str
    until: Deadline | None = None
    """When it lets go by itself."""


@event("modes.memory_reclaimed", 1)
class MemoryReclaimed:
    """An observation: something of the host was asked to give memory back, and this is what it freed."""

    name: str
    freed_bytes: int
    needed_bytes: int
    """What is missing still; 0 when it was enough."""
    took_s: float
    error: str = ""


@event("modes.restart_asked", 1)
class RestartAsked:
    """Nothing gave enough memory back: the host is asked to replace its process, after an emergency checkpoint."""

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
        case ReduceLoad(reason) if state.enabled and _may_reduce(state, ctx):
            until = deadline(ctx.now, REDUCED_S)
            timer = StartTimer(REDUCED_TIMER, REDUCED_S, ReducedOver(until))
            return _settle(state, LoadReduced(reason, until), reason, (timer,))
        case ReducedOver(until) if until == state.reduced_until:
            left_s = until.remaining_s(ctx.now)
            if left_s > 0:
                return then(effects=(StartTimer(REDUCED_TIMER, left_s, command),))
            return _settle(state, LoadReduced(""), f"reduced for {until.delay_s:g} s: {state.reduced}")
        case Pin(mode, reason, for_s) if mode != state.pinned or for_s is not None:
            return _pin(state, mode, reason, for_s, ctx)
        case ReportReclaimed(name, freed, needed, took_s, error):
            return then(MemoryReclaimed(name, freed, needed, took_s, error))
        case ReportRestartAsked(reason):
            return then(RestartAsked(reason))
        case PinOver(until) if until == state.pinned_until:
            left_s = until.remaining_s(ctx.now)
            if left_s > 0:  # the wall clock went back over a reboot
                return then(effects=(StartTimer(PIN_TIMER, left_s, command),))
            return _settle(state, Pinned(None, f"held for {until.delay_s:g} s"), f"no longer held: {state.pin_reason}")
    return NOTHING


def _may_reduce(state: ModesState, ctx: Context) -> bool:
    """Whether it is not reduced, or for less than half of its time yet: not each failure of many is told."""
    until = state.reduced_until
    return not state.reduced or until is None or until.remaining_s(ctx.now) < REDUCED_S / 2


def _pin(state: ModesState, mode: str | None, reason: str, for_s: float | None, ctx: Context) -> Decision:
    """Hold a mode, or let go of it."""
    if mode is not None:
        _check("mode", mode, tuple(PROFILES))
    if for_s is not None and not (math.isfinite(for_s) and 0 < for_s <= MAX_PIN_S):
        hint = f"more than 0 and at most {MAX_PIN_S:g} seconds"
        raise CommandRefused(f"a mode cannot be held for {for_s} s", actor=NAME, hint=hint)
    until = deadline(ctx.now, for_s) if mode is not None and for_s is not None else None
    timer = CancelTimer(PIN_TIMER) if until is None else StartTimer(PIN_TIMER, until.delay_s, PinOver(until))
    return _settle(state, Pinned(mode, reason, until), reason, (timer,))


def recover(state: ModesState, ctx: RecoveryContext) -> Decision:
    """Let go of a pin in time, and of a reduced load, also of those that another process set."""
    timers: list[Effect] = []
    if (pinned := state.pinned_until) is not None:
        timers.append(StartTimer(PIN_TIMER, pinned.remaining_s(ctx.now), PinOver(pinned)))
    if (reduced := state.reduced_until) is not None:
        timers.append(StartTimer(REDUCED_TIMER, reduced.remaining_s(ctx.now), ReducedOver(reduced)))
    return then(effects=timers) if timers else NOTHING


def evolve(state: ModesState, event: object) -> ModesState:
    """Fold one event."""
    match event:
        case Configured(enabled):
            return attrs.evolve(state, enabled=enabled)
        case HealthConsidered(status, cause):
            reduced, until = (state.reduced, state.reduced_until) if status == state.health else ("", None)
            return attrs.evolve(state, health=status, cause=cause, reduced=reduced, reduced_until=until)
        case LoadReduced(reason, until):
            return attrs.evolve(state, reduced=reason, reduced_until=until)
        case Pinned(mode, reason, until):
            return attrs.evolve(state, pinned=mode, pin_reason=reason if mode is not None else "", pinned_until=until)
        case ModeChanged(_, mode, cause):
            return attrs.evolve(state, mode=mode, changes=state.changes + 1, why=cause)
    return state


def spec() -> Spec[ModesState]:
    """The modes actor."""
    return Spec(NAME, ModesState(), decide, evolve, recover, state_version=3)


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
    try:
        if criticality in RUNS[state.mode]:
            return True
    except TypeError:  # what has no hash is no criticality either
        pass
    _check("criticality", criticality, CRITICALITIES)
    return False


def _settle(state: ModesState, fact: object, cause: str, effects: tuple[Effect, ...] = ()) -> Decision:
    """Record a fact, and the change of mode that follows from it, if any."""
    mode = wanted(evolve(state, fact))
    if mode == state.mode:
        return then(fact, reply=mode, effects=effects)
    return then(fact, ModeChanged(state.mode, mode, cause), reply=mode, effects=effects)


def _because(status: str, cause: str) -> str:
    return f"health {status}: {cause}" if cause else f"health {status}"


def _check(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        choices = ", ".join(allowed)
        raise CommandRefused(f"there is no {what} {value!r}", actor=NAME, hint=f"{what} is one of {choices}")
