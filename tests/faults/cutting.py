"""Cuts the power of a program at every point of a history, and judges what is left each time."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import attrs

from eventstore import rewriting, transactions
from eventstore.connections import Connect
from eventstore.testing import Capture, FaultVFS, PowerCut
from tests.faults.histories import History
from tests.faults.judging import Examiner, Judge
from tests.faults.looking import NOTHING, by_sql
from tests.faults.running import Program, Run

ENOUGH_PROBLEMS = 5
"""After so many there is no need to go on."""


@attrs.define
class Counts:
    """How much was looked at."""

    states: int = 0
    """Different contents of the disk."""
    cuts: int = 0
    """Points of the runs at which the power was cut."""
    runs: int = 0
    read: int = 0
    """States that were read through the store's reader too."""
    owned: int = 0
    """States that a new owner opened, verified and appended to."""
    problems: list[str] = attrs.field(factory=list)

    def add(self, judge: Judge, states: int, cuts: int) -> None:
        """Count what one judge saw."""
        self.states += states
        self.cuts += cuts
        self.runs += 1
        self.read += judge.read
        self.owned += judge.owned
        self.problems += judge.problems


@contextlib.contextmanager
def memory_directory() -> Iterator[Path]:
    """A directory in memory where the machine has one: crash states are many and short-lived."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="crash-", dir=place, ignore_cleanup_errors=True) as name:
        yield Path(name)


@attrs.frozen
class Captured:
    """A run and everything it did to its files."""

    run: Run
    capture: Capture
    first: int
    """Entries before the disk's trouble begins."""


def record(
    vfs: FaultVFS,
    history: History,
    path: Path,
    *,
    plant: Callable[[FaultVFS], Any] | None = None,
    connect: Connect | None = None,
    program: type[Program] = Program,
) -> Captured:
    """Carry a history out and capture it.

    Args:
        vfs: below the store. What is planted in it is taken back.
        history: what to do.
        path: where the log will be.
        plant: plants faults, at the first step, or before the log is made where that is what the history is about.
        connect: instead of the file system's own.
        program: who carries it out.
    """
    if history.before is not None:
        history.before(path)
    capture = vfs.capture()
    begun: list[int] = []

    def begin() -> None:
        begun.append(len(capture.entries))
        for nth in history.failing_syncs:
            vfs.fail("sync", nth, file="wal")
        if plant is not None:
            plant(vfs)

    def note(name: str, value: int) -> None:
        if not begun:
            begin()
        capture.mark(name, value)

    if history.from_creation:
        begin()

    def write_again(wal: Path) -> None:  # below the store, but beside SQLite
        rewriting.write_again(wal)
        capture.write(str(wal), 0, wal.read_bytes())
        capture.sync(str(wal))

    with mock.patch.object(transactions, "write_again", write_again):
        run = program(history, path, connect or vfs.connect, note=note).go()
    vfs.reset()
    return Captured(run, capture, begun[0])


def explore(counts: Counts, captured: Captured, directory: Path, base_at: Path | None = None, **options: Any) -> None:
    """Judge the crash states of a run, in a directory of their own.

    Args:
        counts: where to count them.
        captured: the run.
        directory: where to put the states, one after the other.
        base_at: a copy of the log that the program found.
        options: of ``PowerCut``, and ``reader_every`` and ``owner_every`` of ``Judge``.
    """
    judging = {name: options.pop(name) for name in ("reader_every", "owner_every") if name in options}
    base = NOTHING if base_at is None else by_sql(base_at)
    judge = Judge(captured.run, directory, Examiner(captured.run.history, base, captured.run.absent), **judging)
    judge.problems += captured.run.untyped
    cut = PowerCut(captured.capture, start=captured.first, **options)
    for state in cut.states():
        judge.look(state)
        if len(judge.problems) >= ENOUGH_PROBLEMS:
            break
    counts.add(judge, cut.distinct, cut.cuts)


def cut_power(
    counts: Counts,
    vfs: FaultVFS,
    history: History,
    *,
    plant: Callable[[FaultVFS], Any] | None = None,
    connect: Connect | None = None,
    **options: Any,
) -> Run:
    """Carry a history out once, and judge every state that a power cut may leave. Options as of ``explore``."""
    with memory_directory() as scratch:
        (scratch / "state").mkdir()
        base = None
        if history.before is not None:
            base = scratch / "base" / "lrm.db"
            history.before(base)
        captured = record(vfs, history, scratch / "agent" / "lrm.db", plant=plant, connect=connect)
        explore(counts, captured, scratch / "state", base, **options)
        return captured.run
