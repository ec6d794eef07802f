"""The bridge to the host: on its loop when there is one, bounded, and never in the loop's way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable

import pytest

from lrm_actors.hosting.host import Component, Host, HostBridge
from lrm_actors.hosting.offload import off_loop, start_thread


class ExampleHost:
    """The smallest host."""

    def capture(self) -> object:
        return {"pages": 3}

    async def restore(self, state: object) -> None:
        self.state = state

    def components(self) -> Iterable[Component]:
        return [Component("worker", restart=lambda: None)]

    def gate(self, mode: str) -> None:
        self.mode = mode


def test_any_object_with_the_four_methods_is_a_host() -> None:
    """A host needs no base class."""
    assert isinstance(ExampleHost(), Host)
    assert not isinstance(object(), Host)


def test_functions_of_the_host_run_on_its_loop() -> None:
    """Plain and async functions alike: a cut through the host's state falls between two of its callbacks."""

    async def main() -> None:
        bridge = HostBridge()
        bridge.bind(asyncio.get_running_loop())
        mine = threading.get_ident()

        async def later() -> int:
            await asyncio.sleep(0)
            return threading.get_ident()

        assert mine == await off_loop(lambda: bridge.call(threading.get_ident))
        assert mine == await off_loop(lambda: bridge.call(later))
        assert mine == await off_loop(lambda: bridge.run_async(later()))

    asyncio.run(main())


def test_a_host_that_does_not_answer_ends_in_a_timeout_and_its_coroutine_is_cancelled() -> None:
    """The system goes on without a hung host."""
    cancelled = threading.Event()

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def main() -> None:
        bridge = HostBridge()
        bridge.bind(asyncio.get_running_loop())
        with pytest.raises(TimeoutError, match="did not answer"):
            await off_loop(lambda: bridge.call(never, timeout_s=0.01))
        await off_loop(lambda: cancelled.wait(30))

    asyncio.run(main())
    assert cancelled.is_set()


def test_the_hosts_own_timeout_is_told_as_it_is() -> None:
    """An error of the host is never taken for our bound."""

    async def fail() -> None:
        raise TimeoutError("the site")

    async def main() -> None:
        bridge = HostBridge()
        bridge.bind(asyncio.get_running_loop())
        with pytest.raises(TimeoutError, match=r"^the site$"):
            await off_loop(lambda: bridge.call(fail))

    asyncio.run(main())


def test_without_a_loop_plain_and_async_functions_run_on_the_calling_thread() -> None:
    """A synchronous host needs no event loop, not even for an async capture."""
    bridge = HostBridge()

    async def capture() -> int:
        return threading.get_ident()

    assert threading.get_ident() == bridge.call(capture)
    assert threading.get_ident() == bridge.call(threading.get_ident)
    assert threading.get_ident() == bridge.run_async(capture())


def test_a_loop_that_ends_at_that_moment_is_a_host_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """No half-begun coroutine is left to complain."""
    bridge = HostBridge()
    loop = asyncio.new_event_loop()
    bridge.bind(loop, thread=0)
    loop.close()
    monkeypatch.setattr(loop, "is_closed", lambda: False)
    monkeypatch.setattr(loop, "call_soon_threadsafe", _closed)

    with pytest.raises(TimeoutError, match="has just ended"):
        bridge.call(lambda: None)


def _closed(*_: object) -> None:
    msg = "Event loop is closed"
    raise RuntimeError(msg)


def test_a_loop_that_is_gone_is_not_waited_for() -> None:
    """After the host's loop has ended, its functions are called without it."""
    bridge = HostBridge()

    async def bind() -> None:
        bridge.bind(asyncio.get_running_loop())

    asyncio.run(bind())
    assert start_thread(lambda: bridge.call(lambda: "called")).result(30) == "called"
