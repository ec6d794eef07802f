"""A sync that fails once, wherever it is: the kernel forgets what it could not write, though it can still be read.

The program goes on as it is told to, settles what is unknown, and the power is cut at each later operation.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import attrs
import pytest

from eventstore.connections import Connect
from eventstore.testing import FaultVFS
from eventstore.transactions import Transactions
from tests.faults.careless import careless
from tests.faults.cutting import Counts, explore, memory_directory, record
from tests.faults.histories import History, batches, creation, crowd, extras, relaxed, reopening, retaining, singles
from tests.faults.running import Program, Trusting

STATES_FOR_RELEASE = 5_000
SURVIVE, SURVIVE_FOR_RELEASE = (0.0,), (0.0, 0.5, 1.0)
"""The chance of each write to have reached the disk although the sync failed."""


@pytest.fixture
def vfs() -> Iterator[FaultVFS]:
    """A file system to fail and capture by."""
    with FaultVFS() as made:
        yield made


@attrs.define
class Sweep:
    """Fails each sync of one history after the other."""

    vfs: FaultVFS
    survive: tuple[float, ...]
    step: int = 1
    """Only every so many syncs."""
    share: float = 1.0
    samples: int = 4
    connect: Connect | None = None
    program: type[Program] = Program
    sites: int = 0
    unknown: int = 0
    """Steps whose outcome the program was told to be unknown."""
    counts: Counts = attrs.field(factory=Counts)

    def run(self, history: History) -> None:
        """Every site of one history, until there is none left to fail or something is wrong."""
        nth = 1
        while not self.counts.problems:
            with memory_directory() as scratch:
                (scratch / "state").mkdir()
                if not self._fail_at(history, nth, scratch):
                    return
            nth += self.step

    def _fail_at(self, history: History, nth: int, scratch: Path) -> bool:
        path = scratch / "agent" / "lrm.db"
        plant = partial(FaultVFS.fail, kind="sync", nth=nth)
        captured = record(self.vfs, history, path, plant=plant, connect=self.connect, program=self.program)
        kinds = [entry.kind for entry in captured.capture.entries]
        if "sync-failed" not in kinds:
            return False
        self.sites += 1
        self.counts.problems += [f"the program gave up: {captured.run.gave_up}"] if captured.run.gave_up else []
        self.unknown += sum(told in ("in", "out", "unknown") for told in captured.run.told.values())
        captured = attrs.evolve(captured, first=kinds.index("sync-failed"))
        for number, survive in enumerate(self.survive):
            explore(
                self.counts,
                captured,
                scratch / "state",
                survive=survive,
                seed=nth * 10 + number,
                samples=self.samples,
                share=self.share,
            )
        return True


def test_a_sync_that_fails_loses_nothing_that_is_acknowledged(vfs: FaultVFS, release: bool) -> None:
    """Whether the failure is told or swallowed by a checkpoint, and whatever the kernel forgot."""
    if release:
        sweep = Sweep(vfs, SURVIVE_FOR_RELEASE, share=0.1)
        histories = [
            singles(1),
            batches(1, 8),
            extras(1, 8),
            relaxed(1),
            reopening(1),
            retaining(1),
            crowd(1),
            creation(1),
        ]
    else:
        sweep = Sweep(vfs, SURVIVE, step=5, share=0.1, samples=2)
        histories = [singles(1, 12), batches(1, 5), relaxed(1, 8), reopening(1, 6), crowd(1, 3), creation(1)]
    for history in histories:
        sweep.run(history)
    print(f"failing fsync: {sweep.sites} sites, {sweep.unknown} outcomes unknown, {sweep.counts}")
    assert [] == sweep.counts.problems
    assert sweep.counts.states >= (STATES_FOR_RELEASE if release else 500)
    assert sweep.unknown


def test_the_sweep_catches_commits_that_do_not_wait_for_the_disk(vfs: FaultVFS) -> None:
    """The planted ``synchronous = NORMAL``: the failure of one sync is all that many commits have."""
    sweep = Sweep(vfs, SURVIVE, connect=careless(vfs))
    sweep.run(singles(1))
    print(sweep.counts)
    assert any("is lost" in problem or "unreadable" in problem for problem in sweep.counts.problems)


def test_the_sweep_catches_a_program_that_takes_unknown_for_done(vfs: FaultVFS) -> None:
    """The planted bug: the commit failed, and its event was not found after settling."""
    sweep = Sweep(vfs, SURVIVE, program=Trusting)
    sweep.run(singles(1))
    print(sweep.counts)
    assert any("is lost" in problem for problem in sweep.counts.problems)


def test_the_sweep_catches_a_store_that_copies_what_was_forgotten(
    vfs: FaultVFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug: to rescue relaxed commits, the WAL is copied into the file while the disk does not have it."""

    def checkpoint(transactions: Transactions) -> None:
        transactions._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        transactions._relaxed = 0

    monkeypatch.setattr(Transactions, "_rescue_relaxed", checkpoint)
    sweep = Sweep(vfs, SURVIVE)
    sweep.run(relaxed(1, 8))
    print(sweep.counts)
    assert any("database main" in problem for problem in sweep.counts.problems)
