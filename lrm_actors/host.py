"""What the system may ask of its host, and the bridge over which it asks: on the host's own loop where there is one.

Talks to the host's callables only. Never keeps the loop busy with work of ours, and waits for the host with a bound.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar, runtime_checkable

import attrs

T = TypeVar("T")

CALL_TIMEOUT_S = 30.0
"""How long a function of the host may take before the system goes on without it."""

_log = logging.getLogger("lrm_actors.host")


@attrs.frozen
class Component:
    """Something of the host that can fail and be restarted."""

    name: str
    restart: Callable[[], Any]
    """Brings it back, from whatever state it is in. Plain or async; raises when it could not."""
    clear_caches: Callable[[], Any] | None = None
    """Gives memory back. Plain or async."""
    heartbeat_timeout_s: float | None = None
    """How long it may say nothing; None: it sends no heartbeats."""
    exit_status: Callable[[], int | None] | None = None
    """None while it lives; then its exit status, negative: ended by that signal. Must answer at once."""


@runtime_checkable
class Host(Protocol):
    """What the system serves: any agent with these four methods, each plain or ``async``."""

    def capture(self) -> Any:
        """The agent's state as plain data: dicts, lists, strings, numbers, booleans, None. Called between two steps."""

    def restore(self, state: Any) -> Any:
        """Take up a state that ``capture`` gave earlier."""

    def components(self) -> Iterable[Component]:
        """What of the agent can fail and be restarted. Asked once, at start."""

    def gate(self, mode: str) -> Any:
        """Hold back what this operation mode does not allow. Called at start and on each change of the mode."""


class HostBridge:
    """Calls the host's functions where they belong, and waits for them with a bound.

    With a loop, coroutine functions and whatever needs a consistent cut of the host's state run on it, between two of
    its callbacks. Without one, everything runs on the calling thread.
    """

    def __init__(self, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.timeout_s = timeout_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread: int | None = None

    def bind(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Serve a host on this loop, called from its thread; None: a host without one."""
        self._loop = loop
        self._loop_thread = None if loop is None else threading.get_ident()

    def call_at_rest(self, function: Callable[..., Any], *args: object, timeout_s: float | None = None) -> Any:
        """Call a function that must see the host's state whole: on the loop's thread if there is a loop.

        Raises:
            TimeoutError: the host did not answer in time; its function is cancelled if it was a coroutine.
        """
        loop = self._usable_loop()
        if loop is None:
            return _finish(function(*args))
        return self._on_loop(loop, function, args, self.timeout_s if timeout_s is None else timeout_s)

    def call(self, function: Callable[..., Any], *args: object) -> Any:
        """Call a function of the host: a coroutine function on its loop, a plain one here, where it may block.

        Raises:
            TimeoutError: the coroutine did not end in time.
        """
        loop = self._usable_loop()
        if loop is not None and inspect.iscoroutinefunction(function):
            return self._on_loop(loop, function, args, self.timeout_s)
        result = function(*args)
        if loop is not None and inspect.isawaitable(result):
            return self._on_loop(loop, lambda: result, (), self.timeout_s)
        return _finish(result)

    def plain(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function as a plain one, for whoever calls it from a thread of ours."""
        return lambda *args: self.call(function, *args)

    def _usable_loop(self) -> asyncio.AbstractEventLoop | None:
        """The host's loop, unless it is gone, or waiting for us on this very thread."""
        loop = self._loop
        if loop is None or loop.is_closed() or threading.get_ident() == self._loop_thread:
            return None
        return loop

    def _on_loop(
        self, loop: asyncio.AbstractEventLoop, function: Callable[..., Any], args: tuple[object, ...], timeout_s: float
    ) -> Any:
        async def run() -> Any:
            result = function(*args)
            return await result if inspect.isawaitable(result) else result

        called = asyncio.run_coroutine_threadsafe(run(), loop)
        try:
            return called.result(timeout_s)
        except TimeoutError:
            if called.done():  # the host's own TimeoutError, not ours
                raise
            called.cancel()
            name = getattr(function, "__qualname__", repr(function))
            msg = f"{name} of the host did not answer within {timeout_s:g} s"
            raise TimeoutError(msg) from None


def _finish(result: Any) -> Any:
    """Run an awaitable to its end on a loop of its own: a host without a loop may still have coroutine functions."""
    if not inspect.isawaitable(result):
        return result

    async def run() -> Any:
        return await result

    return asyncio.run(run())
