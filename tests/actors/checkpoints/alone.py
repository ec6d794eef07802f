"""One checkpoint by itself, whole and without large parts, for tests that need the bytes of some state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from eventstore.memory import MemoryStore
from eventstore.records import Attachment, Batch
from lrm_actors.actors.checkpointer import cut
from lrm_actors.actors.checkpoints.encoding import EncodedCheckpoint, Encoder
from lrm_actors.actors.checkpoints.form import MAX_STATE_BYTES
from lrm_actors.actors.checkpoints.restoring import Restored, restore
from lrm_actors.domain.checkpointing.chains import attachment_key


@attrs.frozen
class _Info:
    checkpoint_id: str
    digest: str
    size_bytes: int = MAX_STATE_BYTES


def _restored(data: bytes, digest: str, checkpoint_id: str) -> Restored:
    store = MemoryStore()
    store.append(Batch(attachments=(Attachment(attachment_key(checkpoint_id), data),)))
    return restore(store, (_Info(checkpoint_id, digest),))


def encode_checkpoint(state: Any, *, checkpoint_id: str = "", hints: Sequence[str] = ()) -> EncodedCheckpoint:
    """The bytes to keep of a whole state.

    Raises:
        NotCapturable: it holds something that would not come back as it is.
    """
    return Encoder().encode(cut(state, 0).cut, checkpoint_id=checkpoint_id, hints=hints)


def decode_checkpoint(data: bytes, digest: str, checkpoint_id: str) -> Any:
    """The state exactly as the host gave it, of a checkpoint that is a base and has no blobs.

    Raises:
        CheckpointDamaged: a byte of it is not what was stored.
    """
    return _restored(data, digest, checkpoint_id).state


def read_envelope(data: bytes, digest: str, checkpoint_id: str) -> dict[str, Any]:
    """The same as a whole document: id, timestamp, state, hints.

    Raises:
        CheckpointDamaged: a byte of it is not what was stored.
    """
    restored = _restored(data, digest, checkpoint_id)
    return {**restored.document, "in_parts": restored.in_parts}
