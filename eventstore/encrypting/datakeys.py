"""The keys that a log's values are sealed with. The log itself keeps them, wrapped with the key that its owner keeps.

So the owner's key can be changed without writing anything else anew, and a data key seals a bounded number of values.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from eventstore.encrypting.keyring import KEY_BYTES, Keyring
from eventstore.errors import CorruptLog, CryptographyMissing, WrongKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FORM = b"\x01"
"""The first byte of everything that is sealed or wrapped: its form. No JSON begins with it."""
NONCE_BYTES, TAG_BYTES = 12, 16

_SECRET = struct.Struct(f">{KEY_BYTES}sQQ")
_COPIES = ("SELECT id, wrapped FROM keys NOT INDEXED", "SELECT id, wrapped FROM keys INDEXED BY key_checks")
"""The index holds a second copy of each wrapped key, on another page: without its key a log is lost."""
_INSERT = "INSERT INTO keys (id, created_us, wrapped) VALUES (?, ?, ?)"
_REPLACE = "UPDATE keys SET wrapped = ? WHERE id = ?"

_encode = msgspec.json.Encoder().encode


class DataKey(NamedTuple):
    """A key that values are sealed with, and what only the holder of the owner's key may say about it."""

    number: int
    """In the table, and in each value that is sealed with it."""
    secret: bytes
    plain_up_to: int
    """Position of the last event that was there before the log was encrypted. All those after it are sealed."""
    reserved: int
    """Values that may have been sealed with it: never fewer than there are."""


class Unwrapped(NamedTuple):
    """A data key, and the owner's key that opened it."""

    key: DataKey
    by: bytes


def aes_gcm(secret: bytes) -> AESGCM:
    """AES-256-GCM with a key, safe to use from several threads.

    Raises:
        CryptographyMissing: it is not installed.
    """
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise CryptographyMissing(str(error)) from error
    return AESGCM(secret)


@cache
def invalid_tag() -> type[Exception]:
    """What AES-GCM raises for what was not sealed so. Asked for only once there is a cipher."""
    from cryptography.exceptions import InvalidTag

    return InvalidTag


def has_keys(connection: sqlite3.Connection) -> bool:
    """Whether a log is encrypted. One of the first schema has no table of keys."""
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'keys'").fetchone() is None:
        return False
    return connection.execute("SELECT 1 FROM keys").fetchone() is not None


def read_keys(connection: sqlite3.Connection, log: Path, keyring: Keyring) -> tuple[Unwrapped, ...]:
    """Every data key of a log, in the order they were made; none of a log that is not encrypted.

    Raises:
        WrongKey: the keyring does not open them all.
        CryptographyMissing: there is something to open, and it is not installed.
        CorruptLog, sqlite3.Error: they cannot be read.
    """
    if not has_keys(connection):
        return ()
    log_id = _log_id(connection)
    found = []
    for number, copies in sorted(_copies(connection).items()):
        opened = _unwrap(keyring, log_id, number, copies)
        if opened is None:
            raise WrongKey(str(log), len(keyring.keys))
        found.append(opened)
    return tuple(found)


def add_key(connection: sqlite3.Connection, key: DataKey, by: bytes, created_us: int) -> None:
    """Inside the caller's transaction: keep a data key, wrapped."""
    connection.execute(_INSERT, (key.number, created_us, _wrap(by, _log_id(connection), key)))


def replace_key(connection: sqlite3.Connection, key: DataKey, by: bytes) -> None:
    """Inside the caller's transaction: keep it in place of what it was, or was wrapped with."""
    connection.execute(_REPLACE, (_wrap(by, _log_id(connection), key), key.number))


def following(key: DataKey) -> DataKey:
    """A new data key after one."""
    return DataKey(key.number + 1, os.urandom(KEY_BYTES), key.plain_up_to, 0)


def first_key(plain_up_to: int) -> DataKey:
    """The first data key of a log."""
    return DataKey(1, os.urandom(KEY_BYTES), plain_up_to, 0)


def _log_id(connection: sqlite3.Connection) -> str:
    row = connection.execute("SELECT value FROM meta WHERE key = 'log_id'").fetchone()
    if row is None:
        raise CorruptLog("it has no id")
    return str(row[0])


def _copies(connection: sqlite3.Connection) -> dict[int, list[bytes]]:
    """The wrapped keys as the table and its index have them. Either may be damaged."""
    found: dict[int, list[bytes]] = {}
    failed: sqlite3.DatabaseError | None = None
    for sql in _COPIES:
        try:
            for number, wrapped in connection.execute(sql).fetchall():
                copies = found.setdefault(number, [])
                if isinstance(wrapped, bytes) and wrapped not in copies:
                    copies.append(wrapped)
        except sqlite3.DatabaseError as error:
            failed = error
    if failed is not None and not found:
        raise failed
    return found


def _wrap(by: bytes, log_id: str, key: DataKey) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    secret = _SECRET.pack(key.secret, key.plain_up_to, key.reserved)
    return FORM + nonce + aes_gcm(by).encrypt(nonce, secret, _about(log_id, key.number))


def _unwrap(keyring: Keyring, log_id: str, number: int, copies: Sequence[bytes]) -> Unwrapped | None:
    for wrapped in copies:
        if wrapped[:1] != FORM or len(wrapped) != 1 + NONCE_BYTES + _SECRET.size + TAG_BYTES:
            continue
        nonce, sealed = wrapped[1 : 1 + NONCE_BYTES], wrapped[1 + NONCE_BYTES :]
        for by in keyring.keys:
            try:
                secret = aes_gcm(by).decrypt(nonce, sealed, _about(log_id, number))
            except invalid_tag():
                continue
            return Unwrapped(DataKey(number, *_SECRET.unpack(secret)), by)
    return None


def _about(log_id: str, number: int) -> bytes:
    """What a wrapped key is bound to: it opens in no other log, and under no other number."""
    return _encode(("eventstore key 1", log_id, number))
