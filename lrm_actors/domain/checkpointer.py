"""The checkpointer's decisions: when the agent's state is captured, which captures are kept, which is restored.

A checkpoint's bytes are an attachment committed with its event, so a checkpoint and the log position it belongs to
cannot disagree.
"""

from __future__ import annotations

import attrs

from lrm_actors.domain.behavior import (
    NOTHING,
    STORAGE,
    Command,
    Context,
    Decision,
    RecoveryContext,
    Spec,
    StartTimer,
    then,
)
from lrm_actors.domain.checkpointing.chains import (
    attachment_key,
    blob_key,
    chain_of,
    row_of,
)
from lrm_actors.domain.checkpointing.commands import (
    FEWEST,
    FULL,
    Blob,
    CaptureFailed,
    CheckpointDue,
    CleanUp,
    Configure,
    GiveUpOverdue,
    IntervalOver,
    ListCheckpoints,
    LookAfter,
    MarkDamaged,
    NoteMissed,
    NoteMode,
    NoteStep,
    PinCheckpoint,
    Prune,
    RebasedRow,
    RebaseFailed,
    ReportRestored,
    StoreCheckpoint,
    StoreRebased,
    TakeCheckpoint,
    TidyUp,
)
from lrm_actors.domain.checkpointing.effects import (
    CaptureState,
    RebaseCheckpoints,
)
from lrm_actors.domain.checkpointing.events import (
    ChangeMissed,
    CheckpointFailed,
    CheckpointPinned,
    CheckpointRequested,
    CheckpointRestored,
    CheckpointsPruned,
    CheckpointsRebased,
    CheckpointTaken,
    Configured,
    DamageFound,
    ModeNoted,
    Rebased,
    TroubleNoted,
)
from lrm_actors.domain.checkpointing.folding import (
    CLEANED_UP,
    INTERRUPTED,
    MAX_REMEMBERED,
    NO_CAPTURE,
    NOT_TAKEN_UP,
    Capture,
    CheckpointerState,
    evolve,
)
from lrm_actors.domain.checkpointing.keeping import (
    MAX_PINNED,
    NAME,
    pin,
    prune,
    pruned,
    settled,
    would_prune,
)
from lrm_actors.domain.checkpointing.requesting import (
    DUE_TIMER,
    FAILED_IN_A_ROW,
    INTERVAL_TIMER,
    MAX_CAPTURES,
    OVERDUE,
    OVERDUE_S,
    OVERDUE_TIMER,
    failed,
    interval_s,
    interval_timer,
    note_step,
    overdue,
    request,
    tick,
)
from lrm_actors.domain.checkpointing.storing import (
    NO_PARENT,
    store,
)
from lrm_actors.domain.checkpointing.tending import (
    JANITOR_TIMER,
    LOOK_AFTER_S,
    MISSED_AT_LEAST_S,
    MISSED_INTERVALS,
    MISSED_TIMER,
    TIDY_TIMER,
    clean_up,
    look_after,
    note_missed,
    take_rebased,
    tidy_up,
)
from lrm_actors.domain.modes import PROFILES
from lrm_actors.domain.retention import (
    EMERGENCY,
    KINDS,
    MANUAL,
    PERIODIC,
    CheckpointerConfig,
    CheckpointInfo,
    best_first,
)
from lrm_actors.errors import CommandRefused

__all__ = [
    "AFTER_START_S",
    "CLEANED_UP",
    "DUE_TIMER",
    "EMERGENCY",
    "FAILED_IN_A_ROW",
    "FEWEST",
    "FULL",
    "INTERRUPTED",
    "INTERVAL_TIMER",
    "JANITOR_TIMER",
    "LOOK_AFTER_S",
    "MANUAL",
    "MAX_CAPTURES",
    "MAX_PINNED",
    "MAX_REMEMBERED",
    "MISSED_AT_LEAST_S",
    "MISSED_INTERVALS",
    "MISSED_TIMER",
    "NAME",
    "NOT_TAKEN_UP",
    "NO_CAPTURE",
    "NO_PARENT",
    "OVERDUE",
    "OVERDUE_S",
    "OVERDUE_TIMER",
    "PERIODIC",
    "TIDY_TIMER",
    "Blob",
    "Capture",
    "CaptureFailed",
    "CaptureState",
    "ChangeMissed",
    "CheckpointDue",
    "CheckpointFailed",
    "CheckpointInfo",
    "CheckpointPinned",
    "CheckpointRequested",
    "CheckpointRestored",
    "CheckpointTaken",
    "CheckpointerConfig",
    "CheckpointerState",
    "CheckpointsPruned",
    "CheckpointsRebased",
    "CleanUp",
    "Configure",
    "Configured",
    "DamageFound",
    "GiveUpOverdue",
    "IntervalOver",
    "ListCheckpoints",
    "LookAfter",
    "MarkDamaged",
    "ModeNoted",
    "NoteMissed",
    "NoteMode",
    "NoteStep",
    "PinCheckpoint",
    "Prune",
    "RebaseCheckpoints",
    "RebaseFailed",
    "Rebased",
    "RebasedRow",
    "ReportRestored",
    "StoreCheckpoint",
    "StoreRebased",
    "TakeCheckpoint",
    "TidyUp",
    "TroubleNoted",
    "attachment_key",
    "blob_key",
    "chain_of",
    "decide",
    "evolve",
    "interval_s",
    "recover",
    "restore_order",
    "spec",
    "would_prune",
]

