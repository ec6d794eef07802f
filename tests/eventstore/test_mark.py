"""The mark outside the log: never ahead of what was acknowledged, and there after a kill."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventstore import doctor, opening
from eventstore.errors import TailMissing
from eventstore.mark import SLOT_BYTES, MarkFile, mark_path, read_mark
from eventstore.opening import open_reader, open_store
from eventstore.records import Durability
from eventstore.store import SqliteStore
from tests.eventstore.support import Counted, append

LOG_ID = "0f" * 16


def kill_after_appends(log: Path, count: int) -> None:
    """A process appends so often and is killed: until it closes or checkpoints, the WAL holds all there is."""
    writer = os.fork()
    if writer == 0:
        try:
            store = open_store(log)
            for number in range(count):
                append(store, "a", Counted(number))
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    assert signal.SIGKILL == os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1]) * -1


def test_the_newest_of_two_slots_counts(tmp_path: Path) -> None:
    """They are written in turn, so that a write that was torn leaves the one before."""
    log = tmp_path / "lrm.db"
    mark = MarkFile(log, LOG_ID)
    for position in (5, 6, 7):
        mark.write(position, bytes([position]) * 16, 0)
    mark.close()
    mark.close()
    newest = read_mark(log)
    assert newest is not None
    assert (7, b"\7" * 16, LOG_ID) == (newest.position, newest.chain, newest.log_id.hex())
    data = bytearray(mark_path(log).read_bytes())
    slots = [data[start : start + SLOT_BYTES] for start in (0, SLOT_BYTES)]
    torn = max(range(2), key=lambda slot: slots[slot][8])
    data[torn * SLOT_BYTES + 9] ^= 1
    mark_path(log).write_bytes(data)
    older = read_mark(log)
    assert older is not None
    assert 6 == older.position


@pytest.mark.parametrize("content", [b"", b"LRMM", bytes(2 * SLOT_BYTES), b"\xff" * 500])
def test_a_mark_that_is_none_marks_nothing(tmp_path: Path, content: bytes) -> None:
    """Nothing can be said from it, and the next owner writes a new one."""
    log = tmp_path / "lrm.db"
    mark_path(log).write_bytes(content)
    assert read_mark(log) is None
    with open_store(log) as store:
        append(store, "a", Counted(1))
        mark = read_mark(log)
        assert mark is not None
        assert store.head == mark.position


def test_relaxed_appends_are_marked_when_they_are_durable(tmp_path: Path) -> None:
    """The disk may still lose them: a mark would call that a loss."""
    log = tmp_path / "lrm.db"
    with open_store(log) as store:
        append(store, "a", Counted(1))
        append(store, "a", Counted(2), durability=Durability.RELAXED)
        mark = read_mark(log)
        assert mark is not None
        assert 1 == mark.position
        store.barrier()
        mark = read_mark(log)
        assert mark is not None
        assert 2 == mark.position


def test_it_outlives_a_killed_process(tmp_path: Path) -> None:
    """Every append that returned is marked, whatever becomes of the process."""
    log = tmp_path / "lrm.db"
    kill_after_appends(log, 50)
    mark = read_mark(log)
    assert mark is not None
    assert 50 == mark.position


def test_a_tail_that_is_gone_is_told_with_both_numbers(tmp_path: Path) -> None:
    """A log as it was some appends ago, under the mark of today: its owner is refused, readers may look."""
    log = tmp_path / "lrm.db"
    with open_store(log) as store:
        append(store, "a", *(Counted(number) for number in range(3)))
    shutil.copy(log, tmp_path / "before.db")
    with open_store(log) as store:
        append(store, "a", *(Counted(number) for number in range(4)))
    shutil.copy(tmp_path / "before.db", log)
    with pytest.raises(TailMissing, match="ends at position 3, but position 7") as caught:
        open_store(log)
    assert (3, 7) == (caught.value.head, caught.value.marked)
    with open_reader(log) as reader:
        assert 3 == reader.head
    with open_store(log, accept_lost_tail=True) as store:
        append(store, "a", Counted(9))
    with open_store(log) as store:
        assert 4 == store.head


@pytest.mark.parametrize("size", [None, 0])
def test_a_log_that_was_all_in_a_wal_that_is_gone_is_no_new_log(tmp_path: Path, size: int | None) -> None:
    """What is left is an empty file. Only the mark says that there was more, and it must not be written over."""
    log = tmp_path / "lrm.db"
    kill_after_appends(log, 5)
    (tmp_path / "lrm.db-wal").unlink()
    (tmp_path / "lrm.db-shm").unlink()
    if size is not None:
        os.truncate(log, size)
    for look in (open_store, open_reader, open_store):
        with pytest.raises(TailMissing, match="ends at position 0, but position 5") as caught:
            look(log)
        assert (0, 5) == (caught.value.head, caught.value.marked)
    assert "position 5 was acknowledged" in next(one.what for one in doctor(log).findings if one.code == "mark")
    with open_store(log, accept_lost_tail=True) as store:
        assert 0 == store.head
        append(store, "a", Counted(1))
    with open_store(log) as store:
        assert 1 == store.head


def test_a_log_that_is_made_in_the_place_of_another_forgets_its_mark_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were its creation interrupted, the old mark would stand for a loss that is none."""
    log = tmp_path / "lrm.db"
    with open_store(log) as store:
        append(store, "a", Counted(1))
    log.unlink()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(opening, "prepare_file", interrupted)
        open_store(log)
    with open_store(log) as store:
        assert 0 == store.head


def interrupted(connection: object) -> None:
    """Ctrl-C before anything is in the file."""
    raise KeyboardInterrupt


def test_what_the_owner_before_adds_while_the_next_one_opens_is_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the lock keeps nobody out, it may append between any two things that opening reads."""
    log = tmp_path / "lrm.db"
    before = open_store(log)
    append(before, "a", Counted(1))
    before._log_lock.release()
    for reads in ("read_mark", "log_end", "commits_without_events"):
        with monkeypatch.context() as patch:
            patch.setattr(opening, reads, then_appends(getattr(opening, reads), before))
            after = open_store(log)
        assert before.head == after.head
        after._log_lock.release()
        before.close()
        before = after
    before.close()


def then_appends(read: Callable[..., Any], store: SqliteStore) -> Callable[..., Any]:
    """A read right after which a store appends."""

    def read_then_append(*arguments: Any) -> Any:
        found = read(*arguments)
        append(store, "a", Counted(2))
        return found

    return read_then_append


def test_the_mark_of_another_log_says_nothing(tmp_path: Path) -> None:
    """A new log in the place of an old one begins a mark of its own."""
    log = tmp_path / "lrm.db"
    with open_store(log) as store:
        append(store, "a", *(Counted(number) for number in range(9)))
    log.unlink()
    with open_store(log) as store:
        append(store, "a", Counted(1))
        mark = read_mark(log)
        assert mark is not None
        assert 1 == mark.position


def test_no_mark_can_be_written_where_there_is_no_place(tmp_path: Path) -> None:
    """It is a help, and no reason to stop."""
    mark = MarkFile(tmp_path / "missing" / "lrm.db", LOG_ID)
    mark.write(1, bytes(16), 0)
    mark.restart(1, bytes(16), 0)
    mark.close()
