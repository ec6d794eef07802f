"""Errors of opening a log, ES-4000 and on, and of its key, ES-6001 and on."""

from __future__ import annotations

from eventstore.errors.base import EventStoreError


class OpenError(EventStoreError):
    """A log could not be opened. ``path`` says which."""

    code = "ES-4000"

    def __init__(self, path: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.path = path


class LogNotFound(OpenError, FileNotFoundError):
    """There is no log at this path."""

    code = "ES-4001"
    hint = "check the path; a log is <checkpoint_dir>/<agent_id>/lrm.db"


class NotALog(OpenError, ValueError):
    """The file is something else, or too damaged to tell."""

    code = "ES-4002"
    hint = "point to an lrm.db; nothing in the file was changed"


class LogTooNew(OpenError):
    """The log was written by a later release."""

    code = "ES-4003"
    hint = "upgrade lrm-actors; nothing in the file was changed"

    def __init__(self, path: str, found: int, known: int) -> None:
        super().__init__(path, f"{path} has schema {found}, this release knows up to {known}")
        self.found, self.known = found, known


class LogLocked(OpenError, BlockingIOError):
    """Another process owns the log, or this one does already, or another log in its directory is owned."""

    code = "ES-4004"
    hint = "stop the other process, or use another agent_id; reading needs no ownership"


class LogNotWritable(OpenError, PermissionError):
    """The directory or the file cannot be written."""

    code = "ES-4005"
    hint = "make the directory and the files in it writable, or choose another checkpoint_dir"


class StoreClosed(EventStoreError, RuntimeError):
    """The handle was used after ``close``."""

    code = "ES-4006"
    hint = "open the log again"


NOT_ALLOWED = "look as the user that the log belongs to: its directory is for nobody else"
"""The hint of a ``LogNotReadable`` where it is only that."""


class LogNotReadable(OpenError, PermissionError):
    """The log is there, and this process cannot read it where it is."""

    code = "ES-4007"
    hint = "copy the log's whole directory to a place that you may write, and read it there"


class LogExists(OpenError, FileExistsError):
    """There is something already where a new log should be."""

    code = "ES-4008"
    hint = "choose another path; nothing was changed"


class WrongKey(OpenError, PermissionError):
    """The key that was given is not the one that the log is encrypted with."""

    code = "ES-6001"
    hint = "give the key that the log was written with, or the newest that it was changed to; nothing was changed"

    def __init__(self, path: str, tried: int) -> None:
        given = "the key given does not open" if tried == 1 else f"none of the {tried} keys given opens"
        super().__init__(path, f"{path} is encrypted, and {given} it")
        self.tried = tried


class KeyRequired(OpenError, PermissionError):
    """The log is encrypted, and no key was given."""

    code = "ES-6002"
    hint = "give the key: open_store(path, key=...), LRM_LOG_KEY or --key-file; checking and copying need none"

    def __init__(self, path: str, message: str = "", *, hint: str | None = None) -> None:
        super().__init__(path, message or f"{path} is encrypted, and no key was given", hint=hint)


class BadKey(EventStoreError, ValueError):
    """What was given as a key is none. The message never repeats it."""

    code = "ES-6003"
    hint = "a key is 32 bytes; as text 64 hex digits or base64; generate_key() makes one"


class CryptographyMissing(EventStoreError, ImportError):
    """Encryption needs a library that is not installed."""

    code = "ES-6004"
    hint = "pip install 'lrm-actors[crypto]'"

    def __init__(self, reason: str) -> None:
        super().__init__(f"encryption needs the cryptography library: {reason}")
        self.reason = reason
