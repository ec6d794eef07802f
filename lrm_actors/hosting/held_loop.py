"""What the host is called for while the thread of its loop waits for us: done on that very thread, by whoever waits.

Without that, a blocking stop on the loop would wait for a capture that can only begin when it has returned.
"""

from __future__ import annotations

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

    def wait_for(self, work: Callable[[], T]) -> T:
        """Do the work on another thread, and here, until it is done, what the host is called for. Raises what it does.

        Args:
            work: ends within a bound of its own.
        """
        done = start_thread(work, name="lrm-stop")
        done.add_done_callback(lambda _: self._jobs.put(None))
        while (job := self._jobs.get()) is not None:
            job()
        return done.result()

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
            try:
                result = _run_through(coroutine, name)
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
                called.set_exception(error)
            else:
                called.set_result(result)

        self._jobs.put(job)
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
            msg = f"{name} waits for the event loop, which is held by a blocking stop"
            raise NotCapturable(msg, hint="'await mode.stop_monitoring()' there, or stop on another thread")
