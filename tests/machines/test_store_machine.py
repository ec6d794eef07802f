"""Every kind of store against a plain model of one, in long random lives."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis.stateful import run_state_machine_as_test

from eventstore.memory import MemoryStore
from eventstore.memory_log import MemoryLog
from eventstore.opening import open_store
from eventstore.protocol import EventStore
from eventstore.store import SqliteStore
from eventstore.testing.clock import FakeClock
from eventstore.testing.machine import StoreMachine
from tests.eventstore import planted


class SqliteMachine(StoreMachine):
    """A log file."""

    def open_store(self, place: Path, clock: FakeClock) -> EventStore:
        return open_store(place / "lrm.db", clock=clock)

    def second_owner(self, older: EventStore, place: Path, clock: FakeClock) -> EventStore:
        assert isinstance(older, SqliteStore)
        older._log_lock.release()  # as where a file system forgets a lock
        return self.open_store(place, clock)


class MemoryMachine(StoreMachine):
    """What outlives the handle is handed to the next one."""

    store_class: Any = MemoryStore
    log_class: Any = MemoryLog

    def open_store(self, place: Path, clock: FakeClock) -> EventStore:
        self.log = getattr(self, "log", None) or self.log_class()
        made: EventStore = self.store_class(clock, log=self.log)
        return made


@pytest.fixture(autouse=True)
def in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the machines cost no disk: what a disk may do is tested elsewhere."""
    if Path("/dev/shm").is_dir():
        monkeypatch.setattr(tempfile, "tempdir", "/dev/shm")


def drive(machine: type[StoreMachine], examples: int, steps: int) -> None:
    """Run a machine."""
    settings = hypothesis.settings(max_examples=examples, stateful_step_count=steps, print_blob=False)
    run_state_machine_as_test(machine, settings=settings)


@pytest.mark.parametrize(("machine", "lives"), [(SqliteMachine, 10), (MemoryMachine, 40)])
def test_a_store_is_what_the_model_says(machine: type[StoreMachine], lives: int, release: bool) -> None:
    """At each step of each life."""
    lives, steps = (lives * 50, 60) if release else (lives, 25)
    drive(machine, lives, steps)
    print(f"{machine.__name__}: {lives} lives of up to {steps} steps")


MISTAKES = (
    planted.IgnoresVersions,
    planted.FencesNoStream,
    planted.DoublesRetries,
    planted.TakesAnyRetry,
    planted.LosesCursors,
    planted.RemovesWhatRecoveryNeeds,
    planted.RemovesUnread,
    planted.CountsVersionsAnew,
    planted.FoldsOverWhatIsGone,
    planted.ForgetsOwners,
)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_store_with_a_fault_is_told_from_the_model(mistake: Any, release: bool) -> None:
    """Each is found within some lives; one that takes many of them only in a full run."""
    if mistake is planted.RemovesWhatRecoveryNeeds and not release:
        pytest.skip("takes many lives")
    where = "log_class" if issubclass(mistake, MemoryLog) else "store_class"
    machine = type("FaultyMachine", (MemoryMachine,), {where: mistake})
    lives = 5000 if mistake is planted.RemovesWhatRecoveryNeeds else 150
    settings = hypothesis.settings(max_examples=lives, stateful_step_count=30, phases=[hypothesis.Phase.generate])
    with pytest.raises(Exception) as caught:  # noqa: PT011 - an assertion, or whatever it stumbles over first
        run_state_machine_as_test(machine, settings=settings)
    assert not isinstance(caught.value, hypothesis.errors.HypothesisException)
