"""A full disk that retention makes room on: refused, read, freed, resumed, with one store all along."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventstore.connections import file_uri
from eventstore.errors import AppendFailed, EventStoreError, OpenError, OutcomeUnknown, StorageFull
from eventstore.opening import open_reader, open_store
from eventstore.records import Attachment, Batch, Retained, Retention
from eventstore.reserve import LEAST_DISKS, OPENING_BYTES, RESERVE_BYTES, Reserve, reserve_path
from eventstore.store import SqliteStore
from tests.eventstore.support import Counted, append, counts

NOTE = "x" * 2000
DISK_BYTES = (LEAST_DISKS + 4) * RESERVE_BYTES
KEEP = Retention(max_events=50, expendable=("a",))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own in memory, just large enough for a reserve."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("no disk may be mounted here; the limit on pages shows the rest")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def take_the_rest(disk: Path, left_bytes: int = 0) -> None:
    """Fill the disk by a file of another program's, but for a little."""
    status = os.statvfs(disk)
    free = status.f_bavail * status.f_frsize - left_bytes
    if free > 0:
        with (disk / f"ballast-{len(list(disk.glob('ballast-*')))}").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free)


def fill(store: SqliteStore, count: int, note: str = NOTE) -> None:
    """Append numbered events, a hundred at once."""
    for start in range(0, count, 100):
        append(store, "a", *(Counted(n, note) for n in range(start, start + 100)))


def append_until_refused(store: SqliteStore, start: int) -> EventStoreError:
    """Append one by one; why the first one was refused that was. All before it are there."""
    acknowledged = start
    try:
        while acknowledged < start + 20_000:
            append(store, "a", Counted(acknowledged, NOTE))
            acknowledged += 1
    except (AppendFailed, OutcomeUnknown) as error:
        with open_reader(store.path) as reader:  # by another connection, as another process would
            assert reader.version("a") in (acknowledged, acknowledged + 1)
        return error
    msg = "the disk is not full"
    raise AssertionError(msg)


def resumes(store: SqliteStore, result: Retained) -> None:
    """What was kept is there, and with the same store, on the same disk, it goes on."""
    assert result.removed > 0
    assert result.freed_bytes > 0
    version = store.version("a")
    assert list(range(result.first - 1, version)) == counts(store, "a")
    for n in range(version, version + 100):
        append(store, "a", Counted(n, NOTE))
    assert store.verify().ok


@pytest.mark.parametrize("left_bytes", [0, 300_000, 3_000_000, 6_000_000])
def test_retention_frees_a_full_disk(disk: Path, left_bytes: int) -> None:
    """Wherever in the life of the WAL it fills: appends are refused, reads work, retention frees, appends resume."""
    path = disk / "lrm.db"
    kinds = set()
    with open_store(path) as store:
        assert RESERVE_BYTES == reserve_path(path).stat().st_size
        fill(store, 2000)
        take_the_rest(disk, left_bytes)
        for _ in range(3):
            kinds.add(type(append_until_refused(store, store.version("a"))).__name__)
            with pytest.raises((AppendFailed, OutcomeUnknown)):
                store.append(Batch(attachments=(Attachment("k", bytes(8 * 1024 * 1024)),)))
            resumes(store, store.retain(KEEP))
            assert RESERVE_BYTES == reserve_path(path).stat().st_size
            take_the_rest(disk)
        version = store.version("a")
    print(f"{version} events, refusals {sorted(kinds)}")
    with open_reader(path) as reader:
        assert version == reader.version("a")
        assert reader.verify().ok


def test_a_full_disk_and_a_reader_that_pins_the_wal(disk: Path) -> None:
    """The WAL cannot be emptied, so the reserve has to do until the reader ends."""
    path = disk / "lrm.db"
    with open_store(path) as store:
        fill(store, 1000)
        reader = sqlite3.connect(file_uri(path, "mode=ro"), uri=True, isolation_level=None)
        reader.execute("BEGIN")
        assert (1000,) == reader.execute("SELECT count(*) FROM events").fetchone()
        take_the_rest(disk)
        append_until_refused(store, 1000)
        assert store.retain(KEEP).removed > 900
        assert (1000,) == reader.execute("SELECT count(*) FROM events").fetchone()
        reader.close()
        append(store, "a", Counted(store.version("a"), NOTE))
        resumes(store, store.retain(Retention(max_events=20, expendable=("a",))))


def test_room_for_a_little_is_made_at_once(disk: Path) -> None:
    """Without removing anything: the reserve goes, appends go on, and retention makes it again once there is space."""
    path = disk / "lrm.db"
    with open_store(path) as store:
        fill(store, 2000)
        take_the_rest(disk)
        append_until_refused(store, 2000)
        version = store.version("a")
        assert store.make_room()
        assert not reserve_path(path).exists()
        for n in range(version, version + 200):
            append(store, "a", Counted(n, NOTE))
        assert not store.make_room()
        assert list(range(version + 200)) == counts(store, "a")
        for ballast in disk.glob("ballast-*"):
            ballast.unlink()
        store.retain(KEEP)
        assert RESERVE_BYTES == reserve_path(path).stat().st_size


def test_events_so_large_that_few_fit_into_the_reserve(disk: Path) -> None:
    """They go in smaller steps."""
    path = disk / "lrm.db"
    with open_store(path) as store:
        for n in range(20):
            append(store, "a", Counted(n, "x" * 3_000_000))
        take_the_rest(disk)
        append_until_refused(store, 20)
        resumes(store, store.retain(Retention(max_events=5, expendable=("a",))))


def test_a_planted_store_without_a_reserve_stays_stuck(disk: Path) -> None:
    """Which is what the reserve is for."""
    path = disk / "lrm.db"
    with open_store(path, reserve_bytes=0) as store:
        fill(store, 2000)
        take_the_rest(disk)
        append_until_refused(store, 2000)
        with pytest.raises((AppendFailed, OutcomeUnknown)):
            store.retain(KEEP)
        assert list(range(2000)) == counts(store, "a")[:2000]


def test_a_log_is_opened_on_a_full_disk_and_freed(disk: Path) -> None:
    """Opening takes a little of the reserve and leaves the rest to retention: so a program that ended can be helped."""
    path = disk / "lrm.db"
    with open_store(path) as store:
        fill(store, 2000)
    take_the_rest(disk)
    with open_store(path) as store:
        assert RESERVE_BYTES - OPENING_BYTES == reserve_path(path).stat().st_size
        append_until_refused(store, 2000)
        resumes(store, store.retain(KEEP))
        assert RESERVE_BYTES == reserve_path(path).stat().st_size
    Reserve(path, 0).make()
    take_the_rest(disk)
    with pytest.raises(OpenError):
        open_store(path, reserve_bytes=0)


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """The same where no disk can be mounted, by a limit on pages: refused, freed, resumed."""
    with open_store(tmp_path / "lrm.db") as store:
        fill(store, 1000)
        connection = store._writer.transactions._connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 5}")
        for _ in range(3):
            refusal = append_until_refused(store, store.version("a"))
            assert type(refusal) in {StorageFull, OutcomeUnknown}
            assert store.version("a") == len(counts(store, "a")) + store.first - 1
            resumes(store, store.retain(Retention(max_events=500, expendable=("a",))))
