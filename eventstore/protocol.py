"""What every store promises. SQLite and memory keep it today; the words are free of either.

A store has one **owner** at a time: opening for writing takes ownership and bumps the owner's epoch. In it, each stream
has at most one **acquirer**: ``acquire`` bumps the stream's epoch. An append is refused unless both are current, and
the check is part of the append's own transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from eventstore.asked import OnRemoved
from eventstore.records import (
    Appended,
    Attachment,
    Batch,
    Folded,
    Grant,
    Lease,
    Receipt,
    Record,
    Retained,
    Retention,
    Snapshot,
    StoreStatistics,
    StreamInfo,
    Verification,
)


class EventReader(Protocol):
    """Reading a log, from the owning process or any other, while it is written. Safe to use from any thread.

    An argument that is not of its kind is a ``BadRequest`` that names it, in every method.
    """

    @property
    def head(self) -> int:
        """Position of the newest event, 0 when there is none."""

    @property
    def first(self) -> int:
        """Position of the oldest event still kept, 1 when nothing was ever removed."""

    def streams(self, prefix: str = "") -> Sequence[StreamInfo]:
        """The streams whose name starts with ``prefix``, by name."""

    def version(self, stream: str) -> int:
        """Version of a stream, 0 when it does not exist."""

    def get(self, position: int) -> Record:
        """One record.

        Raises:
            PositionNotFound: no event has this position.
            UnknownEventType, CorruptEvent: it cannot be decoded.
        """

    def read(
        self,
        *,
        after: int = 0,
        up_to: int | None = None,
        types: Iterable[str] | None = None,
        streams: Iterable[str] | None = None,
        limit: int | None = None,
        removed: OnRemoved = "raise",
    ) -> Iterator[Record]:
        """Records in log order, positions in ``(after, up_to]``, optionally only of some types or some exact streams.

        Reads in short pages, so that a slow reader never pins the log. Sees what is committed when each page is read.
        From 0, or with ``removed="skip"``, it begins with the oldest that is still kept.

        Raises:
            EventsRemoved: when it gets there: events after the last that was given, or after ``after``, were removed.
            UnknownEventType, CorruptEvent: when it gets there: one cannot be decoded.
            BadRequest: an argument is not of its kind, as one text where several names are asked for.
        """

    def read_stream(
        self, stream: str, *, after: int = 0, up_to: int | None = None, removed: OnRemoved = "raise"
    ) -> Iterator[Record]:
        """Records of one stream in order, versions in ``(after, up_to]``. Empty for a stream that does not exist.

        From 0, or with ``removed="skip"``, it begins with the oldest that is still kept.

        Raises:
            EventsRemoved, UnknownEventType, CorruptEvent, BadRequest: as ``read``.
        """

    def fold(
        self,
        stream: str,
        evolve: Callable[[Any, Any], Any],
        state: Any,
        *,
        after: int = 0,
        up_to: int | None = None,
    ) -> Folded:
        """What a state becomes by the events of a stream in order, versions in ``(after, up_to]``.

        The shortest way from a stream to a state: reads and decodes nothing but the events themselves.

        Raises:
            EventsRemoved: some of these events are no longer kept; begin with a snapshot.
            UnknownEventType, CorruptEvent: one cannot be decoded.
        """

    def read_category(
        self, category: str, *, after: int = 0, up_to: int | None = None, removed: OnRemoved = "raise"
    ) -> Iterator[Record]:
        """Records of ``category`` and of every ``category/…`` stream in log order, positions in ``(after, up_to]``.

        From 0, or with ``removed="skip"``, it begins with the oldest that is still kept.

        Raises:
            EventsRemoved, UnknownEventType, CorruptEvent, BadRequest: as ``read``.
        """

    def tail(
        self,
        *,
        after: int = 0,
        poll_s: float = 0.1,
        stop: Callable[[], bool] | None = None,
        removed: OnRemoved = "raise",
    ) -> Iterator[Record]:
        """Like ``read``, then wait for more, for ever or until ``stop()`` is true.

        Raises:
            EventsRemoved: it lagged behind, and events that it would have given next were removed: a new tail after
                ``error.removed`` goes on behind them, and so does this one with ``removed="skip"``.
            UnknownEventType, CorruptEvent, BadRequest: as ``read``.
        """

    def position_at(self, wall_s: float) -> int:
        """The last position recorded at or before a wall-clock time, 0 when there is none."""

    def snapshot(self, stream: str, *, schema: str | None = None, up_to: int | None = None) -> Snapshot | None:
        """The newest snapshot of a stream at or below a version, optionally only of one schema.

        One whose checksum is wrong is passed over for the next older one: the log still has the truth.
        """

    def cursor(self, consumer: str) -> int | None:
        """How far a consumer has read, None when it never stored a cursor."""

    def receipt(self, command_id: str) -> Receipt | None:
        """The remembered reply to a command, if it is still kept."""

    def attachment(self, key: str) -> Attachment:
        """The bytes kept under a key.

        Raises:
            AttachmentNotFound: there are none.
            CorruptAttachment: they are not what was stored.
        """

    def attachments(self, keys: Iterable[str]) -> Iterator[Attachment]:
        """The bytes kept under each of these keys, in the order of the keys, many read at once.

        ``next`` raises for one that is missing or damaged, and the call after that goes on with the one behind it.

        Raises:
            AttachmentNotFound, CorruptAttachment: when it is reached, as by ``attachment``.
            BadRequest: ``keys`` is one text, where several are asked for.
        """

    def attachment_keys(self, prefix: str = "") -> Sequence[str]:
        """The keys kept, in order."""

    def verify(self) -> Verification:
        """Read everything and report what is wrong: gaps, checksums, the hash chain, what cannot be decoded."""

    def statistics(self) -> StoreStatistics:
        """This moment's counts."""

    def close(self) -> None:
        """Let go of everything. Idempotent."""


