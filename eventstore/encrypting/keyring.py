"""The keys that the owner of a log keeps outside it: where they come from, and whether they are keys at all."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from collections.abc import Callable, Sequence
from typing import TypeAlias

import attrs

from eventstore.errors import BadKey
from eventstore.frozen import frozen

KEY_BYTES = 32
"""Bytes of a key: AES-256."""
MAX_KEYS = 16
"""Keys that one keyring holds at most."""
MAX_FILE_BYTES = 4096
"""Bytes of a file with keys at most."""


def _to_keys(keys: Sequence[bytes]) -> tuple[bytes, ...]:
    return tuple(keys)


@frozen(repr=False)
class Keyring:
    """One key or several, the newest first. Whatever is written is locked with the newest; any of them may open.

    Raises:
        BadKey: one is not 32 bytes, or there is none, or there are more than 16.
    """

    keys: tuple[bytes, ...] = attrs.field(converter=_to_keys)

    def __attrs_post_init__(self) -> None:
        if not 1 <= len(self.keys) <= MAX_KEYS:
            raise BadKey(f"{len(self.keys)} keys were given, and there must be 1 to {MAX_KEYS}")
        for key in self.keys:
            if not isinstance(key, bytes):
                raise BadKey(f"a key is {KEY_BYTES} bytes, not of type {type(key).__name__}")
            if len(key) != KEY_BYTES:
                raise BadKey(f"a key is {KEY_BYTES} bytes, and this one is {len(key)}")

    @property
    def newest(self) -> bytes:
        """What locks."""
        return self.keys[0]

    def __repr__(self) -> str:  # it may be printed, logged or shown in a traceback, and must give nothing away
        return f"<Keyring of {len(self.keys)}>"


LogKey: TypeAlias = bytes | Keyring | Callable[[], bytes | list[bytes] | tuple[bytes, ...] | Keyring]
"""A key of 32 bytes, or several, or what fetches them when a log is opened: from a secret store, for example."""


def keyring_of(key: LogKey) -> Keyring:
    """The keys that were given, or that whoever was given fetches now.

    Raises:
        BadKey: they are no keys.
    """
    given = key() if callable(key) else key
    if isinstance(given, Keyring):
        return given
    if isinstance(given, list | tuple):
        return Keyring(given)
    return Keyring((given,))


def generate_key() -> bytes:
    """A new key: 32 random bytes. Keep ``generate_key().hex()`` where the log is not."""
    import secrets

    return secrets.token_bytes(KEY_BYTES)


def key_from_environment(name: str) -> Keyring:
    """The key in a variable, in hex or base64; several, the newest first, with commas or spaces between them.

    Raises:
        BadKey: the variable is not set, or what it holds is no key.
    """
    text = os.environ.get(name, "")
    if not text.strip():
        raise BadKey(f"the variable {name} is not set", hint=f"set {name} to a key in hex: 64 digits")
    return _parse(text, f"the variable {name}")


def key_from_file(path: str | os.PathLike[str]) -> Keyring:
    """The key in a file: 32 bytes as they are, or text as in ``key_from_environment``.

    Raises:
        BadKey: it cannot be read, or others can read it too, or what it holds is no key.
    """
    where = f"the key file {os.fspath(path)}"
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - its permissions are those of this very file
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadKey(f"{where} cannot be read: {reason}", hint="check its name and who may read it") from error
    if os.name == "posix" and mode & 0o077:
        hint = f"chmod 600 {os.fspath(path)}, and consider whether somebody has read it already"
        raise BadKey(f"{where} can be read by others (mode {mode:04o})", hint=hint)
    if len(data) == KEY_BYTES:
        return Keyring((data,))
    try:
        return _parse(data.decode("ascii") if len(data) <= MAX_FILE_BYTES else "", where)
    except UnicodeDecodeError:
        raise BadKey(f"{where} holds no key", hint=BadKey.hint) from None


def _parse(text: str, where: str) -> Keyring:
    keys = [_decode(word) for word in text.replace(",", " ").split()]
    known = tuple(key for key in keys if key is not None)
    if not keys or len(known) != len(keys):  # and never a word of what it is instead
        raise BadKey(f"{where} holds no key", hint=BadKey.hint)
    return Keyring(known)


def _decode(word: str) -> bytes | None:
    """A key in hex or base64, of either alphabet and with or without padding; None for anything else."""
    try:
        if len(word) == 2 * KEY_BYTES:
            return bytes.fromhex(word)
        bare = word.rstrip("=").replace("-", "+").replace("_", "/")
        data = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (ValueError, binascii.Error):
        return None
    return data if len(data) == KEY_BYTES else None
