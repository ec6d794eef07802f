"""The analyzer's decisions: what a failure is, and which recovery suits it.

It acts on nothing itself: the recovery it chose stands in the log, and the wiring hands it to whoever carries it out.
"""

from __future__ import annotations

import attrs

from eventstore.events import event
from lrm_actors.domain import classify as kinds
from lrm_actors.domain.behavior import NOTHING, Command, Context, Decision, Spec, then
from lrm_actors.domain.classify import FailureFacts, classify, fingerprint
from lrm_actors.errors import CommandRefused

__all__ = ["FailureFacts"]  # spoken of with the analyzer

NAME = "analyzer"
RESTART_COMPONENT = "restart_component"
RETRY_WITH_BACKOFF = "retry_with_backoff"
WAIT_FOR_BREAKER = "wait_for_breaker"
CLEAR_CACHES = "clear_caches"
REDUCE_LOAD = "reduce_load"
CLEAN_UP_CHECKPOINTS = "clean_up_checkpoints"
EMERGENCY_CHECKPOINT = "emergency_checkpoint"
STOP_AND_REPORT = "stop_and_report"
LEAVE_ALONE = "leave_alone"
"""It was no failure: leave it to whoever caused it."""
STRATEGIES = (
    RESTART_COMPONENT,
    RETRY_WITH_BACKOFF,
    WAIT_FOR_BREAKER,
    CLEAR_CACHES,
    REDUCE_LOAD,
    CLEAN_UP_CHECKPOINTS,
    EMERGENCY_CHECKPOINT,
    STOP_AND_REPORT,
    LEAVE_ALONE,
)
RECENT = 50
"""Failures remembered one by one."""
IN_A_ROW_WITHIN_S = 300.0
"""Seconds after which the next failure of a component does not count as the same trouble."""
MAX_STREAKS = 256
"""Components whose failures in a row are counted; the one that failed longest ago is forgotten first."""


@attrs.frozen
class FailureSeen:
    """One remembered failure."""

    at_s: float
    component: str
    category: str
    fingerprint: str
    message: str


@attrs.frozen
class Streak:
    """Failures of one category that one component had in a row."""

    category: str
    count: int
    last_s: float
    boot_id: str


@attrs.frozen
class AnalyzerState:
    auto_recovery: bool = True
    recent: tuple[FailureSeen, ...] = ()
    """The newest 50."""
    counts: dict[str, int] = attrs.Factory(dict)
    """Failures per category since the log began."""
    streaks: dict[str, Streak] = attrs.Factory(dict)
    """By component, the one that failed last at the end. A recovery ends its streak."""
    recoveries: int = 0
    """Components that came back."""
    given_up: int = 0
    """Components that did not."""
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
    emergency_checkpoint: bool = False
    """The agent's state is worth saving before anything else is tried."""


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


# Decide


def decide(state: AnalyzerState, command: Command, ctx: Context) -> Decision:
    """What shall happen on one command."""
    match command:
        case RecordFailure(facts):
            return _record(state, facts, ctx)
        case NoteRecovery(component, ok):
            return then(RecoveryFinished(component, ok))
        case Configure(auto_recovery):
            return NOTHING if auto_recovery == state.auto_recovery else then(Configured(auto_recovery))
    raise CommandRefused(f"the analyzer does not know {type(command).__name__}", actor=NAME)


def _record(state: AnalyzerState, facts: FailureFacts, ctx: Context) -> Decision:
    category = classify(facts)
    if category == kinds.CANCELLED:
        # Whoever cancels means it; nothing failed, and nothing is to be recovered.
        return then(reply={"category": category, "strategy": LEAVE_ALONE, "acted": False})
    recorded = FailureRecorded(
        component=facts.component,
        category=category,
        fingerprint=fingerprint(facts, category),
        message=facts.message,
        facts=facts,
        at_s=ctx.now.monotonic_s,
        boot_id=ctx.now.boot_id,
    )
    in_a_row = evolve(state, recorded).streaks[facts.component].count
    strategy, reason = choose(category, facts, in_a_row)
    reply = {"category": category, "strategy": strategy, "acted": state.auto_recovery}
    if not state.auto_recovery:
        return then(recorded, RecoveryWithheld(facts.component, category, strategy, reason), reply=reply)
    save = category in SAVED_FIRST or strategy in (EMERGENCY_CHECKPOINT, STOP_AND_REPORT)
    return then(recorded, RecoveryChosen(facts.component, category, strategy, reason, save), reply=reply)


# Evolve


def evolve(state: AnalyzerState, event: object) -> AnalyzerState:
    """What one event changes."""
    match event:
        case FailureRecorded(component, category, mark, message, _, at_s, boot_id):
            seen = FailureSeen(at_s, component, category, mark, message)
            return attrs.evolve(
                state,
                recent=(*state.recent, seen)[-RECENT:],
                counts={**state.counts, category: state.counts.get(category, 0) + 1},
                streaks=_with_failure(state.streaks, event),
                boot_id=boot_id,
            )
        case RecoveryFinished(component, ok):
            streaks = {name: streak for name, streak in state.streaks.items() if not (ok and name == component)}
            recoveries, given_up = state.recoveries + ok, state.given_up + (not ok)
            return attrs.evolve(state, streaks=streaks, recoveries=recoveries, given_up=given_up)
        case Configured(auto_recovery):
            return attrs.evolve(state, auto_recovery=auto_recovery)
    return state


