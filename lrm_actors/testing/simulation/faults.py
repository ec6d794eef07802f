"""What goes wrong on purpose: an actor's next message, the store's next append, the disk, the process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, cast

import attrs

from eventstore.errors import AppendFailed, OutcomeUnknown, StorageFull, StoreClosed
from eventstore.protocol import EventStore
from eventstore.records import Appended, Batch, Grant
from lrm_actors.domain.behavior import Command, Context, Decision, Spec
from lrm_actors.testing.simulation.scheduler import Scheduler

_READING = (
    "acquire",
    "append",
    "attachment",
    "cursor",
    "fold",
    "read",
    "read_stream",
    "receipt",
    "snapshot",
    "subscribe",
    "version",
)


class SimulatedCrash(Exception):
    """What an actor raises that was told to crash."""


class ShakyStore:
    """Stands between a system and its store, and fails when it is told to."""

    def __init__(self, inner: EventStore) -> None:
        self.inner = inner
        self.gone = False
        """The process that used it is no more."""
        self.full = False
        """The disk is full: nothing can be appended until it is not."""
        self.failures: deque[tuple[Exception, bool]] = deque()
        """What the next appends end with, and whether they are stored all the same."""
        self._unsettled = False

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.inner, name)
        if name in _READING:  # methods: looked up once
            setattr(self, name, value)
        return value

    @property
    def head(self) -> int:
        """Position of the newest event."""
        return self.inner.head

    def append(self, batch: Batch) -> Appended:
        """Append, unless something is to go wrong."""
        self._check()
        if self.failures and batch.writes:
            error, stored = self.failures.popleft()
            if stored:
                self.inner.append(batch)
            self._unsettled = isinstance(error, OutcomeUnknown)
            raise error
        return self.inner.append(batch)

    def acquire(self, stream: str) -> Grant:
        """Acquire, unless something is wrong."""
        self._check()
        return self.inner.acquire(stream)

    def settle(self) -> int:
        """Settle, unless the disk is full."""
        if self.full:
            raise StorageFull("the simulated disk is full")
        self._unsettled = False
        return self.inner.settle()

    def _check(self) -> None:
        if self.gone:
            raise StoreClosed("the simulated process was killed")
        if self._unsettled:
            raise OutcomeUnknown("not settled")
        if self.full:
            raise StorageFull("the simulated disk is full")

    def as_store(self) -> EventStore:
        """Itself, as what it stands for."""
        return cast("EventStore", self)


class Saboteur:
    """Makes actors crash or hang on their next message."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.planned: dict[str, deque[BaseException | float]] = {}
        """What happens to the next messages of an actor: it raises this, or hangs for so many seconds."""

    def plan(self, actor: str, what: BaseException | float) -> None:
        """Have this happen on the actor's next message."""
        self.planned.setdefault(actor, deque()).append(what)

    def wrap(self, spec: Spec[Any]) -> Spec[Any]:
        """The same actor, open to sabotage."""
        decide: Callable[[Any, Command, Context], Decision] = spec.decide
        planned = self.planned.setdefault(spec.name, deque())

        def shaky(state: Any, command: Command, ctx: Context) -> Decision:
            if planned:
                what = planned.popleft()
                if isinstance(what, BaseException):
                    raise what
                self._scheduler.block(deque(), f"its handler of {type(command).__name__} to end", what)
            return decide(state, command, ctx)

        return attrs.evolve(spec, decide=shaky)


def definite(text: str = "no space left on the simulated disk") -> AppendFailed:
    """An append that failed with nothing stored."""
    return StorageFull(text)
