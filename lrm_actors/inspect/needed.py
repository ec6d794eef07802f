"""What an agent that goes on from a checkpoint reads of its log: retention by hand must leave it there."""

from __future__ import annotations

from eventstore.protocol import EventReader
from lrm_actors.inspect.replay import state_at


def needed_after(reader: EventReader) -> int | None:
    """The position after which every event is needed to recover: that of the oldest checkpoint that is kept.

    The results of the steps since then are in the log only. Without a checkpoint all of them are: 0. None where there
    is neither a checkpoint nor a step. Our own events must be known to this process, see ``folds.declare_ours``.

    Raises:
        EventStoreError: the log is damaged, and it cannot be said.
    """
    there = {info.name for info in reader.streams()} & {"checkpointer", "journal"}
    actors = {name: state_at(reader, name) for name in there}
    if not all(actor.folded for actor in actors.values()):
        return 0  # what cannot be told is taken for needed
    kept = actors["checkpointer"].state.kept if "checkpointer" in actors else ()
    if kept:
        positions: list[int] = [info.position for info in kept]
        return min(positions)
    return 0 if "journal" in actors and actors["journal"].state.committed else None
