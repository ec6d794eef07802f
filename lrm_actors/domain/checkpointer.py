"""The checkpointer's decisions: when the agent's state is captured, which captures are kept, which is restored.

A checkpoint's bytes are an attachment committed with its event, so a checkpoint and the log position it belongs to
cannot disagree.
"""

from __future__ import annotations

import attrs

from eventstore.events import event
from eventstore.frozen import frozen
from eventstore.records import Attachment, Instant
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
from lrm_actors.domain.deadlines import elapsed_s
from lrm_actors.domain.modes import NORMAL, PROFILES
from lrm_actors.domain.retention import (
    EMERGENCY,
    KINDS,
    MANUAL,
    PERIODIC,
    CheckpointerConfig,
    CheckpointInfo,
    best_first,
    beyond_retention,
    id_ms,
    new_id,
)
from lrm_actors.errors import CommandRefused

__all__ = ["EMERGENCY", "MANUAL", "PERIODIC", "CheckpointInfo", "CheckpointerConfig"]  # spoken of with the checkpointer

NAME = "checkpointer"
INTERVAL_TIMER, DUE_TIMER, OVERDUE_TIMER = "interval", "due", "overdue"
INTERRUPTED = "Interrupted"
"""Error of a checkpoint whose process ended before it was taken."""
OVERDUE = "CaptureOverdue"
"""Error of a checkpoint whose capture never came back."""
FULL = "StorageFull"
"""Error of a checkpoint for which the disk had no room."""
CLEANED_UP = "cleaned up to free space"
FEWEST = 3
"""Checkpoints that are kept however full the disk is, where they fit."""
OVERDUE_S = 300.0
"""Seconds after which a capture that has not come back holds up others no more. Should it come later, it is kept."""
MAX_CAPTURES = 4
"""Captures under way at a time; one more request is answered with the newest of its kind, or refused."""
MAX_REMEMBERED = 16
"""Captures that never came back and are still known of."""
AFTER_START_S = 10.0
"""Seconds, or one interval if that is less, that a new process has before its first periodic checkpoint."""


@frozen
class Capture:
    """A checkpoint requested and not yet taken: in doubt after a crash, and then simply given up."""

    checkpoint_id: str
    kind: str
    requested_at: Instant
    reason: str = ""


@frozen
class CheckpointerState:
    config: CheckpointerConfig = attrs.Factory(CheckpointerConfig)
    mode: str = NORMAL
    kept: tuple[CheckpointInfo, ...] = ()
    """Oldest first."""
    under_way: tuple[Capture, ...] = ()
    """Oldest first."""
    last_id_ms: int = 0
    """The time in the newest id given out."""
    periodic_at: Instant | None = None
    """When the last periodic checkpoint was requested."""
    failures: int = 0
    """Checkpoints that failed in a row."""
    taken: int = 0
    restored: str | None = None
    """The checkpoint last restored."""
    fits: int | None = None
    """How many are kept at most since the disk was last full: half of what was kept then. None: it never was."""
    no_room_for: str = ""
    """Reason of an emergency checkpoint for which there was no room, and that is taken again once there is some."""

    @property
    def pending(self) -> str | None:
        """Id of the periodic or manual checkpoint under way."""
        ids = [capture.checkpoint_id for capture in self.under_way if capture.kind != EMERGENCY]
        return ids[-1] if ids else None


# Commands


@frozen
class Configure(Command):
    config: CheckpointerConfig


@frozen
class IntervalOver(Command):
    """The timer."""


@frozen
class GiveUpOverdue(Command):
    """A capture has not come back for too long."""


@frozen
class CheckpointDue(Command):
    """The interval is over."""


@frozen
class ListCheckpoints(Command):
    """The reply is the ids of the sound ones, newest first, once whatever was stored before has taken effect."""


@frozen
class TakeCheckpoint(Command):
    """Capture now. The reply is the checkpoint's id; it is taken when ``checkpointer.taken`` is in the log."""

    kind: str
    reason: str
    error: str = ""
    """The error of an emergency."""
    hints: tuple[str, ...] = ()


