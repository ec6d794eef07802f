"""What waits, made for the scheduler: the queue, flag, lock and reply that the runtime gets instead of a thread's."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from queue import Empty
from typing import Any

from lrm_actors.runtime.actor import UnregisteredActor
from lrm_actors.runtime.clock import Clock
from lrm_actors.runtime.machine import Flag, Queue
from lrm_actors.runtime.reply import Reply
from lrm_actors.testing.simulation.scheduler import Scheduler, Task

__all__ = ["SimulatedMachine"]


class SimulatedMachine:
    """A ``Machine`` whose threads are tasks of a scheduler.

    Args:
        scheduler: runs them.
        chance: everything by chance is drawn from here.
    """

    def __init__(self, scheduler: Scheduler, chance: random.Random) -> None:
        self._scheduler = scheduler
        self._chance = chance
        self.random = chance.random

    def queue(self) -> Queue:
        """A queue between tasks."""
        return _Queue(self._scheduler)

    def flag(self) -> Flag:
        """What tasks wait for."""
        return _Flag(self._scheduler)

    def lock(self) -> Any:
        """A lock that a task may hold while it waits."""
        return _Lock(self._scheduler)

    def reply(self, actor: str = "", command_id: str = "") -> Reply:
        """What an asking task waits on."""
        return _Reply(self._scheduler, actor, command_id)

    def start(self, target: Callable[[], object], name: str, *, daemon: bool = True) -> None:
        """Run ``target`` as a task."""
        is_actor = isinstance(getattr(target, "__self__", None), UnregisteredActor)
        self._scheduler.start(target, name, "actor" if is_actor else "thread")

    def clock(self) -> Clock:
        """The one simulated clock."""
        return self._scheduler.clock

    def run_id(self) -> str:
        """Ten hexadecimal digits by chance."""
        return f"{self._chance.getrandbits(40):010x}"


class _Queue:
    """As ``queue.SimpleQueue``."""

    __slots__ = ("_scheduler", "_waiting", "items")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.items: deque[Any] = deque()
        self._waiting: deque[Task] = deque()

    def put(self, item: Any, /) -> None:
        self.items.append(item)
        if self._waiting:
            self._scheduler.wake(self._waiting)

    def get(self) -> Any:
        while not self.items:
            self._scheduler.block(self._waiting, self)
        return self.items.popleft()

    def get_nowait(self) -> Any:
        if not self.items:
            raise Empty
        return self.items.popleft()

    def qsize(self) -> int:
        return len(self.items)

    def empty(self) -> bool:
        return not self.items

    def __repr__(self) -> str:
        return "a message"


class _Flag:
    """As ``threading.Event``."""

    __slots__ = ("_is_set", "_scheduler", "_waiting")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._is_set = False
        self._waiting: deque[Task] = deque()

    def set(self) -> None:
        self._is_set = True
        self._scheduler.wake_all(self._waiting)

    def clear(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        if not self._is_set:
            self._scheduler.block(self._waiting, self, timeout)
        return self._is_set

    def __repr__(self) -> str:
        return "a flag to be set"


class _Lock:
    """As ``threading.Lock``, and it knows who holds it."""

    __slots__ = ("_scheduler", "_waiting", "holder")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._waiting: deque[Task] = deque()
        self.holder: Task | None = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        self._scheduler.point()
        while self.holder is not None:
            if not blocking or not self._scheduler.block(self._waiting, self, None if timeout < 0 else timeout):
                return False
        self.holder = self._scheduler.current
        return True

    def release(self) -> None:
        if self.holder is None:
            msg = "release unlocked lock"
            raise RuntimeError(msg)
        self.holder = None
        self._scheduler.wake(self._waiting)

    def locked(self) -> bool:
        return self.holder is not None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"a lock that {self.holder.name} holds" if self.holder is not None else "a lock"


class _Reply(Reply):
    """A reply that a task waits on."""

    __slots__ = ("_is_there", "_scheduler", "_waiting")

    def __init__(self, scheduler: Scheduler, actor: str = "", command_id: str = "") -> None:
        super().__init__(actor, command_id)
        self._scheduler = scheduler
        self._is_there = False
        self._waiting: deque[Task] = deque()

    def get(self, *, timeout: float | None = None) -> Any:
        if self._get_hook is not None:
            return super().get(timeout=timeout)
        if not self._is_there and not self._scheduler.block(self._waiting, self, timeout):
            raise self.timed_out(timeout or 0.0)
        if self._error is not None:
            raise self._error
        return self._value

    def _finish(self) -> None:
        super()._finish()
        self._is_there = True
        self._scheduler.wake_all(self._waiting)

    def __repr__(self) -> str:
        return f"the reply of {self.actor or 'an actor'}"
