"""Ends what the process left running: asked first, then killed, and looked for again until nothing is left.

Talks to the operating system, a step at a time; whoever has the loop calls ``step``.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable

from lrm_actors.outer.family import Member, is_alive, send

LOOK_EVERY_S = 0.05
"""Seconds between two looks, at first; each is half as long again as the one before, up to"""
LOOK_MOST_S = 0.5
GIVE_UP_S = 10.0
"""Seconds after the kill from which on a process that cannot be ended is left: it is held in the kernel."""


class Clearing:
    """One clearing up.

    Args:
        look: gives the members that live, given those known.
        grace_s: from the request to end until the kill.
        keep: leave them.
    """

    def __init__(self, look: Callable[[Iterable[Member]], frozenset[Member]], grace_s: float, *, keep: bool) -> None:
        now_s = time.monotonic()
        self._look = look
        self._keep = keep
        self._every_s = LOOK_EVERY_S
        self._kill_at_s = now_s + grace_s
        self.next_s = now_s
        """When ``step`` is to be called again, on the monotonic clock."""
        self._known: set[Member] = set()
        self._asked: set[Member] = set()

    @property
    def met(self) -> int:
        """Members that were there at all."""
        return len(self._known)

    def hurry(self) -> None:
        """Kill now."""
        self._kill_at_s = self.next_s = time.monotonic()

    def step(self) -> tuple[Member, ...] | None:
        """Do what is to be done now. Gives what is left when it is over; None: it is not."""
        now_s = time.monotonic()
        alive = {one for one in self._look(self._known) if is_alive(one)}
        self._known |= alive
        if not alive or self._keep or now_s > self._kill_at_s + GIVE_UP_S:
            return tuple(sorted(alive, key=lambda one: one.pid))
        if now_s >= self._kill_at_s:
            for one in alive:
                send(one, signal.SIGKILL)
        else:
            for one in alive - self._asked:
                send(one, signal.SIGTERM)
                send(one, signal.SIGCONT)
            self._asked |= alive
        self.next_s = min(now_s + self._every_s, max(self._kill_at_s, now_s + LOOK_EVERY_S))
        self._every_s = min(LOOK_MOST_S, self._every_s * 1.5)
        return None
