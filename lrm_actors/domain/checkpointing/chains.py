"""Which checkpoints need which: the chain that one is restored from, and the keys its parts are kept under."""

from __future__ import annotations

from collections.abc import Iterable

from lrm_actors.domain.checkpointing.folding import CheckpointerState
from lrm_actors.domain.retention import CheckpointInfo


def attachment_key(checkpoint_id: str) -> str:
    """Where a checkpoint's bytes are kept."""
    return f"checkpoint/{checkpoint_id}"


def blob_key(digest: str) -> str:
    """Where a large binary part of one or more states is kept."""
    return f"blob/{digest}"


def chain_of(state: CheckpointerState, checkpoint_id: str) -> tuple[CheckpointInfo, ...]:
    """What a checkpoint is restored from: a whole state first, then the changes up to it, itself last.

    Empty for one that is not there. Where a part is missing, which retention never lets happen, it begins with a row
    that has a parent; restoring it then says that it is damaged.
    """
    return chain_in((*state.support, *state.kept), checkpoint_id)


def chain_in(rows: Iterable[CheckpointInfo], checkpoint_id: str) -> tuple[CheckpointInfo, ...]:
    """The same among any rows."""
    by_id = {row.checkpoint_id: row for row in rows}
    chain: list[CheckpointInfo] = []
    row = by_id.pop(checkpoint_id, None)
    while row is not None:  # what was taken out is not found again, so that a circle ends
        chain.append(row)
        row = by_id.pop(row.parent, None)
    return tuple(reversed(chain))
