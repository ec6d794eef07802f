"""Where time comes from: both clocks and the timers, so that a test can own all of it.

Talks to nobody. Nothing else in the runtime asks the operating system for the time.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable, Collection
from typing import Protocol

from eventstore.opening import system_instant
from eventstore.records import Instant

logger = logging.getLogger(__name__)

Cancel = Callable[[], None]

monotonic_s: Callable[[], float] = time.monotonic
"""The machine's monotonic clock, in seconds, for what may be made without a ``Clock``."""

LONGEST_WAIT_S = 3600.0
"""Seconds the timer thread waits at most before it looks again: the platform refuses to wait for ever so long."""
CANCELLED_KEPT = 64
"""Cancelled calls that may stay in the heap, or as many as there are pending ones."""


class Clock(Protocol):
    """Both clocks, and what shall happen later."""

    def now(self) -> Instant:
        """This moment by both clocks."""

    def monotonic(self) -> float:
        """Seconds on the monotonic clock."""

    def call_later(self, delay_s: float, function: Callable[[], object]) -> Cancel:
        """Call ``function`` once after a delay, on the clock's thread; it must be quick. Returns what cancels it."""

    def close(self) -> None:
        """Drop what has not happened yet."""


class Schedule:
    """Pending calls by due time. Not thread-safe: its owner locks."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []
        self._calls: dict[int, Callable[[], object]] = {}
        self._numbers = itertools.count()

    def add(self, due_s: float, function: Callable[[], object]) -> int:
        """Keep a call until it is due; gives its number."""
        number = next(self._numbers)
        self._calls[number] = function
        heapq.heappush(self._heap, (due_s, number))
        return number

    def cancel(self, number: int) -> None:
        """Forget a call. Nothing happens if it is gone."""
        self._calls.pop(number, None)
        # One that is started anew with each message would otherwise pile up until its first due time.
        if len(self._heap) > 2 * len(self._calls) + CANCELLED_KEPT:
            self._heap = [entry for entry in self._heap if entry[1] in self._calls]
            heapq.heapify(self._heap)

    def next_due_s(self) -> float | None:
        """When the first one is due, None when there is none."""
        while self._heap and self._heap[0][1] not in self._calls:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now_s: float) -> Callable[[], object] | None:
        """Take out the first one if it is due."""
        due_s = self.next_due_s()
        if due_s is None or due_s > now_s:
            return None
        return self._calls.pop(heapq.heappop(self._heap)[1])

    def keep(self, numbers: Collection[int]) -> None:
        """Forget all but these."""
        self._calls = {number: call for number, call in self._calls.items() if number in numbers}

    def clear(self) -> None:
        """Forget all of them."""
        self._heap.clear()
        self._calls.clear()


def _call(function: Callable[[], object]) -> None:
    try:
        function()
    except Exception:
        logger.exception("a timer's function failed")


class SystemClock:
    """The machine's clocks, and one daemon thread for the timers, started with the first of them."""

    def __init__(self) -> None:
        self._schedule = Schedule()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def now(self) -> Instant:
        """This moment by both clocks."""
        return system_instant()

    def monotonic(self) -> float:
        """Seconds on the monotonic clock."""
        return time.monotonic()

    def call_later(self, delay_s: float, function: Callable[[], object]) -> Cancel:
        """Call ``function`` once after a delay, on the timer thread."""
        due_s = time.monotonic() + max(0.0, delay_s)
        with self._changed:
            next_s = self._schedule.next_due_s()
            number = self._schedule.add(due_s, function)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="lrm-timers", daemon=True)
                self._thread.start()
            if next_s is None or due_s < next_s:  # else it wakes before that anyway, and to be woken costs
                self._changed.notify()

        def cancel() -> None:
            with self._changed:
                self._schedule.cancel(number)

        return cancel

    def close(self) -> None:
        """End the timer thread; what is pending never happens."""
        with self._changed:
            self._closed = True
            self._schedule.clear()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                due = self._schedule.pop_due(time.monotonic())
                if due is None:
                    next_s = self._schedule.next_due_s()
                    left_s = LONGEST_WAIT_S if next_s is None else next_s - time.monotonic()
                    self._changed.wait(min(max(0.0, left_s), LONGEST_WAIT_S))
                    continue
            _call(due)


class ManualClock:
    """A clock that a test owns: time stands still until ``advance``, which makes what is due happen, in order.

    Args:
        wall_s: where the wall clock starts.
        boot_id: the boot that the monotonic clock belongs to.
    """

    def __init__(self, *, wall_s: float = 1_700_000_000.0, monotonic_s: float = 1_000.0, boot_id: str = "boot") -> None:
        self._wall_s = wall_s
        self._monotonic_s = monotonic_s
        self._boot_id = boot_id
        self._lock = threading.Lock()
        self._schedule = Schedule()

    def now(self) -> Instant:
        """The moment it stands at."""
        return Instant(self._wall_s, self._monotonic_s, self._boot_id)

    def monotonic(self) -> float:
        """Where the monotonic clock stands."""
        return self._monotonic_s

    def call_later(self, delay_s: float, function: Callable[[], object]) -> Cancel:
        """Call ``function`` when time has been advanced this far, on the advancing thread."""
        with self._lock:
            number = self._schedule.add(self._monotonic_s + max(0.0, delay_s), function)

        def cancel() -> None:
            with self._lock:
                self._schedule.cancel(number)

        return cancel

    def advance(self, seconds: float) -> None:
        """Move both clocks forward; timers fire at their own moments on the way."""
        end_s = self._monotonic_s + seconds
        while True:
            with self._lock:
                next_s = self._schedule.next_due_s()
                reached_s = end_s if next_s is None or next_s > end_s else max(next_s, self._monotonic_s)
                self._wall_s += reached_s - self._monotonic_s
                self._monotonic_s = reached_s
                due = self._schedule.pop_due(reached_s)
            if due is None:
                return
            _call(due)

    def jump_wall(self, seconds: float) -> None:
        """Step the wall clock alone, as an administrator or NTP may."""
        self._wall_s += seconds

    def close(self) -> None:
        """Drop what is pending."""
        with self._lock:
            self._schedule.clear()
