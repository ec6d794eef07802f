"""Archives: what is removed is on disk elsewhere before it goes, whole and checked, and can be read again."""

from __future__ import annotations

import resource
import threading
from pathlib import Path

import pytest

from eventstore import retention
from eventstore.copying import archive as module
from eventstore.copying.archive import read_archive, verify_archive
from eventstore.errors import CopyFailed, CorruptEvent, ExportDamaged, KeyRequired, ReadFailed
from eventstore.opening import open_store
from eventstore.records import Batch, Record, Retained, Retention, Snapshot
from eventstore.store import SqliteStore
from tests.eventstore.support import Counted, FakeClock, append, counts

ALL = Retention(max_events=0)


@pytest.fixture
def filled(sqlite_store: SqliteStore) -> SqliteStore:
    """Twenty-five hundred events that may go."""
    for stream in ("a", "b"):
        for start in range(0, 1250, 250):
            append(sqlite_store, stream, *(Counted(n, f"ä {n}") for n in range(start, start + 250)))
        sqlite_store.append(Batch(snapshots=(Snapshot(stream, 1250, "s/1", b"{}"),)))
    return sqlite_store


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small archives and smaller transactions."""
    monkeypatch.setattr(module, "EVENTS_AT_ONCE", 1000)
    monkeypatch.setattr(retention, "EVENTS_AT_ONCE", 300)


def archives(directory: Path) -> list[Path]:
    """The archives in a directory, in their order."""
    found = sorted(directory.iterdir())
    assert all(path.name.endswith(".jsonl.zst") for path in found)
    return found


@pytest.mark.usefixtures("small")
def test_what_is_removed_is_in_archives_that_follow_each_other(filled: SqliteStore, tmp_path: Path) -> None:
    """Record for record; each goes on from the hash that the one before it ended with, and the log after the last."""
    before = list(filled.read())
    result = filled.retain(Retention(max_events=10), archive=tmp_path / "old" / "events")
    assert 2490 == result.removed
    found = archives(tmp_path / "old" / "events")
    checked = [verify_archive(path) for path in found]
    assert [(1, 1000), (1001, 2000), (2001, 2490)] == [(one.first, one.last) for one in checked]
    assert [one.chain for one in checked[1:]] == [one.chain_after for one in checked[:-1]]
    log_id = str(checked[0].log_id)
    assert [f"{log_id[:8]}-{one.first:012}-{one.last:012}.jsonl.zst" for one in checked] == [one.name for one in found]
    assert before == [record for path in found for record in read_archive(path)] + list(filled.read())
    assert {0o600} == {path.stat().st_mode & 0o777 for path in found}
    with filled._pool.lend() as connection:
        meta = dict(connection.execute("SELECT key, value FROM meta"))
    assert (meta["log_id"], meta["removed_chain"]) == (log_id, checked[-1].chain_after)
    assert sum(path.stat().st_size for path in found) < 2490 * 100


@pytest.mark.usefixtures("small")
def test_an_archive_whose_events_were_not_removed_is_not_written_again(
    filled: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether none or some of them went before the crash: what is there and whole will do."""
    run = filled._writer.transactions.run
    for allowed in (0, 2, 5):
        left = [allowed + 1]  # the first transaction only looks

        def failing(work: object, *, strict: bool = True, left: list[int] = left) -> object:
            if not left[0]:
                raise Crash
            left[0] -= 1
            return run(work, strict=strict)  # type: ignore[arg-type]

        monkeypatch.setattr(filled._writer.transactions, "run", failing)
        with pytest.raises(Crash):
            filled.retain(Retention(max_events=10), archive=tmp_path / "old")
    monkeypatch.undo()
    monkeypatch.setattr(module, "EVENTS_AT_ONCE", 1000)
    filled.retain(Retention(max_events=10), archive=tmp_path / "old")
    checked = [verify_archive(path) for path in archives(tmp_path / "old")]
    assert [(1, 1000), (1001, 2000), (2001, 2490)] == [(one.first, one.last) for one in checked]
    assert list(range(1240, 1250)) == counts(filled, "b")


class Crash(BaseException):
    """The program ends here."""


@pytest.mark.usefixtures("small")
def test_a_damaged_archive_is_not_relied_on(filled: SqliteStore, tmp_path: Path) -> None:
    """One of the right name that is not whole, or of another log, is passed over, and never overwritten."""
    directory = tmp_path / "old"
    with open_store(tmp_path / "copy" / "lrm.db", clock=FakeClock()) as other:
        append(other, "a", *(Counted(n) for n in range(1000)))
        other.retain(Retention(max_events=0, expendable=("a",)), archive=directory)
    (theirs,) = archives(directory)
    with filled._pool.lend() as connection:
        log_id = connection.execute("SELECT value FROM meta WHERE key = 'log_id'").fetchone()[0]
    taken = directory / f"{log_id[:8]}-{theirs.name[9:]}"
    theirs.rename(taken)
    content = taken.read_bytes()
    with pytest.raises(CopyFailed) as caught:
        filled.retain(ALL, archive=directory)
    assert taken.name in str(caught.value)
    assert content == taken.read_bytes()
    assert 1 == filled.first


