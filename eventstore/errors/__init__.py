"""Everything the store raises. Each leaf has a stable code, what was wrong as attributes, and what to try."""

from __future__ import annotations

from eventstore.errors.appending import (
    AppendFailed,
    BadRequest,
    Fenced,
    IdempotencyConflict,
    OutcomeUnknown,
    StorageFull,
    WrongVersion,
    is_full,
)
from eventstore.errors.base import EventStoreError
from eventstore.errors.copying import CopyFailed, ExportDamaged
from eventstore.errors.damage import CorruptAttachment, CorruptEvent, CorruptLog, SnapshotUnusable, TailMissing
from eventstore.errors.declaring import DuplicateEventType, EventCountError, EventRefused, NotAnEvent, UnknownEventType
from eventstore.errors.faults import FaultsUnsupported, HookFailed
from eventstore.errors.finding import AttachmentNotFound, EventsRemoved, PositionNotFound, ReadFailed
from eventstore.errors.opening import (
    NOT_ALLOWED,
    BadKey,
    CryptographyMissing,
    KeyRequired,
    LogExists,
    LogLocked,
    LogNotFound,
    LogNotReadable,
    LogNotWritable,
    LogTooNew,
    NotALog,
    OpenError,
    StoreClosed,
    WrongKey,
)

__all__ = [  # noqa: RUF022 - grouped by module, as above
    "EventStoreError",
    "NotAnEvent",
    "DuplicateEventType",
    "EventRefused",
    "UnknownEventType",
    "EventCountError",
    "PositionNotFound",
    "EventsRemoved",
    "AttachmentNotFound",
    "ReadFailed",
    "WrongVersion",
    "Fenced",
    "AppendFailed",
    "StorageFull",
    "OutcomeUnknown",
    "is_full",
    "IdempotencyConflict",
    "BadRequest",
    "OpenError",
    "LogNotFound",
    "NotALog",
    "LogTooNew",
    "LogLocked",
    "LogNotWritable",
    "StoreClosed",
    "NOT_ALLOWED",
    "LogNotReadable",
    "LogExists",
    "WrongKey",
    "KeyRequired",
    "BadKey",
    "CryptographyMissing",
    "CorruptEvent",
    "CorruptAttachment",
    "SnapshotUnusable",
    "CorruptLog",
    "TailMissing",
    "ExportDamaged",
    "CopyFailed",
    "FaultsUnsupported",
    "HookFailed",
]

for _name in __all__:  # a traceback names what is to be imported, and not where it stands
    _of = globals()[_name]
    if isinstance(_of, type):
        _of.__module__ = __name__
