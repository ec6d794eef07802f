"""What the system may ask of its host, and the bridge over which it asks: on the host's own loop where there is one.

Talks to the host's callables only. Never keeps the loop busy with work of ours, and waits for the host with a bound.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeVar, runtime_checkable

from eventstore.frozen import frozen
from lrm_actors.domain.given import is_encodable, is_number
from lrm_actors.errors import SettingsError
from lrm_actors.hosting.held_loop import HeldLoop
from lrm_actors.hosting.offload import start_thread

T = TypeVar("T")

CALL_TIMEOUT_S = 30.0
"""How long a function of the host may take before the system goes on without it."""
MAX_NAME = 200
"""Characters of a name."""
RUN_TIMEOUT_S = 120.0
"""The same for a coroutine whose caller bounds it already: this one only ends the wait for a loop that hangs."""


@frozen
class Component:
    """Something of the host that can fail and be restarted."""

    name: str
    restart: Callable[[], Any]
    """Brings it back, from whatever state it is in; raises when it could not. A plain function runs on a thread of its
    own, where it may block; a coroutine function on the host's loop."""
    clear_caches: Callable[[], Any] | None = None
    """Gives memory back. Plain or async."""
    heartbeat_timeout_s: float | None = None
    """How long it may say nothing; None: it sends no heartbeats."""
    exit_status: Callable[[], int | None] | None = None
    """None while it lives; then its exit status, negative: ended by that signal. Must answer at once."""
    pid: Callable[[], int | None] | None = None
    """Its process, None while it has none: one that is gone, a zombie, or another's pid by now has exited. Must answer
    at once. Where ``exit_status`` is given as well, that says how it ended."""


@runtime_checkable
class Host(Protocol):
    """What the system serves: any agent with these four methods, each plain or ``async`` but for ``components``.

    Where it has them, ``state_version``, ``shared`` and ``redact`` are taken as ``capture_with`` takes them, and
    ``upcasters`` as ``restore_with`` does. A method ``replay(step)`` is taken as ``replay_with`` takes a function.
    """

    def capture(self) -> Any:
        """The agent's state as plain data: dicts, lists, strings, numbers, booleans, None. Called between two steps."""

    def restore(self, state: Any) -> Any:
        """Take up a state that ``capture`` gave earlier."""

    def components(self) -> Iterable[Component]:
        """What of the agent can fail and be restarted. Asked once, at start."""

    def gate(self, mode: str) -> Any:
        """Hold back what this operation mode does not allow. Called at start and on each change of the mode."""


MAX_LEVELS = 90
"""Levels of what a host gives: it is a part of an event, and of an actor's state, which may have a hundred."""
MAX_BYTES = 16 * 1024 * 1024 - 64 * 1024
"""Bytes of JSON of it: names and other fields are in the same event."""


def check_storable(event: str, field: str, value: Any) -> None:
    """See that a value of the host's comes back from the log as it went in, before any actor is handed it.

    Args:
        event: type of the event that it is for.
        field: of that event.
        value: to be stored.

    Raises:
        EventRefused: it would not.
    """
    from eventstore.codec import encode_value

    encode_value(value, what=event, field=field, levels=MAX_LEVELS, limit=MAX_BYTES)


def check_name(field: str, value: object) -> str:
    """See that a value can name something in the log. Returns it as a plain ``str``.

    Raises:
        SettingsError: it cannot.
    """
    if (
        not isinstance(value, str)
        or not value.strip()
        or "\0" in value
        or len(value) > MAX_NAME
        or not is_encodable(value)
    ):
        said = f"a text of 1 to {MAX_NAME} characters, not all of them blank, without NUL and lone surrogates"
        raise SettingsError(field, value, said)
    return str.__str__(value)


def check_function(field: str, value: object) -> None:
    """See that a value can be called: what a function gives is easily handed over in its place.

    Raises:
        SettingsError: it cannot.
    """
    if not callable(value):
        raise SettingsError(field, value, "a function, and not what it gives")


def check_component(component: Component) -> None:
    """See that a part of the host can be looked after.

    Raises:
        SettingsError: it is none, its name cannot name anything, what is to be called is no function, or its timeout
            is no number of seconds above 0.
    """
    if not isinstance(component, Component):
        raise SettingsError("components", component, "Component(...) of lrm_actors")
    check_name("name", component.name)
    timeout_s = component.heartbeat_timeout_s
    if timeout_s is not None and not (is_number(timeout_s) and timeout_s > 0):
        raise SettingsError("heartbeat_timeout_s", timeout_s, "a number of seconds above 0, or None")
    check_function("restart", component.restart)
    for field in ("clear_caches", "exit_status", "pid"):
        if (function := getattr(component, field)) is not None:
            check_function(field, function)


