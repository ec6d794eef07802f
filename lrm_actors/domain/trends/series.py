"""One metric's past in blocks: the least and the greatest value of two minutes each, and of half hours for longer.

Blocks lie on a grid of time and not of samples, so a longer sampling interval makes them poorer and no other, and where
nothing was sampled there is none. Everything is immutable: a fold makes the next one.
"""

from __future__ import annotations

import attrs

from eventstore.frozen import frozen

BLOCK_S = 120.0
"""Seconds of a block."""
BLOCKS = 250
"""Blocks kept: over 8 hours."""
COARSE = 15
"""Blocks of a coarse one: half an hour."""
COARSE_KEPT = 97
"""Coarse blocks kept: over 48 hours."""


@frozen
class Blocks:
    """Closed blocks, oldest first: where each lies on the grid, its least and its greatest value."""

    index: tuple[int, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    def with_one(self, index: int, low: float, high: float, keep: int) -> Blocks:
        """With one more, and without those that more than ``keep`` would be or that lie that far back."""
        first = max(0, len(self.index) + 1 - keep)
        while first < len(self.index) and self.index[first] <= index - keep:
            first += 1
        return Blocks((*self.index[first:], index), (*self.low[first:], low), (*self.high[first:], high))


@frozen
class Series:
    """What is remembered of one metric."""

    blocks: Blocks = attrs.Factory(Blocks)
    coarse: Blocks = attrs.Factory(Blocks)
    open_index: int = -1
    """The block that is still being filled; -1: none."""
    open_low: float = 0.0
    open_high: float = 0.0


def push(series: Series, at_s: float, value: float) -> Series:
    """With one more value. Times must not descend."""
    index = int(at_s // BLOCK_S)
    if index == series.open_index:
        low, high = series.open_low, series.open_high
        if low <= value <= high:
            return series
        return Series(series.blocks, series.coarse, index, min(low, value), max(high, value))
    if series.open_index < 0:
        return Series(series.blocks, series.coarse, index, value, value)
    blocks = series.blocks.with_one(series.open_index, series.open_low, series.open_high, BLOCKS)
    coarse = series.coarse
    part = series.open_index // COARSE
    if index // COARSE != part:
        first = len(blocks.index)
        while first and blocks.index[first - 1] // COARSE == part:
            first -= 1
        coarse = coarse.with_one(part, min(blocks.low[first:]), max(blocks.high[first:]), COARSE_KEPT)
    return Series(blocks, coarse, index, value, value)
