"""How many of the last calls failed or were slow: counted in constant time, and without a lock while all goes well.

Talks to nobody. A success costs one step of a counter, whichever thread it comes from; what fails or is slow takes a
lock, adds itself, and gets the totals.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from eventstore.frozen import frozen
from lrm_actors.domain.breaker_config import COUNT, BreakerConfig

PARTS = 10
"""Of a time window: what is counted goes out of it a part at a time."""
FAILED, SLOW = 1, 2


@frozen
class Totals:
    """What a window holds."""

    calls: int
    failures: int
    slow: int


class Window(Protocol):
    """The last calls."""

    def passed(self, started_s: float, ended_s: float) -> bool:
        """Count a success; False, and nothing counted, when it was slow."""

    def add(self, *, failed: bool, slow: bool, now_s: float) -> Totals:
        """Count what failed or was slow; what the window holds with it."""


class CountWindow:
    """The last ``size`` calls.

    Each call takes the next number, and with it a slot, which no other call has before the window has gone round. A
    slot says nothing of a success, so a row of successes writes nothing.
    """

    __slots__ = ("_failures", "_lock", "_next", "_size", "_slots", "_slow", "_slow_after_s")

    def __init__(self, size: int, slow_after_s: float) -> None:
        self._size = size
        self._slow_after_s = slow_after_s
        self._slots = bytearray(size)
        self._next: Iterator[int] = itertools.count()
        self._lock = threading.Lock()
        self._failures = 0
        self._slow = 0

    def passed(self, started_s: float, ended_s: float) -> bool:
        """Count a success; False, and nothing counted, when it was slow."""
        if ended_s - started_s >= self._slow_after_s:
            return False
        slot = next(self._next) % self._size
        if self._slots[slot]:
            self._replace(slot, 0)
        return True

    def add(self, *, failed: bool, slow: bool, now_s: float) -> Totals:
        """Count what failed or was slow; what the window holds with it."""
        number = next(self._next)
        self._replace(number % self._size, FAILED * failed | SLOW * slow)
        return Totals(min(number + 1, self._size), self._failures, self._slow)

    def _replace(self, slot: int, outcome: int) -> None:
        with self._lock:
            before = self._slots[slot]
            self._slots[slot] = outcome
            self._failures += (outcome & FAILED) - (before & FAILED)
            self._slow += ((outcome & SLOW) - (before & SLOW)) // SLOW


class TimeWindow:
    """The calls of the last ``length_s`` seconds of the monotonic clock, in ten parts.

    Source of the parts: the rolling windows of Hystrix and of Polly.
    """

    __slots__ = ("_length_s", "_lock", "_part", "_parts", "_slow_after_s")

    def __init__(self, length_s: float, slow_after_s: float) -> None:
        self._length_s = length_s
        self._slow_after_s = slow_after_s
        self._lock = threading.Lock()
        self._part = _Part(float("-inf"))
        self._parts: deque[_Part] = deque()

    def passed(self, started_s: float, ended_s: float) -> bool:
        """Count a success; False, and nothing counted, when it was slow."""
        if ended_s - started_s >= self._slow_after_s:
            return False
        part = self._part
        if ended_s >= part.until_s:
            with self._lock:
                part = self._part_at(ended_s)
        next(part.passed)
        return True

    def add(self, *, failed: bool, slow: bool, now_s: float) -> Totals:
        """Count what failed or was slow; what the window holds with it."""
        with self._lock:
            part = self._part_at(now_s)
            part.others += 1
            part.failures += failed
            part.slow += slow
            calls = sum(one.calls() for one in self._parts)
            return Totals(calls, sum(one.failures for one in self._parts), sum(one.slow for one in self._parts))

    def _part_at(self, now_s: float) -> _Part:
        """The part that ``now_s`` is in. The caller holds the lock."""
        if now_s >= self._part.until_s:
            self._part = _Part(now_s + self._length_s / PARTS)
            self._parts.append(self._part)
        while self._parts[0].until_s <= now_s - self._length_s:
            self._parts.popleft()
        return self._part


class _Part:
    """A stretch of time that ends at ``until_s``."""

    __slots__ = ("_looks", "failures", "others", "passed", "slow", "until_s")

    def __init__(self, until_s: float) -> None:
        self.until_s = until_s
        self.passed: Iterator[int] = itertools.count()
        """Stepped by each success: the one counter that threads can share without a lock."""
        self._looks = 0
        self.others = 0
        self.failures = 0
        self.slow = 0

    def calls(self) -> int:
        """Calls that ended in it. A counter is read by stepping it, which is taken off again."""
        passed = next(self.passed) - self._looks
        self._looks += 1
        return passed + self.others


def window_of(config: BreakerConfig) -> Window:
    """The window that a config asks for."""
    if config.policy == COUNT:
        return CountWindow(config.window_calls, config.slow_after_s)
    return TimeWindow(config.window_s, config.slow_after_s)


def verdict(config: BreakerConfig, totals: Totals) -> str:
    """Which share of the calls is too large, in words; empty when none is."""
    if totals.calls < config.minimum_calls:
        return ""
    span = "" if config.policy == COUNT else f" in {config.window_s:g} s"
    if totals.failures >= config.failure_rate * totals.calls and totals.failures:
        return f"{totals.failures} of {totals.calls} calls{span} failed"
    if totals.slow >= config.slow_rate * totals.calls and totals.slow:
        return f"{totals.slow} of {totals.calls} calls{span} took {config.slow_after_s:g} s or longer"
    return ""
