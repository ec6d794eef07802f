"""What the checkpointer has done by others: the host gives its state."""

from __future__ import annotations

from eventstore.frozen import frozen
from lrm_actors.domain.behavior import Effect


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
