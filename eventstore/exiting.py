"""Logs that nobody closed: what was handed in to them is stored before the interpreter ends, and it is told of them.

Talks to the interpreter's shutdown and, through an ``OpenLog`` each, to the logs that this process owns. A log is kept
here from when it is opened until it is closed, whatever becomes of its store: one that was collected as garbage is
closed when the next log is opened, or at the end. Nothing of it is done where the garbage is found: that may be in the
middle of anything, on any thread.

At the end, one thread for each open log stores what waits, so that a disk that does not answer keeps the process no
longer than ``EXIT_S``. Threads can be started until the interpreter waits for those of the program to end, but they
still hand in after that: so the thread stores twice, once when it is started and once when those have ended.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from eventstore.connections import ReaderPool
from eventstore.errors import AppendFailed, OutcomeUnknown
from eventstore.forking import abandon_in_children

if TYPE_CHECKING:
    from eventstore.locking import LogLock
    from eventstore.writer import Writer

EXIT_S = 5.0
"""Seconds that all logs together have, twice: before the program's threads have ended, and after that."""
CLOSE_S = 5.0
"""Seconds that whoever opens a log waits until those whose stores were collected are closed, all together."""

_log = logging.getLogger("eventstore")


class OpenLog:
    """What a store holds of its log, from when it is opened until ``close``."""

    def __init__(self, path: Path, pool: ReaderPool, writer: Writer, lock: LogLock) -> None:
        self.path = path
        self._pool = pool
        self._writer = writer
        self._lock = lock
        self.closed = False
        self.dropped = False
        """Whether its store was collected: nobody can close it any more but this module."""
        self.given_up = False
        """Whether nobody waits any more until it is closed."""
        self._told = False
        self._finishing = threading.Lock()
        self._finished: threading.Event | None = None
        OPEN.add(self)

    def close(self) -> None:
        """Store what was handed in, and let others own it. Idempotent."""
        self._pool.close()  # the writer last, so that SQLite checkpoints and removes the WAL
        self._writer.close()
        self._lock.release()
        self.closed = True  # only now: the interpreter may end while a thread is at it
        OPEN.discard(self)

    def drop(self) -> None:
        """Its store is garbage. Called in the middle of anything, so it takes no lock and touches no file."""
        if self.closed or self._writer.transactions.foreign:
            return
        self.dropped = True
        self.tell()

    def tell(self) -> None:
        """Say once that nobody closed it."""
        if self._told:
            return
        self._told = True
        warnings.warn(f"the event log {self.path} was never closed", ResourceWarning, stacklevel=2, source=self)

    def store_what_waits(self, *, last: bool) -> None:
        """Store what was handed in, and log what cannot be. After the last time, whoever hands in stores it."""
        if self.closed:
            return
        if last:
            self._writer.store_at_once()
        waiting = self._writer.waiting()
        if not waiting:  # a disk that does not answer is then nobody's concern here
            return
        with contextlib.suppress(AppendFailed, OutcomeUnknown):  # logged with what else was refused
            self._writer.flush()
        lost = [entry.error for entry in waiting if entry.error is not None]
        if lost:
            reasons = "; ".join(sorted({str(error) for error in lost}))
            _log.error("%d batches that were handed in to %s are not stored: %s", len(lost), self.path, reasons)

    def finish_beside(self) -> threading.Event:
        """Close it in place of whoever should have, on a thread: its disk may not answer. Gives what is set then."""
        with self._finishing:  # others may open logs too
            if self._finished is not None and (self.closed or not self._finished.is_set()):
                return self._finished
            finished = self._finished = threading.Event()  # also where it could not be closed the last time

        def finish() -> None:
            try:
                self.finish()
            finally:
                finished.set()

        try:
            threading.Thread(target=finish, name="eventstore-close", daemon=True).start()
        except RuntimeError:  # the interpreter starts none any more
            finish()
        return finished

    def finish(self) -> None:
        """Close it in place of whoever should have."""
        try:
            self.store_what_waits(last=False)
            self.close()
        except Exception:  # noqa: BLE001 - the caller opens another log, and the end of the process goes on
            _log.exception("the event log %s could not be closed", self.path)


