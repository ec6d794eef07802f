"""Opening a log, to own it or to read it. Whatever is wrong with a path is told by a typed error, quickly."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import uuid
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from eventstore.codec import OnUnknown
from eventstore.connections import Connect, ReaderPool, open_reading, open_writing
from eventstore.encryption import Unsealer
from eventstore.errors import (
    BadRequest,
    CorruptLog,
    LogNotFound,
    LogNotWritable,
    OpenError,
    TailMissing,
)
from eventstore.exiting import OPEN
from eventstore.identifying import OPEN_TIMEOUT_S, check_nothing_lost, identify_path, open_error
from eventstore.leftovers import tidy
from eventstore.locking import LogLock
from eventstore.mark import MarkFile, is_behind, mark_path, read_mark
from eventstore.reader import SqliteReader
from eventstore.records import Instant
from eventstore.reserve import RESERVE_BYTES, Reserve, check_reserve
from eventstore.retention import Retainer
from eventstore.schema import (
    DIRECTORY_MODE,
    FILE_MODE,
    SCHEMA_VERSION,
    check_log_id,
    commits_without_events,
    identify,
    log_end,
    migrate,
    prepare_file,
)
from eventstore.store import SqliteStore
from eventstore.waking import Listeners
from eventstore.writer import Writer

if TYPE_CHECKING:
    from eventstore.encrypting.keyring import LogKey
    from eventstore.encrypting.sealing import Sealer

BUSY_TIMEOUT_S = 5.0
"""How long one statement waits for a lock of another process. Only strangers can hold one that long."""
IN_MEMORY = ":memory:"
"""What SQLite calls a database in memory."""
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


@cache
def boot_id() -> str:
    """Names the boot that the monotonic clock counts from; where the platform has no name, this process."""
    try:
        return Path(_BOOT_ID).read_text(encoding="ascii").strip()
    except OSError:
        return f"process-{uuid.uuid4()}"


def system_instant() -> Instant:
    """This moment, by the machine's clocks."""
    return Instant(time.time(), time.monotonic(), boot_id())


def open_store(
    path: str | os.PathLike[str],
    *,
    clock: Callable[[], Instant] | None = None,
    unknown: OnUnknown = "raise",
    busy_timeout_s: float = BUSY_TIMEOUT_S,
    accept_lost_tail: bool = False,
    reserve_bytes: int = RESERVE_BYTES,
    key: LogKey | None = None,
    log_id: str | None = None,
    connect: Connect = sqlite3.connect,
) -> SqliteStore:
    """Own a log: create it where there is none (directory 0700, file 0600), migrate it, and fence who owned it before.

    ``reserve_bytes`` are kept free for it in a file beside it, so that ``retain`` works on a full disk; 0 for none.
    With ``key`` the log is encrypted, and must be opened with it ever after. In one that was not, what is written from
    now on is, and snapshots, attachments and replies; the events that are there stay as they are. If several keys are
    given, the log is locked with the first of them.
    ``log_id`` names a log that is made here, 32 hexadecimal digits; by chance where none is given. One that is there
    keeps its own. ``connect`` opens SQLite connections; pass another to stand between the store and its file.

    Raises:
        BadRequest: ``reserve_bytes`` or ``log_id`` makes no sense, or ``path`` is SQLite's name for no file at all.
        WrongKey, KeyRequired: the log is encrypted, and with another key; nothing in the file was changed.
        BadKey, CryptographyMissing: it is no key, or cannot be used here; nothing was made or changed.
        TailMissing: the log ends before a position that was acknowledged, unless ``accept_lost_tail``.
        CorruptLog: the file is damaged.
        NotALog, LogTooNew, LogLocked, LogNotWritable, OpenError: see each; nothing in the file was changed.
    """
    check_reserve(reserve_bytes)
    check_log_id(log_id)
    _check_file(path)
    OPEN.close_dropped()
    log = _resolve(path)
    reserve = Reserve(log, reserve_bytes)
    pool = ReaderPool(partial(open_reading, connect, log, busy_timeout_s=busy_timeout_s), str(log))
    unsealer = Unsealer(log, key, pool.lend)
    unsealer.check_usable()
    while True:
        try:
            return _open(
                log,
                connect,
                clock or system_instant,
                reserve,
                pool,
                unsealer=unsealer,
                unknown=unknown,
                busy_timeout_s=busy_timeout_s,
                accept_lost_tail=accept_lost_tail,
                log_id=log_id,
            )
        except OpenError as error:  # even to be opened a log takes some space
            if type(error) not in (OpenError, LogNotWritable) or not reserve.release_a_little():
                raise


