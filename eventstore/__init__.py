"""An embedded event store for Python: streams, snapshots, cursors and attachments in one SQLite file.

Names are loaded when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.lazy import lazy

if TYPE_CHECKING:
    from eventstore.copying.archive import Archived, read_archive, verify_archive
    from eventstore.copying.backups import backup
    from eventstore.copying.portable import export_log, import_log
    from eventstore.damage.diagnosis import doctor
    from eventstore.damage.findings import Diagnosis, Finding
    from eventstore.damage.salvaging import Salvaged, salvage
    from eventstore.encrypting.keyring import Keyring, generate_key, key_from_environment, key_from_file
    from eventstore.events import (
        EventType,
        UnknownEvent,
        declared_types,
        event,
        float_fields,
        missing_upcasters,
        name_of,
        upcast,
    )
    from eventstore.memory import MemoryStore
    from eventstore.memory_log import MemoryLog
    from eventstore.opening import open_reader, open_store
    from eventstore.protocol import EventReader, EventStore, Pending
    from eventstore.records import (
        ANY_VERSION,
        Appended,
        Attachment,
        Batch,
        Cursor,
        Durability,
        Folded,
        Grant,
        Instant,
        Lease,
        NewEvent,
        Problem,
        Receipt,
        Record,
        Retained,
        Retention,
        Snapshot,
        StoreStatistics,
        StreamInfo,
        StreamWrite,
        Verification,
    )

_HOME = {
    "copying.archive": ("Archived", "read_archive", "verify_archive"),
    "copying.backups": ("backup",),
    "damage.diagnosis": ("doctor",),
    "events": (
        "EventType",
        "UnknownEvent",
        "declared_types",
        "event",
        "float_fields",
        "missing_upcasters",
        "name_of",
        "upcast",
    ),
    "damage.findings": ("Diagnosis", "Finding"),
    "encrypting.keyring": ("Keyring", "generate_key", "key_from_environment", "key_from_file"),
    "memory": ("MemoryStore",),
    "memory_log": ("MemoryLog",),
    "opening": ("open_reader", "open_store"),
    "copying.portable": ("export_log", "import_log"),
    "protocol": ("EventReader", "EventStore", "Pending"),
    "records": (
        "ANY_VERSION",
        "Appended",
        "Attachment",
        "Batch",
        "Cursor",
        "Durability",
        "Folded",
        "Grant",
        "Instant",
        "Lease",
        "NewEvent",
        "Problem",
        "Receipt",
        "Record",
        "Retained",
        "Retention",
        "Snapshot",
        "StoreStatistics",
        "StreamInfo",
        "StreamWrite",
        "Verification",
    ),
    "damage.salvaging": ("Salvaged", "salvage"),
}

__all__ = [  # noqa: RUF022 - grouped by module, as above
    "Archived",
    "read_archive",
    "verify_archive",
    "backup",
    "EventType",
    "UnknownEvent",
    "declared_types",
    "event",
    "float_fields",
    "missing_upcasters",
    "name_of",
    "upcast",
    "Keyring",
    "generate_key",
    "key_from_environment",
    "key_from_file",
    "MemoryStore",
    "MemoryLog",
    "open_reader",
    "open_store",
    "export_log",
    "import_log",
    "EventReader",
    "EventStore",
    "Pending",
    "ANY_VERSION",
    "Appended",
    "Attachment",
    "Batch",
    "Cursor",
    "Durability",
    "Folded",
    "Grant",
    "Instant",
    "Lease",
    "NewEvent",
    "Problem",
    "Receipt",
    "Record",
    "Retained",
    "Retention",
    "Snapshot",
    "StoreStatistics",
    "StreamInfo",
    "StreamWrite",
    "Verification",
    "Diagnosis",
    "Finding",
    "doctor",
    "Salvaged",
    "salvage",
]


__getattr__, __dir__ = lazy(globals(), _HOME)
