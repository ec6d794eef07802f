"""A part of the agent that takes more than it should, ``python -m lrm_actors.demo.scenarios.hog memory`` or ``cpu``.

It is told on stdin, a line each, what to do, and ends when stdin does and when its parent dies. Standard library only.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from lrm_actors.demo.worker import die_with_parent

MIB = 1024 * 1024
CACHE_BYTES = 8 * MIB
TICK_S = 0.02
WORK_S = 0.01


class Memory:
    """Holds a cache, which it can drop, and leaks once it is told to, which it cannot undo."""

    def __init__(self) -> None:
        self._cache = self._taken(CACHE_BYTES)
        self._leaked: list[bytes] = []
        self._leak_bytes = 0

    def obey(self, order: str) -> None:
        """``leak BYTES``, for each tick; or ``drop`` the cache."""
        what, _, number = order.partition(" ")
        if what == "leak":
            self._leak_bytes = int(number)
        elif what == "drop":
            self._cache = b""

    def tick(self) -> None:
        """Do a moment's worth."""
        if self._leak_bytes:
            self._leaked.append(self._taken(self._leak_bytes))
        time.sleep(TICK_S)

    def _taken(self, size_bytes: int) -> bytes:
        return b"\x01" * size_bytes  # written to, so that it is there and not only promised


class Cpu:
    """Computes, at a share of the time that it is told."""

    def __init__(self) -> None:
        self._share = 0.0

    def obey(self, order: str) -> None:
        """``share NUMBER``, from 0 to 1."""
        self._share = float(order.partition(" ")[2])

    def tick(self) -> None:
        """Do a moment's worth."""
        if not self._share:
            time.sleep(TICK_S)
            return
        until = time.thread_time() + WORK_S
        while time.thread_time() < until:
            pass
        print("done", flush=True)  # one piece of work
        if self._share < 1.0:
            time.sleep(WORK_S * (1.0 / self._share - 1.0))


def main() -> None:
    """Run until stdin ends."""
    die_with_parent()
    hog: Memory | Cpu = Memory() if sys.argv[1] == "memory" else Cpu()

    def listen() -> None:
        for line in sys.stdin:
            hog.obey(line.strip())
        os._exit(0)

    threading.Thread(target=listen, name="orders", daemon=True).start()
    print("ready", flush=True)
    while True:
        hog.tick()


if __name__ == "__main__":
    main()
