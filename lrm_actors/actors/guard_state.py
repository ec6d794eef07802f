"""What a guard knows: in which state it is, by which config it counts, and what its actor published last.

Talks to the breaker's actor by the outbox. Admits nothing and counts nothing: see ``breaker``.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Protocol

from eventstore.frozen import frozen
from eventstore.records import Instant
from lrm_actors.actors.generations import Closed, Generation, HalfOpen, Held, Open, Timed
from lrm_actors.actors.outbox import Outbox
from lrm_actors.actors.windows import window_of
from lrm_actors.domain import breaker
from lrm_actors.domain.behavior import Command
from lrm_actors.domain.breaker import BreakerState
from lrm_actors.domain.breaker_config import CONSECUTIVE, BreakerConfig, check
from lrm_actors.domain.given import is_number, storable_text
from lrm_actors.errors import SettingsError
from lrm_actors.runtime.clock import SystemClock, monotonic_s

RECOUNTED = ("policy", "window_calls", "window_s", "slow_after_s", "cancelled_slow_counts")
"""Of a config: what makes a guard count anew when it changes."""


class GuardClock(Protocol):
    """The part of the clock that a guard needs."""

    def now(self) -> Instant:
        """This moment by both clocks."""

    def monotonic(self) -> float:
        """Seconds on the monotonic clock."""


@frozen
class GuardStatistics:
    """A guard at one moment."""

    state: str
    generation: int
    failure_count: int
    rejected: int
    """Calls that were not let through, since this guard was made."""
    stale: int
    """Results that came too late to count: their generation was over, or their probe's lease."""
    undelivered: int
    """Reports that the actor has not taken yet."""
    lost: int
    """Reports that were dropped because too many waited."""
    would_open: int
    """How often it would have opened, had it not been ``metrics_only``."""


