"""Who is refused a log is told the reason: by whom it is owned, and for which of the logs of its directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eventstore import locking, open_store
from eventstore.errors import BadRequest, LogLocked
from eventstore.locking import LOCK_NAME, LogLock

ROOT = Path(__file__).parents[2]
OPEN = "import sys; from eventstore import open_store; from eventstore.errors import LogLocked\n"
TOLD = "try: open_store(sys.argv[1]).close()\nexcept LogLocked as error: print(error, '|', error.hint)"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that is held here is not let go of meanwhile."""
    monkeypatch.setattr(locking, "PATIENCE_S", 0.0)


def refused_elsewhere(log: Path) -> str:
    """What another process is told."""
    command = [sys.executable, "-c", OPEN + TOLD, str(log)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_log_that_is_open_in_this_very_process(path: Path) -> None:
    """There is no other process to stop."""
    with open_store(path), pytest.raises(LogLocked, match=rf"process {os.getpid()} \(this one\)") as refused:
        open_store(path)
    assert "close it first" in refused.value.hint
    open_store(path).close()


def test_another_log_in_its_directory(path: Path) -> None:
    """The lock is one for the directory: to everybody it is said which log it is held for."""
    other = path.with_name("other.db")
    with open_store(path):
        with pytest.raises(LogLocked, match=rf"\(this one\) owns {path.name} in the same directory") as refused:
            open_store(other)
        assert "a directory of its own" in refused.value.hint
        told = refused_elsewhere(other)
        assert f"process {os.getpid()} owns {path.name} in the same directory" in told
        assert "a directory of its own" in told
    open_store(other).close()


def test_the_number_of_this_process_in_another_container(path: Path) -> None:
    """Two containers that share a disk may both have a process 1."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(LOCK_NAME).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write(f"{os.getpid()}\n{path.name}\n")
        held.flush()
        with pytest.raises(LogLocked, match=f"process {os.getpid()} of another container") as refused:
            open_store(path)
    assert "stop the other process" in refused.value.hint


def test_a_lock_file_that_says_nothing_or_anything(path: Path) -> None:
    """On a full disk it is empty; what else may stand there is no process."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    for content in (b"", b"\xff\xfe what is this", b"\n" * 400):
        with path.with_name(LOCK_NAME).open("wb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            held.write(content)
            held.flush()
            with pytest.raises(LogLocked, match="is owned by process unknown"):
                LogLock(path)


@pytest.mark.parametrize("name", [":memory:", "file::memory:?cache=shared"])
def test_the_name_of_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What SQLite takes for a database in memory makes no file of that name here."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadRequest, match="a log is a file") as refused:
        open_store(name)
    assert "MemoryStore()" in refused.value.hint
    assert not list(tmp_path.iterdir())
