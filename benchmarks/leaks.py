"""The trends on made-up days: false alarms, leaks found and how late, forecasts, and CPU that only looks saturated.

All on seeds that were not looked at when the detectors were made. Nothing is compared with anybody: the figures do not
depend on the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.harness import Figure
from benchmarks.leaks_modes import noise
from lrm_actors.testing import leaks
from lrm_actors.testing.traces import MEMORY_KINDS

SEEDS, QUICK_SEEDS = 20, 2


def run(quick: bool) -> list[Figure]:
    """Measure every figure."""
    seeds = range(leaks.VERIFYING_FROM, leaks.VERIFYING_FROM + (QUICK_SEEDS if quick else SEEDS))
    return [figure for section in SECTIONS for figure in section(seeds)]


def _memory(seeds: Sequence[int]) -> list[Figure]:
    days = f"{len(MEMORY_KINDS)} kinds of leak-free days, {len(seeds)} seeds each"
    calm = leaks.calm_in_memory(seeds)
    figures = [
        Figure("false_alarms_per_day", calm.mean, "lower", f"trends confirmed per day on {days}"),
        Figure("false_alarms_per_day_worst_kind", calm.worst, "lower", "the same of the kind with the most"),
    ]
    found = {rate: leaks.leaks_found(seeds, rate) for rate in leaks.RATES}
    delay = "minutes from the onset of a leak of {} MB/min until it is confirmed, median; {:.1%} found within 3 h"
    return [
        *figures,
        Figure("recall_2mb_3h", found[2.0].recall, "higher", "share of leaks of 2 MB/min found within 3 h"),
        Figure("delay_5mb_min", found[5.0].median_min, "lower", delay.format(5, found[5.0].recall)),
        Figure("delay_10mb_min", found[10.0].median_min, "lower", delay.format(10, found[10.0].recall)),
        Figure("delay_50mb_min", found[50.0].median_min, "lower", delay.format(50, found[50.0].recall)),
    ]


def _forecasts(seeds: Sequence[int]) -> list[Figure]:
    by_rate = {rate: leaks.forecasts(seeds, [rate]) for rate in (5.0, 10.0, 50.0)}
    worst = max(one.median_error for one in by_rate.values())
    covered = min(one.coverage for one in by_rate.values())
    what = "median error of the time to exhaustion with an hour left, in percent, of the worst of 5, 10 and 50 MB/min"
    share = "share of its 80 % intervals that held the truth, of the worst of the three rates"
    return [Figure("tte_error_percent", 100.0 * worst, "lower", what), Figure("tte_coverage", covered, "higher", share)]


def _slow(seeds: Sequence[int]) -> list[Figure]:
    told = [leaks.slow_growth(seed, rate) for rate in (2.0, 4.0, 8.0, 12.0) for seed in seeds]
    found = sum(one.found_after_s is not None for one in told) / len(told)
    acted = sum(one.acted for one in told) / len(told)
    return [
        Figure("recall_slow_25h", found, "higher", "share of growths of 2 to 12 MB/h under bursts found within 25 h"),
        Figure("slow_acted_on", acted, "lower", "of these, times that one was taken for a leak to act on"),
    ]


def _cpu(seeds: Sequence[int]) -> list[Figure]:
    calm = leaks.calm_in_cpu(seeds)
    return [Figure("cpu_false_onsets_per_day", calm.mean, "lower", "saturations and shifts confirmed where none is")]


SECTIONS: tuple[Callable[[Sequence[int]], list[Figure]], ...] = (_memory, _forecasts, _slow, _cpu, noise)
"""Each gives some of the figures."""
