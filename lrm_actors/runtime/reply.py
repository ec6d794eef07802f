"""The answer to an ask: set once, by whoever comes first, and setting it can neither raise nor block.

A thread waits on a ``Reply``; a coroutine awaits an ``AsyncReply``, whose loop is woken once for many answers.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import weakref
from collections import deque
from types import TracebackType
from typing import Any, ClassVar

import pykka

from lrm_actors.errors import ActorStopped, AskTimeout, OutcomeUnknown
from lrm_actors.runtime.loops import Patience, Waiting, Waker

logger = logging.getLogger(__name__)

_LONGEST_WAIT_S = 1e8
"""Three years. The platform refuses to wait for much longer."""

ANSWERS_AT_ONCE = 256
"""Answers given in one turn of an event loop: a fraction of a millisecond."""

_ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class Reply(pykka.Future[Any]):
    """A pykka future that never raises when set twice, and that costs two locks instead of a condition."""

    __slots__ = ("_claim", "_error", "_ready", "_value", "actor", "command_id", "unsettled", "withdrawn")

    _get_hook = None
    """Pykka's way to derive one future from another. Its ``__init__`` would set it on each, and make a dict for it."""

    def __init__(self, actor: str = "", command_id: str = "") -> None:
        self.actor = actor
        self.command_id = command_id
        self.unsettled = False
        """The command was part of an append whose outcome is unknown; a timeout then says so."""
        self.withdrawn = False
        """Nobody waits any more, and what was not begun need not be."""
        self._claim = threading.Lock()
        self._ready = threading.Lock()
        self._ready.acquire()
        self._value: Any = None
        self._error: BaseException | None = None

    def set(self, value: Any = None) -> None:
        """Answer. Does nothing when it was answered already."""
        if self._claim.acquire(blocking=False):
            self._value = value
            self._finish()

    def set_exception(self, exc_info: _ExcInfo | None = None) -> None:
        """Answer with an error (pykka's form). Does nothing when it was answered already."""
        error = (exc_info or sys.exc_info())[1]
        self.fail(error if error is not None else ActorStopped("the actor gave no answer", actor=self.actor))

    def fail(self, error: BaseException) -> None:
        """Answer with an error. Does nothing when it was answered already."""
        if self._claim.acquire(blocking=False):
            self._error = error
            self._finish()

    def withdraw(self) -> None:
        """The asker was cancelled: a command that was not begun is not carried out, and there is no answer."""
        self.withdrawn = True
        self._claim.acquire(blocking=False)

    def get(self, *, timeout: float | None = None) -> Any:
        """Wait for the answer.

        Args:
            timeout: seconds; None waits for ever, which only pykka's own interface allows.

        Raises:
            AskTimeout: no answer in time.
            OutcomeUnknown: no answer in time, and the command's append is not settled yet.
        """
        if self._get_hook is not None:
            return super().get(timeout=timeout)
        if not self._ready.acquire(timeout=-1 if timeout is None else min(timeout, _LONGEST_WAIT_S)):
            raise self.timed_out(timeout or 0.0)
        self._ready.release()
        if self._error is not None:
            raise self._error
        return self._value

    def set_get_hook(self, func: Any) -> None:
        """Derive this future from another (pykka's way)."""
        super().__init__()
        super().set_get_hook(func)

    def timed_out(self, timeout_s: float) -> AskTimeout | OutcomeUnknown:
        """The error for an asker who waited long enough."""
        about = f"{self.actor or 'the actor'} did not answer within {timeout_s:g} s"
        if self.unsettled:
            return OutcomeUnknown(f"{about}: the log cannot be written", actor=self.actor, command_id=self.command_id)
        return AskTimeout(about, actor=self.actor, command_id=self.command_id)

    def _finish(self) -> None:
        self._ready.release()