class HostBridge:
    """Calls the host's functions where they belong, and waits for them with a bound.

    With a loop they run on it, between two of its callbacks, so that they find the host's state whole. Without one they
    run on the calling thread.
    """

    def __init__(self, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.timeout_s = timeout_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread: int | None = None
        self._held: HeldLoop | None = None
        self._late: Future[Any] | None = None

    def wait_here(self, work: Callable[[], T]) -> T:
        """Do blocking work while the caller waits; on the host's loop, its state can be captured all the same.

        Args:
            work: ends within a bound of its own. Raises what it raises.
        """
        if not self.is_here:
            return work()
        held = self._held = HeldLoop()
        try:
            return held.wait_for(work)
        finally:
            self._held = None

    def bind(self, loop: asyncio.AbstractEventLoop | None, thread: int | None = None) -> None:
        """Serve a host on this loop, which runs on ``thread``, this one by default; None: a host without a loop."""
        self._loop = loop
        self._loop_thread = threading.get_ident() if thread is None else thread

    def call_beside(
        self, function: Callable[[], Any], within: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> Any:
        """Call a function of a host without a loop on a thread of its own, and go on without it where it hangs.

        It may wait for a lock that is held by who waits for us. The next call waits for none that has not come back.

        Args:
            function: of the host.
            within: entered on that thread for as long as it takes.

        Raises:
            TimeoutError: it did not answer in time, or one called before has not yet.
        """
        if self._late is not None and not self._late.done():
            msg = f"{_name_of(function)} of the host has not come back since it was called before"
            raise TimeoutError(msg)

        def answered() -> Any:
            with within():
                return self.call(function)

        try:
            answer = start_thread(answered, name="lrm-host-call")
        except RuntimeError:  # no thread can be had
            return self.call(function)
        try:
            return answer.result(self.timeout_s)
        except TimeoutError:
            if answer.done():  # the host's own
                raise
            self._late = answer
            msg = f"{_name_of(function)} of the host did not answer within {self.timeout_s:g} s"
            raise TimeoutError(msg) from None

    def call(
        self,
        function: Callable[..., Any],
        *args: object,
        timeout_s: float | None = None,
        also_while_held: bool = False,
    ) -> Any:
        """Call a function of the host, plain or async, where its state can be trusted.

        Args:
            function: of the host.
            args: for it.
            timeout_s: how long it may take.
            also_while_held: in ``wait_here`` it is called on the thread that waits; else after that.

        Raises:
            TimeoutError: the host did not answer in time; its coroutine is cancelled.
            NotCapturable: it was called while the loop is held, and waits for that.
        """
        loop = self._usable_loop()
        if loop is None:
            result = function(*args)
            return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result

        async def on_loop() -> Any:
            result = function(*args)
            return await result if inspect.isawaitable(result) else result

        timeout_s, name, held = self.timeout_s if timeout_s is None else timeout_s, _name_of(function), self._held
        if held is not None and also_while_held:
            return _answer(held.call(on_loop(), name), timeout_s, name)
        return _bounded(loop, on_loop(), timeout_s, name)

    def run_async(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine of the host to its end and wait. Whoever made it bounds it, too.

        Raises:
            TimeoutError: the host's loop does not run.
        """
        loop = self._usable_loop()
        return asyncio.run(coroutine) if loop is None else _bounded(loop, coroutine, RUN_TIMEOUT_S, "a coroutine")

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The host's loop; None: it has none."""
        return self._loop

    @property
    def has_loop(self) -> bool:
        """Whether a call now would run on the host's loop, and not on the calling thread."""
        return self._usable_loop() is not None

    @property
    def is_here(self) -> bool:
        """Whether the caller is on the host's loop: whoever waits there for the host waits in vain."""
        try:
            return self._loop is not None and asyncio.get_running_loop() is self._loop
        except RuntimeError:  # no loop runs on this thread
            return False

    def _usable_loop(self) -> asyncio.AbstractEventLoop | None:
        """The host's loop, unless it is gone, or waiting for us on this very thread."""
        loop = self._loop
        if loop is None or loop.is_closed() or threading.get_ident() == self._loop_thread:
            return None
        return loop


def _bounded(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], timeout_s: float, name: str) -> Any:
    try:
        called = asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError:
        coroutine.close()  # or it would complain that nobody began it
        msg = f"{name} of the host cannot be called: its loop has just ended"
        raise TimeoutError(msg) from None
    return _answer(called, timeout_s, name)


def _answer(called: Future[Any], timeout_s: float, name: str) -> Any:
    try:
        return called.result(timeout_s)
    except TimeoutError:
        if called.done():  # the host's own TimeoutError, not ours
            raise
        called.cancel()
        msg = f"{name} of the host did not answer within {timeout_s:g} s"
        raise TimeoutError(msg) from None


async def _awaited(result: Any) -> Any:
    return await result


def _name_of(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", repr(function)))
