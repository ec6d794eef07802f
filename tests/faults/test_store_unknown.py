"""A commit that fails half-way: nothing is accepted until settling has decided it for everyone."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.errors import AppendFailed, EventStoreError, Fenced, OutcomeUnknown, StorageFull
from eventstore.opening import open_reader, open_store
from eventstore.records import Batch, Cursor, Durability, NewEvent, StreamWrite
from eventstore.store import SqliteStore
from eventstore.testing.clock import FakeClock
from eventstore.transactions import Statement
from tests.eventstore.support import Counted, Fault, Measured, append, counts, faulty, io_error

FULL = sqlite3.SQLITE_FULL
ALONE = "INSERT INTO events"
"""How the statement begins that is the whole transaction of events and nothing else: it commits too."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a log may be."""
    return tmp_path / "agent" / "lrm.db"


@pytest.fixture
def faults() -> list[Fault]:
    """What shall fail next; empty until a test says otherwise."""
    return []


@pytest.fixture
def store(path: Path, faults: list[Fault]) -> Iterator[SqliteStore]:
    """A store with one event, on connections with these faults."""
    with open_store(path, connect=faulty(faults)) as made:
        append(made, "a", Counted(1))
        yield made


# --- certainly not stored -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("statement", ["BEGIN", ALONE, "INSERT INTO cursors", "PRAGMA synchronous"])
@pytest.mark.parametrize(
    ("code", "expected"),
    [(FULL, StorageFull), (sqlite3.SQLITE_IOERR, AppendFailed), (sqlite3.SQLITE_BUSY, AppendFailed)],
)
def test_a_failure_before_the_commit_is_definite(
    store: SqliteStore, faults: list[Fault], statement: str, code: int, expected: type[AppendFailed]
) -> None:
    """Nothing was stored, and the next append goes on by itself."""
    if statement.startswith("PRAGMA"):
        append(store, "a", Counted(2), durability=Durability.RELAXED)
    before = store.head
    faults.append(Fault(statement, io_error(code)))
    with pytest.raises(AppendFailed) as caught:
        append(store, "a", Counted(9), cursors=(Cursor("reader", 1),))
    assert expected is type(caught.value)
    assert caught.value.hint
    assert before == store.head
    append(store, "a", Counted(3))
    assert [3] == counts(store, "a")[-1:]
    assert 1 == store.statistics().failures


@pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CONSTRAINT_UNIQUE])
def test_a_transaction_of_one_statement_that_never_came_to_its_commit(
    store: SqliteStore, faults: list[Fault], code: int
) -> None:
    """The lock was not to be had, or a row cannot be: nothing was stored for certain, and nothing is to be settled."""
    error = sqlite3.IntegrityError("a row is there already") if code == sqlite3.SQLITE_CONSTRAINT_UNIQUE else io_error()
    error.sqlite_errorcode = code
    faults.append(Fault(ALONE, error))
    with pytest.raises(AppendFailed):
        append(store, "a", Counted(2))
    append(store, "a", Counted(3))
    assert [1, 3] == counts(store, "a")


def test_a_number_too_large_for_the_file_is_refused_before_anything_is_run(
    path: Path,
) -> None:
    """By whatever clock: it is no reason to doubt the log."""
    clock = FakeClock(1_000_000_000.0)
    with open_store(path, clock=clock) as store:
        append(store, "a", Counted(1))
        clock.advance(1e15)
        with pytest.raises(AppendFailed):
            append(store, "a", Counted(2))
        clock.advance(-1e15)
        append(store, "a", Counted(3))
        assert [1, 3] == counts(store, "a")


