"""Encrypts what a store writes: batches are sealed in the caller's thread, before any lock, with a key kept in the log.

How many values a data key has sealed is counted ahead, in the log itself, so that no crash can make it forget some.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import TypeAlias

import msgspec

from eventstore import attachments, snapshots
from eventstore.checksums import attachment_checksum, row_checksum, snapshot_checksum
from eventstore.encrypting.datakeys import Unwrapped, add_key, aes_gcm, first_key, following, replace_key
from eventstore.encrypting.keyring import Keyring, LogKey, keyring_of
from eventstore.encryption import Unsealer, about_attachment, about_event, about_receipt, about_snapshot, sealing
from eventstore.errors import EventStoreError
from eventstore.prepare import PreparedBatch, PreparedEvent, PreparedWrite, prepare
from eventstore.records import Attachment, Batch, Instant, Snapshot
from eventstore.schema import log_end
from eventstore.transactions import Transactions

Seal: TypeAlias = Callable[[bytes, bytes], bytes]

MAX_SEALS = 2**32
"""Values sealed with one data key at most: with random nonces, NIST SP 800-38D allows no more."""
SEALS_AT_ONCE = 2**16
"""Values counted in one transaction, before they are sealed."""
DIGEST_BYTES = 16

_SNAPSHOT = (
    "SELECT s.name, n.version, n.schema, n.data, n.checksum FROM snapshots AS n JOIN streams AS s ON s.id = n.stream_id"
    " WHERE n.rowid = ?"
)
_APPENDS = "SELECT id, idempotency_key, digest, result, checksum FROM appends"
_SECURE_DELETE = {0: "OFF", 1: "ON", 2: "FAST"}


class Sealer:
    """Prepares batches for an encrypted log, and looks after its data keys.

    Args:
        unsealer: of the same log, with a key.
        transactions: change the log.
        clock: dates the data keys.
    """

    def __init__(self, unsealer: Unsealer, transactions: Transactions, clock: Callable[[], Instant]) -> None:
        self._unsealer = unsealer
        self._transactions = transactions
        self._clock = clock
        self._lock = threading.Lock()
        self._left = 0
        """Values that are counted and not sealed yet."""
        self._seal: Seal = _nothing_counted
        self._digest_key = b""

    def begin(self, keys: Sequence[Unwrapped]) -> None:
        """Make the log an encrypted one where it is none, and lock its data keys with the newest key that was given.

        Args:
            keys: the data keys that it has.

        Raises:
            AppendFailed, OutcomeUnknown, Fenced: as any transaction.
        """
        newest = self._keyring.newest

        def start(connection: sqlite3.Connection) -> tuple[Unwrapped, Unwrapped]:
            if not keys:
                self._encrypt(connection)
            for key, by in keys:
                if by != newest:
                    replace_key(connection, key, newest)
            return self._unsealer.load(connection)[0], self._count(connection, SEALS_AT_ONCE)

        replacing = not keys or any(one.by != newest for one in keys)
        with _wiping(self._transactions) if replacing else contextlib.nullcontext():
            first, counted = self._transactions.run(start)
        self._digest_key = _digest_key(first)
        self._use(counted, SEALS_AT_ONCE)

    def prepare(self, batch: Batch) -> PreparedBatch:
        """As ``prepare.prepare``, with all data sealed.

        Raises:
            EventRefused, NotAnEvent, BadRequest: as there.
            AppendFailed, OutcomeUnknown, Fenced, StoreClosed: once in many batches, its values could not be counted;
                nothing was stored.
        """
        prepared = prepare(batch)
        count = sum([len(write.events) for write in prepared.writes])
        count += len(prepared.receipts) + len(prepared.snapshots) + len(prepared.attachments)
        digest = prepared.digest and _keyed(self._digest_key, prepared.digest)
        if not count:
            return msgspec.structs.replace(prepared, digest=digest)
        seal = self._take(count)
        return msgspec.structs.replace(
            prepared,
            writes=tuple([_sealed_write(write, seal) for write in prepared.writes]),
            receipts=[(name, seal(about_receipt(name), reply)) for name, reply in prepared.receipts],
            snapshots=tuple([_sealed_snapshot(one, seal) for one in prepared.snapshots]),
            attachments=tuple([_sealed_attachment(one, seal) for one in prepared.attachments]),
            digest=digest,
        )

    def rotate(self, key: LogKey, *, new_data_key: bool) -> None:
        """Lock the data keys with another key, and seal with a new one from now on if that is wanted.

        Raises:
            BadKey: it is no key.
            AppendFailed, OutcomeUnknown, Fenced, StoreClosed: as any transaction.
        """
        keyring = keyring_of(key)
        with self._lock:
            both = dict.fromkeys((keyring.newest, *self._keyring.keys[:1]))
            self._unsealer.use(Keyring(tuple(both)))  # after an unknown outcome either may be what opens it
            self._rewrap(keyring, new_data_key=new_data_key)
            self._unsealer.use(keyring)
            self._left = 0

    # --- inside ---------------------------------------------------------------------------------------------------

    @property
    def _keyring(self) -> Keyring:
        assert self._unsealer.keyring is not None
        return self._unsealer.keyring

    def _take(self, count: int) -> Seal:
        """What seals so many values."""
        with self._lock:
            if self._left < count:
                many = max(count, SEALS_AT_ONCE)
                self._use(self._transactions.run(lambda connection: self._count(connection, many)), many)
            self._left -= count
            return self._seal

    def _use(self, counted: Unwrapped, many: int) -> None:
        """From now on seal with this data key, so many values."""
        self._unsealer.learn((counted,))
        self._seal = sealing(counted.key.number, aes_gcm(counted.key.secret))
        self._left = many

    def _count(self, connection: sqlite3.Connection, many: int) -> Unwrapped:
        """Inside a transaction: count values that will be sealed with the newest data key, or with the next one."""
        newest, by = self._unsealer.load(connection)[-1]
        if newest.reserved + many <= MAX_SEALS:
            counted = newest._replace(reserved=newest.reserved + many)
            replace_key(connection, counted, by)
        else:
            counted = following(newest)._replace(reserved=many)
            add_key(connection, counted, by, self._now_us())
        return Unwrapped(counted, by)

    def _rewrap(self, keyring: Keyring, *, new_data_key: bool) -> None:
        def rewrap(connection: sqlite3.Connection) -> None:
            keys = self._unsealer.load(connection)
            for key, _ in keys:
                replace_key(connection, key, keyring.newest)
            if new_data_key:
                add_key(connection, following(keys[-1].key), keyring.newest, self._now_us())

        with _wiping(self._transactions):
            self._transactions.run(rewrap)

    def _encrypt(self, connection: sqlite3.Connection) -> None:
        """Inside a transaction: the first data key. What was there before stays as it is, if it is an event."""
        _, position, _ = log_end(connection)
        key, by = first_key(position), self._keyring.newest
        unwrapped = Unwrapped(key, by)
        sealed = seal_besides(connection, sealing(key.number, aes_gcm(key.secret)), _digest_key(unwrapped))
        add_key(connection, key._replace(reserved=sealed), by, self._now_us())

    def _now_us(self) -> int:
        return round(self._clock().wall_s * 1e6)


def seal_besides(connection: sqlite3.Connection, seal: Seal, digest_key: bytes) -> int:
    """Inside a transaction: seal the snapshots, attachments and replies that a log has. Returns how many at most.

    None of them can then be taken for something plain, whatever its first byte is. What is damaged stays as it is: with
    a checksum of its own making it would be taken for sound.
    """
    _key_digests(connection, digest_key)
    return _seal_snapshots(connection, seal) + _seal_attachments(connection, seal) + _seal_receipts(connection, seal)


def _seal_snapshots(connection: sqlite3.Connection, seal: Seal) -> int:
    rows = connection.execute("SELECT rowid FROM snapshots").fetchall()
    for (row,) in rows:
        for stream, version, schema, data, checksum in connection.execute(_SNAPSHOT, (row,)).fetchall():
            if snapshots.is_intact(stream, version, schema, data, checksum):
                sealed = seal(about_snapshot(stream, version, schema), data)
                values = sealed, snapshot_checksum(stream, version, schema, sealed), row
                connection.execute("UPDATE snapshots SET data = ?, checksum = ? WHERE rowid = ?", values)
    return len(rows)


def _seal_attachments(connection: sqlite3.Connection, seal: Seal) -> int:
    rows = connection.execute("SELECT id, key FROM attachments").fetchall()
    for row, key in rows:
        data, checksum = connection.execute("SELECT data, checksum FROM attachments WHERE id = ?", (row,)).fetchone()
        if attachments.is_intact(key, data, checksum):
            sealed = seal(about_attachment(key), data)
            values = sealed, attachment_checksum(key, sealed), len(sealed), row
            connection.execute("UPDATE attachments SET data = ?, checksum = ?, size = ? WHERE id = ?", values)
    return len(rows)


def _seal_receipts(connection: sqlite3.Connection, seal: Seal) -> int:
    rows = connection.execute("SELECT id, command_id, reply, checksum FROM receipts").fetchall()
    for row, command_id, reply, checksum in rows:
        if checksum in (None, row_checksum(command_id, reply)):
            sealed = seal(about_receipt(command_id), reply)
            values = sealed, row_checksum(command_id, sealed), row
            connection.execute("UPDATE receipts SET reply = ?, checksum = ? WHERE id = ?", values)
    return len(rows)


def _key_digests(connection: sqlite3.Connection, digest_key: bytes) -> None:
    for row, name, digest, result, checksum in connection.execute(_APPENDS).fetchall():
        if checksum == row_checksum(name, digest, result):
            keyed = _keyed(digest_key, digest)
            values = keyed, row_checksum(name, keyed, result), row
            connection.execute("UPDATE appends SET digest = ?, checksum = ? WHERE id = ?", values)


@contextlib.contextmanager
def _wiping(transactions: Transactions) -> Iterator[None]:
    """Leave nothing of what is replaced inside the block in the file's unused parts, nor in the WAL if nobody reads."""

    def set_on(connection: sqlite3.Connection) -> str:
        before = connection.execute("PRAGMA secure_delete").fetchone()[0]
        connection.execute("PRAGMA secure_delete = ON").fetchall()
        return _SECURE_DELETE[before]

    before = transactions.outside(set_on)
    try:
        yield
    finally:
        with contextlib.suppress(EventStoreError):
            transactions.outside(lambda connection: connection.execute(f"PRAGMA secure_delete = {before}").fetchall())
    with contextlib.suppress(EventStoreError):
        transactions.checkpoint()


