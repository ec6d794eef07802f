"""An I/O error at every operation on a file: typed errors, nothing acknowledged lost, and unknown said where it is.

Once or until the disk is repaired, refused or written by half; afterwards the same store goes on, or the log is opened
again, by the same process or after it was killed.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import attrs
import pytest

from eventstore.errors import EventStoreError
from eventstore.opening import open_store
from eventstore.testing import Capture, Fault, FaultVFS, PowerCut
from tests.faults.cutting import ENOUGH_PROBLEMS, memory_directory
from tests.faults.histories import (
    Found,
    History,
    batches,
    creation,
    crowd,
    encrypted,
    expected,
    extras,
    migration,
    reopening,
    retaining,
    singles,
    steps_in,
)
from tests.faults.judging import difference
from tests.faults.looking import NOTHING, by_reader, by_sql, through
from tests.faults.running import Definite, Program, Trusting, small_wal

CASES, CASES_FOR_RELEASE = 150, 1_000
LOG = "lrm.db"


@pytest.fixture
def vfs() -> Iterator[FaultVFS]:
    """A file system to fail by, reads too."""
    with FaultVFS(reads=True) as made:
        yield made


Ending: TypeAlias = Literal["same", "reopened", "killed"]


@attrs.frozen
class Case:
    """One way for the disk to fail."""

    history: str
    nth: int
    sticky: bool
    then: Ending
    """The program goes on with the store that it has, closes it and opens it again, or is killed."""
    short: bool
    """A write that is half done, on a full disk; or nothing is done, and the disk is at fault."""


@attrs.define
class Sweep:
    """Fails each operation of one history after the other, in every way."""

    vfs: FaultVFS
    stride: int = 1
    """Only every so many cases. No multiple of 2 or 3, or some ways to fail would never be tried."""
    program: type[Program] = Program
    endings: tuple[Ending, ...] = ("same", "reopened", "killed")
    cases: set[Case] = attrs.field(factory=set)
    unknown: int = 0
    """Cases in which the program was told that an outcome is unknown."""
    swallowed: int = 0
    """Cases in which it was told nothing."""
    problems: list[str] = attrs.field(factory=list)

    def run(self, history: History) -> None:
        """Every case of one history, or every so many."""
        kinds: list[str] = []
        with memory_directory() as scratch:
            watch = partial(self.vfs.watch, lambda one: kinds.append(one.kind))
            program = self._carry_out(history, scratch / "agent", watch, settles=True)
            self.vfs.reset()
            assert program.store is not None
            program.store.close()
        ways = list(itertools.product((False, True), self.endings, (False, True)))
        sites = [Case(history.name, nth, *way) for nth in range(1, len(kinds) + 1) for way in ways]
        cases = [case for case in sites if not case.short or kinds[case.nth - 1] == "write"]
        for case in cases[:: self.stride]:
            if len(self.problems) >= ENOUGH_PROBLEMS:
                return
            with memory_directory() as scratch:
                self._try(history, case, scratch)

    def _carry_out(self, history: History, scratch: Path, plant: Callable[[], None], *, settles: bool) -> Program:
        """Let the program do its steps, with the fault from the first one on, or from the opening."""
        path = scratch / LOG
        if history.before is not None:
            history.before(path)
        elif not history.from_creation:
            open_store(path, reserve_bytes=0).close()
        begun: list[bool] = []

        def note(name: str, value: int) -> None:
            if not begun:
                begun.append(True)
                plant()

        if history.from_creation:
            note("", 0)
        program = self.program(history, path, self.vfs.connect, note=note, settles=settles)
        program.go(close=False)
        return program

    def _try(self, history: History, case: Case, scratch: Path) -> None:
        base = NOTHING
        if history.before is not None:
            history.before(scratch / "base" / LOG)
            base = by_sql(scratch / "base" / LOG)

        planted: list[Fault] = []

        def plant() -> None:
            how: dict[str, Any] = {"error": "full", "carried_out": "half"} if case.short else {}
            planted.append(self.vfs.fail(nth=case.nth, sticky=case.sticky, **how))

        capture = self.vfs.capture() if case.then == "killed" else None
        program = self._carry_out(history, scratch / "agent", plant, settles=case.then != "killed")
        run = program.run
        if planted[0].fired:  # threads do not always come to as many operations
            self.cases.add(case)
        self.unknown += any(told in ("unknown", "in", "out") for told in run.told.values())
        self.swallowed += all(told == "done" for told in run.told.values()) and not run.gave_up
        path = scratch / "agent" / LOG
        if capture is not None:
            path = _killed(program, capture, path, scratch / "killed")
        try:
            wrong = run.untyped + self._look(case, path, program, base)
        except (EventStoreError, sqlite3.Error) as after:
            wrong = [f"after the repair: {after!r}"]
        self.vfs.reset()
        self.problems += [f"{case}: {problem}; told {run.told}, {run.gave_up}" for problem in wrong]

    def _look(self, case: Case, path: Path, program: Program, base: Found) -> list[str]:
        """Repair the disk, and see what the program, or the next one, finds in the log."""
        run, store = program.run, program.store
        if store is not None and case.then == "reopened":
            with contextlib.suppress(EventStoreError):
                store.close()
            store = None
        self.vfs.clear()
        with small_wal(run.history.wal_pages):
            key = run.history.key
            store = store or open_store(path, unknown="placeholder", reserve_bytes=0, key=key)
        with store:
            store.settle()
            before = by_sql(path) if key is None else by_reader(path, run.history.all_names(), key)
            steps = steps_in(run.history, before, base, run.absent)
            wanted = expected(run.history, steps, base, before.removed)
            found, problems = through(store, wanted)
            if found != wanted:
                problems.append(f"found {difference(found, wanted)}")
        return problems + run.verdict(steps, before.removed, program.marks | {"durable": run.started})


def _killed(program: Program, capture: Capture, path: Path, directory: Path) -> Path:
    """The log as a kill leaves it, which loses nothing that was written. The program's store is let go."""
    directory.mkdir()
    store, program.store = program.store, None
    capture.mark("killed", 1)
    (state,) = PowerCut(capture, model="keep_all", start=len(capture.entries) - 1).states()
    state.write(directory)
    for beside in (path, path.with_name(f"{LOG}-mark")):  # a log that was never opened, and what is not SQLite's
        if beside.exists() and not (directory / beside.name).exists():
            shutil.copy(beside, directory)
    if store is not None:
        with contextlib.suppress(EventStoreError):
            store.close()
    return directory / LOG


