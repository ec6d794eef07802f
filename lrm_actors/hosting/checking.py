"""Whether every checkpoint of a log can be restored: each chain is walked once, from its base up, each row read once.

Talks to the log; changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import cast

from eventstore.errors import AttachmentNotFound, CorruptAttachment, CorruptLog, ReadFailed
from eventstore.frozen import frozen
from eventstore.protocol import EventReader
from lrm_actors.actors.checkpoints import form
from lrm_actors.actors.checkpoints.form import OldCheckpoint, Part, Row, Unreadable
from lrm_actors.actors.checkpoints.leaves import digest_of
from lrm_actors.actors.checkpoints.restoring import NOT_THE_STATE, is_named, read_row, restore
from lrm_actors.domain.checkpointer import CheckpointerState, CheckpointInfo, attachment_key
from lrm_actors.domain.checkpointing.chains import blob_key
from lrm_actors.domain.retention import id_ms
from lrm_actors.errors import CheckpointDamaged
from lrm_actors.hosting.reading import ReadOnce

NOT_THERE = "its bytes are not there"


@frozen
class Checked:
    """One checkpoint that was read."""

    checkpoint_id: str
    why: str = ""
    """Why it cannot be restored; empty when it can."""

    @property
    def ok(self) -> bool:
        """Whether it can be restored."""
        return not self.why


def check_checkpoints(reader: EventReader, kept: CheckpointerState) -> tuple[Checked, ...]:
    """Read every checkpoint that is kept, oldest first, those on record as damaged included.

    Args:
        reader: the log.
        kept: the checkpoints there are.
    """
    return tuple(_Walk(reader, kept).all())


def checked(reader: EventReader, kept: CheckpointerState) -> Iterator[tuple[str, str]]:
    """The same as pairs, as ``inspect.verify`` takes them."""
    return ((one.checkpoint_id, one.why) for one in check_checkpoints(reader, kept))


class _Walk:
    """One walk over all checkpoints."""

    def __init__(self, reader: EventReader, kept: CheckpointerState) -> None:
        self._reader = reader
        self._rows = ReadOnce(reader)
        self._kept = kept
        self._blobs: dict[bytes, str] = {}
        """What is wrong with each blob; empty for a sound one."""
        self._why: dict[str, str] = {}

    def all(self) -> Iterator[Checked]:
        """Each kept one, oldest first."""
        by_id = {row.checkpoint_id: row for row in (*self._kept.support, *self._kept.kept)}
        above: _Above = defaultdict(list)
        for row in by_id.values():
            above[row.parent if row.parent in by_id else ""].append(row)
        for base in above.pop("", []):
            with suppress(ReadFailed):  # each is asked for again, and says so itself
                self._rows.fetch(attachment_key(one.checkpoint_id) for one in _tree(base, above))
            self._from(base, above)
            self._rows.forget()
        for info in sorted(self._kept.kept, key=lambda one: id_ms(one.checkpoint_id)):
            yield Checked(info.checkpoint_id, self._why.get(info.checkpoint_id, "it builds on itself"))

    def _from(self, base: CheckpointInfo, above: _Above) -> None:
        """A base and everything that builds on it."""
        inherited = f"it builds on {base.parent}, which is not there" if base.parent else ""
        open_rows: list[tuple[CheckpointInfo, Sequence[Part], str]] = [(base, (), inherited)]
        while open_rows:
            row, document, inherited = open_rows.pop()
            why = inherited
            if not inherited:
                try:
                    read = self._read(row)
                    document = self._document(row, read, document)
                    why = self._compared(row, read, document)
                except (Unreadable, ReadFailed) as error:
                    why = str(error)
                    inherited = f"it builds on {row.checkpoint_id}: {why}"
            self._why[row.checkpoint_id] = why
            open_rows += [(one, document, inherited) for one in above.get(row.checkpoint_id, ())]

    def _read(self, row: CheckpointInfo) -> Row | OldCheckpoint:
        try:
            data = self._rows.attachment(attachment_key(row.checkpoint_id)).data
        except AttachmentNotFound as error:
            raise Unreadable(NOT_THERE) from error
        except CorruptAttachment as error:
            raise Unreadable(error.reason) from error
        return read_row(data, row, row.parent)

    def _document(self, row: CheckpointInfo, read: Row | OldCheckpoint, below: Sequence[Part]) -> Sequence[Part]:
        # What is in the blobs is not needed for that: each is looked at once, by itself.
        return () if isinstance(read, OldCheckpoint) else form.parts_of(read, below, row.size_bytes)

    def _compared(self, row: CheckpointInfo, read: Row | OldCheckpoint, document: Sequence[Part]) -> str:
        """Why this is not the state that the log names; empty when it is."""
        if isinstance(read, OldCheckpoint):  # it stands by itself
            try:
                restore(cast("EventReader", self._rows), (row,))
            except CheckpointDamaged as error:
                return error.reason
            return ""
        if not is_named(row, read, document):
            return NOT_THE_STATE
        troubles = (self._blob(part.digest) for part in document if part.is_blob)
        return next((trouble for trouble in troubles if trouble), "")

    def _blob(self, digest: bytes) -> str:
        if digest not in self._blobs:
            name = digest.hex()
            try:
                sound = digest_of(self._reader.attachment(blob_key(name)).data) == digest
                self._blobs[digest] = "" if sound else f"the blob {name} is not what was stored"
            except AttachmentNotFound:
                self._blobs[digest] = f"the blob {name} is not there"
            except (CorruptAttachment, CorruptLog, ReadFailed) as error:
                self._blobs[digest] = str(error)
        return self._blobs[digest]


_Above = defaultdict[str, list[CheckpointInfo]]
"""What builds directly on each."""


def _tree(base: CheckpointInfo, above: _Above) -> Iterator[CheckpointInfo]:
    open_rows = [base]
    while open_rows:
        yield (row := open_rows.pop())
        open_rows += above.get(row.checkpoint_id, ())
