"""What the checkpointer has others do: the host gives its state, a worker stores a chain anew."""

from __future__ import annotations

from eventstore.frozen import frozen
from lrm_actors.domain.behavior import Effect
from lrm_actors.domain.retention import CheckpointInfo


@frozen
class CaptureState(Effect):
    """Have the host capture its state; comes back as ``StoreCheckpoint`` or ``CaptureFailed``."""

    checkpoint_id: str
    kind: str
    reason: str
    error: str = ""
    hints: tuple[str, ...] = ()
    whole: bool = False
    """The whole state is wanted, not what changed: what it would build on is not there any more."""
    careful: bool = False
    """A fast way of finding changes was proven wrong in this log: do not trust one."""


@frozen
class RebaseCheckpoints(Effect):
    """Store what is kept of a base and all that builds on it so that it needs nothing else.

    Comes back as ``StoreRebased``: the first one kept is whole then, and each other builds on the one before it.

    Or as ``MarkDamaged`` for one that cannot be restored, or as ``RebaseFailed``.
    """

    chain: tuple[CheckpointInfo, ...]
    """All rows, each after the one that it builds on; several may build on the same."""
    keep: tuple[str, ...]
    """Ids of those that are kept, in the same order."""
