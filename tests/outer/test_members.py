"""Whom a signal reaches: one process, known by its pid and by when it began; and who is known to belong to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lrm_actors.domain.outliving.environment import OUTER_LOG, outer_mark, read_mark
from lrm_actors.outer import family
from lrm_actors.outer.family import Member, family_of, member, send
from tests.outer.watched import waited, watching

SLEEPS = (sys.executable, "-c", "import time; print(flush=True); time.sleep(600)")


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is nobody's business."""
    with subprocess.Popen(SLEEPS, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def reaches(stranger: subprocess.Popen[bytes], sends: Callable[[Member, int], bool]) -> bool:
    """Whether a signal for somebody else of the same pid ends a stranger."""
    sends(Member(stranger.pid, 1.0), signal.SIGTERM)
    try:
        stranger.wait(0.05)
    except subprocess.TimeoutExpired:
        return False
    return True


def test_a_signal_is_for_the_process_that_was_meant(stranger: subprocess.Popen[bytes]) -> None:
    """And for no other that has its pid by now."""
    assert not reaches(stranger, send)
    one = member(stranger.pid)
    assert one is not None
    assert send(one, signal.SIGTERM)
    assert -signal.SIGTERM == stranger.wait(60)
    assert not send(one, signal.SIGTERM)
    assert member(stranger.pid) is None


def test_planted_a_signal_by_pid_alone_is_caught(stranger: subprocess.Popen[bytes]) -> None:
    """As most supervisors send it."""

    def by_pid(one: Member, number: int) -> bool:
        os.kill(one.pid, number)
        return True

    assert waited(lambda: reaches(stranger, by_pid), "the end of the stranger")


def test_a_start_that_was_never_put_on_record_is_found_by_its_mark(tmp_path: Path) -> None:
    """The watchdog was killed between the start and the record of it."""
    log = tmp_path / "agent" / "outer" / "outer.db"
    marked = {**os.environ, OUTER_LOG: outer_mark(str(log.resolve()), 3)}
    other = {**os.environ, OUTER_LOG: outer_mark(str(log.resolve()) + ".other", 3)}
    with (
        subprocess.Popen(SLEEPS, stdout=subprocess.DEVNULL, env=marked, start_new_session=True) as left,
        subprocess.Popen(SLEEPS, stdout=subprocess.DEVNULL, env=other, start_new_session=True) as foreign,
    ):
        try:
            waited(lambda: left.pid in {one.pid for one in family_of(str(log.resolve()), None)}, "the mark")
            with watching(tmp_path, program="pass") as one:
                assert 0 == one.ended()[0]
                assert [(left.pid,)] == [event.pids for event in one.events("processes_found")]
            assert -signal.SIGTERM == left.wait(60)
            assert foreign.poll() is None
        finally:
            left.kill()
            foreign.kill()


def test_nobody_above_belongs_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watchdog that was itself started below the same log ends neither itself nor what started it."""
    monkeypatch.setattr(family, "_is_marked", lambda pid, log: True)
    found = {one.pid for one in family_of("any", None)}
    assert not {os.getpid(), os.getppid()} & found


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("/a b/outer.db#12", ("/a b/outer.db", 12)),
        ("/x#y/outer.db#3", ("/x#y/outer.db", 3)),
        ("/outer.db", ("", 0)),
        ("#1", ("", 0)),
    ],
)
def test_the_mark_comes_back_as_it_went_in(text: str, mark: tuple[str, int]) -> None:
    """Whatever the path is called."""
    assert mark == read_mark(text)
