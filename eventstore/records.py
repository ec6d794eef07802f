"""The values that go into a store and come out of it. Plain frozen records, free of any backend's words.

Those made once per event are msgspec structs, which are built several times faster than frozen attrs classes; they hold
no cycles, so the garbage collector need not look at them.
"""

from __future__ import annotations

import enum
from typing import Any

import attrs
import msgspec

from eventstore.errors import EventCountError
from eventstore.frozen import frozen


class Instant(msgspec.Struct, frozen=True, gc=False):
    """One moment, told by both clocks. Durations come from ``monotonic_s``; ``wall_s`` is a label."""

    wall_s: float
    """Seconds since the Unix epoch. May jump."""
    monotonic_s: float
    """Seconds on the machine's monotonic clock. Comparable only with the same ``boot_id``."""
    boot_id: str
    """Identifies the boot that ``monotonic_s`` counts from."""


class Durability(enum.Enum):
    """What an append waits for."""

    STRICT = "strict"
    """On disk before the call returns. The default."""
    RELAXED = "relaxed"
    """Written; on disk at the next strict append or ``barrier``. For samples that may be lost."""


ANY_VERSION = -1
"""As ``expected_version``: append wherever the stream ends."""


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """An event on its way in, with why it happened."""

    event: object
    """An instance of a class declared with ``@event``."""
    cause: int | None = None
    """Position of the record that caused it; None when it comes from outside."""
    after_previous: bool = False
    """The cause is the event just before it in the same stream write; ``cause`` is then ignored."""
    command_id: str | None = None
    """Id of the command it was decided from."""
    correlation_id: str = ""
    """Shared by everything that follows from one outside trigger."""
    depth: int = 0
    """How many wired hand-overs lie between the outside and this event."""


class StreamWrite(msgspec.Struct, frozen=True, gc=False):
    """Events for one stream. With none, its version and epoch are checked all the same: a fence for the batch."""

    stream: str
    events: tuple[NewEvent, ...]
    expected_version: int = ANY_VERSION
    """The stream's version before this write (0: it must not exist yet)."""
    epoch: int | None = None
    """The writer's stream epoch from ``acquire``; None for streams nobody acquired."""


class Cursor(msgspec.Struct, frozen=True, gc=False):
    """How far a consumer has read: everything up to and including ``position`` is dealt with.

    It cannot be past the last event of the batch that it comes with.
    """

    consumer: str
    position: int


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """The remembered reply to a command, so that a retry gets the first answer.

    The first one of a command stays. A store keeps the newest 100,000, and each for 24 hours.
    """

    command_id: str
    reply: Any
    """A JSON value."""


@frozen
class Snapshot:
    """A folded state at a version, kept to shorten recovery. A store keeps the newest three of each stream.

    One of an acquired stream comes in a batch that also writes to the stream, were it no events: that proves the epoch.
    """

    stream: str
    version: int
    schema: str
    """Stable name and version of the state's form, ``breaker/1``. A snapshot of another schema is ignored."""
    data: bytes


@frozen
class Attachment:
    """Bytes too large for an event, kept beside it and committed with it."""

    key: str
    data: bytes
    verified: bool = attrs.field(default=False, eq=False, repr=False)
    """Whether the reader that gives it has compared it with a checksum. A store that keeps none says no."""


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Everything that one append makes true together, or not at all."""

    writes: tuple[StreamWrite, ...] = ()
    cursors: tuple[Cursor, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    discard: tuple[str, ...] = ()
    """Keys of attachments to delete."""
    durability: Durability = Durability.STRICT
    idempotency_key: str | None = None
    """A batch with the key of one that is stored is not stored again: its sender gets the first one's result.

    A store remembers the newest 100,000 keys, and each for 24 hours.
    """


class Appended(msgspec.Struct, frozen=True, gc=False):
    """What an append did."""

    first_position: int
    """Position of the first event written; with no events, the head's."""
    last_position: int
    versions: dict[str, int]
    """New version of each stream written."""


