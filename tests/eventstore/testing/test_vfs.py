"""The fault-injecting file system below SQLite: what it plants happens, and nothing else does."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import eventstore.testing
from eventstore.errors import FaultsUnsupported, HookFailed
from eventstore.testing import FaultVFS, Operation, PowerCut


@pytest.fixture
def vfs() -> Iterator[FaultVFS]:
    """A file system whose reads are operations too."""
    with FaultVFS(reads=True) as made:
        yield made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "some.db"


@pytest.fixture
def log(vfs: FaultVFS, path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a database with a table, in WAL mode."""
    with contextlib.closing(vfs.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE t (n INTEGER)")
        connection.execute("INSERT INTO t VALUES (0)")
        yield connection


def numbers(path: Path) -> list[int]:
    """What is in the table, past the file system."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [n for (n,) in connection.execute("SELECT n FROM t ORDER BY n")]


def code_of(work: Callable[[], object]) -> int:
    """The result code of the error that a call raises."""
    with pytest.raises(sqlite3.Error) as caught:
        work()
    return caught.value.sqlite_errorcode


def test_every_public_name_is_there() -> None:
    """Though none is loaded before it is used."""
    assert all(getattr(eventstore.testing, name) for name in eventstore.testing.__all__)


@pytest.mark.parametrize("form", [str, os.fsencode, lambda path: path, lambda path: f"file:{path}?mode=rw"])
def test_connect_takes_what_sqlite3_takes(
    vfs: FaultVFS, log: sqlite3.Connection, path: Path, form: Callable[[Path], str | bytes | Path]
) -> None:
    """Paths of every type, and URIs with parameters of their own."""
    before = vfs.operations
    uri = str(form(path)).startswith("file:")
    with contextlib.closing(vfs.connect(form(path), uri=uri)) as connection:
        assert [(0,)] == connection.execute("SELECT n FROM t").fetchall()
    assert before < vfs.operations


def test_connect_quotes_odd_names(vfs: FaultVFS, tmp_path: Path) -> None:
    """A question mark in a file's name is a part of it."""
    odd = tmp_path / "what? 100%.db"
    vfs.connect(odd).execute("CREATE TABLE t (n)").connection.close()
    assert odd.exists()


def test_databases_in_memory_and_other_connections_are_left_alone(vfs: FaultVFS, tmp_path: Path) -> None:
    """They have no operations of ours."""
    vfs.fail(sticky=True)
    with (
        contextlib.closing(vfs.connect(":memory:")) as memory,
        contextlib.closing(sqlite3.connect(tmp_path / "b")) as b,
    ):
        memory.execute("CREATE TABLE t (n)")
        b.execute("CREATE TABLE t (n)")
    assert 0 == vfs.operations


@pytest.mark.parametrize(
    ("kind", "statement", "code"),
    [
        ("write", "INSERT INTO t VALUES (1)", sqlite3.SQLITE_IOERR_WRITE),
        ("sync", "INSERT INTO t VALUES (1)", sqlite3.SQLITE_IOERR_FSYNC),
        ("truncate", "PRAGMA wal_checkpoint(TRUNCATE)", sqlite3.SQLITE_IOERR_TRUNCATE),
    ],
)
def test_an_operation_fails_once(
    vfs: FaultVFS, log: sqlite3.Connection, path: Path, *, kind: str, statement: str, code: int
) -> None:
    """With the code of its kind; the next one succeeds."""
    fault = vfs.fail(kind)  # type: ignore[arg-type]  # a plain str
    assert code == code_of(lambda: log.execute(statement).fetchall())
    assert 1 == fault.fired
    log.execute("INSERT INTO t VALUES (2)")
    assert [0, 2] == numbers(path)


def test_opening_reading_and_deleting_fail(vfs: FaultVFS, log: sqlite3.Connection, path: Path) -> None:
    """The other kinds of operations."""
    vfs.fail("open")
    assert sqlite3.SQLITE_CANTOPEN == code_of(lambda: vfs.connect(path).execute("SELECT * FROM t"))
    with contextlib.closing(vfs.connect(path)) as other:
        vfs.fail("read")
        assert sqlite3.SQLITE_IOERR_READ == code_of(lambda: other.execute("SELECT * FROM t"))
    deleting = vfs.fail("delete", file="journal")
    with contextlib.closing(vfs.connect(path.with_name("other.db"), isolation_level=None)) as other:
        assert sqlite3.SQLITE_IOERR_DELETE == code_of(lambda: other.execute("CREATE TABLE t (n)"))
    assert 1 == deleting.fired


def test_the_nth_of_one_file_fails_and_all_after_it_until_cleared(
    vfs: FaultVFS, log: sqlite3.Connection, path: Path
) -> None:
    """Counted from when it was planted, among what matches."""
    fault = vfs.fail("sync", 2, file="wal", sticky=True, error="full")
    log.execute("INSERT INTO t VALUES (1)")
    for n in (2, 3):
        assert sqlite3.SQLITE_FULL == code_of(lambda n=n: log.execute("INSERT INTO t VALUES (?)", (n,)))  # type: ignore[misc]
    assert 2 == fault.fired
    vfs.clear()
    log.execute("INSERT INTO t VALUES (4)")
    assert [0, 1, 4] == numbers(path)


def test_a_short_write_leaves_its_first_half(vfs: FaultVFS, log: sqlite3.Connection, path: Path) -> None:
    """On the disk, where the capture has it too."""
    capture = vfs.capture()
    vfs.fail("write", 2, file="wal", carried_out="half", error=sqlite3.SQLITE_IOERR_WRITE)
    assert sqlite3.SQLITE_IOERR_WRITE == code_of(lambda: log.execute("INSERT INTO t VALUES (1)"))
    written = [len(entry.data) for entry in capture.entries if entry.kind == "write"]
    assert [24, 2048] == written


def test_a_failure_that_is_carried_out_all_the_same(vfs: FaultVFS, log: sqlite3.Connection) -> None:
    """The sync was done, and yet it is reported as failed."""
    capture = vfs.capture()
    vfs.fail("sync", carried_out="whole")
    assert sqlite3.SQLITE_IOERR_FSYNC == code_of(lambda: log.execute("INSERT INTO t VALUES (1)"))
    assert ["sync"] == [entry.kind for entry in capture.entries if entry.kind.startswith("sync")]


def test_a_dropped_sync_is_told_as_done(vfs: FaultVFS, log: sqlite3.Connection, path: Path) -> None:
    """And is not in the capture."""
    capture = vfs.capture()
    fault = vfs.drop("sync")
    log.execute("INSERT INTO t VALUES (1)")
    assert 1 == fault.fired
    assert "sync" not in {entry.kind for entry in capture.entries}
    assert [0, 1] == numbers(path)


@pytest.mark.parametrize(("carried_out", "size"), [("none", 24), ("half", 2072), ("whole", 4120)])
def test_a_process_kills_itself_at_an_operation(
    vfs: FaultVFS, log: sqlite3.Connection, path: Path, carried_out: str, size: int
) -> None:
    """Before it, in the middle of it, or after it."""
    wal = path.with_name("some.db-wal")
    before = wal.stat().st_size
    child = os.fork()
    if child == 0:
        try:
            vfs.kill("write", 2, file="wal", carried_out=carried_out)  # type: ignore[arg-type]  # a plain str
            vfs.connect(path, isolation_level=None).execute("INSERT INTO t VALUES (1)")
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert -signal.SIGKILL == os.waitstatus_to_exitcode(status)
    assert before + size == wal.stat().st_size
    assert [0] == numbers(path)


def test_operations_are_told_in_order(vfs: FaultVFS, log: sqlite3.Connection) -> None:
    """To whoever watches."""
    seen: list[Operation] = []
    vfs.reset()
    vfs.watch(seen.append)
    log.execute("INSERT INTO t VALUES (1)")
    assert [one.number for one in seen] == list(range(1, vfs.operations + 1))
    assert ["write", "write", "sync"] == [one.kind for one in seen if one.kind != "read"]
    assert {"wal"} == {one.file for one in seen}


def test_an_exception_in_a_callback_is_never_lost(log: sqlite3.Connection, vfs: FaultVFS) -> None:
    """SQLite is told of an I/O error, and the test of the exception: no sync is silently left out."""
    vfs.watch(lambda operation: fall(operation) if operation.kind == "sync" else None)
    assert sqlite3.SQLITE_IOERR == code_of(lambda: log.execute("INSERT INTO t VALUES (1)"))
    vfs.watch(None)
    log.execute("INSERT INTO t VALUES (2)")
    with pytest.raises(HookFailed, match="sync") as caught:
        vfs.reset()
    assert isinstance(caught.value.__cause__, ValueError)
    vfs.check()


def fall(operation: Operation) -> None:
    """A callback with a bug."""
    raise ValueError("a bug of the test")


def test_closing_tells_what_a_callback_raised(path: Path) -> None:
    """Who never asks is told in the end."""
    with pytest.raises(HookFailed), FaultVFS() as vfs:
        vfs.watch(fall)
        assert sqlite3.SQLITE_IOERR == code_of(lambda: vfs.connect(path).execute("CREATE TABLE t (n)")) & 0xFF


def test_a_capture_has_every_byte(vfs: FaultVFS, log: sqlite3.Connection, path: Path) -> None:
    """Of files that were open before, too: carried out to the end it is what lies there."""
    capture = vfs.capture()
    for n in range(1, 30):
        log.execute("INSERT INTO t VALUES (?)", (n,))
    log.execute("PRAGMA wal_checkpoint(PASSIVE)")
    log.execute("INSERT INTO t VALUES (99)")
    capture.mark("end", 1)
    last = len(capture.entries) - 1
    (state,) = PowerCut(capture, model="keep_all", start=last).states()
    assert {"some.db", "some.db-wal"} == set(state.files)
    log.execute("BEGIN IMMEDIATE")  # nobody moves while the files are read; nothing else has them open
    for name, content in state.files.items():
        assert path.with_name(name).read_bytes() == content.data()


def test_a_connection_may_outlive_everything(tmp_path: Path) -> None:
    """Even at the end of the interpreter, when modules are gone."""
    program = (
        "from eventstore.testing import FaultVFS\n"
        "vfs = FaultVFS()\n"
        f"connection = vfs.connect({str(tmp_path / 'a.db')!r})\n"
        "connection.execute('CREATE TABLE t (n)')\n"
        "vfs.close()\n"
        "connection.execute('INSERT INTO t VALUES (1)')\n"
        "del vfs\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


def test_a_static_sqlite_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to try."""

    def refuse(name: str | None) -> ctypes.CDLL:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    with pytest.raises(FaultsUnsupported) as caught:
        FaultVFS()
    assert "shared" in caught.value.hint


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "fsync"},
        {"kind": "sync", "file": "lrm.db"},
        {"kind": "sync", "nth": 0},
        {"kind": "sync", "error": "disk"},
        {"kind": "write", "carried_out": "all"},
    ],
)
def test_a_fault_that_could_never_happen_is_refused(vfs: FaultVFS, wrong: dict[str, Any]) -> None:
    """A test that waits for one would prove nothing."""
    with pytest.raises(ValueError, match=f"{list(wrong)[-1]} = "):
        vfs.fail(**wrong)
    with FaultVFS() as made, pytest.raises(ValueError, match="reads=True"):
        made.fail("read")
