"""Sleeps that outlive the process: on record when they begin, and waited for only as long as they have left.

Talks to the journal actor and to a clock of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from lrm_actors.domain.journal import JournalState
from lrm_actors.domain.sleeps import LONGEST_S, BeginSleep
from lrm_actors.errors import AmbiguousEffect, NotRunning, SettingsError
from lrm_actors.hosting.host import check_name
from lrm_actors.hosting.stepping import JOURNAL, Asking, Stepping, current_step
from lrm_actors.runtime.clock import Clock, SystemClock

STOPPED = "the mode was stopped before the sleep was over; the next process sleeps on"


class Sleeping:
    """The sleeps of one mode.

    Args:
        asking: reaches the journal.
        stepping: of the same mode; knows whose steps are its own.
        make_clock: gives a clock to wait by, when there is the first to wait for.
    """

    def __init__(self, asking: Asking, stepping: Stepping, *, make_clock: Callable[[], Clock] = SystemClock) -> None:
        self.make_clock = make_clock
        self._asking = asking
        self._stepping = stepping
        self._lock = threading.Lock()
        self._clock: Clock | None = None
        self._waiting: set[Future[None]] = set()
        self._under_way: set[tuple[bool, str]] = set()
        self._counts: dict[bool, tuple[tuple[int, int], Counter[str]]] = {}
        """Of each key, by whether it was inside a step, and of which step and attempt."""

    async def sleep(self, seconds: float, key: str) -> None:
        """Sleep, in a host with an event loop."""
        with self._one(seconds, key) as command:
            begun = await self._asking.ask(JOURNAL, command, timeout_s=self._stepping.timeout_s)
            if begun["remaining_s"] > 0:
                await asyncio.wrap_future(self._after(begun["remaining_s"]))

    def sleep_blocking(self, seconds: float, key: str) -> None:
        """Sleep on this thread."""
        with self._one(seconds, key) as command:
            begun = self._asking.ask_blocking(JOURNAL, command, timeout_s=self._stepping.timeout_s)
            if begun["remaining_s"] > 0:
                over = self._after(begun["remaining_s"])
                try:
                    over.result()
                finally:
                    over.cancel()

    @property
    def under_way(self) -> bool:
        """Whether somebody sleeps now, inside a step or not: whoever is silent for that reason does not hang."""
        with self._lock:
            return bool(self._waiting)

    def close(self) -> None:
        """The mode is stopped: whoever still sleeps is told so, and sleeps on when it is started again."""
        with self._lock:
            clock, self._clock = self._clock, None
            waiting, self._waiting = self._waiting, set()
            self._counts.clear()
        if clock is not None:
            clock.close()
        for future in waiting:
            _end(future, NotRunning(STOPPED))

    @contextmanager
    def _one(self, seconds: float, key: str) -> Iterator[BeginSleep]:
        """One sleep, from its command to its end.

        Raises:
            SettingsError: the key can name nothing, or the seconds are none.
            AmbiguousEffect: another one of this key is under way.
        """
        key = check_name("key", key)
        if type(seconds) not in {int, float} or not 0 <= seconds <= LONGEST_S:
            raise SettingsError("seconds", seconds, f"a number from 0 to {LONGEST_S:.0f}, a year")
        step = current_step(self._stepping)
        state: JournalState = self._asking.state(JOURNAL)
        inside = step is not None
        belongs = (state.committed + 1, 0) if step is None else (step.number, step.attempt)
        with self._lock:
            if (inside, key) in self._under_way:
                raise AmbiguousEffect(f"sleep {key}", belongs[0])
            counted = self._counts.get(inside)
            if counted is None or counted[0] != belongs:
                counted = self._counts[inside] = (belongs, Counter())
            counted[1][key] += 1
            self._under_way.add((inside, key))
        try:
            yield BeginSleep(key, inside, counted[1][key], float(seconds))
        finally:
            with self._lock:
                self._under_way.discard((inside, key))

    def _after(self, delay_s: float) -> Future[None]:
        """A future that is done after so many seconds."""
        future: Future[None] = Future()
        with self._lock:
            if self._clock is None:
                self._clock = self.make_clock()
            self._waiting.add(future)
            cancel = self._clock.call_later(delay_s, lambda: _end(future))
        future.add_done_callback(lambda done: self._over(done, cancel))
        return future

    def _over(self, future: Future[None], cancel: Callable[[], None]) -> None:
        with self._lock:
            self._waiting.discard(future)
        cancel()


def _end(future: Future[None], error: Exception | None = None) -> None:
    """Let a sleeper go, unless it went by itself."""
    if future.done() or not future.set_running_or_notify_cancel():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
