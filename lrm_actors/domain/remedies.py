"""What can be done about a failure: the strategies, and for each category the ladder on which they are tried."""

from __future__ import annotations

from eventstore.frozen import frozen
from lrm_actors.domain import categories as kinds

RESTART_COMPONENT = "restart_component"
RETRY_WITH_BACKOFF = "retry_with_backoff"
WAIT_FOR_BREAKER = "wait_for_breaker"
OPEN_BREAKER = "open_breaker"
CLEAR_CACHES = "clear_caches"
REDUCE_LOAD = "reduce_load"
CLEAN_UP_CHECKPOINTS = "clean_up_checkpoints"
EMERGENCY_CHECKPOINT = "emergency_checkpoint"
RESTORE_CHECKPOINT = "restore_checkpoint"
RESTART_PROCESS = "restart_process"
PAUSE_AND_CALL = "pause_and_call"
STOP_AND_REPORT = "stop_and_report"
LEAVE_ALONE = "leave_alone"
"""It was no failure: leave it to whoever caused it."""
STRATEGIES = (
    RESTART_COMPONENT, RETRY_WITH_BACKOFF, WAIT_FOR_BREAKER, OPEN_BREAKER, CLEAR_CACHES, REDUCE_LOAD,
    CLEAN_UP_CHECKPOINTS, EMERGENCY_CHECKPOINT, RESTORE_CHECKPOINT, RESTART_PROCESS, PAUSE_AND_CALL, STOP_AND_REPORT,
    LEAVE_ALONE,
)  # fmt: skip
MILD = frozenset((RETRY_WITH_BACKOFF, WAIT_FOR_BREAKER, CLEAR_CACHES))
"""What is spent by failures in a row, and is worth trying anew once the component was restarted."""
FIRM = frozenset((RESTART_COMPONENT, RESTORE_CHECKPOINT, RESTART_PROCESS))
"""What is under way until its end is reported; failures meanwhile say nothing about it."""
LEARNED = frozenset((RETRY_WITH_BACKOFF, WAIT_FOR_BREAKER, OPEN_BREAKER, CLEAR_CACHES, RESTART_COMPONENT))
"""What may be taken out of turn because it helped before."""
FINAL = frozenset((PAUSE_AND_CALL, STOP_AND_REPORT, LEAVE_ALONE, EMERGENCY_CHECKPOINT))
"""What is not expected to mend anything, so nobody waits to see whether it did."""
SAVED_FIRST = frozenset((kinds.MEMORY, kinds.RESOURCE_EXHAUSTION))
"""Categories after which the process itself may be next."""
ALWAYS = 1_000_000
"""Tries of what is gone on with for as long as it takes."""


@frozen
class Rung:
    """One step of a ladder."""

    strategy: str
    why: str
    tries: int = ALWAYS
    """Times that it may fail to help before the next one is tried."""


def _one(strategy: str, why: str) -> tuple[Rung, ...]:
    return (Rung(strategy, why),)


_PASSES = Rung(RETRY_WITH_BACKOFF, "it may pass by itself")
_REPLACED = Rung(RESTART_PROCESS, "nothing less helped", 1)
_CALLED = Rung(PAUSE_AND_CALL, "nothing that can be done here helped")
_BUSY = Rung(WAIT_FOR_BREAKER, "the service asks for fewer calls", 3)
_HELD_BACK = Rung(OPEN_BREAKER, "it is held back until the service can take it")


def _service(why: str) -> tuple[Rung, ...]:
    return (Rung(RETRY_WITH_BACKOFF, why, 2), Rung(WAIT_FOR_BREAKER, "retrying does not help", 3), _HELD_BACK)


def _component(why: str) -> tuple[Rung, ...]:
    """The supervisor says when restarting a component has no sense any more."""
    return (Rung(RESTART_COMPONENT, why), _REPLACED, _CALLED)


