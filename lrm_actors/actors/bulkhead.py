"""A bulkhead: no more calls of one kind under way at a time than the service, or the machine, can bear.

Talks to nobody. Threads and tasks of any event loop wait in one row, first come, first served.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections import deque

from eventstore.frozen import frozen
from lrm_actors.actors.gates import Gate
from lrm_actors.errors import BulkheadFull, SettingsError

Place = concurrent.futures.Future[None]
"""Of one who waits; done when a call that is over hands its room on to him."""


@frozen
class BulkheadStatistics:
    """A bulkhead at one moment."""

    under_way: int
    waiting: int
    rejected: int
    """Calls that were not let through, since it was made."""


class Bulkhead(Gate):
    """Lets ``limit`` calls through at a time.

    Args:
        name: what the rejection says.
        limit: calls under way at a time, at least 1.
        wait_s: seconds that one more waits for room, at least 0; then ``BulkheadFull``.
        max_waiting: who may wait at a time, at least 0; one more is rejected at once.

    Raises:
        SettingsError: a value that it cannot have.
    """

    def __init__(self, name: str, limit: int, *, wait_s: float = 0.0, max_waiting: int = 100) -> None:
        if limit < 1:
            raise SettingsError("limit", limit, "a whole number of at least 1")
        if not 0.0 <= wait_s < float("inf"):
            raise SettingsError("wait_s", wait_s, "a finite number of seconds, at least 0")
        if max_waiting < 0:
            raise SettingsError("max_waiting", max_waiting, "a whole number of at least 0")
        self.name = name
        self.limit = limit
        self._wait_s = wait_s
        self._max_waiting = max_waiting
        self._lock = threading.Lock()
        self._row: deque[Place] = deque()
        self._under_way = 0
        self._rejected = 0

    def statistics(self) -> BulkheadStatistics:
        """Everything countable, at this moment."""
        with self._lock:
            return BulkheadStatistics(self._under_way, len(self._row), self._rejected)

    def __repr__(self) -> str:
        return f"<Bulkhead {self.name!r} {self._under_way} of {self.limit}>"

    def _enter(self) -> None:
        place = self._place()
        if place is None:
            return
        try:
            place.result(self._wait_s)
        except concurrent.futures.TimeoutError:
            self._give_up(place)
        except BaseException:
            self._withdraw(place)
            raise

    async def _enter_async(self) -> None:
        place = self._place()
        if place is None:
            return
        try:
            # Shielded: what ends the wait must not end the place before it is known whether room was handed on.
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(place)), self._wait_s)
        except TimeoutError:
            self._give_up(place)
        except BaseException:
            self._withdraw(place)
            raise

    def _leave(self, error: BaseException | None) -> None:
        with self._lock:
            while self._row:
                place = self._row.popleft()
                if place.set_running_or_notify_cancel():
                    break
            else:
                self._under_way -= 1
                return
        place.set_result(None)

    def _place(self) -> Place | None:
        """None when there is room, which is then taken; else a place in the row."""
        with self._lock:
            if self._under_way < self.limit:
                self._under_way += 1
                return None
            if self._wait_s > 0.0 and len(self._row) < self._max_waiting:
                place: Place = concurrent.futures.Future()
                self._row.append(place)
                return place
            self._rejected += 1
        raise BulkheadFull(self.name, self.limit)

    def _give_up(self, place: Place) -> None:
        """It took too long, unless room was handed on at the last moment."""
        with self._lock:
            if not place.cancel():
                return
            self._forget(place)
            self._rejected += 1
        raise BulkheadFull(self.name, self.limit, self._wait_s)

    def _withdraw(self, place: Place) -> None:
        """Whoever waited was cancelled. Room that was handed on to him goes on to the next."""
        with self._lock:
            gone = place.cancel() or place.cancelled()
            if gone:
                self._forget(place)
        if not gone:
            self._leave(None)

    def _forget(self, place: Place) -> None:
        if place in self._row:
            self._row.remove(place)