class AsyncReply(Reply):
    """A reply that resolves a future of an event loop.

    It needs no lock: answers queue up for the loop, and the first of one reply that the loop comes to is the answer.
    """

    __slots__ = ("_bridge", "future")

    def __init__(self, loop: asyncio.AbstractEventLoop, actor: str = "", command_id: str = "") -> None:
        self.actor = actor
        self.command_id = command_id
        self.unsettled = self.withdrawn = False
        self.future: asyncio.Future[Any] = loop.create_future()
        self._bridge = LoopBridge.of(loop)

    def set(self, value: Any = None) -> None:
        """Answer, from any thread. Does nothing when it was answered already."""
        self._bridge.post(self.future, value, None)

    def fail(self, error: BaseException) -> None:
        """Answer with an error, from any thread. Does nothing when it was answered already."""
        self._bridge.post(self.future, None, error)

    def time_out_at(self, until_s: float, timeout_s: float) -> Waiting | asyncio.TimerHandle:
        """Wait no longer than until this time of the loop's clock. Cancel what is returned when there is an answer."""
        return self._bridge.patience.call_at(until_s, timeout_s, self.time_out)

    def time_out(self, timeout_s: float) -> None:
        """Answer, on the loop's thread, that there was no answer in time."""
        self.fail(self.timed_out(timeout_s))

    def withdraw(self) -> None:
        """The asker was cancelled, and its future with it: a command that was not begun is not carried out."""
        self.withdrawn = True

    def get(self, *, timeout: float | None = None) -> Any:
        """Never: a thread that waits for its own event loop waits for ever."""
        msg = f"await the future; waiting {timeout} s for an event loop may block it"
        raise TypeError(msg)


class LoopBridge:
    """Carries answers from any thread to one event loop, one wake-up for all that wait.

    An answer is first put in line, and then is looked whether a wake-up is under way; the loop first says that none is
    under way any more, and then empties the line. So whoever finds one under way is seen by it.
    """

    _bridges: ClassVar[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopBridge]] = weakref.WeakKeyDictionary()
    _guard: ClassVar[threading.Lock] = threading.Lock()
    _last: ClassVar[LoopBridge | None] = None
    """Most processes have one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = weakref.ref(loop)
        """The loop, while it is there."""
        self._answers: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._scheduled = False
        self._waker = Waker(loop, self._drain_now)
        self.patience = Patience(loop)
        """Ends the asks that waited long enough."""

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> LoopBridge:
        """The bridge of a loop."""
        last = cls._last
        if last is not None and last.loop() is loop:
            return last
        with cls._guard:
            bridge = cls._bridges.get(loop)
            if bridge is None:
                # Answers refer to their loop, which could not go away with those here that came as it was closed.
                for closed in [one for one in cls._bridges if one.is_closed()]:
                    del cls._bridges[closed]
                bridge = cls._bridges[loop] = cls(loop)
            cls._last = bridge
            return bridge

    @classmethod
    def forget_threads(cls) -> None:
        """In a process just forked: another thread may have held the guard, and is not there to let go of it."""
        cls._guard = threading.Lock()

    def post(self, future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
        """From any thread: have ``future`` resolved on the loop. A closed loop has nobody waiting."""
        self._answers.append((future, value, error))
        if self._scheduled:
            return
        self._scheduled = True
        loop = self.loop()
        try:
            if loop is not None:
                self._waker.wake(loop)
                return
        except RuntimeError:
            logger.debug("an answer came after its event loop was closed")
        self._answers.clear()
        self._scheduled = False

    def _drain_now(self) -> None:
        self._drain()

    def _drain(self) -> None:
        """On the loop's thread: give what waits, some at a time, so that nobody else on the loop waits long."""
        self._scheduled = False
        answers = self._answers
        try:
            for _ in range(ANSWERS_AT_ONCE):
                if not answers:
                    return
                try:
                    _give(*answers[0])
                except Exception:  # a loop of another make may have futures that refuse more
                    logger.exception("an answer could not be given")
                answers.popleft()  # afterwards: a signal's exception in between costs nobody the answer
        finally:
            if answers and not self._scheduled and (loop := self.loop()) is not None:
                self._scheduled = True
                loop.call_soon(self._drain)


def _give(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():  # answered before, or nobody waits any more
        return
    if error is None:
        future.set_result(value)
    elif isinstance(error, StopIteration):  # which no future takes
        future.set_exception(ActorStopped(f"the actor ended with {error!r}"))
    else:
        future.set_exception(error)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=LoopBridge.forget_threads)
