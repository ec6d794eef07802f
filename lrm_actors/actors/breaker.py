"""The guard: the caller's side of a circuit breaker, which lets calls through, counts failures and rejects.

Talks to its breaker's actor by ``tell`` alone and never waits for an answer. It trips from closed to open by itself, at
once; closing, opening again and whatever is forced come from the actor through ``publish``.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

import attrs

from lrm_actors.actors.call_rules import CANCELLED, FAILURE, NEUTRAL, CallRules, Matches
from lrm_actors.actors.failures import describe_failure
from lrm_actors.actors.generations import Call, Closed, Generation, HalfOpen, Held, Open, Probe, Ticket, Timed
from lrm_actors.actors.guard_state import GuardClock, GuardState, GuardStatistics
from lrm_actors.actors.retry_after import retry_after_s
from lrm_actors.actors.ways import Using, Ways
from lrm_actors.actors.windows import verdict
from lrm_actors.domain import breaker
from lrm_actors.domain.behavior import Command
from lrm_actors.domain.breaker_config import CONSECUTIVE, MAX_THRESHOLD, BreakerConfig, open_time_s
from lrm_actors.domain.deadlines import deadline
from lrm_actors.errors import CircuitOpen

__all__ = ["CircuitBreaker", "GuardClock", "GuardStatistics"]

RECENT = 20
"""Failures of a window that are told when it trips."""


class BadResult(Exception):
    """A result that ``bad_result`` took for none."""


class CircuitBreaker(GuardState, Ways):
    """Guards the calls to one service. Usable from any thread and any event loop at once.

    ``await breaker.call(fetch, url)``, ``breaker.call_blocking(fetch, url)``, ``with breaker:``,
    ``async with breaker:``, or ``@breaker`` on a function, a coroutine function or a generator function of either kind.
    While the service is failing each of them raises ``CircuitOpen`` instead of calling it.

    An ``Exception`` is a failure and reaches the caller as it is. Neutral, for it says nothing about the service, is
    what is no ``Exception`` (``CancelledError``, ``GeneratorExit``, ``KeyboardInterrupt``, ``SystemExit``), what the
    rules ignore, and the rejection of a guard further in.

    Args:
        service: name of the service.
        config: thresholds and times, until the actor publishes others.
        tell: hands a command to the breaker's actor. What it raises reaches no caller; the command is told again later.
        clock: where time comes from.
        ignore: errors that are the caller's own fault and no sign of the service's health; short for rules.
        rules: how calls are judged where no rules of their own are given by ``using``.
        chance: gives a number in ``[0, 1)``, for the jitter of the open time.
    """

    def __init__(
        self,
        service: str,
        config: BreakerConfig | None = None,
        *,
        tell: Callable[[Command], None],
        clock: GuardClock,
        ignore: Matches = (),
        rules: CallRules | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(service, config, tell=tell, clock=clock)
        self._guard_by(self, CallRules(ignore=ignore) if rules is None else rules)
        self._chance = chance

    def using(
        self,
        *,
        ignore: Matches = (),
        count: Matches | None = None,
        bad_result: Callable[[Any], object] | None = None,
        timeout_s: float | None = None,
        fallback: Callable[[BaseException], Any] | None = None,
        fallback_on: tuple[type[BaseException], ...] | None = None,
    ) -> Using:
        """The same breaker with rules of a call site's own, in place of its rules; see ``CallRules``.

        Raises:
            SettingsError: a rule that cannot be.
        """
        rules = CallRules(ignore, count, bad_result, timeout_s, fallback)
        return Using(self, rules if fallback_on is None else attrs.evolve(rules, fallback_on=fallback_on))

    # --- admission ----------------------------------------------------------------------------------------------

    def admit(self) -> Ticket:
        """Let one call through: the lowest level, for callers that none of the other ways suits.

        Each ticket must go back through ``came_back``.

        Raises:
            CircuitOpen: the service is failing.
        """
        current = self._current
        return current if isinstance(current, Closed) else self._admit_slowly()

    def _admit_slowly(self) -> Ticket:
        """As ``admit``, for every state but the plain closed one."""
        now_s = self.now()
        current = self._current
        if isinstance(current, Open):
            if now_s < current.until_s:
                next(self._rejections)
                if self._outbox.waiting:
                    self._outbox.flush()
                # A new one each time: a stored one collects the traceback of every caller it was ever raised to.
                raise CircuitOpen(self.service, current.until_s - now_s)
            current = self._begin_probing(current)
        if isinstance(current, Held) and now_s >= current.until_s:
            current = self._let_go(current)
        if isinstance(current, Closed):
            return current
        if isinstance(current, Timed):
            return Call(current, now_s)
        probe = current.take(now_s) if isinstance(current, HalfOpen) else None
        if probe is None:
            next(self._rejections)
            self._outbox.flush()
            raise CircuitOpen(self.service, current.retry_after_s(now_s))
        return probe

    def _begin_probing(self, over: Open) -> Generation:
        """The open time is over. The first thread to say so makes the half-open state and reports it."""
        with self._lock:
            if self._current is not over:
                return self._current
            probing = self._half_open(over.number + 1, over.failure_count)
            self._current = probing
        self._outbox.send(breaker.ReportProbeStarted(probing.number))
        return probing

    def _let_go(self, over: Held) -> Generation:
        """The time it was held for is over; by this clock, whatever its actor does."""
        with self._lock:
            if self._current is not over:
                return self._current
            closed = self._current = self._closed(over.number + 1)
        self._outbox.send(breaker.ReportHoldOver(over.number))
        return closed

    # --- results ------------------------------------------------------------------------------------------------

    def answered(self, ticket: Ticket, result: Any, rules: CallRules) -> None:
        """A call that was let through returned. Never raises."""
        if rules.is_bad(result):
            self.came_back(ticket, BadResult(f"bad result: {type(result).__name__}"), rules)
        elif ticket.failures is not None:
            self.came_back(ticket, None, rules)

    def came_back(
        self, ticket: Ticket, error: BaseException | None, rules: CallRules | None = None, *, stream: bool = False
    ) -> None:
        """A call that was let through returned, or raised ``error``. Never raises.

        Args:
            ticket: as it was admitted with.
            error: None for a success.
            rules: that judge the error; the breaker's own when there are none.
            stream: it took as long as its reader wanted, so it was not slow.
        """
        how = None
        if error is not None:
            how = FAILURE if isinstance(error, BadResult) else (rules or self.rules).judge(error)
        if isinstance(ticket, Closed):
            if how is None or how == FAILURE:
                self._count_in_row(ticket, error)
            return
        ended_s = self.now()
        took_s = ended_s - ticket.started_s
        slow = took_s >= self._config.slow_after_s and not stream
        if how == CANCELLED and not (slow and self._config.cancelled_slow_counts):
            how = NEUTRAL
        if how == NEUTRAL:
            if isinstance(ticket, Probe):
                ticket.half_open.give_back(ticket, now_s=ended_s)
            return
        told = ""
        if how == CANCELLED:
            told = f"timeout: cancelled after {took_s:.1f} s"
        elif error is not None:
            told = str(error) if isinstance(error, BadResult) else describe_failure(error)
        elif slow and self._config.policy != CONSECUTIVE:
            told = f"slow: {took_s:.1f} s"
        if isinstance(ticket, Probe):
            self._probe_came_back(ticket, told, error, ended_s)
        else:
            self._timed_came_back(ticket, told, error, slow=slow, ended_s=ended_s)

    def _probe_came_back(self, probe: Probe, told: str, error: BaseException | None, ended_s: float) -> None:
        half_open = probe.half_open
        blocked_until_s, again_s = 0.0, None
        if told:
            again_s = self._asked_for(error)
            open_s = open_time_s(self._config, self._openings + 1, retry_after_s=again_s)
            blocked_until_s = ended_s + open_s
        had_permit = half_open.give_back(probe, now_s=ended_s, blocked_until_s=blocked_until_s)
        if not had_permit or self._current is not half_open:
            self._count_stale()
            return
        self._outbox.send(breaker.ReportProbe(half_open.number, ok=not told, failure=told, retry_after_s=again_s))

    def _timed_came_back(
        self, call: Call, told: str, error: BaseException | None, *, slow: bool, ended_s: float
    ) -> None:
        generation = call.generation
        if self._current is not generation:
            self._count_stale()
            return
        window = generation.window
        if window is None:
            self._count_in_row(generation, error, told)
            return
        if generation.kind == breaker.DISABLED or (not told and window.passed(ended_s, ended_s)):
            return
        totals = window.add(failed=bool(told) and not told.startswith("slow"), slow=slow, now_s=ended_s)
        failures = self._row_of(generation, RECENT)
        failures.append(told)
        share = verdict(self._config, totals)
        if share:
            self._trip(generation, _as_of_now(failures), share, error)

    def _count_in_row(self, generation: Closed | Timed, error: BaseException | None, told: str = "") -> None:
        if self._current is not generation:
            self._count_stale()
        elif error is None:
            generation.failures = None
        elif generation.kind != breaker.DISABLED:
            told = told or (str(error) if isinstance(error, BadResult) else describe_failure(error))
            failures = self._row_of(generation, MAX_THRESHOLD)
            failures.append(told)
            if len(failures) >= self._config.failure_threshold:
                self._trip(generation, _as_of_now(failures), "", error)

    def _row_of(self, generation: Closed | Timed, most: int) -> deque[str]:
        failures = generation.failures
        if failures is None:
            with self._lock:
                # Two threads that fail first at once must count into the same row.
                failures = generation.failures
                if failures is None:
                    failures = generation.failures = deque(maxlen=most)
        return failures

    def _trip(
        self, closed: Closed | Timed, failures: tuple[str, ...], share: str = "", error: BaseException | None = None
    ) -> None:
        """From closed to open, at once and once; the actor is told after."""
        again_s = self._asked_for(error)
        open_s = open_time_s(self._config, 1, random=self._chance, retry_after_s=again_s)
        until = deadline(self._clock.now(), open_s)
        opened = Open(closed.number + 1, until.monotonic_s, len(failures))
        with self._lock:
            if self._current is not closed:
                return
            if isinstance(closed, Held):
                self._would_open += closed.kind == breaker.METRICS_ONLY
                self._current = self._held(closed.number, closed.kind, closed.until_s)
                return
            self._current = opened
            self._openings += 1
        self._outbox.send(breaker.ReportTrip(opened.number, failures, until, share))

    def _asked_for(self, error: BaseException | None) -> float | None:
        return None if error is None else retry_after_s(error, lambda: self._clock.now().wall_s)

    def _count_stale(self) -> None:
        with self._lock:
            self._stale += 1

    async def _finish(self, ticket: Ticket, coroutine: Any, rules: CallRules) -> Any:
        """Await what a plain function made, and count how it ends."""
        try:
            result = await coroutine
        except BaseException as error:
            self.came_back(ticket, error, rules)
            raise
        self.came_back(ticket, None, rules)
        return result


def _as_of_now(failures: deque[str]) -> tuple[str, ...]:
    """What the row holds. Other threads go on adding to it: a copy is one step, reading it one by one is not."""
    return tuple(failures.copy())
