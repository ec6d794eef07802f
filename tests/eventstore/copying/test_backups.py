"""Backups: of one moment, while the log is written, whole or not there, and nobody else's to read."""

from __future__ import annotations

import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from eventstore import connections, events
from eventstore.connections import file_uri
from eventstore.copying import backups as module
from eventstore.copying.backups import backup
from eventstore.copying.portable import export_log, import_log
from eventstore.damage.salvaging import salvage
from eventstore.errors import CopyFailed, CorruptLog, LogExists, LogNotFound, NotALog, ReadFailed
from eventstore.events import event
from eventstore.opening import open_reader, open_store
from eventstore.records import Attachment, Batch, Retention, Snapshot
from eventstore.store import SqliteStore
from tests.eventstore.support import Counted, append, counts

NOTE = "x" * 2000


@pytest.fixture
def filled(sqlite_store: SqliteStore) -> SqliteStore:
    """A log that is open, with a part of it in the WAL."""
    for start in range(0, 500, 100):
        append(sqlite_store, "a", *(Counted(n, NOTE) for n in range(start, start + 100)))
    sqlite_store.append(
        Batch(snapshots=(Snapshot("a", 400, "s/1", b"{}"),), attachments=(Attachment("k", bytes(5000)),))
    )
    return sqlite_store


def test_a_backup_is_a_log(filled: SqliteStore, tmp_path: Path) -> None:
    """With everything that was there, in one file, mode 0600, that opens and goes on."""
    target = tmp_path / "backups" / "monday.db"
    for source in (filled, filled.path, str(filled.path)):
        done = backup(source, target)
        assert (500, 500, target) == (done.head, done.events, done.path)
        assert done.size_bytes == target.stat().st_size > 1_000_000
        assert [target] == list(target.parent.iterdir())
        assert 0o600 == target.stat().st_mode & 0o777
        assert 0o700 == target.parent.stat().st_mode & 0o777
        with open_reader(target) as reader:
            assert list(filled.read()) == list(reader.read())
            assert reader.verify().ok
            assert bytes(5000) == reader.attachment("k").data
        with open_store(target) as store:
            append(store, "a", Counted(500), expected_version=500)
            assert 100 == store.retain(Retention(max_events=401)).removed
            assert store.verify().ok
        for file in target.parent.iterdir():
            file.unlink()
    assert filled.verify().ok


def test_a_log_whose_beginning_is_removed(filled: SqliteStore, tmp_path: Path) -> None:
    """Its backup verifies too."""
    filled.retain(Retention(max_events=0))
    done = backup(filled, tmp_path / "b.db")
    assert (500, 100) == (done.head, done.events)


