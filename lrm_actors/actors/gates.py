"""What stands in front of calls and remembers nothing of each: the base of the bulkhead and of the throttle.

Talks to nobody.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast, overload

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Gate:
    """Every way to go through: ``call``, ``call_blocking``, decorator, with-block; from any thread and event loop."""

    def _enter(self) -> None:
        """Let one call through, or raise a rejection."""
        raise NotImplementedError

    async def _enter_async(self) -> None:
        """As ``_enter``; may wait without holding up the event loop."""
        self._enter()

    def _leave(self, error: BaseException | None) -> None:
        """A call that was let through is over. Never raises."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(error)

    async def __aenter__(self) -> Self:
        await self._enter_async()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(error)

    @overload
    async def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...
    async def call(self, function: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call a function and await what it gives if that can be awaited.

        Raises:
            Rejected: it was not let through; nothing was called.
        """
        async with self:
            result = function(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

    def call_blocking(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a plain function.

        Raises:
            Rejected: it was not let through; nothing was called.
            TypeError: a coroutine function calls nothing before it is awaited; use ``call``.
        """
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{function!r} is a coroutine function: await call(...) instead")
        with self:
            return function(*args, **kwargs)

    def __call__(self, function: F) -> F:
        """Have each call of a function go through here; of a generator, from its first item to its end."""
        return cast("F", self._wrapped(function))

    def _wrapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isasyncgenfunction(function):

            @functools.wraps(function)
            async def items(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
                async with self, aclosing(function(*args, **kwargs)) as inner:
                    async for item in inner:
                        yield item

            return items
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generated(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
                with self:
                    return (yield from function(*args, **kwargs))

            return generated
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                async with self:
                    return await function(*args, **kwargs)

            return awaited

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return called
