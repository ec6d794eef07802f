"""What the checkpointer says: requested, taken, failed, pruned, found damaged, restored."""

from __future__ import annotations

from msgspec import Struct

from eventstore.events import event
from eventstore.records import Instant
from lrm_actors.domain.retention import CheckpointerConfig, CheckpointInfo


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
    at: Instant | None = None


@event("checkpointer.taken", 1)
class CheckpointTaken:
    checkpoint: CheckpointInfo
    hints: tuple[str, ...] = ()


@event("checkpointer.failed", 1)
class CheckpointFailed:
    checkpoint_id: str
    error: str
    message: str
    in_a_row: int = 1
    """How many have failed since the last one that was taken, with this one."""


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


@event("checkpointer.change_missed", 1)
class ChangeMissed:
    """A fast way of finding what changed was proven wrong. The checkpoint it was found at is right."""

    paths: tuple[str, ...]
    """Of the state: the first few."""
    way: str


@event("checkpointer.trouble_noted", 1)
class TroubleNoted:
    """Checkpoints fail, or are missed; or, with an empty reason, that is over."""

    reason: str


@event("checkpointer.pinned", 1)
class CheckpointPinned:
    """No rule of retention removes it any more, or the rules are for it again."""

    checkpoint_id: str
    pinned: bool
    reason: str


class Rebased(Struct, frozen=True, omit_defaults=True):
    """What a checkpoint builds on now. Its state, and so its digest, is what it was."""

    checkpoint_id: str
    stored_bytes: int
    parent: str = ""
    added: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


@event("checkpointer.rebased", 1)
class CheckpointsRebased:
    """These were stored anew, so that they need nothing any more that nobody keeps."""

    rows: tuple[Rebased, ...]


@event("checkpointer.mode_noted", 1)
class ModeNoted:
    mode: str