SNAPSHOT_EVERY = 2_000
"""Events between two snapshots: with a thousand checkpoints kept one is large, and events behind it are read fast."""
AFTER_START_S = 10.0
"""Seconds, or one interval if that is less, that a new process has before its first periodic checkpoint."""


# Decide


def decide(state: CheckpointerState, command: Command, ctx: Context) -> Decision:
    """What shall happen on one command."""
    match command:
        case IntervalOver():
            return tick(state, ctx)
        case GiveUpOverdue():
            late = overdue(state, ctx)
            return (
                failed(state, late[0].checkpoint_id, OVERDUE, f"no state came back for {OVERDUE_S:.0f} s")
                if late
                else NOTHING
            )
        case CheckpointDue():
            return request(state, TakeCheckpoint(PERIODIC, "interval"), ctx)
        case TakeCheckpoint(kind):
            if kind not in KINDS:
                raise CommandRefused(f"there is no kind {kind!r} of checkpoint", actor=NAME, hint=f"one of {KINDS}")
            return request(state, command, ctx)
        case ListCheckpoints():
            return then(reply=[info.checkpoint_id for info in reversed(state.kept) if not info.damaged])
        case StoreCheckpoint():
            return store(state, command, ctx)
        case PinCheckpoint():
            return pin(state, command, ctx)
        case Prune():
            return prune(state, command, ctx)
        case LookAfter():
            return look_after(state, ctx)
        case TidyUp():
            return tidy_up(state, ctx)
        case StoreRebased():
            return take_rebased(state, command)
        case RebaseFailed():
            return NOTHING
        case CaptureFailed(checkpoint_id, error, message):
            if checkpoint_id not in {capture.checkpoint_id for capture in state.under_way}:
                return NOTHING
            return failed(state, checkpoint_id, error, message)
        case MarkDamaged(checkpoint_id, reason, read):
            sound = {info.checkpoint_id for info in state.kept if not info.damaged}
            if checkpoint_id not in sound or any(row_of(state, row.checkpoint_id) != row for row in read):
                return NOTHING
            noted = () if state.trouble else (TroubleNoted(f"{checkpoint_id} is damaged: {reason[:200]}"),)
            return then(DamageFound(checkpoint_id, reason), *noted)
        case ReportRestored(checkpoint_id, passed_over):
            return then(CheckpointRestored(checkpoint_id, passed_over))
        case CleanUp():
            return clean_up(state, command, ctx)
        case NoteStep(step):
            return note_step(state, step, ctx)
        case NoteMissed():
            return note_missed(state, ctx)
        case NoteMode(mode):
            if mode not in PROFILES:
                raise CommandRefused(f"there is no mode {mode!r}", actor=NAME, hint=f"one of {', '.join(PROFILES)}")
            if mode == state.mode:
                return NOTHING
            return then(ModeNoted(mode), effects=(interval_timer(attrs.evolve(state, mode=mode), ctx),))
        case Configure(config):
            if config == state.config:
                return NOTHING
            after = attrs.evolve(state, config=config)
            fewer = pruned(after, ctx.now.wall_s, f"only {config.max_checkpoints} are to be kept now")
            return settled(state, (Configured(config), *fewer), effects=(interval_timer(after, ctx),))
    raise CommandRefused(f"the checkpointer does not know {type(command).__name__}", actor=NAME)


# Recover


def recover(state: CheckpointerState, ctx: Context) -> Decision:
    """Give up what the last process had under way, and start the timer.

    The rhythm is kept over restarts, so that an agent killed more often than the interval still gets its checkpoints.
    But a new process has a moment first, to restore before anything is captured. Where only the log could not be
    written for a while, captures go on all the same, and come back.
    """
    message = "the process ended before the state was stored"
    lost = () if isinstance(ctx, RecoveryContext) and ctx.why == STORAGE else state.under_way
    given_up = (CheckpointFailed(one.checkpoint_id, INTERRUPTED, message) for one in lost)
    at_least_s = min(AFTER_START_S, interval_s(state.config, state.mode) or AFTER_START_S)
    janitor = StartTimer(JANITOR_TIMER, LOOK_AFTER_S, LookAfter())
    return then(*given_up, effects=(interval_timer(state, ctx, at_least_s=at_least_s), janitor))


def spec() -> Spec[CheckpointerState]:
    """The checkpointer. Its configuration comes with ``Configure`` after the start, so that it stands in the log."""
    return Spec(NAME, CheckpointerState(), decide, evolve, recover, state_version=3, snapshot_every=SNAPSHOT_EVERY)


# Helpers


def restore_order(state: CheckpointerState) -> tuple[str, ...]:
    """Ids of the sound checkpoints in the order to try them: newest position first, there emergency ones first."""
    return best_first(state.kept)
