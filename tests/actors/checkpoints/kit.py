"""Chains of checkpoints over a plain dict in place of a log, for tests of their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from eventstore.errors import AttachmentNotFound
from eventstore.records import Attachment
from lrm_actors.actors.checkpoints import restoring
from lrm_actors.actors.checkpoints.cutting import Cutter
from lrm_actors.actors.checkpoints.encoding import EncodedCheckpoint, Encoder
from lrm_actors.actors.checkpoints.leaves import Node, flatten
from lrm_actors.actors.checkpoints.restoring import Restored
from lrm_actors.domain.checkpointing.chains import attachment_key, blob_key

VERSION = 3
"""Of the host's state."""


@attrs.frozen
class Info:
    """What a log says of a checkpoint, as far as it matters here."""

    checkpoint_id: str
    digest: str
    parent: str = ""
    size_bytes: int = 100_000_000


class Shelf:
    """Keeps the bytes of checkpoints, and what a log would say of each."""

    def __init__(self) -> None:
        self.encoder = Encoder()
        self.kept: dict[str, bytes] = {}
        self.infos: dict[str, Info] = {}

    def take(self, state: Any, *, whole: bool = False, previous: Node | None = None, **how: Any) -> EncodedCheckpoint:
        """A checkpoint of a state, made on the one before."""
        number = len(self.infos) + 1
        checkpoint_id = f"checkpoint_{number:013d}_test"
        made = Cutter(previous or self.encoder.root, **how).at_once(state)
        encoded = self.encoder.encode(
            made, checkpoint_id=checkpoint_id, hints=("a hint",), state_version=VERSION, whole=whole
        )
        assert encoded.size_bytes == len(document(made.root))
        self.keep(checkpoint_id, encoded)
        return encoded

    def keep(self, checkpoint_id: str, encoded: EncodedCheckpoint) -> None:
        """Put the bytes where they are looked for."""
        self.kept[attachment_key(checkpoint_id)] = encoded.data
        self.kept.update((blob_key(digest), data) for digest, data in encoded.blobs)
        self.infos[checkpoint_id] = Info(checkpoint_id, encoded.digest, encoded.parent)

    def chain(self, checkpoint_id: str) -> list[Info]:
        """From its base."""
        chain = [self.infos[checkpoint_id]]
        while chain[-1].parent:
            chain.append(self.infos[chain[-1].parent])
        return chain[::-1]

    def restore(self, checkpoint_id: str | None = None) -> Restored:
        """One of them, the last one by default."""
        return restoring.restore(self, self.chain(checkpoint_id or list(self.infos)[-1]))  # type: ignore[arg-type]

    def attachment(self, key: str) -> Attachment:
        """As a log's reader gives it."""
        if key not in self.kept:
            raise AttachmentNotFound(key)
        return Attachment(key, self.kept[key])

    def attachments(self, keys: Iterable[str]) -> Iterator[Attachment]:
        """The same, of several."""
        return (self.attachment(key) for key in keys)


def document(node: Node) -> bytes:
    """The packed state that a cut is."""
    return b"".join(leaf.data for leaf in flatten(node))
