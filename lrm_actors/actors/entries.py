"""What remembers, from the admission of one guarded call to its end, with which ticket it was let through.

Talks to the guard that it belongs to.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from contextvars import ContextVar
from types import TracebackType
from typing import Any, ParamSpec, Protocol, TypeVar

from lrm_actors.actors.generations import Closed, Probe

P = ParamSpec("P")
T = TypeVar("T")

Ticket = Closed | Probe
"""Held by a call that was let through, until it comes back."""


class Guard(Protocol):
    """What lets calls through, and hears of their end."""

    def admit(self) -> Ticket:
        """A ticket for one call; raises when it is rejected."""

    def came_back(self, ticket: Ticket, error: BaseException | None) -> None:
        """That call is over."""


class Entry:
    """One guarded call, as a with-block of its own."""

    __slots__ = ("guard", "ticket")

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.ticket: Ticket | None = None

    def __enter__(self) -> None:
        self.ticket = self.guard.admit()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ticket = self.ticket
        if ticket is not None and (error is not None or ticket.failures is not None):
            self.guard.came_back(ticket, error)


_entered: ContextVar[Any] = ContextVar("lrm_entered", default=None)
"""With-blocks that this thread or task is in, innermost first, as nested pairs (entry, the next). A guard is shared by
all of them, so it cannot itself remember who entered with what."""


def enter(guard: Guard) -> None:
    """Begin a with-block on the guard itself."""
    entry = Entry(guard)
    entry.__enter__()
    _entered.set((entry, _entered.get()))


def leave(guard: Guard, error: BaseException | None) -> None:
    """End the innermost with-block on this guard.

    Nothing happens if it was entered in another context; a probe's permit then comes back with its lease.
    """
    passed = []
    pair = _entered.get()
    while pair is not None and pair[0].guard is not guard:
        passed.append(pair[0])
        pair = pair[1]
    if pair is None:
        return
    entry, rest = pair
    for other in reversed(passed):
        rest = (other, rest)
    _entered.set(rest)
    entry.__exit__(None if error is None else type(error), error, None)


def guard_generator(guard: Guard, function: Callable[P, Generator[Any, Any, T]]) -> Callable[P, Generator[Any, Any, T]]:
    """Guard a generator from its first item to its end."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Generator[Any, Any, T]:
        with Entry(guard):
            return (yield from function(*args, **kwargs))

    return guarded


def guard_async_generator(
    guard: Guard, function: Callable[P, AsyncGenerator[T, Any]]
) -> Callable[P, AsyncGenerator[T, None]]:
    """Guard an asynchronous generator from its first item to its end."""

    @functools.wraps(function)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
        with Entry(guard):
            async with aclosing(function(*args, **kwargs)) as items:
                async for item in items:
                    yield item

    return guarded
