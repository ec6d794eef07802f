"""``lrm run`` as a process of its own, with a small program to keep alive, and what its log says of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from eventstore.errors import EventStoreError
from eventstore.records import Record
from lrm_actors.actors.sampling.tree import sight
from lrm_actors.inspect.folds import open_log
from tests.runtime.support import eventually

PATIENCE_S = 60.0
"""How long a test waits for what must happen; only a failing test waits this long."""
QUICK = ("--backoff", "0.02", "--max-backoff", "30", "--stop-timeout", "5")
"""Waits that a test can wait for."""


@attrs.define
class Watched:
    """One watchdog under test."""

    directory: Path
    process: subprocess.Popen[str]

    @property
    def log(self) -> Path:
        """The watchdog's log."""
        return self.directory / "agent" / "outer" / "outer.db"

    def ended(self) -> tuple[int, str]:
        """Wait for its end; its exit code, and what it said."""
        _, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, err

    def send(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def events(self, kind: str = "") -> list[Any]:
        """The events of its log, of one type if that is named."""
        return [one.event for one in self.records(kind)]

    def records(self, kind: str = "") -> list[Record]:
        """The records of its log; none while there is no log yet."""
        try:
            with open_log(self.log) as reader:
                return list(reader.read(types=(f"outer.{kind}",) if kind else None))
        except EventStoreError:
            return []

    def told(self) -> list[str]:
        """The types of its events, in order."""
        return [one.type.removeprefix("outer.") for one in self.records()]

    def wait_for(self, kind: str, count: int = 1) -> Any:
        """Wait until it has put so many of these on record; the last of them."""

        def enough() -> Any:
            found = self.events(kind)
            assert len(found) >= count or self.process.poll() is None, self.process.communicate()
            return found[-1] if len(found) >= count else None

        return waited(enough, f"{count} {kind}")

    def pid(self, count: int = 1) -> int:
        """Wait for the process of so many starts; its pid."""
        return int(self.wait_for("process_started", count).pid)

    def file(self, name: str) -> Path:
        """A file in the directory that the program runs in."""
        return self.directory / name

    def line_in(self, name: str) -> str:
        """Wait until the program has written a whole line to a file; the last one."""

        def written() -> str:
            path = self.file(name)
            text = path.read_text() if path.exists() else ""
            return text.rstrip("\n").rpartition("\n")[2] if text.endswith("\n") else ""

        return str(waited(written, f"a line in {name}"))


def waited(condition: Callable[[], Any], what: str) -> Any:
    """As ``eventually``, for what takes the start of several processes."""
    for _ in range(5):
        try:
            return eventually(condition, what)
        except AssertionError as error:
            if not str(error).startswith(what):
                raise
    return eventually(condition, what)


def is_alive(pid: int) -> bool:
    """Whether there is a process of this pid that has not ended."""
    seen = sight(pid)
    return seen is not None and not seen.zombie


def is_gone(pid: int) -> bool:
    """The opposite."""
    return not is_alive(pid)


@contextmanager
def watching(
    directory: Path, *words: str, program: str = "", command: tuple[str, ...] = (), notify: str = ""
) -> Iterator[Watched]:
    """A watchdog over ``python -c program``, or over a command. Whatever is left at the end is killed.

    Args:
        directory: where it runs; the agent's directory is ``agent`` in it.
        words: options of ``lrm run``, after those that make it quick.
        program: what the process does.
        command: what is run instead.
        notify: the socket of whoever started it.
    """
    executed = command or (sys.executable, "-c", program)
    line = [sys.executable, "-m", "lrm_actors.cli", "run", "--log", "agent", *QUICK, *words, "--", *executed]
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("LRM_", "NOTIFY_"))}
    variables |= {"NOTIFY_SOCKET": notify} if notify else {}
    # Whoever runs the tests may ignore Ctrl-C, and processes inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            line, cwd=directory, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
    finally:
        signal.signal(signal.SIGINT, before)
    one = Watched(directory, process)
    try:
        yield one
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
        for started in one.events("process_started"):
            seen = sight(started.pid)
            if seen is not None and seen.started == started.created:
                os.killpg(started.pid, signal.SIGKILL)
