"""Makes a new log out of whatever can still be read of a damaged one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import attrs

from eventstore.checksums import chain_anchor
from eventstore.copying.placing import check_free, make_directory, placed
from eventstore.damage.choosing import Found, choose, resolve
from eventstore.damage.remains import Remains
from eventstore.damage.salvaged import Besides, besides_of, write_log
from eventstore.descriptors import open_descriptor
from eventstore.errors import CopyFailed, CorruptLog, LogLocked, LogNotFound, LogNotWritable
from eventstore.leftovers import scratch_beside
from eventstore.locking import LOCK_NAME, LogLock
from eventstore.mark import Mark, MarkFile, mark_path, read_mark
from eventstore.schema import DIRECTORY_MODE

# Run by another process: closing a file here would drop the locks that SQLite may hold on it here. What the disk does
# not give is left as zeros.
_COPY = """
import os, sys
def copy(source, target):
    private = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(source, "rb", buffering=0) as a, open(private, "wb") as b:
        size, place = os.fstat(a.fileno()).st_size, 0
        while place < size:
            for length in (1 << 20, 4096):
                try:
                    data = os.pread(a.fileno(), length, place)
                except OSError:
                    data = bytes(min(4096, size - place)) if length == 4096 else None
                if data is not None:
                    break
            if not data:
                break
            b.write(data)
            place += len(data)
for source, target in zip(sys.argv[1::2], sys.argv[2::2]):
    copy(source, target)
"""

ALIVE = "end that process; or, while it runs, copy the log with 'lrm backup --even-damaged', and salvage the copy"


@attrs.frozen
class Salvaged:
    """What ``salvage`` brought back."""

    events: int
    lost: tuple[tuple[int, int], ...]
    """First and last position of each part that could not be brought back; the last of them may have been the end."""
    head: int
    """Position of the last event of the new log."""
    marked: int | None
    """Position that the damaged log had acknowledged, by the mark beside it."""
    snapshots: int
    attachments: int
    cursors: int
    receipts: int


def salvage(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> Salvaged:
    """Make a new log of everything undamaged in a damaged one, which stays as it is.

    Events keep their positions, versions and hashes. Where some are lost there is a gap, which ``verify`` reports for
    ever and appends go on after. Snapshots ahead of what is left of their stream are dropped, and cursors ahead of the
    log are set back to its end, so that nothing new is skipped.

    Args:
        source: the damaged log. Its WAL and its mark are looked for beside it.
        target: where the new log is to be. There must be nothing yet.

    Raises:
        LogNotFound: there is no file at ``source``.
        LogLocked: its owner is alive.
        LogExists: there is something at ``target``.
        CopyFailed: the new log, or the copy that is worked on, cannot be written.
        CorruptLog: nothing at all could be found.
    """
    log, new = Path(source).resolve(), Path(target).resolve()
    if not log.is_file():
        raise LogNotFound(str(log), f"there is no log at {log}")
    check_free(new)
    try:
        make_directory(new.parent)
        with scratch_beside(new) as scratch:
            with _unowned(log):
                _copy(log, scratch)
            return salvage_copy(scratch / log.name, new)
    except OSError as error:
        if getattr(error, "code", None) is not None:  # one of ours, that says more
            raise
        raise CopyFailed(str(new), error.strerror or str(error)) from error


def keep_copy(log: str | os.PathLike[str], directory: str | os.PathLike[str]) -> Path:
    """Copy the files of a log that no process owns, as they lie, into a directory of their own.

    Raises:
        LogNotFound: there is no file at ``log``.
        LogLocked: its owner is alive.
        CopyFailed: it cannot be written, or is there already.
    """
    source, place = Path(log).resolve(), Path(directory).resolve()
    if not source.is_file():
        raise LogNotFound(str(source), f"there is no log at {source}")
    try:
        make_directory(place.parent)
        place.mkdir(DIRECTORY_MODE)
    except OSError as error:
        raise CopyFailed(str(place), error.strerror or str(error)) from error
    with _unowned(source):
        _copy(source, place)
    return place / source.name


def salvage_copy(copy: Path, target: Path) -> Salvaged:
    """The same of a copy that nobody else has open.

    Raises:
        LogExists, CopyFailed, CorruptLog: as ``salvage``.
    """
    mark = read_mark(copy)
    with Remains(copy) as remains:
        log_id = remains.log_id() or (None if mark is None else mark.log_id.hex())
        if mark is not None and mark.log_id.hex() != log_id:
            mark = None  # another log left it here
        besides = besides_of(remains, log_id)
        events = _events(remains, besides, mark)
        if not events and log_id is None:
            raise CorruptLog("nothing of a log was found in it", hint="see whether it is the right file: an lrm.db")
        end = max(besides.last_known, 0 if mark is None else mark.position)
        besides.fit(events)
        with placed(target) as file:
            write_log(file, besides, events)
    head = events[-1].position if events else besides.removed
    chain = events[-1].chain if events else besides.removed_chain or chain_anchor(besides.log_id)
    with contextlib.closing(MarkFile(target, besides.log_id)) as new_mark:
        new_mark.restart(head, chain, besides.commits)
    return Salvaged(
        events=len(events),
        lost=tuple(_lost(events, besides.removed, end)),
        head=head,
        marked=None if mark is None else mark.position,
        snapshots=len(besides.snapshots),
        attachments=len(besides.attachments),
        cursors=len(besides.cursors),
        receipts=len(besides.receipts),
    )


def _events(remains: Remains, besides: Besides, mark: Mark | None) -> list[Found]:
    found: dict[tuple[int, bytes, int | None], Found] = {}
    for region in remains.regions():
        for row in region.rows("events"):
            for one in resolve(row, besides.names, region.trust):
                key = one.position, one.chain, one.checksum
                if key not in found or found[key].trust > one.trust:
                    found[key] = one
    by_position: defaultdict[int, list[Found]] = defaultdict(list)
    for one in found.values():
        by_position[one.position].append(one)
    besides.check_removed(by_position)
    chain = besides.removed_chain or chain_anchor(besides.log_id)
    marked = 0 if mark is None else mark.position
    return choose(found.values(), after=besides.removed, chain=chain, marked=marked)


def _lost(events: list[Found], removed: int, end: int) -> Iterator[tuple[int, int]]:
    last = removed
    for one in events:
        if one.position > last + 1:
            yield last + 1, one.position - 1
        last = one.position
    if end > last:
        yield last + 1, end


@contextlib.contextmanager
def _unowned(log: Path) -> Iterator[None]:
    """Keep owners out, as far as the directory lets us: a disk that is failing may be mounted read-only."""
    if not log.with_name(LOCK_NAME).exists():
        yield
        return
    try:
        lock = LogLock(log)
    except LogLocked as error:
        raise LogLocked(str(log), str(error), hint=ALIVE) from error
    except LogNotWritable:
        import fcntl

        descriptor = open_descriptor(log.with_name(LOCK_NAME), os.O_RDONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError as error:
                raise LogLocked(str(log), f"{log} is owned by a living process", hint=ALIVE) from error
            yield
        finally:
            os.close(descriptor)
        return
    try:
        yield
    finally:
        lock.release()


def _copy(log: Path, directory: Path) -> None:
    files = [log, log.with_name(f"{log.name}-wal"), mark_path(log)]
    words = [str(word) for file in files if file.exists() for word in (file, directory / file.name)]
    python = sys.executable or "python3"
    done = subprocess.run([python, "-I", "-c", _COPY, *words], capture_output=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise CopyFailed(f"a copy of {log}", last[0] if last else f"exit status {done.returncode}")
