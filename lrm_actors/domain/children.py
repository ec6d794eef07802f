"""One child of the supervisor: how its record changes with each thing that happens to it."""

from __future__ import annotations

import attrs

from eventstore.events import float_fields
from eventstore.frozen import frozen
from eventstore.records import Instant
from lrm_actors.domain.deadlines import Deadline

ACTOR, COMPONENT = "actor", "component"
RUNNING, BACKOFF, RESTARTING, GIVEN_UP = "running", "backoff", "restarting", "given_up"
HOLDING, HELD = "holding", "held"
"""Being stopped with its siblings; stopped with them, or down among them, until they are started again."""
STOPPED = "stopped"
"""It ended, or was stopped, and is not restarted unless somebody asks for it."""
ABSENT = "absent"
"""Not a child of this process (any more, or yet), but its failures of late are remembered."""
LEAVING = "leaving"
"""Removed while its restart was under way: nothing else may happen to it before that has ended."""


@frozen(field_transformer=float_fields)
class RestartPolicy:
    """How a child is restarted."""

    backoff_initial_s: float = 0.1
    backoff_max_s: float = 30.0
    jitter: float = 0.2
    """Share of a delay that is left to chance, taken off it."""
    intensity: int = 5
    """Restarts allowed within ``period_s``; one more gives the child up."""
    period_s: float = 60.0
    reset_after_s: float = 60.0
    """Time without failure after which the backoff begins anew, counted from the completed restart."""
    reset_after_handled: int = 1
    """Messages that an actor must have handled since then besides: to fail at the first one is no recovery."""


@frozen
class ChildState:
    """One child, and what is remembered of its failures."""

    kind: str
    """``actor`` or ``component``."""
    status: str = RUNNING
    """``running``, ``backoff``, ``restarting``, ``given_up``, ``holding``, ``held``, ``stopped``; ``absent``,
    ``leaving``: not a child now."""
    attempt: int = 0
    """Failures in a row; exponent of the backoff."""
    restarted_at_s: tuple[float, ...] = ()
    """Monotonic times of the newest restarts scheduled, oldest first, as many as the intensity allows."""
    last_failure_s: float = 0.0
    last_error: str = ""
    up_since_s: float = 0.0
    """Monotonic time since which it runs."""
    boot_id: str = ""
    due: Deadline | None = None
    at_start: bool = False
    """Its last failure was in start-up."""
    failed_again: bool = False
    """It failed, or ended, while the end of its restart was not yet known."""
    handled: int | None = None
    """Messages that it handled between its last restart and its last failure; None: nobody counted."""

    @property
    def pending(self) -> bool:
        """Whether a restart of it is due or under way."""
        return self.status in {BACKOFF, RESTARTING}


def new_child(name: str, at_s: float, boot_id: str) -> ChildState:
    """A child that runs and never failed. Its kind is the name up to the colon."""
    return ChildState(name.partition(":")[0], up_since_s=at_s, boot_id=boot_id)


def run_anew(child: ChildState, at_s: float) -> ChildState:
    """It runs from now on, and what was pending is void. Its failures of late stay in memory."""
    return attrs.evolve(child, status=RUNNING, due=None, up_since_s=at_s, failed_again=False)


def add(child: ChildState | None, name: str, at_s: float, boot_id: str) -> ChildState:
    """It is a child from now on, new or back again."""
    if child is None or child.boot_id != boot_id:
        return new_child(name, at_s, boot_id)
    return attrs.evolve(child, status=RESTARTING) if child.status == LEAVING else run_anew(child, at_s)


def leave(child: ChildState) -> ChildState | None:
    """It is looked after no more; None when there is nothing to remember."""
    if child.status == RESTARTING:
        return attrs.evolve(child, status=LEAVING)
    return attrs.evolve(child, status=ABSENT, due=None) if child.attempt else None


def fail(
    child: ChildState, at_s: float, boot_id: str, error: str, handling: str, *, handled: int | None = None
) -> ChildState | None:
    """It failed, or ended. What follows is another event."""
    if child.status == LEAVING:
        return leave(child)
    if child.boot_id != boot_id:
        child = ChildState(child.kind, up_since_s=at_s, boot_id=boot_id)
    elif child.status == ABSENT:
        child = run_anew(child, at_s)
    in_restart = handling == "restart"
    return attrs.evolve(
        child,
        last_failure_s=at_s,
        last_error=error,
        at_start=handling == "start" or (in_restart and child.at_start),
        failed_again=child.status == RESTARTING and not in_restart,
        handled=handled,
    )


def schedule(child: ChildState, attempt: int, due: Deadline, intensity: int) -> ChildState:
    """It will be restarted when due."""
    times = (*child.restarted_at_s, due.monotonic_s - due.delay_s)[-max(1, intensity) :]
    return attrs.evolve(child, status=BACKOFF, attempt=attempt, restarted_at_s=times, due=due, failed_again=False)


def begin(child: ChildState) -> ChildState:
    """Its restart begins."""
    return attrs.evolve(child, status=RESTARTING, due=None)


def finish(child: ChildState, at_s: float) -> ChildState | None:
    """Its restart is done."""
    return leave(child) if child.status == LEAVING else run_anew(child, at_s)


def give_up(child: ChildState) -> ChildState:
    """It stays down."""
    return attrs.evolve(child, status=GIVEN_UP, due=None, failed_again=False)


def hold(child: ChildState) -> ChildState:
    """It is being stopped with its siblings."""
    return attrs.evolve(child, status=HOLDING)


def held(child: ChildState) -> ChildState:
    """It is down with its siblings."""
    return attrs.evolve(child, status=HELD, due=None, failed_again=False)


def stop(child: ChildState) -> ChildState:
    """It is down and stays there."""
    return attrs.evolve(child, status=STOPPED, due=None, failed_again=False)


def carry_over(
    child: ChildState, policy: RestartPolicy, at_s: float, boot_id: str, *, listed: bool
) -> ChildState | None:
    """The same child in the next process; None when there is none and nothing to remember.

    A failure in start-up may have been reported before the process said that it is up: that restart stays pending.
    """
    if child.boot_id != boot_id:
        return None
    if child.pending and child.at_start:
        return child
    if listed:
        return run_anew(child, at_s)
    remembered = at_s - child.last_failure_s < max(policy.period_s, policy.reset_after_s)
    return attrs.evolve(child, status=ABSENT, due=None) if child.attempt and remembered else None


def next_attempt(child: ChildState, policy: RestartPolicy, now_s: float) -> int:
    """Number of the failure in a row, from 1.

    The row ends when the child ran long enough after a completed restart and did some work meanwhile.
    """
    worked = child.handled is None or child.handled >= policy.reset_after_handled
    settled = child.status == RUNNING and now_s - child.up_since_s >= policy.reset_after_s
    return 1 if settled and worked else child.attempt + 1


def restarts_lately(child: ChildState, policy: RestartPolicy, now: Instant) -> int:
    """Restarts within the period. Those of another boot cannot be told, and do not count."""
    if child.boot_id != now.boot_id:
        return 0
    return sum(now.monotonic_s - at_s < policy.period_s for at_s in child.restarted_at_s)