LADDERS: dict[str, tuple[Rung, ...]] = {
    kinds.BROWSER_CRASH: _component("the browser is gone"),
    kinds.BROWSER_FREEZE: _component("the browser does not answer any more"),
    kinds.BROWSER_TIMEOUT: (
        Rung(RETRY_WITH_BACKOFF, "one slow page is not a dead browser", 1),
        *_component("the browser does not answer"),
    ),
    kinds.LLM_TIMEOUT: _service("the request took too long"),
    kinds.SERVER_ERROR: _service("the service had an error of its own"),
    kinds.OVERLOADED: (_BUSY, _HELD_BACK),
    kinds.RATE_LIMIT: (_BUSY, _HELD_BACK),
    kinds.CIRCUIT_OPEN: _one(WAIT_FOR_BREAKER, "its circuit is open"),
    kinds.QUOTA: _one(STOP_AND_REPORT, "the account is exhausted; no retry can help"),
    kinds.AUTH: _one(STOP_AND_REPORT, "the service refuses these credentials or this model; no retry can help"),
    kinds.REQUEST_TOO_LARGE: _one(STOP_AND_REPORT, "the same request cannot succeed"),
    kinds.MEMORY: (Rung(CLEAR_CACHES, "memory ran out", 1), *_component("clearing caches did not help")),
    kinds.DISK_FULL: (Rung(CLEAN_UP_CHECKPOINTS, "the disk is full", 3), _CALLED),
    kinds.RESOURCE_EXHAUSTION: _component("it holds too many files or threads"),
    kinds.NETWORK: _one(RETRY_WITH_BACKOFF, "the connection failed"),
    kinds.DEADLOCK: _component("it does not answer any more"),
    kinds.COMPONENT_EXIT: _component("its process is gone"),
    kinds.CPU_OVERLOAD: _one(REDUCE_LOAD, "the machine is overloaded"),
    kinds.PAGE_ERROR: _one(RETRY_WITH_BACKOFF, "this page failed, not the browser"),
    kinds.BUG: _one(STOP_AND_REPORT, "the same code would fail again"),
    kinds.CANCELLED: _one(LEAVE_ALONE, "it was cancelled"),
    kinds.UNKNOWN: (
        Rung(RETRY_WITH_BACKOFF, "its kind is not known", 5),
        Rung(RESTART_COMPONENT, "retrying does not help", 2),
        Rung(RESTORE_CHECKPOINT, "neither retries nor restarts helped", 1),
        _CALLED,
    ),
}
"""What is tried for each category, mildest first. The last rung is gone on with."""

_KEPT = (
    Rung(RETRY_WITH_BACKOFF, "the next checkpoint may be taken", 5),
    Rung(STOP_AND_REPORT, "the agent's state cannot be kept"),
)
CHECKPOINTER = "actor:checkpointer"
"""What a failure is put down to that no component of the host had, but a checkpoint."""


def ladder_for(category: str, component: str = "") -> tuple[Rung, ...]:
    """What is tried for a failure of this category, in this component.

    A checkpoint that cannot be taken says nothing against the state that the agent has: that is never replaced by an
    older one for it, nor is the agent paused.

    Args:
        category: of the failure.
        component: that failed; "" where it is not known.
    """
    is_other = category not in {kinds.DISK_FULL, kinds.BUG}
    return _KEPT if component == CHECKPOINTER and is_other else LADDERS[category]


SEVERE = frozenset((kinds.MEMORY, kinds.DISK_FULL, kinds.RESOURCE_EXHAUSTION, kinds.DEADLOCK, kinds.BROWSER_FREEZE,
                    kinds.COMPONENT_EXIT, kinds.BROWSER_CRASH, kinds.QUOTA, kinds.AUTH))  # fmt: skip
"""Categories that do not pass by themselves."""
MAX_SEVERITY = 5


def severity(category: str, patterns: int = 0) -> int:
    """From 1, one failure that may pass by itself, to 5; each pattern that it is part of adds one.

    Args:
        category: of the failure.
        patterns: how many of its component are known of at the moment.
    """
    return min(MAX_SEVERITY, (2 if category in SEVERE else 1) + patterns)
