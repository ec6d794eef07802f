"""Actors and stores for the tests of the runtime: a counter that can be told to fail, and a store that can."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from eventstore.errors import AppendFailed, OutcomeUnknown, StorageFull
from eventstore.events import event
from eventstore.memory import MemoryStore
from eventstore.records import Appended, Batch, Grant
from lrm_actors.domain.behavior import Command, Context, Decision, Effect, Spec, StartTimer, then
from lrm_actors.errors import CommandRefused
from lrm_actors.runtime.system import ActorSystem

PATIENCE_S = 10.0
"""How long a test waits for what must happen; only a failing test waits this long."""


@event("counting.added", 1)
class Added:
    amount: int


@event("counting.noted", 1)
class Noted:
    text: str


@attrs.frozen
class Count:
    total: int = 0
    history: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


@attrs.frozen
class Add(Command):
    amount: int


@attrs.frozen
class AddLater(Command):
    amount: int
    delay_s: float


@attrs.frozen
class Note(Command):
    text: str


@attrs.frozen
class Look(Command):
    pass


@attrs.frozen
class Raise(Command):
    """Fail with this error while deciding."""

    make: Callable[[], BaseException]


@attrs.frozen
class Refuse(Command):
    pass


@attrs.frozen
class Wait(Command):
    """Hold the actor inside its handler until the event is set. Impure on purpose: it stands for a hung handler."""

    entered: threading.Event
    release: threading.Event


@attrs.frozen
class Shout(Effect):
    text: str


@attrs.frozen
class ShoutLoud(Command):
    text: str


def decide(state: Count, command: Any, _ctx: Context) -> Decision:
    """The counter's decisions."""
    match command:
        case Add(amount=amount):
            return then(Added(amount), reply=state.total + amount)
        case AddLater(amount=amount, delay_s=delay_s):
            return then(effects=[StartTimer("later", delay_s, Add(amount))])
        case Note(text=text):
            return then(Noted(text))
        case Look():
            return then(reply=state.total)
        case Raise(make=make):
            raise make()
        case Refuse():
            msg = "the counter refuses"
            raise CommandRefused(msg, actor="counter")
        case Wait(entered=entered, release=release):
            entered.set()
            release.wait()
            return then(reply=state.total)
        case ShoutLoud(text=text):
            return then(Noted(text), effects=[Shout(text)], reply="decided")
    msg = f"no such command: {command!r}"
    raise TypeError(msg)


def evolve(state: Count, fact: Any) -> Count:
    """The counter's fold."""
    match fact:
        case Added(amount=amount):
            return attrs.evolve(state, total=state.total + amount, history=(*state.history, amount))
        case Noted(text=text):
            return attrs.evolve(state, notes=(*state.notes, text))
    return state


def counter(name: str = "counter", **options: Any) -> Spec[Count]:
    """A counter's spec."""
    return Spec(name, Count(), decide, evolve, **options)


@contextmanager
def running(*specs: Spec[Any], store: Any = None, **options: Any) -> Iterator[ActorSystem]:
    """A started system over a store in memory, stopped at the end."""
    system = ActorSystem(MemoryStore() if store is None else store, specs, **options)
    system.start()
    try:
        yield system
    finally:
        system.stop(deadline_s=2.0)


def eventually(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """Wait until ``condition()`` is truthy, and return it. For states that no event announces."""
    pause = threading.Event()
    for _ in range(int(PATIENCE_S / 0.005)):
        value = condition()
        if value:
            return value
        pause.wait(0.005)
    msg = f"{what} did not come true"
    raise AssertionError(msg)


class FailingStore(MemoryStore):
    """A store in memory whose appends can be made to fail, before or after they take effect."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.unknown: str | None = None
        """``stored`` or ``lost``: the next append ends with OutcomeUnknown, having happened or not."""
        self.unsettled = False
        self.failed = threading.Event()

    def append(self, batch: Batch) -> Appended:
        if self.unsettled:
            raise OutcomeUnknown("not settled")
        if self.full:
            self.failed.set()
            raise StorageFull("no space left on device")
        if self.unknown is not None and batch.writes:
            kept, self.unknown = self.unknown, None
            if kept == "stored":
                super().append(batch)
            self.unsettled = True
            self.failed.set()
            raise OutcomeUnknown("fsync failed")
        return super().append(batch)

    def acquire(self, stream: str) -> Grant:
        if self.unsettled:
            raise OutcomeUnknown("not settled")
        if self.full:
            self.failed.set()
            raise AppendFailed("no space left on device")
        return super().acquire(stream)

    def settle(self) -> int:
        if self.full:
            raise StorageFull("no space left on device")
        self.unsettled = False
        return super().settle()
