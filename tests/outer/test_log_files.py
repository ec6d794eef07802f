"""The files of the watchdog's own log are removed or replaced: it is all there again, or it is told."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from eventstore import rescuing, whereabouts
from eventstore.errors import CopyFailed, LogLocked
from eventstore.rescuing import Rescued
from lrm_actors.domain import outer
from lrm_actors.domain.trimming import LogPutBack
from lrm_actors.inspect.folds import open_log
from lrm_actors.outer import recording
from lrm_actors.outer.acting import Actor
from lrm_actors.outer.recording import Recorder
from tests.harm import HARM
from tests.outer.test_recording import BEGIN, acting, stored, tell


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at each time, and what could not be written is tried again at once."""
    monkeypatch.setattr(whereabouts, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(whereabouts, "LOOK_SELDOM_S", 0.0)
    monkeypatch.setattr(recording, "RETRY_S", 0.0)


def begun(path: Path, said: list[str]) -> tuple[Recorder, Actor]:
    """A recorder with three events, and its actor."""
    recorder = Recorder(path, outer.spec(), said.append)
    actor = acting(recorder)
    tell(actor, BEGIN)
    return recorder, actor


def facts(path: Path) -> list[Any]:
    """What is on record of a log that was put back."""
    with open_log(path) as reader:
        return [record.event for record in reader.read(types=("log.put_back",))]


@pytest.mark.parametrize("harm", HARM)
def test_a_log_that_is_removed_while_it_is_in_use_is_written_anew(tmp_path: Path, harm: str) -> None:
    """It went on into a file that was gone when the watchdog ended, and kept nobody else out."""
    path, said = tmp_path / "outer" / "outer.db", list[str]()
    recorder, actor = begun(path, said)
    HARM[harm](path)
    recorder.look()
    with pytest.raises(LogLocked):
        Recorder(path, outer.spec(), lambda text: None)
    tell(actor, outer.NoteStarted(1, 7, 3.5))
    recorder.look()
    recorder.close()
    (fact,) = facts(path)
    assert isinstance(fact, LogPutBack)
    assert ("removed" in fact.because, 3) == (True, fact.through)
    assert ["watch_began", "configured", "start_begun", "log.put_back", "process_started"] == stored(path)
    assert [] == list(path.parent.glob("*.rescued*"))
    assert f"{path} is put back" == said[-1]
    with closing(Recorder(path, outer.spec(), lambda text: None)) as again:
        assert actor.state == again.state


def test_a_log_that_is_replaced_is_left_alone_and_kept_beside_it(tmp_path: Path) -> None:
    """A file that took its place is never read as if it were the log; all of it is kept when the watchdog ends."""
    path, said = tmp_path / "outer.db", list[str]()
    recorder, actor = begun(path, said)
    other = tmp_path / "other"
    other.write_bytes(b"another file")
    other.replace(path)
    recorder.look()
    recorder.look()
    copy = path.with_name("outer.db.rescued")
    assert 1 == sum("another file was put in its place" in text for text in said)
    assert ["watch_began", "configured", "start_begun"] == stored(copy)
    tell(actor, outer.NoteStarted(1, 7, 3.5))
    recorder.close()
    assert b"another file" == path.read_bytes()
    assert ["watch_began", "configured", "start_begun", "process_started"] == stored(copy)


def test_a_log_that_is_moved_to_and_fro_is_gone_on_with(tmp_path: Path) -> None:
    """And no copy of it is left."""
    path, said = tmp_path / "outer.db", list[str]()
    recorder, actor = begun(path, said)
    os.link(path, kept := tmp_path / "kept")
    (other := tmp_path / "other").write_bytes(b"another file")
    other.replace(path)
    recorder.look()
    kept.replace(path)
    recorder.look()
    tell(actor, outer.NoteStarted(1, 7, 3.5))
    recorder.close()
    assert f"{path} is back" == said[-1]
    assert ["watch_began", "configured", "start_begun", "process_started"] == stored(path)
    assert [] == list(tmp_path.glob("*.rescued*"))


def test_what_cannot_be_put_back_yet_is_put_back_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk first, then a file that lies there for a while: everything decided meanwhile is in it afterwards."""
    path, said = tmp_path / "outer.db", list[str]()
    recorder, actor = begun(path, said)
    path.unlink()

    def full(*_: Any) -> Rescued:
        raise CopyFailed(str(path), "database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(rescuing, "rescue", full)
        recorder.look()
    assert "no copy of it can be made" in said[-1]
    tell(actor, outer.NoteStarted(1, 7, 3.5))

    def taken(*given: Any) -> Rescued:
        copy = rescue(*given)
        path.write_bytes(b"another file")
        return copy

    rescue = rescuing.rescue
    with monkeypatch.context() as patched:
        patched.setattr(rescuing, "rescue", taken)
        recorder.look()
    assert "is there already" in recorder.problem
    tell(actor, outer.NoteExit(1, 0))
    assert recorder.retry(actor.state) is None
    assert b"another file" == path.read_bytes()
    path.unlink()
    assert recorder.retry(actor.state) is not None
    recorder.close()
    expected = ["watch_began", "configured", "start_begun", "process_started", "log.put_back", "process_exited"]
    assert expected == stored(path)[: len(expected)]
    with closing(Recorder(path, outer.spec(), lambda text: None)) as again:
        assert actor.state == again.state


def test_a_damaged_log_is_written_anew_as_it_is(tmp_path: Path) -> None:
    """An event that cannot be read was a reason to lose all the others."""
    path, said = tmp_path / "outer.db", list[str]()
    recorder, actor = begun(path, said)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE events SET data = x'7b7d' WHERE position = 2")
    path.unlink()
    recorder.look()
    tell(actor, outer.NoteStarted(1, 7, 3.5))
    recorder.close()
    assert any("checksum at position 2" in text for text in said)
    with open_log(path) as reader:
        assert (5, [2]) == (reader.head, [one.position for one in reader.verify().problems])


def test_planted_a_recorder_that_sees_nothing_loses_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was: all of it is gone with the watchdog."""
    path = tmp_path / "outer" / "outer.db"
    recorder, _ = begun(path, [])
    monkeypatch.setattr(whereabouts.Whereabouts, "look", lambda self: "")
    shutil.rmtree(path.parent)
    recorder.look()
    recorder.close()
    assert not path.parent.exists()
