"""Event-sourced actors over a log on disk that waits for the disk at each commit: told, wired, fenced."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from eventstore.events import event
from eventstore.opening import open_store
from eventstore.records import Batch, Durability, NewEvent, Record, StreamWrite
from eventstore.store import SqliteStore
from lrm_actors.domain.behavior import Command, Context, Decision, Spec, Wire, then
from lrm_actors.runtime.system import ActorSystem

PRODUCER, CONSUMER = "producer", "consumer"
CAPACITY = 1_000_000
"""The producer of messages shall not be refused here."""


@event("benchmark.counted", 1)
class Counted:
    """One told command."""

    amount: int


@attrs.frozen
class Count:
    """What both actors keep."""

    total: int = 0


@attrs.frozen
class Add(Command):
    """Told to the producer, and wired on to the consumer."""

    amount: int


class Tellers:
    """A system of one actor that stores an event for each command, and maybe of another that is wired to it.

    Args:
        store: its log.
        wired: whether there is a consumer of each event. It decides on each, and stores no event of its own.
    """

    def __init__(self, store: SqliteStore, *, wired: bool = False) -> None:
        self._done = {PRODUCER: threading.Event(), CONSUMER: threading.Event()}
        self._left = dict.fromkeys(self._done, 0)
        self._names = (PRODUCER, CONSUMER) if wired else (PRODUCER,)
        specs = [Spec(PRODUCER, Count(), self._produce, add, mailbox_capacity=CAPACITY)]
        wires = []
        if wired:
            specs.append(Spec(CONSUMER, Count(), self._consume, add))
            wires.append(Wire(Counted, CONSUMER, forward, start="end"))
        self.system = ActorSystem(store, specs, wires=wires)
        self.system.start()

    def close(self) -> None:
        """End the actors; the log stays open."""
        self.system.stop()

    def tells_per_s(self, messages: int) -> float:
        """From the first tell until the last is stored, and the consumer, if there is one, has decided on it."""
        for name in self._names:
            self._left[name] = messages
            self._done[name].clear()
        began = time.perf_counter()
        tell = self.system.tell
        for _ in range(messages - 1):
            tell(PRODUCER, Add(1))
        # Asked, so that this thread knows when everything up to it is in the log.
        self.system.ask_blocking(PRODUCER, Add(1), timeout_s=600)
        for name in self._names:
            self._done[name].wait(600)
        return messages / (time.perf_counter() - began)

    def _produce(self, _state: Count, command: Add, _ctx: Context) -> Decision:
        self._count(PRODUCER)
        return then(Counted(command.amount))

    def _consume(self, _state: Count, _command: Add, _ctx: Context) -> Decision:
        self._count(CONSUMER)
        return then()

    def _count(self, name: str) -> None:
        self._left[name] -= 1
        if not self._left[name]:
            self._done[name].set()


def add(state: Count, fact: object) -> Count:
    """Fold one event."""
    return Count(state.total + fact.amount) if isinstance(fact, Counted) else state


def forward(fact: Counted, _record: Record) -> Command:
    """What a counted command becomes for the consumer."""
    return Add(fact.amount)


@contextmanager
def tellers(directory: Path, *, wired: bool = False) -> Iterator[Tellers]:
    """Such a system over a log of its own."""
    directory.mkdir()
    with open_store(directory / "lrm.db") as store:
        actors = Tellers(store, wired=wired)
        try:
            yield actors
        finally:
            actors.close()


class Appender:
    """One stream that is appended to an event at a time, with its epoch checked or without.

    Args:
        store: the log.
        stream: name of the stream.
        fenced: whether each append proves that it owns the stream.
    """

    def __init__(self, store: SqliteStore, stream: str, *, fenced: bool = True) -> None:
        self._store = store
        self._stream = stream
        grant = store.acquire(stream) if fenced else None
        self._epoch = None if grant is None else grant.epoch
        self._version = store.version(stream)

    def append(self, durability: Durability = Durability.STRICT) -> None:
        """Append one event in a transaction of its own."""
        write = StreamWrite(self._stream, (NewEvent(Counted(1), correlation_id="c"),), self._version, self._epoch)
        self._version = self._store.append(Batch((write,), durability=durability)).versions[self._stream]

    def commits_per_s(self, appends: int) -> float:
        """Appends per second, each waiting for the disk."""
        began = time.perf_counter()
        for _ in range(appends):
            self.append()
        return appends / (time.perf_counter() - began)

    def cpu_s(self, appends: int) -> float:
        """Processor time of this thread for appends that do not wait for the disk."""
        began = time.thread_time()
        for _ in range(appends):
            self.append(Durability.RELAXED)
        return time.thread_time() - began
