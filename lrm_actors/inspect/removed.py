"""Why a checkpoint is kept no more, for who asks for it by its id. Reads the log only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.errors import EventStoreError
from lrm_actors.domain.checkpointing.events import CheckpointsPruned

if TYPE_CHECKING:
    from eventstore.protocol import EventReader

PRUNED = "checkpointer.pruned"
SHORTEST_PART = 4
"""Characters of the end of an id that may stand for it."""


def stands_for(given: str, checkpoint_id: str) -> bool:
    """Whether what was given is the end of an id, and long enough to stand for it."""
    return len(given) >= SHORTEST_PART and checkpoint_id.endswith(given)


def why_removed(reader: EventReader, given: str) -> str:
    """When and why retention removed a checkpoint; empty where the log does not tell.

    Args:
        reader: the log.
        given: its id, or the end of one.
    """
    told = ""
    if len(given) < SHORTEST_PART:
        return told
    try:
        for record in reader.read(types=(PRUNED,), removed="skip"):
            for event in record.events:
                if isinstance(event, CheckpointsPruned) and any(stands_for(given, one) for one in event.checkpoint_ids):
                    told = f"it was removed at #{record.position}, as {event.reason}"
    except EventStoreError:  # what else is wrong with the log is said by who looks for that
        return told
    return told
