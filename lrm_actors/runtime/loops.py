"""What asking takes from an event loop: to wake it from any thread, and to be told when time is up, both cheaply.

Talks to the loop alone. It knows neither replies nor actors.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections import deque
from collections.abc import Callable

LINES = 16
"""Different lengths of patience that share timers; for one more the loop's own timer is as good."""
SPENT_KEPT = 64
"""Entries of those who wait no more that may stay in a line, or as many as there are others."""


class Waker:
    """Wakes one event loop from any thread and has it call a function.

    Linux has a descriptor for just this, which costs half of the pair of sockets that ``call_soon_threadsafe`` writes
    to. Where it cannot be had, or the loop takes no descriptors, that is used.

    Args:
        loop: made on its own thread.
        call: called there, once for any number of wake-ups before it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
        self._call = call
        self._descriptor = self._watched(loop)

    def wake(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the loop call. Whoever calls this holds on to the loop, and so to the descriptor.

        Raises:
            RuntimeError: the loop is closed.
        """
        if self._descriptor is None:
            loop.call_soon_threadsafe(self._call)
        elif loop.is_closed():
            msg = "the event loop is closed"
            raise RuntimeError(msg)
        else:
            os.eventfd_write(self._descriptor, 1)

    def _watched(self, loop: asyncio.AbstractEventLoop) -> int | None:
        if not hasattr(os, "eventfd") or asyncio._get_running_loop() is not loop:  # noqa: SLF001 - documented
            return None
        try:
            descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except OSError:
            return None
        try:
            loop.add_reader(descriptor, self._woken)
        except (NotImplementedError, OSError):
            os.close(descriptor)
            return None
        # Not before the loop is gone: until then a wake-up may be on its way, and the number must not mean another.
        weakref.finalize(loop, os.close, descriptor).atexit = False
        return descriptor

    def _woken(self) -> None:
        try:
            os.eventfd_read(self._descriptor or 0)
        except BlockingIOError:  # in a process just forked both have seen it
            return
        self._call()


class Patience:
    """Who waits on one event loop, and until when: one timer for all that wait equally long. Used on its thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._lines: dict[float, _Line] = {}

    def call_at(self, until_s: float, wait_s: float, call: Callable[[float], object]) -> Waiting | asyncio.TimerHandle:
        """Call ``call(wait_s)`` at a time of the loop's clock, unless ``cancel`` of what is returned comes first."""
        line = self._lines.get(wait_s)
        if line is None:
            return self._first(until_s, wait_s, call)
        entries = line.entries
        while entries and entries[0].call is None:
            entries.popleft()
        if entries and until_s < entries[-1].until_s:
            return self._alone(until_s, wait_s, call)
        waiting = Waiting(until_s, call)
        entries.append(waiting)
        if len(entries) > line.limit:
            line.shorten()
        return waiting

    def _first(self, until_s: float, wait_s: float, call: Callable[[float], object]) -> Waiting | asyncio.TimerHandle:
        loop = self._loop()
        if loop is None or len(self._lines) >= LINES:
            return self._alone(until_s, wait_s, call)
        line = self._lines[wait_s] = _Line()
        waiting = Waiting(until_s, call)
        line.entries.append(waiting)
        loop.call_at(until_s, self._time_is_up, wait_s)
        return waiting

    def _alone(self, until_s: float, wait_s: float, call: Callable[[float], object]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_at(until_s, call, wait_s)

    def _time_is_up(self, wait_s: float) -> None:
        loop, entries = self._loop(), self._lines[wait_s].entries
        now_s = loop.time() if loop is not None else float("inf")
        while entries:
            first = entries[0]
            if first.call is not None:
                if loop is not None and first.until_s > now_s:
                    loop.call_at(first.until_s, self._time_is_up, wait_s)
                    return
                first.call(wait_s)
            entries.popleft()
        del self._lines[wait_s]


class Waiting:
    """One who waits."""

    __slots__ = ("call", "until_s")

    def __init__(self, until_s: float, call: Callable[[float], object]) -> None:
        self.until_s = until_s
        self.call: Callable[[float], object] | None = call
        """None: waits no more."""

    def cancel(self) -> None:
        """Wait no more."""
        self.call = None


class _Line:
    """Those who wait equally long, in the order in which their time is up, with some who wait no more."""

    __slots__ = ("entries", "limit")

    def __init__(self) -> None:
        self.entries: deque[Waiting] = deque()
        self.limit = SPENT_KEPT

    def shorten(self) -> None:
        """Let go of those who wait no more, wherever they stand; as often as keeps this cheap."""
        self.entries = deque(one for one in self.entries if one.call is not None)
        self.limit = 2 * len(self.entries) + SPENT_KEPT
