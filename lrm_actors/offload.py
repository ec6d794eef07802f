"""Blocking work for asyncio callers, on daemon threads: the loop never waits, and a hang never keeps the process."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

_numbers = itertools.count(1)


def start_thread(function: Callable[[], T], *, name: str = "lrm-work") -> Future[T]:
    """Run a function on a daemon thread; what becomes of it stands in the future, which cannot be cancelled.

    Daemon threads and not an executor: at interpreter exit an executor waits for its workers, and a hung one hangs it.
    """
    outcome: Future[T] = Future()
    outcome.set_running_or_notify_cancel()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            result = context.run(function)
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits, SystemExit too
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    threading.Thread(target=run, name=f"{name}-{next(_numbers)}", daemon=True).start()
    return outcome


async def off_loop(function: Callable[[], T], *, abandoned: Callable[[], object] | None = None) -> T:
    """Run a blocking function beside the loop and await it.

    A cancelled caller goes at once, while the function runs on to its end; ``abandoned`` then undoes what nobody waits
    for any more, on the same kind of thread.
    """
    outcome = start_thread(function)
    try:
        return await asyncio.wrap_future(outcome)
    except asyncio.CancelledError:
        if abandoned is not None:
            _then(outcome, abandoned)
        raise


def _then(outcome: Future[T], undo: Callable[[], object]) -> None:
    def when_done(done: Future[T]) -> None:
        if done.exception() is None:
            start_thread(undo)

    outcome.add_done_callback(when_done)


async def unbroken(awaitable: Awaitable[T]) -> T:
    """Await to the end even when cancelled meanwhile, then let the cancellation through.

    For short bounded work that must not be left half done, such as the commit of a step.
    """
    work = asyncio.ensure_future(awaitable)
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError as error:
            if work.cancelled():
                raise
            cancelled = error
        except Exception:  # noqa: BLE001 - it is the work's own, and raised by result() below
            break
    if cancelled is not None:
        if not work.cancelled():
            work.exception()  # seen, so that asyncio does not report it as forgotten
        raise cancelled
    return work.result()