class Pending(Protocol):
    """A batch that was handed in."""

    @property
    def done(self) -> bool:
        """Whether its outcome is known."""

    def result(self) -> Appended:
        """Wait until it is stored; raises what ``append`` would."""


class EventStore(EventReader, Protocol):
    """Owning a log: reading it and appending to it. Safe to use from any thread."""

    @property
    def owner_epoch(self) -> int:
        """Fencing token of this ownership, higher than any before it."""

    def acquire(self, stream: str) -> Grant:
        """Take a stream over: from now on only the returned epoch may append to it.

        Raises:
            AppendFailed, OutcomeUnknown: the storage refused.
        """

    @property
    def lease(self) -> Lease:
        """This ownership: its epoch, its holder, and when it ends by itself."""

    def renew(self) -> Lease:
        """Go on owning the store, where ownership ends by itself after a time; elsewhere only look.

        Raises:
            Fenced: another owner has taken it.
            AppendFailed, OutcomeUnknown, StoreClosed: it could not be renewed.
        """

    def append(self, batch: Batch) -> Appended:
        """Make a batch true, all of it or none, and durable as its class says, before returning.

        Raises:
            WrongVersion: a stream is not at the expected version; nothing was stored.
            Fenced: the stream's epoch or the owner's is no longer current; nothing was stored.
            EventRefused: a value would not come back as it went in; nothing was stored.
            BadRequest: a name, a version or a position makes no sense; nothing was stored.
            IdempotencyConflict: another batch was stored under this key; nothing was stored.
            AppendFailed: the storage refused; certainly nothing was stored.
            OutcomeUnknown: it may or may not be stored; call ``settle`` and look.
        """

    def submit(self, batch: Batch) -> Pending:
        """Hand in a batch and go on. Batches of one thread are stored in the order they were handed in.

        It is stored when somebody waits, for it or for another; ``barrier`` and ``close`` wait for all that was handed
        in. Where too many wait already, this call stores them. A store that outlives its process stores at the end of
        the interpreter what nobody waited for.

        Raises:
            EventRefused, BadRequest: as ``append``; every other error comes from ``Pending.result``.
        """

    def barrier(self) -> None:
        """Make everything appended so far durable."""

    def retain(self, retention: Retention) -> Retained:
        """Remove the oldest events that may go, a bounded number at a time, and give their space back.

        Works where the disk is full. Attachments are not touched: ``Batch.discard`` removes those.

        Raises:
            BadRequest: a limit makes no sense, or there is none.
            AppendFailed, OutcomeUnknown, Fenced: the storage refused, or another owner has taken the log.
        """

    def settle(self) -> int:
        """After ``OutcomeUnknown``: commit a new owner epoch, which decides what is in the log for every process alike.

        Until it has succeeded every append and acquire is refused with ``OutcomeUnknown``. Stream epochs stay valid.
        When no outcome is unknown it does nothing.

        Returns: the owner epoch that holds now.

        Raises:
            AppendFailed, OutcomeUnknown: the storage still refuses; try again later.
            Fenced: another owner has taken the log.
        """

    def subscribe(self, listener: Callable[[int, frozenset[str]], None]) -> Callable[[], None]:
        """Call ``listener(head, type names)`` after each commit of events, on the committing thread.

        It must be quick; what it raises is logged. Returns what ends the subscription.

        Raises:
            BadRequest: it cannot be called.
        """