class _Ending:
    """A thread that stores what waits in one log, and once more when it is told to."""

    def __init__(self, log: OpenLog) -> None:
        self._log = log
        self._go_on = threading.Event()
        self._stored = threading.Event(), threading.Event()
        threading.Thread(target=self._run, name="eventstore-exit", daemon=True).start()

    def wait(self, until_s: float) -> None:
        """Wait until it has stored what it is to store now, or until a monotonic time."""
        first, second = self._stored
        if self._go_on.is_set():
            if not first.is_set():  # then a second wait is in vain, and it was told of
                return
            first = second
        if not first.wait(max(0.0, until_s - time.monotonic())):
            _log.error("what was handed in to %s is not stored yet, and the process ends", self._log.path)

    def store_again(self) -> None:
        """Have it store what came meanwhile, and end."""
        self._go_on.set()

    def _run(self) -> None:
        for last, stored in enumerate(self._stored):
            if last:
                self._go_on.wait()
            try:
                self._log.store_what_waits(last=bool(last))
            except Exception:  # noqa: BLE001 - a thread has nobody to raise it to
                _log.exception("what was handed in to %s could not be stored", self._log.path)
            finally:
                stored.set()


class OpenLogs:
    """Those of this process."""

    def __init__(self) -> None:
        self._logs: dict[int, OpenLog] = {}
        self._endings: dict[int, _Ending] = {}
        self._pid = 0
        abandon_in_children(self)

    def add(self, log: OpenLog) -> None:
        """Keep a log until it is closed."""
        self._logs[id(log)] = log
        if self._pid != os.getpid():  # also in a forked child, which may have cleared what its parent registered
            self._pid = os.getpid()
            atexit.unregister(self.end)
            atexit.register(self.end)

    def discard(self, log: OpenLog) -> None:
        """Keep it no more."""
        self._logs.pop(id(log), None)

    def close_dropped(self) -> None:
        """Close those whose stores were collected. One whose disk does not answer is waited for once, and told of."""
        closing = [(log, log.finish_beside()) for log in list(self._logs.values()) if log.dropped]
        until_s = time.monotonic() + CLOSE_S
        for log, finished in closing:
            if not log.given_up and not finished.wait(max(0.0, until_s - time.monotonic())):
                log.given_up = True
                _log.error(
                    "the event log %s, which nobody closed, cannot be closed: its disk does not answer", log.path
                )

    def abandon(self) -> None:
        """In a forked child: they are the parent's."""
        self._logs = {}
        self._endings = {}

    def begin_end(self) -> None:
        """Store what waits, while the program's threads may still hand in more."""
        for log in list(self._logs.values()):
            self._ending(log)
        self._wait()

    def end(self) -> None:
        """Store what waits, now that the program's threads have ended, and tell of what nobody closed."""
        logs = list(self._logs.values())
        alone = [log for log in logs if self._ending(log) is None]
        for ending in self._endings.values():
            ending.store_again()
        for log in alone:
            log.store_what_waits(last=True)
        self._wait()
        for log in logs:
            if not log.closed:
                log.tell()

    def _ending(self, log: OpenLog) -> _Ending | None:
        """The thread of a log; None where the interpreter starts none any more: better without a bound than not."""
        if id(log) not in self._endings:
            with contextlib.suppress(RuntimeError):
                self._endings[id(log)] = _Ending(log)
        return self._endings.get(id(log))

    def _wait(self) -> None:
        until_s = time.monotonic() + EXIT_S
        for ending in self._endings.values():
            ending.wait(until_s)


OPEN = OpenLogs()
"""The ones of this process."""
atexit.register(OPEN.end)  # before what a program registers, so that it runs after that
_before_threads_end = getattr(threading, "_register_atexit", None)
if _before_threads_end is not None:  # what concurrent.futures uses; without it ``end`` does all of it
    with contextlib.suppress(RuntimeError):  # the interpreter ends already
        _before_threads_end(OPEN.begin_end)
