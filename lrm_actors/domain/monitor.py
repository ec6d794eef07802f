"""The monitor's decisions: from samples and heartbeats to health status, with separate enter and leave thresholds.

The health is the worst of what the signals say, or failing while several components are down; it goes down one status
at a time. Timers only ask, and store nothing: so what is found out, a sample or a missed heartbeat, is the root of all
that follows from it, and not the tick that looked. The parts stand in ``domain.monitoring``; here is what others use.
"""

from __future__ import annotations

import math

from eventstore.records import Instant
from lrm_actors.domain.behavior import (
    NOTHING,
    START,
    Command,
    Context,
    Decision,
    Effect,
    RecoveryContext,
    Spec,
    StartTimer,
    then,
)
from lrm_actors.domain.exits import describe_exit
from lrm_actors.domain.health import (
    CRITICAL,
    FAILING,
    HEALTHY,
    WARNING,
    MonitorConfig,
    is_worse,
    judge,
    marked,
    reached,
    silence,
    worst,
)
from lrm_actors.domain.metrics import Metrics, sane
from lrm_actors.domain.modes import PROFILES
from lrm_actors.domain.monitoring.commands import (
    BeginTrends,
    CheckHeartbeats,
    Configure,
    ForgetDown,
    HeartbeatCheckDue,
    NoteCheckpoints,
    NoteComponentFailed,
    NoteComponentRestarted,
    NoteMode,
    Observation,
    RecordObservations,
    RecordPressure,
    RecordSample,
    SampleDue,
    SampleMissing,
    TakeSample,
)
from lrm_actors.domain.monitoring.events import (
    CheckpointsNoted,
    ComponentExited,
    ComponentFailureNoted,
    ComponentRestartNoted,
    ComponentResumed,
    Configured,
    DownForgotten,
    HealthChanged,
    HeartbeatMissed,
    ModeNoted,
    PressureSeen,
    Sampled,
    SampleOverdue,
    TrendsBegun,
)
from lrm_actors.domain.monitoring.folding import MAX_COMPONENTS, MonitorState, evolve
from lrm_actors.domain.monitoring.status import change_of_status, recent_failures
from lrm_actors.domain.signals import BY_NAME, OF_MEMORY
from lrm_actors.domain.trends import restarted, telling
from lrm_actors.errors import CommandRefused

__all__ = [
    "BEGIN_TIMER",
    "CRITICAL",
    "FAILING",
    "FORGET_TIMER",
    "HEALTHY",
    "HEARTBEAT_TIMER",
    "MAX_COMPONENTS",
    "MISSING_TIMER",
    "NAME",
    "OVERDUE_AT_LEAST_S",
    "OVERDUE_INTERVALS",
    "SAMPLE_TIMER",
    "WARNING",
    "BeginTrends",
    "CheckHeartbeats",
    "CheckpointsNoted",
    "ComponentExited",
    "ComponentFailureNoted",
    "ComponentRestartNoted",
    "ComponentResumed",
    "Configure",
    "Configured",
    "DownForgotten",
    "ForgetDown",
    "HealthChanged",
    "HeartbeatCheckDue",
    "HeartbeatMissed",
    "Metrics",
    "ModeNoted",
    "MonitorConfig",
    "MonitorState",
    "NoteCheckpoints",
    "NoteComponentFailed",
    "NoteComponentRestarted",
    "NoteMode",
    "Observation",
    "PressureSeen",
    "RecordObservations",
    "RecordPressure",
    "RecordSample",
    "SampleDue",
    "SampleMissing",
    "SampleOverdue",
    "Sampled",
    "TakeSample",
    "TrendsBegun",
    "changes",
    "decide",
    "evolve",
    "interval_s",
    "recent_failures",
    "recover",
    "spec",
    "worsens",
]

NAME = "monitor"
SAMPLE_TIMER, HEARTBEAT_TIMER, MISSING_TIMER, FORGET_TIMER = "sample", "heartbeats", "sample_missing", "forget_down"
BEGIN_TIMER = "begin_trends"
OVERDUE_INTERVALS, OVERDUE_AT_LEAST_S = 2.5, 5.0
"""A sample is overdue when it was asked for this many intervals ago, and this many seconds."""


# Decide


