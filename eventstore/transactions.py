"""The one connection that writes a log, a transaction at a time, each with its checks inside it.

Three outcomes, and never a fourth: stored, certainly not stored, unknown. A commit that fails may still be found by the
next process, so from then on nothing is accepted until ``settle`` has committed a new owner epoch over it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias, TypeVar

from eventstore.connections import closed_error
from eventstore.errors import CorruptLog, EventStoreError, Fenced, OutcomeUnknown
from eventstore.exclusive import Exclusive, Running
from eventstore.forking import abandon_in_children, leak
from eventstore.outcomes import failure, is_before_commit
from eventstore.rewriting import write_again
from eventstore.schema import COUNT_COMMIT, configure_writer, set_synchronous

T = TypeVar("T")

Begin: TypeAlias = Callable[[], sqlite3.Connection]
"""Gives the connection that writes, inside a transaction, which it begins when it is first called."""
Statement: TypeAlias = tuple[str, Sequence[object]]
"""An SQL statement and what is bound to it."""

_COMMIT: Statement = ("COMMIT", ())

MAX_RELAXED = 1000
"""Relaxed commits in a row before one waits for the disk all the same: until then the WAL only grows."""

CHECKPOINT_PATIENCE_MS = 50
"""How long a checkpoint waits for readers, and appends wait with it: many times what one page of reading takes."""


class Transactions:
    """Owns the writing connection. ``open_connection`` is called again where a connection is beyond repair.

    Args:
        connection: to a log file of this release's schema.
        open_connection: opens another one to the same file.
        durable: called after each commit that the disk has, with the lock held.
        undone: called whenever what was done since the last commit is not, or may not be, in the log.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        open_connection: Callable[[], sqlite3.Connection],
        *,
        durable: Callable[[], None],
        undone: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._open = open_connection
        self._durable = durable
        self._undone = undone
        self.token = uuid.uuid4().hex
        """Tells this ownership from every other, where epochs alone could be equal by chance after a failed commit."""
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._closed = False
        self._full: bool | None = None
        """What the connection's ``synchronous`` is known to be."""
        self._doubt: str | None = None
        """Why the outcome of something is unknown, while it is."""
        self._reopen = False
        self._relaxed = 0
        """Commits that the disk may not have yet."""
        self.owner_epoch = 0
        abandon_in_children(self)

    def take_ownership(self) -> None:
        """Commit a new owner epoch: whoever owned the log before is fenced from now on."""
        with self._lock:
            configure_writer(self._connection)
            self._full = True
            self.owner_epoch = self._run(self._bump_owner, check_owner=False)

    def run(self, work: Callable[[sqlite3.Connection], T], *, strict: bool = True) -> T:
        """Commit what ``work`` does, or nothing.

        Raises:
            AppendFailed, StorageFull: certainly nothing was stored.
            OutcomeUnknown: it may be stored, or an earlier outcome is not settled yet.
            Fenced: another owner has taken the log.
            StoreClosed: the store was closed.
        """
        with self._lock:
            self._check_usable()
            return self._run(work, strict=strict)

    def insert(self, work: Callable[[Begin], Statement | None], *, strict: bool = True) -> None:
        """Commit what ``work`` does together with the statement that it returns, or nothing.

        Where ``work`` needs no transaction, the statement is one by itself: there is less to call, and less to wait for
        where other threads run between two calls. What it did outside of one must be right if the log is owned.

        Args:
            work: returns None where it has nothing to store, or the last statement. That, and every one like it before,
                violates NOT NULL where the log has another owner.
            strict: whether to wait for the disk.

        Raises:
            AppendFailed, StorageFull, OutcomeUnknown, Fenced, StoreClosed: as ``run``. A statement that is a
                transaction by itself may fail as it commits, so nearly every error of it leaves the outcome unknown.
        """
        with self._lock:
            if self._closed or self._doubt is not None:
                self._check_usable()
            connection, begin = self._connection, self._begin
            strict = strict or self._relaxed >= MAX_RELAXED
            try:
                if connection.in_transaction or self._full is not strict:
                    self._make_ready(connection, strict=strict)
                statement = work(begin)
                if statement is None or connection.in_transaction:
                    self._go_as_far_as_commit(begin(), statement, strict=strict)
                    statement = _COMMIT
            except BaseException as error:
                self._give_up(connection, error)
                raise
            self._commit(connection, statement)
            if strict:
                self._relaxed = 0
                self._durable()
            else:
                self._relaxed += 1

    def outside(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something with the connection between transactions: what cannot be inside one.

        Raises:
            AppendFailed, StorageFull, OutcomeUnknown, StoreClosed: as ``run``.
        """
        with self._lock:
            self._check_usable()
            try:
                return work(self._connection)
            except sqlite3.Error as error:
                raise failure(error) from error

    def checkpoint(self) -> bool:
        """Copy the WAL into the file and empty it, so that the file system gets its space back.

        Returns whether it is empty now; it is not where somebody reads an older state of the log.

        Raises:
            AppendFailed, StorageFull, OutcomeUnknown, StoreClosed: as ``run``.
        """
        with self._lock:
            self._check_usable()
            return self._checkpoint()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[Running]:
        """Keep every other transaction out for as long as the block lasts."""
        with self._lock:
            self._check_open()
            yield Exclusive(self._check_usable, self._run, self._checkpoint, self._settle)

    def barrier(self) -> None:
        """Make relaxed commits durable."""
        with self._lock:
            self._check_usable()
            if self._relaxed:
                self._run(lambda connection: None)

    def settle(self) -> int:
        """Commit a new owner epoch over whatever a failed commit left behind."""
        with self._lock:
            self._check_open()
            return self._settle()

    @property
    def busy(self) -> bool:
        """Whether a transaction is under way, so that another would wait."""
        return self._lock.locked()

    @property
    def foreign(self) -> bool:
        """Whether this is a forked child, where nothing of it may be touched."""
        return os.getpid() != self._pid

    def close(self) -> None:
        """Close the connection. What was committed relaxed is made durable first, where the disk lets us."""
        if self.foreign:
            return
        with self._lock:
            if self._closed:
                return
            with contextlib.suppress(EventStoreError):  # relaxed data may be lost: that is their class
                if self._relaxed and self._doubt is None:
                    self._run(lambda connection: None)
            with contextlib.suppress(EventStoreError):
                if self._relaxed:
                    self._rescue_relaxed()
            self._closed = True
            self._connection.close()

    def abandon(self) -> None:
        """Never touch the parent's connection from a child. The lock may be held by a thread that is not here."""
        self._closed = True
        self._lock = threading.Lock()
        leak(self._connection)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _run(self, work: Callable[[sqlite3.Connection], T], *, strict: bool = True, check_owner: bool = True) -> T:
        """Commit what ``work`` does, or nothing. The caller holds the lock."""
        connection = self._connection
        strict = strict or self._relaxed >= MAX_RELAXED
        try:
            self._make_ready(connection, strict=strict)
            connection.execute("BEGIN IMMEDIATE")
            if check_owner:
                self._check_owner(connection)
            result = work(connection)
            if strict and self._relaxed:  # it takes every earlier one along, but only if it writes something itself
                connection.execute(COUNT_COMMIT)
        except BaseException as error:
            self._give_up(connection, error)
            raise
        self._commit(connection, _COMMIT)
        if strict:
            self._relaxed = 0
            self._durable()
        else:
            self._relaxed += 1
        return result

    def _begin(self) -> sqlite3.Connection:
        """The connection, inside a transaction. The caller holds the lock."""
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")
        return self._connection

    def _go_as_far_as_commit(self, connection: sqlite3.Connection, last: Statement | None, *, strict: bool) -> None:
        """What is left of a transaction that was begun, but for its commit."""
        if last is not None:
            connection.execute(*last)
            return
        self._check_owner(connection)
        if strict and self._relaxed:
            connection.execute(COUNT_COMMIT)

    def _make_ready(self, connection: sqlite3.Connection, *, strict: bool) -> None:
        """Before a transaction: its durability, and nothing left over from another."""
        if connection.in_transaction:  # an asynchronous exception came between a failure and its rollback
            self._roll_back(connection)
        if self._full is not strict:
            self._full = None
            set_synchronous(connection, full=strict)
            self._full = strict

    def _give_up(self, connection: sqlite3.Connection, error: BaseException) -> None:
        """Before any commit was tried: roll back, and raise what is to be told of SQLite's errors."""
        try:
            if isinstance(error, sqlite3.IntegrityError):  # how an insert finds that the log has another owner
                self._check_owner(connection)
        except sqlite3.Error as another:
            error = another
        finally:
            self._roll_back(connection)
        if isinstance(error, (sqlite3.Error, OverflowError)):
            raise failure(error) from error

    def _settle(self) -> int:
        if self._doubt is not None:
            if self._reopen:
                self._replace_connection()
            self._reopen = True  # the next attempt, if this one fails
            if self._relaxed:
                self._rescue_relaxed()
            self.owner_epoch = self._run(self._bump_owner)
            self._reopen = False
        return self.owner_epoch

    def _checkpoint(self) -> bool:
        if self._relaxed:  # durable first, by a commit that notices if they cannot be: a checkpoint would not tell
            self._run(lambda connection: None)
        connection = self._connection
        try:
            timeout_ms = connection.execute("PRAGMA busy_timeout").fetchone()[0]
            connection.execute(f"PRAGMA busy_timeout = {min(timeout_ms, CHECKPOINT_PATIENCE_MS)}")
            try:
                busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                connection.execute(f"PRAGMA busy_timeout = {timeout_ms}")
        except sqlite3.Error as error:
            raise failure(error) from error
        return not busy

    def _commit(self, connection: sqlite3.Connection, statement: Statement) -> None:
        """Commit by a statement: COMMIT, or one that is a transaction by itself."""
        # In doubt from here until it has returned, so that an exception at any point leaves the right answer.
        self._doubt = "the commit did not return"
        try:
            connection.execute(*statement)
        except (sqlite3.Error, OverflowError) as error:
            if statement is not _COMMIT and is_before_commit(error):
                self._doubt = None
                self._give_up(connection, error)
            self._doubt = str(error)
            self._roll_back(connection)
            raise OutcomeUnknown(self._doubt) from error
        except BaseException:
            self._undone()
            raise
        self._doubt = None

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        self._undone()
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._doubt = self._doubt or f"the rollback failed: {error}"
            self._reopen = True

    def _rescue_relaxed(self) -> None:
        """Write the WAL again before anything is built on it.

        After a failed fsync the kernel may call lost pages clean. Relaxed commits among them would never reach the
        disk, and recovery would stop there: before every later commit, however durable. Nor may they be copied into
        the file: a power cut in the middle would leave half of them there, and no WAL to repair it from.
        """
        try:
            log = self._connection.execute("PRAGMA database_list").fetchone()[2]
            write_again(Path(f"{log}-wal"))
        except FileNotFoundError:
            pass
        except (sqlite3.Error, OSError) as error:
            raise failure(error) from error
        self._relaxed = 0

    def _check_usable(self) -> None:
        self._check_open()
        if self._doubt is not None:
            raise OutcomeUnknown(self._doubt)

    def _check_open(self) -> None:
        if self._closed:
            raise closed_error(self._pid)

    def _replace_connection(self) -> None:
        self._undone()
        try:
            connection = self._open()
            try:
                configure_writer(connection)
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise failure(error) from error
        old, self._connection, self._full = self._connection, connection, True
        with contextlib.suppress(sqlite3.Error):  # it is given up either way
            old.close()

    def _check_owner(self, connection: sqlite3.Connection) -> None:
        epoch, token = _owner(connection)
        if token != self.token:
            raise Fenced("this log", self.owner_epoch, epoch)

    def _bump_owner(self, connection: sqlite3.Connection) -> int:
        connection.execute("UPDATE owner SET epoch = epoch + 1, token = ?", (self.token,))
        return _owner(connection)[0]


def _owner(connection: sqlite3.Connection) -> tuple[int, str]:
    """Epoch and token of who owns the log."""
    owner: tuple[int, str] | None = connection.execute("SELECT epoch, token FROM owner").fetchone()
    if owner is None:
        raise CorruptLog("who owns it is not there")
    return owner
