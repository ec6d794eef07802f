"""A circuit breaker's decisions. The guard trips by itself at once; everything slower is decided here.

The guard and the actor share **generations**: each state the breaker enters has a number, one higher than the last. A
report about an older generation than the current one is stale: it changes nothing, and the guard is told where the
breaker stands. A report about a newer one is believed, for the guard may know what was lost on its way here.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import NoReturn

import attrs

from eventstore.events import event
from eventstore.frozen import frozen
from lrm_actors.domain.behavior import NOTHING, CancelTimer, Command, Context, Decision, Effect, Spec, StartTimer, then
from lrm_actors.domain.breaker_config import BreakerConfig, check, open_time_s
from lrm_actors.domain.deadlines import Deadline, deadline
from lrm_actors.errors import CommandRefused, SettingsError

CATEGORY = "breaker"
CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"
FORCED_CLOSED, DISABLED, METRICS_ONLY = "forced_closed", "disabled", "metrics_only"
"""What an operator holds it in, for a time: never opens; counts nothing either; counts, and says when it would open."""
HELD = (FORCED_CLOSED, DISABLED, METRICS_ONLY)
AUTO = "auto"
"""Forced into it, whatever is held is let go."""
FORCIBLE = (OPEN, CLOSED, *HELD, AUTO)
HOLD_S = 3600.0
"""Seconds that it is held without a word on how long."""
MAX_HOLD_S = 30 * 86_400.0
HOLD_TIMER = "held"

__all__ = ["BreakerConfig", "BreakerState", "decide", "evolve", "open_time_s", "recover", "spec", "summary"]


@frozen
class BreakerState:
    service: str = ""
    config: BreakerConfig = attrs.field(factory=BreakerConfig)
    configured: bool = False
    """Whether the config came by an event; a breaker's first life takes it from its spec."""
    status: str = CLOSED
    """``closed``, ``open``, ``half_open``, or held: ``forced_closed``, ``disabled``, ``metrics_only``."""
    generation: int = 0
    """0 at first; each state it enters has the next number."""
    openings: int = 0
    """Openings in a row without a closing between; exponent of the open time."""
    open_until: Deadline | None = None
    last_failures: tuple[str, ...] = ()
    """What opened it last, and each failed probe since."""
    probe_successes: int = 0
    held_until: Deadline | None = None
    """When it goes back to closed by itself, while it is held."""
    revision: int = 0
    """Counts the events, so that the guard can tell an older state of the same generation from a newer one."""


# Commands


@frozen
class Configure(Command):
    config: BreakerConfig


@frozen
class ReportTrip(Command):
    """The guard tripped from closed to ``generation`` after these failures."""

    generation: int
    failures: tuple[str, ...]
    """What each failure was, ``timeout: ReadTimeout`` …"""
    open_until: Deadline
    share: str = ""
    """Which share of a window they were, ``12 of 20 calls failed``; empty for failures in a row."""


@frozen
class ReportProbeStarted(Command):
    """The first probe of an open breaker whose time is over went through."""

    generation: int
    """Of the half-open state that began with it."""


@frozen
class ReportProbe(Command):
    """A probe came back."""

    generation: int
    """Of the half-open state that let it through."""
    ok: bool
    failure: str = ""
    retry_after_s: float | None = None
    """What the service asked for as it failed."""


@frozen
class ForceState(Command):
    """By an operator or the analyzer.

    ``open``: for ``for_s``, else for ``recovery_timeout_max_s``; then a probe decides. ``closed``: calls pass from now
    on, and failures count as ever. ``forced_closed``, ``disabled`` and ``metrics_only`` are held for ``for_s``, else an
    hour, and then it is closed. ``auto`` lets go of what is held.
    """

    status: str
    reason: str
    for_s: float | None = None
    """Above 0, and 30 days at most."""


@frozen
class ReportHoldOver(Command):
    """The time that it was held for is over; by the guard, or by the timer."""

    generation: int
    """The one that was held."""


# Events


@event("breaker.configured", 1)
class Configured:
    config: BreakerConfig


@event("breaker.failures_observed", 1)
class FailuresObserved:
    """The failures that tripped it. An observation."""

    service: str
    failures: tuple[str, ...]
    """In a row, or the last of those in a window."""
    share: str = ""
    """Which share of a window they were; empty for failures in a row."""


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