def decide(state: MonitorState, command: Command, ctx: Context) -> Decision:
    """What shall happen on one command."""
    match command:
        case SampleDue(waiting_since_s):
            return _ask_for_sample(state, waiting_since_s, ctx)
        case SampleMissing(waited_s):
            silent = silence(state.marks, "")
            unknown = judge(state.config, silent, state.levels, state.marks)
            overdue = SampleOverdue(waited_s, unknown, ctx.now.monotonic_s)
            return NOTHING if unknown == state.levels else _with_health(state, overdue, ctx)
        case RecordSample(metrics):
            metrics = sane(metrics)
            marks = marked(state.config, state.marks, metrics, ctx.now.monotonic_s)
            levels = judge(state.config, metrics, state.levels, marks)
            return _with_health_and_trends(state, Sampled(metrics, ctx.now.monotonic_s, levels), ctx)
        case RecordPressure(metrics):
            return _consider_pressure(state, sane(metrics), ctx)
        case HeartbeatCheckDue(due_s):
            check = CheckHeartbeats(ctx.now.monotonic_s if due_s is None else due_s)
            return then(effects=(check, _heartbeat_timer(state.config, ctx)))
        case RecordObservations():
            return _observe(state, command, ctx)
        case NoteComponentFailed(component, at_s, boot_id):
            last_s = state.failed_at_s.get(component, -math.inf) if boot_id == state.boot_id else -math.inf
            if boot_id != ctx.now.boot_id or at_s <= last_s:
                return NOTHING  # before the last reboot, or told already
            return _with_health(state, ComponentFailureNoted(component, at_s, boot_id), ctx, only_worse=True)
        case NoteComponentRestarted(component):
            well = component not in state.failed_at_s or component in state.well_again
            if well and component not in state.down:
                return NOTHING
            return _with_health(state, ComponentRestartNoted(component), ctx)
        case NoteCheckpoints(reason):
            return NOTHING if reason == state.checkpoints else _with_health(state, CheckpointsNoted(reason), ctx)
        case BeginTrends():
            return then(TrendsBegun()) if restarted(state.trends) != state.trends else NOTHING
        case ForgetDown():
            return then(DownForgotten(tuple(state.down))) if state.down else NOTHING
        case NoteMode(mode):
            if mode not in PROFILES:
                raise CommandRefused(f"there is no mode {mode!r}", actor=NAME, hint=f"one of {', '.join(PROFILES)}")
            if mode == state.mode:
                return NOTHING
            return then(ModeNoted(mode), effects=(_sample_timer(state.config, mode, ctx),))
        case Configure(config):
            if config == state.config:
                return NOTHING
            # A new threshold is judged by a fresh sample, and a new interval holds at once.
            return then(Configured(config), effects=_start(config, state.mode, ctx))
    raise CommandRefused(f"the monitor does not know {type(command).__name__}", actor=NAME)


def _ask_for_sample(state: MonitorState, waiting_since_s: float | None, ctx: Context) -> Decision:
    """Ask for the next sample; when the ones before never came, say so to ourselves, as a message of its own."""
    now_s = ctx.now.monotonic_s
    since_s = now_s if waiting_since_s is None else waiting_since_s
    if state.sampled_at_s is not None and since_s <= state.sampled_at_s <= now_s:
        since_s = now_s
    timer = _sample_timer(state.config, state.mode, ctx, waiting_since_s=since_s)
    limit_s = max(OVERDUE_INTERVALS * interval_s(state.config, state.mode), OVERDUE_AT_LEAST_S)
    if now_s - since_s < limit_s:
        return then(effects=(TakeSample(), timer))
    return then(effects=(TakeSample(), timer, StartTimer(MISSING_TIMER, 0.0, SampleMissing(now_s - since_s))))


def _consider_pressure(state: MonitorState, metrics: Metrics, ctx: Context) -> Decision:
    """What is worse than is known holds at once. What is better waits for a sample, which sees more."""
    now_s = ctx.now.monotonic_s
    worse = _worse(state, metrics, now_s)
    if not worse:
        return NOTHING
    return _with_health(state, PressureSeen(metrics, now_s, {**state.levels, **worse}), ctx)


def _observe(state: MonitorState, command: RecordObservations, ctx: Context) -> Decision:
    """What is new about the components, at most one thing at a time.

    Events of one decision name each other as their cause. So when several components fell together, each is sent back
    alone, and has a root of its own.
    """
    gap_s = command.gap_s
    news = [(one, fact) for one in command.observations if (fact := _news(state, one, gap_s)) is not None]
    if len(news) > 1:
        alone = ((one.component, RecordObservations((one,), gap_s)) for one, _ in news)
        return then(effects=[StartTimer(f"observed/{name}", 0.0, again) for name, again in alone])
    if not news:
        return then(*change_of_status(state, ctx))
    fact = news[0][1]
    return _with_health(state, fact, ctx) if isinstance(fact, ComponentResumed) else then(fact)


def changes(state: MonitorState, seen: RecordObservations, now: Instant) -> bool:
    """Whether what was seen of the components, at this moment, changes anything: what is known of them, or the health.

    For whoever looked, so that nobody is told of what is as it was.
    """
    decision = _observe(state, seen, Context(now, "", ""))
    return bool(decision.events or decision.effects)


