"""The guard: the caller's side of a circuit breaker, which lets calls through, counts failures and rejects.

Talks to its breaker's actor by ``tell`` alone and never waits for an answer. It trips from closed to open by itself, at
once; closing, opening again and whatever is forced come from the actor through ``publish``.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from types import CoroutineType, TracebackType
from typing import Any, ParamSpec, Protocol, Self, TypeVar, cast, overload

import attrs

from eventstore.records import Instant
from lrm_actors.actors.entries import Entry, Ticket, enter, guard_async_generator, guard_generator, leave
from lrm_actors.actors.failures import describe_failure
from lrm_actors.actors.generations import Closed, HalfOpen, Open, Probe
from lrm_actors.actors.outbox import Outbox
from lrm_actors.domain import breaker
from lrm_actors.domain.behavior import Command, Effect
from lrm_actors.domain.breaker import BreakerConfig, BreakerState, PublishBreaker
from lrm_actors.domain.deadlines import deadline
from lrm_actors.errors import CircuitOpen

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class GuardClock(Protocol):
    """The part of the clock that a guard needs."""

    def now(self) -> Instant:
        """This moment by both clocks."""

    def monotonic(self) -> float:
        """Seconds on the monotonic clock."""


@attrs.frozen
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


class CircuitBreaker:
    """Guards the calls to one service. Usable from any thread and any event loop at once.

    ``await breaker.call(fetch, url)``, ``breaker.call_blocking(fetch, url)``, ``with breaker:``,
    ``async with breaker:``, or ``@breaker`` on a function, a coroutine function or a generator function of either kind.
    While the service is failing each of them raises ``CircuitOpen`` instead of calling it.

    An ``Exception`` is a failure and reaches the caller as it is. Neutral, for it says nothing about the service, is
    what is no ``Exception`` (``CancelledError``, ``GeneratorExit``, ``KeyboardInterrupt``, ``SystemExit``), what is in
    ``ignore``, and the ``CircuitOpen`` of a guard further in.

    Args:
        service: name of the service.
        config: thresholds and times, until the actor publishes others.
        tell: hands a command to the breaker's actor. What it raises reaches no caller; the command is told again later.
        clock: where time comes from.
        ignore: types of errors that are the caller's own fault and no sign of the service's health.
    """

    def __init__(
        self,
        service: str,
        config: BreakerConfig | None = None,
        *,
        tell: Callable[[Command], None],
        clock: GuardClock,
        ignore: tuple[type[BaseException], ...] = (),
    ) -> None:
        self.service = service
        self._config = config if config is not None else BreakerConfig()
        self._clock = clock
        self._ignore: tuple[type[BaseException], ...] = (CircuitOpen, *ignore)
        self._outbox = Outbox(tell)
        self._lock = threading.Lock()
        self._current: Closed | Open | HalfOpen = Closed(0)
        self._openings = 0
        self._revision = -1
        self._rejected = 0
        self._stale = 0

    # --- looking ------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """``closed``, ``open`` or ``half_open``."""
        return self._current.kind

    @property
    def generation(self) -> int:
        """Number of the current state; each state that the breaker enters has the next."""
        return self._current.number

    @property
    def failure_count(self) -> int:
        """Failures in a row while closed; else those that opened it."""
        return self._current.failure_count

    @property
    def retry_after_s(self) -> float:
        """Seconds after which a call may be let through; 0 when one may be now."""
        current = self._current
        return 0.0 if isinstance(current, Closed) else current.retry_after_s(self._clock.monotonic())

    def statistics(self) -> GuardStatistics:
        """Everything countable, at this moment."""
        with self._lock:
            current, rejected, stale = self._current, self._rejected, self._stale
        waiting, lost = self._outbox.waiting, self._outbox.lost
        return GuardStatistics(current.kind, current.number, current.failure_count, rejected, stale, waiting, lost)

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.service!r} {self.state} generation={self.generation}>"

    # --- guarding -----------------------------------------------------------------------------------------------

    @overload
    async def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...
    async def call(self, function: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call a function and await what it gives if that can be awaited.

        Raises:
            CircuitOpen: the service is failing; nothing was called.
        """
        with Entry(self):
            result = function(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

    def call_blocking(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a plain function.

        Raises:
            CircuitOpen: the service is failing; nothing was called.
            TypeError: a coroutine function calls nothing before it is awaited; use ``call``.
        """
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{function!r} is a coroutine function: await breaker.call(...) instead")
        with Entry(self):
            return function(*args, **kwargs)

    def __call__(self, function: F) -> F:
        """Guard each call of a function: ``@breaker``. A generator is guarded from its first item to its end."""
        if inspect.isasyncgenfunction(function):
            return cast("F", guard_async_generator(self, function))
        if inspect.isgeneratorfunction(function):
            return cast("F", guard_generator(self, function))
        if inspect.iscoroutinefunction(function):
            return cast("F", self._coroutine(function))
        return cast("F", self._plain(function))

    def __enter__(self) -> Self:
        enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        leave(self, error)

    async def __aenter__(self) -> Self:
        enter(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        leave(self, error)

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
            self._config = state.config
            if state.generation < current.number:
                return
            self._openings = state.openings
            if state.generation > current.number or state.status != current.kind or state.status == breaker.OPEN:
                self._current = self._generation_of(state, now)

    def _generation_of(self, state: BreakerState, now: Instant) -> Closed | Open | HalfOpen:
        failure_count = len(state.last_failures)
        match state.status:
            case breaker.OPEN:
                left_s = 0.0 if state.open_until is None else state.open_until.remaining_s(now)
                return Open(state.generation, self._clock.monotonic() + left_s, failure_count)
            case breaker.HALF_OPEN:
                return self._half_open(state.generation, failure_count)
        return Closed(state.generation)

    # --- admission and results ----------------------------------------------------------------------------------

    def admit(self) -> Ticket:
        """Let one call through: the lowest level, for callers that none of the other ways suits.

        Each ticket must go back through ``came_back``.

        Raises:
            CircuitOpen: the service is failing.
        """
        current = self._current
        return current if isinstance(current, Closed) else self._admit_probe()

    def _admit_probe(self) -> Ticket:
        now_s = self._clock.monotonic()
        current = self._current
        if isinstance(current, Open) and now_s >= current.until_s:
            current = self._begin_probing(current)
        if isinstance(current, Closed):
            return current
        probe = current.take(now_s) if isinstance(current, HalfOpen) else None
        if probe is not None:
            return probe
        with self._lock:
            self._rejected += 1
        self._outbox.flush()
        # A new one each time: a stored exception collects the traceback of every caller it was ever raised to.
        raise CircuitOpen(self.service, current.retry_after_s(now_s))

    def _begin_probing(self, over: Open) -> Closed | Open | HalfOpen:
        """The open time is over. The first thread to say so makes the half-open state and reports it."""
        with self._lock:
            if self._current is not over:
                return self._current
            probing = self._half_open(over.number + 1, over.failure_count)
            self._current = probing
        self._outbox.send(breaker.ReportProbeStarted(probing.number))
        return probing

    def _half_open(self, number: int, failure_count: int) -> HalfOpen:
        return HalfOpen(number, self._config.half_open_permits, self._config.probe_lease_s, failure_count)

    def came_back(self, ticket: Ticket, error: BaseException | None) -> None:
        """A call that was let through returned, or raised ``error``. Never raises."""
        neutral = error is not None and (not isinstance(error, Exception) or isinstance(error, self._ignore))
        if isinstance(ticket, Probe):
            self._probe_came_back(ticket, error, neutral=neutral)
        elif neutral:
            pass
        elif self._current is not ticket:
            self._count_stale()
        elif error is None:
            ticket.failures = None
        else:
            self._count_failure(ticket, error)

    def _probe_came_back(self, probe: Probe, error: BaseException | None, *, neutral: bool) -> None:
        half_open = probe.half_open
        if neutral:
            half_open.give_back(probe)
            return
        blocked_until_s = 0.0
        if error is not None:
            open_s = breaker.open_time_s(self._config, self._openings + 1)
            blocked_until_s = self._clock.monotonic() + open_s
        had_permit = half_open.give_back(probe, blocked_until_s=blocked_until_s)
        if not had_permit or self._current is not half_open:
            self._count_stale()
            return
        failure = "" if error is None else describe_failure(error)
        self._outbox.send(breaker.ReportProbe(half_open.number, ok=error is None, failure=failure))

    def _count_failure(self, closed: Closed, error: BaseException) -> None:
        failures = closed.failures
        if failures is None:
            with self._lock:
                # Two threads that fail first at once must count into the same row.
                failures = closed.failures
                if failures is None:
                    failures = closed.failures = deque()
        failures.append(describe_failure(error))
        if len(failures) >= self._config.failure_threshold:
            self._trip(closed, tuple(failures))

    def _trip(self, closed: Closed, failures: tuple[str, ...]) -> None:
        """From closed to open, at once and once; the actor is told after."""
        until = deadline(self._clock.now(), self._config.recovery_timeout_s)
        opened = Open(closed.number + 1, until.monotonic_s, len(failures))
        with self._lock:
            if self._current is not closed:
                return
            self._current = opened
            self._openings += 1
        self._outbox.send(breaker.ReportTrip(opened.number, failures, until))

    def _count_stale(self) -> None:
        with self._lock:
            self._stale += 1

    # --- wrapping -----------------------------------------------------------------------------------------------

    def _plain(self, function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            # One attribute read and a look at its class is all that a call to a sound service pays for admission.
            current = self._current
            ticket = current if isinstance(current, Closed) else self._admit_probe()
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                self.came_back(ticket, error)
                raise
            if type(result) is CoroutineType:
                # A plain function that made a coroutine has not called the service yet.
                return cast("T", self._finish(ticket, result))
            if ticket.failures is not None:
                self.came_back(ticket, None)
            return result

        return guarded

    def _coroutine(self, function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        @functools.wraps(function)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            current = self._current
            ticket = current if isinstance(current, Closed) else self._admit_probe()
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                self.came_back(ticket, error)
                raise
            if ticket.failures is not None:
                self.came_back(ticket, None)
            return result

        return guarded

    async def _finish(self, ticket: Ticket, coroutine: Any) -> Any:
        try:
            result = await coroutine
        except BaseException as error:
            self.came_back(ticket, error)
            raise
        self.came_back(ticket, None)
        return result


class BreakerRegistry:
    """The guards of one system, by service, and how they hear from their actors."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guards: dict[str, CircuitBreaker] = {}
        self._states: dict[str, BreakerState] = {}

    def add(self, guard: CircuitBreaker) -> CircuitBreaker:
        """Keep a guard, brought up to what its actor published before; the one kept already if there is one."""
        with self._lock:
            kept = self._guards.setdefault(guard.service, guard)
            state = self._states.get(guard.service)
        if state is not None:
            kept.publish(state)
        return kept

    def get(self, service: str) -> CircuitBreaker | None:
        """The guard of a service, if there is one."""
        return self._guards.get(service)

    def guards(self) -> dict[str, CircuitBreaker]:
        """All guards by service, as they are at this moment."""
        with self._lock:
            return dict(self._guards)

    def publish(self, state: BreakerState) -> None:
        """Hand an actor's committed state to its guard, or keep it until there is one."""
        with self._lock:
            known = self._states.get(state.service)
            if known is None or known.revision <= state.revision:
                self._states[state.service] = state
            guard = self._guards.get(state.service)
        if guard is not None:
            guard.publish(state)

    def handlers(self) -> Mapping[type[Effect], Callable[[Any], Command | None]]:
        """How the breakers' effects are carried out."""
        return {PublishBreaker: self._publish}

    def _publish(self, effect: PublishBreaker) -> None:
        self.publish(effect.state)