@frozen
class StoreCheckpoint(Command):
    """The captured state comes back from the host."""

    checkpoint_id: str
    kind: str
    reason: str
    data: bytes
    """Compressed."""
    digest: str
    size_bytes: int
    position: int
    hints: tuple[str, ...] = ()

    def where_nothing_fits(self, message: str) -> Command:
        """A checkpoint that does not fit has failed: that fits, and old ones are deleted because of it."""
        return CaptureFailed(self.checkpoint_id, FULL, message)


@frozen
class CaptureFailed(Command):
    checkpoint_id: str
    error: str
    message: str


@frozen
class MarkDamaged(Command):
    checkpoint_id: str
    reason: str


@frozen
class ReportRestored(Command):
    checkpoint_id: str
    passed_over: tuple[str, ...] = ()
    """Newer ones that were damaged."""


@frozen
class CleanUp(Command):
    """Delete all but the newest few: the disk is full."""

    keep: int = FEWEST


@frozen
class NoteMode(Command):
    mode: str


# Events


@event("checkpointer.configured", 1)
class Configured:
    config: CheckpointerConfig


@event("checkpointer.requested", 1)
class CheckpointRequested:
    """The intent."""

    checkpoint_id: str
    kind: str
    reason: str
    error: str = ""
    hints: tuple[str, ...] = ()
    at: Instant | None = None


@event("checkpointer.taken", 1)
class CheckpointTaken:
    checkpoint: CheckpointInfo
    hints: tuple[str, ...] = ()


@event("checkpointer.failed", 1)
class CheckpointFailed:
    checkpoint_id: str
    error: str
    message: str


@event("checkpointer.pruned", 1)
class CheckpointsPruned:
    checkpoint_ids: tuple[str, ...]
    reason: str


@event("checkpointer.damage_found", 1)
class DamageFound:
    checkpoint_id: str
    reason: str


@event("checkpointer.restored", 1)
class CheckpointRestored:
    checkpoint_id: str
    passed_over: tuple[str, ...]


@event("checkpointer.mode_noted", 1)
class ModeNoted:
    mode: str


# Effects


@frozen
class CaptureState(Effect):
    """Have the host capture its state; comes back as ``StoreCheckpoint`` or ``CaptureFailed``."""

    checkpoint_id: str
    kind: str
    reason: str
    error: str = ""
    hints: tuple[str, ...] = ()


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
            pruned, discard = _prune(after, f"only {config.max_checkpoints} are to be kept now")
            return then(Configured(config), *pruned, effects=(_timer(after, ctx),), discard=discard)
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
    if any(info.checkpoint_id == checkpoint_id for info in state.kept):
        return then(reply=checkpoint_id)
    info = CheckpointInfo(
        checkpoint_id=checkpoint_id,
        kind=command.kind,
        taken_at_s=ctx.now.wall_s,
        position=command.position,
        size_bytes=command.size_bytes,
        digest=command.digest,
        reason=command.reason,
    )
    taken = CheckpointTaken(info, command.hints)
    pruned, discard = _prune(evolve(state, taken), "newer ones took their place")
    # One that came so late that it is itself beyond retention is not written at all.
    attachments = (
        () if attachment_key(checkpoint_id) in discard else (Attachment(attachment_key(checkpoint_id), command.data),)
    )
    discard = tuple(key for key in discard if key != attachment_key(checkpoint_id))
    return then(taken, *pruned, reply=checkpoint_id, attachments=attachments, discard=discard)


def _clean_up(state: CheckpointerState, keep: int, ctx: Context) -> Decision:
    """Keep only what would be tried first when restoring; one at least. Then there may be room for an emergency."""
    keep_ids = set(restore_order(state)[: max(keep, 1)])
    gone = tuple(info.checkpoint_id for info in state.kept if info.checkpoint_id not in keep_ids)
    if not gone:
        return then(reply=[])
    pruned = CheckpointsPruned(gone, CLEANED_UP)
    discard = [attachment_key(checkpoint_id) for checkpoint_id in gone]
    again = NOTHING
    if state.no_room_for:
        again = _request(evolve(state, pruned), TakeCheckpoint(EMERGENCY, state.no_room_for), ctx)
    return then(pruned, *again.events, effects=again.effects, discard=discard, reply=list(gone))


