"""What a system takes from the machine it runs on: threads, queues, waiting, chance. A simulator puts its own in place.

Talks to nobody. What the runtime is made of asks ``here()`` when it is made, never while it works: on the way of a
message there is nothing between it and the standard library.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Protocol

from lrm_actors.runtime.clock import Clock, SystemClock
from lrm_actors.runtime.reply import Reply


class Queue(Protocol):
    """As much of ``queue.SimpleQueue`` as is used."""

    def put(self, item: Any, /) -> None:
        """Add at the end. Never waits."""

    def get(self) -> Any:
        """Take the first; waits for one."""

    def get_nowait(self) -> Any:
        """Take the first, or raise ``queue.Empty``."""

    def qsize(self) -> int:
        """How many there are."""

    def empty(self) -> bool:
        """Whether there is none."""


class Flag(Protocol):
    """As much of ``threading.Event`` as is used."""

    def set(self) -> None:
        """Let everybody go on who waits, now and later."""

    def clear(self) -> None:
        """Have them wait again."""

    def is_set(self) -> bool:
        """Whether it is set."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, at most so many seconds; whether it is."""


class Machine(Protocol):
    """Where threads and everything that waits come from, and what differs between two runs.

    A lock that is held while waiting for something else must come from here too; one that is not need not.
    """

    def queue(self) -> Queue:
        """A queue between threads, without a bound."""

    def flag(self) -> Flag:
        """What threads wait for."""

    def lock(self) -> Any:
        """A lock, as ``threading.Lock()``."""

    def reply(self, actor: str = "", command_id: str = "") -> Reply:
        """What an asking thread waits on."""

    def start(self, target: Callable[[], object], name: str, *, daemon: bool = True) -> None:
        """Run ``target`` on a thread of its own.

        Raises:
            RuntimeError: the machine has none to give.
        """

    def clock(self) -> Clock:
        """A clock for one system."""

    def run_id(self) -> str:
        """What tells the ids of one system from those of every other."""

    def random(self) -> float:
        """A number in ``[0, 1)``."""


class ThisMachine:
    """The one that the process runs on."""

    queue = staticmethod(SimpleQueue[Any])
    flag = staticmethod(threading.Event)
    lock = staticmethod(threading.Lock)
    reply = staticmethod(Reply)
    clock = staticmethod(SystemClock)
    random = staticmethod(random.SystemRandom().random)

    @staticmethod
    def start(target: Callable[[], object], name: str, *, daemon: bool = True) -> None:
        """Run ``target`` on a thread of its own."""
        threading.Thread(target=target, name=name, daemon=daemon).start()

    @staticmethod
    def run_id() -> str:
        """Ten hexadecimal digits by chance."""
        return os.urandom(5).hex()


THIS: Machine = ThisMachine()
_put_in_place = threading.local()


def here() -> Machine:
    """The machine for what this thread makes."""
    return getattr(_put_in_place, "machine", THIS)


@contextmanager
def in_place(machine: Machine) -> Iterator[None]:
    """Whatever this thread makes inside is made of another machine's parts. Other threads do not notice."""
    before = here()
    _put_in_place.machine = machine
    try:
        yield
    finally:
        _put_in_place.machine = before