def test_nothing_is_overwritten(filled: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what was there before, and not what comes while it is copied."""
    target = tmp_path / "b.db"
    target.write_bytes(b"precious")
    with pytest.raises(LogExists):
        backup(filled, target)
    with pytest.raises(LogExists):
        backup(filled, filled.path)
    target.unlink()
    copy = module._copy

    def copy_slowly(*arguments: Any) -> None:
        copy(*arguments)
        target.write_bytes(b"precious")

    monkeypatch.setattr(module, "_copy", copy_slowly)
    with pytest.raises(LogExists):
        backup(filled, target)
    assert b"precious" == target.read_bytes()
    assert [filled.path.parent, target] == sorted(tmp_path.iterdir())


def test_what_is_no_log(tmp_path: Path) -> None:
    """Is not backed up."""
    with pytest.raises(LogNotFound):
        backup(tmp_path / "none.db", tmp_path / "b.db")
    (tmp_path / "text.db").write_text("text" * 1000)
    with pytest.raises(NotALog):
        backup(tmp_path / "text.db", tmp_path / "b.db")
    assert not (tmp_path / "b.db").exists()


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond a bit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_copy_that_cannot_be_written(filled: SqliteStore, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A typed error, and nothing left of it: backup, export and import."""
    lines = tmp_path / "lines.jsonl"
    with lines.open("wb") as file:
        export_log(filled, file)
    request.getfixturevalue("small_files")
    with pytest.raises(CopyFailed):
        backup(filled, tmp_path / "b.db")
    with lines.open("rb") as file, pytest.raises(CopyFailed):
        import_log(file, tmp_path / "i.db")
    with pytest.raises(OSError, match="large"), (tmp_path / "short.jsonl").open("wb") as file:
        export_log(filled, file)
    assert ["agent", "lines.jsonl", "short.jsonl"] == sorted(one.name for one in tmp_path.iterdir())
    assert list(range(500)) == counts(filled, "a")


def test_a_damaged_log_is_not_taken_for_a_backup(filled: SqliteStore, tmp_path: Path) -> None:
    """What is damaged in the log would be damaged in the copy: it is verified before it has a name."""
    connection = sqlite3.connect(filled.path, isolation_level=None)
    connection.execute("UPDATE events SET data = x'7b7d' WHERE position = 77")
    connection.close()
    with pytest.raises(CopyFailed) as caught:
        backup(filled, tmp_path / "b.db")
    assert "position 77" in str(caught.value)
    assert "--even-damaged" in caught.value.hint
    assert [filled.path.parent] == list(tmp_path.iterdir())


@pytest.mark.parametrize("of", ["a store", "a path"])
def test_a_damaged_log_is_copied_as_it_is_where_that_is_asked_for(
    filled: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    """While its owner goes on, who could not be salvaged. What only the copy lacks is damage of the copy."""
    change = "UPDATE events SET data = x'7b7d' WHERE position = "
    with closing(sqlite3.connect(filled.path, isolation_level=None)) as connection:
        connection.execute(f"{change}77")
    source = filled if of == "a store" else filled.path
    done = backup(source, tmp_path / "b.db", even_damaged=True)
    assert [("checksum", 77)] == [(one.what, one.position) for one in done.problems]
    salvaged = salvage(done.path, tmp_path / "new" / "lrm.db")
    assert (((77, 77),), done.head) == (salvaged.lost, salvaged.head)
    copy = module._copy

    def copy_badly(connection: sqlite3.Connection, target: Path, place: Path) -> None:
        copy(connection, target, place)
        with closing(sqlite3.connect(target, isolation_level=None)) as written:
            written.execute(f"{change}78")

    monkeypatch.setattr(module, "_copy", copy_badly)
    with pytest.raises(CopyFailed):
        backup(source, tmp_path / "c.db", even_damaged=True)
    assert not (tmp_path / "c.db").exists()


def test_a_file_whose_pages_are_gone(filled: SqliteStore, tmp_path: Path) -> None:
    """Is told as damage of the log, not of the copy."""
    filled.close()
    size = filled.path.stat().st_size
    with filled.path.open("r+b") as file:
        file.truncate(size // 2)
    with pytest.raises((CorruptLog, CopyFailed, NotALog)):
        backup(filled.path, tmp_path / "b.db")
    assert not (tmp_path / "b.db").exists()


def test_an_event_that_this_program_cannot_decode(sqlite_store: SqliteStore, tmp_path: Path, registered: None) -> None:
    """Is copied all the same: its bytes are what was written."""

    @event("copies.changed", 1)
    class Changed:
        number: int

    append(sqlite_store, "a", Changed(1))
    events._by_name.clear()
    events._by_class.clear()

    @event("copies.changed", 1)
    class ChangedSince:
        number: str

    assert ["decode"] == [problem.what for problem in sqlite_store.verify().problems]
    assert 1 == backup(sqlite_store, tmp_path / "b.db").events


def test_a_planted_copy_of_the_file_alone_is_caught(filled: SqliteStore, tmp_path: Path, monkeypatch: Any) -> None:
    """A part of the log is in its WAL: what ``cp`` copies is an older log, or none."""
    monkeypatch.setattr(module, "_copy", lambda connection, copy, place: shutil.copy(filled.path, copy))
    with pytest.raises((AssertionError, CopyFailed, NotALog)):
        test_a_backup_is_a_log(filled, tmp_path)


# --- while it is written ------------------------------------------------------------------------------------------


def test_a_store_gives_what_it_has_open_also_where_its_file_is_gone(filled: SqliteStore, tmp_path: Path) -> None:
    """Or is another by now. By its path it would be found no more, or be the other one."""
    head = filled.head
    filled.path.rename(tmp_path / "away.db")
    assert head == backup(filled, tmp_path / "gone.db").head
    filled.path.write_bytes(b"another file")
    assert head == backup(filled, tmp_path / "replaced.db").head


def test_a_store_never_reads_a_file_that_was_put_in_place_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it had read nothing, or when several read at once, it opened what had the name by then."""
    monkeypatch.setattr(connections, "COMES_BACK_S", 0.01)
    log = tmp_path / "a" / "lrm.db"
    with open_store(log) as store, open_store(tmp_path / "b" / "lrm.db") as other:
        append(store, "a", Counted(1, NOTE), Counted(2, NOTE))
        append(other, "b", Counted(3, NOTE))
        backup(other, tmp_path / "other.db").path.replace(log)
        assert 2 == store.head
        assert 2 == backup(store, tmp_path / "copy.db").head
        with store.pool.lend(), pytest.raises(ReadFailed, match="another file was put in the place"):
            store.head  # noqa: B018 - it is read here
        monkeypatch.setattr(connections, "COMES_BACK_S", 60.0)
        heads: list[int] = []
        reading = threading.Thread(target=lambda: heads.append(store.head))
        with store.pool.lend():
            reading.start()
        reading.join()
        assert [2] == heads
        assert ["a"] == [info.name for info in store.streams()]


def test_no_writer_waits_for_a_backup(filled: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between any two of its steps events are appended; the copy is of the moment when it began, and is begun once."""
    monkeypatch.setattr(module, "PAGES_AT_ONCE", 10)
    steps = []

    class Stepping(sqlite3.Connection):
        def backup(self, target: sqlite3.Connection, **options: Any) -> None:
            def progress(status: int, remaining: int, total: int) -> None:
                steps.append(remaining)
                append(filled, "a", Counted(500 + len(steps), NOTE))

            super().backup(target, progress=progress, **options)

    from eventstore import opening

    plain, stepping = opening.open_pool, partial(sqlite3.connect, factory=Stepping)
    monkeypatch.setattr(opening, "open_pool", lambda path, connect=stepping: plain(path, connect=connect))
    done = backup(filled.path, tmp_path / "b.db")
    assert len(steps) > 20
    assert sorted(steps, reverse=True) == steps
    assert (500, 500 + len(steps)) == (done.head, filled.head)
    with open_reader(tmp_path / "b.db") as reader:
        assert list(range(500)) == counts(reader, "a")


APPENDER = """
import sys
from eventstore.opening import open_store
from tests.eventstore.support import Counted, append
with open_store(sys.argv[1]) as store:
    print("ready", flush=True)
    for n in range(1_000_000):
        append(store, "a", Counted(n))
        if n == 100:
            print("ready", flush=True)
"""


def test_the_backup_of_a_log_that_another_process_writes(path: Path, tmp_path: Path) -> None:
    """Holds a whole beginning of what that process wrote; the log is unharmed after the process was killed."""
    command = [sys.executable, "-c", APPENDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as owner:
        try:
            assert owner.stdout is not None
            owner.stdout.readline()
            owner.stdout.readline()
            heads = [backup(path, tmp_path / f"{n}.db").head for n in range(3)]
        finally:
            owner.kill()
    for number, head in enumerate(heads):
        with open_reader(tmp_path / f"{number}.db") as reader:
            assert list(range(head)) == counts(reader, "a")
    with open_store(path) as store:
        assert store.head >= heads[-1] > 100
        assert store.verify().ok


def test_the_file_of_the_log_is_opened_by_sqlite_only(
    filled: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing any other descriptor of it would drop the locks that SQLite holds: seen by what is opened meanwhile."""
    opened: list[str] = []
    watching = True
    ours = threading.get_ident()

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and threading.get_ident() == ours and event == "open":
            opened.append(str(arguments[0]))

    sys.addaudithook(watch)
    backup(filled, tmp_path / "b.db")
    with (tmp_path / "lines").open("wb") as file:
        export_log(filled, file)
    watching = False
    assert str(filled.path) not in opened
    assert str(filled.path) + "-wal" not in opened
    assert any("partial" in name for name in opened)
    connection = sqlite3.connect(file_uri(filled.path, "mode=ro"), uri=True)
    assert (500,) == connection.execute("SELECT count(*) FROM events").fetchone()
    connection.close()