def _news(state: MonitorState, one: Observation, gap_s: float) -> object | None:
    was = state.down.get(one.component)
    if one.exited:
        seen = one.seen or describe_exit(one.exit_status)
        return None if was else ComponentExited(one.component, one.exit_status, seen)
    age_s, timeout_s = one.heartbeat_age_s, one.heartbeat_timeout_s
    if age_s is None or timeout_s is None or age_s <= timeout_s:
        return ComponentResumed(one.component, was) if was else None
    # While this very process was suspended, heartbeats piled up unread: look again before anything is said of them.
    if was or gap_s >= timeout_s / 2:
        return None
    return HeartbeatMissed(one.component, age_s, timeout_s)


def recover(state: MonitorState, ctx: RecoveryContext) -> Decision:
    """Sample at once, and start both timers.

    What was down when the last process ended is forgotten: in this one it may be well, or down for another reason.
    """
    forget = (StartTimer(FORGET_TIMER, 0.0, ForgetDown()),) if state.down else ()
    if ctx.why == START and restarted(state.trends) != state.trends:
        forget = (*forget, StartTimer(BEGIN_TIMER, 0.0, BeginTrends()))
    return then(effects=(*forget, *_start(state.config, state.mode, ctx)))


def spec() -> Spec[MonitorState]:
    """The monitor. Its configuration comes with ``Configure`` after the start, so that it stands in the log."""
    return Spec(NAME, MonitorState(), decide, evolve, recover, state_version=5)


# Helpers


def interval_s(config: MonitorConfig, mode: str) -> float:
    """Seconds between samples in a mode."""
    return config.interval_s * PROFILES[mode].monitoring_factor


def worsens(state: MonitorState, metrics: Metrics, now_s: float) -> bool:
    """Whether what was found of memory between two samples, at this monotonic time, is worse than what is known."""
    return not _is_calm(state.config, metrics) and bool(_worse(state, sane(metrics), now_s))


def _is_calm(config: MonitorConfig, metrics: Metrics) -> bool:
    """Whether all of memory is known and below every threshold; nothing can be worse then, and that is cheap to see."""
    known = [(signal, signal.read(metrics)) for signal in map(BY_NAME.__getitem__, OF_MEMORY)]
    return (
        not metrics.unknown
        and metrics.memory_percent is not None
        and all(value is None or value < min(signal.thresholds(config)) for signal, value in known)
    )


def _worse(state: MonitorState, metrics: Metrics, now_s: float) -> dict[str, str]:
    """The rungs of memory that are worse than they were, or as bad once more."""
    marks = marked(state.config, state.marks, metrics, now_s, only=OF_MEMORY)
    judged = judge(state.config, metrics, state.levels, marks)
    again = reached(state.config, (state.marks, marks), (state.levels, judged), OF_MEMORY)
    return {
        name: rung
        for name, rung in judged.items()
        if name in again
        or (name in OF_MEMORY and is_worse(worst({name: rung}), worst({name: state.levels.get(name, HEALTHY)})))
    }


def _with_health(state: MonitorState, fact: object, ctx: Context, *, only_worse: bool = False) -> Decision:
    """A fact, and after it, caused by it, what it makes of the health."""
    after = evolve(state, fact)
    changes = (
        one for one in change_of_status(after, ctx, state) if not only_worse or is_worse(one.status, one.previous)
    )
    return then(fact, *changes, folded=after)


def _with_health_and_trends(state: MonitorState, sampled: Sampled, ctx: Context) -> Decision:
    """A sample, and what it makes of the health, or else of the trends: those can wait for the next sample."""
    after = evolve(state, sampled)
    changes = change_of_status(after, ctx, state)
    news = None if changes else telling.untold(after.trends, state.told)
    return then(sampled, *changes, *(() if news is None else (news,)), folded=after)  # it is dear: all trends are in it


def _start(config: MonitorConfig, mode: str, ctx: Context) -> tuple[Effect, ...]:
    return TakeSample(), _sample_timer(config, mode, ctx), _heartbeat_timer(config, ctx)


def _sample_timer(
    config: MonitorConfig, mode: str, ctx: Context, *, waiting_since_s: float | None = None
) -> StartTimer:
    since_s = ctx.now.monotonic_s if waiting_since_s is None else waiting_since_s
    return StartTimer(SAMPLE_TIMER, interval_s(config, mode), SampleDue(since_s))


def _heartbeat_timer(config: MonitorConfig, ctx: Context) -> StartTimer:
    due_s = ctx.now.monotonic_s + config.heartbeat_check_s
    return StartTimer(HEARTBEAT_TIMER, config.heartbeat_check_s, HeartbeatCheckDue(due_s))
