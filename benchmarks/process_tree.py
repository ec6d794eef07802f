"""A tree of processes like a browser's, of idle threads and some memory each; run as a program, it waits to be ended.

``standing`` has one stand as long as the block lasts, below the process that calls it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

THREADS = 12
"""Of each process: a browser of 20 processes has about 250."""
BALLAST_BYTES = 4 * 1024 * 1024
LEVELS = (1, 4)
"""One process on top, four below it, and all others below these."""


def stand(processes: int) -> None:
    """Become the top of a tree; ends when the standard input does."""
    top = os.getpid()
    ready, tell = os.pipe()
    gone, hold = os.pipe()
    branches = min(LEVELS[1], processes - 1)
    for branch in range(branches):
        leaves = (processes - 1 - branches) // branches + (branch < (processes - 1 - branches) % branches)
        if os.fork() == 0:
            os.close(hold)
            for _ in range(leaves):
                if os.fork() == 0:
                    break
            _idle(tell, gone)
    os.close(gone)
    told = 0
    while told < processes - 1:
        told += len(os.read(ready, 100))
    assert top == os.getpid()
    _threads()
    print("ready", flush=True)
    sys.stdin.read()
    os.close(hold)


def _idle(tell: int, gone: int) -> None:
    _threads()
    ballast = bytearray(BALLAST_BYTES)
    ballast[::4096] = b"x" * len(ballast[::4096])
    os.write(tell, b".")
    os.read(gone, 1)  # until the top has ended
    os._exit(0)


def _threads() -> None:
    waiting = threading.Event()
    for _ in range(THREADS - 1):
        threading.Thread(target=waiting.wait, daemon=True).start()


@contextlib.contextmanager
def standing(processes: int) -> Iterator[int]:
    """A tree of so many processes; gives the pid of its top."""
    command = [sys.executable, "-m", "benchmarks.process_tree", str(processes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as top:
        assert top.stdin is not None
        assert top.stdout is not None
        assert top.stdout.readline() == b"ready\n"
        yield top.pid
        top.stdin.close()


if __name__ == "__main__":
    stand(int(sys.argv[1]))
