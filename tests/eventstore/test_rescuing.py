"""A log that is written anew from what is open of it takes nothing from anybody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventstore import rescuing
from eventstore.errors import LogExists
from eventstore.leftovers import SIDE_FILES
from eventstore.opening import open_reader, open_store
from eventstore.rescuing import rescue, settle
from eventstore.store import SqliteStore
from eventstore.whereabouts import Whereabouts
from tests.eventstore.support import Counted, append, in_child


def numbers(path: Path) -> list[int]:
    """What is in a log."""
    with open_reader(path) as reader:
        return [record.event.n for record in reader.read()]


def remove(path: Path) -> None:
    """As somebody does who takes it for rubbish."""
    for side in ("", *SIDE_FILES):
        path.with_name(f"{path.name}{side}").unlink(missing_ok=True)


def lost(path: Path, *numbers: int) -> Path:
    """A log is removed after each of some events, and copied. Gives the copy."""
    with open_store(path) as store:
        for number in numbers:
            append(store, "a", Counted(number))
            remove(path)
            copy = rescue(store, path).path
    return copy


@pytest.mark.parametrize("by", ["another process", "an earlier run"])
def test_what_another_rescued_is_not_overwritten(path: Path, by: str) -> None:
    """It may be all that is left of its log. The copies of one that is open take each other's place."""
    if by == "another process":
        in_child(lambda: str(lost(path, 1)))
    else:
        lost(path, 1)
    copy = lost(path, 2, 3)
    assert "lrm.db.rescued.2" == copy.name
    assert [1] == numbers(path.with_name("lrm.db.rescued"))
    assert [2, 3] == numbers(copy)


@pytest.mark.parametrize("other", ["an older copy", "another log", "no log"])
def test_a_file_that_got_the_number_of_the_closed_log_is_not_taken_for_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    """Its number is free once it is closed, and the copy was removed for a stranger that had it."""
    with open_store(path) as store:
        append(store, "a", Counted(1))
        older = rescue(store, path).path.replace(path.with_name("older"))
        append(store, "a", Counted(2))
        files = Whereabouts(path)
        remove(path)
        copy = rescue(store, path).path
    if other == "an older copy":
        older.replace(path)
    elif other == "another log":
        with open_store(path) as store:
            append(store, "a", *(Counted(n) for n in range(5)))
    else:
        path.write_bytes(b"no log")
    monkeypatch.setattr(Whereabouts, "is_back", lambda self: True)
    with pytest.raises(LogExists):
        settle(copy, path, files)
    assert [1, 2] == numbers(copy)


def test_the_log_itself_is_gone_on_with_where_it_is_back(sqlite_store: SqliteStore, path: Path) -> None:
    """Its copy is of no use any more."""
    append(sqlite_store, "a", Counted(1))
    files = Whereabouts(path)
    copy = rescue(sqlite_store, path).path
    append(sqlite_store, "a", Counted(2))
    sqlite_store.close()
    settle(copy, path, files)
    assert [1, 2] == numbers(path)
    assert not copy.exists()


def test_planted_one_that_knows_no_owner_overwrites_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was: what the first one lost is nowhere any more."""
    monkeypatch.setattr(rescuing, "_copy_of", lambda store, log: log.with_name("lrm.db.rescued"))
    lost(path, 1)
    assert [2] == numbers(lost(path, 2))
