"""An adaptive throttle: while a service turns down most of what it is sent, send it less, and do not even try the rest.

Talks to nobody. Source: "Handling Overload" in Site Reliability Engineering (Beyer and others, 2016), client-side
throttling: of ``requests`` in the last two minutes, of which the service took ``accepts``, one more is rejected with
the probability ``max(0, (requests - k * accepts) / (requests + 1))``.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable

import attrs

from eventstore.frozen import frozen
from lrm_actors.actors.call_rules import NEUTRAL, CallRules, Matches
from lrm_actors.actors.gates import Gate
from lrm_actors.errors import SettingsError, Throttled
from lrm_actors.runtime.clock import monotonic_s

PARTS = 12
"""Of the window: what is counted goes out of it a part at a time."""


@attrs.define
class _Part:
    until_s: float
    requests: int = 0
    accepts: int = 0


@frozen
class ThrottleStatistics:
    """A throttle at one moment."""

    requests: int
    """In the window, those that were rejected here among them."""
    accepts: int
    share: float
    """Of the calls, from 0 to 1: how many are rejected at the moment."""
    rejected: int
    """Calls that were not let through, since it was made."""


class AdaptiveThrottle(Gate):
    """Rejects a share of the calls that grows with the share that the service turns down.

    An ``Exception`` is a call that was turned down, unless it is to be ignored; what is no ``Exception`` counts as
    neither. A throttle heals by itself: it keeps sending some, and what is accepted lowers the share.

    Args:
        name: what the rejection says.
        k: how many times what is accepted may be sent; less sends less into an overload, and gives up good calls.
        window_s: seconds that are counted, in twelve parts.
        ignore: errors that say nothing about the load of the service.
        count: if given, only these are calls that were turned down.
        now: seconds on the monotonic clock.
        chance: gives a number in ``[0, 1)``.

    Raises:
        SettingsError: a value that it cannot have.
    """

    def __init__(
        self,
        name: str,
        *,
        k: float = 2.0,
        window_s: float = 120.0,
        ignore: Matches = (),
        count: Matches | None = None,
        now: Callable[[], float] = monotonic_s,
        chance: Callable[[], float] = random.random,
    ) -> None:
        if not 1.0 <= k < float("inf"):
            raise SettingsError("k", k, "a finite number of at least 1")
        if not 0.0 < window_s < float("inf"):
            raise SettingsError("window_s", window_s, "a finite number of seconds above 0")
        self.name = name
        self._k = k
        self._window_s = window_s
        self._rules = CallRules(ignore, count)
        self._now = now
        self._chance = chance
        self._lock = threading.Lock()
        self._parts: deque[_Part] = deque()
        self._rejected = 0

    def statistics(self) -> ThrottleStatistics:
        """Everything countable, at this moment."""
        with self._lock:
            self._part()
            requests, accepts = self._sums()
            return ThrottleStatistics(requests, accepts, self._share(requests, accepts), self._rejected)

    def __repr__(self) -> str:
        return f"<AdaptiveThrottle {self.name!r} {self.statistics().share:.0%}>"

    def _enter(self) -> None:
        with self._lock:
            part = self._part()
            share = self._share(*self._sums())
            part.requests += 1
            if share <= 0.0 or self._chance() >= share:
                return
            self._rejected += 1
        raise Throttled(self.name, share)

    def _leave(self, error: BaseException | None) -> None:
        with self._lock:
            part = self._part()
            if error is None:
                part.accepts += 1
            elif not isinstance(error, Exception) or self._rules.judge(error) == NEUTRAL:
                # Neither sent nor accepted, as far as the service's load is concerned.
                part.requests -= 1

    def _part(self) -> _Part:
        """The part that this moment is in. The caller holds the lock."""
        now_s = self._now()
        if not self._parts or now_s >= self._parts[-1].until_s:
            self._parts.append(_Part(now_s + self._window_s / PARTS))
        while self._parts[0].until_s <= now_s - self._window_s:
            self._parts.popleft()
        return self._parts[-1]

    def _sums(self) -> tuple[int, int]:
        return sum(part.requests for part in self._parts), sum(part.accepts for part in self._parts)

    def _share(self, requests: int, accepts: int) -> float:
        return max(0.0, (requests - self._k * accepts) / (requests + 1))
