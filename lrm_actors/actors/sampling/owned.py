"""What seldom changes or is dear to read of a process: how many descriptors it may have, and its share of memory."""

from __future__ import annotations

import time
from collections.abc import Callable

from lrm_actors.actors.sampling.readings import NotHere
from lrm_actors.actors.sampling.tree import Key, LinuxTree, PortableTree, Tree

PSS_EVERY_S = 300.0
"""Seconds between two readings of the exact memory, at least."""
PSS_SHARE = 0.00005
"""Share of a CPU that they may take: what takes 50 ms, as a browser's does, is read every 17 minutes."""


class DescriptorLimits:
    """How many descriptors each process may have. Asked of each once: it is all but never changed from outside."""

    def __init__(self) -> None:
        self._of: dict[Key, int] = {}

    def own(self) -> int:
        """That of this process.

        Raises:
            NotHere: this system has no such limit.
        """
        try:
            import resource
        except ImportError:
            raise NotHere("this system has no limit of open files") from None
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY:
            raise NotHere("open files have no limit")
        return soft

    def fullest_percent(self, tree: Tree) -> float:
        """Descriptors of the fullest process against its own limit.

        Raises:
            NotHere: there is no such limit here.
            Exception: descriptors are not known.
        """
        own = self.own()
        used = tree.descriptors()
        limits = {key: self._of.get(key) or self._ask(key[0], own) for key in used}
        self._of = limits
        limits[tree.alive[0].key] = own  # may be changed from inside
        return max(100.0 * count / limits[key] for key, count in used.items())

    def _ask(self, pid: int, own: int) -> int:
        import resource

        try:
            soft, _ = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        except (OSError, AttributeError):
            return own  # another user's, or another system: children inherit it
        return soft if soft > 0 else own


class ShareReader:
    """The exact memory of the tree, read now and then and remembered in between.

    Args:
        processes: the process tree.
        monotonic, thread_time: the time, and the CPU time of the thread that reads.
    """

    def __init__(
        self,
        processes: LinuxTree | PortableTree,
        monotonic: Callable[[], float] = time.monotonic,
        thread_time: Callable[[], float] = time.thread_time,
    ) -> None:
        self._processes, self._monotonic, self._thread_time = processes, monotonic, thread_time
        self._read_at_s: float | None = None
        self._due_s = float("-inf")
        self._bytes = 0
        self._error: Exception | None = None

    def read(self, tree: Tree) -> int:
        """The last figure; read anew when that is due.

        Raises:
            NotHere: this system does not tell.
            OSError: the last reading failed.
        """
        now_s = self._monotonic()
        if now_s >= self._due_s:
            self._read(tree, now_s)
        if self._error is not None:
            raise self._error
        return self._bytes

    def age_s(self) -> float | None:
        """Seconds since it was read; None: it never was.

        Raises:
            NotHere: this system does not tell.
            OSError: the last reading failed.
        """
        if self._error is not None:
            raise self._error
        if self._read_at_s is None:
            return None
        return round(max(self._monotonic() - self._read_at_s, 0.0), 1)

    def _read(self, tree: Tree, now_s: float) -> None:
        began_s = self._thread_time()
        try:
            self._bytes = self._processes.pss_bytes(one.key for one in tree.alive)
            self._read_at_s, self._error = now_s, None
        except (OSError, ValueError, NotHere) as error:
            self._error = error
        took_s = self._thread_time() - began_s
        self._due_s = now_s + max(PSS_EVERY_S, took_s / PSS_SHARE)
