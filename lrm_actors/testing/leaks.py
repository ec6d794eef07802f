"""How good the trends are: alarms on days without a leak, leaks found and how late, forecasts, slow growth, CPU.

Runs the fold over made-up traces (``lrm_actors.testing.traces``) as a monitor would, sample by sample. Whoever changes
a detector sees here what it costs.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs

from lrm_actors.domain.metrics import Metrics
from lrm_actors.domain.trends import Changes, Trend, TrendsState, changes, current, fold
from lrm_actors.domain.trends.trend import CPU_SATURATION, CPU_SHIFT, MEMORY_LEAK, SLOW_GROWTH
from lrm_actors.testing.traces import CPU_KINDS, MEMORY_KINDS, cpu_trace, leaking, memory_trace

TUNING_SEEDS = range(50)
"""Seeds that the detectors were made with; those from ``VERIFYING_FROM`` on were not looked at."""
VERIFYING_FROM = 3000
MB = 1e6
RATES = (2.0, 5.0, 10.0, 50.0)
"""MB per minute of the leaks added."""
FOUND_WITHIN_S = 3 * 3600.0
AHEAD_S = 3600.0
"""Before exhaustion, when a forecast is judged."""
INTERVAL_S = 30.0

Fold = Callable[[TrendsState, Metrics, float], TrendsState]


@attrs.frozen
class News:
    """What changed with one sample."""

    at_s: float
    changes: Changes
    state: TrendsState


def memory_samples(trace: Iterable[float], limit_mb: float | None = None) -> Iterator[Metrics]:
    """Samples of which only the memory is known, as a trace in MB says."""
    for value in trace:
        headroom = None if limit_mb is None else max(0, int((limit_mb - value) * MB))
        yield Metrics(memory_anonymous_bytes=int(value * MB), memory_headroom_bytes=headroom)


def cpu_samples(trace: Iterable[float]) -> Iterator[Metrics]:
    """Samples of which only the CPU use is known."""
    return (Metrics(cpu_percent=value) for value in trace)


def news(samples: Iterable[Metrics], folded: Fold = fold, interval_s: float = INTERVAL_S) -> Iterator[News]:
    """Fold samples, and tell of every change of a trend."""
    state = TrendsState()
    for number, sample in enumerate(samples):
        after = folded(state, sample, number * interval_s)
        changed = changes(state, after)
        state = after
        if changed != Changes():
            yield News(number * interval_s, changed, state)


def confirmed(samples: Iterable[Metrics], folded: Fold = fold) -> list[tuple[float, Trend]]:
    """Every trend that is confirmed, and when."""
    return [(one.at_s, trend) for one in news(samples, folded) for trend in one.changes.confirmed]


# --- memory -------------------------------------------------------------------------------------------------------


def false_alarms(kind: str, seed: int, folded: Fold = fold) -> int:
    """Trends that are confirmed, of any kind, within a day without a leak."""
    return len(confirmed(memory_samples(memory_trace(kind, seed)), folded))


def suspicions(kind: str, seed: int) -> int:
    """Trends that are suspected within a day without a leak, whatever becomes of them."""
    return sum(len(one.changes.suspected) for one in news(memory_samples(memory_trace(kind, seed))))


def onset(kind: str, seed: int) -> float:
    """When the leak begins that is added: between 5.5 and 6.5 hours, in seconds."""
    return 3600.0 * (5.5 + random.Random(f"onset/{kind}/{seed}").random())  # noqa: S311


def delay_s(kind: str, seed: int, mb_per_min: float, folded: Fold = fold) -> float | None:
    """Seconds from the onset of a leak until it is confirmed as one; None: not within three hours.

    An alarm that was there already does not count: it has to be confirmed anew.
    """
    began_s = onset(kind, seed)
    trace = memory_trace(kind, seed)[: int((began_s + FOUND_WITHIN_S) / INTERVAL_S) + 1]
    samples = memory_samples(leaking(trace, seed, mb_per_min=mb_per_min, onset_s=began_s))
    for one in news(samples, folded):
        if one.at_s >= began_s and any(trend.kind == MEMORY_LEAK for trend in one.changes.confirmed):
            return one.at_s - began_s
    return None


@attrs.frozen
class Forecasted:
    """A forecast an hour before the memory ran out."""

    error: float
    """Of the time until then, as a share of it."""
    covered: bool
    """Whether the truth lay within the interval."""
    bounded: bool
    """Whether the interval has an upper end."""


def forecasted(kind: str, seed: int, mb_per_min: float) -> Forecasted | None:
    """How good the forecast was an hour before the trace reached its limit; None: no leak was told of by then."""
    chance = random.Random(f"limit/{kind}/{seed}/{mb_per_min:g}")  # noqa: S311
    began_s, hours = onset(kind, seed), chance.uniform(1.6, 3.0)
    trace = leaking(memory_trace(kind, seed), seed, mb_per_min=mb_per_min, onset_s=began_s)
    first = int(began_s / INTERVAL_S)
    limit = max(trace[first - 240 : first]) + mb_per_min * 60.0 * hours
    reached = next((number for number, value in enumerate(trace) if value >= limit), None)
    if reached is None:
        return None
    state = TrendsState()
    asked = reached - int(AHEAD_S / INTERVAL_S)
    for number, sample in enumerate(memory_samples(trace[: asked + 1], limit)):
        state = fold(state, sample, number * INTERVAL_S)
    leak = next((trend for trend in current(state) if trend.kind == MEMORY_LEAK), None)
    if leak is None or leak.exhausted_s is None or leak.exhausted_low_s is None:
        return None
    covered = leak.exhausted_low_s <= AHEAD_S and (leak.exhausted_high_s is None or leak.exhausted_high_s >= AHEAD_S)
    return Forecasted(abs(leak.exhausted_s - AHEAD_S) / AHEAD_S, covered, leak.exhausted_high_s is not None)


@attrs.frozen
class SlowGrowth:
    """What became of slow growth within 25 hours."""

    found_after_s: float | None
    acted: int
    """Times that it was taken for a leak to act on."""


def slow_growth(seed: int, mb_per_hour: float, kind: str = "bursts") -> SlowGrowth:
    """Growth of a few megabytes an hour under requests in bursts, for 25 hours."""
    trace = memory_trace(kind, seed, length_s=25 * 3600.0)
    told = confirmed(memory_samples(leaking(trace, seed, mb_per_min=mb_per_hour / 60.0, onset_s=0.0)))
    found = next((at_s for at_s, trend in told if trend.kind == SLOW_GROWTH), None)
    return SlowGrowth(found, sum(trend.kind == MEMORY_LEAK for _, trend in told))


# --- CPU ----------------------------------------------------------------------------------------------------------


def cpu_false_onsets(kind: str, seed: int, folded: Fold = fold) -> int:
    """Trends that are confirmed, of any kind, within a day of CPU use that has none."""
    return len(confirmed(cpu_samples(cpu_trace(kind, seed)), folded))


def saturation_samples(kind: str, seed: int) -> int | None:
    """Samples of a saturation until it is confirmed, on top of a trace; None: not within sixty."""
    chance = random.Random(f"saturation/{kind}/{seed}")  # noqa: S311
    begins = int((6.0 + chance.random()) * 3600.0 / INTERVAL_S)
    trace = cpu_trace(kind, seed)[:begins] + [min(100.0, chance.gauss(99.5, 0.5)) for _ in range(60)]
    return _found(trace, begins, CPU_SATURATION)


def shift_samples(kind: str, seed: int, points: float) -> int | None:
    """Samples until a lasting shift up by ``points`` is confirmed; None: not within two hours."""
    chance = random.Random(f"shift/{kind}/{seed}")  # noqa: S311
    begins = int((6.0 + chance.random()) * 3600.0 / INTERVAL_S)
    trace = cpu_trace(kind, seed)[: begins + 240]
    return _found(trace[:begins] + [min(100.0, value + points) for value in trace[begins:]], begins, CPU_SHIFT)


def _found(trace: Sequence[float], begins: int, kind: str) -> int | None:
    for one in news(cpu_samples(trace)):
        number = int(one.at_s / INTERVAL_S)
        if number >= begins and any(trend.kind == kind for trend in one.changes.confirmed):
            return number - begins + 1
    return None


# --- together -----------------------------------------------------------------------------------------------------


@attrs.frozen
class Calm:
    """Alarms per day on traces that have nothing to tell."""

    by_kind: dict[str, float]

    @property
    def mean(self) -> float:
        """Over all kinds."""
        return statistics.fmean(self.by_kind.values())

    @property
    def worst(self) -> float:
        """Of the kind with the most."""
        return max(self.by_kind.values())


def calm_in_memory(seeds: Sequence[int], folded: Fold = fold) -> Calm:
    """False alarms per day of each kind of memory."""
    return Calm({kind: statistics.fmean(false_alarms(kind, seed, folded) for seed in seeds) for kind in MEMORY_KINDS})


def calm_in_cpu(seeds: Sequence[int], folded: Fold = fold) -> Calm:
    """False onsets per day of each kind of CPU use."""
    return Calm({kind: statistics.fmean(cpu_false_onsets(kind, seed, folded) for seed in seeds) for kind in CPU_KINDS})


@attrs.frozen
class Found:
    """How many leaks of one rate were found, and how late."""

    recall: float
    """Share found within three hours."""
    median_min: float
    """Minutes from onset until it was confirmed, the median; infinite where most were not found."""
    count: int


def leaks_found(seeds: Sequence[int], mb_per_min: float, folded: Fold = fold) -> Found:
    """Leaks of one rate on every kind of memory."""
    delays = [delay_s(kind, seed, mb_per_min, folded) for kind in MEMORY_KINDS for seed in seeds]
    minutes = [float("inf") if delay is None else delay / 60.0 for delay in delays]
    return Found(sum(delay is not None for delay in delays) / len(delays), statistics.median(minutes), len(delays))


@attrs.frozen
class Forecasts:
    """How good forecasts were with an hour left."""

    median_error: float
    coverage: float
    """Share of the intervals, meant to be of 80 %, that held the truth."""
    bounded: float
    """Share of the intervals that have an upper end."""
    count: int
    missing: int
    """Leaks not told of by then."""


def forecasts(seeds: Sequence[int], rates: Sequence[float]) -> Forecasts:
    """Forecasts for leaks of several rates on every kind of memory."""
    made = [forecasted(kind, seed, rate) for kind in MEMORY_KINDS for seed in seeds for rate in rates]
    told = [one for one in made if one is not None]
    return Forecasts(
        statistics.median(one.error for one in told),
        statistics.fmean(one.covered for one in told),
        statistics.fmean(one.bounded for one in told),
        len(told),
        len(made) - len(told),
    )
