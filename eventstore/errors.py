"""Everything the store raises. Each leaf has a stable code, what was wrong as attributes, and what to try."""

from __future__ import annotations

from typing import ClassVar

from eventstore.notes import Notes, Reduced, reduced


class EventStoreError(Exception):
    """Base of every error of this package."""

    code: ClassVar[str] = "ES-0000"
    """Stable code, for documentation and for programs."""
    hint: str = ""
    """What to try, a sentence."""
    __notes__ = Notes()  # the code and the hint, made when somebody looks

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint

    def __reduce__(self) -> Reduced:
        return reduced(self)


# --- declaring and encoding events --------------------------------------------------------------------------------


class NotAnEvent(EventStoreError, TypeError):
    """A class was used as an event without being declared as one."""

    code = "ES-1001"
    hint = "declare the class with @event('category.name', 1)"

    def __init__(self, cls: type) -> None:
        super().__init__(f"{cls.__qualname__} is not declared as an event")
        self.cls = cls


class DuplicateEventType(EventStoreError, ValueError):
    """Two classes claim one stored name."""

    code = "ES-1002"
    hint = "give one of the classes another name; stored names must stay unique"

    def __init__(self, name: str, first: type, second: type) -> None:
        super().__init__(f"event name {name!r} is claimed by {first.__qualname__} and {second.__qualname__}")
        self.name, self.first, self.second = name, first, second


class EventRefused(EventStoreError, ValueError):
    """An event's value would not come back from the log as it went in."""

    code = "ES-1003"
    hint = "use only str, bool, int within 64 bits, finite float, None, and lists, dicts and attrs classes of them"

    def __init__(self, type_name: str, field: str, reason: str) -> None:
        super().__init__(f"event {type_name!r} cannot be stored: field {field!r}: {reason}")
        self.type_name, self.field, self.reason = type_name, field, reason


class UnknownEventType(EventStoreError, LookupError):
    """The log holds an event of a type or a later version that this process does not know."""

    code = "ES-1004"
    hint = "import the module that declares it, or upgrade; tools can read on with placeholders"

    def __init__(self, position: int, type_name: str, schema_version: int) -> None:
        super().__init__(f"position {position}: event {type_name!r} version {schema_version} is not known here")
        self.position, self.type_name, self.schema_version = position, type_name, schema_version


class EventCountError(EventStoreError, ValueError):
    """One event was asked of a record that became none or several."""

    code = "ES-1005"
    hint = "iterate over record.events"

    def __init__(self, position: int, type_name: str, count: int) -> None:
        super().__init__(f"position {position}: {type_name!r} was upcast to {count} events")
        self.position, self.type_name, self.count = position, type_name, count


# --- finding ------------------------------------------------------------------------------------------------------


class PositionNotFound(EventStoreError, KeyError):
    """No event has this position."""

    code = "ES-2001"
    hint = "positions run from 'first' to 'head'"

    def __init__(self, position: int, first: int, head: int) -> None:
        super().__init__(f"no event at position {position}: the log holds {first} to {head}")
        self.position, self.first, self.head = position, first, head

    def __str__(self) -> str:
        return str(self.args[0])


class EventsRemoved(EventStoreError, LookupError):
    """Events that retention has removed were asked for."""

    code = "ES-2004"
    hint = (
        "begin with a snapshot of the stream, or look in the archive of what was removed; to go on without them, read"
        " after 'removed'"
    )

    def __init__(self, stream: str | None, after: int, removed: int) -> None:
        what = "positions" if stream is None else f"stream {stream!r}: versions"
        super().__init__(f"{what} up to {removed} are no longer kept, and those after {after} were asked for")
        self.stream, self.after, self.removed = stream, after, removed
        """The stream whose versions the two numbers are; None: they are positions in the log."""
        self.first = removed + 1
        """Where what is still kept begins."""


class AttachmentNotFound(EventStoreError, KeyError):
    """No attachment has this key."""

    code = "ES-2002"
    hint = "list the keys with attachment_keys()"

    def __init__(self, key: str) -> None:
        super().__init__(f"no attachment {key!r}")
        self.key = key

    def __str__(self) -> str:
        return str(self.args[0])


class ReadFailed(EventStoreError, OSError):
    """The storage refused to read."""

    code = "ES-2003"
    hint = "check the disk and the permissions of the log, then read again"

    def __init__(self, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"the log cannot be read: {reason}", hint=hint)
        self.reason = reason


# --- appending ----------------------------------------------------------------------------------------------------


class WrongVersion(EventStoreError):
    """The stream is not where the writer thought it was."""

    code = "ES-3001"
    hint = "read the stream again and decide anew"

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        super().__init__(f"stream {stream!r} is at version {actual}, expected {expected}")
        self.stream, self.expected, self.actual = stream, expected, actual


class Fenced(EventStoreError):
    """Somebody newer owns this stream or this log."""

    code = "ES-3002"
    hint = "stop writing; the newer owner goes on"

    def __init__(self, what: str, epoch: int, current: int) -> None:
        if epoch:
            super().__init__(f"{what} belongs to epoch {current}, not {epoch}")
        else:
            hint = "give the epoch that acquire returned; who was never granted one leaves the stream alone"
            super().__init__(f"{what} was acquired, at epoch {current}, and no epoch was given", hint=hint)
        self.what, self.epoch, self.current = what, epoch, current