def open_reader(
    path: str | os.PathLike[str],
    *,
    unknown: OnUnknown = "raise",
    key: LogKey | None = None,
    connect: Connect = sqlite3.connect,
) -> SqliteReader:
    """Read a log, whether its owner is alive or not.

    With ``unknown="placeholder"``, events of types that this process does not know come as ``UnknownEvent``. So do
    encrypted ones where no ``key`` is given; otherwise to read what is encrypted without one raises ``KeyRequired``.
    Where nothing is encrypted, the key is not used.

    Raises:
        WrongKey: the log is encrypted, and with another key.
        BadKey, CryptographyMissing: it is no key, or cannot be used here.
        TailMissing: nothing is left of it, and its mark says that there was something.
        LogNotFound, NotALog, LogTooNew, LogNotReadable, OpenError, CorruptLog: see each.
    """
    log, pool = open_pool(path, connect=connect)
    unsealer = Unsealer(log, key, pool.lend)
    if unsealer.given:
        try:
            with pool.lend() as connection:
                unsealer.load(connection)
        except BaseException:
            pool.close()
            raise
    return SqliteReader(log, pool, unknown=unknown, unsealer=unsealer)


def open_pool(path: str | os.PathLike[str], *, connect: Connect = sqlite3.connect) -> tuple[Path, ReaderPool]:
    """The file of a log, and connections to read it: for what looks at the file itself rather than at events.

    Raises:
        LogNotFound, NotALog, LogTooNew, LogNotReadable, OpenError: as ``open_reader``.
    """
    log = _resolve(path)
    kind = identify_path(log, connect, owning=False)
    if kind is None:
        raise LogNotFound(str(log), f"there is no log at {log}")
    immutable = kind == "immutable"
    connecting = partial(open_reading, connect, log, busy_timeout_s=BUSY_TIMEOUT_S, immutable=immutable)
    return log, ReaderPool(connecting, str(log))


def _check_file(path: str | os.PathLike[str]) -> None:
    """Refuse what SQLite takes for a database in memory: it would be made a file of that name."""
    name = os.fspath(path)
    if name == IN_MEMORY or name.startswith(f"file:{IN_MEMORY}"):
        reason = "a log is a file, and this names none"
        raise BadRequest("path", name, reason, hint="use eventstore.MemoryStore() for a store in memory")


def _resolve(path: str | os.PathLike[str]) -> Path:
    """The file that a path leads to, links followed: the lock must lie beside it and nowhere else."""
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, NUL
        raise LogNotFound(os.fspath(path), f"{os.fspath(path)!r} is no path: {error}") from error