class GuardState:
    """The base of the guard. See ``CircuitBreaker`` for the arguments."""

    def __init__(
        self, service: str, config: BreakerConfig | None, *, tell: Callable[[Command], None], clock: GuardClock
    ) -> None:
        self.service = service
        self.now: Callable[[], float] = monotonic_s if type(clock) is SystemClock else clock.monotonic
        self._config = config if config is not None else BreakerConfig()
        check(self._config)
        self._clock = clock
        self._outbox = Outbox(tell)
        self._lock = threading.Lock()
        self._openings = 0
        self._revision = -1
        self._rejections = itertools.count()
        self._looks = 0
        self._stale = 0
        self._would_open = 0
        self._current: Generation = self._closed(0)

    # --- looking ------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """``closed``, ``open``, ``half_open``, or held: ``forced_closed``, ``disabled``, ``metrics_only``."""
        return self._current.kind

    @property
    def generation(self) -> int:
        """Number of the current state; each state that the breaker enters has the next."""
        return self._current.number

    @property
    def config(self) -> BreakerConfig:
        """Thresholds and times as they are now."""
        return self._config

    @property
    def failure_count(self) -> int:
        """Failures in a row while closed, or the last of those in a window; else those that opened it."""
        return self._current.failure_count

    @property
    def retry_after_s(self) -> float:
        """Seconds after which a call may be let through; 0 when one may be now."""
        current = self._current
        return current.retry_after_s(self.now()) if isinstance(current, Open | HalfOpen) else 0.0

    @property
    def at_rest(self) -> bool:
        """Whether nothing would be lost if it were made anew: closed, without a failure, nothing to tell."""
        current = self._current
        calm = isinstance(current, Closed | Timed) and not isinstance(current, Held) and current.failures is None
        return calm and not self._outbox.waiting

    def statistics(self) -> GuardStatistics:
        """Everything countable, at this moment."""
        with self._lock:
            # A counter that needs no lock is read by stepping it, which is taken off again.
            rejected = next(self._rejections) - self._looks
            self._looks += 1
            current, stale, would_open = self._current, self._stale, self._would_open
        waiting, lost = self._outbox.waiting, self._outbox.lost
        number, count = current.number, current.failure_count
        return GuardStatistics(current.kind, number, count, rejected, stale, waiting, lost, would_open)

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.service!r} {self.state} generation={self.generation}>"

    # --- from the actor -----------------------------------------------------------------------------------------

    def publish(self, state: BreakerState) -> None:
        """Take over what the actor committed.

        Never back to an older generation: a trip of this guard's own that the actor has not heard of yet stands. In the
        same generation the actor is right, and what changes is the config alone, unless it had already moved elsewhere.
        """
        now = self._clock.now()
        with self._lock:
            current = self._current
            if state.revision <= self._revision and state.generation <= current.number:
                return
            self._revision = state.revision
            before, self._config = self._config, state.config
            if state.generation < current.number:
                self._recount(before)
                return
            self._openings = state.openings
            if state.generation > current.number or state.status != current.kind or state.status == breaker.OPEN:
                self._current = self._generation_of(state, now)
            else:
                self._recount(before)

    def configure(self, config: BreakerConfig) -> None:
        """Take other thresholds and times at once, before the actor publishes them.

        Raises:
            SettingsError: they cannot be.
        """
        check(config)
        with self._lock:
            before, self._config = self._config, config
            self._recount(before)

    def force(self, status: str, reason: str, *, for_s: float | None = None) -> None:
        """Have it forced, by the actor and on the record. Returns at once; it holds a moment later.

        Args:
            status: ``open``, ``closed``, ``forced_closed``, ``disabled``, ``metrics_only``, or ``auto`` to let go of
                what is held; see ``ForceState``.
            reason: why, for whoever reads the log.
            for_s: seconds, above 0 and 30 days at most.

        Raises:
            SettingsError: there is no such status, the reason is no text, or it cannot be forced for so long.
        """
        if status not in breaker.FORCIBLE:
            raise SettingsError("status", status, ", ".join(breaker.FORCIBLE))
        if for_s is not None and not (is_number(for_s) and 0.0 < for_s <= breaker.MAX_HOLD_S):
            raise SettingsError("for_s", for_s, "a number of seconds above 0, 30 days at most")
        reason = storable_text("reason", reason)
        self._outbox.send(breaker.ForceState(str(status), reason, None if for_s is None else float(for_s)))

    def _recount(self, before: BreakerConfig) -> None:
        """Count anew if the config now counts another way. A changed threshold holds for the row that is under way."""
        current, after = self._current, self._config
        if all(getattr(before, name) == getattr(after, name) for name in RECOUNTED):
            return
        if isinstance(current, Held):
            self._current = self._held(current.number, current.kind, current.until_s)
        elif isinstance(current, Closed | Timed):
            self._current = self._closed(current.number)

    def _generation_of(self, state: BreakerState, now: Instant) -> Generation:
        failure_count = len(state.last_failures)
        match state.status:
            case breaker.OPEN:
                left_s = 0.0 if state.open_until is None else state.open_until.remaining_s(now)
                return Open(state.generation, self.now() + left_s, failure_count)
            case breaker.HALF_OPEN:
                return self._half_open(state.generation, failure_count)
            case status if status in breaker.HELD:
                left_s = 0.0 if state.held_until is None else state.held_until.remaining_s(now)
                return self._held(state.generation, status, self.now() + left_s)
        return self._closed(state.generation)

    def _closed(self, number: int) -> Closed | Timed:
        config = self._config
        if config.policy != CONSECUTIVE:
            return Timed(number, window_of(config))
        return Timed(number, None) if config.cancelled_slow_counts else Closed(number)

    def _held(self, number: int, kind: str, until_s: float) -> Held:
        return Held(number, None if self._config.policy == CONSECUTIVE else window_of(self._config), kind, until_s)

    def _half_open(self, number: int, failure_count: int) -> HalfOpen:
        return HalfOpen(number, self._config.half_open_permits, self._config.probe_lease_s, failure_count)