class AppendFailed(EventStoreError, OSError):
    """The storage refused, and certainly nothing was stored."""

    code = "ES-3003"
    hint = "check the disk, then append again"

    def __init__(self, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"append failed, nothing was stored: {reason}", hint=hint)
        self.reason = reason


class StorageFull(AppendFailed):
    """There is no space left; nothing was stored."""

    code = "ES-3004"
    hint = "free space on the disk of the log; appends resume by themselves"


class OutcomeUnknown(EventStoreError, OSError):
    """The commit failed half-way: it may or may not be stored until ``settle`` succeeds."""

    code = "ES-3005"
    hint = "call settle() until it succeeds, then look whether it is there"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the outcome of an append is unknown: {reason}")
        self.reason = reason


def is_full(error: BaseException | None) -> bool:
    """Whether storage failed because there is no space left; a commit that failed half-way says so only in words."""
    return isinstance(error, StorageFull) or (isinstance(error, OutcomeUnknown) and "disk is full" in error.reason)


class IdempotencyConflict(EventStoreError, ValueError):
    """A batch came with the idempotency key of another, different one."""

    code = "ES-3007"
    hint = "use a fresh key for each batch, and send a retry exactly as it was"

    def __init__(self, key: str) -> None:
        super().__init__(f"another batch is stored under the idempotency key {key!r}")
        self.key = key


class BadRequest(EventStoreError, ValueError):
    """An argument of an append, or of opening a log, makes no sense; nothing was stored."""

    code = "ES-3006"
    hint = (
        "names are non-empty text without NUL; versions and positions are not negative; a cause is the position of an"
        " event before its effect"
    )

    def __init__(self, field: str, value: object, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"{field} = {value!r}: {reason}", hint=hint)
        self.field, self.value, self.reason = field, value, reason


# --- opening ------------------------------------------------------------------------------------------------------


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


# --- damage -------------------------------------------------------------------------------------------------------


class CorruptEvent(EventStoreError, ValueError):
    """A stored event is not what was written."""

    code = "ES-5001"
    hint = "run 'lrm verify' to see how far the damage goes"

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"position {position}: {reason}")
        self.position, self.reason = position, reason


class CorruptAttachment(EventStoreError, ValueError):
    """An attachment's bytes are not what was stored."""

    code = "ES-5002"
    hint = "use an older one"

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"attachment {key!r}: {reason}")
        self.key, self.reason = key, reason


class SnapshotUnusable(EventStoreError, ValueError):
    """A snapshot's bytes do not make a state of the class that was asked for."""

    code = "ES-5003"
    hint = "fold the stream from its beginning instead; the log still has the truth"

    def __init__(self, cls: type, reason: str) -> None:
        super().__init__(f"no {cls.__qualname__} in the snapshot: {reason}")
        self.cls, self.reason = cls, reason


class CorruptLog(EventStoreError, ValueError):
    """The file itself is damaged. ``path`` says which, as far as that is known."""

    code = "ES-5004"
    hint = "run 'lrm verify' to see how far the damage goes"

    def __init__(self, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"the log is damaged: {reason}", hint=hint)
        self.reason, self.path = reason, ""

    def in_file(self, path: str) -> CorruptLog:
        """The same error, with the file named."""
        if not self.path:
            self.path = path
            self.args = (f"the log is damaged: {path}: {self.reason}",)
        return self


class TailMissing(OpenError, ValueError):
    """Events that were acknowledged are not in the log any more, or what was stored after the last of them."""

    code = "ES-5005"
    hint = (
        "keep a copy of all its files and salvage it; or restore a backup; to go on without the missing events, open it"
        " with accept_lost_tail=True"
    )

    def __init__(self, path: str, head: int, marked: int) -> None:
        missing = (
            f"{path} ends at position {head}, but position {marked} was acknowledged: its tail is missing"
            if head < marked
            else f"{path} ends at position {head} as it should, but what was acknowledged after that is missing"
        )
        super().__init__(path, missing)
        self.head, self.marked = head, marked


# --- encryption ---------------------------------------------------------------------------------------------------


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


# --- copies -------------------------------------------------------------------------------------------------------


class ExportDamaged(EventStoreError, ValueError):
    """An export or an archive is not what was written."""

    code = "ES-7001"
    hint = "use another copy; nothing was imported"

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line, self.reason = line, reason


class CopyFailed(EventStoreError, OSError):
    """A backup, an export, an import or an archive could not be written. Nothing is left of it, nothing was removed."""

    code = "ES-7002"
    hint = "see that there is space and that the directory may be written, then try again"

    def __init__(self, path: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"{path} could not be written: {reason}", hint=hint)
        self.path, self.reason = path, reason


# --- testing ------------------------------------------------------------------------------------------------------


class FaultsUnsupported(EventStoreError, NotImplementedError):
    """This Python's SQLite cannot be reached, so no faults can be planted below it."""

    code = "ES-9001"
    hint = "use a Python whose sqlite3 module is linked to a shared SQLite library, on Linux or macOS"

    def __init__(self, reason: str) -> None:
        super().__init__(f"faults cannot be planted below this SQLite: {reason}")
        self.reason = reason


class HookFailed(EventStoreError, RuntimeError):
    """A callback below SQLite raised: what SQLite was told in its place was an I/O error."""

    code = "ES-9002"
    hint = "see the cause; what the test found before it is worth nothing"

    def __init__(self, operation: str, error: BaseException) -> None:
        super().__init__(f"the hook of {operation} raised {error!r}")
        self.operation, self.error = operation, error
