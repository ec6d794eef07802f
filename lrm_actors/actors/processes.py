"""This process and all its descendants, as one: what they hold together.

Reads the kernel through psutil, which is imported when first needed. A process that ends while it is looked at, or that
is a zombie, holds nothing any more and is left out; any other trouble is raised, because a part is not the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil


class NotHere(Exception):
    """This platform does not have a metric."""


class ProcessTree:
    """One look at the tree: made of the processes there are now."""

    def __init__(self) -> None:
        import psutil

        self._gone = psutil.NoSuchProcess  # a ZombieProcess is one
        own = psutil.Process()
        self.processes: list[psutil.Process] = [own, *own.children(recursive=True)]

    def total(self, read: Callable[[psutil.Process], float]) -> int:
        """The sum of one figure over all processes."""
        return int(sum(self.each(read).values()))

    def each(self, read: Callable[[psutil.Process], float]) -> dict[tuple[int, float], float]:
        """One figure of each process, by its pid and the time it began: pids come back."""
        figures = {}
        for process in self.processes:
            try:
                figures[process.pid, process.create_time()] = read(process)
            except self._gone:
                continue
        return figures


def cpu_s(process: psutil.Process) -> float:
    """Seconds of CPU that a process has used, without its children."""
    times = process.cpu_times()
    return float(times.user + times.system)


def own_memory_bytes(process: psutil.Process) -> int:
    """Resident memory that a process shares with nobody, nearly.

    Summing the whole resident size counts what is shared once for each process: 4 times too much for a browser. Without
    the shared pages the sum is within a third of the truth (PSS), at a hundredth of its price.
    """
    info = process.memory_info()
    return max(int(info.rss) - int(getattr(info, "shared", 0)), 0)


def virtual_memory_bytes(process: psutil.Process) -> int:
    """Address space of a process."""
    return int(process.memory_info().vms)


def open_files(process: psutil.Process) -> int:
    """File descriptors in use, sockets and pipes included."""
    count = getattr(process, "num_fds", None) or getattr(process, "num_handles", None)  # the latter on Windows
    if count is None:
        raise NotHere("open files are not counted here")
    return int(count())


def threads(process: psutil.Process) -> int:
    """Threads of a process."""
    return int(process.num_threads())
