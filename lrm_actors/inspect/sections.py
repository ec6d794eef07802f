"""The sections of a health report, from our own actors' states: folded from a log, or published by a live system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from eventstore.records import Instant
from lrm_actors.domain.analyzer import AnalyzerState
from lrm_actors.domain.breaker import OPEN, BreakerState
from lrm_actors.domain.checkpointer import CheckpointerState
from lrm_actors.domain.children import ABSENT, COMPONENT, LEAVING
from lrm_actors.domain.health import CRITICAL, HEALTHY, STATUSES, WARNING, is_worse, worst
from lrm_actors.domain.journal import JournalState, OpenStep
from lrm_actors.domain.journaling.book import DONE, FAILED, IN_DOUBT, INTENDED, NOT_HAPPENED, SKIPPED
from lrm_actors.domain.metrics import METRICS
from lrm_actors.domain.modes import CRITICALITIES, NORMAL, ModesState
from lrm_actors.domain.monitor import MonitorState
from lrm_actors.domain.signals import SIGNALS
from lrm_actors.domain.supervisor import SupervisorState
from lrm_actors.inspect.giving_up import GivenUp
from lrm_actors.inspect.standing import Fallen, worst_first

RECENT = 10
"""Failures told one by one."""


LOG_CLOSED = "the log cannot be written"
NOBODY_WATCHES = "the monitor does not run"


def health(
    state: MonitorState,
    *,
    written: bool = True,
    watched: bool = True,
    suspended: Sequence[str] = (),
    fallen: Sequence[Fallen] = (),
) -> tuple[str, str]:
    """``health_status``, and ``health_cause``, which is empty while nothing is wrong.

    What the monitor found last says nothing of now while it does not run, or while nothing can be put on record.

    Args:
        state: the monitor's.
        written: whether the log takes events.
        watched: whether the monitor runs.
        suspended: the actors that are held still.
        fallen: who does not run, or hangs.
    """
    status, cause = state.status, "" if state.status == HEALTHY else state.cause
    held = f"suspended: {', '.join(suspended)}"
    for is_well, at_least, why in (
        (not suspended, WARNING, held),
        (watched, WARNING, NOBODY_WATCHES),
        *((False, one.status, one.why) for one in reversed(worst_first(fallen))),
        (written, CRITICAL, LOG_CLOSED),
    ):
        if not is_well:
            status = at_least if is_worse(at_least, status) else status
            cause = f"{why}; {cause}" if cause else why
    return status, cause


def mode(state: ModesState, now: Instant) -> dict[str, Any]:
    """``mode``."""
    until = state.pinned_until
    return {
        "cause": state.pin_reason if state.pinned is not None else state.why if state.mode != NORMAL else "",
        "enabled": state.enabled,
        "pinned": state.pinned,
        "pinned_for_s": None if until is None else until.remaining_s(now),
        "runs": [one for one in CRITICALITIES if one in state.runs],
    }


def signals(state: MonitorState) -> dict[str, dict[str, Any]]:
    """``signals``: those that this platform has, the worst first."""
    found = {}
    for signal in SIGNALS:
        mark = state.marks.get(signal.name)
        if mark is not None:
            warning, critical = signal.thresholds(state.config)
            found[signal.name] = {
                "level": state.levels.get(signal.name, HEALTHY),
                "value": mark.value,
                "warning": warning,
                "critical": critical,
                "at_warning_s": mark.at_warning_s,
            }
    order = {name: -STATUSES.index(worst({name: state.levels.get(name, HEALTHY)})) for name in found}
    return {name: found[name] for name in sorted(found, key=order.__getitem__)}


def metrics(state: MonitorState) -> dict[str, Any]:
    """``metrics``, ``last_good`` and ``unknown``, as ``report.build`` takes them."""
    if state.last is None:
        return {"metrics": None, "last_good": state.last_good}
    now = {name: getattr(state.last, name) for name in METRICS}
    return {"metrics": now, "last_good": state.last_good, "unknown": state.last.unknown}


def breaker(state: BreakerState, now: Instant) -> dict[str, Any]:
    """One entry of ``circuit_breakers``."""
    remaining_s = state.open_until.remaining_s(now) if state.status == OPEN and state.open_until is not None else 0.0
    return {
        "state": state.status,
        "failure_count": len(state.last_failures),
        "generation": state.generation,
        "retry_after_s": remaining_s,
        "last_failures": list(state.last_failures),
    }


def components(
    supervisor: SupervisorState,
    monitor: MonitorState,
    *,
    restarts: Mapping[str, int],
    heartbeat_ages_s: Mapping[str, float | None] | None = None,
    given_up: Mapping[str, GivenUp] | None = None,
) -> dict[str, dict[str, Any]]:
    """``components``.

    Args:
        supervisor: knows which there are.
        monitor: knows which were seen down.
        restarts: completed restarts of each child.
        heartbeat_ages_s: seconds since each component's last heartbeat, which only the living process knows.
        given_up: what the log tells of each child that was given up.
    """
    ages_s, ends = heartbeat_ages_s or {}, given_up or {}
    return {
        name: {
            "status": child.status,
            "restarts": restarts.get(full, 0),
            "heartbeat_age_s": ages_s.get(name),
            "last_error": child.last_error,
            "down": monitor.down.get(name, ""),
            "given_up": attrs.asdict(ends[full]) if full in ends else None,
        }
        for full, child in supervisor.children.items()
        if child.kind == COMPONENT and child.status not in {ABSENT, LEAVING}
        for name in [full.partition(":")[2]]
    }


def failures(state: AnalyzerState) -> dict[str, Any]:
    """``failures``; the newest of ``recent`` first."""
    recent = [
        {"component": one.component, "category": one.category, "message": one.message, "fingerprint": one.fingerprint}
        for one in reversed(state.recent[-RECENT:])
    ]
    return {"total": sum(state.counts.values()), "by_category": dict(sorted(state.counts.items())), "recent": recent}


def checkpoints(state: CheckpointerState, now: Instant) -> dict[str, Any]:
    """``checkpoints``."""
    rows = (*state.support, *state.kept)
    told = {
        "count": len(state.kept),
        "stored_bytes": sum(row.stored_bytes for row in rows),
        "pinned": sum(row.pinned for row in state.kept),
        "damaged": sum(row.damaged for row in state.kept),
        "failures": state.failures,
    }
    sound = [row for row in state.kept if not row.damaged]
    if not sound:
        return told
    newest = sound[-1]
    return {
        **told,
        "latest": newest.checkpoint_id,
        "last_taken_at": newest.taken_at_s,
        "last_age_s": max(0.0, now.wall_s - newest.taken_at_s),
        "last_size_bytes": newest.size_bytes,
        "last_stored_bytes": newest.stored_bytes,
        "last_stall_ms": newest.stall_ms,
    }


def steps(state: JournalState, now: Instant, *, alive: bool = True, progress: str = "") -> dict[str, Any]:
    """``steps``.

    Args:
        state: the journal's.
        now: this moment.
        alive: whether its process is: else a step that was open is in doubt, and so is an effect that had no end, as
            the next process will say.
        progress: what the open step says of itself, which only the living process knows.
    """
    in_doubt = state.in_doubt if alive else state.in_doubt or state.open
    return {
        "committed": state.committed,
        "in_doubt": None if in_doubt is None else step(in_doubt),
        "repeated": state.repeated,
        "now": _step_now(state, alive=alive, progress=progress),
        "last": None if state.last is None else attrs.asdict(state.last),
        "sleeping": state.sleeps.left_s(now),
        "aside": {
            "tasks": len(state.aside.tasks),
            "effects_in_doubt": sum(task.effects.count(IN_DOUBT) for task in state.aside.tasks.values()),
        },
    }


def _step_now(state: JournalState, *, alive: bool, progress: str) -> dict[str, Any] | None:
    one, book = state.unfinished, state.effects
    if one is None:
        return None
    phase = "abandoned" if one is state.failed else "open" if one is state.open and alive else "in_doubt"
    counted = {status: book.count(status) for status in (DONE, SKIPPED, FAILED, NOT_HAPPENED, IN_DOUBT)}
    under_way = book.count(INTENDED)
    if not alive:
        counted[IN_DOUBT], under_way = counted[IN_DOUBT] + under_way, 0
    return {
        **step(one),
        "state": phase,
        "at": one.at,
        "of": one.of,
        "progress": progress,
        "effects": {**counted, "under_way": under_way},
    }


def step(one: OpenStep) -> dict[str, Any]:
    """A step that is open or in doubt."""
    return {"step": one.step, "name": one.name, "attempt": one.attempt}