def _nothing_counted(about: bytes, data: bytes) -> bytes:
    raise AssertionError("sealed without counting")


def _digest_key(first: Unwrapped) -> bytes:
    """What the digests of batches are keyed with: without it, one would tell whoever guesses a batch that it is right.

    Of the first data key, so that it stays the same.
    """
    return blake2b(b"idempotency", key=first.key.secret, digest_size=DIGEST_BYTES).digest()


def _keyed(key: bytes, digest: bytes) -> bytes:
    return blake2b(digest, key=key, digest_size=DIGEST_BYTES).digest()


def _sealed_write(write: PreparedWrite, seal: Seal) -> PreparedWrite:
    abouts: dict[tuple[str, int], bytes] = {}
    events: list[PreparedEvent] = []
    for event in write.events:
        kind, version, data, cause, after_previous, command_id, correlation_id, depth = event
        about = abouts.get((kind, version))
        if about is None:
            about = abouts[kind, version] = about_event(write.stream, kind, version)
        sealed = seal(about, data)
        events.append((kind, version, sealed, cause, after_previous, command_id, correlation_id, depth))
    return msgspec.structs.replace(write, events=tuple(events))


def _sealed_snapshot(snapshot: Snapshot, seal: Seal) -> Snapshot:
    about = about_snapshot(snapshot.stream, snapshot.version, snapshot.schema)
    return Snapshot(snapshot.stream, snapshot.version, snapshot.schema, seal(about, snapshot.data))


def _sealed_attachment(attachment: Attachment, seal: Seal) -> Attachment:
    return Attachment(attachment.key, seal(about_attachment(attachment.key), attachment.data))
