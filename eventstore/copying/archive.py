"""Archives: files that keep what retention removes, compressed lines of JSON that say where they belong."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import attrs

from eventstore.checksums import chain_anchor
from eventstore.codec import OnUnknown, decode_events
from eventstore.connections import ReaderPool
from eventstore.copying.archive_names import ARCHIVE, archive_name, is_archive
from eventstore.copying.lines import (
    FORMAT_VERSION,
    ArchiveBeginning,
    EventLine,
    LineReader,
    LineWriter,
    Succession,
    from_hex,
    unpacked,
)
from eventstore.copying.placing import placed
from eventstore.copying.portable import event_lines
from eventstore.encryption import is_sealed
from eventstore.errors import CopyFailed, CorruptEvent, ExportDamaged, KeyRequired, ReadFailed
from eventstore.leftovers import leftovers
from eventstore.records import Instant, Record

if TYPE_CHECKING:
    from eventstore.reader import SqliteReader

EVENTS_AT_ONCE = 10_000
"""Events in one archive at most."""
BYTES_AT_ONCE = 64 * 1024 * 1024
"""Bytes of events in one archive, but for a single event that is larger."""
COMPRESSION_LEVEL = 9

_BEGINNING = "SELECT key, value FROM meta WHERE key IN ('log_id', 'removed_position', 'removed_chain')"
_SIZES = "SELECT position, length(data) FROM events WHERE position <= ? ORDER BY position LIMIT ?"
_CHAIN = "SELECT chain FROM events WHERE position = ?"


@attrs.frozen
class Archived:
    """What an archive holds."""

    path: Path
    log_id: str
    first: int
    """Position of its first event."""
    last: int
    chain: bytes
    """At the event before the first."""
    chain_after: bytes
    """At the last event."""


@attrs.frozen
class Archiver:
    """Puts the oldest events of a log into a directory, before they are removed.

    Args:
        directory: is made where it is missing, mode 0700.
        pool: lends connections to read the log.
    """

    directory: Path
    pool: ReaderPool

    def archive(self, up_to: int) -> int:
        """See that the oldest events, of those up to a position, are in an archive on disk; at least one of them.

        Returns up to which position they are.

        Raises:
            CopyFailed: they could not be written.
            CorruptEvent: one of them is damaged.
        """
        with self.pool.lend() as connection:
            meta = dict(connection.execute(_BEGINNING))
        log_id, first, chain = meta["log_id"], meta["removed_position"] + 1, meta["removed_chain"]
        for left in leftovers(self.directory, lambda name: is_archive(name) and name[:8] == log_id[:8]):
            left.remove()  # by a run that was killed: only who owns the log archives it
        kept = self._kept(log_id, first)
        if kept is not None:
            return min(kept, up_to)
        last = self._last(up_to)
        with self.pool.lend() as connection:
            chain_after = connection.execute(_CHAIN, (last,)).fetchone()[0]
        beginning = ArchiveBeginning(
            log_id=log_id,
            first=first,
            last=last,
            chain=(chain or chain_anchor(log_id)).hex(),
            chain_after=chain_after.hex(),
        )
        self._write(beginning)
        return last

    def _kept(self, log_id: str, first: int) -> int | None:
        """The last position of an archive that holds a first one: a crash came between it and the removal."""
        with contextlib.suppress(OSError):
            for path in sorted(self.directory.iterdir()):
                match = ARCHIVE.fullmatch(path.name)
                if match is None or match[1] != log_id[:8] or not int(match[2]) <= first <= int(match[3]):
                    continue
                with contextlib.suppress(ExportDamaged, ReadFailed), self.pool.lend() as connection:
                    archived = verify_archive(path)
                    chain = connection.execute(_CHAIN, (archived.last,)).fetchone()
                    if archived.log_id == log_id and chain == (archived.chain_after,):
                        return archived.last
        return None

    def _last(self, up_to: int) -> int:
        last, total = 0, 0
        with self.pool.lend() as connection:
            for position, size in connection.execute(_SIZES, (up_to, EVENTS_AT_ONCE)):
                total += size
                if last and total > BYTES_AT_ONCE:
                    break
                last = position
        return last

    def _write(self, beginning: ArchiveBeginning) -> None:
        succession = Succession(beginning.first - 1, from_hex(beginning.chain))
        path = self.directory / archive_name(beginning.log_id, beginning.first, beginning.last)
        if os.path.lexists(path):
            hint = "it is damaged, or not of this log: move it away"
            raise CopyFailed(str(path), "there is something already that does not hold these events", hint=hint)
        with placed(path) as partial, _opened(partial, "wb") as file:
            writer = LineWriter(file)
            writer.write(beginning)
            for line, data in event_lines(self.pool, after=beginning.first - 1, up_to=beginning.last):
                try:
                    succession.take(line, data)
                except ValueError as error:
                    raise CorruptEvent(succession.position + 1, str(error)) from error
                writer.write(line)
            if succession.position != beginning.last:
                raise CorruptEvent(succession.position + 1, "it is missing")
            writer.end()


def verify_archive(path: str | os.PathLike[str]) -> Archived:
    """Read an archive through, and check every line of it and that each event is the one after that before.

    Raises:
        ExportDamaged: something is not as it was written; ``line`` says where.
        ReadFailed: the file cannot be read.
    """
    with contextlib.closing(_lines(path)) as lines:
        archived = next(lines)
        assert isinstance(archived, Archived)
        for _ in lines:
            pass
    return archived


def read_archive(
    path: str | os.PathLike[str], *, unknown: OnUnknown = "raise", log: SqliteReader | None = None
) -> Iterator[Record]:
    """The records in an archive, in log order. Damage is told where it is met: verify first what must be whole.

    Args:
        path: the file.
        unknown: what to do with events of types that are not known here.
        log: the log it came from, open with its key: needed where its events are encrypted.

    Raises:
        ExportDamaged: a line is not as it was written.
        UnknownEventType, CorruptEvent: an event cannot be decoded.
        KeyRequired: it is encrypted, and there is no key.
        ReadFailed: the file cannot be read.
    """
    lines = _lines(path)
    next(lines)
    for found in lines:
        assert not isinstance(found, Archived)
        line, data = found
        if is_sealed(data):
            if log is None or log.locked:
                raise KeyRequired(os.fspath(path), hint="give the log that it came from, open with its key")
            data = log._unsealer.event(line.position, line.stream, line.type, line.schema_version, data)  # noqa: SLF001
        yield Record(
            line.position,
            line.stream,
            line.version,
            line.type,
            line.schema_version,
            decode_events(line.position, line.type, line.schema_version, data, unknown),
            Instant(line.wall_us / 1e6, line.monotonic_us / 1e6, line.boot),
            line.cause,
            line.command_id,
            line.correlation_id,
            line.depth,
            data,
        )


def _lines(path: str | os.PathLike[str]) -> Generator[Any, None, None]:
    """What an archive holds, and then each of its events with its data, checked."""
    try:
        file = _opened(Path(path), "rb")
    except OSError as error:
        hint = "check the name of the archive, and who may read it"
        raise ReadFailed(f"{os.fspath(path)}: {error.strerror or error}", hint=hint) from error
    with file:
        lines = LineReader(file)
        following = iter(lines)
        beginning = next(following, None)
        if not isinstance(beginning, ArchiveBeginning) or beginning.version != FORMAT_VERSION:
            raise lines.damaged("it is no archive, or one of a later release")
        try:
            chain, chain_after = from_hex(beginning.chain), from_hex(beginning.chain_after)
        except ValueError as error:
            raise lines.damaged(str(error)) from error
        yield Archived(Path(path), beginning.log_id, beginning.first, beginning.last, chain, chain_after)
        succession = Succession(beginning.first - 1, chain)
        for line in following:
            if not isinstance(line, EventLine):
                raise lines.damaged("only events can stand here")
            try:
                data = unpacked(line)
                succession.take(line, data)
            except ValueError as error:
                raise lines.damaged(str(error)) from error
            yield line, data
        if (succession.position, succession.chain) != (beginning.last, chain_after):
            raise lines.damaged(f"events end at position {succession.position}, and not at {beginning.last}")


def _opened(path: Path, mode: str) -> IO[bytes]:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    opened: Any = zstd.open
    file: IO[bytes] = opened(path, mode, level=COMPRESSION_LEVEL) if mode == "wb" else opened(path, mode)
    return file
