"""What an agent that goes on from a checkpoint reads of its log: retention by hand must leave it there."""

from __future__ import annotations

from collections.abc import Sequence

from eventstore.protocol import EventReader
from lrm_actors.domain.checkpointer import CheckpointerState
from lrm_actors.domain.retention import CheckpointInfo
from lrm_actors.inspect.replay import state_at


def needed_after(reader: EventReader) -> int | None:
    """The position after which every event is needed to recover: that of the oldest checkpoint of the newest ones.

    The results of the steps since then are in the log only. Without a checkpoint all of them are: 0. None where there
    is neither a checkpoint nor a step. Checkpoints that are kept longer than ``max_checkpoints``, by a pin or thinned
    out over hours and days, are not counted: each would hold the whole log since then. Our own events must be known to
    this process, see ``folds.declare_ours``.

    Raises:
        EventStoreError: the log is damaged, and it cannot be said.
    """
    there = {info.name for info in reader.streams()} & {"checkpointer", "journal"}
    actors = {name: state_at(reader, name) for name in there}
    if not all(actor.folded for actor in actors.values()):
        return 0  # what cannot be told is taken for needed
    state = actors["checkpointer"].state if "checkpointer" in actors else CheckpointerState()
    steps = "journal" in actors and bool(actors["journal"].state.committed)
    return needed_by(state.kept, state.config.max_checkpoints, steps=steps)


def needed_by(kept: Sequence[CheckpointInfo], newest: int, *, steps: bool) -> int | None:
    """The same, of an agent whose states are at hand.

    Args:
        kept: the checkpoints there are, oldest first.
        newest: how many of them count.
        steps: whether any step was committed.
    """
    if kept:
        return min(info.position for info in kept[-max(newest, 1) :])
    return 0 if steps else None
