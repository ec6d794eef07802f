"""What is below the process, what it holds, and whom the watchdog touches: its own, and nobody else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lrm_actors.actors.sampling.tree import sight
from tests.outer.watched import is_alive, is_gone, waited, watching

WITH_CHILDREN = """
import os, pathlib, subprocess, sys, time
SLEEPS = "import signal, time; signal.signal(15, signal.SIG_IGN if {deaf} else signal.SIG_DFL); time.sleep(600)"
near = subprocess.Popen([sys.executable, "-c", SLEEPS.format(deaf=False)])
far = subprocess.Popen([sys.executable, "-c", SLEEPS.format(deaf=DEAF)], start_new_session=True)
time.sleep(0.3)
pathlib.Path("pids").write_text(f"{near.pid} {far.pid}\\n")
"""
"""Starts a process in its own group and one in a session of its own, which may turn a deaf ear to SIGTERM."""


def pids(text: str) -> list[int]:
    """Numbers in a line."""
    return [int(word) for word in text.split()]


def test_what_a_killed_process_leaves_is_ended_before_the_next_one_starts(tmp_path: Path) -> None:
    """In its group or not, asked or killed."""
    program = WITH_CHILDREN.replace("DEAF", "True") + "os.kill(os.getpid(), 9)"
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    try:
        with watching(tmp_path, "--max-restarts", "0", program=program) as one:
            assert 69 == one.ended()[0]
            assert all(is_gone(pid) for pid in pids(one.line_in("pids")))
            (cleared,) = one.events("cleared_up")
            assert (2, ()) == (cleared.ended, cleared.left)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_orphans_are_kept_for_the_next_one_where_that_is_wanted(tmp_path: Path, release: bool) -> None:
    """And ended with the watch."""
    if not release:
        pytest.skip("takes seconds; what is decided is tested by itself")
    program = WITH_CHILDREN.replace("DEAF", "False") + "pathlib.Path('up').touch(); time.sleep(600)"
    with watching(tmp_path, "--keep-orphans", program=program) as one:
        first = pids(one.line_in("pids"))
        os.kill(one.pid(), signal.SIGKILL)
        one.wait_for("process_started", 2)
        assert all(is_alive(pid) for pid in first)
        one.send(signal.SIGTERM)
        assert 143 == one.ended()[0]
        assert all(is_gone(pid) for pid in first)


def test_a_process_that_is_deaf_is_killed(tmp_path: Path, release: bool) -> None:
    """With what is below it, when its time to end is over; the second request does not wait for that."""
    program = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WITH_CHILDREN.replace("DEAF", "True")
    for timeout, again in (("600", True), ("0.2", False)) if release else (("600", True),):
        directory = tmp_path / timeout
        directory.mkdir()
        with watching(directory, "--stop-timeout", timeout, program=program + "time.sleep(600)") as one:
            below = pids(one.line_in("pids"))
            one.send(signal.SIGTERM)
            if again:
                one.wait_for("ending_begun")
                one.send(signal.SIGTERM)
            assert 137 == one.ended()[0]
            assert ["again" if again else "grace"] == [event.why for event in one.events("kill_begun")]
            assert all(is_gone(pid) for pid in below)


def test_a_leak_over_the_limit_is_ended_in_order(tmp_path: Path) -> None:
    """Counted with what is below it, and started again."""
    leaks = """
import pathlib, subprocess, sys, time
if pathlib.Path("leaked").exists(): sys.exit(0)
pathlib.Path("leaked").touch()
subprocess.run([sys.executable, "-c", "held = bytearray(200_000_000); import time; time.sleep(600)"])
"""
    with watching(tmp_path, "--memory-limit", "150M", program=leaks) as one:
        assert 0 == one.ended()[0]
        (exceeded,) = one.events("memory_exceeded")
        assert exceeded.memory_bytes > exceeded.limit_bytes == 150_000_000
        assert ["memory", "exit"] == [event.why for event in one.events("process_exited")]


def test_a_killed_watchdog_is_followed_by_one_that_ends_what_it_left(tmp_path: Path) -> None:
    """Found by pid and the time it began, in order: it gets its time to end, then another one is started."""
    program = WITH_CHILDREN.replace("DEAF", "True") + (
        "import signal\n"
        "def end(*_):\n"
        "    pathlib.Path('asked').touch(); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "pathlib.Path('ready').write_text('1\\n'); time.sleep(600)"
    )
    with watching(tmp_path, program=program) as one:
        one.line_in("ready")
        first, below = one.pid(), pids(one.line_in("pids"))
        one.process.kill()
        one.process.wait()
        assert is_alive(first)
        with watching(tmp_path, program="import time; time.sleep(600)") as other:
            second = other.pid(2)
            assert one.file("asked").exists()
            assert all(is_gone(pid) for pid in (first, *below))
            (found,) = other.events("processes_found")
            assert {first, *below} == set(found.pids)
            assert [False] == [event.in_order for event in other.events("watch_began")[1:]]
            assert is_alive(second)
            other.send(signal.SIGTERM)
            assert 143 == other.ended()[0]


def test_a_pid_that_is_anothers_by_now_is_left_alone(tmp_path: Path, release: bool) -> None:
    """The log names a pid that somebody else has: nobody touches that one."""
    if not release:
        pytest.skip("takes seconds; whom a signal reaches is tested by itself")
    with watching(tmp_path, program="import time; time.sleep(600)") as one:
        pid = one.pid()
        one.process.kill()
        one.process.wait()
        os.kill(pid, signal.SIGKILL)
        waited(lambda: is_gone(pid), "the end of the process")
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        rename(one.log, pid, stranger.pid)
        with watching(tmp_path, program="pass") as other:
            assert 0 == other.ended()[0]
            assert [] == other.events("processes_found")
            assert [None, 0] == [event.exit_status for event in other.events("process_exited")]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def rename(log: Path, old: int, new: int) -> None:
    """Have a watchdog's log end with a process of another pid, that began when the old one did."""
    from eventstore.opening import open_store
    from eventstore.records import Batch, NewEvent, StreamWrite
    from lrm_actors.domain.outliving.events import ProcessStarted

    seen = sight(new)
    assert seen is not None
    with open_store(log) as store:
        (started,) = [one.event for one in store.read(types=("outer.process_started",))]
        assert (old, True) == (started.pid, started.created != seen.started)
        epoch = store.acquire("outer").epoch
        again = ProcessStarted(started.start, new, started.created, started.at_s, started.boot_id)
        store.append(Batch((StreamWrite("outer", (NewEvent(again),), epoch=epoch),)))
