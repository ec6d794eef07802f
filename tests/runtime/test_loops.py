"""An event loop is woken from any thread, and who waits on it is told when time is up, whatever else waits."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable

import pytest

from lrm_actors.runtime.loops import LINES, SPENT_KEPT, Patience, Waker
from tests.runtime.support import PATIENCE_S


class ManualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock a test owns."""

    now_s = 0.0

    def time(self) -> float:
        return self.now_s


def on_a_loop_of_ours(scenario: Callable[[ManualLoop, Patience], None]) -> None:
    """Run a scenario that turns the loop itself."""
    loop = ManualLoop()
    try:
        scenario(loop, Patience(loop))
    finally:
        loop.close()


def advance(loop: ManualLoop, to_s: float) -> None:
    """Let the loop's clock stand at a time, and what is due then happen."""
    loop.now_s = to_s
    for _ in range(3):
        loop.run_until_complete(asyncio.sleep(0))


def test_a_wake_up_from_a_thread_makes_the_loop_call() -> None:
    """Once for many before it looks."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        called = asyncio.Event()
        calls: list[int] = []

        def call() -> None:
            calls.append(1)
            called.set()

        waker = Waker(loop, call)

        def wake() -> None:
            for _ in range(100):
                waker.wake(loop)

        thread = threading.Thread(target=wake)
        thread.start()
        thread.join()  # on the loop's own thread: it cannot turn meanwhile
        async with asyncio.timeout(PATIENCE_S):
            await called.wait()
        await asyncio.sleep(0)
        assert 1 == len(calls)

    asyncio.run(main())


def test_a_loop_without_descriptors_is_woken_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes no readers, and a machine that gives no descriptor."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        waker = Waker(loop, woken.set)
        assert waker._descriptor is None
        threading.Thread(target=waker.wake, args=(loop,)).start()
        async with asyncio.timeout(PATIENCE_S):
            await woken.wait()

    def refuse(*_: object) -> None:
        raise NotImplementedError

    with monkeypatch.context() as patch:
        patch.setattr(asyncio.SelectorEventLoop, "add_reader", refuse)
        asyncio.run(main())
    with monkeypatch.context() as patch:
        patch.delattr(os, "eventfd", raising=False)
        asyncio.run(main())


def test_a_closed_loop_is_not_woken_and_its_descriptor_is_let_go_of() -> None:
    """Whoever wakes it hears of it; the number is free for others only when nobody can write to it any more."""

    async def main() -> Waker:
        return Waker(asyncio.get_running_loop(), lambda: None)

    loop = asyncio.new_event_loop()
    waker = loop.run_until_complete(main())
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        waker.wake(loop)
    descriptor = waker._descriptor
    if descriptor is None:
        return  # this machine has none
    os.fstat(descriptor)
    del loop
    gc.collect()
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(descriptor)


def test_everybody_is_told_when_their_time_is_up_and_nobody_before() -> None:
    """Of equal and of different patience, and not those who wait no more."""

    def scenario(loop: ManualLoop, patience: Patience) -> None:
        told: list[tuple[float, str]] = []

        def wait(name: str, wait_s: float) -> object:
            return patience.call_at(loop.time() + wait_s, wait_s, lambda _wait_s: told.append((loop.time(), name)))

        wait("long", 10.0)
        first = wait("first", 5.0)
        advance(loop, 1.0)
        wait("second", 5.0)
        advance(loop, 2.0)
        third = wait("third", 5.0)
        wait("fourth", 5.0)
        for one in (first, third):
            one.cancel()  # type: ignore[attr-defined]  # both kinds have it
        for now_s in (5.0, 5.9, 6.0, 6.9, 7.0, 9.9, 10.0):
            advance(loop, now_s)
        assert [(6.0, "second"), (7.0, "fourth"), (10.0, "long")] == told
        assert not patience._lines

    on_a_loop_of_ours(scenario)


def test_one_who_began_to_wait_earlier_than_the_last_is_told_in_time() -> None:
    """Whose time is up before that of the one before stands in no line."""

    def scenario(loop: ManualLoop, patience: Patience) -> None:
        told: list[str] = []
        patience.call_at(8.0, 5.0, lambda _: told.append("late"))

        async def early() -> None:
            patience.call_at(6.0, 5.0, lambda _: told.append("early"))

        loop.run_until_complete(early())
        advance(loop, 6.0)
        assert ["early"] == told
        advance(loop, 8.0)
        assert ["early", "late"] == told

    on_a_loop_of_ours(scenario)


def test_those_who_wait_no_more_are_not_kept_for_long() -> None:
    """Neither behind one who waits for long, nor in lines of their own."""

    def scenario(loop: ManualLoop, patience: Patience) -> None:
        patience.call_at(1000.0, 1000.0, lambda _: None)
        for _ in range(10_000):
            patience.call_at(1000.0, 1000.0, lambda _: None).cancel()
        assert len(patience._lines[1000.0].entries) <= SPENT_KEPT + 3

        async def many() -> None:
            for number in range(100):
                patience.call_at(number + 1.0, number + 1.0, lambda _: None).cancel()

        loop.run_until_complete(many())
        assert len(patience._lines) <= LINES

    on_a_loop_of_ours(scenario)
