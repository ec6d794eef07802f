"""What the host is called for while the thread of its loop waits for us: done on that very thread, by whoever waits.

Without that, a blocking stop on the loop would wait for a capture that can only begin when it has returned.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from lrm_actors.errors import NotCapturable
from lrm_actors.hosting.offload import start_thread

T = TypeVar("T")


class HeldLoop:
    """One wait on the thread of the host's loop."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._over = False
        """Whether nobody takes a job any more."""

    def wait_for(self, work: Callable[[], T]) -> T:
        """Do the work on another thread, and here, until it is done, what the host is called for. Raises what it does.

        Args:
            work: ends within a bound of its own. Done here where no thread can be had.
        """
        try:
            done = start_thread(work, name="lrm-stop")
        except RuntimeError:
            self._end()
            return work()
        try:
            done.add_done_callback(lambda _: self._jobs.put(None))
            while (job := self._jobs.get()) is not None:
                job()
        finally:  # also where somebody interrupts it
            self._end()
        return done.result()

    def _end(self) -> None:
        """Take no job any more: who comes too late is told so at once, and does not wait in vain."""
        with self._lock:
            self._over = True
        while not self._jobs.empty():
            job = self._jobs.get()
            if job is not None:
                job()

    def call(self, coroutine: Coroutine[Any, Any, T], name: str) -> Future[T]:
        """Have a coroutine run on the thread that waits. For any other thread.

        Args:
            coroutine: of the host; it cannot wait for the loop, which is held.
            name: of what is called, for the error.
        """
        called: Future[T] = Future()

        def job() -> None:
            if not called.set_running_or_notify_cancel():
                coroutine.close()  # or it would complain that nobody began it
                return
            if self._over:
                coroutine.close()
                called.set_exception(_waits(name))
                return
            try:
                result = _run_through(coroutine, name)
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
                called.set_exception(error)
            else:
                called.set_result(result)

        with self._lock:
            if not self._over:
                self._jobs.put(job)
                return called
        job()
        return called


def _run_through(coroutine: Coroutine[Any, Any, T], name: str) -> T:
    """Run a coroutine that waits for nothing but its next turn.

    Raises:
        NotCapturable: it waits for something else.
    """
    while True:
        try:
            waits_for = coroutine.send(None)
        except StopIteration as done:
            result: T = done.value
            return result
        if waits_for is not None:
            coroutine.close()
            raise _waits(name)


def _waits(name: str) -> NotCapturable:
    msg = f"{name} waits for the event loop, which is held by a blocking stop"
    return NotCapturable(msg, hint="'await mode.stop_monitoring()' there, or stop on another thread")