def test_time_is_looked_at_between_archives_only(filled: SqliteStore, tmp_path: Path, small: None) -> None:
    """What is archived goes at once, so that each event is in one archive."""
    removed: list[Retained] = []
    while not removed or removed[-1].held_by == "time":
        removed.append(filled.retain(ALL, archive=tmp_path / "old", within_s=0))
    assert [1000, 1000, 500] == [result.removed for result in removed if result.removed]
    assert 3 == len(archives(tmp_path / "old"))


# --- failures -----------------------------------------------------------------------------------------------------


def test_a_directory_that_cannot_be_written(filled: SqliteStore, tmp_path: Path) -> None:
    """A typed error, and nothing is removed; without an archive it goes."""
    (tmp_path / "file").write_bytes(b"")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(CopyFailed):
        filled.retain(ALL, archive=tmp_path / "file")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(CopyFailed):
            filled.retain(ALL, archive=tmp_path / "old")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [] == archives(tmp_path / "old")
    assert 1 == filled.first
    assert 2500 == filled.retain(ALL).removed


def test_a_damaged_event_is_not_archived_and_stays(filled: SqliteStore, tmp_path: Path) -> None:
    """It is named, and nothing from its archive on is removed."""
    run = filled._writer.transactions.run
    run(lambda connection: connection.execute("UPDATE events SET depth = 3 WHERE position = 77"))
    with pytest.raises(CorruptEvent) as caught:
        filled.retain(ALL, archive=tmp_path / "old")
    assert 77 == caught.value.position
    assert 1 == filled.first
    assert [] == archives(tmp_path / "old")


@pytest.fixture
def archived(filled: SqliteStore, tmp_path: Path) -> Path:
    """An archive."""
    filled.retain(ALL, archive=tmp_path / "old")
    (path,) = archives(tmp_path / "old")
    return path


def test_any_damage_is_found(archived: Path, *, release: bool) -> None:
    """A changed byte, wherever it is, and an end that is missing; reading it tells too, where it comes to it."""
    content = archived.read_bytes()
    step = len(content) // (400 if release else 15)
    tried = 0
    for at in range(0, len(content), step):
        changed = bytearray(content)
        changed[at] ^= 4
        for damaged in (bytes(changed), content[:at]):
            archived.write_bytes(damaged)
            tried += 1
            with pytest.raises(ExportDamaged) as caught:
                verify_archive(archived)
            assert caught.value.line >= 1
            with pytest.raises((ExportDamaged, CorruptEvent)):
                list(read_archive(archived))
    print(f"{tried} damaged archives refused")
    archived.write_bytes(content)
    assert 2500 == verify_archive(archived).last


def test_what_is_no_archive(tmp_path: Path, sqlite_store: SqliteStore) -> None:
    """Is told by a typed error."""
    with pytest.raises(ReadFailed):
        verify_archive(tmp_path / "none")
    with pytest.raises(ReadFailed):
        list(read_archive(tmp_path))
    (tmp_path / "text").write_text("text")
    with pytest.raises(ExportDamaged):
        verify_archive(tmp_path / "text")


def test_archives_of_an_encrypted_log(path: Path, tmp_path: Path) -> None:
    """Stay encrypted: they are checked without the key, and read with the log that has it."""
    pytest.importorskip("cryptography")
    key = bytes(range(32))
    with open_store(path, key=key) as store:
        append(store, "a", *(Counted(n, "secret") for n in range(10)))
        store.append(Batch(snapshots=(Snapshot("a", 10, "s/1", b"{}"),)))
        before: list[Record] = list(store.read())
        store.retain(ALL, archive=tmp_path / "old")
        (one,) = archives(tmp_path / "old")
        assert 10 == verify_archive(one).last
        assert before == list(read_archive(one, log=store))
        with pytest.raises(KeyRequired):
            list(read_archive(one))


@pytest.mark.usefixtures("small")
def test_two_that_archive_at_once_do_so_one_after_the_other(filled: SqliteStore, tmp_path: Path) -> None:
    """Neither meets what the other is writing, nor misses what it removes; each event is in one archive."""
    results: list[Retained | Exception] = []

    def retain() -> None:
        try:
            results.append(filled.retain(ALL, archive=tmp_path / "old"))
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=retain) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [0, 0, 2500] == sorted(one.removed if isinstance(one, Retained) else -1 for one in results)
    checked = [verify_archive(path) for path in archives(tmp_path / "old")]
    assert [(1, 1000), (1001, 2000), (2001, 2500)] == [(one.first, one.last) for one in checked]
