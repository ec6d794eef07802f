"""Stored checkpoints to be damaged: whole states, changes on them and large parts, and a reader that hands them out."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from eventstore.errors import AttachmentNotFound
from eventstore.in_order import InOrder
from eventstore.records import Attachment
from lrm_actors.actors.checkpoints.cutting import Cutter
from lrm_actors.actors.checkpoints.encoding import Encoder
from lrm_actors.domain.checkpointer import PERIODIC, CheckpointerState, CheckpointInfo, attachment_key, blob_key
from tests.faults.checkpoint_hosts import PICTURE_BYTES, Host, shown


class Shelf:
    """A reader of a log in which there is nothing but attachments, whose store says that they are sound."""

    head = 0
    first = 1

    def __init__(self, kept: Mapping[str, bytes]) -> None:
        self.kept = dict(kept)

    def attachment(self, key: str) -> Attachment:
        """What is kept under a key."""
        if key not in self.kept:
            raise AttachmentNotFound(key)
        return Attachment(key, self.kept[key])

    def attachments(self, keys: Iterable[str]) -> Iterator[Attachment]:
        """What is kept under these keys, each by itself."""
        return InOrder(keys, lambda _: self.kept, lambda key, _: self.attachment(key))

    def read(self, **_: Any) -> Iterator[Any]:
        """No events."""
        return iter(())


@attrs.frozen
class Specimen:
    """Checkpoints as they are stored, and what they must restore to."""

    state: CheckpointerState
    kept: dict[str, bytes]
    truth: dict[str, str]
    needs: dict[str, frozenset[str]]
    """Everything that a checkpoint is restored from, by its id: the rows of its chain, the large parts of its state."""


def specimen(seed: int = 1) -> Specimen:
    """Two whole states with three changes on each, and a picture in every second of them."""
    chance = random.Random(seed)
    host, encoder = Host(chance), Encoder()
    host.state["history"] = host.state["history"][:10]
    infos: list[CheckpointInfo] = []
    kept: dict[str, bytes] = {}
    truth: dict[str, str] = {}
    needs: dict[str, frozenset[str]] = {}
    rows: dict[str, frozenset[str]] = {}
    blobs: dict[str, frozenset[str]] = {"": frozenset()}
    for number in range(8):
        host.rewrite()
        host.state["pictures"] = [chance.randbytes(PICTURE_BYTES)] if number % 2 else []
        checkpoint_id = f"checkpoint_{1_700_000_000_000 + number:013d}_{number:08x}"
        cut = Cutter(encoder.root).at_once(host.state)
        made = encoder.encode(cut, checkpoint_id=checkpoint_id, hints=("told to",), whole=number % 4 == 0)
        kept[attachment_key(checkpoint_id)] = made.data
        kept |= {blob_key(digest): data for digest, data in made.blobs}
        truth[checkpoint_id] = shown(host.state)
        added = tuple(digest for digest, _ in made.blobs)
        blobs[checkpoint_id] = blobs[made.parent] - {*made.gone} | {*added}
        rows[checkpoint_id] = rows.get(made.parent, frozenset()) | {attachment_key(checkpoint_id)}
        needs[checkpoint_id] = rows[checkpoint_id] | {*map(blob_key, blobs[checkpoint_id])}
        infos.append(
            CheckpointInfo(
                checkpoint_id, PERIODIC, 1_700_000_000.0 + number, number, made.size_bytes, made.digest, "told to",
                parent=made.parent, stored_bytes=len(made.data), added=added, gone=made.gone,
            )
        )  # fmt: skip
    return Specimen(CheckpointerState(kept=tuple(infos)), kept, truth, needs)
