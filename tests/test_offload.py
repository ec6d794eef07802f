"""Blocking work for asyncio callers: the loop goes on, cancellation leaves nothing half done."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from lrm_actors.hosting.offload import off_loop, start_thread, unbroken


def test_the_loop_goes_on_while_blocking_work_runs() -> None:
    """The work can only end because the loop still runs callbacks."""

    async def main() -> str:
        gate = threading.Event()
        asyncio.get_running_loop().call_soon(gate.set)
        return await off_loop(lambda: "ran" if gate.wait(30) else "stalled")

    assert asyncio.run(main()) == "ran"


def test_errors_of_every_kind_reach_the_caller() -> None:
    """An exception in the work is the caller's, and its thread dies quietly."""

    def fail() -> None:
        raise KeyError("x")

    async def main() -> None:
        with pytest.raises(KeyError):
            await off_loop(fail)

    asyncio.run(main())


def test_the_callers_context_is_seen_by_the_work() -> None:
    """What the logs say about the step stays true on the other thread."""
    step: contextvars.ContextVar[int] = contextvars.ContextVar("step", default=0)

    async def main() -> int:
        step.set(7)
        return await off_loop(step.get)

    assert asyncio.run(main()) == 7


def test_what_a_cancelled_caller_no_longer_wants_is_undone_after_it_ended() -> None:
    """A start whose caller was cancelled is followed by a stop, not by a log that stays locked."""
    may_end, undone = threading.Event(), threading.Event()
    order: list[str] = []

    def work() -> None:
        may_end.wait(30)
        order.append("done")

    def undo() -> None:
        order.append("undone")
        undone.set()

    async def main() -> None:
        task = asyncio.create_task(off_loop(work, abandoned=undo))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    may_end.set()
    assert undone.wait(30)
    assert order == ["done", "undone"]


def test_work_that_must_not_be_left_half_done_ends_before_the_cancellation_goes_through() -> None:
    """A commit under way is finished, however often its caller is cancelled."""

    async def main() -> list[str]:
        order: list[str] = []
        may_end = asyncio.Event()

        async def commit() -> None:
            await may_end.wait()
            order.append("committed")

        task = asyncio.create_task(unbroken(commit()))
        for _ in range(3):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        return order

    assert asyncio.run(main()) == ["committed"]


def test_unbroken_gives_results_and_errors_as_they_are() -> None:
    """Without a cancellation it is a plain await."""

    async def give() -> int:
        return 3

    async def fail() -> None:
        raise KeyError("x")

    async def main() -> int:
        with pytest.raises(KeyError):
            await unbroken(fail())
        return await unbroken(give())

    assert asyncio.run(main()) == 3


def test_a_hung_work_does_not_keep_the_process() -> None:
    """The threads are daemons: the interpreter does not wait for them."""
    release = threading.Event()
    started = threading.Event()

    def hang() -> bool:
        started.set()
        release.wait(30)
        return threading.current_thread().daemon

    outcome = start_thread(hang)
    assert started.wait(30)
    release.set()
    assert outcome.result(30)
