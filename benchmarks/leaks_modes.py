"""How often noise about a threshold changes the operation mode: a section of the leak suite."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence

from benchmarks.harness import Figure
from benchmarks.mode_noise import autoregressive, mode_changes, white


def noise(seeds: Sequence[int]) -> list[Figure]:
    """Changes of the mode in days of 30 s samples: the mean of the seeds."""
    ar, ar_most = _changes(autoregressive, seeds)
    flat, flat_most = _changes(white, seeds)
    days = f"changes of the operation mode per day, the mean of {len(seeds)} days of a CPU load"
    return [
        Figure("mode_changes_per_day_ar", ar, "lower", f"{days} of 78 +- 6 % that remembers; at most {ar_most}"),
        Figure("mode_changes_per_day_white", flat, "lower", f"{days} of 75 +- 8 % that does not; at most {flat_most}"),
    ]


def _changes(made: Callable[[int], Iterator[float]], seeds: Sequence[int]) -> tuple[float, int]:
    """The mean and the most."""
    found = [mode_changes(made(seed)) for seed in seeds]
    return statistics.mean(found), max(found)
