"""Owning and reading a log file: what is made, who may, and what is told when it cannot be."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventstore import opening
from eventstore.errors import (
    BadRequest,
    LogLocked,
    LogNotFound,
    LogNotReadable,
    LogNotWritable,
    LogTooNew,
    NotALog,
    OpenError,
)
from eventstore.opening import open_reader, open_store, system_instant
from eventstore.schema import APPLICATION_ID, SCHEMA_VERSION
from eventstore.store import SqliteStore
from tests.eventstore.support import Counted, Fault, append, counts, faulty, in_child, io_error

OPENERS = [open_store, open_reader]
# Threads that other tests left behind
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def mode(path: Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def fill(path: Path, *numbers: int) -> None:
    """Make a log that was closed well."""
    with open_store(path) as store:
        append(store, "a", *(Counted(n) for n in numbers))


# --- making and taking --------------------------------------------------------------------------------------------


def test_only_the_owner_may_look(tmp_path: Path) -> None:
    """Directories 0700, files 0600, those beside the log too, whatever the umask."""
    before = os.umask(0)
    try:
        path = tmp_path / "dir" / "agent" / "lrm.db"
        with open_store(path) as store:
            append(store, "a", Counted(1))
            beside = {"lrm.db-wal", "lrm.db-shm", "lrm.db-mark", "lrm.db-reserve", "lrm.lock"}
            assert {"lrm.db", *beside} == {file.name for file in path.parent.iterdir()}
            assert {0o600} == {mode(file) for file in path.parent.iterdir()}
            assert [0o700, 0o700] == [mode(path.parent), mode(path.parent.parent)]
    finally:
        os.umask(before)


def test_each_ownership_has_a_higher_epoch(path: Path) -> None:
    """Which is what fences whoever had it before."""
    epochs = []
    for _ in range(3):
        with open_store(path) as store:
            epochs.append(store.owner_epoch)
            assert epochs[-1] == store.statistics().owner_epoch
    assert [1, 2, 3] == epochs


def test_everything_is_there_after_reopening(path: Path) -> None:
    """Events, epochs and versions; a stream epoch stays valid across owners."""
    with open_store(path) as store:
        grant = store.acquire("a")
        append(store, "a", Counted(1), epoch=grant.epoch)
    with open_store(path) as store:
        append(store, "a", Counted(2), epoch=grant.epoch, expected_version=1)
        assert [1, 2] == counts(store, "a")


def test_creation_that_was_interrupted_is_taken_up(path: Path) -> None:
    """An empty file, or a database without a table, becomes a log."""
    path.parent.mkdir()
    path.touch()
    fill(path, 1)
    other = path.with_name("other.db")
    connection = sqlite3.connect(other)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    fill(other, 2)
    for log, n in ((path, 1), (other, 2)):
        with open_reader(log) as reader:
            assert [n] == counts(reader, "a")


def test_a_path_may_be_a_link(tmp_path: Path) -> None:
    """The lock is that of the file it leads to."""
    real = tmp_path / "real" / "lrm.db"
    fill(real, 1)
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "lrm.db"
    link.symlink_to(real)
    with open_store(link) as store:
        assert [1] == counts(store, "a")
        with pytest.raises(LogLocked):
            open_store(real)


def test_paths_with_odd_characters(tmp_path: Path) -> None:
    """What means something in a URI means nothing in a path."""
    for name in ("a?mode=memory", "100%41", "a#b", "sp ace", "ünï", os.fsdecode(b"\xff")):
        path = tmp_path / name / "lrm.db"
        fill(path, 1)
        assert path.exists()
        with open_reader(str(path)) as reader:
            assert [1] == counts(reader, "a")


def test_relative_paths_outlive_a_change_of_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are resolved once, when the log is opened."""
    monkeypatch.chdir(tmp_path)
    with open_store("here/lrm.db") as store:
        monkeypatch.chdir("/")
        append(store, "a", Counted(1))
        assert [1] == counts(store, "a")
    assert (tmp_path / "here" / "lrm.db").exists()


@pytest.mark.parametrize("new", [False, True])
def test_no_log_of_this_release_needs_sqlite_utils(path: Path, *, new: bool) -> None:
    """It is heavy; only the migration of an older log imports it. One that is made is up to date."""
    if not new:
        fill(path, 1)
    code = (
        "import sys; from eventstore import open_store, open_reader;"
        f"open_store({str(path)!r}).close(); open_reader({str(path)!r}).head;"
        "sys.exit('sqlite_utils' in sys.modules)"
    )
    assert 0 == subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2]).returncode


# --- what cannot be opened ----------------------------------------------------------------------------------------


