"""Daemon threads for effects, so that a slow or hung one holds neither an actor nor the end of the process.

``concurrent.futures`` is not used: its threads are joined when the interpreter exits, and a hung one would keep the
process alive for ever.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable

from eventstore.frozen import frozen
from lrm_actors.runtime.machine import Queue, here

logger = logging.getLogger(__name__)


@frozen
class RunningJob:
    """A job that a thread has taken."""

    job: Callable[[], object]
    since_s: float
    """On the clock that the pool was given."""
    thread_id: int


class Workers:
    """A pool that grows to ``limit`` threads as work waits, and never shrinks below what was once needed."""

    def __init__(self, name: str, limit: int = 16, *, monotonic: Callable[[], float] = lambda: 0.0) -> None:
        self._name = name
        self._limit = limit
        self._machine = here()
        self._jobs: Queue = self._machine.queue()
        self._lock = threading.Lock()
        self._unfinished = 0
        """Jobs that wait or run. A thread that has taken a job is not idle, whether it has said so yet or not."""
        self._threads = 0
        self._closed = False
        self._monotonic = monotonic
        self._running: dict[object, RunningJob] = {}
        self._numbers = itertools.count(1)

    def submit(self, job: Callable[[], object]) -> None:
        """Run ``job`` on some thread of the pool, soon. After ``close`` it is dropped."""
        with self._lock:
            if self._closed:
                return
            self._jobs.put(job)
            self._unfinished += 1
            if self._threads < min(self._unfinished, self._limit):
                self._grow()

    def running(self) -> tuple[RunningJob, ...]:
        """The jobs that are being carried out."""
        return tuple(self._running.copy().values())

    @property
    def waiting(self) -> int:
        """Jobs that no thread has taken yet."""
        return self._jobs.qsize()

    def close(self) -> None:
        """Let idle threads end; busy ones end after their job, and nobody waits for them."""
        with self._lock:
            self._closed = True
            for _ in range(self._threads):
                self._jobs.put(None)

    def _grow(self) -> None:
        try:
            self._machine.start(self._run, f"{self._name}-{next(self._numbers)}")
        except RuntimeError as error:  # the machine has none to give just now; the next job asks again
            logger.warning("no thread for an effect: %s", error)
        else:
            self._threads += 1

    def _run(self) -> None:
        thread_id, me = threading.get_ident(), object()
        while (job := self._jobs.get()) is not None:
            self._running[me] = RunningJob(job, self._monotonic(), thread_id)
            try:
                job()
            except BaseException:
                # Not even SystemExit may end a thread that the next effect counts on.
                logger.exception("an effect escaped its handler")
            finally:
                del self._running[me]
            with self._lock:
                self._unfinished -= 1
