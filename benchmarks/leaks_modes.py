"""How often noise about a threshold changes the operation mode: a section of the leak suite."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence

from benchmarks.harness import Figure
from benchmarks.mode_noise import autoregressive, mode_changes, white


def noise(seeds: Sequence[int]) -> list[Figure]:
    """Changes of the mode in days of 30 s samples: the mean of the seeds."""
    return [
        _changes("mode_changes_per_day_ar", autoregressive, "autoregressive noise of 78 +- 6 %", seeds),
        _changes("mode_changes_per_day_white", white, "white noise of 75 +- 8 %", seeds),
    ]


def _changes(name: str, made: Callable[[int], Iterator[float]], kind: str, seeds: Sequence[int]) -> Figure:
    found = [mode_changes(made(seed)) for seed in seeds]
    days = f"the mean of {len(found)} days, in none more than {max(found)}"
    what = f"changes of the operation mode per day of {kind} of the CPU, {days}"
    return Figure(name, statistics.mean(found), "lower", what)
