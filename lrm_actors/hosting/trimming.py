"""Keeping the log of a running agent within its limits: the oldest events go, as far as nothing needs them.

Talks to the store and to the running actors, on a worker thread and never on an event loop's. What is removed is put on
record in the log.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from eventstore.errors import EventStoreError
from eventstore.frozen import frozen
from eventstore.records import Batch, NewEvent, Retained, Retention, StreamWrite
from lrm_actors.domain import checkpointer, journal, trimming
from lrm_actors.errors import LrmError
from lrm_actors.hosting.offload import beside
from lrm_actors.inspect.folds import STATELESS
from lrm_actors.inspect.needed import needed_by
from lrm_actors.wiring import WIRES

if TYPE_CHECKING:
    from eventstore.protocol import EventStore
    from lrm_actors.runtime.system import ActorSystem

FIRST_LOOK_S = 10.0
"""Seconds after the start until the log is looked at: a process that is killed again and again does so too."""
LOOK_EVERY_S = 60.0
"""Seconds between two looks at the size, which is two calls of the operating system."""
AFTER_FULL_S = 2.0
"""Seconds that others have to make room on a full disk, before the log is looked at."""
AGE_EVERY_S = 3_600.0
"""Seconds between two removals of what is too old."""
KEPT_AT_LEAST = 10_000
"""Newest events that stay whatever the size is: what happened last is what somebody will ask for."""
SHRINK_TO = 0.75
"""Share of the limit that a log is made small to, so that the limit is not reached again at once."""
MB = 1_000_000

_log = logging.getLogger("lrm_actors.mode")


@frozen
class Limits:
    """What a log may grow to."""

    max_bytes: float
    max_age_s: float


class Trimmer:
    """Looks at the log of one run now and then, and removes its oldest events when it is too large or they are too old.

    Args:
        path: of the log's file.
        store: the log.
        system: the actors that live on it.
        limits: gives the limits of this moment.
    """

    def __init__(self, path: Path, store: EventStore, system: ActorSystem, limits: Callable[[], Limits]) -> None:
        self._path = path
        self._store = store
        self._system = system
        self._limits = limits
        self._ended = threading.Event()
        self._aged_at_s: float | None = None
        self._told = ""
        self._consumers = tuple(sorted({wire.to for wire in WIRES}))

    def begin(self) -> None:
        """Look soon, and again and again until ``end``."""
        self._later(FIRST_LOOK_S)

    def end(self) -> None:
        """Begin nothing any more. A removal under way stops within one of its steps when the log is closed."""
        self._ended.set()

    def look(self) -> None:
        """Look once, on this thread, and remove what is to go. Never raises."""
        try:
            self._look()
        except (EventStoreError, LrmError, OSError) as error:
            if not self._ended.is_set():
                _log.warning("the log could not be made smaller: %s", error)

    def look_soon(self) -> None:
        """The disk is full: look once old checkpoints are gone. Returns at once.

        What is free in the file is given back then, and the log holds back again what it gave up.
        """
        self._aged_at_s = None
        self._system.clock.call_later(AFTER_FULL_S, lambda: beside(self.look))

    def _later(self, delay_s: float) -> None:
        if not self._ended.is_set():
            self._system.clock.call_later(delay_s, lambda: beside(self._look_and_again))

    def _look_and_again(self) -> None:
        try:
            self.look()
        finally:
            self._later(LOOK_EVERY_S)

    def _look(self) -> None:
        from eventstore.sizes import files_size

        limits, now_s = self._limits(), self._system.clock.monotonic()
        if self._aged_at_s is None or now_s - self._aged_at_s >= AGE_EVERY_S:
            self._aged_at_s = now_s
            self._trim(Retention(max_age_s=limits.max_age_s, max_events=KEPT_AT_LEAST), "age")
        size = files_size(self._path)
        if size > limits.max_bytes:
            there = self._store.head - self._first() + 1
            keep = int(there * SHRINK_TO * limits.max_bytes / size)
            self._trim(Retention(max_events=max(keep, KEPT_AT_LEAST)), "size")

    def _first(self) -> int:
        return next((record.position for record in self._store.read(limit=1)), self._store.head + 1)

    def _trim(self, wanted: Retention, because: str) -> None:
        retention = attrs.evolve(
            wanted,
            consumers=self._consumers,
            expendable=tuple(sorted(STATELESS)),
            keep_after=self._needed_after(),
        )
        removed, freed, result = self._remove(retention)
        if result.held_by != "policy":
            # A calm actor has no snapshot, or has not said how far it has read: both may be all that holds the log.
            self._system.take_snapshots()
            more, more_freed, result = self._remove(retention)
            removed, freed = removed + more, freed + more_freed
        if result.held_by.startswith("stream"):
            # So calm that its older snapshots hold the log, as it writes nothing that would make newer ones.
            more, more_freed, result = self._remove(attrs.evolve(retention, newest_snapshot=True))
            removed, freed = removed + more, freed + more_freed
        if removed:
            _log.info("%d old events removed from the log because of its %s", removed, because)
            fact = trimming.LogTrimmed(removed, result.first, freed, because, result.held_by)
            self._store.append(Batch((StreamWrite(trimming.STREAM, (NewEvent(fact),)),)))
        elif because == "size" and self._told != result.held_by:
            self._told = result.held_by
            _log.warning("the log is larger than it should be, and nothing can go: held by %s", result.held_by)

    def _needed_after(self) -> int | None:
        """Going on from one of the newest checkpoints needs the steps since; without one, all of them."""
        state = self._system.state(checkpointer.NAME)
        steps = bool(self._system.state(journal.NAME).committed)
        return needed_by(state.kept, state.config.max_checkpoints, steps=steps)

    def _remove(self, retention: Retention) -> tuple[int, int, Retained]:
        return retain_in_steps(lambda: self._store.retain(retention), ended=self._ended.is_set)


def retain_in_steps(
    step: Callable[[], Retained], *, ended: Callable[[], bool] = lambda: False
) -> tuple[int, int, Retained]:
    """Apply retention until all that may go is gone: a store stops now and then, for others to come in.

    Args:
        step: applies it once.
        ended: whether to stop after the step under way.

    Returns: events removed, bytes given back, and what the last step said.
    """
    removed = freed = 0
    while True:
        result = step()
        removed, freed = removed + result.removed, freed + result.freed_bytes
        if result.held_by != "time" or ended():
            return removed, freed, result
