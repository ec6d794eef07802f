"""When a resource runs out: a line from where the growth began, and an interval that says how little is known.

The growth begins where a level and then a line fit the minima best (a two-phase regression by least squares over every
place it could be; Hinkley 1971). The slope is Theil and Sen's from there on, so what was before does not flatten it.
What runs out is met by the peaks and not by the minima: so the peaks above the line are taken as they were.
"""

from __future__ import annotations

import math

from eventstore.frozen import frozen
from lrm_actors.domain.trends.robust import Line, line_through, median, quantile, related
from lrm_actors.domain.trends.series import BLOCK_S, Blocks

MOST_POINTS = 24
LEAST_AFTER = 6
"""Points that there must be after the change."""
LOOK_BACK = 240
"""Blocks in which the change is looked for: eight hours."""
CHANGE_POINTS = 60
FAR_S = 30 * 86_400.0
"""More than thirty days ahead nothing is said."""


@frozen
class Forecast:
    """What growth comes to."""

    since_s: float
    """When it began."""
    line: Line
    """Per second, from there on."""
    low_s: float | None = None
    """Seconds until the resource runs out, at the earliest."""
    middle_s: float | None = None
    high_s: float | None = None
    """At the latest; None also where that is more than thirty days ahead."""


def forecast(blocks: Blocks, ceiling: float | None, since: int = 0, began_s: float | None = None) -> Forecast | None:
    """How the growth at the end of ``blocks`` goes on; None where there are too few of them.

    Args:
        blocks: of a metric that grows.
        ceiling: the value at which the resource has run out; None: not known.
        since: block before which the growth cannot have begun.
        began_s: when it began, where that was found out lately.
    """
    if began_s is None:
        began_s = _beginning(blocks, since)
    if began_s is None:
        return None
    first = len(blocks.index)
    while first and (blocks.index[first - 1] + 0.5) * BLOCK_S >= began_s:
        first -= 1
    first = max(0, min(first, len(blocks.index) - LEAST_AFTER))
    times, lows = _thinned(blocks, first, MOST_POINTS)
    line = line_through(times, lows)
    if ceiling is None or line.slope <= 0.0:
        return Forecast(began_s, line)
    return Forecast(began_s, line, *_exhausted(blocks, first, line, (times, lows), ceiling))


def _beginning(blocks: Blocks, since: int) -> float | None:
    """When the growth at the end of ``blocks`` began; None where there are too few of them."""
    start = max(0, len(blocks.index) - LOOK_BACK)
    while start < len(blocks.index) and blocks.index[start] < since:
        start += 1
    times, lows = _thinned(blocks, start, CHANGE_POINTS)
    return None if len(times) < LEAST_AFTER + 2 else times[change_point(times, lows)]


def change_point(times: list[float], values: list[float]) -> int:
    """The place from which on a line fits best, with a level before it: the least sum of squares of both."""
    count = len(values)
    start = times[0]
    sums = [(0.0, 0.0, 0.0, 0.0, 0.0)]
    base = values[0]
    for time, value in zip(times, values, strict=True):
        t, v = time - start, value - base
        one = sums[-1]
        sums.append((one[0] + t, one[1] + v, one[2] + t * t, one[3] + v * v, one[4] + t * v))
    whole = sums[-1]
    best, least = 0, _line_squares(count, whole)
    for place in range(2, count - LEAST_AFTER + 1):
        head = sums[place]
        level = head[3] - head[1] * head[1] / place
        tail = tuple(of_all - before for of_all, before in zip(whole, head, strict=True))
        squares = level + _line_squares(count - place, tail)
        if squares < least:
            best, least = place, squares
    return best


def _line_squares(count: int, sums: tuple[float, ...]) -> float:
    """Sum of squares around the line of least squares; around a level where that line does not rise."""
    t, v, tt, vv, tv = sums
    rest = vv - v * v / count
    spread, common = tt - t * t / count, tv - t * v / count
    return rest - common * common / spread if spread > 0.0 and common > 0.0 else rest


def _thinned(blocks: Blocks, first: int, most: int) -> tuple[list[float], list[float]]:
    """Times and minima from a place on, in at most ``most`` groups of neighbours."""
    count = len(blocks.index) - first
    size = max(1, -(-count // most))
    times: list[float] = []
    lows: list[float] = []
    end = len(blocks.index)
    while end > first:
        begin = max(first, end - size)
        times.append((blocks.index[begin] + blocks.index[end - 1] + 1) / 2.0 * BLOCK_S)
        lows.append(min(blocks.low[begin:end]))
        end = begin
    times.reverse()
    lows.reverse()
    return times, lows


def _exhausted(
    blocks: Blocks, first: int, line: Line, points: tuple[list[float], list[float]], ceiling: float
) -> tuple[float, float, float | None]:
    """Seconds until it runs out: at the earliest, most likely, at the latest."""
    now_s = (blocks.index[-1] + 1) * BLOCK_S
    above = sorted(
        high - line.slope * ((index + 0.5) * BLOCK_S - now_s)
        for index, high in zip(blocks.index[first:], blocks.high[first:], strict=True)
    )
    middle = median([low - line.slope * (time - now_s) for time, low in zip(*points, strict=True)])
    rest = [low - line.slope * (time - now_s) - middle for time, low in zip(*points, strict=True)]
    hang = related(rest)
    slow, fast = line.between(math.sqrt((1.0 + hang) / (1.0 - hang)))
    low_s = max(0.0, max(0.0, ceiling - above[-1]) / max(fast, line.slope) - BLOCK_S)
    middle_s = max(0.0, ceiling - quantile(above, MIDDLE)) / line.slope
    if slow <= 0.0:
        return low_s, middle_s, None
    high_s = max(0.0, ceiling - quantile(above, LATE)) / slow + BLOCK_S
    return low_s, middle_s, high_s if high_s <= FAR_S else None


MIDDLE, LATE = 0.9, 0.2
"""Where among the peaks above the line the one lies that meets the limit: most likely, and at the latest."""
