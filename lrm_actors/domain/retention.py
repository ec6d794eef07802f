"""Which checkpoints are kept, and which is tried first: the words of one, and pure helpers of the checkpointer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from msgspec import Struct

from eventstore.events import float_fields
from eventstore.frozen import frozen

PERIODIC, EMERGENCY, MANUAL = "periodic", "emergency", "manual"
KINDS = (PERIODIC, EMERGENCY, MANUAL)


@frozen(field_transformer=float_fields)
class CheckpointerConfig:
    interval_s: float = 300.0
    max_checkpoints: int = 50
    """Newest periodic and manual ones kept; emergency ones have ``max_emergency`` of their own."""
    max_emergency: int = 10


class CheckpointInfo(Struct, frozen=True, omit_defaults=True):
    """One checkpoint, as the log and the state name it. What is at its default is not written."""

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
    parent: str = ""
    """The checkpoint whose state its bytes are a change of; empty for one that is whole."""
    stored_bytes: int = 0
    """Of its own bytes as they are kept, without its blobs; 0 in logs of earlier releases."""
    added: tuple[str, ...] = ()
    """Digests of blobs that its state holds and its parent's does not; all of them without a parent."""
    gone: tuple[str, ...] = ()
    """Digests of blobs that its parent's state holds and its own does not."""
    pinned: bool = False
    """No rule of retention removes it."""
    stall_ms: float = 0.0
    """Longest time that the capture held the host's event loop."""
    state_version: int = 1
    """Schema version of the host's state."""


def best_first(kept: Sequence[CheckpointInfo]) -> tuple[str, ...]:
    """Ids of the sound ones in the order to try them: newest position first, at the same one emergencies first."""
    sound = (info for info in kept if not info.damaged)
    best = sorted(sound, key=lambda one: (one.position, one.kind == EMERGENCY, id_ms(one.checkpoint_id)), reverse=True)
    return tuple(info.checkpoint_id for info in best)


def beyond_retention(kept: Sequence[CheckpointInfo], config: CheckpointerConfig) -> tuple[str, ...]:
    """Ids of those that need not be kept, oldest first.

    The newest ``max_checkpoints`` periodic and manual ones stay, and the newest ``max_emergency`` emergency ones. A
    damaged one takes nobody's place, and goes as soon as there is a sound one after it.

    Args:
        kept: oldest first.
        config: says how many.
    """
    sound = [info for info in kept if not info.damaged]
    emergencies = [info.checkpoint_id for info in sound if info.kind == EMERGENCY]
    others = [info.checkpoint_id for info in sound if info.kind != EMERGENCY]
    stay = {*_last(emergencies, config.max_emergency), *_last(others, config.max_checkpoints)}
    newest_ms = id_ms(sound[-1].checkpoint_id) if sound else -1
    stay |= {info.checkpoint_id for info in kept if info.damaged and id_ms(info.checkpoint_id) > newest_ms}
    return tuple(info.checkpoint_id for info in kept if info.checkpoint_id not in stay)


def _last(ids: list[str], count: int) -> list[str]:
    return ids[max(len(ids) - count, 0) :]


def new_id(now_s: float, last_ms: int, seed: str) -> str:
    """An id later than the one of ``last_ms``, also when the wall clock went back: ids sort by time."""
    now_ms = max(int(now_s * 1000), last_ms + 1)
    return f"checkpoint_{now_ms:013d}_{hashlib.blake2b(seed.encode(), digest_size=4).hexdigest()}"


def id_ms(checkpoint_id: str) -> int:
    """The time in an id, milliseconds since the epoch; 0 for a name that is no id."""
    middle = checkpoint_id.removeprefix("checkpoint_").partition("_")[0]
    return int(middle) if middle.isascii() and middle.isdigit() else 0
