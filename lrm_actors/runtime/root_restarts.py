"""Restarts that nobody has to decide on: those of the supervisor, and of every actor where there is none.

Talks to the control lanes and the clock. Any thread may ask: the one that failed does it itself, so that it need not
wait for another thread to tell it what it knows.
"""

from __future__ import annotations

import threading
from typing import Any, Protocol

from lrm_actors.runtime.clock import Clock
from lrm_actors.runtime.control import Restart

RESTART_FIRST_S, RESTART_MAX_S = 0.05, 5.0
"""Backoff of these restarts. The first one comes at once."""
RESTART_CALM_S = 60.0
"""Seconds without such a restart after which that backoff begins anew."""


class Restartable(Protocol):
    """What is needed of a system."""

    @property
    def clock(self) -> Clock:
        """The time, and whoever is woken later."""

    def command(self, name: str, control: Any) -> None:
        """Put something on an actor's control lane."""


class RootRestarts:
    """Restarts actors, each after a longer pause."""

    def __init__(self, system: Restartable) -> None:
        self._system = system
        self._lock = threading.Lock()
        self._restarts: dict[str, tuple[int, float]] = {}
        """By actor: how many in a row, and when the last of them was asked for."""

    def restart(self, name: str) -> None:
        """Restart an actor: now the first time, later and later when it fails again and again."""
        now_s = self._system.clock.monotonic()
        with self._lock:
            attempt, last_s = self._restarts.get(name, (0, now_s))
            if now_s - last_s > RESTART_CALM_S:
                attempt = 0
            self._restarts[name] = (attempt + 1, now_s)
        if not attempt:
            self._system.command(name, Restart())
            return
        delay_s = min(RESTART_MAX_S, RESTART_FIRST_S * 2 ** min(attempt, 16))
        self._system.clock.call_later(delay_s, lambda: self._system.command(name, Restart()))
