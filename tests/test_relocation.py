"""Moving a log: complete in the new place, or not at all."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from eventstore.errors import LogNotWritable
from eventstore.events import event
from eventstore.opening import open_reader, open_store
from eventstore.records import Batch, NewEvent, StreamWrite
from lrm_actors.hosting.relocation import check_place, copy_log, leave_note, moved_to


@event("relocation_test.happened", 1)
class Happened:
    """Something."""

    number: int


def write(path: Path, count: int) -> None:
    """Make a log."""
    store = open_store(path)
    store.append(Batch(writes=(StreamWrite("s", tuple(NewEvent(Happened(n)) for n in range(count))),)))
    store.close()


def test_a_copy_is_complete_and_private(tmp_path: Path) -> None:
    """Every event is there, verified, in a file and directories that only the owner may read."""
    source, target = tmp_path / "old" / "lrm.db", tmp_path / "a" / "b" / "lrm.db"
    write(source, 5)

    copy_log(source, target)

    assert [path.name for path in target.parent.iterdir()] == ["lrm.db"]
    reader = open_reader(target)
    assert [record.event.number for record in reader.read()] == list(range(5))
    assert reader.verify().ok
    reader.close()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [stat.S_IMODE(path.stat().st_mode) for path in target.parents[:2]] == [0o700, 0o700]


def test_what_is_still_in_the_wal_is_copied_too(tmp_path: Path) -> None:
    """As long as somebody reads the old log, a part of it may not be in its file yet."""
    source, target = tmp_path / "old" / "lrm.db", tmp_path / "new" / "lrm.db"
    write(source, 1)
    store = open_store(source)
    reader = open_reader(source)
    following = reader.read()
    next(following)
    store.append(Batch(writes=(StreamWrite("s", (NewEvent(Happened(1)),)),)))
    store.close()

    copy_log(source, target)

    following.close()  # type: ignore[attr-defined]  # a generator, by way of the iterator that the protocol promises
    reader.close()
    copied = open_reader(target)
    assert [record.event.number for record in copied.read()] == [0, 1]
    copied.close()


def test_a_log_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    """The refusal says what to do, and changes nothing."""
    source, target = tmp_path / "old" / "lrm.db", tmp_path / "new" / "lrm.db"
    write(source, 2)
    write(target, 1)
    before = target.read_bytes()

    with pytest.raises(LogNotWritable, match="already") as refused:
        copy_log(source, target)

    assert refused.value.hint
    assert target.read_bytes() == before


def test_a_part_of_another_log_is_not_taken_for_one_of_the_copy(tmp_path: Path) -> None:
    """A WAL that was left there is whole in itself: SQLite would read the other log from it, in place of the copy."""
    source, other, target = tmp_path / "old" / "lrm.db", tmp_path / "other" / "lrm.db", tmp_path / "new" / "lrm.db"
    write(source, 2)
    store = open_store(other)
    store.append(Batch(writes=(StreamWrite("other", (NewEvent(Happened(0)),)),)))
    left = other.with_name("lrm.db-wal").read_bytes()
    store.close()
    target.parent.mkdir()
    target.with_name("lrm.db-wal").write_bytes(left)

    with pytest.raises(LogNotWritable, match="-wal is there already"):
        copy_log(source, target)

    assert [path.name for path in target.parent.iterdir()] == ["lrm.db-wal"]


def test_a_place_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file stands where a directory should."""
    tmp_path.joinpath("taken").write_text("a file")

    with pytest.raises(LogNotWritable):
        check_place(tmp_path / "taken" / "agent" / "lrm.db")


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """What is no log cannot be copied, and no half of it is taken for one later."""
    source, target = tmp_path / "old" / "lrm.db", tmp_path / "new" / "lrm.db"
    source.parent.mkdir()
    source.write_bytes(b"no log" * 1000)

    with pytest.raises(LogNotWritable):
        copy_log(source, target)

    assert list(target.parent.iterdir()) == []


def test_what_a_move_that_was_killed_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """Also what SQLite had beside it; a copy that looks for its place removes it as well."""
    source, target = tmp_path / "old" / "lrm.db", tmp_path / "new" / "lrm.db"
    write(source, 2)
    target.parent.mkdir()
    for place in (check_place, lambda target: copy_log(source, target)):
        for name in ("lrm.db.partial", "lrm.db.partial-journal", "lrm.db.ab12cd34.partial-wal", "lrm.db.partial-shm"):
            target.with_name(name).write_bytes(b"half")
        place(target)
        assert [path.name for path in target.parent.iterdir()] == ["lrm.db"][: target.exists()]
    with open_reader(target) as reader:
        assert reader.head == 2


def test_a_note_says_where_the_log_went(tmp_path: Path) -> None:
    """Whoever opens the old one again can be told; without a note there is nothing to tell."""
    source = tmp_path / "lrm.db"
    assert moved_to(source) is None

    leave_note(source, Path("/somewhere/else/lrm.db"))

    assert moved_to(source) == "/somewhere/else/lrm.db"
    leave_note(tmp_path / "missing" / "lrm.db", source)
