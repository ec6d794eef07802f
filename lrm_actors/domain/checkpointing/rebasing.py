"""Rebase first, delete after: a base that nobody needs all of is stored anew, with what builds on it."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush

from lrm_actors.domain.behavior import NOTHING, Decision
from lrm_actors.domain.checkpointing.chains import Rows, attachment_key, chain_of, index_of, is_whole, state_of
from lrm_actors.domain.checkpointing.commands import StoreRebased
from lrm_actors.domain.checkpointing.effects import RebaseCheckpoints
from lrm_actors.domain.checkpointing.events import CheckpointsRebased, Rebased
from lrm_actors.domain.checkpointing.folding import CheckpointerState, evolve
from lrm_actors.domain.checkpointing.keeping import settled
from lrm_actors.domain.retention import CheckpointInfo

DEAD_SHARE = 0.25
"""Share of a tree's bytes that nobody keeps from which it is stored anew: what is kept costs a third more."""
MAX_SUPPORT = 500
"""Rows that nobody keeps from which it is stored anew however small they are."""

BuildsOn = dict[str, list[CheckpointInfo]]
"""The rows by what they build on."""


def most_wasteful(state: CheckpointerState) -> RebaseCheckpoints | None:
    """The base, with everything that builds on it, that is worth most to be stored anew; if there is one.

    Never the tip's, which grows, nor one with a damaged row, which goes with those who need it.
    """
    if not state.support:
        return None
    best, most = None, 0
    for tree in _trees(state):
        keep = tuple(row.checkpoint_id for row in tree if index_of(state.kept, row.checkpoint_id) >= 0)
        dead = dead_bytes(tree, keep)
        due = dead > sum(row.stored_bytes for row in tree) * DEAD_SHARE or len(tree) - len(keep) > MAX_SUPPORT
        if due and dead >= most and keep and len(keep) < len(tree) and not any(row.damaged for row in tree):
            best, most = RebaseCheckpoints(tree, keep), dead
    return best


def dead_bytes(tree: Rows, keep: tuple[str, ...]) -> int:
    """What storing a tree anew would save, about: the rows that nobody keeps, but for one whole state."""
    kept = set(keep)
    return sum(row.stored_bytes for row in tree if row.checkpoint_id not in kept and row.parent)


def _trees(state: CheckpointerState) -> Iterator[Rows]:
    """What builds on each base, where it has rows that nobody keeps; without the tip's."""
    of_tip = chain_of(state, state.tip)[:1]
    if of_tip and all(chain_of(state, row.checkpoint_id)[:1] == of_tip for row in state.support):
        return
    builds_on = _builds_on(state)
    for base in builds_on.get("", ()):
        if base not in of_tip:
            tree = _tree(base, builds_on)
            if any(index_of(state.support, row.checkpoint_id) >= 0 for row in tree):
                yield tree


def _builds_on(state: CheckpointerState) -> BuildsOn:
    builds_on: BuildsOn = {}
    for row in (*state.support, *state.kept):
        builds_on.setdefault(row.parent, []).append(row)
    return builds_on


def _tree(base: CheckpointInfo, builds_on: BuildsOn) -> Rows:
    """A base and what builds on it: in the order of their ids, but each after the one it builds on."""
    tree: list[CheckpointInfo] = []
    ready = [(base.checkpoint_id, base)]
    while ready:
        _, row = heappop(ready)
        tree.append(row)
        for following in builds_on.get(row.checkpoint_id, ()):
            heappush(ready, (following.checkpoint_id, following))
    return tuple(tree)


def rebased(state: CheckpointerState, command: StoreRebased) -> Decision:
    """Take a chain that was stored anew, if that still fits to what is kept; else nothing, and it is tried again."""
    rows = tuple(Rebased(row.checkpoint_id, len(row.data), row.parent, row.added, row.gone) for row in command.rows)
    event = CheckpointsRebased(rows)
    if not rows or not _fits(state, event):
        return NOTHING
    brought = {attachment_key(row.checkpoint_id): row.data for row in command.rows}
    return settled(state, (event,), brought=brought, reply=[row.checkpoint_id for row in rows])


def _fits(state: CheckpointerState, event: CheckpointsRebased) -> bool:
    """Whether every kept one of the tree would still have its whole chain and its blobs, and fewer rows be there."""
    named = {row.checkpoint_id for row in event.rows}
    first = chain_of(state, event.rows[0].checkpoint_id)
    if not is_whole(first) or len(named) < len(event.rows) or any(index_of(state.kept, one) < 0 for one in named):
        return False
    before = {row.checkpoint_id: row for row in _tree(first[0], _builds_on(state))}
    if not named <= before.keys() or state.tip in before:
        return False
    after_state = evolve(state, event)
    if len(after_state.support) >= len(state.support):
        return False
    builds_on = _builds_on(after_state)
    after = {row.checkpoint_id: row for base in builds_on.get("", ()) for row in _tree(base, builds_on)}
    was: dict[str, tuple[str, ...]] = {}
    is_now: dict[str, tuple[str, ...]] = {}
    for checkpoint_id in before:  # also those that are not named: they may build on one that is
        if index_of(state.kept, checkpoint_id) < 0:
            continue
        if checkpoint_id not in after:
            return False
        if set(state_of(before, was, checkpoint_id)) != set(state_of(after, is_now, checkpoint_id)):
            return False
    return True