def _prune(state: CheckpointerState, reason: str) -> tuple[tuple[CheckpointsPruned, ...], tuple[str, ...]]:
    """The event that brings what is kept down to what may be kept, and the attachments that go with it."""
    config = state.config
    if state.fits is not None and state.fits < config.max_checkpoints:
        config, reason = attrs.evolve(config, max_checkpoints=state.fits), "more would fill the disk again"
    gone = beyond_retention(state.kept, config)
    if not gone:
        return (), ()
    return (CheckpointsPruned(gone, reason),), tuple(attachment_key(checkpoint_id) for checkpoint_id in gone)


# Evolve


def evolve(state: CheckpointerState, event: object) -> CheckpointerState:
    """What one event changes."""
    match event:
        case CheckpointRequested(checkpoint_id, kind, reason, at=at):
            at = at or Instant(0.0, 0.0, "")
            return attrs.evolve(
                state,
                under_way=(*state.under_way, Capture(checkpoint_id, kind, at, reason))[-MAX_REMEMBERED:],
                no_room_for="" if kind == EMERGENCY else state.no_room_for,
                last_id_ms=max(state.last_id_ms, id_ms(checkpoint_id)),
                periodic_at=at if kind == PERIODIC else state.periodic_at,
            )
        case CheckpointTaken(info):
            state = _ended(state, info.checkpoint_id)
            kept = tuple(sorted((*state.kept, info), key=lambda one: id_ms(one.checkpoint_id)))
            return attrs.evolve(state, kept=kept, taken=state.taken + 1, failures=0)
        case CheckpointFailed(checkpoint_id, error):
            failures = state.failures + (error != INTERRUPTED)
            no_room = state.no_room_for
            for one in state.under_way if error == FULL else ():
                if one.checkpoint_id == checkpoint_id and one.kind == EMERGENCY:
                    no_room = one.reason or "there was no room for it"
            return attrs.evolve(_ended(state, checkpoint_id), failures=failures, no_room_for=no_room)
        case CheckpointsPruned(checkpoint_ids, reason):
            fits = max(FEWEST, len(state.kept) // 2) if reason == CLEANED_UP else state.fits
            kept = tuple(one for one in state.kept if one.checkpoint_id not in checkpoint_ids)
            return attrs.evolve(state, kept=kept, fits=fits)
        case DamageFound(checkpoint_id):
            damaged = (
                attrs.evolve(one, damaged=one.damaged or one.checkpoint_id == checkpoint_id) for one in state.kept
            )
            return attrs.evolve(state, kept=tuple(damaged))
        case CheckpointRestored(checkpoint_id):
            return attrs.evolve(state, restored=checkpoint_id)
        case ModeNoted(mode):
            return attrs.evolve(state, mode=mode)
        case Configured(config):
            return attrs.evolve(state, config=config, fits=None)
    return state


def _ended(state: CheckpointerState, checkpoint_id: str) -> CheckpointerState:
    return attrs.evolve(state, under_way=tuple(one for one in state.under_way if one.checkpoint_id != checkpoint_id))


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
    return then(*given_up, effects=(_timer(state, ctx, at_least_s=at_least_s),))


def spec() -> Spec[CheckpointerState]:
    """The checkpointer. Its configuration comes with ``Configure`` after the start, so that it stands in the log."""
    return Spec(NAME, CheckpointerState(), decide, evolve, recover, state_version=2)


# Helpers


def attachment_key(checkpoint_id: str) -> str:
    """Where a checkpoint's bytes are kept."""
    return f"checkpoint/{checkpoint_id}"


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
