"""Keeping an actor's state and getting it back: the newest usable snapshot, then the events after it.

Reads the log; what it would write it hands to whoever appends. ``RecoveryGate`` bounds how many do so at once.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from eventstore.codec import decode_state, encode_state
from eventstore.errors import EventRefused
from eventstore.frozen import frozen
from eventstore.protocol import EventReader
from eventstore.records import Snapshot
from lrm_actors.domain.behavior import Spec
from lrm_actors.errors import AskTimeout
from lrm_actors.runtime.machine import here
from lrm_actors.runtime.reply import Reply

logger = logging.getLogger(__name__)

MAX_RECOVERIES = 8
"""Actors that load their state at the same time; more would only take the log and the processor from each other."""
RECOVERY_WAIT_S = 30.0
"""Seconds after which an actor no longer waits for its turn: one before it hangs."""


@frozen
class Recovered:
    """What the log says of an actor."""

    state: Any
    version: int
    snapshot_version: int = 0
    """Version of the snapshot it began from, 0 without one."""


def recover_state(reader: EventReader, spec: Spec[Any]) -> tuple[Any, int]:
    """The state of an actor at the end of its stream, and the version it is at."""
    recovered = recover_from(reader, spec)
    return recovered.state, recovered.version


def recover_from(reader: EventReader, spec: Spec[Any]) -> Recovered:
    """The same, and what it began from."""
    state, version = spec.initial, 0
    snapshot = reader.snapshot(spec.name, schema=spec.state_schema)
    if snapshot is not None:
        try:
            state, version = decode_state(snapshot.data, type(spec.initial)), snapshot.version
        except ValueError as error:
            # A snapshot is a shortcut; the events say the same, slower.
            logger.warning("%s: snapshot at version %d not used: %s", spec.name, snapshot.version, error)
    folded = reader.fold(spec.name, spec.evolve, state, after=version)
    return Recovered(folded.state, folded.version, version)


def snapshot_of(spec: Spec[Any], state: Any, version: int) -> tuple[Snapshot, ...]:
    """A snapshot to be stored, or none where the state cannot be encoded: the log alone is enough to recover."""
    try:
        data = encode_state(state)
    except (EventRefused, TypeError, ValueError) as error:
        logger.warning("%s: its state cannot be kept as a snapshot: %s", spec.name, error)
        return ()
    return (Snapshot(spec.name, version, spec.state_schema, data),)


class RecoveryGate:
    """Lets a bounded number of actors recover at once, in the order in which they came; some go ahead of all others.

    Args:
        limit: how many at once.
        ahead: names of those who go ahead: the supervisor, whom the others need.
    """

    def __init__(self, limit: int = MAX_RECOVERIES, ahead: frozenset[str] = frozenset()) -> None:
        self._limit = limit
        self._ahead = ahead
        self._machine = here()
        self._lock = self._machine.lock()
        self._recovering = 0
        self._waiting: deque[Reply] = deque()
        self._open = False

    @contextmanager
    def slot(self, name: str) -> Iterator[None]:
        """Recover inside. Waits for a turn, but never for longer than ``RECOVERY_WAIT_S``."""
        self._enter(name)
        try:
            yield
        finally:
            self._leave()

    def close(self) -> None:
        """Let everybody in: the system ends, and nobody may wait any more."""
        with self._lock:
            self._open = True
            waiting = list(self._waiting)
            self._waiting.clear()
        for turn in waiting:
            turn.set(None)

    def _enter(self, name: str) -> None:
        with self._lock:
            if self._open or self._recovering < self._limit:
                self._recovering += 1
                return
            turn = self._machine.reply(name)
            if name in self._ahead:
                self._waiting.appendleft(turn)
            else:
                self._waiting.append(turn)
        try:
            turn.get(timeout=RECOVERY_WAIT_S)  # whoever leaves hands its place over
        except AskTimeout:
            logger.warning("%s recovers without waiting any longer for others", name)
            with self._lock, suppress(ValueError):
                self._waiting.remove(turn)
                self._recovering += 1  # else its place was handed over just now

    def _leave(self) -> None:
        with self._lock:
            following = self._waiting.popleft() if self._waiting and self._recovering <= self._limit else None
            if following is None:
                self._recovering -= 1
        if following is not None:
            following.set(None)