@frozen
class Lease:
    """Ownership of a whole store, as its owner sees it."""

    owner_epoch: int
    """Fencing token: higher than any owner's before it."""
    holder: str
    """Who owns it, for people: host and process."""
    expires_in_s: float | None
    """Seconds until others may take over unless it is renewed; None where it ends only with the process."""


@frozen
class Grant:
    """Ownership of one stream: appends that carry an older epoch are refused from now on."""

    stream: str
    epoch: int
    version: int


@frozen
class StreamInfo:
    """One stream as the store knows it."""

    name: str
    version: int
    epoch: int
    """0 when nobody ever acquired it."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """An event as it was stored."""

    position: int
    """Index in the whole log, from 1, without gaps."""
    stream: str
    version: int
    """Index in the stream, from 1, without gaps."""
    type: str
    schema_version: int
    events: tuple[object, ...]
    """Decoded and upcast: usually one, none when an upcaster drops it, several when it splits it."""
    recorded_at: Instant
    cause: int | None
    command_id: str | None
    correlation_id: str
    depth: int
    data: bytes
    """The stored JSON, exactly."""

    @property
    def event(self) -> Any:
        """The one event of this record.

        Raises:
            EventCountError: an upcaster made none or several of it; use ``events``.
        """
        if len(self.events) != 1:
            raise EventCountError(self.position, self.type, len(self.events))
        return self.events[0]


@frozen
class Folded:
    """What became of a state that was folded over a stream."""

    state: Any
    version: int
    """Version of the last event folded in; where there was none, the one folded from."""


@frozen
class Retention:
    """Which events may go. Only those before all of its limits, and never one that recovery needs.

    Recovery needs, of each stream, the events after its oldest snapshot that is intact, and all of them where there is
    none; and every event that a consumer has not read yet.
    """

    max_age_s: float | None = None
    """Events recorded less than this many seconds ago stay. None: age keeps nothing."""
    max_events: int | None = None
    """This many newest events stay. None: their number keeps nothing."""
    consumers: tuple[str, ...] | None = None
    """Consumers whose cursors hold events back; None for all that ever stored one."""
    expendable: tuple[str, ...] = ()
    """Categories whose streams may lose events that no snapshot covers."""
    keep_after: int | None = None
    """Events after this position stay. None: no position keeps anything."""
    newest_snapshot: bool = False
    """Take the newest intact snapshot of each stream to be enough, and not its oldest. For a stream that is calm for so
    long that its older snapshots hold the log; if that one snapshot is damaged later, the stream cannot be folded."""


@frozen
class Retained:
    """What one run of retention did."""

    removed: int
    """Events removed."""
    first: int
    """Position of the oldest event kept."""
    freed_bytes: int
    """What the file system got back."""
    held_by: str
    """What kept the next event from going: ``policy``, ``cursor NAME``, ``stream NAME`` or ``time`` (call again)."""


@frozen
class Problem:
    """One thing that ``verify`` found wrong."""

    what: str
    """Stable code: ``gap``, ``checksum``, ``chain``, ``decode``, ``version``, ``snapshot``, ``attachment``, ``cursor``,
    ``receipt``, ``append``, ``stream``, ``meta``, ``tail``, ``mark``, ``file``."""
    position: int | None
    detail: str


@frozen
class Verification:
    """The result of ``verify``."""

    events: int
    streams: int
    snapshots: int
    attachments: int
    problems: tuple[Problem, ...]
    head: int = 0
    """Position of the last event there is."""
    marked: int | None = None
    """Position that was acknowledged at least, by the mark outside the log; None where there is no mark."""

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.problems


@frozen
class StoreStatistics:
    """A moment's counts of a store."""

    head: int
    streams: int
    events_appended: int
    """By this handle since it was opened."""
    batches_appended: int
    failures: int
    """Appends that failed or whose outcome was unknown."""
    size_bytes: int
    """Bytes on disk, 0 for a store in memory."""
    owner_epoch: int
    """0 for a reader."""
    commits: int = 0
    """Transactions that held one batch or more. Fewer than batches where callers shared them."""
    largest_commit: int = 0
    """Batches in the largest of them."""
    repeated: int = 0
    """Batches that were stored already, by their idempotency key."""
