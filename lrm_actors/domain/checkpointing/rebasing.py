"""Rebase first, delete after: when a chain holds more that nobody keeps than it should, and what comes back from it."""

from __future__ import annotations

from collections.abc import Iterator

from lrm_actors.domain.behavior import NOTHING, Decision
from lrm_actors.domain.checkpointing.chains import Rows, attachment_key, chain_of, index_of, is_whole, state_of
from lrm_actors.domain.checkpointing.commands import StoreRebased
from lrm_actors.domain.checkpointing.effects import RebaseCheckpoints
from lrm_actors.domain.checkpointing.events import CheckpointsRebased, Rebased
from lrm_actors.domain.checkpointing.folding import CheckpointerState, evolve
from lrm_actors.domain.checkpointing.keeping import settled
from lrm_actors.domain.retention import CheckpointInfo

DEAD_SHARE = 0.25
"""Share of a chain's bytes that nobody keeps from which the chain is stored anew: what is kept costs a third more."""
MAX_SUPPORT = 500
"""Rows that nobody keeps from which it is stored anew however small they are: restoring goes through them all."""


def most_wasteful(state: CheckpointerState) -> RebaseCheckpoints | None:
    """The chain that is worth most to be stored anew, if there is one.

    Never the tip's, which grows. Nor one that branches, which comes of a checkpoint that could not be stored: it goes
    with those who need it. Nor one with a damaged row.
    """
    if not state.support:
        return None
    best, most = None, 0
    for chain in _chains(state):
        keep = tuple(row.checkpoint_id for row in chain if index_of(state.kept, row.checkpoint_id) >= 0)
        dead = dead_bytes(chain, keep)
        total = sum(row.stored_bytes for row in chain)
        due = dead > total * DEAD_SHARE or len(chain) - len(keep) > MAX_SUPPORT
        if due and dead >= most and keep and len(keep) < len(chain) and is_whole(chain):
            best, most = RebaseCheckpoints(chain, keep), dead
    return best


def dead_bytes(chain: Rows, keep: tuple[str, ...]) -> int:
    """What storing a chain anew would save, about: the rows that nobody keeps, but for one whole state."""
    kept = set(keep)
    return sum(row.stored_bytes for row in chain if row.checkpoint_id not in kept and row.parent)


def _chains(state: CheckpointerState) -> Iterator[Rows]:
    """The chains that have rows which nobody keeps, each base first; without the tip's, and those that branch."""
    of_tip = {row.checkpoint_id for row in chain_of(state, state.tip)}
    if all(row.checkpoint_id in of_tip for row in state.support):
        return
    builds_on = _builds_on(state)
    for base in builds_on.get("", ()):
        chain = _straight(base, builds_on)
        if base.checkpoint_id not in of_tip and any(index_of(state.support, row.checkpoint_id) >= 0 for row in chain):
            yield chain


def _builds_on(state: CheckpointerState) -> dict[str, list[CheckpointInfo]]:
    """The rows by what they build on."""
    builds_on: dict[str, list[CheckpointInfo]] = {}
    for row in (*state.support, *state.kept):
        builds_on.setdefault(row.parent, []).append(row)
    return builds_on


def _straight(base: CheckpointInfo, builds_on: dict[str, list[CheckpointInfo]]) -> Rows:
    """A base and what builds on it; nothing where two build on the same."""
    chain: list[CheckpointInfo] = []
    following = [base]
    while len(following) == 1:
        chain.append(following[0])
        following = builds_on.get(following[0].checkpoint_id, [])
    return () if following else tuple(chain)


def rebased(state: CheckpointerState, command: StoreRebased) -> Decision:
    """Take a chain that was stored anew, if that still fits to what is kept; else nothing, and it is tried again."""
    rows = tuple(Rebased(row.checkpoint_id, len(row.data), row.parent, row.added, row.gone) for row in command.rows)
    event = CheckpointsRebased(rows)
    if not rows or not _fits(state, event):
        return NOTHING
    brought = {attachment_key(row.checkpoint_id): row.data for row in command.rows}
    return settled(state, (event,), brought=brought, reply=[row.checkpoint_id for row in rows])


def _fits(state: CheckpointerState, event: CheckpointsRebased) -> bool:
    """Whether every kept one of the chain would still have its whole chain and its blobs, and fewer rows be there."""
    named = {row.checkpoint_id for row in event.rows}
    first = chain_of(state, event.rows[0].checkpoint_id)
    if not is_whole(first) or len(named) < len(event.rows) or any(index_of(state.kept, one) < 0 for one in named):
        return False
    chain = _straight(first[0], _builds_on(state))
    there = {row.checkpoint_id for row in chain}
    if not named <= there or state.tip in there:
        return False
    after = evolve(state, event)
    if len(after.support) >= len(state.support):
        return False
    before_rows = {row.checkpoint_id: row for row in chain}
    after_rows = {row.checkpoint_id: row for row in (*after.support, *after.kept) if row.checkpoint_id in there}
    known: tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]] = {}, {}
    for row in after_rows.values():  # also those that are not named: they may build on one that is
        if row.parent and (row.parent not in after_rows or row.parent >= row.checkpoint_id):
            return False
        was = state_of(before_rows, known[0], row.checkpoint_id)
        if set(was) != set(state_of(after_rows, known[1], row.checkpoint_id)):
            return False
    return True
