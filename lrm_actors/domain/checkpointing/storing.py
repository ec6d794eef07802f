"""What becomes of a state that comes back: it is kept, with what it builds on, or it is asked for once more, whole."""

from __future__ import annotations

from lrm_actors.domain.behavior import Context, Decision, then
from lrm_actors.domain.checkpointing.chains import attachment_key, blob_key, chain_of, is_whole, row_of
from lrm_actors.domain.checkpointing.commands import StoreCheckpoint
from lrm_actors.domain.checkpointing.effects import CaptureState
from lrm_actors.domain.checkpointing.events import ChangeMissed, CheckpointTaken, TroubleNoted
from lrm_actors.domain.checkpointing.folding import CheckpointerState, evolve
from lrm_actors.domain.checkpointing.keeping import REPLACED, folded, pruned, settled
from lrm_actors.domain.checkpointing.requesting import OVERDUE_S, failed
from lrm_actors.domain.deadlines import elapsed_s
from lrm_actors.domain.retention import CheckpointInfo

NO_PARENT = "ParentGone"
"""Error of a checkpoint that builds on one which is not there any more, and that nobody waits for."""
MAX_PATHS, MAX_PATH = 10, 200
"""Paths of missed changes that are put on record, and characters of each."""


def store(state: CheckpointerState, command: StoreCheckpoint, ctx: Context) -> Decision:
    """Keep a captured state; what is beyond retention then goes, and all that only it needed."""
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
    first = evolve(state, taken)
    if any(digest not in state.blobs and digest not in blobs for digest in first.tip_holds):
        return _capture_whole(state, command, ctx)  # its parent's state holds it, and nothing that is kept did since
    noted = _noted(state, command)
    # One that came so late that it is itself beyond retention stays until the next: that one may build on it.
    fewer = pruned(first, ctx.now.wall_s, REPLACED)
    brought = {attachment_key(checkpoint_id): command.data}
    brought |= {blob_key(digest): data for digest, data in blobs.items()}
    after = folded(first, (*fewer, *noted))
    return settled(
        state,
        (taken, *fewer, *noted),
        first=first,
        after=after,
        brought=brought,
        anew=bool(state.damages) and any(row.damaged for row in state.kept),
        reply=checkpoint_id,
    )


def _noted(state: CheckpointerState, command: StoreCheckpoint) -> tuple[object, ...]:
    """That a fast way of finding changes was wrong; or that what was wrong with checkpoints is over."""
    if command.missed:
        paths = tuple(path[:MAX_PATH] for path in command.missed[:MAX_PATHS])
        reason = f"the way {command.way!r} of finding changes missed some, first at {paths[0]}"
        return ChangeMissed(paths, command.way), TroubleNoted(reason)
    return (TroubleNoted(""),) if state.trouble else ()


def _can_build_on(state: CheckpointerState, command: StoreCheckpoint) -> bool:
    parent = row_of(state, command.parent)
    if parent is None or command.parent_digest not in {"", parent.digest}:
        return False
    if state.tally.damaged:  # found since the last one was stored: what is wrong there may be a part of the parent, too
        return False
    return not state.damages or is_whole(chain_of(state, command.parent))


def _capture_whole(state: CheckpointerState, command: StoreCheckpoint, ctx: Context) -> Decision:
    """What it builds on is not all there any more, or damaged: only a whole state will do, and soon."""
    for one in state.under_way:
        if one.checkpoint_id == command.checkpoint_id and elapsed_s(one.requested_at, ctx.now) < OVERDUE_S:
            again = CaptureState(
                one.checkpoint_id,
                command.kind,
                command.reason,
                hints=command.hints,
                whole=True,
                careful=bool(state.distrusted),
            )
            return then(effects=(again,))
    message = f"{command.parent}, which it builds on, is not there any more, or not all of it"
    return failed(state, command.checkpoint_id, NO_PARENT, message)
