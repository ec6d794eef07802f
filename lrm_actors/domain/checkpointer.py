"""The checkpointer's decisions: when the agent's state is captured, which captures are kept, which is restored.

A checkpoint's bytes are an attachment committed with its event, so a checkpoint and the log position it belongs to
cannot disagree.
"""

from __future__ import annotations

import attrs

from eventstore.events import event
from lrm_actors.domain.behavior import Command, Effect

PERIODIC, EMERGENCY, MANUAL = "periodic", "emergency", "manual"


@attrs.frozen
class CheckpointerConfig:
    interval_s: float = 300.0
    max_checkpoints: int = 50
    """Newest periodic and manual ones kept; emergency ones have ``max_emergency`` of their own."""
    max_emergency: int = 10


@attrs.frozen
class CheckpointInfo:
    checkpoint_id: str
    kind: str
    taken_at_s: float
    """Wall time."""
    position: int
    """Head of the log when the state was captured: everything up to it is in the checkpoint."""
    size_bytes: int
    digest: str
    """blake2b of the uncompressed state, hex."""
    reason: str
    damaged: bool = False


@attrs.frozen
class CheckpointerState:
    config: CheckpointerConfig = CheckpointerConfig()
    mode: str = "normal"
    kept: tuple[CheckpointInfo, ...] = ()
    """Oldest first."""
    pending: str | None = None
    """Id of a checkpoint requested and not yet taken: in doubt after a crash, and then simply given up."""
    failures: int = 0
    """Checkpoints that failed in a row."""
    taken: int = 0


# Commands


@attrs.frozen
class Configure(Command):
    config: CheckpointerConfig


@attrs.frozen
class CheckpointDue(Command):
    """The interval is over."""


@attrs.frozen
class TakeCheckpoint(Command):
    """Capture now. The reply is the checkpoint's id; it is taken when ``checkpointer.taken`` is in the log."""

    kind: str
    reason: str
    error: str = ""
    """The error of an emergency."""
    hints: tuple[str, ...] = ()


@attrs.frozen
class StoreCheckpoint(Command):
    """The captured state comes back from the host."""

    checkpoint_id: str
    kind: str
    reason: str
    data: bytes
    """Compressed."""
    digest: str
    size_bytes: int
    position: int
    hints: tuple[str, ...] = ()


@attrs.frozen
class CaptureFailed(Command):
    checkpoint_id: str
    error: str
    message: str


@attrs.frozen
class MarkDamaged(Command):
    checkpoint_id: str
    reason: str


@attrs.frozen
class ReportRestored(Command):
    checkpoint_id: str
    passed_over: tuple[str, ...] = ()
    """Newer ones that were damaged."""


@attrs.frozen
class CleanUp(Command):
    """Delete all but the newest few: the disk is full."""

    keep: int = 3


@attrs.frozen
class NoteMode(Command):
    mode: str


# Events


@event("checkpointer.configured", 1)
class Configured:
    config: CheckpointerConfig


@event("checkpointer.requested", 1)
class CheckpointRequested:
    """The intent."""

    checkpoint_id: str
    kind: str
    reason: str
    error: str = ""
    hints: tuple[str, ...] = ()


@event("checkpointer.taken", 1)
class CheckpointTaken:
    checkpoint: CheckpointInfo
    hints: tuple[str, ...] = ()


@event("checkpointer.failed", 1)
class CheckpointFailed:
    checkpoint_id: str
    error: str
    message: str


@event("checkpointer.pruned", 1)
class CheckpointsPruned:
    checkpoint_ids: tuple[str, ...]
    reason: str


@event("checkpointer.damage_found", 1)
class DamageFound:
    checkpoint_id: str
    reason: str


@event("checkpointer.restored", 1)
class CheckpointRestored:
    checkpoint_id: str
    passed_over: tuple[str, ...]


@event("checkpointer.mode_noted", 1)
class ModeNoted:
    mode: str


# Effects


@attrs.frozen
class CaptureState(Effect):
    """Have the host capture its state; comes back as ``StoreCheckpoint`` or ``CaptureFailed``."""

    checkpoint_id: str
    kind: str
    reason: str
    error: str = ""
    hints: tuple[str, ...] = ()


def attachment_key(checkpoint_id: str) -> str:
    """Where a checkpoint's bytes are kept."""
    return f"checkpoint/{checkpoint_id}"
