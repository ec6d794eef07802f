"""Which checkpoints need which: what one is restored from, which rows stay for others, and the blobs of their states.

Rows stand in two tuples, both oldest first, which is in the order of their ids: those kept, and those that are only
there for others. A row is nearly always next to the one it builds on, so that is looked at first.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from lrm_actors.domain.retention import CheckpointInfo

if TYPE_CHECKING:
    from lrm_actors.domain.checkpointing.folding import CheckpointerState

Rows = tuple[CheckpointInfo, ...]

by_id = attrgetter("checkpoint_id")


def attachment_key(checkpoint_id: str) -> str:
    """Where a checkpoint's bytes are kept."""
    return f"checkpoint/{checkpoint_id}"


def blob_key(digest: str) -> str:
    """Where a large binary part of one or more states is kept."""
    return f"blob/{digest}"


def chain_of(state: CheckpointerState, checkpoint_id: str) -> Rows:
    """What a checkpoint is restored from: a whole state first, then the changes up to it, itself last.

    Empty for one that is not there. Where a part is missing, which retention never lets happen, it begins with a row
    that has a parent; restoring it then says that it is damaged.
    """
    return chain_in(state.kept, state.support, checkpoint_id)


def chain_in(kept: Rows, support: Rows, checkpoint_id: str) -> Rows:
    """The same among any rows."""
    return tuple(_upwards(kept, support, checkpoint_id))[::-1]


def _upwards(kept: Rows, support: Rows, checkpoint_id: str) -> Iterator[CheckpointInfo]:
    """A row, the one it builds on, and so on. A circle, which no release makes, ends once it was gone round."""
    rows, index = kept, index_of(kept, checkpoint_id)
    for _ in range(len(kept) + len(support)):
        if index < 0:
            rows = support if rows is kept else kept
            index = index_of(rows, checkpoint_id)
            if index < 0:
                return
        yield rows[index]
        checkpoint_id = rows[index].parent
        if not checkpoint_id:
            return
        before = index - 1
        index = before if before >= 0 and rows[before].checkpoint_id == checkpoint_id else index_of(rows, checkpoint_id)


def is_whole(chain: Sequence[CheckpointInfo]) -> bool:
    """Whether a checkpoint can be restored from this chain: all of it is there and, as far as is known, sound."""
    return bool(chain) and not chain[0].parent and not any(info.damaged for info in chain)


def index_of(rows: Sequence[CheckpointInfo], checkpoint_id: str) -> int:
    """Where a row stands; -1 for one that is not among them."""
    index = bisect_left(rows, checkpoint_id, key=by_id)
    return index if index < len(rows) and rows[index].checkpoint_id == checkpoint_id else -1


def row_of(state: CheckpointerState, checkpoint_id: str) -> CheckpointInfo | None:
    """A row that is there, kept or for others."""
    for rows in (state.kept, state.support):
        index = index_of(rows, checkpoint_id)
        if index >= 0:
            return rows[index]
    return None


def with_row(rows: Rows, row: CheckpointInfo) -> Rows:
    """The rows with one more, at its place."""
    if not rows or rows[-1].checkpoint_id < row.checkpoint_id:
        return (*rows, row)
    index = bisect_left(rows, row.checkpoint_id, key=by_id)
    return (*rows[:index], row, *rows[index:])


def needed(kept: Rows, others: Rows, tip: str) -> Rows:
    """Those of the others that must stay: what a kept one or the tip builds on, however far back, and the tip.

    Args:
        kept: the rows that are kept.
        others: oldest first.
        tip: the checkpoint that the next one builds on.
    """
    if not others:
        return others
    there = {row.checkpoint_id: row for row in others}
    stay: set[str] = set()
    for first in (tip, *[row.parent for row in kept]):
        wanted = first
        while wanted in there and wanted not in stay:
            stay.add(wanted)
            wanted = there[wanted].parent
    return others if len(stay) == len(others) else tuple([row for row in others if row.checkpoint_id in stay])


def holds(chain: Iterable[CheckpointInfo], before: Iterable[str] = ()) -> tuple[str, ...]:
    """Digests of the blobs in the state at the end of a chain.

    Args:
        chain: base first.
        before: those in the state that it begins after.
    """
    held = dict.fromkeys(before)
    for row in chain:
        if not row.parent:
            held.clear()
        for digest in row.gone:
            held.pop(digest, None)
        held.update(dict.fromkeys(row.added))
    return tuple(held)


def counted(kept: Rows, support: Rows, tip: str) -> dict[str, int]:
    """How many states hold each blob: those of the kept ones, and of the tip where it is not kept."""
    if not any(row.added for rows in (support, kept) for row in rows):
        return {}
    rows = {row.checkpoint_id: row for row in (*support, *kept)}
    states: dict[str, tuple[str, ...]] = {}
    counts: dict[str, int] = {}
    wanted = [row.checkpoint_id for row in kept]
    if tip in rows and index_of(kept, tip) < 0:
        wanted.append(tip)
    for checkpoint_id in wanted:
        for digest in state_of(rows, states, checkpoint_id):
            counts[digest] = counts.get(digest, 0) + 1
    return counts


def state_of(rows: dict[str, CheckpointInfo], known: dict[str, tuple[str, ...]], checkpoint_id: str) -> tuple[str, ...]:
    """Digests of the blobs in a row's state.

    Args:
        rows: all of its chain at least, by id.
        known: what was found out so far, by id; what is found out now is noted there.
        checkpoint_id: of the row.
    """
    path: list[CheckpointInfo] = []
    wanted = checkpoint_id
    while wanted in rows and wanted not in known and len(path) <= len(rows):
        path.append(rows[wanted])
        wanted = rows[wanted].parent
    for row in reversed(path):
        known[row.checkpoint_id] = holds((row,), known.get(row.parent, ()))
    return known.get(checkpoint_id, ())
