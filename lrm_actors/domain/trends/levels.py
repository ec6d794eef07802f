"""A level that shifted: means of five minutes that stay above everything that such means were for hours before.

It is the novelty detector of the envelope, for what has no floor that matters: CPU use far from saturation, traffic.
What was said to have shifted is over when it is back among what was usual, or when it has become the usual.
"""

from __future__ import annotations

import attrs

from eventstore.frozen import frozen
from lrm_actors.domain.trends.robust import median

BLOCK_S = 300.0
KEPT = 288
"""Blocks kept: a day."""
HISTORY = 48
"""Blocks there must be to compare with: four hours."""
APART = 6
"""Blocks between those compared and now, so that a slow change becomes usual as it comes: half an hour."""
HELD = 4
"""Blocks that have to be above: twenty minutes."""
HELD_SUSPECTED = 3
USUAL_AFTER = 144
"""Blocks after which a shifted level is the usual one: twelve hours."""


@frozen
class Shift:
    """How far above is too far."""

    least: float
    """In the metric's unit, above the greatest mean before."""
    spread: float = 0.3
    """Of the distance from the median to the greatest mean before."""
    times: float = 0.0
    """Of the greatest mean before."""


@frozen
class Level:
    """What is remembered of one metric's level."""

    index: tuple[int, ...] = ()
    mean: tuple[float, ...] = ()
    open_index: int = -1
    open_sum: float = 0.0
    open_count: int = 0
    above: int = 0
    """Blocks in a row above what is too far."""
    usual: float = 0.0
    """The greatest mean before the shift."""
    limit: float = 0.0
    """What is too far, as it was when the first block was above it."""
    began: int = -1
    """First block of the shift; -1: there is none."""
    stage: str = ""


def advance(level: Level, rules: Shift, at_s: float, value: float, *, held_back: bool = False) -> Level:
    """The level after one more sample. With ``held_back`` no new shift is told. Times must not descend."""
    index = int(at_s // BLOCK_S)
    if index == level.open_index or level.open_index < 0:
        return Level(
            level.index, level.mean, index, level.open_sum + value, level.open_count + 1,
            level.above, level.usual, level.limit, level.began, level.stage,
        )  # fmt: skip
    closed, mean = level.open_index, level.open_sum / level.open_count
    first = max(0, len(level.index) + 1 - KEPT)
    while first < len(level.index) and level.index[first] <= closed - KEPT:
        first += 1
    following = attrs.evolve(
        level,
        index=(*level.index[first:], closed),
        mean=(*level.mean[first:], mean),
        open_index=index,
        open_sum=value,
        open_count=1,
    )
    return _judged(following, rules, held_back)


def _judged(level: Level, rules: Shift, held_back: bool) -> Level:
    newest, mean = level.index[-1], level.mean[-1]
    if level.began >= 0:
        back = mean < (level.usual + level.limit) / 2.0
        above = min(level.above + 1, HELD) if not back else level.above - 1
        if above <= 0 or newest - level.began >= USUAL_AFTER or (back and level.stage != "confirmed"):
            return attrs.evolve(level, began=-1, stage="", above=0)
        stage = "confirmed" if above >= HELD or level.stage == "confirmed" else level.stage
        if above >= HELD_SUSPECTED and not stage and not held_back:
            stage = "suspected"
        return attrs.evolve(level, above=above, stage=stage if not held_back or level.stage else "")
    end = len(level.index)
    while end and level.index[end - 1] > newest - APART:
        end -= 1
    if end < HISTORY:
        return level
    before = level.mean[:end]
    usual = max(before)
    limit = usual + max(rules.least, rules.spread * (usual - median(before)), rules.times * usual)
    if mean <= limit:
        return level
    return attrs.evolve(level, above=1, usual=usual, limit=limit, began=newest)
