"""The tables, views and pragmas of a log file. The file itself is an interface: any SQLite tool may read its views.

Schema changes are sqlite-utils migrations. That library is imported only when there is an older file to migrate.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from eventstore.checksums import chain_anchor
from eventstore.errors import BadRequest, CorruptLog

if TYPE_CHECKING:
    from sqlite_utils.db import Database

APPLICATION_ID = 0x4C524D31
"""``LRM1``, in the header of every log file."""
SCHEMA_VERSION = 2
"""Kept as the file's ``user_version``. A release opens its own version and migrates every lower one."""
COUNT_COMMIT = "UPDATE meta SET value = value + 1 WHERE key = 'barrier'"
"""Done in a commit that stores no event, and in one that must write something, so that the disk waits for it."""
PAGE_ROWS = 1000
"""Rows one read transaction takes at most: a longer one would keep the WAL from being checkpointed."""
WAL_PAGES = 1000
WAL_SIZE_LIMIT = 64 * 1024 * 1024
FILE_MODE, DIRECTORY_MODE = 0o600, 0o700

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
CREATE TABLE owner (id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL, token TEXT NOT NULL) STRICT;
CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    epoch INTEGER NOT NULL DEFAULT 0,
    removed_version INTEGER NOT NULL DEFAULT 0  -- versions up to this one are no longer kept
) STRICT;
CREATE TABLE types (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE boots (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    stream_id INTEGER NOT NULL,
    version INTEGER NOT NULL,
    type_id INTEGER NOT NULL,
    schema_version INTEGER NOT NULL,
    wall_us INTEGER NOT NULL,
    monotonic_us INTEGER NOT NULL,
    boot_id INTEGER NOT NULL,
    cause INTEGER,
    command_id TEXT,
    correlation_id TEXT NOT NULL,
    depth INTEGER NOT NULL,
    data BLOB NOT NULL,
    chain BLOB NOT NULL,
    UNIQUE (stream_id, version)
) STRICT;
CREATE TABLE snapshots (
    stream_id INTEGER NOT NULL,
    version INTEGER NOT NULL,
    schema TEXT NOT NULL,
    checksum BLOB NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (stream_id, version)
) STRICT;
CREATE TABLE cursors (consumer TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE receipts (
    id INTEGER PRIMARY KEY,  -- grows, so that the oldest are found without a search
    command_id TEXT NOT NULL UNIQUE,
    created_us INTEGER NOT NULL,
    reply BLOB NOT NULL
) STRICT;
CREATE TABLE attachments (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    created_us INTEGER NOT NULL,
    size INTEGER NOT NULL,
    checksum BLOB NOT NULL,
    data BLOB NOT NULL
) STRICT;
"""

# A checksum is NULL for rows written before there were checksums. SQLite keeps the text of ADD COLUMN, comments too.
# No query uses the indexes named checks: they hold a second time what no checksum covers, on other pages. A bit that is
# flipped in one of the two, or a page that was never written, contradicts the other, and PRAGMA integrity_check tells.
_CHECKS_AND_KEYS = """
ALTER TABLE events ADD COLUMN checksum INTEGER;
CREATE TABLE appends (
    id INTEGER PRIMARY KEY,  -- grows, as that of receipts
    idempotency_key TEXT NOT NULL UNIQUE,
    created_us INTEGER NOT NULL,
    digest BLOB NOT NULL,
    result BLOB NOT NULL,
    checksum INTEGER
) STRICT;
CREATE TABLE keys (
    id INTEGER PRIMARY KEY,
    created_us INTEGER NOT NULL,
    wrapped BLOB NOT NULL  -- a data key, encrypted with the key that the owner gave
) STRICT;
ALTER TABLE receipts ADD COLUMN checksum INTEGER;
CREATE INDEX meta_checks ON meta (value);
CREATE INDEX owner_checks ON owner (epoch, token);
CREATE INDEX stream_checks ON streams (epoch, removed_version);
CREATE INDEX cursor_checks ON cursors (position);
CREATE INDEX attachment_checks ON attachments (checksum, created_us, size);
CREATE INDEX key_checks ON keys (wrapped);
"""

_VIEWS = """
CREATE VIEW event_log AS
SELECT e.position, s.name AS stream, e.version, t.name AS type, e.schema_version,
       strftime('%Y-%m-%dT%H:%M:%fZ', e.wall_us / 1000000.0, 'unixepoch') AS recorded_at,
       e.cause, e.command_id, e.correlation_id, e.depth, CAST(e.data AS TEXT) AS data
FROM events AS e JOIN streams AS s ON s.id = e.stream_id JOIN types AS t ON t.id = e.type_id
ORDER BY e.position;
CREATE VIEW stream_log AS
SELECT s.name AS stream,
       coalesce((SELECT max(version) FROM events WHERE stream_id = s.id), s.removed_version) AS version, s.epoch
FROM streams AS s ORDER BY s.name;
CREATE VIEW snapshot_log AS
SELECT s.name AS stream, n.version, n.schema, CAST(n.data AS TEXT) AS data
FROM snapshots AS n JOIN streams AS s ON s.id = n.stream_id ORDER BY s.name, n.version;
CREATE VIEW attachment_log AS
SELECT key, strftime('%Y-%m-%dT%H:%M:%fZ', created_us / 1000000.0, 'unixepoch') AS created_at, size
FROM attachments ORDER BY key;
"""

# Where sqlite-utils notes which migrations a file has had, word for word as it makes the table itself.
_NOTED = """
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
"""
_NOTE = (
    "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
    " VALUES (?, ?, strftime('%Y-%m-%d %H:%M:%f000+00:00', 'now'))"
)


def prepare_file(connection: sqlite3.Connection) -> None:
    """What can only be set before the first table, or outside a transaction.

    Raises:
        sqlite3.OperationalError: the file cannot be in WAL mode.
    """
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    _use_wal(connection)


def configure_writer(connection: sqlite3.Connection) -> None:
    """Pragmas of the one connection that writes and checkpoints.

    Raises:
        sqlite3.OperationalError: the file cannot be in WAL mode, or this SQLite does not synchronise when told to.
    """
    _use_wal(connection)
    set_synchronous(connection, full=True)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_SIZE_LIMIT}")


def _use_wal(connection: sqlite3.Connection) -> None:
    """SQLite stays silently with the old mode where an I/O error keeps it from the new one."""
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        msg = f"the journal mode is {mode!r} and cannot be WAL here"
        raise sqlite3.OperationalError(msg)


def set_synchronous(connection: sqlite3.Connection, *, full: bool) -> None:
    """Choose whether the next commit waits for the disk, and read back that it was accepted: builds differ.

    Only commits that wait may checkpoint. A checkpoint swallows the error of a failed fsync, and if frames were waiting
    for just that fsync, a later checkpoint would copy what the disk never got.
    """
    wanted = 2 if full else 1
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES if full else 0}")
    connection.execute(f"PRAGMA synchronous = {wanted}")
    if connection.execute("PRAGMA synchronous").fetchone()[0] != wanted:
        msg = "this SQLite does not accept PRAGMA synchronous"
        raise sqlite3.OperationalError(msg)


def configure_reader(connection: sqlite3.Connection) -> None:
    """Pragmas of a connection that only reads."""
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA wal_autocheckpoint = 0")


def identify(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Application id, schema version and number of tables of an open database."""
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    try:
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    except UnicodeDecodeError as error:  # SQLite's complaint quotes the damaged schema
        damaged = sqlite3.DatabaseError(str(error))
        damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damaged from error
    return application_id, version, tables


def log_end(connection: sqlite3.Connection) -> tuple[str, int, bytes]:
    """The log's id, and position and chain of its last event, or of the last one removed, or of where a log begins.

    Raises:
        CorruptLog: the file does not say.
    """
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    last = connection.execute("SELECT position, chain FROM events ORDER BY position DESC LIMIT 1").fetchone()
    try:
        log_id: str = meta["log_id"]
        uuid.UUID(log_id)
        position, chain = last or (meta["removed_position"], meta["removed_chain"] or chain_anchor(log_id))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptLog(f"its id, or where it begins, is not there: {error!r}") from error
    if not isinstance(position, int) or not isinstance(chain, bytes):
        raise CorruptLog("its last event has no position or no hash")
    return log_id, position, chain


def commits_without_events(connection: sqlite3.Connection) -> int:
    """How many commits stored something but no events. Nothing else would tell that the last of them is missing.

    Raises:
        CorruptLog: the file does not say.
    """
    row = connection.execute("SELECT value FROM meta WHERE key = 'barrier'").fetchone()
    if row is None or not isinstance(row[0], int):
        raise CorruptLog("its count of commits is not there")
    return row[0]


def check_log_id(log_id: str | None) -> None:
    """Refuse what cannot name a log.

    Raises:
        BadRequest: it is no 32 hexadecimal digits in lower case.
    """
    try:
        good = log_id is None or uuid.UUID(log_id).hex == log_id
    except (ValueError, AttributeError, TypeError):
        good = False
    if not good:
        raise BadRequest("log_id", log_id, "it must be 32 hexadecimal digits in lower case")


def migrate(connection: sqlite3.Connection, log_id: str | None = None) -> None:
    """Bring the file to ``SCHEMA_VERSION``, in one transaction. One that is made is named ``log_id``, or by chance."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if identify(connection)[2]:
            _apply_pending(connection, log_id)
        else:
            _apply_all(connection, log_id)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _create_tables(connection: sqlite3.Connection, log_id: str | None) -> None:
    for statement in _statements(_TABLES):
        connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES ('log_id', ?)", (log_id or uuid.uuid4().hex,))
    connection.execute("INSERT INTO meta VALUES ('removed_position', 0), ('removed_chain', NULL), ('barrier', 0)")
    connection.execute("INSERT INTO owner VALUES (1, 0, '')")


def _create_views(connection: sqlite3.Connection, _: str | None) -> None:
    for statement in _statements(_VIEWS):
        connection.execute(statement)


def _add_checks_and_keys(connection: sqlite3.Connection, _: str | None) -> None:
    for statement in _statements(_CHECKS_AND_KEYS):
        connection.execute(statement)


MIGRATION_SET = "eventstore"
_MIGRATIONS: tuple[tuple[str, Callable[[sqlite3.Connection, str | None], None]], ...] = (
    ("create_tables", _create_tables),
    ("create_views", _create_views),
    ("add_checks_and_keys", _add_checks_and_keys),
)
"""By the names under which sqlite-utils notes them, oldest first."""


def _apply_pending(connection: sqlite3.Connection, log_id: str | None) -> None:
    """Bring an older file up to date.

    ``Migrations.apply`` reads what is pending before it takes a lock, and its own transactions are deferred ones;
    inside an immediate transaction neither matters.
    """
    from sqlite_utils import Database  # heavy, and needed only here
    from sqlite_utils.migrations import Migrations

    migrations = Migrations(MIGRATION_SET)
    for name, step in _MIGRATIONS:
        migrations(name=name)(_on_database(step, log_id))
    migrations.apply(Database(connection))


def _on_database(
    step: Callable[[sqlite3.Connection, str | None], None], log_id: str | None
) -> Callable[[Database], None]:
    def migrate_step(db: Database) -> None:
        step(db.conn, log_id)

    return migrate_step


def _apply_all(connection: sqlite3.Connection, log_id: str | None) -> None:
    """Make a new file, noted as sqlite-utils would note it, but without that library: it would stay in memory."""
    for statement in _statements(_NOTED):
        connection.execute(statement)
    for name, step in _MIGRATIONS:
        step(connection, log_id)
        connection.execute(_NOTE, (MIGRATION_SET, name))


def _statements(script: str) -> list[str]:
    """``executescript`` would commit the surrounding transaction."""
    return [statement for statement in (part.strip() for part in script.split(";\n")) if statement]