def _open(
    log: Path,
    connect: Connect,
    clock: Callable[[], Instant],
    reserve: Reserve,
    pool: ReaderPool,
    *,
    unsealer: Unsealer,
    unknown: OnUnknown,
    busy_timeout_s: float,
    accept_lost_tail: bool,
    log_id: str | None,
) -> SqliteStore:
    kind = identify_path(log, connect, owning=True)
    if kind is None:
        _make_directory(log)
    lock = LogLock(log)
    try:
        if kind is None:
            if not accept_lost_tail:
                check_nothing_lost(log, connect)
            _make_file(log)
        open_connection = partial(open_writing, connect, log, busy_timeout_s=busy_timeout_s)
        listeners = Listeners()
        writer, sealer = _own(
            log, open_connection, clock, listeners, unsealer, accept_lost_tail=accept_lost_tail, new_id=log_id
        )
    except BaseException as error:
        lock.release()
        cause = error if isinstance(error, sqlite3.Error) else error.__cause__
        if isinstance(cause, sqlite3.Error) and not isinstance(error, OpenError):
            raise open_error(log, cause) from cause
        if isinstance(error, CorruptLog):
            error.in_file(str(log))
        raise
    retainer = Retainer(log, pool, writer.transactions, clock, reserve)
    store = SqliteStore(
        log, pool, writer, lock, listeners, retainer=retainer, unknown=unknown, unsealer=unsealer, sealer=sealer
    )
    try:
        pool.keep_to_this_file()
        tidy(log)
        reserve.make()
    except BaseException:  # a signal's, while the disk takes its time
        store.close()
        raise
    return store


def _own(
    log: Path,
    open_connection: Callable[[], sqlite3.Connection],
    clock: Callable[[], Instant],
    listeners: Listeners,
    unsealer: Unsealer,
    *,
    accept_lost_tail: bool,
    new_id: str | None,
) -> tuple[Writer, Sealer | None]:
    connection = open_connection()
    try:
        timeout_ms = connection.execute("PRAGMA busy_timeout").fetchone()[0]
        connection.execute(f"PRAGMA busy_timeout = {min(timeout_ms, round(OPEN_TIMEOUT_S * 1000))}")
        _, version, tables = identify(connection)
        keys = unsealer.load(connection)
        if not tables:
            prepare_file(connection)
        if version < SCHEMA_VERSION:
            migrate(connection, new_id)
        mark = read_mark(log)  # before the log's end: what an owner that is no more adds meanwhile is then no loss
        log_id, position, chain = log_end(connection)
        commits = commits_without_events(connection)
        if mark is not None and mark.log_id.hex() != log_id:
            mark = None  # it was left here by another log
        behind = mark is not None and is_behind(mark, position, commits)
        if behind and mark is not None and not accept_lost_tail:
            raise TailMissing(str(log), position, mark.position)
        mark_file = MarkFile(log, log_id)
        try:
            writer = Writer(connection, open_connection, clock, mark_file, listeners)
            writer.transactions.take_ownership()
            sealer = None
            if unsealer.given:
                from eventstore.encrypting.sealing import Sealer

                sealer = Sealer(unsealer, writer.transactions, clock)
                sealer.begin(keys)
        except BaseException:
            mark_file.close()
            raise
        if mark is None or behind:
            mark_file.restart(position, chain, commits)
        connection.execute(f"PRAGMA busy_timeout = {timeout_ms}")
    except BaseException:
        connection.close()
        raise
    return writer, sealer


def _make_directory(log: Path) -> None:
    """Create the directory of a log, and above it what is missing, with nobody else's permissions."""
    missing = [directory for directory in log.parents if not directory.is_dir()]
    try:
        for directory in reversed(missing):
            directory.mkdir(DIRECTORY_MODE)
            _sync_directory(directory.parent)
    except FileExistsError as error:
        if not log.parent.is_dir():
            raise LogNotWritable(str(log), f"{error.filename} is not a directory") from error
    except OSError as error:
        raise LogNotWritable(str(log), f"{error.filename} cannot be created: {error.strerror}") from error


def _sync_directory(directory: Path) -> None:
    """Let the disk have the names in a directory. SQLite does it for the log's own, but for none above it."""
    with contextlib.suppress(OSError):  # some file systems cannot, and need not
        descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _make_file(log: Path) -> None:
    """Create the file ourselves: SQLite would give it the umask's permissions, and the WAL takes the file's."""
    try:
        if not log.exists():  # what is left of a log that was taken away says nothing of this one
            mark_path(log).unlink(missing_ok=True)
        log.touch(FILE_MODE, exist_ok=False)
    except FileExistsError:
        log.chmod(FILE_MODE)
    except OSError as error:
        raise LogNotWritable(str(log), f"{log} cannot be created: {error.strerror}") from error
