"""Carries a history out on a store whose disk may fail, and keeps what the program was told about each step."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias
from unittest import mock

import attrs

from eventstore import retention, schema
from eventstore.connections import Connect
from eventstore.errors import AppendFailed, BadRequest, EventStoreError, OpenError, OutcomeUnknown
from eventstore.opening import open_store
from eventstore.records import Durability, Retention
from eventstore.store import SqliteStore
from tests.faults.histories import History, Step, step_of

Told: TypeAlias = Literal["done", "refused", "unknown", "in", "out"]
"""What the program knows of a step. Of one whose outcome was unknown, after settling: whether it is in the log."""

DONE = "done "
"""With the number of a step that was done before those asked for at the same time: what is noted of it."""
TRIES = 4
"""How often the program tries to settle, or to open, before it gives up."""


@attrs.define
class Run:
    """What the program was told."""

    history: History
    told: dict[int, Told] = attrs.field(factory=dict)
    relaxed: set[int] = attrs.field(factory=set)
    """Steps done that a later strict one or a barrier makes durable."""
    started: int = -1
    durable: int = -1
    """Every step up to this one that is done, or was found to be in the log, may not be lost any more."""
    opened: bool = False
    gave_up: str = ""
    """Why the program ended before its last step."""
    untyped: list[str] = attrs.field(factory=list)
    """Errors that are none of the store's."""

    @property
    def absent(self) -> set[int]:
        """Steps that the program knows not to be in the log."""
        return {number for number, told in self.told.items() if told in ("refused", "out")}

    def verdict(self, steps: Sequence[int], removed: int, marks: Mapping[str, int]) -> list[str]:
        """What is wrong with a log that holds just these steps, after a crash at some point of the run.

        Args:
            steps: that are in the log, in its order.
            removed: how many events are no longer kept.
            marks: the newest ones that the program noted until then.
        """
        started, durable = marks.get("started", -1), marks.get("durable", -1)
        wrong = []
        lost = [name for name in marks if name.startswith(DONE) and int(name.removeprefix(DONE)) not in steps]
        if lost:
            wrong.append(f"steps {lost} are lost, which are {DONE}")
        groups = [self.history.group(number) for number in steps]
        if groups != sorted(groups):
            wrong.append(f"steps {steps} are out of order")
        if not marks.get("gone", 0) <= removed <= marks.get("removable", 0):
            wrong.append(f"{removed} events are removed, of {marks.get('removable', 0)}; {marks.get('gone', 0)} were")
        appends = {n: told for n, told in self.told.items() if self.history.steps[n].kind == "append"}
        for number, told in appends.items():
            if told == "refused" and number in steps:
                wrong.append(f"step {number} was refused for certain and is there")
            if number <= durable:
                if told in ("done", "in") and number not in steps:
                    wrong.append(f"step {number} was {told} and is lost")
                if told == "out" and number in steps:
                    wrong.append(f"step {number} was settled not to be there, and is")
        newest = max(steps, default=-1)
        if newest > started:
            wrong.append(f"step {newest} is there and never began")
        group = self.history.group(newest) if steps else 0
        missing = [n for n, told in appends.items() if n < group and told in ("done", "in") and n not in steps]
        if missing:
            wrong.append(f"steps {missing} are missing before step {newest}")
        return wrong


@contextlib.contextmanager
def small_wal(pages: int) -> Iterator[None]:
    """Stores opened within copy their WAL into the file after so few pages, and remove few events at once."""
    with mock.patch.object(schema, "WAL_PAGES", pages), mock.patch.object(retention, "EVENTS_AT_ONCE", 2):
        yield


