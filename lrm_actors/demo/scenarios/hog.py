"""A part of the agent that takes more than it should, ``python -m lrm_actors.demo.scenarios.hog memory`` or ``cpu``.

It is told on stdin, a line each, what to do, and ends when stdin does and when its parent dies. Standard library only.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import threading
import time
from typing import NoReturn

from lrm_actors.demo.worker import die_with_parent

MIB = 1024 * 1024
CACHE_BYTES = 8 * MIB
TICK_S = 0.02
WORK_S = 0.01
PROCESSES = 2
"""That compute, of one hog."""
SHARE = struct.Struct("d")


class Memory:
    """Holds a cache, which it can drop, and leaks once it is told to, which it cannot undo."""

    def __init__(self) -> None:
        self._cache = self._taken(CACHE_BYTES)
        self._leaked: list[bytes] = []
        self._leak_bytes = 0
        self._most_bytes = sys.maxsize

    def obey(self, order: str) -> None:
        """``leak BYTES``, for each tick, or ``leak BYTES MOST`` until it has leaked so much; or ``drop`` the cache."""
        what, *numbers = order.split()
        if what == "leak":
            self._most_bytes = int(numbers[1]) if len(numbers) > 1 else sys.maxsize
            self._leak_bytes = int(numbers[0])
        elif what == "drop":
            self._cache = b""

    def tick(self) -> None:
        """Do a moment's worth."""
        if self._leak_bytes and sum(map(len, self._leaked)) < self._most_bytes:
            self._leaked.append(self._taken(self._leak_bytes))
        time.sleep(TICK_S)

    def _taken(self, size_bytes: int) -> bytes:
        return b"\x01" * size_bytes  # written to, so that it is there and not only promised


class Cpu:
    """Computes in several processes, at a share of the time that it is told."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, SHARE.size)  # the processes have it in common
        self._parent = os.getpid()
        for _ in range(PROCESSES - 1):
            if not os.fork():
                die_with_parent()
                self._compute()

    def obey(self, order: str) -> None:
        """``share NUMBER``, from 0 to 1."""
        SHARE.pack_into(self._shared, 0, float(order.partition(" ")[2]))

    def tick(self) -> None:
        """Do a moment's worth."""
        (share,) = SHARE.unpack_from(self._shared)
        if not share:
            time.sleep(TICK_S)
            return
        until = time.thread_time() + WORK_S
        while time.thread_time() < until:
            pass
        os.write(1, b"done\n")  # one piece of work
        if share < 1.0:
            time.sleep(WORK_S * (1.0 / share - 1.0))

    def _compute(self) -> NoReturn:
        while os.getppid() == self._parent:
            self.tick()
        os._exit(0)


def main() -> None:
    """Run until stdin ends."""
    die_with_parent()
    hog: Memory | Cpu = Memory() if sys.argv[1] == "memory" else Cpu()

    def listen() -> None:
        status = 1
        try:
            for line in sys.stdin:
                hog.obey(line.strip())
            status = 0
        finally:  # also at an order that it does not understand: nobody could end it any more
            os._exit(status)

    threading.Thread(target=listen, name="orders", daemon=True).start()
    os.write(1, b"ready\n")
    while True:
        hog.tick()


if __name__ == "__main__":
    main()
