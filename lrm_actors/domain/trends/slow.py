"""Slow growth: a few megabytes an hour under requests that come in bursts, found within a day and never called urgent.

Hourly minima are what is left when no burst was there. Over most of a day they have to rise by a robust line, from
quarter to quarter of that time, and from hour to hour: a daily wave fails the quarters, a staircase the hours.
"""

from __future__ import annotations

from itertools import pairwise

from eventstore.frozen import frozen
from lrm_actors.domain.trends.robust import line_through, median
from lrm_actors.domain.trends.series import BLOCK_S, COARSE, Blocks

HOUR_S = 3600.0
WINDOW = 48
"""Coarse blocks looked at: a day."""
SUSPECT_AFTER, CONFIRM_AFTER = 24, 40
"""Coarse blocks that the growth has to have lasted: twelve hours, and twenty."""
Z = 3.5
QUARTERS = 4
SPREAD_OUT = 0.25
"""Share of the line's slope that the median of the steps from hour to hour has at least."""
SLOWING = 0.3
"""Least ratio of the second half's rise and the first half's."""


@frozen
class Slow:
    """Growth over most of a day."""

    sure: float
    """The least of what was found over what is wanted; from 1 on it is growth."""
    rate: float
    """Per second."""
    since_s: float
    hours: float
    """That it was seen."""


def look(coarse: Blocks, least_rate: float, floor: float) -> Slow | None:
    """What the last day's half hours say; None: no growth.

    Args:
        coarse: half hours, the newest last.
        least_rate: growth per second that matters.
        floor: growth over the window below which it says nothing.
    """
    first = len(coarse.index)
    while first and coarse.index[first - 1] > coarse.index[-1] - WINDOW:
        first -= 1
    count = len(coarse.index) - first
    if count < SUSPECT_AFTER or 4 * count < 3 * (coarse.index[-1] - coarse.index[first] + 1):
        return None
    times, values = _hours(coarse, first)
    quarter = len(values) // QUARTERS
    lows = [min(values[number * quarter : (number + 1) * quarter]) for number in range(QUARTERS)]
    rise = lows[-1] - lows[0]
    if rise <= 0.0 or any(later <= earlier for earlier, later in pairwise(lows)):
        return None
    line = line_through(times, values)
    if line.slope <= 0.0:
        return None
    steps = median([(b - a) / (t - s) for (s, t), (a, b) in zip(pairwise(times), pairwise(values), strict=True)])
    kept = (lows[3] - lows[2]) / max(lows[1] - lows[0], floor / QUARTERS)
    wanted = (line.z / Z, line.slope / least_rate, rise / floor, steps / line.slope / SPREAD_OUT, kept / SLOWING)
    sure = min(wanted)
    return Slow(sure, line.slope, times[0], (times[-1] - times[0]) / HOUR_S + 1.0) if sure > 0.0 else None


def _hours(coarse: Blocks, first: int) -> tuple[list[float], list[float]]:
    """The minima of pairs of half hours from a place on, and the middle of each in seconds."""
    times: list[float] = []
    values: list[float] = []
    end = len(coarse.index)
    while end - 2 >= first:
        times.append((coarse.index[end - 2] + coarse.index[end - 1] + 1) / 2.0 * COARSE * BLOCK_S)
        values.append(min(coarse.low[end - 2], coarse.low[end - 1]))
        end -= 2
    times.reverse()
    values.reverse()
    return times, values
