"""Who hears of what: one table, an event type and the command it becomes for another actor. Nothing is wired elsewhere.

Each consumer reads these events from the log at its own pace, in log order, and stores how far it has read with its own
events. A breaker is one of many, so its events are wired by type, whichever stream they stand in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lrm_actors.domain import analyzer, breaker, checkpointer, journal, modes, monitor, supervisor
from lrm_actors.domain.behavior import Command, Wire
from lrm_actors.domain.remedies import CHECKPOINTER
from lrm_actors.domain.signals import OF_DISK

if TYPE_CHECKING:
    from eventstore.records import Record

ACTOR_PREFIX, COMPONENT_PREFIX = "actor:", "component:"

LOG = f"{ACTOR_PREFIX}log"
"""What a full disk is put down to."""

NOT_TAKEN = frozenset((checkpointer.NO_CAPTURE, checkpointer.NOT_TAKEN_UP, checkpointer.INTERRUPTED))
"""Errors of checkpoints that nothing is wrong with: the host gives no state, or none yet, or its process ended."""


RISKY = frozenset((analyzer.RESTART_COMPONENT, analyzer.RESTART_PROCESS))
"""Recoveries before which the state is saved. Not restoring one: what was saved last is what would be restored."""
BEFORE = "before "
"""How the reason of what is saved then begins."""


# --- to the analyzer: what failed, and how the recovery went ------------------------------------------------------


def _missed_heartbeat(event: monitor.HeartbeatMissed, _: Record) -> Command:
    message = f"no heartbeat for {event.age_s:.1f} s, {event.timeout_s:.1f} s allowed"
    facts = analyzer.FailureFacts(event.component, message=message, observation="heartbeat_missed")
    return analyzer.RecordFailure(facts)


def _exited(event: monitor.ComponentExited, _: Record) -> Command:
    facts = analyzer.FailureFacts(
        event.component,
        message=event.description,
        exit_status=event.exit_status,
        observation="component_exited",
    )
    return analyzer.RecordFailure(facts)


def _opened(event: breaker.Opened, _: Record) -> Command | None:
    if event.reason.startswith("forced:"):  # somebody's order is nobody's failure
        return None
    facts = analyzer.FailureFacts(event.service, message=event.reason, observation="breaker_opened")
    return analyzer.RecordFailure(facts)


def _restarted_for_analyzer(event: supervisor.ChildRestarted, _: Record) -> Command | None:
    component = _component(event.child)
    return analyzer.NoteRecovery(component, ok=True) if component else None


def _given_up(event: supervisor.ChildGivenUp, _: Record) -> Command | None:
    component = _component(event.child)
    return analyzer.NoteRecovery(component, ok=False) if component else None


def _checkpoint_failed(event: checkpointer.CheckpointFailed, _: Record) -> Command | None:
    if event.error in NOT_TAKEN:
        return None
    facts = analyzer.FailureFacts(
        CHECKPOINTER, class_names=(event.error,), message=event.message, observation="checkpoint_failed"
    )
    return analyzer.RecordFailure(facts, event.in_a_row)


# --- from the analyzer to whoever acts ----------------------------------------------------------------------------


def _bring_back(event: analyzer.RecoveryChosen, _: Record) -> Command | None:
    if _is_ours(event.component):
        return None
    match event.strategy:
        case analyzer.RESTART_COMPONENT:
            return supervisor.RestartComponent(event.component, event.reason)
        case analyzer.CLEAR_CACHES:
            return supervisor.ClearCaches(event.component, event.reason)
    return None


def _save_or_clean_up(event: analyzer.RecoveryChosen, _: Record) -> Command | None:
    if event.strategy == analyzer.CLEAN_UP_CHECKPOINTS:
        # The disk on which something of the host's found no room may be another than the log's.
        return checkpointer.CleanUp(gently=not _is_ours(event.component))
    # A failed checkpoint never asks for another one: that would go round for ever.
    risky = event.strategy in RISKY and not _is_ours(event.component)
    if (event.emergency_checkpoint or risky) and event.component != CHECKPOINTER:
        error = f"{event.component}: {event.category}" if event.component else event.category
        reason = f"{BEFORE}{event.strategy}{_of(event.component)}" if risky else event.reason
        hints = (event.reason,) if risky else ()
        return checkpointer.TakeCheckpoint(checkpointer.EMERGENCY, reason, error=error, hints=hints)
    return None


def _save_after_a_restart(event: analyzer.RecoveryFinished, _: Record) -> Command | None:
    if not event.ok or _is_ours(event.component):
        return None
    reason = f"after {analyzer.RESTART_COMPONENT}{_of(event.component)}"
    return checkpointer.TakeCheckpoint(checkpointer.PERIODIC, reason)


def _save_after_a_restore(event: analyzer.RecoveryCarriedOut, _: Record) -> Command | None:
    if not event.ok or event.strategy != analyzer.RESTORE_CHECKPOINT:
        return None
    return checkpointer.TakeCheckpoint(checkpointer.PERIODIC, f"after {event.strategy}{_of(event.component)}")


def _note_step(event: journal.StepCommitted, _: Record) -> Command:
    return checkpointer.NoteStep(event.step)


def _save_before_it_ends(event: monitor.HealthChanged, _: Record) -> Command | None:
    still_failing = event.status == event.previous == monitor.FAILING  # and a limit of memory is reached
    if not still_failing and (event.status != monitor.CRITICAL or event.previous == monitor.FAILING):
        return None
    if event.signals and set(event.signals) <= OF_DISK:
        # Another checkpoint is what a full disk needs least; old ones go before it is full, and never the best.
        return checkpointer.CleanUp(gently=True) if "disk" in event.signals else None
    return checkpointer.TakeCheckpoint(checkpointer.EMERGENCY, f"health {event.status}: {event.cause}")


def _reduce_load(event: analyzer.RecoveryChosen, _: Record) -> Command | None:
    return modes.ReduceLoad(event.reason) if event.strategy == analyzer.REDUCE_LOAD else None


# --- health and mode ----------------------------------------------------------------------------------------------


def _component_failed(event: analyzer.FailureRecorded, _: Record) -> Command | None:
    if not event.component or _is_ours(event.component):
        return None
    return monitor.NoteComponentFailed(event.component, event.at_s, event.boot_id)


def _restarted_for_monitor(event: supervisor.ChildRestarted, _: Record) -> Command | None:
    component = _component(event.child)
    return monitor.NoteComponentRestarted(component) if component else None


def _consider_health(event: monitor.HealthChanged, _: Record) -> Command:
    return modes.ConsiderHealth(event.status, event.cause)


def _mode_for_monitor(event: modes.ModeChanged, _: Record) -> Command:
    return monitor.NoteMode(event.mode)


def _mode_for_checkpointer(event: modes.ModeChanged, _: Record) -> Command:
    return checkpointer.NoteMode(event.mode)


def _note_checkpoints(event: checkpointer.TroubleNoted, _: Record) -> Command:
    return monitor.NoteCheckpoints(event.reason)


# --- helpers ------------------------------------------------------------------------------------------------------


def _component(child: str) -> str | None:
    """Name of a supervised component; None for an actor of ours."""
    return child.removeprefix(COMPONENT_PREFIX) if child.startswith(COMPONENT_PREFIX) else None


def _of(component: str) -> str:
    return f" of {component}" if component else ""


def _is_ours(component: str) -> bool:
    """Whether what failed is a part of this system and not of the host."""
    return component.startswith(ACTOR_PREFIX)


def _wire(event: type, to: str, make: Callable[[Any, Record], Command | None]) -> Wire:
    return Wire(event, to=to, make=make)


WIRES: tuple[Wire, ...] = (
    _wire(monitor.HeartbeatMissed, "analyzer", _missed_heartbeat),
    _wire(monitor.ComponentExited, "analyzer", _exited),
    _wire(breaker.Opened, "analyzer", _opened),
    _wire(checkpointer.CheckpointFailed, "analyzer", _checkpoint_failed),
    _wire(supervisor.ChildRestarted, "analyzer", _restarted_for_analyzer),
    _wire(supervisor.ChildGivenUp, "analyzer", _given_up),
    _wire(analyzer.RecoveryChosen, "supervisor", _bring_back),
    _wire(analyzer.RecoveryChosen, "checkpointer", _save_or_clean_up),
    _wire(analyzer.RecoveryChosen, "modes", _reduce_load),
    _wire(analyzer.RecoveryFinished, "checkpointer", _save_after_a_restart),
    _wire(analyzer.RecoveryCarriedOut, "checkpointer", _save_after_a_restore),
    _wire(journal.StepCommitted, "checkpointer", _note_step),
    _wire(checkpointer.TroubleNoted, "monitor", _note_checkpoints),
    _wire(analyzer.FailureRecorded, "monitor", _component_failed),
    _wire(supervisor.ChildRestarted, "monitor", _restarted_for_monitor),
    _wire(monitor.HealthChanged, "modes", _consider_health),
    _wire(monitor.HealthChanged, "checkpointer", _save_before_it_ends),
    _wire(modes.ModeChanged, "monitor", _mode_for_monitor),
    _wire(modes.ModeChanged, "checkpointer", _mode_for_checkpointer),
)
"""The whole table, one row per event and consumer."""
