"""What the trends cost: the time of a sample, and the memory of two days."""

from __future__ import annotations

import sys
import time
from typing import Any

import attrs

from benchmarks.harness import Figure
from lrm_actors.domain.metrics import Metrics
from lrm_actors.domain.trends import TrendsState, fold
from lrm_actors.domain.trends.telling import untold
from lrm_actors.testing.traces import cpu_trace, memory_trace

TIMES, QUICK_TIMES = 5, 1
DAYS_S = 2 * 86_400.0
MB = 10**6


def figures(quick: bool) -> list[Figure]:
    """Fold two days of every metric that is watched, several times; the least time is the one nobody disturbed."""
    samples = _samples()
    spent, state = min((_folded(samples) for _ in range(QUICK_TIMES if quick else TIMES)), key=lambda one: one[0])
    return [
        Figure("detectors_us", spent / len(samples) / 1000.0, "lower", "microseconds of CPU per sample, all metrics"),
        Figure("history_48h_mb", size_of(state) / MB, "lower", "megabytes of memory that 48 h of samples take"),
    ]


def _samples() -> list[Metrics]:
    memory, cpu = memory_trace("tabs", 0, length_s=DAYS_S), cpu_trace("drift_60", 0, length_s=DAYS_S)
    return [
        Metrics(
            cpu_percent=percent,
            memory_anonymous_bytes=int(value * MB),
            memory_headroom_bytes=int((8000.0 - value) * MB),
            thread_count=60 + number * 7919 % 31,
            open_files=200 + number * 7919 % 97,
            disk_free_bytes=10**11 - number * 7919 % (100 * MB),
            network_sent_bytes=number * 3 * MB,
            network_received_bytes=number * 9 * MB,
        )
        for number, (value, percent) in enumerate(zip(memory, cpu, strict=True))
    ]


def _folded(samples: list[Metrics]) -> tuple[int, TrendsState]:
    state = TrendsState()
    began_ns = time.process_time_ns()
    for number, sample in enumerate(samples):
        state = fold(state, sample, number * 30.0)
        untold(state, {})
    return time.process_time_ns() - began_ns, state


def size_of(value: Any, seen: set[int] | None = None) -> int:
    """Bytes of a value and all that it holds."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return 0
    seen.add(id(value))
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        return size + sum(size_of(key, seen) + size_of(one, seen) for key, one in value.items())
    if isinstance(value, tuple):
        return size + sum(size_of(one, seen) for one in value)
    if attrs.has(type(value)):
        return size + sum(size_of(getattr(value, field.name), seen) for field in attrs.fields(type(value)))
    return size
