"""A full disk: a typed error, nothing acknowledged lost, reading goes on, and appending too once there is space."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventstore.errors import AppendFailed, EventStoreError, OpenError, OutcomeUnknown, StorageFull
from eventstore.opening import open_reader, open_store
from eventstore.records import Attachment, Batch, Cursor
from eventstore.store import SqliteStore
from tests.eventstore.support import Counted, append, counts

NOTE = "x" * 2000
DISK_BYTES = 4 * 1024 * 1024


def append_until_refused(
    store: SqliteStore, start: int, cursors: tuple[Cursor, ...] = ()
) -> tuple[int, EventStoreError]:
    """The number that was not acknowledged, and why."""
    for n in range(start, start + 10_000):
        try:
            append(store, "a", Counted(n, NOTE), cursors=cursors)
        except EventStoreError as error:
            return n, error
    msg = "the disk is not full"
    raise AssertionError(msg)


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """The page limit is met inside a transaction: certainly nothing was stored, and no settling is needed."""
    path = tmp_path / "lrm.db"
    cursors = (Cursor("reader", 0),)
    with open_store(path) as store:
        pages = store._writer.transactions._connection.execute("PRAGMA page_count").fetchone()[0]
        store._writer.transactions._connection.execute(f"PRAGMA max_page_count = {pages + 5}")
        refused, error = append_until_refused(store, 0, cursors)
        assert StorageFull is type(error)
        assert error.hint
        for _ in range(3):
            with pytest.raises(StorageFull):
                append(store, "a", Counted(-1, NOTE), cursors=cursors)
        with pytest.raises(StorageFull):
            store.append(Batch(attachments=(Attachment("k", bytes(100_000)),)))
        assert 5 == store.statistics().failures
        assert list(range(refused)) == counts(store, "a")
        store._writer.transactions._connection.execute("PRAGMA max_page_count = 1000000")
        append(store, "a", Counted(refused, NOTE))
        assert store.verify().ok
    with open_reader(path) as reader:
        assert list(range(refused + 1)) == counts(reader, "a")


def test_events_alone_in_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """They are one statement, which may have met the full disk as it committed: settled, and they are not there."""
    with open_store(tmp_path / "lrm.db") as store:
        append(store, "a", Counted(0, NOTE))
        connection = store._writer.transactions._connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 5}")
        refused, error = append_until_refused(store, 1)
        assert OutcomeUnknown is type(error)
        with pytest.raises(OutcomeUnknown):
            append(store, "a", Counted(-1, NOTE))
        assert 2 == store.settle()
        with pytest.raises(StorageFull):  # the stream's end is read again, in a transaction
            append(store, "a", Counted(-1, NOTE))
        assert list(range(refused)) == counts(store, "a")
        connection.execute("PRAGMA max_page_count = 1000000")
        append(store, "a", Counted(refused, NOTE))
        assert list(range(refused + 1)) == counts(store, "a")
        assert store.verify().ok


# --- disks that are really full -----------------------------------------------------------------------------------


class SmallDisk:
    """A file system of four megabytes in memory, where this process may mount one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ballast = directory / "ballast"

    def fill(self) -> None:
        """Take all that is left."""
        with contextlib.suppress(OSError), self.ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        """Give it back."""
        self.ballast.unlink()


class FileSizeLimit:
    """Files of this process may not grow: the next best thing, everywhere."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        """Not beyond the log's largest file, that is."""
        largest = max((file.stat().st_size for file in self.directory.iterdir()), default=0)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, self.before[1]))

    def free(self) -> None:
        """As it was."""
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


@pytest.fixture(params=["disk", "limit"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk | FileSizeLimit]:
    """A small disk where that is possible, and in any case a limit on files."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tmpfs", str(tmp_path)]
    mounted = (
        request.param == "disk"
        and os.geteuid() == 0
        and subprocess.run(command, check=False, capture_output=True).returncode == 0
    )
    if mounted:
        yield SmallDisk(tmp_path)
        subprocess.run(["umount", str(tmp_path)], check=True)
    else:
        limit = FileSizeLimit(tmp_path)
        yield limit
        limit.free()


def test_a_full_disk_loses_nothing_and_heals(disk: SmallDisk | FileSizeLimit) -> None:
    """While it is full every append is refused by a typed error; then settling, if needed, and on it goes."""
    path = disk.directory / "lrm.db"
    kinds = set()
    with open_store(path, reserve_bytes=0) as store:
        grant = store.acquire("b")
        written = 0
        acknowledged: list[int] = []
        for _ in range(3):
            for n in range(20):
                append(store, "a", Counted(written + n, NOTE))
                acknowledged.append(written + n)
            disk.fill()
            refused, error = append_until_refused(store, written + 20)
            acknowledged += range(written + 20, refused)
            written = refused + 1
            kinds.add(type(error))
            for _ in range(3):
                with pytest.raises((AppendFailed, OutcomeUnknown)):
                    store.append(Batch(attachments=(Attachment("k", bytes(3 * 1024 * 1024)),)))
                with contextlib.suppress(AppendFailed, OutcomeUnknown):
                    store.settle()
            assert set(acknowledged) <= set(counts(store, "a")) <= {*acknowledged, refused}
            disk.free()
            store.settle()
            assert store.verify().ok
            append(store, "b", Counted(written), epoch=grant.epoch)
        found = counts(store, "a")
    print(f"{len(found)} events, refusals {sorted(kind.__name__ for kind in kinds)}")
    with open_reader(path) as reader:
        assert found == counts(reader, "a")
        assert 3 == reader.version("b")


def test_a_log_can_be_read_while_its_disk_is_full(disk: SmallDisk | FileSizeLimit) -> None:
    """By others too, whether its owner closed it or lives."""
    path = disk.directory / "lrm.db"
    with open_store(path) as store:
        append(store, "a", Counted(1))
        disk.fill()
        with open_reader(path) as reader:
            assert [1] == counts(reader, "a")
    with open_reader(path) as reader:
        assert [1] == counts(reader, "a")
        assert reader.verify().ok


def test_opening_a_log_on_a_full_disk(disk: SmallDisk | FileSizeLimit) -> None:
    """It opens, or says why not; with space it opens."""
    path = disk.directory / "lrm.db"
    with open_store(path) as store:
        append(store, "a", Counted(1))
    disk.fill()
    with contextlib.suppress(OpenError):  # and nothing less typed
        open_store(path).close()
    disk.free()
    with open_store(path) as store:
        append(store, "a", Counted(2))
        assert [1, 2] == counts(store, "a")
