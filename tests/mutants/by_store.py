"""The log file in the kit of ``eventstore.testing``: the suite for stores, the state machine, disks, power cuts."""

from __future__ import annotations

import contextlib
import inspect
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import hypothesis
import pytest
from hypothesis.stateful import run_state_machine_as_test

from eventstore.errors import AppendFailed, OutcomeUnknown, TailMissing
from eventstore.opening import open_reader, open_store
from eventstore.protocol import EventReader, EventStore
from eventstore.records import Batch, NewEvent, StreamWrite
from eventstore.store import SqliteStore
from eventstore.testing import FakeClock, FaultVFS, PowerCut, StoreConformance, StoreMachine
from eventstore.testing.conformance import Counted
from eventstore.testing.faults import CarriedOut, Kind

MEMORY = Path("/dev/shm")
LIVES, STEPS = 15, 25


@contextlib.contextmanager
def a_directory() -> Iterator[Path]:
    """In memory where there is room for one."""
    with tempfile.TemporaryDirectory(prefix="lrm-", dir=MEMORY if MEMORY.is_dir() else None) as name:
        yield Path(name)


# --- the suite for stores ---------------------------------------------------------------------------------------------


class LogFile:
    """The log file, for what tests any store."""

    def open_store(self, place: Path, clock: FakeClock) -> EventStore:
        """Open it."""
        return open_store(place / "lrm.db", clock=clock, reserve_bytes=0)

    def second_owner(self, older: EventStore, place: Path, clock: FakeClock) -> EventStore:
        """As where a file system forgets a lock."""
        assert isinstance(older, SqliteStore)
        older._log_lock.release()
        return self.open_store(place, clock)


class Suite(LogFile, StoreConformance):
    """The log file in it."""

    def open_reader(self, place: Path) -> EventReader:
        """Beside its owner."""
        return open_reader(place / "lrm.db")


def run_suite(*names: str) -> None:
    """Run tests of the suite as plain functions, each in a directory of its own; all of them where none is named.

    Pytest does the same with more around it, which takes longer than the tests.
    """
    for name in names or suite():
        for arguments in _cases(getattr(Suite, name)):
            with a_directory() as directory, ExitStack() as stack:
                made = {**arguments, "tmp_path": directory, "place": directory / "store"}
                with contextlib.suppress(pytest.skip.Exception):
                    _call(getattr(Suite, name), made, stack)


def _call(function: Any, made: dict[str, Any], stack: ExitStack) -> Any:
    """Call a test, or the function of a fixture, with what it asks for, which is made where it is not there yet."""
    made.setdefault("self", Suite())
    parameters = inspect.signature(function).parameters
    for name in parameters:
        if name not in made:
            fixture: Any = getattr(Suite, name)
            found = _call(fixture._get_wrapped_function(), made, stack)
            if inspect.isgenerator(found):
                stack.callback(next, found, None)
                found = next(found)
            made[name] = found
    return function(**{name: made[name] for name in parameters})


def _cases(function: Any) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = [{}]
    for mark in getattr(function, "pytestmark", ()):
        if mark.name == "parametrize":
            names, values = mark.args
            several = not isinstance(names, str) or "," in names
            names = [one.strip() for one in names.split(",")] if isinstance(names, str) else names
            rows = [one.values if hasattr(one, "marks") else one if several else (one,) for one in values]
            cases = [{**case, **dict(zip(names, row, strict=True))} for case in cases for row in rows]
    return cases


# --- the state machine ------------------------------------------------------------------------------------------------


class Machine(LogFile, StoreMachine):
    """The log file beside a plain model."""


def lives_beside_a_model() -> None:
    """Long lives of a store, the same each time."""
    how = hypothesis.settings(
        max_examples=LIVES,
        stateful_step_count=STEPS,
        phases=[hypothesis.Phase.generate],
        derandomize=True,
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    with a_directory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(directory))
        run_state_machine_as_test(Machine, settings=how)


# --- disks ------------------------------------------------------------------------------------------------------------


@cache
def vfs() -> FaultVFS:
    """One for all: an instance is kept until the process ends."""
    return FaultVFS()


def one(n: int, note: str = "") -> Batch:
    """A batch of one event."""
    return Batch((StreamWrite("disk", (NewEvent(Counted(n, note)),)),))


def there(directory: Path) -> list[int]:
    """What the next process finds, which may write too."""
    with open_store(directory / "lrm.db", reserve_bytes=0) as store:
        found = [record.event.n for record in store.read()]
        assert store.verify().ok, store.verify().problems
        store.append(one(-1))
    return found


