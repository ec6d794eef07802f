"""The checkpointer's decisions: when the agent's state is captured, which captures are kept, which is restored.

A checkpoint's bytes are an attachment committed with its event, so a checkpoint and the log position it belongs to
cannot disagree.
"""

from __future__ import annotations

import attrs

from lrm_actors.domain.behavior import (
    NOTHING,
    STORAGE,
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
from lrm_actors.domain.checkpointing.chains import (
    attachment_key,
    blob_key,
    chain_of,
    is_whole,
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
    NoteMode,
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
)
from lrm_actors.domain.checkpointing.folding import (
    CLEANED_UP,
    INTERRUPTED,
    MAX_REMEMBERED,
    Capture,
    CheckpointerState,
    evolve,
)
from lrm_actors.domain.checkpointing.keeping import (
    MAX_PINNED,
    NAME,
    REPLACED,
    cleaned_up,
    folded,
    pin,
    prune,
    pruned,
    settled,
    would_prune,
)
from lrm_actors.domain.checkpointing.rebasing import (
    most_wasteful,
    rebased,
)
from lrm_actors.domain.deadlines import elapsed_s
from lrm_actors.domain.modes import PROFILES
from lrm_actors.domain.retention import (
    EMERGENCY,
    KINDS,
    MANUAL,
    PERIODIC,
    CheckpointerConfig,
    CheckpointInfo,
    best_first,
    new_id,
)
from lrm_actors.errors import CommandRefused

__all__ = [
    "AFTER_START_S",
    "CLEANED_UP",
    "DUE_TIMER",
    "EMERGENCY",
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
    "NAME",
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
    "NoteMode",
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

INTERVAL_TIMER, DUE_TIMER, OVERDUE_TIMER = "interval", "due", "overdue"
JANITOR_TIMER, TIDY_TIMER = "janitor", "tidy"
LOOK_AFTER_S = 60.0
"""Seconds between two looks at what is kept: whether something is too old, or not worth its room."""
NO_PARENT = "ParentGone"
"""Error of a checkpoint that builds on one which is not there any more, and that nobody waits for."""
OVERDUE = "CaptureOverdue"
"""Error of a checkpoint whose capture never came back."""
OVERDUE_S = 300.0
"""Seconds after which a capture that has not come back holds up others no more. Should it come later, it is kept."""
MAX_CAPTURES = 4
"""Captures under way at a time; one more request is answered with the newest of its kind, or refused."""
AFTER_START_S = 10.0
"""Seconds, or one interval if that is less, that a new process has before its first periodic checkpoint."""


# Decide


def decide(state: CheckpointerState, command: Command, ctx: Context) -> Decision:
    """What shall happen on one command."""
    match command:
        case IntervalOver():
            return _tick(state, ctx)
        case GiveUpOverdue():
            overdue = _overdue(state, ctx)[:1]
            message = f"no state came back for {OVERDUE_S:.0f} s"
            return then(*(CheckpointFailed(one.checkpoint_id, OVERDUE, message) for one in overdue))
        case CheckpointDue():
            if PROFILES[state.mode].checkpoint_factor is None:
                return NOTHING
            return _request(state, TakeCheckpoint(PERIODIC, "interval"), ctx)
        case TakeCheckpoint(kind):
            if kind not in KINDS:
                raise CommandRefused(f"there is no kind {kind!r} of checkpoint", actor=NAME, hint=f"one of {KINDS}")
            return _request(state, command, ctx)
        case ListCheckpoints():
            return then(reply=[info.checkpoint_id for info in reversed(state.kept) if not info.damaged])
        case StoreCheckpoint():
            return _store(state, command, ctx)
        case PinCheckpoint():
            return pin(state, command, ctx)
        case Prune():
            return prune(state, command, ctx)
        case LookAfter():
            return _look_after(state, ctx)
        case TidyUp():
            return _tidy_up(state, ctx)
        case StoreRebased():
            return _rebased(state, command)
        case RebaseFailed():
            return NOTHING
        case CaptureFailed(checkpoint_id, error, message):
            if checkpoint_id not in {capture.checkpoint_id for capture in state.under_way}:
                return NOTHING
            return then(CheckpointFailed(checkpoint_id, error, message))
        case MarkDamaged(checkpoint_id, reason):
            sound = {info.checkpoint_id for info in state.kept if not info.damaged}
            return then(DamageFound(checkpoint_id, reason)) if checkpoint_id in sound else NOTHING
        case ReportRestored(checkpoint_id, passed_over):
            return then(CheckpointRestored(checkpoint_id, passed_over))
        case CleanUp(keep):
            return _clean_up(state, keep, ctx)
        case NoteMode(mode):
            if mode not in PROFILES:
                raise CommandRefused(f"there is no mode {mode!r}", actor=NAME, hint=f"one of {', '.join(PROFILES)}")
            if mode == state.mode:
                return NOTHING
            return then(ModeNoted(mode), effects=(_timer(attrs.evolve(state, mode=mode), ctx),))
        case Configure(config):
            if config == state.config:
                return NOTHING
            after = attrs.evolve(state, config=config)
            fewer = pruned(after, ctx.now.wall_s, f"only {config.max_checkpoints} are to be kept now")
            return settled(state, (Configured(config), *fewer), effects=(_timer(after, ctx),))
    raise CommandRefused(f"the checkpointer does not know {type(command).__name__}", actor=NAME)


def _tick(state: CheckpointerState, ctx: Context) -> Decision:
    """Only messages to ourselves: were it the tick that stored the request, each would name the last as its cause."""
    whole_s = interval_s(state.config, state.mode)
    if whole_s is None:
        return NOTHING
    effects = [StartTimer(INTERVAL_TIMER, whole_s, IntervalOver()), StartTimer(DUE_TIMER, 0.0, CheckpointDue())]
    if _overdue(state, ctx):
        effects.append(StartTimer(OVERDUE_TIMER, 0.0, GiveUpOverdue()))
    return then(effects=effects)


def _request(state: CheckpointerState, command: TakeCheckpoint, ctx: Context) -> Decision:
    """Have the state captured, unless a capture under way will do."""
    overdue = _overdue(state, ctx)
    under_way = [one for one in state.under_way if one not in overdue]
    same = _will_do(under_way, command.kind)
    if same is not None:
        return then(reply=same)
    if command.kind != EMERGENCY and len(under_way) >= MAX_CAPTURES:
        raise CommandRefused(f"{MAX_CAPTURES} captures are under way", actor=NAME, hint="wait for one to end")
    checkpoint_id = new_id(ctx.now.wall_s, state.last_id_ms, ctx.new_id())
    hints = (*_hints(state, command), *command.hints)
    facts = (checkpoint_id, command.kind, command.reason, command.error, hints)
    return then(CheckpointRequested(*facts, ctx.now), effects=(CaptureState(*facts),), reply=checkpoint_id)


def _will_do(under_way: list[Capture], kind: str) -> str | None:
    """Id of a capture under way that serves a new request as well.

    A periodic request is served by whatever is under way. An emergency waits for no periodic one, but two emergencies
    at once are one. Whoever asks by hand wants the state of now, and gets a capture of it unless there are too many.
    """
    alike = [one.checkpoint_id for one in under_way if kind in (PERIODIC, one.kind)]
    if not alike or (kind == MANUAL and len(under_way) < MAX_CAPTURES):
        return None
    return alike[-1]


def _overdue(state: CheckpointerState, ctx: Context) -> list[Capture]:
    return [one for one in state.under_way if elapsed_s(one.requested_at, ctx.now) >= OVERDUE_S]


def _store(state: CheckpointerState, command: StoreCheckpoint, ctx: Context) -> Decision:
    checkpoint_id = command.checkpoint_id
    if row_of(state, checkpoint_id) is not None:
        return then(reply=checkpoint_id)
    if command.parent and not _can_build_on(state, command):
        return _capture_whole(state, command, ctx)
    blobs = {blob.digest: blob.data for blob in command.blobs}
    info = CheckpointInfo(
        checkpoint_id=checkpoint_id,
        kind=command.kind,
        taken_at_s=ctx.now.wall_s,
        position=command.position,
        size_bytes=command.size_bytes,
        digest=command.digest,
        reason=command.reason,
        parent=command.parent,
        stored_bytes=len(command.data),
        added=tuple(blobs),
        gone=command.gone,
        stall_ms=float(command.stall_ms),
        state_version=command.state_version,
    )
    taken = CheckpointTaken(info, command.hints)
    # One that came so late that it is itself beyond retention stays until the next: that one may build on it.
    after = evolve(state, taken)
    fewer = pruned(after, ctx.now.wall_s, REPLACED)
    brought = {attachment_key(checkpoint_id): command.data}
    brought |= {blob_key(digest): data for digest, data in blobs.items()}
    return settled(state, (taken, *fewer), after=folded(after, fewer), brought=brought, reply=checkpoint_id)


def _can_build_on(state: CheckpointerState, command: StoreCheckpoint) -> bool:
    parent = row_of(state, command.parent)
    if parent is None or command.parent_digest not in {"", parent.digest}:
        return False
    return not state.damages or is_whole(chain_of(state, command.parent))


def _capture_whole(state: CheckpointerState, command: StoreCheckpoint, ctx: Context) -> Decision:
    """What it builds on is not there any more, or damaged: only a whole state will do, and soon."""
    for one in state.under_way:
        if one.checkpoint_id == command.checkpoint_id and elapsed_s(one.requested_at, ctx.now) < OVERDUE_S:
            again = CaptureState(one.checkpoint_id, command.kind, command.reason, hints=command.hints, whole=True)
            return then(effects=(again,))
    message = f"{command.parent}, which it builds on, is not there any more"
    return then(CheckpointFailed(command.checkpoint_id, NO_PARENT, message))


def _clean_up(state: CheckpointerState, keep: int, ctx: Context) -> Decision:
    """Keep only the best few. Then there may be room for an emergency one for which there was none."""
    events: tuple[object, ...] = cleaned_up(state, keep)
    if not events:
        return then(reply=[])
    again = NOTHING
    if state.no_room_for:
        again = _request(evolve(state, events[0]), TakeCheckpoint(EMERGENCY, state.no_room_for), ctx)
    gone = [one for event in events if isinstance(event, CheckpointsPruned) for one in event.checkpoint_ids]
    return settled(state, (*events, *again.events), effects=(*again.effects, _tidy()), reply=gone)


# The janitor


def _look_after(state: CheckpointerState, ctx: Context) -> Decision:
    """Only look, and have a message of its own tidy up: what goes is then not caused by what went before."""
    effects: list[Effect] = [StartTimer(JANITOR_TIMER, LOOK_AFTER_S, LookAfter())]
    if would_prune(state, state.config, ctx.now.wall_s) or most_wasteful(state) is not None:
        effects.append(_tidy())
    return then(effects=effects)


def _tidy_up(state: CheckpointerState, ctx: Context) -> Decision:
    """Remove what is to go by the settings, also by age, and have the most wasteful chain stored anew."""
    events = pruned(state, ctx.now.wall_s, "they are too old, or others of the same hour or day are kept")
    after = folded(state, events)
    wasteful = most_wasteful(after)
    return settled(state, events, after=after, effects=() if wasteful is None else (wasteful,))


def _rebased(state: CheckpointerState, command: StoreRebased) -> Decision:
    decision = rebased(state, command)
    return attrs.evolve(decision, effects=(_tidy(),)) if decision.events else decision


def _tidy() -> Effect:
    return StartTimer(TIDY_TIMER, 0.0, TidyUp())


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
    return then(*given_up, effects=(_timer(state, ctx, at_least_s=at_least_s), janitor))


def spec() -> Spec[CheckpointerState]:
    """The checkpointer. Its configuration comes with ``Configure`` after the start, so that it stands in the log."""
    return Spec(NAME, CheckpointerState(), decide, evolve, recover, state_version=3)


# Helpers


def restore_order(state: CheckpointerState) -> tuple[str, ...]:
    """Ids of the sound checkpoints in the order to try them: newest position first, there emergency ones first."""
    return best_first(state.kept)


def interval_s(config: CheckpointerConfig, mode: str) -> float | None:
    """Seconds between periodic checkpoints in a mode; None: there are none."""
    factor = PROFILES[mode].checkpoint_factor
    return None if factor is None else config.interval_s * factor


def _hints(state: CheckpointerState, command: TakeCheckpoint) -> tuple[str, ...]:
    """What the checkpoint should say of the moment it was taken in."""
    if command.kind != EMERGENCY:
        return (f"Created during {state.mode} operation",)
    return (f"Created in an emergency: {command.reason}", *((f"Error: {command.error}",) if command.error else ()))


def _timer(state: CheckpointerState, ctx: Context, *, at_least_s: float = 0.0) -> Effect:
    """What is left of the interval, or no timer in a mode without periodic checkpoints."""
    whole_s = interval_s(state.config, state.mode)
    if whole_s is None:
        return CancelTimer(INTERVAL_TIMER)
    gone_s = 0.0 if state.periodic_at is None else elapsed_s(state.periodic_at, ctx.now)
    return StartTimer(INTERVAL_TIMER, max(whole_s - gone_s, at_least_s), IntervalOver())
