"""``lrm run`` over real processes that end: started, started again, given up, and what is said of it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.outer.watched import is_gone, waited, watching

CRASHES = "import sys; print('it broke', file=sys.stderr); sys.exit(3)"
COUNTS = """
import pathlib, sys
runs = pathlib.Path("runs"); runs.write_text((runs.read_text() if runs.exists() else "") + "x")
count = len(runs.read_text())
"""
"""How often it was started."""


def test_what_crashes_is_started_again_and_given_up_in_the_end(tmp_path: Path) -> None:
    """After as many restarts as it may have, with a report of what happened and what it said last."""
    with watching(tmp_path, "--max-restarts", "2", program=CRASHES) as one:
        code, said = one.ended()
        assert 69 == code
        assert 3 == len(one.events("process_exited"))
        assert [1, 2] == [event.attempt for event in one.events("restart_scheduled")]
        (gave_up,) = one.records("given_up")
        assert "restarted 2 times within 600 s" in gave_up.event.reason
    for part in ("given up", "start 1: exit status 3", "start 3: exit status 3", "it broke", "lrm log --log", "-c"):
        assert part in said


def test_each_end_leads_to_the_next_start_on_the_record(tmp_path: Path) -> None:
    """Every event but what was seen names what it follows from."""
    program = COUNTS + "sys.exit(0 if count == 3 else 75 if count == 2 else 9)"
    with watching(tmp_path, program=program) as one:
        assert 0 == one.ended()[0]
        assert ["exit", "replace", "exit"] == [event.why for event in one.events("process_exited")]
        assert [1, 0] == [event.attempt for event in one.events("restart_scheduled")]
        started = ["start_begun", "process_started", "process_exited"]
        again = [*started, "restart_scheduled"]
        assert ["watch_began", "configured", *again, *again, *started, "watch_ended"] == one.told()
        uncaused = [record.type for record in one.records() if record.cause is None]
        assert ["outer.watch_began", *["outer.process_exited"] * 3] == uncaused
        by_position = {record.position: record.type for record in one.records()}
        led = [by_position[record.cause or 0] for record in one.records("restart_scheduled")]
        assert ["outer.process_exited"] * 2 == led


def test_a_killed_process_is_started_again_and_told_how_the_one_before_ended(tmp_path: Path) -> None:
    """By its environment; the end is asked for then, and the exit code is that of the signal."""
    program = COUNTS + (
        "import os, time; pathlib.Path('told').write_text(os.environ.get('LRM_PREDECESSOR_EXIT', 'nothing') + '\\n')\n"
        "time.sleep(60)"
    )
    with watching(tmp_path, program=program) as one:
        assert "nothing" == one.line_in("told")
        os.kill(first := one.pid(), signal.SIGKILL)
        second = one.pid(2)
        waited(lambda: one.file("told").read_text() == "-9\n", "the exit of the one before")
        one.send(signal.SIGTERM)
        assert 143 == one.ended()[0]
        assert is_gone(first)
        assert is_gone(second)
        assert [-9, -15] == [event.exit_status for event in one.events("process_exited")]


UNSTARTABLE = ((("sh", "-c", "no-such-program"), 127), (("no-such-program",), 127), (("/dev/null",), 126))


def test_what_cannot_be_started_is_given_up_at_once(tmp_path: Path, release: bool) -> None:
    """With the exit code that a shell has for it."""
    for number, (command, code) in enumerate(UNSTARTABLE if release else UNSTARTABLE[:1]):
        directory = tmp_path / str(number)
        directory.mkdir()
        with watching(directory, command=command) as one:
            ended, said = one.ended()
            assert code == ended
            assert "cannot be started" in said
            assert 1 == len(one.events("start_begun"))


def test_a_second_watchdog_is_refused(tmp_path: Path) -> None:
    """While the first keeps its process alive, which it goes on to do."""
    with watching(tmp_path, program="import time; time.sleep(60)") as one:
        pid = one.pid()
        second = subprocess.run(one.process.args, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert (5, True) == (second.returncode, "is owned by process" in second.stderr)
        assert not is_gone(pid)
        one.send(signal.SIGINT)
        assert 130 == one.ended()[0]
