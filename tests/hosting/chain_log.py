"""A log with checkpoints that build on each other, made by hand, and a reader that counts what it reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from eventstore.errors import CorruptAttachment, CorruptLog, ReadFailed
from eventstore.memory import MemoryStore
from eventstore.protocol import EventStore
from eventstore.records import Attachment, Batch, NewEvent, StreamWrite
from lrm_actors.actors.checkpoints.cutting import Cutter
from lrm_actors.actors.checkpoints.encoding import Encoder
from lrm_actors.domain.checkpointer import CheckpointerState, CheckpointInfo, CheckpointTaken, attachment_key
from lrm_actors.domain.checkpointing.chains import blob_key
from lrm_actors.domain.journal import StepBegun, StepCommitted

WALL_S = 1_700_000_000.0


class CountingReader:
    """A store whose attachments may be damaged; it counts how often each was read.

    Args:
        store: behind it.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self.reads: Counter[str] = Counter()
        self.damaged: set[str] = set()
        """Keys whose bytes are not what was stored."""
        self.unread: set[str] = set()
        """Keys that the storage does not give."""
        self.torn: set[str] = set()
        """Keys on pages of the file that are none any more."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def attachment(self, key: str) -> Attachment:
        self.reads[key] += 1
        if key in self.torn:
            raise CorruptLog("database disk image is malformed")
        if key in self.unread:
            raise ReadFailed("disk I/O error")
        if key in self.damaged:
            raise CorruptAttachment(key, "its checksum is wrong")
        return self._store.attachment(key)

    def attachments(self, keys: Iterable[str]) -> Iterator[Attachment]:
        keys = list(keys)
        for bad, error in ((self.torn, CorruptLog("malformed")), (self.unread, ReadFailed("disk I/O error"))):
            if bad.intersection(keys):
                raise error
        return map(self.attachment, keys)


class ChainLog:
    """Checkpoints of one agent, each built on the one before it.

    Args:
        store: where they are; one in memory by default.
    """

    def __init__(self, store: EventStore | None = None) -> None:
        self.store: EventStore = MemoryStore() if store is None else store
        self.reader = CountingReader(self.store)
        self.kept: tuple[CheckpointInfo, ...] = ()
        self._encoder = Encoder()

    @property
    def ids(self) -> list[str]:
        """Oldest first."""
        return [info.checkpoint_id for info in self.kept]

    def position(self) -> int:
        """As of which the next one is: that of the last step."""
        return max((record.position for record in self.store.read(streams=("journal",))), default=0)

    @property
    def state(self) -> CheckpointerState:
        """As the checkpointer knows them."""
        return CheckpointerState(kept=self.kept)

    def take(self, state: Any, *, whole: bool = False, kind: str = "periodic", version: int = 1) -> str:
        """One more."""
        checkpoint_id = f"checkpoint_{len(self.kept) + 1:013d}_abcd0123"
        cut = Cutter(self._encoder.root).at_once(state)
        made = self._encoder.encode(
            cut, checkpoint_id=checkpoint_id, hints=("by hand",), state_version=version, whole=whole
        )
        info = CheckpointInfo(
            checkpoint_id, kind, WALL_S + len(self.kept), self.position(), made.size_bytes, made.digest, "interval",
            parent=made.parent, stored_bytes=len(made.data), added=tuple(digest for digest, _ in made.blobs),
            gone=made.gone, state_version=version,
        )  # fmt: skip
        blobs = tuple([Attachment(blob_key(digest), data) for digest, data in made.blobs])
        self.say(
            "checkpointer",
            CheckpointTaken(info, ("by hand",)),
            attachments=(Attachment(attachment_key(checkpoint_id), made.data), *blobs),
        )
        self.kept = (*self.kept, info)
        return checkpoint_id

    def say(self, stream: str, *events: object, attachments: tuple[Attachment, ...] = ()) -> None:
        """Put events on record."""
        write = StreamWrite(stream, tuple(NewEvent(event) for event in events))
        self.store.append(Batch(writes=(write,), attachments=attachments))

    def step(self, number: int, name: str) -> None:
        """A step that is done."""
        self.say("journal", StepBegun(number, name, 1), StepCommitted(number, name, number))

    def damage(self, checkpoint_id: str) -> None:
        """Have its bytes be others."""
        self.reader.damaged.add(attachment_key(checkpoint_id))

    def rows_read(self) -> dict[str, int]:
        """How often the bytes of each checkpoint were read."""
        return {
            one: self.reader.reads[attachment_key(one)] for one in self.ids if self.reader.reads[attachment_key(one)]
        }
