"""Retries that help: only of what another try may mend, further and further apart, and never more than a budget bears.

Talks to the budget. Source of the jitter: "Exponential Backoff And Jitter" (Brooker, 2015), full jitter.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar, cast, overload

import attrs

from eventstore.frozen import frozen
from lrm_actors.actors import retry_budget
from lrm_actors.actors.retry_after import retry_after_s
from lrm_actors.actors.retry_budget import RetryBudget
from lrm_actors.domain.backoff import delay_s
from lrm_actors.errors import LrmError, SettingsError
from lrm_actors.runtime.clock import monotonic_s

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

CAUSES = 8
RETRIED_STATUSES = frozenset((408, 409, 425, 429))
"""Of the client's errors, those that another try may mend; of the server's, all are."""
NEVER = frozenset(("insufficient_quota", "billing_error", "enforced_spend_limit_reached", "context_length_exceeded"))
"""Codes that come with a status that would be retried, and stay the same however often it is tried."""
NETWORK = ("Timeout", "TimedOut", "ConnectError", "ConnectionError", "ReadError", "WriteError", "ProtocolError")
"""Ends of the names that libraries give to errors of the network which are no builtin ones."""


def worth_retrying(error: BaseException) -> bool:
    """Whether another try may mend it, by its attributes and names alone.

    What the service says itself (``x-should-retry``) comes first. Then a status: 408, 409, 425, 429 and from 500 on.
    Else timeouts and errors of the network, along the chain of causes. Bugs, rejections and what is not known are not.
    """
    if not isinstance(error, Exception):
        return False
    cause: BaseException | None = error
    for _ in range(CAUSES):
        if cause is None:
            return False
        if isinstance(cause, LrmError) and not isinstance(cause, TimeoutError):
            return False
        said = _said(cause)
        if said is not None:
            return said
        if isinstance(cause, TimeoutError | ConnectionError) or type(cause).__name__.endswith(NETWORK):
            return True
        cause = cause.__cause__
    return False


def _said(error: BaseException) -> bool | None:
    """What the service said of it, None when it said nothing."""
    with contextlib.suppress(Exception):
        held: Any = error
        response = getattr(held, "response", None)
        if {str(getattr(held, name, "")) for name in ("code", "type", "error_code")} & NEVER:
            return False
        headers = getattr(response, "headers", None)
        asked = None if headers is None else headers.get("x-should-retry")
        if asked in {"true", "false"}:
            return bool(asked == "true")
        for holder in (held, response):
            status = getattr(holder, "status_code", None) or getattr(holder, "status", None)
            if isinstance(status, int) and 400 <= status < 600:
                return status >= 500 or status in RETRIED_STATUSES
    return None


def _positive(instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0.0 < value < float("inf"):
        raise SettingsError(attribute.name, value, "a finite number of seconds above 0")


@frozen
class Retry:
    """How a call is tried again. One object serves any number of calls, threads and event loops at once.

    ``await Retry().call(fetch, url)``, ``Retry().call_blocking(fetch, url)``, or ``@Retry()`` on a function or a
    coroutine function. Put it outside a breaker's guard: each try is then admitted and counted on its own, and a
    rejection is not retried. When no other try is made, the caller gets the error of the last one, with a note why.

    Raises:
        SettingsError: a value that it cannot have.
    """

    attempts: int = attrs.field(default=3, kw_only=True)
    """Tries in all, at least 1."""
    first_s: float = attrs.field(default=0.5, validator=_positive, kw_only=True)
    """Seconds before the first retry, at most; twice as many before each further one, at most ``cap_s``. Each wait is
    anything from 0 to that (full jitter), and not shorter than a Retry-After."""
    cap_s: float = attrs.field(default=30.0, validator=_positive, kw_only=True)
    total_s: float = attrs.field(default=300.0, validator=_positive, kw_only=True)
    """Seconds from the first try on after which no other is begun."""
    retry_after_max_s: float = attrs.field(default=120.0, validator=_positive, kw_only=True)
    """A service that wants to be left alone for longer is: the error is raised at once."""
    on: Callable[[BaseException], object] = attrs.field(default=worth_retrying, kw_only=True)
    """Which errors another try may mend."""
    budget: RetryBudget = attrs.field(factory=lambda: retry_budget.PROCESS, kw_only=True)
    """Shared by the whole process unless another is given."""
    now: Callable[[], float] = attrs.field(default=monotonic_s, kw_only=True, repr=False)
    chance: Callable[[], float] = attrs.field(default=random.random, kw_only=True, repr=False)
    sleep: Callable[[float], object] = attrs.field(default=time.sleep, kw_only=True, repr=False)
    """Waits in ``call_blocking``."""
    sleep_async: Callable[[float], Awaitable[object]] = attrs.field(default=asyncio.sleep, kw_only=True, repr=False)

    def __attrs_post_init__(self) -> None:
        """Refuse what could only go wrong later."""
        if self.attempts < 1:
            raise SettingsError("attempts", self.attempts, "a whole number of at least 1")

    @overload
    async def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...
    async def call(self, function: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call a function until it succeeds or no other try is made, and await what it gives if that can be awaited."""
        tries = _Tries(self)
        while True:
            try:
                result = function(*args, **kwargs)
                if inspect.isawaitable(result):
                    result = await result
            except Exception as error:
                wait_s = tries.wait_s(error)
                if wait_s is None:
                    raise
            else:
                tries.succeeded()
                return result
            await self.sleep_async(wait_s)

    def call_blocking(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a plain function until it succeeds or no other try is made.

        Raises:
            TypeError: a coroutine function calls nothing before it is awaited; use ``call``.
        """
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{function!r} is a coroutine function: await retry.call(...) instead")
        tries = _Tries(self)
        while True:
            try:
                result = function(*args, **kwargs)
            except Exception as error:
                wait_s = tries.wait_s(error)
                if wait_s is None:
                    raise
            else:
                tries.succeeded()
                return result
            self.sleep(wait_s)

    def __call__(self, function: F) -> F:
        """Retry each call of a function.

        Raises:
            TypeError: a generator cannot be begun anew: its reader has had the first items.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{function!r} cannot be tried again: its reader has had the first items")
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                return await self.call(function, *args, **kwargs)

            return cast("F", awaited)

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            return self.call_blocking(function, *args, **kwargs)

        return cast("F", called)


class _Tries:
    """The tries of one call."""

    __slots__ = ("_begun_s", "_made", "_retry")

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._begun_s = retry.now()
        self._made = 1
        retry.budget.began()

    def succeeded(self) -> None:
        """The last try did."""
        if self._made == 1:
            self._retry.budget.succeeded()

    def wait_s(self, error: Exception) -> float | None:
        """Seconds before another try; None when there shall be none, and the error says why."""
        retry = self._retry
        if retry.attempts == 1 or not retry.on(error):
            return None
        if self._made >= retry.attempts:
            error.add_note(f"tried {self._made} times")
            return None
        wait_s = delay_s(self._made, retry.first_s, retry.cap_s, 1.0, retry.chance)
        asked_s = retry_after_s(error)
        if asked_s is not None and asked_s > retry.retry_after_max_s:
            error.add_note(f"not tried again: the service wants to be left alone for {asked_s:g} s")
            return None
        wait_s = max(wait_s, asked_s or 0.0)
        if retry.now() - self._begun_s + wait_s > retry.total_s:
            error.add_note(f"not tried again: that would end after the {retry.total_s:g} s that there are")
            return None
        if not retry.budget.take():
            error.add_note("not tried again: the budget for retries is spent")
            return None
        self._made += 1
        return wait_s