def test_an_io_error_anywhere_is_told_and_loses_nothing(vfs: FaultVFS, release: bool) -> None:
    """In every distinct case: what was done is there, what was refused is not, and the store goes on afterwards."""
    sweep = Sweep(vfs, stride=5 if release else 61)
    for history in (
        singles(1, 5),
        batches(2, 4),
        extras(1, 5),
        reopening(1, 5),
        retaining(1, 8),
        crowd(1, 2),
        creation(1),
        migration(1),
        encrypted(1),
    ):
        sweep.run(history)
    print(
        f"I/O errors: {len(sweep.cases)} distinct cases, {sweep.unknown} outcomes unknown, "
        f"{sweep.swallowed} without consequences"
    )
    assert [] == sweep.problems
    assert len(sweep.cases) >= (CASES_FOR_RELEASE if release else CASES)
    assert sweep.unknown


@pytest.mark.parametrize(
    ("program", "ending", "problem"),
    [(Trusting, "same", "is lost"), (Definite, "killed", "refused for certain and is there")],
)
def test_the_sweep_catches_a_program_that_takes_unknown_for_an_answer(
    vfs: FaultVFS, program: type[Program], ending: Ending, problem: str
) -> None:
    """The planted bugs: a commit that failed is neither done nor refused."""
    sweep = Sweep(vfs, stride=5, program=program, endings=(ending,))
    sweep.run(singles(1, 2))
    print(sweep.problems)
    assert any(problem in one for one in sweep.problems)
