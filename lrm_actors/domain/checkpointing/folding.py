"""What the checkpointer knows, and what each event changes in it."""

from __future__ import annotations

import attrs
from msgspec import structs

from eventstore.frozen import frozen
from eventstore.records import Instant
from lrm_actors.domain.checkpointing.commands import FEWEST, FULL
from lrm_actors.domain.checkpointing.events import (
    CheckpointFailed,
    CheckpointRequested,
    CheckpointRestored,
    CheckpointsPruned,
    CheckpointTaken,
    Configured,
    DamageFound,
    ModeNoted,
)
from lrm_actors.domain.modes import NORMAL
from lrm_actors.domain.retention import EMERGENCY, PERIODIC, CheckpointerConfig, CheckpointInfo, id_ms

INTERRUPTED = "Interrupted"
"""Error of a checkpoint whose process ended before it was taken."""
CLEANED_UP = "cleaned up to free space"
MAX_REMEMBERED = 16
"""Captures that never came back and are still known of."""


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
    support: tuple[CheckpointInfo, ...] = ()
    """Oldest first: kept no more, but still there because a kept one, or the next one to come, builds on them."""
    no_room_for: str = ""
    """Reason of an emergency checkpoint for which there was no room, and that is taken again once there is some."""

    @property
    def pending(self) -> str | None:
        """Id of the periodic or manual checkpoint under way."""
        ids = [capture.checkpoint_id for capture in self.under_way if capture.kind != EMERGENCY]
        return ids[-1] if ids else None


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
                structs.replace(one, damaged=True) if one.checkpoint_id == checkpoint_id else one for one in state.kept
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