class Program:
    """Opens a store, does its steps one by one, and settles what is unknown, as the documentation tells it to.

    Without ``settles`` it ends there: whoever opens the log next settles it.
    """

    def __init__(
        self,
        history: History,
        path: Path,
        connect: Connect,
        *,
        note: Callable[[str, int], None] | None = None,
        settles: bool = True,
    ) -> None:
        self.run = Run(history)
        self._settles = settles
        self._path = path
        self._connect = connect
        self.marks: dict[str, int] = {}
        self._told_to = note or (lambda name, value: None)
        self.store: SqliteStore | None = None

    def go(self, *, close: bool = True) -> Run:
        """All steps, or as far as the storage lets us. With ``close`` false the store stays open, at ``store``."""
        run = self.run
        with small_wal(run.history.wal_pages):
            try:
                self._open()
                run.opened = True
                for _, members in itertools.groupby(range(len(run.history.steps)), run.history.group):
                    numbers = list(members)
                    run.started = numbers[-1]
                    self._note("started", run.started)
                    if len(numbers) == 1:
                        self._do(numbers[0], run.history.steps[numbers[0]])
                    else:
                        self._do_together(numbers)
            except EventStoreError as error:
                run.gave_up = f"{type(error).__name__}: {error}"
            except Exception as error:
                run.gave_up = repr(error)
                run.untyped.append(f"step {run.started}: {error!r}")
            if close and self.store is not None:
                self._close()
        return run

    def _note(self, name: str, value: int) -> None:
        self.marks[name] = value
        self._told_to(name, value)

    def _open(self) -> None:
        for attempt in range(TRIES):
            try:
                self.store = open_store(
                    self._path,
                    connect=self._connect,
                    unknown="placeholder",
                    reserve_bytes=0,
                    key=self.run.history.key,
                )
                return
            except (OpenError, AppendFailed, OutcomeUnknown):
                if attempt + 1 == TRIES:
                    raise

    def _close(self) -> None:
        assert self.store is not None
        store, self.store = self.store, None
        try:
            store.close()
        except EventStoreError:
            pass
        except Exception as error:
            self.run.untyped.append(f"close: {error!r}")

    def _do(self, number: int, step: Step) -> None:
        assert self.store is not None
        try:
            if step.kind == "append":
                self.store.append(step.batch)
            elif step.kind == "acquire":
                self.store.acquire(step.stream)
            elif step.kind == "barrier":
                self.store.barrier()
            elif step.kind == "retain":
                self._retain(self.store, step.retention)
            else:
                self._close()
                self._open()
        except OutcomeUnknown:
            self._settle(number, step)
        except (AppendFailed, BadRequest):  # a snapshot of a version that was not reached, because a step was refused
            self.run.told[number] = "refused"
        else:
            self._done(number, step)

    def _do_together(self, numbers: list[int]) -> None:
        threads = [threading.Thread(target=self._append, args=(number,)) for number in numbers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number in numbers:
            if self.run.told.get(number) == "unknown":
                self._settle(number, self.run.history.steps[number])
        self._durable(numbers[-1])

    def _append(self, number: int) -> None:
        assert self.store is not None
        try:
            self.store.append(self.run.history.steps[number].batch)
        except OutcomeUnknown:
            self.run.told[number] = "unknown"
        except AppendFailed:
            self.run.told[number] = "refused"
        except Exception as error:
            self.run.untyped.append(f"step {number}: {error!r}")
        else:
            self.run.told[number] = "done"
            self._note(f"{DONE}{number}", 1)

    def _retain(self, store: SqliteStore, wanted: Retention) -> None:
        assert wanted.max_events is not None
        self._note("removable", max(store.first - 1, store.head - wanted.max_events))
        self._note("gone", store.retain(wanted).first - 1)

    def _done(self, number: int, step: Step) -> None:
        self.run.told[number] = "done"
        if step.kind == "append" and step.batch.durability is Durability.RELAXED:
            return
        self._durable(number)

    def _durable(self, number: int) -> None:
        self.run.durable = number
        self._note("durable", number)

    def _settle(self, number: int, step: Step) -> None:
        """The rule for whoever gets ``OutcomeUnknown``: settle, and look whether it is there."""
        assert self.store is not None
        self.run.told[number] = "unknown"
        if not self._settles:
            raise OutcomeUnknown("the program ends here")
        for attempt in range(TRIES):
            try:
                self.store.settle()
                break
            except (AppendFailed, OutcomeUnknown):
                if attempt + 1 == TRIES:
                    raise
        if step.kind == "append":
            there = {step_of(one.data) for one in self.store.read() if one.type == "sample.counted"}
            self.run.told[number] = "in" if number in there else "out"
            if number not in there:
                self._note("out", number)
        self._durable(number)


class Trusting(Program):
    """The planted bug: what is unknown is taken for done."""

    def _settle(self, number: int, step: Step) -> None:
        super()._settle(number, step)
        self.run.told[number] = "done"


class Definite(Program):
    """The planted bug: what is unknown is taken for refused."""

    def _settle(self, number: int, step: Step) -> None:
        self.run.told[number] = "refused"
        raise OutcomeUnknown("the program ends here")


class Hasty(Program):
    """The planted bug: a step is acknowledged before it is done."""

    def _do(self, number: int, step: Step) -> None:
        self._note("durable", number)
        super()._do(number, step)
