"""Robust lines through a few points: Theil and Sen's slope, and the test of Mann and Kendall whether there is one.

Neither minds outliers, and both need only comparisons. Sources: H. Theil (1950) and P. K. Sen (1968), "Estimates of the
regression coefficient based on Kendall's tau", JASA 63; H. B. Mann (1945); M. G. Kendall, "Rank Correlation Methods"
(ties). With a dozen points, 66 pairs, no array library is needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from eventstore.frozen import frozen

Z_80 = 1.2816
"""Standard deviations on each side of a normal distribution's middle 80 %."""


@frozen
class Line:
    """A robust line through points in order of time."""

    slope: float
    """Median of the slopes of all pairs, per unit of the times."""
    z: float
    """Mann and Kendall's statistic: a standard normal deviate where there is no trend, above 0 where it rises."""
    slopes: tuple[float, ...]
    """Of all pairs, ascending."""
    deviation: float
    """Standard deviation of Kendall's score without a trend."""

    def between(self, stretch: float = 1.0) -> tuple[float, float]:
        """The 80 % interval of the slope after Sen, for points that do not hang together; else ``stretch`` it."""
        half = stretch * Z_80 * self.deviation / 2.0 / len(self.slopes)
        return quantile(self.slopes, 0.5 - half), quantile(self.slopes, 0.5 + half)


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the middle two. There must be one."""
    ranked = sorted(values)
    middle = len(ranked) // 2
    return ranked[middle] if len(ranked) % 2 else (ranked[middle - 1] + ranked[middle]) / 2.0


def quantile(ranked: Sequence[float], share: float) -> float:
    """The value below which ``share`` of ``ranked``, ascending and not empty, lies; between two, in proportion."""
    place = min(max(share, 0.0), 1.0) * (len(ranked) - 1)
    below = int(place)
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (ranked[above] - ranked[below]) * (place - below)


def line_through(times: Sequence[float], values: Sequence[float]) -> Line:
    """The robust line through at least two points whose times ascend."""
    slopes: list[float] = []
    score = 0
    count = len(values)
    for later in range(1, count):
        time, value = times[later], values[later]
        for earlier in range(later):
            rise = value - values[earlier]
            if rise > 0.0:
                score += 1
            elif rise < 0.0:
                score -= 1
            slopes.append(rise / (time - times[earlier]))
    slopes.sort()
    variance = _variance(values)
    deviation = math.sqrt(variance)
    z = (score - math.copysign(1.0, score)) / deviation if score and deviation else 0.0
    return Line(quantile(slopes, 0.5), z, tuple(slopes), deviation)


def related(values: Sequence[float]) -> float:
    """Correlation of neighbours, from 0 to 0.95, of values that lie around 0."""
    squares = sum(value * value for value in values)
    if not squares:
        return 0.0
    together = sum(earlier * later for earlier, later in pairwise(values))
    return min(max(together / squares, 0.0), 0.95)


def _variance(values: Sequence[float]) -> float:
    """Variance of Kendall's score without a trend, corrected for ties."""
    count = len(values)
    whole = count * (count - 1) * (2 * count + 5)
    if len(set(values)) < count:
        ties: dict[float, int] = {}
        for value in values:
            ties[value] = ties.get(value, 0) + 1
        whole -= sum(tie * (tie - 1) * (2 * tie + 5) for tie in ties.values())
    return whole / 18.0