def foreign(path: Path) -> None:
    """A database of somebody else."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_bytes(b"x"),
        lambda path: path.write_bytes(os.urandom(100)),
        lambda path: path.write_bytes(os.urandom(70_000)),
        lambda path: path.write_text("SQLite is mentioned\n" * 100),
        lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(8000)),
        lambda path: path.mkdir(),
        foreign,
    ],
    ids=["one-byte", "short", "random", "text", "header", "directory", "foreign"],
)
def test_what_is_no_log_stays_as_it_is(path: Path, opener: Callable[[Path], Any], make: Callable[[Path], None]) -> None:
    """It is told, and nothing in it or beside it is changed."""
    path.parent.mkdir()
    make(path)
    content = path.read_bytes() if path.is_file() else b""
    with pytest.raises(NotALog) as caught:
        opener(path)
    assert (str(path), "ES-4002") == (caught.value.path, caught.value.code)
    assert caught.value.hint
    assert content == (path.read_bytes() if path.is_file() else b"")
    assert [path] == list(path.parent.iterdir())


def test_an_empty_file_cannot_be_read(path: Path) -> None:
    """A reader does not make logs."""
    path.parent.mkdir()
    path.touch()
    with pytest.raises(NotALog):
        open_reader(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    with pytest.raises(NotALog):
        open_reader(path)


def test_a_log_that_is_not_there(path: Path) -> None:
    """A reader says so, and creates nothing."""
    for missing in (path, path / "below"):
        with pytest.raises(LogNotFound) as caught:
            open_reader(missing)
        assert isinstance(caught.value, FileNotFoundError)
    assert not path.parent.exists()


def test_a_path_that_is_none(path: Path) -> None:
    """Links in a circle, NUL, names too long for any file system."""
    path.parent.mkdir()
    path.symlink_to(path)
    for odd in (str(path), "nul\0", str(path.parent / ("x" * 5000) / "lrm.db")):
        for opener in OPENERS:
            with pytest.raises(OpenError):
                opener(odd)


@pytest.mark.parametrize("opener", OPENERS)
def test_a_log_of_a_later_release(path: Path, opener: Callable[[Path], Any]) -> None:
    """It is told which version it has and which is known."""
    fill(path, 1)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(LogTooNew) as caught:
        opener(path)
    assert (SCHEMA_VERSION + 1, SCHEMA_VERSION) == (caught.value.found, caught.value.known)


def test_one_owner_at_a_time_in_one_process(sqlite_store: SqliteStore, path: Path) -> None:
    """A second opening is refused and leaves the first one whole."""
    with pytest.raises(LogLocked, match=str(os.getpid())):
        open_store(path)
    append(sqlite_store, "a", Counted(1))
    assert [1] == counts(sqlite_store, "a")


def test_another_process_owns_it_until_it_is_killed(path: Path) -> None:
    """The lock is the kernel's: a kill -9 frees it."""
    code = (
        "import sys; from eventstore import open_store;"
        f"store = open_store({str(path)!r}); print('open', flush=True); sys.stdin.read()"
    )
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2], **pipes) as owner:
        assert owner.stdout is not None
        assert b"open\n" == owner.stdout.readline()
        with pytest.raises(LogLocked, match=str(owner.pid)):
            open_store(path)
        with open_reader(path) as reader:
            assert 0 == reader.head
        owner.send_signal(signal.SIGKILL)
    with open_store(path) as store:
        assert 2 == store.owner_epoch


def test_a_stranger_who_keeps_a_write_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's SQLite tool in a transaction: told, not waited for without end."""
    monkeypatch.setattr(opening, "OPEN_TIMEOUT_S", 0.01)
    fill(path, 1)
    stranger = sqlite3.connect(path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(LogLocked):
        open_store(path)
    stranger.execute("ROLLBACK")
    stranger.close()
    fill(path, 2)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY])
@pytest.mark.parametrize("statement", ["COMMIT", "BEGIN", "PRAGMA synchronous"])
def test_storage_that_fails_while_opening(path: Path, code: int, statement: str) -> None:
    """A typed error, and the log is free for the next try."""
    fill(path, 1)
    with pytest.raises(OpenError):
        open_store(path, connect=faulty([Fault(statement, io_error(code))]))
    fill(path, 2)


# --- where nothing can be written ---------------------------------------------------------------------------------


@pytest.fixture
def locked_away() -> Iterator[Path]:
    """A log that was closed well, in a directory where this process may write nothing, root or not."""
    directory = Path(tempfile.mkdtemp())  # not below tmp_path, where only its owner may look
    path = directory / "lrm.db"
    fill(path, 1, 2)
    path.chmod(0o644)
    path.with_name("lrm.lock").chmod(0o644)
    directory.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield path
    os.seteuid(user)
    shutil.rmtree(directory)


