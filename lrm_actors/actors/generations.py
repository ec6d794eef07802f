"""The states a guard can be in. One object per generation; it is never used again once its generation is over.

Talks to nobody. What a call holds while it is under way, its ticket, points back here, so a late result cannot touch a
later generation.
"""

from __future__ import annotations

import threading
from collections import deque

from lrm_actors.actors.windows import Window
from lrm_actors.domain import breaker

BUSY_RETRY_S = 1.0
"""What a rejected caller is told to wait at most, while probes are under way and nobody knows for how long."""


class Closed:
    """Calls go through. Its own ticket: every call shares it, for nothing has to be known of one but its end."""

    __slots__ = ("failures", "number")
    kind = breaker.CLOSED
    calm = True
    """A call can take this very object for its ticket. Together with ``timed`` all that a guarded call looks at."""
    timed = False

    def __init__(self, number: int) -> None:
        self.number = number
        self.failures: deque[str] | None = None
        """The failures in a row; None while there is none, which is all that a successful call looks at."""

    @property
    def failure_count(self) -> int:
        """Failures in a row, or the last of those in a window."""
        failures = self.failures
        return 0 if failures is None else len(failures)


class Timed:
    """Calls go through, and how long each took counts: into a window, or because it may be cancelled too late."""

    __slots__ = ("failures", "number", "window")
    kind = breaker.CLOSED
    calm = False
    timed = True

    def __init__(self, number: int, window: Window | None) -> None:
        self.number = number
        self.window = window
        """None: failures count in a row."""
        self.failures: deque[str] | None = None

    @property
    def failure_count(self) -> int:
        """Failures in a row, or the last of those in a window."""
        failures = self.failures
        return 0 if failures is None else len(failures)


class Held(Timed):
    """Somebody has said that calls go through, for a time."""

    __slots__ = ("kind", "until_s")
    timed = False

    def __init__(self, number: int, window: Window | None, kind: str, until_s: float) -> None:
        super().__init__(number, window)
        self.kind = kind
        self.until_s = until_s
        """Monotonic time."""


class Open:
    """Calls are rejected until its time is over."""

    __slots__ = ("failure_count", "number", "until_s")
    kind = breaker.OPEN
    calm = False
    timed = False

    def __init__(self, number: int, until_s: float, failure_count: int) -> None:
        self.number = number
        self.until_s = until_s
        """Monotonic time."""
        self.failure_count = failure_count

    def retry_after_s(self, now_s: float) -> float:
        """Seconds left."""
        return max(0.0, self.until_s - now_s)


class HalfOpen:
    """A few probes go through. Its lock is taken by calls to a service in doubt only, never by those to a sound one.

    Args:
        number: the generation.
        permits: probes under way at a time.
        lease_s: a probe that has not come back by then loses its permit.
        failure_count: failures that led here.
    """

    __slots__ = ("_blocked_until_s", "_leases", "_lock", "failure_count", "lease_s", "number", "permits")
    kind = breaker.HALF_OPEN
    calm = False
    timed = False

    def __init__(self, number: int, permits: int, lease_s: float, failure_count: int) -> None:
        self.number = number
        self.permits = permits
        self.lease_s = lease_s
        self.failure_count = failure_count
        # Reentrant: an abandoned generator gives its permit back wherever the collector happens to end it.
        self._lock = threading.RLock()
        self._leases: dict[Probe, float] = {}
        self._blocked_until_s = 0.0

    def take(self, now_s: float) -> Probe | None:
        """A permit for one probe; None when all are out or one of them failed."""
        with self._lock:
            if now_s < self._blocked_until_s:
                return None
            if len(self._leases) >= self.permits:
                self._drop_expired(now_s)
                if len(self._leases) >= self.permits:
                    return None
            probe = Probe(self, now_s)
            # The lease is what counts as the permit, so one that gets lost from here on is back when it runs out.
            self._leases[probe] = now_s + self.lease_s
            return probe

    def give_back(self, probe: Probe, *, now_s: float, blocked_until_s: float = 0.0) -> bool:
        """The permit is free again. False when the probe had lost it to its lease; then nothing else happens.

        Args:
            probe: the holder.
            now_s: monotonic time; a lease that is over by then is, though nobody else has taken the permit.
            blocked_until_s: let no other probe through before this monotonic time, for this one failed. The actor
                decides long before, unless it is dead.
        """
        with self._lock:
            until_s = self._leases.pop(probe, None)
            if until_s is None or now_s >= until_s:
                return False
            self._blocked_until_s = max(self._blocked_until_s, blocked_until_s)
            return True

    def retry_after_s(self, now_s: float) -> float:
        """Seconds after which another probe may get through: a guess while probes are under way."""
        with self._lock:
            blocked_s = self._blocked_until_s - now_s
            if blocked_s > 0.0:
                return blocked_s
            if len(self._leases) < self.permits:
                return 0.0
            return max(0.0, min(BUSY_RETRY_S, min(self._leases.values()) - now_s))

    def _drop_expired(self, now_s: float) -> None:
        for probe, until_s in list(self._leases.items()):
            if until_s <= now_s:
                self._leases.pop(probe, None)


class Call:
    """Ticket of one call through a guard that wants to know how long it took."""

    __slots__ = ("generation", "started_s")
    failures: tuple[()] = ()
    """Never None, so that its success is looked at, unlike that of a call through a guard without failures."""

    def __init__(self, generation: Timed, started_s: float) -> None:
        self.generation = generation
        self.started_s = started_s


class Probe:
    """Ticket of one call through a half-open guard."""

    __slots__ = ("half_open", "started_s")
    failures: tuple[()] = ()
    """As of ``Call``."""

    def __init__(self, half_open: HalfOpen, started_s: float = 0.0) -> None:
        self.half_open = half_open
        self.started_s = started_s


Generation = Closed | Timed | Open | HalfOpen
Ticket = Closed | Call | Probe
"""Held by a call that was let through, until it comes back."""