@event("breaker.forced", 1)
class Forced:
    """It is held in a status until its time is over."""

    service: str
    generation: int
    status: str
    """``forced_closed``, ``disabled``, ``metrics_only``."""
    reason: str
    until: Deadline


# Effects


@frozen
class PublishBreaker(Effect):
    """Hand the committed state to the guard. Carried out in memory."""

    service: str
    state: BreakerState


def decide(state: BreakerState, command: Command, ctx: Context) -> Decision:
    """Decide on one command.

    Raises:
        CommandRefused: forced into a state that nobody can force, or configured as it cannot be.
    """
    match command:
        case ReportTrip():
            return _trip(state, command)
        case ReportProbeStarted(generation):
            if generation <= state.generation:
                return _tell_guard(state)
            return _become(state, HalfOpened(state.service, generation))
        case ReportProbe(generation, ok):
            if generation < state.generation or (generation == state.generation and state.status != HALF_OPEN):
                return _tell_guard(state)
            return _pass(state, generation) if ok else _fail(state, command, ctx)
        case ForceState():
            return _force(state, command, ctx)
        case ReportHoldOver(generation):
            if generation != state.generation or state.status not in HELD:
                return _tell_guard(state)
            return _become(state, Closed(state.service, generation + 1, f"{state.status} is over"))
        case Configure(config) if config != state.config or not state.configured:
            try:
                check(config)
            except SettingsError as error:
                _refuse(state, str(error), error.hint)
            return _become(state, Configured(config))
    return NOTHING


def evolve(state: BreakerState, event: object) -> BreakerState:
    """Fold one event."""
    return attrs.evolve(_changed(state, event), revision=state.revision + 1)


def recover(state: BreakerState, ctx: Context, *, config: BreakerConfig | None = None) -> Decision:
    """Tell the guard where the breaker stood: open since when, probing, how long to back off."""
    if config is not None and not state.configured:
        return _become(state, Configured(config))
    if state.held_until is None:
        return _tell_guard(state)
    timer = _hold_timer(state.generation, state.held_until.remaining_s(ctx.now))
    return then(effects=(PublishBreaker(state.service, state), timer), reply=state.status)


def spec(service: str, config: BreakerConfig | None = None) -> Spec[BreakerState]:
    """The breaker of one service.

    Args:
        service: its name; the actor is ``breaker/<service>``.
        config: taken when the breaker first comes to life; from then on ``Configure`` changes it, on the record.
    """
    initial = BreakerState(service=service)
    recovery = partial(recover, config=config or BreakerConfig())
    return Spec(f"{CATEGORY}/{service}", initial, decide, evolve, recovery, state_version=2)


def summary(failures: tuple[str, ...]) -> str:
    """Failures in a row in a few words: ``3 timeouts in a row``, ``3 failures in a row: 2 timeout, 1 status 500``."""
    kinds = Counter(failure.partition(":")[0] for failure in failures)
    plural = "" if len(failures) == 1 else "s"
    if set(kinds) == {"timeout"}:
        return f"{len(failures)} timeout{plural} in a row"
    named = [f"{count} {kind}" for kind, count in kinds.most_common(3)]
    return f"{len(failures)} failure{plural} in a row: {', '.join(named)}"


def _changed(state: BreakerState, event: object) -> BreakerState:
    match event:
        case Configured(config):
            return attrs.evolve(state, config=config, configured=True)
        case FailuresObserved(_, failures):
            return attrs.evolve(state, last_failures=failures)
        case Opened(_, generation, _, open_until):
            opened = attrs.evolve(state, status=OPEN, generation=generation, openings=state.openings + 1)
            return attrs.evolve(opened, open_until=open_until, held_until=None, probe_successes=0)
        case HalfOpened(_, generation):
            return _half_open(state, generation)
        case ProbeFailed(_, generation, failure):
            failures = (*state.last_failures, failure)[-state.config.failure_threshold :]
            return attrs.evolve(_half_open(state, generation), last_failures=failures)
        case ProbeSucceeded(_, generation):
            probing = _half_open(state, generation)
            return attrs.evolve(probing, probe_successes=probing.probe_successes + 1)
        case Closed(_, generation):
            closed = attrs.evolve(state, status=CLOSED, generation=generation, openings=0)
            return attrs.evolve(closed, open_until=None, held_until=None, last_failures=(), probe_successes=0)
        case Forced(_, generation, status, _, until):
            held = attrs.evolve(state, status=status, generation=generation, openings=0, held_until=until)
            return attrs.evolve(held, open_until=None, last_failures=(), probe_successes=0)
    return state