def test_an_exception_from_elsewhere_rolls_back(store: SqliteStore, faults: list[Fault]) -> None:
    """Also one that is no Exception, such as an interrupt."""
    faults.append(Fault("INSERT INTO cursors", KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        append(store, "a", Counted(9), cursors=(Cursor("reader", 1),))
    append(store, "a", Counted(2))
    assert [1, 2] == counts(store, "a")


def test_ids_of_a_rolled_back_append_are_forgotten(store: SqliteStore, faults: list[Fault], path: Path) -> None:
    """Its new stream and type were undone with it; using their numbers would name nothing."""
    faults.append(Fault("INSERT INTO cursors", io_error()))
    with pytest.raises(AppendFailed):
        append(store, "new", Measured({}), cursors=(Cursor("reader", 1),))
    append(store, "other", Measured({"x": 1.0}))
    assert store.verify().ok
    with open_reader(path) as reader:
        assert ["sample.counted", "sample.measured"] == [record.type for record in reader.read()]


def test_a_leftover_transaction_is_rolled_back(store: SqliteStore, faults: list[Fault]) -> None:
    """An interrupt between a failure and its rollback leaves one open."""
    faults.append(Fault("INSERT INTO cursors", io_error()))
    faults.append(Fault("ROLLBACK", KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        append(store, "a", Counted(9), cursors=(Cursor("reader", 1),))
    append(store, "a", Counted(2))
    assert [1, 2] == counts(store, "a")


def test_a_rollback_that_fails_is_settled_on_a_new_connection(store: SqliteStore, faults: list[Fault]) -> None:
    """The append itself is definite, but the connection is not to be trusted."""
    faults.append(Fault("INSERT INTO cursors", io_error()))
    faults.append(Fault("ROLLBACK", io_error()))
    with pytest.raises(AppendFailed):
        append(store, "a", Counted(9), cursors=(Cursor("reader", 1),))
    with pytest.raises(OutcomeUnknown):
        append(store, "a", Counted(9))
    assert 2 == store.settle()
    append(store, "a", Counted(2))
    assert [1, 2] == counts(store, "a")


# --- unknown ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alone", [False, True], ids=["among-others", "alone"])
@pytest.mark.parametrize("carried_out", [False, True], ids=["lost", "stored"])
@pytest.mark.parametrize("error", [io_error(), io_error(FULL), KeyboardInterrupt()], ids=["io", "full", "interrupt"])
def test_a_failed_commit_is_settled_for_every_reader_alike(
    store: SqliteStore, faults: list[Fault], error: BaseException, carried_out: bool, alone: bool
) -> None:
    """Whether it took effect or not: first nothing goes, then everyone sees the same."""
    epoch = store.acquire("a").epoch
    faults.append(Fault(ALONE if alone else "COMMIT", error, carried_out=carried_out))
    with pytest.raises((OutcomeUnknown, KeyboardInterrupt)):
        append(store, "a", Counted(2), epoch=epoch, cursors=() if alone else (Cursor("reader", 1),))
    for refused in (
        lambda: append(store, "a", Counted(3), epoch=epoch),
        lambda: store.acquire("b"),
        store.barrier,
    ):
        with pytest.raises(OutcomeUnknown):
            refused()
    assert 2 == store.settle() == store.owner_epoch
    truth = [1, 2] if carried_out else [1]
    with open_reader(store.path) as reader:
        assert truth == counts(store, "a") == counts(reader, "a")
        assert (1 if carried_out and not alone else None) == store.cursor("reader") == reader.cursor("reader")
    append(store, "a", Counted(7), epoch=epoch, expected_version=len(truth))
    store.close()
    with open_reader(store.path) as reader:
        assert [*truth, 7] == counts(reader, "a")
        assert reader.verify().ok


def test_settling_can_itself_fail_and_be_tried_again(store: SqliteStore, faults: list[Fault], path: Path) -> None:
    """Before its commit, at its commit with and without effect, on opening the new connection: the doubt stays."""
    faults.append(Fault(ALONE, io_error()))
    with pytest.raises(OutcomeUnknown):
        append(store, "a", Counted(2))
    for fault in (
        Fault("BEGIN", io_error(FULL)),
        Fault("COMMIT", io_error()),
        Fault("COMMIT", io_error(), carried_out=True),
        Fault("PRAGMA journal_mode", io_error()),
        Fault("COMMIT", KeyboardInterrupt()),
        Fault("UPDATE owner", KeyboardInterrupt()),
    ):
        faults.append(fault)
        with pytest.raises((OutcomeUnknown, AppendFailed, KeyboardInterrupt)):
            store.settle()
        assert 0 == fault.left
        with pytest.raises(OutcomeUnknown):
            append(store, "a", Counted(2))
    assert 3 == store.settle()  # one of the failed ones had taken effect
    append(store, "a", Counted(3))
    with open_reader(path) as reader:
        assert [1, 3] == counts(reader, "a") == counts(store, "a")


def test_relaxed_commits_are_rescued_before_anything_is_built_on_them(
    store: SqliteStore, faults: list[Fault], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failed fsync may have been theirs: settling writes the WAL again first, or does not settle."""
    append(store, "a", Counted(2), durability=Durability.RELAXED)
    faults.append(Fault(ALONE, io_error()))
    with pytest.raises(OutcomeUnknown):
        append(store, "a", Counted(3, "x" * 50_000))
    written: list[Path] = []

    def refuse(wal: Path) -> None:
        written.append(wal)
        raise OSError(errno.EIO, "the disk failed")

    with monkeypatch.context() as patched:
        patched.setattr("eventstore.transactions.write_again", refuse)
        with pytest.raises(AppendFailed):
            store.settle()
    with pytest.raises(OutcomeUnknown):
        append(store, "a", Counted(3))
    assert [path.with_name("lrm.db-wal")] == written
    store.settle()
    append(store, "a", Counted(4))
    with open_reader(path) as reader:
        assert [1, 2, 4] == counts(reader, "a")


def test_a_commit_whose_rollback_fails_too(store: SqliteStore, faults: list[Fault], path: Path) -> None:
    """The connection is replaced before it is settled."""
    faults.append(Fault("COMMIT", io_error()))
    faults.append(Fault("ROLLBACK", io_error()))
    with pytest.raises(OutcomeUnknown):
        append(store, "a", Counted(2), cursors=(Cursor("reader", 1),))
    old = store._writer.transactions._connection
    store.settle()
    assert old is not store._writer.transactions._connection
    with open_reader(path) as reader:
        assert [1] == counts(store, "a") == counts(reader, "a")


def test_settling_is_refused_to_an_owner_who_was_replaced(store: SqliteStore, faults: list[Fault], path: Path) -> None:
    """Another ownership, even one with the epoch that settling would have chosen, wins."""
    faults.append(Fault(ALONE, io_error()))
    with pytest.raises(OutcomeUnknown):
        append(store, "a", Counted(2))
    usurper = sqlite3.connect(path, isolation_level=None)
    usurper.execute("UPDATE owner SET epoch = epoch + 1, token = 'another'")
    usurper.close()
    with pytest.raises(Fenced) as caught:
        store.settle()
    assert (1, 2) == (caught.value.epoch, caught.value.current)


@pytest.mark.parametrize(
    "batch",
    [
        Batch((StreamWrite("a", (NewEvent(Counted(2)),)),)),
        Batch((StreamWrite("a", (NewEvent(Counted(2)),) * 77),)),
        Batch((StreamWrite("new", (NewEvent(Counted(2)),)),)),
        Batch((StreamWrite("a", (NewEvent(Counted(2)),)),), cursors=(Cursor("reader", 1),)),
        Batch((StreamWrite("a", ()),)),
        Batch((StreamWrite("a", (NewEvent(Counted(2)),), expected_version=7),)),
        Batch(cursors=(Cursor("reader", 1),)),
    ],
    ids=["one", "many", "new-stream", "among-others", "fence", "wrong-version", "cursor"],
)
@pytest.mark.parametrize("epochs", [0, 1], ids=["same-epoch", "next-epoch"])
def test_an_owner_who_was_replaced_is_fenced(store: SqliteStore, path: Path, batch: Batch, epochs: int) -> None:
    """The check is in the append's own transaction, whatever that is made of."""
    usurper = sqlite3.connect(path, isolation_level=None)
    usurper.execute("UPDATE owner SET epoch = epoch + ?, token = 'another'", (epochs,))
    usurper.close()
    with pytest.raises(Fenced) as caught:
        store.append(batch)
    assert (1, 1 + epochs) == (caught.value.epoch, caught.value.current)
    with pytest.raises(Fenced):
        append(store, "a", Counted(2))
    with pytest.raises(Fenced):
        store.acquire("a")
    assert [1] == counts(store, "a")


def test_a_store_closed_in_doubt_is_settled_by_the_next_opening(
    store: SqliteStore, faults: list[Fault], path: Path
) -> None:
    """Opening commits an epoch too."""
    faults.append(Fault(ALONE, io_error()))
    with pytest.raises(OutcomeUnknown):
        append(store, "a", Counted(2))
    store.close()
    with open_store(path) as after:
        assert [1] == counts(after, "a")
        assert after.verify().ok


def test_listeners_hear_nothing_of_an_unknown_outcome(store: SqliteStore, faults: list[Fault]) -> None:
    """Nobody acts on what may not be."""
    heard: list[int] = []
    store.subscribe(lambda head, types: heard.append(head))
    faults.append(Fault(ALONE, io_error(), carried_out=True))
    with pytest.raises(OutcomeUnknown):
        append(store, "a", Counted(2))
    assert [] == heard


# --- any sequence -------------------------------------------------------------------------------------------------

steps = st.lists(
    st.tuples(
        st.sampled_from(["append", "acquire", "settle", "settle"]),
        st.sampled_from(["", "", "", "BEGIN", "COMMIT", ALONE, ALONE, "ROLLBACK", "SELECT epoch", "PRAGMA"]),
        st.booleans(),
    ),
    max_size=14,
)


@given(steps=steps)
def test_what_was_acknowledged_is_there_and_what_was_refused_is_not(
    steps: list[tuple[str, str, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Under any sequence of faults: acknowledged events are in the log, definite failures are not, the rest may be."""
    path = tmp_path_factory.mktemp("any") / "lrm.db"
    faults: list[Fault] = []
    sure: list[int] = []
    unsure: set[int] = set()
    with open_store(path, connect=faulty(faults)) as store:
        for number, (step, statement, carried_out) in enumerate(steps):
            faults[:] = [Fault(statement, io_error(), carried_out=carried_out)] if statement else []
            try:
                if step == "append":
                    append(store, "a", Counted(number))
                    sure.append(number)
                elif step == "acquire":
                    store.acquire("b")
                else:
                    store.settle()
            except OutcomeUnknown:
                if step == "append":
                    unsure.add(number)
            except EventStoreError:
                pass
        faults.clear()
        store.settle()
        append(store, "a", Counted(-1))
        found = counts(store, "a")
        assert store.verify().ok
    assert [*sure, -1] == [n for n in found if n not in unsure]
    with open_reader(path) as reader:
        assert found == counts(reader, "a")


@pytest.mark.parametrize("alone", [False, True], ids=["among-others", "alone"])
def test_the_check_sees_a_store_that_takes_a_failed_commit_for_a_refusal(
    store: SqliteStore, faults: list[Fault], monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    """The planted bug: calling every failure definite says 'nothing was stored' of an event that was."""
    transactions = store._writer.transactions

    def commit(connection: sqlite3.Connection, statement: Statement) -> None:
        try:
            connection.execute(*statement)
        except sqlite3.Error as error:
            raise AppendFailed(str(error)) from error

    monkeypatch.setattr(transactions, "_commit", commit)
    faults.append(Fault(ALONE if alone else "COMMIT", io_error(), carried_out=True))
    with pytest.raises(AppendFailed):
        append(store, "a", Counted(2), cursors=() if alone else (Cursor("reader", 1),))
    assert [1, 2] == counts(store, "a")  # which is why it may not be called definite
    store.append(Batch())
