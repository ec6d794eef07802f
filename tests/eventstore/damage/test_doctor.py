"""What the doctor says of a log, of the SQLite that reads it, and of where it lies."""

from __future__ import annotations

import os
import sqlite3
import sys
import types
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from eventstore import Diagnosis, Finding, doctor
from eventstore.damage import surroundings
from eventstore.damage.diagnosis import has_wal_reset_bug
from eventstore.damage.surroundings import file_system_of
from eventstore.errors import LogNotFound
from eventstore.mark import mark_path
from eventstore.opening import open_store
from eventstore.store import SqliteStore
from tests.eventstore.support import Counted, append


class Usage(NamedTuple):
    """As ``shutil.disk_usage`` gives it."""

    total: int
    used: int
    free: int


@pytest.fixture
def log(path: Path) -> Path:
    """A closed log that is as it should be."""
    with open_store(path) as store:
        append(store, "a", Counted(1), Counted(2))
    return path


def about(path: Path, code: str) -> Finding:
    """The one finding of this code."""
    (found,) = (finding for finding in doctor(path).findings if finding.code == code)
    return found


def levels(path: Path) -> set[tuple[str, str]]:
    """What is not well."""
    return {(finding.code, finding.level) for finding in doctor(path).findings if finding.level != "ok"}


def test_a_sound_log_is_well(log: Path) -> None:
    """Nothing is found wrong, and nothing is changed: no file is made, and none is touched."""
    before = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in log.parent.iterdir()}
    diagnosis = doctor(log)
    assert before == {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in log.parent.iterdir()}
    assert [] == [finding for finding in diagnosis.findings if finding.level != "ok" and finding.code != "file-system"]
    codes = [finding.code for finding in diagnosis.findings]
    assert len(codes) == len(set(codes))


def test_a_live_log_is_told_with_its_owner(sqlite_store: SqliteStore, path: Path) -> None:
    """Its owner goes on undisturbed."""
    append(sqlite_store, "a", Counted(1))
    assert f"process {os.getpid()} owns the log" == about(path, "owner").what
    assert "it ends at position 1; owner epoch 1" == about(path, "log").what
    append(sqlite_store, "a", Counted(2))
    assert "up to position 2" in about(path, "mark").what


def test_no_log_is_told(tmp_path: Path) -> None:
    """There is nothing to look at."""
    with pytest.raises(LogNotFound):
        doctor(tmp_path / "none.db")


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
    ],
)
def test_versions_of_sqlite_with_the_bug_are_known(version: tuple[int, int, int], affected: bool) -> None:
    """From the first to the last, but for the two that were mended later."""
    assert affected is has_wal_reset_bug(version)


def test_a_second_sqlite_is_told(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing the log through it would drop the locks that are held here."""
    monkeypatch.setitem(sys.modules, "pysqlite3", types.ModuleType("pysqlite3"))
    assert ("warning", True) == (about(log, "other-sqlite").level, "pysqlite3" in about(log, "other-sqlite").what)


def test_a_missing_tail_and_a_missing_mark_are_told(log: Path) -> None:
    """With both numbers, and what can be done."""
    data = mark_path(log).read_bytes()
    with closing(sqlite3.connect(log, isolation_level=None)) as connection:
        connection.execute("DELETE FROM events WHERE position = 2")
    found = about(log, "mark")
    assert ("problem", True) == (found.level, "2 was acknowledged, and the log ends at 1" in found.what)
    mark_path(log).unlink()
    assert "warning" == about(log, "mark").level
    mark_path(log).write_bytes(b"x" * len(data))
    assert "it cannot be read" in about(log, "mark").what
    other = log.parent.parent / "other" / "lrm.db"
    with open_store(other, reserve_bytes=0) as store:
        append(store, "a", Counted(1))
    mark_path(log).write_bytes(mark_path(other).read_bytes())
    assert "belongs to another log" in about(log, "mark").what


def test_permissions_are_told(log: Path) -> None:
    """What others may read is a warning, what they may change a problem."""
    log.chmod(0o644)
    assert ("permissions", "warning") in levels(log)
    log.parent.chmod(0o777)
    assert ("permissions", "problem") in levels(log)
    assert "problem" == doctor(log).level


def test_a_full_disk_is_told(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before appends are refused."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(2**40, 2**40, 2**20))
    assert ("disk-space", "problem") in levels(log)


@pytest.mark.parametrize(("kind", "level"), [("nfs4", "problem"), ("tmpfs", "warning"), ("ext4", "ok")])
def test_file_systems_that_do_not_fit_are_told(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, level: str
) -> None:
    """A WAL needs memory that all who use the file share: no network has it."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 0:1 / / rw - ext4 /dev/a rw\n2 1 0:2 / {log.parent} rw,x shared:1 - {kind} host:/b rw\n")
    monkeypatch.setattr(surroundings, "MOUNTS", mounts)
    assert kind == file_system_of(log)
    assert level == about(log, "file-system").level


def test_where_mounts_are_not_told_nothing_is_claimed(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS."""
    monkeypatch.setattr(surroundings, "MOUNTS", Path("/nowhere"))
    assert ("ok", None) == (about(log, "file-system").level, file_system_of(log))


def test_what_is_wrong_in_the_file_is_told(log: Path) -> None:
    """Its journal mode, free pages worth giving back, a later release's schema, and damage."""
    with closing(sqlite3.connect(log, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE large (data)")
        connection.execute("INSERT INTO large VALUES (zeroblob(3000000))")
        connection.execute("DROP TABLE large")
        connection.execute("PRAGMA journal_mode = DELETE")
    assert {("free-pages", "warning"), ("journal-mode", "problem")} <= levels(log)
    with closing(sqlite3.connect(log, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert "it has schema 99, of a later release" == about(log, "log").what
    log.write_bytes(bytes(4096) + log.read_bytes()[4096:])
    assert "problem" == about(log, "log").level


def test_the_worst_finding_is_the_level() -> None:
    """A problem among warnings."""
    findings = tuple(Finding("x", level, "") for level in ("ok", "warning", "problem", "ok"))
    assert ["ok", "warning", "problem"] == [Diagnosis("p", findings[:n]).level for n in (1, 2, 4)]
    assert "ok" == Diagnosis("p", ()).level
