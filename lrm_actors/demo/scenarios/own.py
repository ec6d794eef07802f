"""A sampler that judges the agent and its children alone: whatever else this machine does is not a scenario's subject.

Reads the kernel's own account of how long each process has run and waited to run, where there is one.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from lrm_actors.domain.metrics import BUDGET

MIB = 1024 * 1024
WINDOW_S = 0.25
"""Where it is looked more often, one wait for a busy machine would pass for much work."""
Disk = Callable[[], tuple[float, int]]


class OwnSampler:
    """Takes samples with another sampler, and puts the agent's own share in the place of the machine's.

    Of the CPUs that is what the agent's processes had and what they waited for: a machine that is busy with something
    else gives them less, and they want no less for that. Of the memory it is their share of the budget, or else of
    what would run out first.

    Args:
        sampler: takes the samples, and has all else that is asked for.
        disk: percent in use of the disk, and bytes that are free on it, where that is not what the kernel says.
    """

    _sampler: Any
    _wanted: Wanted
    _disk: Disk | None

    def __init__(self, sampler: Any, disk: Disk | None = None) -> None:
        vars(self).update(_sampler=sampler, _wanted=Wanted(), _disk=disk)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._sampler, name, value)

    def count_waiting(self, *, on: bool) -> None:
        """Whether what the agent's processes waited for counts, from now on; off, only what they had."""
        self._wanted.count_waiting(on=on)

    def sample(self) -> Any:
        """One sample, or None."""
        seen = self._sampler.sample()
        if seen is None:
            return None
        wanted = self._wanted.percent()
        cpu = seen.process_cpu_percent if wanted is None else wanted
        own = attrs.evolve(seen, cpu_percent=cpu)
        budget_mb, rss_bytes = self._sampler.memory_budget_mb, seen.memory_rss_bytes
        if budget_mb is not None:
            own = attrs.evolve(own, memory_limit_bytes=int(budget_mb * MIB), limited_by=BUDGET)
        limit = own.memory_limit_bytes
        percent = None if rss_bytes is None or not limit else round(min(100.0, 100.0 * rss_bytes / limit), 1)
        own = attrs.evolve(own, memory_percent=percent)
        if self._disk is None:
            return own
        used, free = self._disk()
        return attrs.evolve(own, disk_percent=round(used, 1), disk_free_bytes=free)


class Wanted:
    """How much of all CPUs this process and its descendants wanted lately."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._looks: deque[tuple[float, int]] = deque()
        """When it was looked, and the nanoseconds that were spent since the look before."""
        self._waiting = True
        self._one = threading.Lock()

    def count_waiting(self, *, on: bool) -> None:
        """Whether the time that processes waited to run counts."""
        with self._one:
            self._waiting = on
            self._seen, self._looks = {}, deque()

    def percent(self) -> float | None:
        """From 0 to 100, since the last look, but over ``WINDOW_S`` at least once there were so many looks.

        None where the kernel does not say, or at the first look.
        """
        with self._one:
            return self._percent()

    def _percent(self) -> float | None:
        now_s, seen = time.monotonic(), self._look()
        spent_ns = sum(ns - self._seen.get(pid, ns) for pid, ns in seen.items())
        self._seen = seen
        self._looks.append((now_s, spent_ns))
        while len(self._looks) > 2 and now_s - self._looks[1][0] >= WINDOW_S:
            self._looks.popleft()
        since_s = self._looks[0][0]
        if not seen or now_s <= since_s:
            return None
        lately_ns = sum(ns for at_s, ns in self._looks if at_s > since_s)
        share = lately_ns / 1e9 / (now_s - since_s) / (os.cpu_count() or 1)
        return round(min(max(100.0 * share, 0.0), 100.0), 1)

    def _look(self) -> dict[int, int]:
        """Nanoseconds that each process ran and waited to run, by pid."""
        import psutil

        own = psutil.Process()
        found = {}
        for process in (own, *own.children(recursive=True)):
            with contextlib.suppress(OSError, ValueError):  # gone, or no such account
                ran, waited, _ = Path(f"/proc/{process.pid}/schedstat").read_text(encoding="ascii").split()
                found[process.pid] = int(ran) + int(waited) * self._waiting
        return found
