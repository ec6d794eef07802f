"""Blocking work for asyncio callers, on daemon threads: the loop never waits, and a hang never keeps the process."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")

MAX_IDLE = 4
"""Threads that are kept for the next call."""

_numbers = itertools.count(1)


def start_thread(function: Callable[[], T], *, name: str = "lrm-work") -> Future[T]:
    """Run a function on a daemon thread of its own; what becomes of it stands in the future, which cannot be cancelled.

    Daemon threads and not an executor: at interpreter exit an executor waits for its workers, and a hung one hangs it.
    """
    outcome, job = _job(function)
    threading.Thread(target=job, name=f"{name}-{next(_numbers)}", daemon=True).start()
    return outcome


def beside(function: Callable[[], T]) -> Future[T]:
    """The same on a thread that waits for work, if there is one: starting one takes the caller a moment."""
    outcome, job = _job(function)
    _pool.run(job)
    return outcome


def _job(function: Callable[[], T]) -> tuple[Future[T], Callable[[], None]]:
    outcome: Future[T] = Future()
    outcome.set_running_or_notify_cancel()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            result = context.run(function)
        except StopIteration as error:  # asyncio refuses it, and whoever awaits the future would wait for ever
            said = RuntimeError("the function raised StopIteration")
            said.__cause__ = error
            outcome.set_exception(said)
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits, SystemExit too
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    return outcome, run


class _Pool:
    """Daemon threads, as many as there are jobs at a time: one that hangs holds up no other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle = 0
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def run(self, job: Callable[[], None]) -> None:
        with self._lock:
            if self._idle:
                self._idle -= 1
                self._jobs.put(job)
                return
        threading.Thread(target=self._work, args=(job,), name=f"lrm-beside-{next(_numbers)}", daemon=True).start()

    def _work(self, job: Callable[[], None]) -> None:
        while True:
            job()
            del job  # and with it what it refers to
            with self._lock:
                if self._idle >= MAX_IDLE:
                    return
                self._idle += 1
            job = self._jobs.get()


_pool = _Pool()


def _begin_anew() -> None:
    global _pool  # noqa: PLW0603 - a forked child has none of its parent's threads
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


async def off_loop(function: Callable[[], T], *, abandoned: Callable[[], object] | None = None) -> T:
    """Run a blocking function beside the loop and await it.

    A cancelled caller goes at once, while the function runs on to its end; ``abandoned`` then undoes what nobody waits
    for any more, on the same kind of thread.
    """
    outcome = beside(function)
    try:
        return await asyncio.wrap_future(outcome)
    except asyncio.CancelledError:
        if abandoned is not None:
            _then(outcome, abandoned)
        raise


def _then(outcome: Future[T], undo: Callable[[], object]) -> None:
    def when_done(done: Future[T]) -> None:
        if done.exception() is None:
            beside(undo)

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
