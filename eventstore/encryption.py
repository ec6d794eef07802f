"""Sealed values: how a log's data lie in an encrypted file, and how its readers open them.

Sealed are the data of events, snapshots and attachments and the replies to commands: a byte for the form, the data
key's number, a random nonce, and AES-256-GCM's ciphertext and tag. Each is bound to what it belongs to, so that it
opens nowhere else. Checksums and the hash chain are taken of what is stored, and need no key.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from os import urandom
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from eventstore.encrypting.datakeys import (
    FORM,
    NONCE_BYTES,
    TAG_BYTES,
    Unwrapped,
    aes_gcm,
    has_keys,
    invalid_tag,
    read_keys,
)
from eventstore.encrypting.keyring import Keyring, LogKey, keyring_of
from eventstore.errors import CorruptEvent, KeyRequired, WrongKey
from eventstore.shaping.limits import INT_MAX

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAX_REMEMBERED = 10_000
"""Streams and types that are remembered as bytes; past it all are forgotten and made again as they are needed."""

HEADER = struct.Struct(">cI")
SEALED_BYTES = HEADER.size + NONCE_BYTES + TAG_BYTES
"""By how much a sealed value is longer than its data."""

Lend: TypeAlias = Callable[[], AbstractContextManager[sqlite3.Connection]]

_encode = msgspec.json.Encoder().encode


class Unopened(ValueError):
    """A sealed value does not open. Whoever knows what it was turns this into a typed error."""


class Unsealer:
    """Opens the sealed values of one log.

    Args:
        log: its file, for messages.
        key: the owner's key; None to read only what lies in the clear.
        lend: lends a connection to it.

    Raises:
        BadKey: what was given is no key.
    """

    def __init__(self, log: Path, key: LogKey | None, lend: Lend) -> None:
        self.log = log
        self._lend = lend
        self._source = key
        self.keyring: Keyring | None = None if key is None else keyring_of(key)
        self._ciphers: dict[int, AESGCM] = {}
        self._secrets: dict[int, bytes] = {}
        self._plain_up_to = INT_MAX
        self._events: dict[tuple[str, str, int], bytes] = {}
        self._locked: bool | None = None

    @property
    def given(self) -> bool:
        """Whether there is a key. Without one nothing is sealed, or nothing opens."""
        return self.keyring is not None

    @property
    def locked(self) -> bool:
        """Whether the log is encrypted and there is no key."""
        if self.given:
            return False
        if not self._locked:  # a log may become encrypted, and stays so
            with self._lend() as connection:
                self._locked = has_keys(connection)
        return self._locked

    def check_usable(self) -> None:
        """See that the key can be used here.

        Raises:
            CryptographyMissing: it cannot.
        """
        if self.keyring is not None:
            aes_gcm(self.keyring.newest)

    def load(self, connection: sqlite3.Connection) -> tuple[Unwrapped, ...]:
        """Take in the data keys that a log has by now.

        Raises:
            KeyRequired: it has some, and no key was given.
            WrongKey: the key does not open them.
            CryptographyMissing: they cannot be used here.
        """
        if self.keyring is None:
            if has_keys(connection):
                raise KeyRequired(str(self.log))
            return ()
        try:
            keys = read_keys(connection, self.log, self.keyring)
        except WrongKey:
            if not callable(self._source):
                raise
            self.keyring = keyring_of(self._source)  # changed since it was opened: whoever fetched the key may know
            keys = read_keys(connection, self.log, self.keyring)
        self.learn(keys)
        return keys

    def learn(self, keys: Iterable[Unwrapped]) -> None:
        """Open what is sealed with these data keys from now on."""
        for one in keys:
            self._plain_up_to = one.key.plain_up_to
            number, secret = one.key.number, one.key.secret
            if self._secrets.get(number) != secret:  # one that was rolled back may have had the same number
                self._ciphers[number], self._secrets[number] = aes_gcm(secret), secret

    def use(self, keyring: Keyring) -> None:
        """From now on these open the data keys."""
        self._source = self.keyring = keyring

    # --- events ---------------------------------------------------------------------------------------------------

    def event(self, position: int, stream: str, kind: str, schema_version: int, data: bytes) -> bytes:
        """The JSON of an event. There is a key.

        Raises:
            CorruptEvent: it is not what was sealed, or not where it was, or not sealed and should be.
        """
        if not isinstance(data, bytes):
            return data  # damage; decoding it says so
        if data[:1] != FORM:
            if position > self._plain_up_to:
                raise CorruptEvent(position, "it is not encrypted, and all events after the log became so are")
            return data
        about = self._events.get((stream, kind, schema_version))
        if about is None:
            about = self._remember(stream, kind, schema_version)
        try:
            return self._open(about, data)
        except Unopened as error:
            raise CorruptEvent(position, str(error)) from error

    def readable(self, position: int, stream: str, kind: str, schema_version: int, data: bytes) -> bytes | None:
        """As ``event``; and None where it cannot be told without the key."""
        if self.given:
            return self.event(position, stream, kind, schema_version, data)
        return None if is_sealed(data) and self.locked else data

    def _remember(self, stream: str, kind: str, schema_version: int) -> bytes:
        if len(self._events) >= MAX_REMEMBERED:
            self._events.clear()
        about = self._events[stream, kind, schema_version] = about_event(stream, kind, schema_version)
        return about

    # --- beside the events ----------------------------------------------------------------------------------------

    def beside(self, about: bytes, data: bytes) -> bytes:
        """The bytes of a snapshot, an attachment or a reply. They may begin with any byte where nothing is encrypted.

        Raises:
            KeyRequired: it is sealed, and there is no key.
            Unopened: it is not what was sealed, or not where it was, or not sealed and should be.
        """
        if not isinstance(data, bytes):
            raise Unopened("its bytes are none")
        if not self.given:
            if is_sealed(data) and self.locked:
                raise KeyRequired(str(self.log))
            return data
        if not self._ciphers and is_sealed(data):
            with self._lend() as connection:
                self.load(connection)
        return self._open(about, data) if self._ciphers else data

    def readable_beside(self, about: bytes, data: bytes) -> bytes | None:
        """As ``beside``; and None where it cannot be told without the key."""
        try:
            return self.beside(about, data)
        except KeyRequired:
            return None

    # --- inside ---------------------------------------------------------------------------------------------------

    def _open(self, about: bytes, data: bytes) -> bytes:
        if data[:1] != FORM:
            raise Unopened("it is not encrypted, and the log is")
        if len(data) < SEALED_BYTES:
            raise Unopened("it is too short for something encrypted")
        _, number = HEADER.unpack_from(data)
        cipher = self._ciphers.get(number) or self._cipher(number)
        nonce, sealed = data[HEADER.size : HEADER.size + NONCE_BYTES], data[HEADER.size + NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, sealed, about)
        except invalid_tag():
            raise Unopened("it is not what was encrypted, or not where it was encrypted for") from None

    def _cipher(self, number: int) -> AESGCM:
        """One that is not known yet: its key may have been made since."""
        with self._lend() as connection:
            self.load(connection)
        if number not in self._ciphers:
            raise Unopened(f"it is encrypted with data key {number}, which the log does not have")
        return self._ciphers[number]


def is_sealed(data: object) -> bool:
    """Whether bytes look sealed. JSON never does; other bytes may."""
    return isinstance(data, bytes) and data[:1] == FORM


def sealing(number: int, cipher: AESGCM) -> Callable[[bytes, bytes], bytes]:
    """What seals data with a data key, given first what they are bound to."""
    header, encrypt = HEADER.pack(FORM, number), cipher.encrypt

    def seal(about: bytes, data: bytes) -> bytes:
        nonce = urandom(NONCE_BYTES)
        return header + nonce + encrypt(nonce, data, about)

    return seal


def about_event(stream: str, kind: str, schema_version: int) -> bytes:
    """What an event's data are bound to. Where in the stream it will be is not known yet when it is sealed."""
    return _about("event", stream, kind, schema_version)


def about_snapshot(stream: str, version: int, schema: str) -> bytes:
    """What a snapshot's data are bound to."""
    return _about("snapshot", stream, version, schema)


def about_attachment(key: str) -> bytes:
    """What an attachment's data are bound to."""
    return _about("attachment", key)


def about_receipt(command_id: str) -> bytes:
    """What a reply is bound to."""
    return _about("receipt", command_id)


def _about(*what: Any) -> bytes:
    return _encode(("eventstore value 1", *what))
