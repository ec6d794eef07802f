"""Files of a log in use are removed or replaced: what was acknowledged is there all the same, or it is told."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from eventstore import rescuing, whereabouts
from eventstore.copying import backups
from eventstore.damage.salvaging import salvage
from eventstore.errors import CopyFailed, EventStoreError, LogExists
from eventstore.opening import open_reader, open_store
from eventstore.records import Batch, NewEvent, StreamWrite
from lrm_actors.blocking import BlockingMode
from lrm_actors.domain.trimming import LogPutBack
from lrm_actors.mode import LongRunningMode
from lrm_actors.runtime.system import ActorSystem
from tests.harm import HARM
from tests.mode_kit import settings
from tests.runtime.support import eventually


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch, sampled: dict[str, float]) -> None:
    """It is looked at once it is harmed, and the machine is calm."""
    monkeypatch.setattr(whereabouts, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(whereabouts, "LOOK_SELDOM_S", 0.05)


@contextmanager
def agent(directory: Path) -> Iterator[tuple[BlockingMode, dict[str, int], Path]]:
    """One with a state, and where its log is."""
    state: dict[str, int] = {}
    mode = LongRunningMode(settings(directory / "agent"))
    mode.capture_with(lambda: state)
    mode.restore_with(state.update)
    mode.replay_with(lambda done: state.update(done.result))
    with mode as blocking:
        blocking.recover_from_checkpoint()
        yield blocking, state, mode.settings.log_path


def work(mode: BlockingMode, state: dict[str, int], name: str) -> None:
    """A step."""
    with mode.step(name) as step:
        step.result = {name: step.number}
        state.update(step.result)


@pytest.mark.parametrize("harm", HARM)
def test_a_log_that_is_removed_while_in_use_is_written_anew(tmp_path: Path, harm: str) -> None:
    """All of it was gone when the process ended, and until then everybody said that it was well."""

    def put_back(log: Path) -> list[Any]:
        try:
            with open_reader(log) as reader:
                return [record.event for record in reader.read(types=("log.put_back",))]
        except EventStoreError:  # it is not there, or not whole
            return []

    with agent(tmp_path) as (mode, state, log):
        work(mode, state, "a")
        mode.take_checkpoint()
        work(mode, state, "b")
        HARM[harm](log)
        eventually(lambda: put_back(log))
        work(mode, state, "c")
        (fact,) = put_back(log)
        assert isinstance(fact, LogPutBack)
        assert "removed" in fact.because
        assert "healthy" == mode.get_health_report()["health_status"]
        assert [] == list(log.parent.glob("*.rescued*"))
        expected = dict(state)
    assert {"a": 1, "b": 2, "c": 3} == expected
    with open_reader(log) as reader:
        assert reader.verify().ok
    with agent(tmp_path) as (_, state, _):
        assert expected == state


def test_a_log_that_is_replaced_is_left_alone_and_the_health_says_so(tmp_path: Path) -> None:
    """As by a backup that is put in place of a log in use. It is well again when the file is back."""
    with agent(tmp_path) as (mode, state, log):
        work(mode, state, "a")
        kept, other = log.with_name("kept"), log.with_name("other")
        other.write_bytes(b"another file")
        os.link(log, kept)
        other.replace(log)

        def health() -> tuple[str, str]:
            report = mode.get_health_report()
            return report["health_status"], report["health_cause"]

        eventually(lambda: health()[0] == "failing")
        assert "another file was put in its place; what happens now is lost when this process ends" in health()[1]
        assert b"another file" == log.read_bytes()
        copy = log.with_name("lrm.db.rescued")
        eventually(copy.exists)
        with open_reader(copy) as reader:
            assert 1 == sum(1 for _ in reader.read(types=("journal.step_committed",)))
        work(mode, state, "b")
        kept.replace(log)
        eventually(lambda: health() == ("healthy", ""))
        assert not copy.exists()
        expected = dict(state)
    with agent(tmp_path) as (_, state, _):
        assert expected == state


def test_a_log_whose_disk_is_gone_is_not_written_to_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies below a directory is hidden when the disk is mounted there again, and the old log is back."""
    with agent(tmp_path) as (mode, state, log):
        monkeypatch.setattr(whereabouts, "_device", lambda _: -1)
        log.parent.rename(elsewhere := log.parent.with_name("elsewhere"))
        eventually(lambda: "the disk that it is on is not there" in mode.get_health_report()["health_cause"])
        assert not log.exists()
        elsewhere.rename(log.parent)
        eventually(lambda: "healthy" == mode.get_health_report()["health_status"])
        work(mode, state, "a")
    with agent(tmp_path) as (_, again, _):
        assert state == again


