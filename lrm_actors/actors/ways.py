"""Every way to guard a call: ``call``, ``call_blocking``, decorator, with-block; for functions and for streams.

Talks to the breaker: one ticket for each call, which goes back to it when the call is over.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, Self, TypeVar, cast, overload

from lrm_actors.actors.call_rules import CallRules
from lrm_actors.actors.entries import enter, innermost, leave, taken_out
from lrm_actors.actors.generations import Ticket
from lrm_actors.actors.wrappers import wrapped
from lrm_actors.errors import CallTimedOut

if TYPE_CHECKING:
    from lrm_actors.actors.breaker import CircuitBreaker

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def _refuse_blocks() -> NoReturn:
    raise TypeError(NO_RESULT)


NO_RESULT = "a with-block has no result, no timeout and no fallback: use a decorator, or call"


class Ways:
    """Guards calls through one breaker, and judges them by one set of rules."""

    breaker: CircuitBreaker
    rules: CallRules
    block: Callable[[], Block]
    """One guarded with-block: ``with breaker.block():`` or ``async with breaker.block():``. As ``with breaker:``, but
    it may be left in another context than it was entered in: the block is an object of its own, which remembers how."""

    def _guard_by(self, breaker: CircuitBreaker, rules: CallRules) -> None:
        """Take the breaker and the rules."""
        self.breaker = breaker
        self.rules = rules
        self.block = functools.partial(Block, breaker, rules) if rules.plain else _refuse_blocks

    # --- calls --------------------------------------------------------------------------------------------------

    @overload
    async def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...
    async def call(self, function: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call a function and await what it gives if that can be awaited.

        Raises:
            CircuitOpen: the service is failing; nothing was called.
            CallTimedOut: it took longer than ``timeout_s``, and was cancelled.
        """
        try:
            ticket = self.breaker.admit()
            try:
                result = function(*args, **kwargs)
                if inspect.isawaitable(result):
                    result = await (result if self.rules.timeout_s is None else self._in_time(result))
            except BaseException as error:
                self.breaker.came_back(ticket, error, self.rules)
                raise
            self.breaker.answered(ticket, result, self.rules)
        except self._fallback_on as error:
            result = self._stand_in(error)
            if inspect.isawaitable(result):
                return await result
        return result

    def call_blocking(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a plain function.

        Raises:
            CircuitOpen: the service is failing; nothing was called.
            TypeError: a coroutine function calls nothing before it is awaited, use ``call``; or there is a timeout,
                and a plain function cannot be ended from outside.
        """
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{function!r} is a coroutine function: await breaker.call(...) instead")
        self._refuse_timeout(function)
        try:
            ticket = self.breaker.admit()
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                self.breaker.came_back(ticket, error, self.rules)
                raise
            self.breaker.answered(ticket, result, self.rules)
        except self._fallback_on as error:
            return cast("T", self._stand_in(error))
        return result

    def __call__(self, function: F) -> F:
        """Guard each call of a function: ``@breaker``. A generator is guarded from its first item to its end.

        Raises:
            TypeError: a rule that cannot be kept for such a function.
        """
        if inspect.isasyncgenfunction(function):
            self._refuse_for_streams(function)
            return cast("F", self._async_generator(function))
        if inspect.isgeneratorfunction(function):
            self._refuse_timeout(function)
            self._refuse_for_streams(function)
            return cast("F", self._generator(function))
        asynchronous = inspect.iscoroutinefunction(function)
        if not asynchronous:
            self._refuse_timeout(function)
        if self.rules.plain:
            breaker = self.breaker
            return cast("F", wrapped(breaker, self.rules, breaker.now, function, asynchronous=asynchronous))
        return cast("F", self._with_rules(function, asynchronous=asynchronous))

    # --- blocks -------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if not self.rules.plain:
            raise TypeError(NO_RESULT)
        # The one attribute that a call to a sound service costs.
        ticket: Any = self.breaker._current  # noqa: SLF001
        if not ticket.calm:
            ticket = self.breaker._admit_slowly()  # noqa: SLF001
        entry = innermost()
        if entry is not None and entry.owner is self and entry.free:
            try:
                entry.free.pop()
            except IndexError:  # a copy of this context was faster
                enter(self, ticket)
            else:
                entry.ticket = ticket
        else:
            enter(self, ticket)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        entry = innermost()
        if entry is not None and entry.owner is self and not entry.free:
            ticket = entry.ticket
            if entry.before is None:
                entry.free.append(None)
            else:
                leave(entry)
        else:
            ticket = taken_out(self)
            if ticket is None:
                return
        if error is not None or ticket.failures is not None:
            self.breaker.came_back(ticket, error, self.rules)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    # --- inside -------------------------------------------------------------------------------------------------

    @property
    def _fallback_on(self) -> tuple[type[BaseException], ...]:
        return () if self.rules.fallback is None else self.rules.fallback_on

    def _stand_in(self, error: BaseException) -> Any:
        assert self.rules.fallback is not None
        return self.rules.fallback(error)

    async def _in_time(self, awaitable: Awaitable[T]) -> T:
        timeout_s = self.rules.timeout_s
        limit = asyncio.timeout(timeout_s)
        try:
            async with limit:
                return await awaitable
        except TimeoutError as error:
            # One of the service's own is handed on as it is.
            if limit.expired() and timeout_s is not None:
                raise CallTimedOut(self.breaker.service, timeout_s) from error
            raise

    def _with_rules(self, function: Callable[..., Any], *, asynchronous: bool) -> Callable[..., Any]:
        if asynchronous:

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                return await self.call(function, *args, **kwargs)

            return awaited

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            return self.call_blocking(function, *args, **kwargs)

        return called

    def _generator(self, function: Callable[..., Generator[Any, Any, Any]]) -> Callable[..., Generator[Any, Any, Any]]:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            ticket = self.breaker.admit()
            with _Until(self, ticket):
                return (yield from function(*args, **kwargs))

        return guarded

    def _async_generator(
        self, function: Callable[..., AsyncGenerator[Any, Any]]
    ) -> Callable[..., AsyncGenerator[Any, None]]:
        @functools.wraps(function)
        async def guarded(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
            ticket = self.breaker.admit()
            with _Until(self, ticket):
                async with aclosing(function(*args, **kwargs)) as items:
                    if self.rules.timeout_s is None:
                        async for item in items:
                            yield item
                        return
                    while True:
                        try:
                            item = await self._in_time(anext(items))
                        except StopAsyncIteration:
                            return
                        yield item

        return guarded

    def _refuse_timeout(self, function: Callable[..., Any]) -> None:
        if self.rules.timeout_s is not None:
            raise TypeError(f"{function!r} cannot be ended from outside: give the client inside it a timeout")

    def _refuse_for_streams(self, function: Callable[..., Any]) -> None:
        if self.rules.bad_result is not None or self.rules.fallback is not None:
            raise TypeError(f"{function!r} has many items and no result: bad_result and fallback are not for it")


class Block:
    """One guarded with-block, to be entered once. Made by ``block``."""

    __slots__ = ("_breaker", "_rules", "_ticket")

    def __init__(self, breaker: CircuitBreaker, rules: CallRules) -> None:
        self._breaker = breaker
        self._rules = rules

    def __enter__(self) -> None:
        ticket: Any = self._breaker._current  # noqa: SLF001 - as above
        self._ticket: Ticket = ticket if ticket.calm else self._breaker._admit_slowly()  # noqa: SLF001 - as above

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None or self._ticket.failures is not None:
            self._breaker.came_back(self._ticket, error, self._rules)

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


class _Until:
    """Gives a stream's ticket back at its end. However long its reader takes over the items, it was not slow."""

    __slots__ = ("_ticket", "_ways")

    def __init__(self, ways: Ways, ticket: Ticket) -> None:
        self._ways = ways
        self._ticket = ticket

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None or self._ticket.failures is not None:
            self._ways.breaker.came_back(self._ticket, error, self._ways.rules, stream=True)


class Using(Ways):
    """A breaker with rules of a call site's own. Made by ``breaker.using``."""

    def __init__(self, breaker: CircuitBreaker, rules: CallRules) -> None:
        self._guard_by(breaker, rules)

    def __repr__(self) -> str:
        return f"<{self.breaker!r} using {self.rules!r}>"
