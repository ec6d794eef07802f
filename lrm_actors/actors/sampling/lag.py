"""How late the host's event loop does what it is asked to: it is asked to note the time, about once a second.

Talks to the loop in the one way that is allowed from other threads, and never waits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol


class Loop(Protocol):
    """As much of an event loop as is needed."""

    def call_soon_threadsafe(self, callback: Callable[[], object], /) -> object:
        """Have it call a function."""


class LoopLag:
    """The lag of one loop. Safe from any thread.

    Args:
        loop: the host's.
        monotonic: the time.
    """

    def __init__(self, loop: Loop, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._loop, self._monotonic = loop, monotonic
        self._lock = threading.Lock()
        self._asked_at_s: float | None = None
        self._worst_s: float | None = None

    def ping(self) -> None:
        """Ask the loop to note the time, unless it still owes an answer. Returns at once."""
        with self._lock:
            if self._asked_at_s is not None:
                return
            self._asked_at_s = self._monotonic()
        try:
            self._loop.call_soon_threadsafe(self._pong)
        except RuntimeError:  # it is closed, and owes nothing any more
            with self._lock:
                self._asked_at_s = None

    def take(self) -> float | None:
        """The worst lag since this was last called, in seconds: of answers, and of one that is owed.

        None if the loop was not asked, or is closed.
        """
        with self._lock:
            owed_s = None if self._asked_at_s is None else self._monotonic() - self._asked_at_s
            worst_s, self._worst_s = self._worst_s, None
        known = [lag_s for lag_s in (owed_s, worst_s) if lag_s is not None]
        return round(max(known), 4) if known else None

    def _pong(self) -> None:
        with self._lock:
            if self._asked_at_s is not None:
                lag_s = self._monotonic() - self._asked_at_s
                self._worst_s = max(lag_s, self._worst_s or 0.0)
                self._asked_at_s = None
