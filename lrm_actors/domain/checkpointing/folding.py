"""What the checkpointer knows, and what each event changes in it."""

from __future__ import annotations

from typing import Any

import attrs
from msgspec import structs

from eventstore.frozen import frozen
from eventstore.records import Instant
from lrm_actors.domain.checkpointing.chains import (
    Rows,
    by_id,
    chain_in,
    counted,
    holds,
    index_of,
    needed,
    with_row,
)
from lrm_actors.domain.checkpointing.commands import FEWEST, FULL
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
from lrm_actors.domain.modes import NORMAL
from lrm_actors.domain.retention import EMERGENCY, PERIODIC, CheckpointerConfig, CheckpointInfo, Tally, id_ms

NO_CAPTURE = "NoCapture"
"""Error of a checkpoint for which the host gives no state: nothing is wrong then."""
NOT_TAKEN_UP = "NotTakenUp"
"""Error of a checkpoint of a host that goes on without what was left to it: none is taken, and they are missed."""
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
    tip: str = ""
    """The checkpoint stored last, which the next one of this process builds on. It stays until then, kept or not."""
    tip_holds: tuple[str, ...] = ()
    """Digests of the blobs in its state."""
    blobs: dict[str, int] = attrs.Factory(dict)
    """How many states hold each blob that is there: those of the kept checkpoints, and the tip's."""
    tally: Tally = attrs.Factory(Tally)
    """Of ``kept``."""
    unserved_since: Instant | None = None
    """When the first request since the last checkpoint was made; None: none was, or the host gives no state."""
    trouble: str = ""
    """What is wrong with checkpoints, as the health was told."""
    distrusted: str = ""
    """The fast way of finding changes that was proven wrong, and is not trusted until the settings change."""
    damages: int = 0
    """Damaged checkpoints found, ever."""
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
                unserved_since=state.unserved_since or at,
            )
        case CheckpointTaken(info):
            return _taken(_ended(state, info.checkpoint_id), info)
        case CheckpointFailed(checkpoint_id, error):
            failures = state.failures + (error not in {INTERRUPTED, NO_CAPTURE, NOT_TAKEN_UP})
            unserved = None if error == NO_CAPTURE else state.unserved_since
            no_room = state.no_room_for
            for one in state.under_way if error == FULL else ():
                if one.checkpoint_id == checkpoint_id and one.kind == EMERGENCY:
                    no_room = one.reason or "there was no room for it"
            return attrs.evolve(
                _ended(state, checkpoint_id), failures=failures, no_room_for=no_room, unserved_since=unserved
            )
        case CheckpointsPruned(checkpoint_ids, reason):
            fits = max(FEWEST, len(state.kept) // 2) if reason == CLEANED_UP else state.fits
            return attrs.evolve(_without(state, checkpoint_ids), fits=fits)
        case CheckpointsRebased(rows):
            return _rebased(state, rows)
        case CheckpointPinned(checkpoint_id, pinned):
            return _replaced(state, checkpoint_id, pinned=pinned)
        case DamageFound(checkpoint_id):
            return attrs.evolve(_replaced(state, checkpoint_id, damaged=True), damages=state.damages + 1)
        case CheckpointRestored(checkpoint_id):
            return attrs.evolve(state, restored=checkpoint_id)
        case ChangeMissed(_, way):
            return attrs.evolve(state, distrusted=way)
        case TroubleNoted(reason):
            return attrs.evolve(state, trouble=reason)
        case ModeNoted(mode):
            return attrs.evolve(state, mode=mode)
        case Configured(config):
            return attrs.evolve(state, config=config, fits=None, distrusted="")
    return state


def _ended(state: CheckpointerState, checkpoint_id: str) -> CheckpointerState:
    return attrs.evolve(state, under_way=tuple(one for one in state.under_way if one.checkpoint_id != checkpoint_id))


def _taken(state: CheckpointerState, info: CheckpointInfo) -> CheckpointerState:
    """One more is kept, and it is the one that the next will build on."""
    kept, blobs = with_row(state.kept, info), state.blobs
    held: tuple[str, ...] = ()
    if info.added or (blobs and info.parent):
        on_tip = info.parent == state.tip
        before = state.tip_holds if on_tip else holds(chain_in(state.kept, state.support, info.parent))
        held = holds((info,), before)
        blobs = dict(blobs)
        for digest in held:
            blobs[digest] = blobs.get(digest, 0) + 1
    support = state.support
    if index_of(support, state.tip) >= 0:  # it stood there as the tip alone, unless something builds on it
        blobs = _fewer(blobs, state.tip_holds)
        support = needed(kept, support, info.checkpoint_id)
    return attrs.evolve(
        state,
        kept=kept,
        support=support,
        blobs=blobs,
        tip=info.checkpoint_id,
        tip_holds=held,
        tally=state.tally.changed(come=(info,)),
        taken=state.taken + 1,
        failures=0,
        unserved_since=None,
    )


def _without(state: CheckpointerState, checkpoint_ids: tuple[str, ...]) -> CheckpointerState:
    """Some are kept no more. They stay as support where a kept one, or the tip, builds on them."""
    places = sorted({index for one in checkpoint_ids if (index := index_of(state.kept, one)) >= 0})
    if not places:
        return state
    gone = tuple([state.kept[place] for place in places])
    kept = _cut_out(state.kept, places)
    others = with_row(state.support, gone[0]) if len(gone) == 1 else _merged(state.support, gone)
    (first, *more), place = gone, places[0]
    if not more and place < len(kept) and kept[place].parent == first.checkpoint_id:
        support = others  # the usual case: the next one builds on it, and it on those that stood there for it
    else:
        support = needed(kept, others, state.tip)
    return attrs.evolve(
        state,
        kept=kept,
        support=support,
        blobs=_blobs_without(state, gone, kept, support),
        tally=state.tally.changed(gone=gone),
    )


def _cut_out(kept: Rows, places: list[int]) -> Rows:
    if places[-1] == len(places) - 1:
        return kept[len(places) :]
    if len(places) == 1:
        return (*kept[: places[0]], *kept[places[0] + 1 :])
    out = set(places)
    return tuple([row for index, row in enumerate(kept) if index not in out])


def _merged(rows: Rows, more: Rows) -> Rows:
    return tuple(sorted((*rows, *more), key=by_id))


def _blobs_without(state: CheckpointerState, gone: Rows, kept: Rows, support: Rows) -> dict[str, int]:
    if not state.blobs:
        return state.blobs
    if len(gone) > 1:
        return counted(kept, support, state.tip)
    if gone[0].checkpoint_id == state.tip:
        return state.blobs
    return _fewer(state.blobs, holds(chain_in(state.kept, state.support, gone[0].checkpoint_id)))


def _fewer(blobs: dict[str, int], held: tuple[str, ...]) -> dict[str, int]:
    """The counts when one state less holds these."""
    if not held:
        return blobs
    blobs = dict(blobs)
    for digest in held:
        left = blobs.pop(digest, 0) - 1
        if left > 0:
            blobs[digest] = left
    return blobs


def _rebased(state: CheckpointerState, rows: tuple[Rebased, ...]) -> CheckpointerState:
    kept = list(state.kept)
    for row in rows:
        index = index_of(state.kept, row.checkpoint_id)
        if index >= 0:
            kept[index] = structs.replace(
                kept[index], parent=row.parent, stored_bytes=row.stored_bytes, added=row.added, gone=row.gone
            )
    after = tuple(kept)
    return attrs.evolve(state, kept=after, support=needed(after, state.support, state.tip))


def _replaced(state: CheckpointerState, checkpoint_id: str, **changes: Any) -> CheckpointerState:
    """The same with one kept row changed; nothing if it is not kept any more."""
    index = index_of(state.kept, checkpoint_id)
    if index < 0:
        return state
    was = state.kept[index]
    row = structs.replace(was, **changes)
    kept = (*state.kept[:index], row, *state.kept[index + 1 :])
    return attrs.evolve(state, kept=kept, tally=state.tally.changed((was,), (row,)))