def a_power_cut() -> None:
    """Whatever the disk kept, each event that was acknowledged is there, in order, and no other."""
    with a_directory() as directory, ExitStack() as stack:
        (directory / "run").mkdir()
        stack.callback(vfs().reset)
        capture = vfs().capture()
        with open_store(directory / "run" / "lrm.db", connect=vfs().connect, reserve_bytes=0) as store:
            opened = len(capture.entries)
            for n in range(1, 6):
                store.append(one(n))
                capture.mark("acknowledged", n)
            end = len(capture.entries)
        looked = 0
        for state in PowerCut(capture.entries[:end], seed=1, samples=4, start=opened, share=0.25).states():
            place = directory / f"state-{looked}"
            place.mkdir(mode=0o700)
            state.write(place)
            found = there(place)
            shutil.rmtree(place)
            looked += 1
            acknowledged = state.marks.get("acknowledged", 0)
            assert list(range(1, len(found) + 1)) == found
            assert len(found) >= acknowledged, f"{acknowledged} was acknowledged, {found} is there: {state.how}"
        assert looked > 15, f"{looked} states prove nothing"


FAULTS: tuple[tuple[Kind, Literal["full", "io"]], ...] = (("write", "full"), ("write", "io"), ("sync", "io"))
WAYS: tuple[tuple[int, bool, CarriedOut], ...] = (
    (1, True, "none"),
    (2, False, "half"),
    (1, False, "whole"),
    (3, True, "whole"),
)
"""Which operation fails, whether all later ones do too, and what is done all the same."""


def a_disk_that_fails() -> None:
    """At every operation of an append, in every way: what was acknowledged is there, what was refused is not."""
    for kind, error in FAULTS:
        for nth, sticky, carried_out in WAYS:
            with a_directory() as directory, ExitStack() as stack:
                stack.callback(vfs().reset)
                plant = partial(vfs().fail, kind, nth, sticky=sticky, error=error, carried_out=carried_out)
                _fail_and_go_on(directory / "on", plant, end=False)
                _fail_and_go_on(directory / "over", plant, end=True)


def _fail_and_go_on(directory: Path, plant: Callable[[], object], *, end: bool) -> None:
    done, refused, unknown = [], [], []
    store = open_store(directory / "lrm.db", connect=vfs().connect, reserve_bytes=0)
    try:
        for n in range(1, 6):
            if n == 3:
                plant()
            try:
                store.append(one(n, "y" * 9000))
            except OutcomeUnknown:
                unknown.append(n)
            except AppendFailed:
                refused.append(n)
            else:
                done.append(n)
            if n == 3 and end:
                break
            if n == 3:
                vfs().clear()
                store.settle()
                found = [record.event.n for record in store.read()]
                assert set(done) <= set(found) <= {*done, *unknown}, "settled wrongly"
        vfs().clear()
        killed = directory.with_name(f"{directory.name}-killed")
        shutil.copytree(directory, killed)
    finally:
        vfs().clear()
        store.close()
    found = there(killed)
    assert sorted(found) == found
    assert set(done) <= set(found), f"{done} were acknowledged, {found} are there"
    assert set(found) <= {*done, *unknown}, f"{refused} were refused for certain, {found} are there"


def a_missing_tail() -> None:
    """Where the end of a log is gone, that is told, and not taken for a shorter log."""
    with a_directory() as directory:
        log = directory / "log"
        store = open_store(log / "lrm.db", reserve_bytes=0)
        store.append(one(1))
        old = {path.name: path.read_bytes() for path in log.iterdir() if path.name in ("lrm.db", "lrm.db-wal")}
        store.append(one(2))
        left = directory / "left"
        shutil.copytree(log, left)
        store.close()
        assert [1, 2] == there(log)
        for name, data in old.items():
            (left / name).write_bytes(data)
        (left / "lrm.db-shm").unlink(missing_ok=True)
        with pytest.raises(TailMissing):
            open_store(left / "lrm.db", reserve_bytes=0).close()  # where a bug lets it open


CHECKS: tuple[Callable[[], None], ...] = (lives_beside_a_model, a_power_cut, a_disk_that_fails, a_missing_tail)


def suite() -> Iterator[str]:
    """Names of the suite's tests."""
    yield from (name for name in dir(Suite) if name.startswith("test_"))
