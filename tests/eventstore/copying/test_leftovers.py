"""What a killed copy left behind goes with the next one, or when it is old; what somebody writes stays."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventstore import leftovers as module
from eventstore.copying.backups import backup
from eventstore.copying.placing import placed
from eventstore.damage.diagnosis import doctor
from eventstore.damage.findings import Finding
from eventstore.damage.salvaging import salvage
from eventstore.leftovers import ABANDONED_S, leftovers, make_partial, scratch_beside
from eventstore.mark import mark_path
from eventstore.opening import open_store
from eventstore.records import Batch, Retention, Snapshot
from eventstore.store import SqliteStore
from tests.eventstore.support import Counted, append, in_child

ALL = Retention(max_events=0)


@pytest.fixture
def filled(sqlite_store: SqliteStore) -> SqliteStore:
    """Some events that may go."""
    append(sqlite_store, "a", *(Counted(n) for n in range(100)))
    sqlite_store.append(Batch(snapshots=(Snapshot("a", 100, "s/1", b"{}"),)))
    return sqlite_store


def partials(directory: Path) -> list[str]:
    """What is left in a directory, or being written."""
    return sorted(path.name for path in directory.iterdir() if ".partial" in path.name)


def killed_with(target: Path, *sides: str) -> Path:
    """A process is killed while it writes what is to become a file, with what SQLite had beside it."""

    def write() -> None:
        with placed(target) as partial:
            for side in ("", *sides):
                partial.with_name(partial.name + side).write_bytes(b"half")
            os._exit(0)

    before = {*target.parent.iterdir()} if target.parent.exists() else set()
    in_child(write)
    (made,) = (path for path in target.parent.iterdir() if path not in before and path.name.endswith(".partial"))
    return made


def grow_old(directory: Path) -> None:
    """Let what is there have been written long ago."""
    long_ago_s = time.time() - 2 * ABANDONED_S
    for path in directory.iterdir():
        if ".partial" in path.name:
            os.utime(path, (long_ago_s, long_ago_s))


@contextlib.contextmanager
def being_written(target: Path) -> Iterator[None]:
    """Another process writes what is to become a file, for as long as the block lasts."""
    receiving, sending = os.pipe()
    there, begun = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(sending)
            with placed(target):
                os.write(begun, b"x")
                os.read(receiving, 1)
        finally:
            os._exit(0)
    os.close(receiving)
    os.close(begun)
    try:
        assert b"x" == os.read(there, 1)
        grow_old(target.parent)
        yield
    finally:
        os.close(sending)
        os.close(there)
        os.waitpid(child, 0)


def test_the_next_retention_removes_what_a_killed_one_left(filled: SqliteStore, tmp_path: Path) -> None:
    """And archives what it did not come to; what other logs and other programs have there stays."""
    archive = tmp_path / "old"
    filled.retain(Retention(max_events=50), archive=archive)
    (done,) = [path.name for path in archive.iterdir()]
    killed_with(archive / f"{done[:8]}-000000000051-000000000099.jsonl.zst")
    foreign = killed_with(archive / f"{'f' * 8 if done[0] != 'f' else '0' * 8}-000000000051-000000000099.jsonl.zst")
    archive.joinpath("notes.partial").write_text("somebody's")
    assert 3 == len(partials(archive))
    filled.retain(ALL, archive=archive)
    assert sorted([foreign.name, "notes.partial"]) == partials(archive)
    assert 2 == sum(path.name.endswith(".zst") for path in archive.iterdir())


def test_the_next_copy_to_a_place_removes_what_a_killed_one_left(filled: SqliteStore, tmp_path: Path) -> None:
    """With what SQLite kept beside it, which may be all that is left."""
    target = tmp_path / "copies" / "lrm.db"
    killed_with(target, "-journal", "-wal").unlink()
    assert 2 == len(partials(target.parent))
    killed_with(target, "-shm")
    assert 2 == len(partials(target.parent))
    backup(filled, target)
    assert [target] == [*target.parent.iterdir()]


def test_what_another_process_writes_stays(filled: SqliteStore, path: Path, tmp_path: Path) -> None:
    """However old it looks: to a copy to the same place, to an owner, and to one who only looks."""
    target = tmp_path / "copies" / "lrm.db"
    with being_written(target), being_written(path.with_name("lrm.db.rescued")):
        backup(filled, target)
        filled.retain(Retention(max_events=90))
        assert "ok" == told(path).level
        assert "a copy is being written" in told(path).what
        assert [1, 1] == [len(partials(one.parent)) for one in (target, path)]
    assert [0, 0] == [len(partials(one.parent)) for one in (target, path)]


def test_planted_one_that_asks_for_no_lock_is_caught(
    filled: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes from another what that writes."""
    monkeypatch.setattr(module, "_lock", lambda descriptor: True)
    target = tmp_path / "copies" / "lrm.db"
    with being_written(target):
        backup(filled, target)
        assert [] == partials(target.parent)


