"""With standard input, output or error closed, what is printed never ends up in a file of the log."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eventstore import open_reader
from eventstore.descriptors import open_descriptor

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, sys, traceback
from itertools import combinations
from eventstore import Batch, NewEvent, StreamWrite, event, open_store

@event("closed.put", 1)
class Put:
    number: int

def put(store):
    store.append(Batch(writes=(StreamWrite("a", (NewEvent(Put(1)),)),)))

def live(directory):
    with open_store(directory + "/lrm.db") as store:
        put(store)
        for number in range(3):
            try:
                os.write(number, b"what a library prints")
            except OSError:
                pass
        put(store)
        return [name for n in range(3) if (name := os.path.realpath(f"/proc/self/fd/{n}")).startswith(directory)]

for count in (1, 2, 3):
    for closed in combinations(range(3), count):
        pid = os.fork()
        if not pid:
            for number in closed:
                os.close(number)
            directory, code = sys.argv[1] + "/" + "".join(map(str, closed)), 1
            try:  # a new log, and one that is there
                code = 0 if live(directory) == live(directory) == [] else 2
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0, closed
"""


PLANTED = """
from eventstore import descriptors
descriptors.STANDARD = -1
"""
"""As it was: what is opened stays on the number that the kernel gives."""


def run(directory: Path, planted: str = "") -> subprocess.CompletedProcess[str]:
    """Run the program, which ends with an error where a file of the log is on a standard descriptor."""
    return subprocess.run(
        [sys.executable, "-c", planted + PROGRAM, str(directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_planted_a_file_that_stays_where_it_was_opened_is_caught(tmp_path: Path) -> None:
    """What is printed is in it then."""
    done = run(tmp_path, PLANTED)
    assert (1, True) == (done.returncode, "AssertionError: (0,)" in done.stderr)


def test_no_file_of_a_log_is_on_a_standard_descriptor(tmp_path: Path) -> None:
    """Neither the lock nor the log nor its mark, of a new log and of one that was there, whichever are closed."""
    done = run(tmp_path)
    assert 0 == done.returncode, done.stderr
    logs = sorted(tmp_path.iterdir())
    assert ["0", "01", "012", "02", "1", "12", "2"] == [directory.name for directory in logs]
    for directory in logs:
        pid, name, *rest = (directory / "lrm.lock").read_text().split("\n")
        assert (True, "lrm.db", [""]) == (pid.isdigit(), name, rest)
        with open_reader(directory / "lrm.db", unknown="placeholder") as reader:
            assert (4, True) == (reader.head, reader.verify().ok)


def test_a_descriptor_is_opened_above_the_standard_ones(tmp_path: Path) -> None:
    """Whatever the kernel gives first, and it is closed in whatever is executed."""
    spare = os.dup(0)
    os.close(0)
    try:
        descriptor = open_descriptor(tmp_path / "file", os.O_RDWR | os.O_CREAT, 0o600)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(0)
    finally:
        os.dup2(spare, 0)
        os.close(spare)
    assert descriptor > 2
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)
