"""Which processes are ours is told by what they were started as, never by their pid alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lrm_actors.adapters.browser_use import launching, marker, processes
from lrm_actors.adapters.browser_use.places import Places
from tests.runtime.support import eventually

WAIT = "import sys; print(flush=True); sys.stdin.read()"
PROFILE = Path("/agent/browser/profile")
OURS = ("--user-data-dir=/agent/browser/profile", "--lrm-launch=a-launch")


@contextmanager
def started(*words: str, launch: str | None = None) -> Iterator[int]:
    """A process with this command line, and perhaps with the word of a launch in its environment."""
    told = {} if launch is None else {processes.LAUNCH_VARIABLE: launch}
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", WAIT, *words]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env={**os.environ, **told}, process_group=0) as one:
        assert one.stdout is not None
        one.stdout.readline()
        yield one.pid
        one.kill()


def test_a_process_is_known_again_by_when_it_began_and_what_it_runs() -> None:
    """Not one of the same pid that began at another time, on another profile, or without the word of our launch."""
    with started(*OURS) as pid:
        began = processes.started_at(pid)
        assert began == processes.started_at(pid)
        assert processes.lives(pid, began, PROFILE)
        assert not processes.lives(pid, "another boot/1", PROFILE)
        assert not processes.lives(pid, "", PROFILE)
        assert not processes.lives(pid, began, Path("/agent/browser/prof"))
    assert not processes.lives(pid, began, PROFILE)
    with started(OURS[0]) as pid:
        assert not processes.lives(pid, processes.started_at(pid), PROFILE)
    assert "" == processes.started_at(pid)


@pytest.mark.parametrize(
    ("words", "launch"),
    [
        (OURS, None),
        (("--type=renderer --user-data-dir=/agent/browser/profile --lang=en",), None),
        (("--type=renderer --user-data-dir=/agent/browser/profile",), None),
        (("crashpad",), "a-launch"),
    ],
    ids=["main", "child", "child at its end", "by its environment"],
)
def test_what_belongs_to_a_browser_of_ours_is_ended(words: tuple[str, ...], launch: str | None) -> None:
    """Its main process, children whose command line Chromium wrote as one text, and helpers of the same launch."""
    with started(*words, launch=launch) as pid:
        assert (pid,) == processes.end(None, "a-launch", PROFILE)
        assert () == processes.end(None, "a-launch", PROFILE)


@pytest.mark.parametrize(
    ("words", "launch"),
    [
        ((OURS[0],), None),
        (("--user-data-dir=/agent/browser/profile2", OURS[1]), None),
        (("--type=renderer --user-data-dir=/agent/browser/profile2",), None),
        (("--type=renderer",), "another"),
        ((), ""),
    ],
    ids=["a program with our profile", "another profile", "a child of that", "another launch", "an empty word"],
)
def test_what_is_not_ours_is_never_ended(words: tuple[str, ...], launch: str | None) -> None:
    """Whatever it has in common with a browser of ours."""
    with started(*words, launch=launch) as pid:
        assert () == processes.end(None, "a-launch", PROFILE)
        assert () == processes.end(None, "", PROFILE)
        assert processes.started_at(pid)


def test_a_stopped_process_is_known() -> None:
    """Until it goes on; one that is gone is not stopped."""
    with started(*OURS) as pid:
        assert not processes.is_stopped(pid)
        os.kill(pid, signal.SIGSTOP)
        eventually(lambda: processes.is_stopped(pid), "the stop")
        os.kill(pid, signal.SIGCONT)
        eventually(lambda: not processes.is_stopped(pid), "its going on")
    assert not processes.is_stopped(pid)


def test_a_child_in_another_group_is_somebody_elses() -> None:
    """Where the group of ours is known: a browser of the user's on our profile has children that look alike."""
    with started("--type=renderer --user-data-dir=/agent/browser/profile") as pid:
        assert () == processes.end(None, "a-launch", PROFILE, os.getpgid(0))
        assert (pid,) == processes.end(None, "a-launch", PROFILE, pid)


def test_a_browser_is_ended_with_its_process_group() -> None:
    """Also what its children started, and says nothing of itself."""
    script = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {WAIT!r}]); {WAIT}"
    command = [sys.executable, "-c", script, *OURS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0) as main:
        assert main.stdout is not None
        main.stdout.readline()
        main.stdout.readline()
        ended = processes.end(main.pid, "", PROFILE)
    assert 2 == len(ended)
    assert main.pid == ended[0]


def end_what_is_marked(pid: int, tmp_path: Path) -> bool:
    """Whether a process that does no more than stand in the marker of a dead browser is ended with it."""
    there = Places(tmp_path / "browser")
    told = marker.Marker("a-launch", str(there.profile), pid, processes.started_at(pid), 9222, "/devtools/browser/x")
    return bool(launching.end(None, told, there))


def test_a_pid_in_the_marker_is_no_reason_to_end_it(tmp_path: Path) -> None:
    """Another program has it by now; its own command line says what it is."""
    with started("--user-data-dir=/home/ada/profile", "chromium") as pid:
        assert not end_what_is_marked(pid, tmp_path)
        assert processes.started_at(pid)


def test_one_who_goes_by_pid_alone_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: pid and time of the start are looked at, and the profile is not."""
    monkeypatch.setattr(processes, "lives", lambda pid, began, profile: processes.started_at(pid) == began)
    with started("--user-data-dir=/home/ada/profile", "chromium") as pid:
        assert end_what_is_marked(pid, tmp_path)
