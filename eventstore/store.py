"""Owning a log file: the writer, and the same reading code that every other process uses."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from eventstore.asked import check_seconds
from eventstore.codec import OnUnknown
from eventstore.connections import ReaderPool, closed_error
from eventstore.encryption import Unsealer
from eventstore.errors import BadRequest, KeyRequired
from eventstore.exiting import OpenLog
from eventstore.forking import abandon_in_children
from eventstore.group import Entry
from eventstore.locking import LogLock
from eventstore.prepare import PreparedBatch, check_name, prepare
from eventstore.reader import SqliteReader
from eventstore.records import Appended, Batch, Grant, Lease, Retained, Retention, StoreStatistics
from eventstore.retention import WITHIN_S, Retainer
from eventstore.waking import Listeners
from eventstore.writer import Writer

if TYPE_CHECKING:
    from eventstore.encrypting.keyring import LogKey
    from eventstore.encrypting.sealing import Sealer


class SqliteStore(SqliteReader):
    """An ``EventStore`` in a log file."""

    _open_log: OpenLog | None = None
    """None while it is being made."""

    def __init__(
        self,
        path: Path,
        pool: ReaderPool,
        writer: Writer,
        lock: LogLock,
        listeners: Listeners,
        *,
        retainer: Retainer,
        unknown: OnUnknown,
        unsealer: Unsealer,
        sealer: Sealer | None,
    ) -> None:
        super().__init__(path, pool, unknown=unknown, unsealer=unsealer, listeners=listeners)
        self._writer = writer
        self._log_lock = lock
        self._commits = listeners
        self._retainer = retainer
        self._sealer = sealer
        self._prepare: Callable[[Batch], PreparedBatch] = prepare if sealer is None else sealer.prepare
        self._hand_in = writer.hand_in
        self._pid = os.getpid()
        abandon_in_children(self)
        self._open_log = OpenLog(path, pool, writer, lock)

    @property
    def owner_epoch(self) -> int:
        """Fencing token of this ownership, higher than any before it."""
        return self._writer.owner_epoch

    def acquire(self, stream: str) -> Grant:
        """Take a stream over: from now on only the returned epoch may append to it.

        Raises:
            Fenced: another owner has taken the log.
            AppendFailed, OutcomeUnknown: the storage refused.
        """
        check_name("stream", stream)
        return self._writer.acquire(stream)

    @property
    def lease(self) -> Lease:
        """This ownership. It ends with ``close`` or with the process, by no clock."""
        return self._writer.lease

    def renew(self) -> Lease:
        """Look whether the log is still owned.

        Raises:
            Fenced: another owner has taken it.
            AppendFailed, OutcomeUnknown, StoreClosed: it cannot be said now.
        """
        self._writer.transactions.run(lambda connection: None)
        return self._writer.lease

    def append(self, batch: Batch) -> Appended:
        """Make a batch true, all of it or none, and durable as its class says, before returning.

        Raises:
            WrongVersion: a stream is not at the expected version; nothing was stored.
            Fenced: the stream's epoch or the owner's is no longer current; nothing was stored.
            EventRefused, BadRequest: a value would not come back as it went in, or makes no sense; nothing was stored.
            IdempotencyConflict: another batch was stored under this key; nothing was stored.
            AppendFailed: the storage refused; certainly nothing was stored.
            OutcomeUnknown: it may or may not be stored; call ``settle`` and look.
        """
        return self._writer.append(self._prepare(batch))

    def submit(self, batch: Batch) -> Entry[PreparedBatch]:
        """Hand in a batch and go on. Batches of one thread are stored in the order they were handed in.

        It is stored when somebody waits, for it or for another; ``barrier`` and ``close`` wait for all that was handed
        in. Where too many wait already, this call stores them. What nobody waited for when the interpreter ends is
        stored then, and logged where it cannot be within ``exiting.EXIT_S``; a kill, ``os._exit`` and ``exec`` lose it.

        Raises:
            EventRefused, BadRequest: as ``append``; every other error comes from ``Pending.result``, and once in
                many batches of an encrypted log from here.
        """
        prepared = self._prepare(batch)
        return self._hand_in(prepared, prepared.weight)

    def barrier(self) -> None:
        """Make everything appended and submitted so far durable."""
        self._pool.check_open()
        self._writer.barrier()

    def retain(
        self, retention: Retention, *, archive: str | os.PathLike[str] | None = None, within_s: float = WITHIN_S
    ) -> Retained:
        """Remove the oldest events that may go, and give their space back to the file system.

        Works where the disk is full, if the reserve was made before: it is given up, and made again once there is
        room. An outcome that is unknown is settled then. Attachments are not touched: ``Batch.discard`` removes those.

        Args:
            retention: which events may go.
            archive: a directory where what is removed is kept, compressed: it is on disk there before it goes here.
            within_s: after this many seconds it stops where it is, and says ``time``; call again for the rest.

        Raises:
            BadRequest: a limit makes no sense, or there is none, or another argument is not of its kind.
            CopyFailed: the archive could not be written; what was not archived was not removed.
            CorruptEvent: an event that should be archived is damaged; it was not removed.
            AppendFailed, OutcomeUnknown, Fenced: the storage refused, or another owner has taken the log.
        """
        check_seconds("within_s", within_s, least=0.0)
        if archive is not None and not isinstance(archive, str | os.PathLike):
            raise BadRequest("archive", archive, "it must be the path of a directory", hint="give a str or a Path")
        self._pool.check_open()
        epoch = self.owner_epoch
        try:
            return self._retainer.retain(retention, None if archive is None else Path(archive), within_s)
        finally:
            if self.owner_epoch != epoch:
                self._forget_names()

    def make_room(self) -> bool:
        """On a full disk, give the reserve up, so that a little can be stored: enough to say what is to go.

        The reserve is made again by ``retain`` or when the log is next opened, once there is room.

        Returns: whether there was a reserve to give up.

        Raises:
            AppendFailed, OutcomeUnknown, Fenced: the storage refused, or another owner has taken the log.
        """
        self._pool.check_open()
        epoch = self.owner_epoch
        try:
            return self._retainer.make_room()
        finally:
            if self.owner_epoch != epoch:
                self._forget_names()

    def rotate_key(self, key: LogKey, *, new_data_key: bool = False) -> None:
        """Lock the log with another key: from now on the old one opens it no more. Nothing is encrypted anew.

        A copy of the file that was made before still opens with the old key. With ``new_data_key``, what is written
        from now on is encrypted with a fresh data key, which no such copy holds.

        Raises:
            KeyRequired: the log is not encrypted: it was opened without a key.
            BadKey: it is no key.
            AppendFailed, Fenced: as ``append``; the old key is still the one.
            OutcomeUnknown: either may be the one; ``settle``, then call again.
        """
        if self._sealer is None:
            hint = "open it with a key, and it is encrypted from then on"
            raise KeyRequired(str(self.path), f"{self.path} is not encrypted: there is no key to change", hint=hint)
        self._sealer.rotate(key, new_data_key=new_data_key)

    def settle(self) -> int:
        """After ``OutcomeUnknown``: commit a new owner epoch, which decides what is in the log for every process alike.

        Returns the owner epoch. Does nothing when no outcome is unknown.

        Raises:
            AppendFailed, OutcomeUnknown: the storage still refuses; try again later.
            Fenced: another owner has taken the log.
        """
        epoch = self._writer.settle()
        self._forget_names()
        return epoch

    def subscribe(self, listener: Callable[[int, frozenset[str]], None]) -> Callable[[], None]:
        """Call ``listener(head, type names)`` after each commit of events, on the committing thread.

        It must be quick; what it raises is logged. Returns what ends the subscription.

        Raises:
            BadRequest: it cannot be called.
        """
        return self._commits.subscribe(listener)

    def statistics(self) -> StoreStatistics:
        """This moment's counts."""
        counted = super().statistics()
        writer = self._writer
        return StoreStatistics(
            head=counted.head,
            streams=counted.streams,
            events_appended=writer.events_appended,
            batches_appended=writer.batches_appended,
            failures=writer.failures,
            size_bytes=counted.size_bytes,
            owner_epoch=writer.owner_epoch,
            commits=writer.commits,
            largest_commit=writer.largest_commit,
            repeated=writer.repeated,
        )

    def close(self) -> None:
        """Close the log and let others own it. Idempotent. In a forked child, forget it without touching the file."""
        if self._open_log is not None:
            self._open_log.close()

    def __del__(self) -> None:
        """Leave a log that nobody closed to whoever opens the next one, or to the end of the process."""
        if self._open_log is not None:
            self._open_log.drop()

    def abandon(self) -> None:
        """Refuse every batch in a forked child, before it waits for a thread that only its parent has."""
        self._prepare = self._refuse

    def _refuse(self, _batch: Batch) -> PreparedBatch:
        raise closed_error(self._pid)
