"""A circuit breaker's decisions. The guard trips by itself at once; everything slower is decided here.

The guard and the actor share **generations**: each state the breaker enters has a number, one higher than the last. A
report about an older generation than the current one is stale: it changes nothing, and the guard is told where the
breaker stands. A report about a newer one is believed, for the guard may know what was lost on its way here.
"""

from __future__ import annotations

from collections import Counter
from functools import partial

import attrs

from eventstore.events import event, float_fields
from lrm_actors.domain.backoff import exponential_s
from lrm_actors.domain.behavior import NOTHING, Command, Context, Decision, Effect, Spec, then
from lrm_actors.domain.deadlines import Deadline, deadline
from lrm_actors.errors import CommandRefused

CATEGORY = "breaker"
CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"


@attrs.frozen(field_transformer=float_fields)
class BreakerConfig:
    failure_threshold: int = 5
    """Failures in a row that open it, at least 1."""
    recovery_timeout_s: float = 60.0
    """Seconds open before probes are let through; doubled by each failed probe up to the cap."""
    recovery_timeout_max_s: float = 600.0
    half_open_permits: int = 1
    """Probes at a time."""
    successes_to_close: int = 1
    """Successful probes in a row that close it."""
    probe_lease_s: float = 120.0
    """A probe that has not answered by then loses its permit."""


@attrs.frozen
class BreakerState:
    service: str = ""
    config: BreakerConfig = BreakerConfig()
    configured: bool = False
    """Whether the config came by an event; a breaker's first life takes it from its spec."""
    status: str = CLOSED
    """``closed``, ``open``, ``half_open``."""
    generation: int = 0
    """0 at first; each state it enters has the next number."""
    openings: int = 0
    """Openings in a row without a closing between; exponent of the open time."""
    open_until: Deadline | None = None
    last_failures: tuple[str, ...] = ()
    """What opened it last, and each failed probe since."""
    probe_successes: int = 0
    revision: int = 0
    """Counts the events, so that the guard can tell an older state of the same generation from a newer one."""


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
    """Of the half-open state that began with it."""


@attrs.frozen
class ReportProbe(Command):
    """A probe came back."""

    generation: int
    """Of the half-open state that let it through."""
    ok: bool
    failure: str = ""


@attrs.frozen
class ForceState(Command):
    """By an operator or the analyzer: ``open`` or ``closed``.

    Forced open lasts for ``recovery_timeout_max_s``; then a probe decides.
    """

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
    state: BreakerState


def decide(state: BreakerState, command: Command, ctx: Context) -> Decision:
    """Decide on one command.

    Raises:
        CommandRefused: forced into a state that nobody can force.
    """
    match command:
        case ReportTrip(generation, failures, open_until):
            return _trip(state, generation, failures, open_until)
        case ReportProbeStarted(generation):
            if generation <= state.generation:
                return _tell_guard(state)
            return _become(state, HalfOpened(state.service, generation))
        case ReportProbe(generation, ok, failure):
            if generation < state.generation or (generation == state.generation and state.status != HALF_OPEN):
                return _tell_guard(state)
            return _pass(state, generation) if ok else _fail(state, generation, failure, ctx)
        case ForceState(status, reason):
            return _force(state, status, reason, ctx)
        case Configure(config) if config != state.config or not state.configured:
            return _become(state, Configured(config))
    return NOTHING


def evolve(state: BreakerState, event: object) -> BreakerState:
    """Fold one event."""
    return attrs.evolve(_changed(state, event), revision=state.revision + 1)


def recover(state: BreakerState, ctx: Context, *, config: BreakerConfig | None = None) -> Decision:
    """Tell the guard where the breaker stood: open since when, probing, how long to back off."""
    if config is not None and not state.configured:
        return _become(state, Configured(config))
    return _tell_guard(state)


def spec(service: str, config: BreakerConfig | None = None) -> Spec[BreakerState]:
    """The breaker of one service.

    Args:
        service: its name; the actor is ``breaker/<service>``.
        config: taken when the breaker first comes to life; from then on ``Configure`` changes it, on the record.
    """
    initial = BreakerState(service=service)
    return Spec(f"{CATEGORY}/{service}", initial, decide, evolve, partial(recover, config=config or BreakerConfig()))


def open_time_s(config: BreakerConfig, openings: int) -> float:
    """Seconds that the breaker stays open for the ``openings``-th time in a row, from 1."""
    return exponential_s(openings, config.recovery_timeout_s, config.recovery_timeout_max_s)


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
            return attrs.evolve(opened, open_until=open_until, probe_successes=0)
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
            return attrs.evolve(closed, open_until=None, last_failures=(), probe_successes=0)
    return state


def _half_open(state: BreakerState, generation: int) -> BreakerState:
    """Probing in ``generation``: entered by its first report, whichever that is."""
    if state.status == HALF_OPEN and state.generation == generation:
        return state
    return attrs.evolve(state, status=HALF_OPEN, generation=generation, open_until=None, probe_successes=0)


def _trip(state: BreakerState, generation: int, failures: tuple[str, ...], open_until: Deadline) -> Decision:
    if generation <= state.generation:
        return _tell_guard(state)
    observed = FailuresObserved(state.service, failures)
    return _become(state, observed, Opened(state.service, generation, summary(failures), open_until))


def _pass(state: BreakerState, generation: int) -> Decision:
    passed = ProbeSucceeded(state.service, generation)
    successes = evolve(state, passed).probe_successes
    if successes < state.config.successes_to_close:
        return _become(state, passed)
    probes = "a probe" if successes == 1 else f"{successes} probes"
    return _become(state, passed, Closed(state.service, generation + 1, f"{probes} succeeded"))


def _fail(state: BreakerState, generation: int, failure: str, ctx: Context) -> Decision:
    until = deadline(ctx.now, open_time_s(state.config, state.openings + 1))
    failed = ProbeFailed(state.service, generation, failure)
    return _become(state, failed, Opened(state.service, generation + 1, f"probe failed: {failure}", until))


def _force(state: BreakerState, status: str, reason: str, ctx: Context) -> Decision:
    generation, reason = state.generation + 1, f"forced: {reason}"
    match status:
        case "open":
            until = deadline(ctx.now, state.config.recovery_timeout_max_s)
            return _become(state, Opened(state.service, generation, reason, until))
        case "closed" if state.status == CLOSED:
            return _tell_guard(state)
        case "closed":
            return _become(state, Closed(state.service, generation, reason))
    raise CommandRefused(
        f"a breaker cannot be forced to be {status!r}",
        actor=f"{CATEGORY}/{state.service}",
        hint="force it 'open' or 'closed'",
    )


def _become(state: BreakerState, *events: object) -> Decision:
    """Record these events, then hand the state they lead to to the guard."""
    for fact in events:
        state = evolve(state, fact)
    return then(*events, effects=(PublishBreaker(state.service, state),), reply=state.status)


def _tell_guard(state: BreakerState) -> Decision:
    """Nothing new; but whoever asked did not know it."""
    return then(effects=(PublishBreaker(state.service, state),), reply=state.status)