@pytest.mark.parametrize("tidies", [lambda store: None, lambda store: store.retain(Retention(max_events=90))])
def test_an_owner_removes_only_what_is_old(path: Path, tidies: Callable[[SqliteStore], object]) -> None:
    """When it opens the log, and at each retention: of a copy that began a moment ago nobody can be sure."""
    open_store(path).close()
    killed_with(path.with_name("lrm.db.rescued"), "-journal")
    path.with_name("lrm.db.partial-wal").write_bytes(b"half")
    path.with_name("other.abcd1234.partial").write_bytes(b"somebody's")
    with open_store(path) as store:
        tidies(store)
        assert 4 == len(partials(path.parent))
        grow_old(path.parent)
        store.retain(Retention(max_events=90))
        assert ["other.abcd1234.partial"] == partials(path.parent)
    killed_with(path.with_name("lrm.db.rescued"))
    grow_old(path.parent)
    open_store(path).close()
    assert ["other.abcd1234.partial"] == partials(path.parent)


def told(path: Path) -> Finding:
    """What the doctor says of it."""
    (found,) = (finding for finding in doctor(path).findings if finding.code == "leftovers")
    return found


def test_the_doctor_tells_of_it(path: Path) -> None:
    """Also of archives in a directory beside the log; and touches nothing."""
    open_store(path).close()
    assert "no copy was left half done" == told(path).what
    archive = path.parent / "old" / "01234567-000000000001-000000000002.jsonl.zst"
    left = [killed_with(path.with_name("lrm.db.rescued")), killed_with(archive)]
    assert "ok" == told(path).level
    for one in left:
        grow_old(one.parent)
    assert "warning" == told(path).level
    assert all(one.name in told(path).what for one in left)
    assert all(one.exists() for one in left)


def killed_in_a_salvage(target: Path) -> Path:
    """A process is killed while it works on what is to become a log."""

    def work() -> None:
        with scratch_beside(target) as scratch:
            (scratch / "lrm.db").write_bytes(b"half")
            os._exit(0)

    target.parent.mkdir(exist_ok=True)
    in_child(work)
    (made,) = target.parent.glob(f".{target.name}.salvage-*")
    return made


def test_what_a_killed_salvage_worked_in_goes(filled: SqliteStore, path: Path, tmp_path: Path) -> None:
    """With the next one to the same place, or when it is old, beside a log that is opened; the doctor tells of it."""
    filled.close()
    target = tmp_path / "salvaged" / "lrm.db"
    killed_in_a_salvage(target)
    salvage(path, target)
    assert [target.name, mark_path(target).name] == sorted(one.name for one in target.parent.iterdir())
    left = killed_in_a_salvage(path.with_name("lrm.db.new"))
    open_store(path).close()
    assert ("ok", True) == (told(path).level, left.exists())
    long_ago_s = time.time() - 2 * ABANDONED_S
    for one in (left / "lrm.db", left):
        os.utime(one, (long_ago_s, long_ago_s))
    assert ("warning", True) == (told(path).level, left.name in told(path).what)
    with scratch_beside(path.with_name("lrm.db.other")) as busy:
        os.utime(busy, (long_ago_s, long_ago_s))
        open_store(path).close()
        assert (False, True) == (left.exists(), busy.exists())
    assert not busy.exists()


def test_one_that_is_tidied_up_as_it_is_made_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is locked it looks like one that is nobody's."""
    lock, removed = module._lock, list[bool]()

    def late(descriptor: int) -> bool | None:
        if not removed:
            removed.append(True)  # what follows locks as well
            (one,) = leftovers(tmp_path, "x".__eq__)
            removed[:] = [one.remove()]
        return lock(descriptor)

    monkeypatch.setattr(module, "_lock", late)
    made, descriptor = make_partial(tmp_path / "x")
    os.close(descriptor)
    assert [True] == removed
    assert [made] == [*tmp_path.iterdir()]


def test_a_scratch_directory_that_is_tidied_up_as_it_is_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two salvages to one place begin at once: neither works in a directory that the other removes."""
    lock, removed = module._lock, list[bool]()

    def late(descriptor: int) -> bool | None:
        if not removed:
            removed.append(True)  # what follows locks as well
            (one,) = leftovers(tmp_path, "x".__eq__)
            removed[:] = [one.remove()]
        return lock(descriptor)

    monkeypatch.setattr(module, "_lock", late)
    with scratch_beside(tmp_path / "x") as scratch:
        assert [scratch] == [*tmp_path.iterdir()]
    assert ([True], []) == (removed, [*tmp_path.iterdir()])


def test_where_no_lock_can_be_had_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are written all the same."""
    monkeypatch.setattr(module, "_lock", lambda descriptor: None)
    left = killed_with(tmp_path / "x")
    with placed(tmp_path / "x") as partial:
        partial.write_text("whole")
    assert sorted([left, tmp_path / "x"]) == sorted(tmp_path.iterdir())