def test_what_cannot_be_put_back_is_told_until_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, say. Nothing that is open is closed before there is a copy."""
    rescue, tries = rescuing.rescue, []

    def full(store: Any, path: Path) -> rescuing.Rescued:
        tries.append(path)
        if len(tries) < 3:
            raise CopyFailed(str(path), "database or disk is full")
        return rescue(store, path)

    monkeypatch.setattr(rescuing, "rescue", full)
    with agent(tmp_path) as (mode, state, log):
        work(mode, state, "a")
        log.unlink()
        eventually(lambda: len(tries) > 1)
        work(mode, state, "b")
        eventually(lambda: len(tries) > 3 and log.exists() and not mode._engine.misplaced)
        expected = dict(state)
    with agent(tmp_path) as (_, state, _):
        assert expected == state


def test_a_copy_is_kept_where_what_came_after_it_cannot_be_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first copy was removed for the second, with all that there was, and the log with it."""
    backup, copies = backups.backup, []

    def full(source: Any, target: Path, **how: Any) -> Any:
        copies.append(target)
        if len(copies) == 2:
            raise CopyFailed(str(target), "database or disk is full")
        return backup(source, target, **how)

    monkeypatch.setattr(backups, "backup", full)
    with agent(tmp_path) as (mode, state, log):
        work(mode, state, "a")
        log.unlink()
        log.with_name("lrm.db-mark").unlink()
        eventually(lambda: len(copies) > 1 and log.exists() and not mode._engine.misplaced)
        expected = dict(state)
    with agent(tmp_path) as (_, state, _):
        assert expected == state


def damage(log: Path, position: int) -> None:
    """As a disk does it that gives back what was never written."""
    with closing(sqlite3.connect(log, isolation_level=None)) as connection:
        connection.execute("UPDATE events SET data = x'7b7d' WHERE position = ?", (position,))


def test_a_damaged_log_that_is_removed_is_written_anew_with_the_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of it was, for one event that could not be read: all of it was gone when the process ended.

    The state of each actor is kept first, as none of them could recover over that event.
    """
    with agent(tmp_path) as (mode, state, log):
        work(mode, state, "a")
        mode.take_checkpoint()
        with open_reader(log) as reader:
            (position,) = [one.position for one in reader.read(types=("journal.step_committed",))]
        damage(log, position)
        log.unlink()
        eventually(lambda: log.exists() and not mode._engine.misplaced)
        work(mode, state, "b")
        expected = dict(state)
    assert f"checksum at position {position}" in caplog.text
    with open_reader(log) as reader:
        assert [] == list(log.parent.glob("*.rescued*"))
        assert [("checksum", position)] == [(one.what, one.position) for one in reader.verify().problems]
    with agent(tmp_path) as (_, state, _):
        assert expected == state


def test_a_damaged_log_that_no_actor_recovers_from_is_kept_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The run goes on, and the copy is made anew at each look: nothing is closed that nobody could open again."""
    monkeypatch.setattr(ActorSystem, "take_snapshots", lambda self: {})
    with agent(tmp_path) as (mode, state, log):
        work(mode, state, "a")
        with open_reader(log) as reader:
            (position,) = [one.position for one in reader.read(types=("journal.step_committed",))]
        damage(log, position)
        log.unlink()
        copy = log.with_name("lrm.db.rescued")
        eventually(lambda: "lrm salvage" in caplog.text)
        work(mode, state, "b")

        def committed() -> int:
            with open_reader(copy, unknown="placeholder") as reader:
                return sum(one.type == "journal.step_committed" for one in reader.read(after=position))

        eventually(lambda: committed() == 1)
        assert "failing" == mode.get_health_report()["health_status"]
    assert not log.exists()
    salvaged = salvage(copy, tmp_path / "salvaged" / "lrm.db")
    assert ((position, position),) == salvaged.lost


def test_a_log_that_is_moved_back_in_the_meantime_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the newer one of the two, and no other: nothing would run any more if it were taken for one."""
    rescue, aside = rescuing.rescue, tmp_path / "aside"

    def rescue_and_move_back(store: Any, path: Path) -> rescuing.Rescued:
        copy = rescue(store, path)
        if aside.exists():
            aside.rename(path)
        return copy

    monkeypatch.setattr(rescuing, "rescue", rescue_and_move_back)
    with agent(tmp_path) as (mode, state, log):
        work(mode, state, "a")
        log.rename(aside)
        eventually(lambda: not aside.exists() and not mode._engine.misplaced)
        work(mode, state, "b")
        assert [] == list(log.parent.glob("*.rescued*"))
        expected = dict(state)
    with agent(tmp_path) as (_, state, _):
        assert expected == state


def test_where_another_log_lies_by_then_this_one_is_kept_beside_it(tmp_path: Path) -> None:
    """Neither is overwritten, and nobody says that it is well."""
    with agent(tmp_path) as (mode, state, log):
        work(mode, state, "a")
        running = mode._engine.running
        assert running is not None
        copy = rescuing.rescue(running.store, log).path
        with pytest.raises(LogExists):
            rescuing.put_back(copy, log)
        with open_reader(copy) as reader:
            assert 1 == sum(1 for _ in reader.read(types=("journal.step_committed",)))
        mode._engine.misplaced = "the log is somewhere"
        mode.stop_monitoring()
        report = mode.get_health_report()
        assert ("failing", True) == (report["health_status"], "the log is somewhere" in report["health_cause"])


def test_a_name_that_cannot_be_looked_at_is_not_taken_for_one_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network file system that does not answer for a moment, a directory without permission."""
    store = open_store(tmp_path / "lrm.db")
    looking = whereabouts.Whereabouts(tmp_path / "lrm.db")
    assert "" == looking.look()

    def refuse(path: Path) -> os.stat_result:
        raise PermissionError(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", refuse)
        assert "" == looking.look()
    store.append(Batch((StreamWrite("s", (NewEvent(LogPutBack("a test", 1)),)),)))
    assert "" == looking.look()
    store.close()