def test_a_log_in_a_read_only_directory_can_be_read(locked_away: Path) -> None:
    """Nothing needs to be created beside it."""
    with open_reader(locked_away) as reader:
        assert [1, 2] == counts(reader, "a")
        assert reader.verify().ok


def test_a_log_in_a_read_only_directory_cannot_be_owned(locked_away: Path) -> None:
    """Nor can a new one be made there."""
    for path in (locked_away, locked_away.with_name("new.db"), locked_away.parent / "new" / "lrm.db"):
        with pytest.raises(LogNotWritable) as caught:
            open_store(path)
        assert isinstance(caught.value, PermissionError)


def test_a_killed_log_in_a_read_only_directory(path: Path) -> None:
    """A part of it is in its WAL, which SQLite cannot read there: told, rather than read without that part."""
    in_child(lambda: append(open_store(path), "a", Counted(1)))
    denied = Fault("PRAGMA application_id", io_error(sqlite3.SQLITE_CANTOPEN), left=9)
    with pytest.raises(LogNotReadable) as caught:
        open_reader(path, connect=faulty([denied]))
    assert "lrm.db-wal" in str(caught.value)
    with open_reader(path) as reader:
        assert [1] == counts(reader, "a")


def test_a_read_only_file_system(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EROFS instead of EACCES, for the directory and for the lock."""
    fill(path, 1)

    def refuse(*args: Any, **options: Any) -> Any:
        raise OSError(errno.EROFS, "Read-only file system", "somewhere")

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        with pytest.raises(LogNotWritable, match="Read-only"):
            open_store(path)
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(LogNotWritable, match="Read-only"):
        open_store(path.parent / "new" / "lrm.db")


def test_a_directory_that_is_a_file(tmp_path: Path) -> None:
    """Told when owning; for a reader there is just no log."""
    (tmp_path / "file").touch()
    with pytest.raises(LogNotWritable):
        open_store(tmp_path / "file" / "lrm.db")
    with pytest.raises(LogNotFound):
        open_reader(tmp_path / "file" / "lrm.db")


def test_a_directory_that_may_not_be_looked_into(locked_away: Path) -> None:
    """Told as such."""
    user = os.geteuid()
    os.seteuid(os.getuid())
    locked_away.parent.chmod(0o000)
    os.seteuid(user)
    for opener in OPENERS:
        with pytest.raises(OpenError):
            opener(locked_away)


def test_the_moment_is_told_by_both_clocks() -> None:
    """And which boot the monotonic one counts from."""
    first, second = system_instant(), system_instant()
    assert first.monotonic_s <= second.monotonic_s
    assert first.boot_id == second.boot_id != ""


def test_a_platform_without_a_boot_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """There the monotonic clock is compared only within one process."""
    monkeypatch.setattr(opening, "_BOOT_ID", "/nowhere")
    name = opening.boot_id.__wrapped__()
    assert name.startswith("process-")
    assert name != opening.boot_id.__wrapped__()


def test_the_application_id_is_in_the_header(path: Path) -> None:
    """So that `file` and others can tell a log from any other database."""
    fill(path, 1)
    assert APPLICATION_ID == int.from_bytes(path.read_bytes()[68:72])


def test_who_only_asks_whether_a_log_is_owned_stands_in_nobodys_way(tmp_path: Path) -> None:
    """A lock held for a moment, as by a tool that looks for an owner, delays an opening and does not refuse it."""
    path = tmp_path / "lrm.db"
    open_store(path).close()
    with (tmp_path / "lrm.lock").open("r+b") as asked:
        fcntl.flock(asked, fcntl.LOCK_SH)
        letting_go = threading.Timer(0.02, lambda: fcntl.flock(asked, fcntl.LOCK_UN))
        letting_go.start()
        open_store(path).close()
        letting_go.join()


def test_a_new_log_is_named_as_was_asked_for_and_one_that_is_there_keeps_its_name(path: Path) -> None:
    """The same appends then make the same log, byte for byte once exported; anything but an id is refused."""
    wanted = "0123456789ab4def8123456789abcdef"
    for log_id in (wanted, "f" * 32):
        with open_store(path, log_id=log_id):
            pass
    connection = sqlite3.connect(path)
    assert [(wanted,)] == connection.execute("SELECT value FROM meta WHERE key = 'log_id'").fetchall()
    connection.close()
    for bad in ("", "F" * 32, "f" * 31, "x" * 32):
        with pytest.raises(BadRequest, match="log_id"):
            open_store(path.with_name("other.db"), log_id=bad)
        assert not path.with_name("other.db").exists()