def _half_open(state: BreakerState, generation: int) -> BreakerState:
    """Probing in ``generation``: entered by its first report, whichever that is."""
    if state.status == HALF_OPEN and state.generation == generation:
        return state
    probing = attrs.evolve(state, status=HALF_OPEN, generation=generation, probe_successes=0)
    return attrs.evolve(probing, open_until=None, held_until=None)


def _trip(state: BreakerState, trip: ReportTrip) -> Decision:
    if trip.generation <= state.generation:
        return _tell_guard(state)
    observed = FailuresObserved(state.service, trip.failures, trip.share)
    reason = trip.share or summary(trip.failures)
    return _become(state, observed, Opened(state.service, trip.generation, reason, trip.open_until))


def _pass(state: BreakerState, generation: int) -> Decision:
    passed = ProbeSucceeded(state.service, generation)
    successes = evolve(state, passed).probe_successes
    if successes < state.config.successes_to_close:
        return _become(state, passed)
    probes = "a probe" if successes == 1 else f"{successes} probes"
    return _become(state, passed, Closed(state.service, generation + 1, f"{probes} succeeded"))


def _fail(state: BreakerState, probe: ReportProbe, ctx: Context) -> Decision:
    open_s = open_time_s(state.config, state.openings + 1, random=ctx.random, retry_after_s=probe.retry_after_s)
    failed = ProbeFailed(state.service, probe.generation, probe.failure)
    reason = f"probe failed: {probe.failure}"
    return _become(state, failed, Opened(state.service, probe.generation + 1, reason, deadline(ctx.now, open_s)))


def _force(state: BreakerState, force: ForceState, ctx: Context) -> Decision:
    generation, reason = state.generation + 1, f"forced: {force.reason}"
    if force.for_s is not None and not 0.0 < force.for_s <= MAX_HOLD_S:
        _refuse(state, f"a breaker cannot be forced for {force.for_s!r} s", "for_s is above 0, and 30 days at most")
    match force.status:
        case "open":
            open_s = state.config.recovery_timeout_max_s if force.for_s is None else float(force.for_s)
            return _become(state, Opened(state.service, generation, reason, deadline(ctx.now, open_s)))
        case "closed" if state.status == CLOSED:
            return _tell_guard(state)
        case "closed":
            return _become(state, Closed(state.service, generation, reason))
        case "auto" if state.status in HELD:
            return _become(state, Closed(state.service, generation, reason))
        case "auto":
            return _tell_guard(state)
        case "forced_closed" | "disabled" | "metrics_only":
            hold_s = HOLD_S if force.for_s is None else float(force.for_s)
            held = Forced(state.service, generation, force.status, reason, deadline(ctx.now, hold_s))
            state = evolve(state, held)
            effects = (PublishBreaker(state.service, state), _hold_timer(generation, hold_s))
            return then(held, effects=effects, reply=state.status)
    return _refuse(
        state,
        f"a breaker cannot be forced to be {force.status!r}",
        f"force it {', '.join(map(repr, FORCIBLE[:-1]))} or {AUTO!r}",
    )


def _refuse(state: BreakerState, message: str, hint: str) -> NoReturn:
    raise CommandRefused(message, actor=f"{CATEGORY}/{state.service}", hint=hint)


def _hold_timer(generation: int, delay_s: float) -> StartTimer:
    return StartTimer(HOLD_TIMER, delay_s, ReportHoldOver(generation))


def _become(state: BreakerState, *events: object) -> Decision:
    """Record these events, then hand the state they lead to to the guard."""
    was_held = state.held_until is not None
    for fact in events:
        state = evolve(state, fact)
    published = PublishBreaker(state.service, state)
    let_go = (CancelTimer(HOLD_TIMER),) if was_held and state.held_until is None else ()
    return then(*events, effects=(published, *let_go), reply=state.status)


def _tell_guard(state: BreakerState) -> Decision:
    """Nothing new; but whoever asked did not know it."""
    return then(effects=(PublishBreaker(state.service, state),), reply=state.status)
