"""Growth that is not given back, at four scales of time: of memory, threads, descriptors and the used part of a disk.

At each scale five things are wanted together of the minima of blocks: a robust line through them rises significantly,
and by enough to matter; the low-water mark is above its record, or rose by far more than it ever did; the rise is not
one jump, which is a step and not a leak; and it does not slow down, which a warm-up does.
"""

from __future__ import annotations

from itertools import pairwise

from eventstore.frozen import frozen
from lrm_actors.domain.trends import records as marks
from lrm_actors.domain.trends.records import RECORD_BLOCKS, Records
from lrm_actors.domain.trends.robust import Line, line_through, median
from lrm_actors.domain.trends.series import BLOCK_S, Blocks

HISTORY = 90
"""Blocks, three hours, that must lie before the window: nothing can be above its record before there is one."""
FAR_FASTER = 0.9
"""Of the greatest rise ever seen within a window, by which a rise has to be above it."""
UNSPOKEN = 0.125
"""Of the least rise that matters; what is less apart is the same."""
LEAST_POINTS = 4
FAINT = 0.5
"""Below this share of what is wanted nothing is said at all."""


@frozen
class Scale:
    """How long growth is looked at, and how sure it has to be."""

    step: int
    """Blocks that a point is the minimum of."""
    points: int
    """Points that the line goes through."""
    hold: int
    """Points of the low-water mark."""
    z: float
    """Least of Mann and Kendall's statistic."""
    above: float
    """Of the spread of the records, by which the low-water mark has to be above the greatest."""
    lump: float = 0.5
    """Largest share of the rise that one step from point to point may have."""
    slowing: float = 0.5
    """Least ratio of the slope of the second half to that of the first."""
    rise: float = 1.0
    """Multiplies the least rise that matters."""

    @property
    def window(self) -> int:
        """Blocks that the line goes through."""
        return self.step * self.points

    @property
    def held(self) -> int:
        """Blocks of the low-water mark."""
        return self.step * self.hold

    @property
    def every(self) -> int:
        """Blocks from one look to the next."""
        return min(self.step, RECORD_BLOCKS)


SCALES = (
    Scale(step=1, points=8, hold=3, z=2.4, above=0.6),
    Scale(step=2, points=10, hold=5, z=2.8, above=0.6),
    Scale(step=5, points=12, hold=9, z=3.0, above=0.3),
    Scale(step=15, points=6, hold=2, z=0.9, above=0.2, lump=0.8, slowing=0.05, rise=2.5),
)
"""Windows of 16 minutes, 40 minutes, 2 hours, 3 hours. The last is for what moves so much that only the floor tells."""


@frozen
class Finding:
    """What one scale sees."""

    scale: int
    sure: float
    """The least of what was found over what is wanted, of the five; from 1 on it is growth."""
    line: Line
    """Per second."""
    mark: float
    """The low-water mark."""
    record: float
    """The greatest before the window."""


def water_marks(blocks: Blocks) -> tuple[list[float | None], list[float | None]]:
    """The low-water mark of each scale that looks now, and how far it is above where it was one window ago."""
    block = blocks.index[-1]
    due = [block % scale.every == 0 for scale in SCALES]
    now = [marks.low_water(blocks, scale.held) if is_due else None for scale, is_due in zip(SCALES, due, strict=True)]
    rises: list[float | None] = []
    for scale, mark in zip(SCALES, now, strict=True):
        then = None if mark is None else marks.low_water(blocks, scale.held, scale.window)
        rises.append(None if mark is None or then is None else mark - then)
    return now, rises


def look(
    number: int, blocks: Blocks, records: Records, *, mark: float | None, rise: float | None, least_rise: float
) -> Finding | None:
    """What scale ``number`` sees after a block was closed; None: nothing to speak of.

    Args:
        number: of the scale.
        blocks: the metric's.
        records: the marks until now.
        mark: the low-water mark of this scale.
        rise: how far that is above where it was one window ago; None: not known.
        least_rise: growth within a window that matters, in the metric's unit.
    """
    scale = SCALES[number]
    if mark is None:
        return None
    end = marks.before(records, blocks.index[-1] - scale.window)
    levels = marks.known(records.marks[number][:end])
    if len(levels) * RECORD_BLOCKS < HISTORY:
        return None
    record = max(levels)
    new = _level_novelty(scale, mark, record, levels, least_rise)
    if rise is not None:
        new = max(new, _rise_novelty(rise, records.rises[number][:end], least_rise))
    if new < FAINT:
        return None
    times, values = points(blocks, scale.step, scale.points)
    if len(values) < max(LEAST_POINTS, 2 * scale.points // 3):
        return None
    shape = min(_not_one_jump(values, scale), _not_slowing(times, values, scale))
    if shape < FAINT:
        return None
    line = line_through(times, values)
    risen = line.slope * scale.window * BLOCK_S / (least_rise * scale.rise)
    sure = min(new, risen, line.z / scale.z, shape)
    return Finding(number, sure, line, mark, record) if sure >= FAINT else None


def points(blocks: Blocks, step: int, count: int) -> tuple[list[float], list[float]]:
    """The minima of the last ``count`` steps of blocks: the middle of each in seconds, and how much. No gaps."""
    newest = blocks.index[-1]
    found: list[tuple[float, float]] = []
    place = len(blocks.index)
    for number in range(count):
        last = newest - number * step
        end = place
        while place and blocks.index[place - 1] > last - step:
            place -= 1
        if place < end:
            found.append(((last + 1 - step / 2.0) * BLOCK_S, min(blocks.low[place:end])))
    found.reverse()
    return [time for time, _ in found], [value for _, value in found]


def _level_novelty(scale: Scale, mark: float, record: float, levels: list[float], least_rise: float) -> float:
    """How far the mark is above all before; 1 is enough."""
    if mark <= record:
        return 0.0
    return (mark - record) / (scale.above * max(record - median(levels), least_rise * UNSPOKEN))


def _rise_novelty(rise: float, before: marks.Row, least_rise: float) -> float:
    """How much more the mark rose than ever; 1 is enough."""
    if rise <= least_rise * UNSPOKEN:
        return 0.0
    rises = marks.known(before)
    if 2 * len(rises) * RECORD_BLOCKS < HISTORY:
        return 0.0
    return rise / (max(*rises, least_rise * UNSPOKEN) * (1.0 + FAR_FASTER))


def _not_one_jump(values: list[float], scale: Scale) -> float:
    total = values[-1] - values[0]
    largest = max(later - earlier for earlier, later in pairwise(values))
    return scale.lump * total / largest if total > 0.0 else 0.0


def _not_slowing(times: list[float], values: list[float], scale: Scale) -> float:
    half = len(values) // 2
    first = (values[half] - values[0]) / (times[half] - times[0])
    second = (values[-1] - values[half]) / (times[-1] - times[half])
    if second <= 0.0:
        return 0.0
    return second / (first * scale.slowing) if first > 0.0 else 9.0