def _with_failure(streaks: dict[str, Streak], event: FailureRecorded) -> dict[str, Streak]:
    before = streaks.get(event.component)
    goes_on = (
        before is not None
        and before.category == event.category
        and before.boot_id == event.boot_id
        and event.at_s - before.last_s <= IN_A_ROW_WITHIN_S
    )
    count = before.count + 1 if before is not None and goes_on else 1
    others = {name: streak for name, streak in streaks.items() if name != event.component}
    others[event.component] = Streak(event.category, count, event.at_s, event.boot_id)
    return dict(list(others.items())[-MAX_STREAKS:])


def spec() -> Spec[AnalyzerState]:
    """The analyzer. Its configuration comes with ``Configure`` after the start, so that it stands in the log."""
    return Spec(NAME, AnalyzerState(), decide, evolve)


# Choosing


SAVED_FIRST = frozenset((kinds.MEMORY, kinds.RESOURCE_EXHAUSTION))
"""Categories after which the process itself may be next."""

_RETRY = "it may pass by itself"
_CHOICES = {
    kinds.BROWSER_CRASH: (RESTART_COMPONENT, "the browser is gone"),
    kinds.BROWSER_FREEZE: (RESTART_COMPONENT, "the browser does not answer any more"),
    kinds.BROWSER_TIMEOUT: (RETRY_WITH_BACKOFF, "one slow page is not a dead browser"),
    kinds.LLM_TIMEOUT: (RETRY_WITH_BACKOFF, "the request took too long"),
    kinds.SERVER_ERROR: (RETRY_WITH_BACKOFF, "the service had an error of its own"),
    kinds.OVERLOADED: (WAIT_FOR_BREAKER, "the service asks for fewer calls"),
    kinds.RATE_LIMIT: (WAIT_FOR_BREAKER, "the service asks for fewer calls"),
    kinds.CIRCUIT_OPEN: (WAIT_FOR_BREAKER, "its circuit is open"),
    kinds.QUOTA: (STOP_AND_REPORT, "the account is exhausted; no retry can help"),
    kinds.AUTH: (STOP_AND_REPORT, "the service refuses these credentials or this model; no retry can help"),
    kinds.REQUEST_TOO_LARGE: (STOP_AND_REPORT, "the same request cannot succeed"),
    kinds.MEMORY: (CLEAR_CACHES, "memory ran out"),
    kinds.DISK_FULL: (CLEAN_UP_CHECKPOINTS, "the disk is full"),
    kinds.RESOURCE_EXHAUSTION: (RESTART_COMPONENT, "it holds too many files or threads"),
    kinds.NETWORK: (RETRY_WITH_BACKOFF, "the connection failed"),
    kinds.DEADLOCK: (RESTART_COMPONENT, "it does not answer any more"),
    kinds.COMPONENT_EXIT: (RESTART_COMPONENT, "its process is gone"),
    kinds.CPU_OVERLOAD: (REDUCE_LOAD, "the machine is overloaded"),
    kinds.PAGE_ERROR: (RETRY_WITH_BACKOFF, "this page failed, not the browser"),
    kinds.BUG: (STOP_AND_REPORT, "the same code would fail again"),
    kinds.CANCELLED: (LEAVE_ALONE, "it was cancelled"),
    kinds.UNKNOWN: (RETRY_WITH_BACKOFF, "its kind is not known"),
}
_AFTER = {
    kinds.BROWSER_TIMEOUT: (2, RESTART_COMPONENT, "the browser does not answer"),
    kinds.LLM_TIMEOUT: (3, WAIT_FOR_BREAKER, "retrying does not help"),
    kinds.SERVER_ERROR: (3, WAIT_FOR_BREAKER, "retrying does not help"),
    kinds.MEMORY: (2, RESTART_COMPONENT, "clearing caches did not help"),
}
"""What else is chosen from so many failures in a row on."""


def choose(category: str, facts: FailureFacts, in_a_row: int = 1) -> tuple[str, str]:
    """The strategy that suits a failure, and why.

    Args:
        category: what ``classify`` made of it.
        facts: what is known of it.
        in_a_row: which failure of this category it is in a row of this component, from 1.
    """
    if facts.observation == "breaker_opened":
        return WAIT_FOR_BREAKER, f"{category}: the circuit opened, {facts.message or 'no reason given'}"
    strategy, why = _CHOICES[category]
    limit, then_strategy, then_why = _AFTER.get(category, (0, strategy, why))
    if 0 < limit <= in_a_row:
        strategy, why = then_strategy, f"{in_a_row} in a row, {then_why}"
    said = facts.observation and facts.message
    return strategy, f"{category}: {why}" + (f" ({said})" if said else "")
