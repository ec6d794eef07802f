"""A sampler that judges the agent and its children alone: whatever else this machine does is not a scenario's subject.

Reads the kernel's own account of how long each process has run and waited to run, where there is one.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import attrs

from lrm_actors.domain.metrics import BUDGET

MIB = 1024 * 1024


class OwnSampler:
    """Takes samples with another sampler, and puts the agent's own share in the place of the machine's.

    Of the CPUs that is what the agent's processes had and what they waited for: a machine that is busy with something
    else gives them less, and they want no less for that. Of the memory it is their share of the budget, or else of
    what would run out first.

    Args:
        sampler: takes the samples, and has all else that is asked for.
    """

    _sampler: Any
    _wanted: Wanted

    def __init__(self, sampler: Any) -> None:
        vars(self).update(_sampler=sampler, _wanted=Wanted())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._sampler, name, value)

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
        return attrs.evolve(own, memory_percent=percent)


class Wanted:
    """How much of all CPUs this process and its descendants wanted between two looks."""

    def __init__(self) -> None:
        self._at_s = 0.0
        self._seen: dict[int, int] = {}

    def percent(self) -> float | None:
        """From 0 to 100; None where the kernel does not say, or at the first look."""
        now_s, seen = time.monotonic(), self._look()
        before_s, before = self._at_s, self._seen
        self._at_s, self._seen = now_s, seen
        if not seen or not before or now_s <= before_s:
            return None
        spent_ns = sum(ns - before.get(pid, ns) for pid, ns in seen.items())
        share = spent_ns / 1e9 / (now_s - before_s) / (os.cpu_count() or 1)
        return round(min(max(100.0 * share, 0.0), 100.0), 1)

    def _look(self) -> dict[int, int]:
        """Nanoseconds that each process ran and waited to run, by pid."""
        import psutil

        own = psutil.Process()
        found = {}
        for process in (own, *own.children(recursive=True)):
            with contextlib.suppress(OSError, ValueError):  # gone, or no such account
                ran, waited, _ = Path(f"/proc/{process.pid}/schedstat").read_text(encoding="ascii").split()
                found[process.pid] = int(ran) + int(waited)
        return found
