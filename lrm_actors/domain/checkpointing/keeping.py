"""Which checkpoints are kept no more, and what goes from the log with them: nothing that anything remaining needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from eventstore.records import Attachment
from lrm_actors.domain.behavior import Context, Decision, Effect, then
from lrm_actors.domain.checkpointing.chains import attachment_key, blob_key, chain_in, holds, index_of
from lrm_actors.domain.checkpointing.commands import PinCheckpoint, Prune
from lrm_actors.domain.checkpointing.events import CheckpointPinned, CheckpointsPruned
from lrm_actors.domain.checkpointing.folding import CLEANED_UP, CheckpointerState, evolve
from lrm_actors.domain.retention import CheckpointerConfig, best_first, beyond_retention
from lrm_actors.errors import CommandRefused

NAME = "checkpointer"
MAX_PINNED = 100
"""Checkpoints that may be pinned: they are kept for ever, and so is what they build on."""
FEW = 4
"""Rows whose states are looked at one by one."""
REPLACED = "newer ones took their place"
NEARLY_FULL = "the disk is nearly full"
WOULD_FILL = "more would fill the disk again"


def pruned(
    state: CheckpointerState, now_s: float, reason: str, config: CheckpointerConfig | None = None
) -> tuple[CheckpointsPruned, ...]:
    """The event that brings what is kept down to what may be kept; none when that is so already."""
    config, full = _bounded(state, config or state.config)
    gone = beyond_retention(state.kept, config, now_s, state.tally)
    return (CheckpointsPruned(gone, WOULD_FILL if full else reason),) if gone else ()


def would_prune(state: CheckpointerState, config: CheckpointerConfig, now_s: float) -> tuple[str, ...]:
    """Ids of what retention by these rules would remove now, oldest first; nothing is removed.

    Args:
        state: the checkpointer's.
        config: the rules, for instance ``Prune(...).config(state.config)``.
        now_s: wall time.
    """
    return beyond_retention(state.kept, _bounded(state, config)[0], now_s, state.tally)


def _bounded(state: CheckpointerState, config: CheckpointerConfig) -> tuple[CheckpointerConfig, bool]:
    """The rules, and whether a disk that was full once makes them stricter."""
    if state.fits is None or state.fits >= config.max_checkpoints:
        return config, False
    return attrs.evolve(config, max_checkpoints=state.fits, keep_hourly_h=0, keep_daily_days=0), True


def prune(state: CheckpointerState, command: Prune, ctx: Context) -> Decision:
    """Apply retention now, because somebody asks for it."""
    events = pruned(state, ctx.now.wall_s, command.reason, command.config(state.config))
    gone = [checkpoint_id for event in events for checkpoint_id in event.checkpoint_ids]
    return settled(state, events, reply=gone)


def pin(state: CheckpointerState, command: PinCheckpoint, ctx: Context) -> Decision:
    """Keep one for good, or leave it to the rules again, which may be that it goes at once."""
    index = index_of(state.kept, command.checkpoint_id)
    if index < 0:
        message = f"there is no checkpoint {command.checkpoint_id!r}"
        raise CommandRefused(message, actor=NAME, hint="list_checkpoints() names those there are")
    if state.kept[index].pinned == command.pinned:
        return then(reply=command.checkpoint_id)
    if command.pinned and state.tally.pinned >= MAX_PINNED:
        raise CommandRefused(f"{MAX_PINNED} checkpoints are pinned", actor=NAME, hint="unpin one of them first")
    noted = CheckpointPinned(command.checkpoint_id, command.pinned, command.reason)
    events = (noted, *pruned(evolve(state, noted), ctx.now.wall_s, REPLACED))
    return settled(state, events, reply=command.checkpoint_id)


def cleaned_up(state: CheckpointerState, keep: int, reason: str = CLEANED_UP) -> tuple[CheckpointsPruned, ...]:
    """The event that keeps only what would be tried first when restoring, one at least, and what is pinned."""
    stay = set(best_first(state.kept)[: max(keep, 1)])
    gone = tuple(info.checkpoint_id for info in state.kept if info.checkpoint_id not in stay and not info.pinned)
    return (CheckpointsPruned(gone, reason),) if gone else ()


def settled(
    before: CheckpointerState,
    events: Iterable[object],
    *,
    first: CheckpointerState | None = None,
    after: CheckpointerState | None = None,
    brought: Mapping[str, bytes] | None = None,
    anew: bool = False,
    effects: Iterable[Effect] = (),
    reply: object = None,
) -> Decision:
    """The decision for these events, with what they bring into the log and what nothing needs after them.

    Args:
        before: the state that they begin from.
        events: in order.
        first: the state after the first of them, where it is known.
        after: the state after all of them, where it is known.
        brought: attachments by key. Of blobs only those are stored that are not there yet.
        anew: store all of them: one that is there may be what is damaged.
        effects: carried out after the commit.
        reply: for whoever asked.
    """
    events = tuple(events)
    after = folded(before, events) if after is None else after
    there = before.blobs
    attachments = [
        Attachment(key, data)
        for key, data in (brought or {}).items()
        if anew or not key.startswith(blob_key("")) or key.removeprefix(blob_key("")) not in there
    ]
    lost = _lost(before, after, events)
    return then(*events, effects=effects, reply=reply, attachments=attachments, discard=lost, folded=first)


def folded(state: CheckpointerState, events: Iterable[object]) -> CheckpointerState:
    """The state after these events."""
    for event in events:
        state = evolve(state, event)
    return state


def _lost(before: CheckpointerState, after: CheckpointerState, events: tuple[object, ...]) -> tuple[str, ...]:
    """Keys of what was there and is needed no more."""
    gone = tuple(one for event in events if isinstance(event, CheckpointsPruned) for one in event.checkpoint_ids)
    rows = dict.fromkeys(gone)
    if before.support is not after.support:
        rows |= dict.fromkeys(row.checkpoint_id for row in before.support)
        for row in after.support:
            rows.pop(row.checkpoint_id, None)
    lost = [attachment_key(one) for one in rows]
    if before.blobs is not after.blobs:
        there = before.blobs if len(gone) > FEW else _held_by(before, gone)
        lost += [blob_key(digest) for digest in there if digest in before.blobs and digest not in after.blobs]
    return tuple(lost)


def _held_by(state: CheckpointerState, checkpoint_ids: tuple[str, ...]) -> dict[str, None]:
    """Digests of the blobs in the states of a few, and in the tip's."""
    held = dict.fromkeys(state.tip_holds)
    for one in checkpoint_ids:
        held |= dict.fromkeys(holds(chain_in(state.kept, state.support, one)))
    return held
