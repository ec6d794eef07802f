"""The peer of the store's benchmarks, ``eventsourcing`` on SQLite, as its own documentation uses it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.logs import SAMPLE

PEER = "eventsourcing"


def available() -> bool:
    """Whether it is installed: it comes with the ``bench`` extra."""
    return importlib.util.find_spec(PEER) is not None


@cache
def aggregate_class() -> Any:
    """An aggregate whose every event carries what ours does. Made once: the peer registers classes by their name."""
    from eventsourcing.domain import Aggregate, event

    class Samples(Aggregate):
        @event("Started")
        def __init__(self) -> None:
            self.count = 0

        @event("Sampled")
        def sample(self, number: int, text: str) -> None:
            self.count += 1

    return Samples


class Peer:
    """One application with one aggregate."""

    def __init__(self, directory: Path) -> None:
        from eventsourcing.application import Application

        directory.mkdir(parents=True, exist_ok=True)
        environment = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(directory / "peer.db")}
        self.application: Any = Application(env=environment)
        self.aggregate: Any = aggregate_class()()
        self.application.save(self.aggregate)

    def append(self, size: int) -> Callable[[], None]:
        """Appends ``size`` events in one transaction."""

        def append() -> None:
            for _ in range(size):
                self.aggregate.sample(SAMPLE.number, SAMPLE.text)
            self.application.save(self.aggregate)

        return append

    def load(self) -> int:
        """The aggregate by its repository: how many events there were."""
        return int(self.application.repository.get(self.aggregate.id).count)

    def replay(self) -> int:
        """Every event as an object, and each applied: how many there were."""
        aggregate = None
        for one in self.application.events.get(self.aggregate.id):
            aggregate = one.mutate(aggregate)
        assert aggregate is not None
        return int(aggregate.count)

    def close(self) -> None:
        """Let go of the file."""
        self.application.close()
