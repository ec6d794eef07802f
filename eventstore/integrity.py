"""Reads a whole log and says what is wrong with it, and where first."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from eventstore.checksums import chain_anchor, record_bytes
from eventstore.codec import OnUnknown, decode_events
from eventstore.connections import ReaderPool, read_error
from eventstore.damage.besides import check_besides, columns
from eventstore.damage.trail import Trail
from eventstore.encryption import Unsealer
from eventstore.errors import CorruptEvent, CorruptLog, ReadFailed, UnknownEventType
from eventstore.mark import Mark, is_behind, is_mark_damaged, read_mark
from eventstore.records import Problem, Verification
from eventstore.schema import PAGE_ROWS, commits_without_events

MAX_PROBLEMS = 1000
"""Problems reported at most: a file that is damaged all over need not fill the memory too."""
SMALLEST_EVENT = 64
"""Bytes that an event takes at the very least, with its entry in the index."""

Report: TypeAlias = Callable[[str, int | None, str], None]

_EVENTS = (
    "SELECT position, stream_id, version, type_id, schema_version, wall_us, monotonic_us, boot_id, cause, command_id,"
    " correlation_id, depth, data, chain, {checksum} FROM events"
)
_AFTER = " WHERE position > ? AND position <= ? ORDER BY position LIMIT ?"
_AT = " WHERE position = ?"


def verify(pool: ReaderPool, path: Path, *, unknown: OnUnknown, unsealer: Unsealer | None = None) -> Verification:
    """Check the file, every event and everything beside the events, and the mark outside the log.

    Types not known here are problems unless placeholders are wanted. What is encrypted is opened if there is a key;
    everything else needs none. The problems with a position come first, in the
    order of their positions.
    """
    mark = read_mark(path)  # before the log: what is committed meanwhile is then no loss
    return _Check(pool, path, unknown, unsealer or Unsealer(path, None, pool.lend), mark).run()


@attrs.define
class _Check:
    pool: ReaderPool
    path: Path
    unknown: OnUnknown
    unsealer: Unsealer
    mark: Mark | None
    problems: list[Problem] = attrs.field(factory=list)
    counts: dict[str, int] = attrs.field(factory=dict)
    names: dict[str, dict[int, str]] = attrs.field(factory=dict)
    events: int = 0
    versions: dict[int, int] = attrs.field(factory=dict)
    endless: bool = False
    """Where the log ends cannot be read."""
    position: int = 0
    last: int = 0
    """Position of the last event that was found."""
    removed: int = 0
    absent: int = 0
    """Events that are missing or damaged: a version that is not there may have been that of one of these."""
    trail: Trail = attrs.field(factory=lambda: Trail(b""))
    checksum: str = "NULL"
    """The column of that name, where the file has it."""
    unreadable: tuple[int, str] | None = None
    """Where positions that cannot be read begin, and why."""

    def run(self) -> Verification:
        for check in (self._check_file, self._check_events, self._check_besides, self._check_mark):
            with self._reporting_damage():
                check()
        problems = sorted(self.problems, key=lambda found: (found.position is None, found.position or 0))
        return Verification(
            events=self.events,
            streams=len(self.names.get("streams", ())),
            snapshots=self.counts.get("snapshots", 0),
            attachments=self.counts.get("attachments", 0),
            problems=tuple(problems[:MAX_PROBLEMS]),
            head=self.last,
            marked=None if self.mark is None else self.mark.position,
        )

    def _report(self, what: str, position: int | None, detail: str) -> None:
        self.problems.append(Problem(what, position, detail))

    @property
    def _enough(self) -> bool:
        return len(self.problems) >= MAX_PROBLEMS

    @contextmanager
    def _reporting_damage(self) -> Iterator[None]:
        """Pages that cannot be read end one check, not the others."""
        try:
            yield
        except (CorruptLog, ReadFailed) as error:
            self._report("file", None, str(error))

    # --- the file -------------------------------------------------------------------------------------------------

    def _check_file(self) -> None:
        with self.pool.lend() as connection:
            for (line,) in connection.execute("PRAGMA integrity_check(100)"):  # unlike quick_check, the indexes too
                if line != "ok":
                    self._report("file", None, line)

    # --- events ---------------------------------------------------------------------------------------------------

    def _check_events(self) -> None:
        for table in ("streams", "types", "boots"):
            with self._reporting_damage():
                self._read_names(table)
        self._begin()
        bound = max(self._bound(), 0 if self.mark is None else self.mark.position)
        self.checksum = "checksum" if "checksum" in columns(self.pool, "events") else "NULL"
        if self.problems:
            self._take_singly(bound)
        else:
            self._take_pages(bound)
        self._end_of_unreadable()

    def _take_pages(self, bound: int) -> None:
        """Take events as they come, in short pages, until something is in the way."""
        while self.position < bound and not self._enough:
            try:
                rows = self._rows(_AFTER, (self.position, bound, PAGE_ROWS))
            except (CorruptLog, ReadFailed):
                self._take_singly(bound)
                return
            for row in rows:
                self._take(row)
            if len(rows) < PAGE_ROWS:
                return

    def _take_singly(self, bound: int) -> None:
        """Take events one by one, each by its own position: on damaged pages what comes next need not be the next."""
        while self.position < bound and not self._enough:
            found, why = None, "what is found there is another position"
            for where, values in ((_AT, (self.position + 1,)), (_AFTER, (self.position, bound, 1))):
                try:
                    rows = self._rows(where, values)
                except (CorruptLog, ReadFailed) as error:
                    why = str(error)
                    continue
                if where is _AFTER and not rows:
                    return
                if rows and isinstance(rows[0][0], int) and rows[0][0] > self.position:
                    found = rows[0]
                    break
            if found is None:
                self._skip(why)
            else:
                self._take(found)

    def _rows(self, where: str, values: tuple[int, ...]) -> list[Any]:
        with self.pool.lend() as connection:
            return connection.execute(_EVENTS.format(checksum=self.checksum) + where, values).fetchall()

    def _read_names(self, table: str) -> None:
        with self.pool.lend() as connection:
            self.names[table] = dict(connection.execute(f"SELECT id, name FROM {table}"))  # noqa: S608 - one of three

    def _begin(self) -> None:
        """Where the events that are kept begin."""
        meta, self.versions = self._read_beginning()
        log_id, removed, chain = meta.get("log_id"), meta.get("removed_position"), meta.get("removed_chain")
        if not isinstance(removed, int) or removed < 0 or (removed == 0) != (chain is None):
            self._report("meta", None, f"what it says of removed events makes no sense: up to {removed!r}")
            removed, chain = (removed if isinstance(removed, int) else 0), None
        self.position = self.removed = self.last = removed
        self.trail = Trail(chain if isinstance(chain, bytes) else chain_anchor(str(log_id)))
        if self.mark is not None and self.mark.log_id.hex() != log_id:
            self._report("mark", None, f"it is of the log {self.mark.log_id.hex()}, and this one is {log_id}")
            self.mark = None
        self._compare_mark(removed)

    def _read_beginning(self) -> tuple[dict[str, Any], dict[int, int]]:
        """What the log says of itself, and what was removed of each stream: retention moves both at once."""
        versions = {}
        with self.pool.lend() as connection:
            connection.execute("BEGIN")
            meta = dict(connection.execute("SELECT key, value FROM meta"))
            try:
                versions = dict(connection.execute("SELECT id, removed_version FROM streams"))
            except (sqlite3.Error, UnicodeError) as error:
                damage = Problem("file", None, str(read_error(error)))
                self.problems += [] if damage in self.problems else [damage]
            connection.execute("ROLLBACK")
        return meta, versions

    def _bound(self) -> int:
        """The last position to look at: those that are appended from now on are not this check's business."""
        try:
            with self.pool.lend() as connection:
                last = connection.execute("SELECT max(position) FROM events").fetchone()[0]
        except (CorruptLog, ReadFailed) as error:
            self._report("file", None, f"where the log ends cannot be read: {error}")
            self.endless = True
            return self.removed + self.path.stat().st_size // SMALLEST_EVENT
        return max(last or 0, self.removed)

    def _skip(self, why: str) -> None:
        """Go on after a position that cannot be read."""
        self.position += 1
        self.absent += 1
        self.trail.gap()
        if self.unreadable is None:
            self.unreadable = self.position, why

    def _end_of_unreadable(self) -> None:
        if self.unreadable is not None:
            first, why = self.unreadable
            self.unreadable = None
            if self.endless:
                self._report("file", first, f"positions from {first} on cannot be read: {why}")
            else:
                self._report("file", first, f"positions {first} to {self.position} cannot be read: {why}")

    def _take(self, row: Any) -> None:
        """Judge the next event there is."""
        position = row[0]
        self._end_of_unreadable()
        if position != self.position + 1 and self._was_removed(position) and position <= self.removed:
            self.position = self.last = self.removed
        if position <= self.removed:
            return  # retention took it after it was read
        self.events += 1
        self.last = position
        if position != self.position + 1 and position != self.removed + 1:
            self._report("gap", self.position + 1, f"positions {self.position + 1} to {position - 1} are missing")
            self.absent += position - self.position - 1
            self.trail.gap()
        self.position = position
        try:
            self._judge(row)
        except TypeError as error:  # SQLite's own checks do not hold for damaged pages
            self._damaged("file", f"a value of a wrong type: {error}", row[-2])

    def _was_removed(self, position: int) -> bool:
        """Whether retention removed what stood before a position, while this check was reading."""
        meta, versions = self._read_beginning()
        now = meta.get("removed_position")
        if not isinstance(now, int) or now <= self.removed or now < position - 1:
            return False
        self.removed = now
        self.trail = Trail(meta["removed_chain"])
        for stream, version in versions.items():
            self.versions[stream] = max(version, self.versions.get(stream, 0))
        return True

    def _judge(self, row: Any) -> None:
        (
            position, stream_id, version, type_id, schema_version, wall_us, monotonic_us, boot_id,
            cause, command_id, correlation_id, depth, data, chain, checksum,
        ) = row  # fmt: skip
        stream, kind, boot = (
            self._name(table, number)
            for table, number in (("streams", stream_id), ("types", type_id), ("boots", boot_id))
        )
        if stream is None or kind is None or boot is None:
            self._damaged("file", "its stream, type or boot has no name", chain)
            return
        header = (
            position, stream, version, kind, schema_version, wall_us, monotonic_us, boot,
            cause, command_id, correlation_id, depth,
        )  # fmt: skip
        problem, right = self.trail.judge(record_bytes(header, data), chain, checksum)
        if problem == "checksum":
            self._report("checksum", position, "the record is not what was written")
        elif problem == "chain":
            self._report(
                "chain", position, "the record does not fit the one before: it, or a hash, is not what was written"
            )
        if not right:
            self.absent += 1
        else:
            self._check_version(position, stream_id, stream, version)
            try:
                readable = self.unsealer.readable(position, stream, kind, schema_version, data)
                if readable is not None:
                    decode_events(position, kind, schema_version, readable, self.unknown)
            except (UnknownEventType, CorruptEvent) as error:
                self._report("decode", position, str(error))
        self._compare_mark(position)

    def _damaged(self, what: str, why: str, chain: object) -> None:
        self._report(what, self.position, why)
        self.absent += 1
        self.trail.unreadable(chain)

    def _name(self, table: str, number: int) -> str | None:
        names = self.names.setdefault(table, {})
        if number not in names:  # it may be newer than what was read, or the only one that can be read
            try:
                with self.pool.lend() as connection:
                    row = connection.execute(f"SELECT name FROM {table} WHERE id = ?", (number,)).fetchone()  # noqa: S608
            except (CorruptLog, ReadFailed):
                return None
            if row is None or not isinstance(row[0], str):
                return None
            names[number] = row[0]
        return names[number]

    def _check_version(self, position: int, stream_id: int, stream: str, version: int) -> None:
        expected = self.versions.get(stream_id, 0) + 1
        self.versions[stream_id] = version
        if expected <= version <= expected + self.absent:
            self.absent -= version - expected
            return
        self._report("version", position, f"version {version} of stream {stream!r}, expected {expected}")

    # --- beside the events, and outside the log -------------------------------------------------------------------

    def _check_besides(self) -> None:
        check_besides(self.pool, self._report, self.counts, self.unsealer)

    def _compare_mark(self, position: int) -> None:
        """Whether the log still says at the marked position what it said when it was acknowledged."""
        if self.mark is None or self.mark.position != position or self.trail.may_be(self.mark.chain):
            return
        self._report("mark", position, "the log went on differently from what was acknowledged up to here")

    def _check_mark(self) -> None:
        if self.mark is None:
            if is_mark_damaged(self.path):
                self._report("mark", None, "the mark cannot be read: it would not tell of a missing tail")
            return
        marked = self.mark.position
        if marked > self.last:
            missing = f"the log ends at position {self.last}, but position {marked} was acknowledged"
            self._report("tail", self.last + 1, f"{missing}: its tail is missing")
            return
        with self.pool.lend() as connection:
            commits = commits_without_events(connection)
        if is_behind(self.mark, self.last, commits):
            missing = f"{self.mark.commits} commits without events were acknowledged, and the log has {commits}"
            self._report("tail", None, f"{missing}: what was stored after the last event is missing")
