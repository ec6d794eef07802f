"""CPU saturation that lasts: samples in a row at the top, more of them than were usual, with one fixed setting.

What the top is depends on the noise: the greatest values of five minutes, of the last day, say how high it reaches
without being saturated. A run has to be longer than those that came and went, so that bursts are learned and not cried.
"""

from __future__ import annotations

import attrs

from eventstore.frozen import frozen
from lrm_actors.domain.trends.robust import median

LEAST, MOST = 90.0, 98.0
"""Percent between which the top lies."""
RUN = 3
"""Samples in a row that confirm a saturation that came at once."""
LONGEST_RUN = 10
"""Samples in a row that confirm it whatever was before."""
AT_ONCE = 4.0
"""Steps of the usual size from sample to sample, by which what came at once is above the samples before."""
BEFORE = 4
"""Samples before a run that say what was usual."""
END_RUN = 3
"""Samples in a row below the top, by ``END_BELOW``, that end it."""
END_BELOW = 5.0
GAP = 3.5
"""Intervals without a sample after which a run does not go on."""
BLOCK_S, KEPT, KNOWN = 300.0, 288, 12
TRUSTED = 60
"""Blocks, five hours, after which a run is strange because there was none."""
SUSPECTED_RUN, DRIFTED_RUN = 2, 8
"""Samples in a row that make it suspected; that confirm what did not come at once."""
STEP_WEIGHT = 0.02
"""Weight of the newest in the mean size of steps."""


@frozen
class Saturation:
    """What is remembered of the CPU's busiest moments."""

    index: tuple[int, ...] = ()
    high: tuple[float, ...] = ()
    """The greatest value of each five minutes outside a saturation."""
    runs: tuple[tuple[int, int], ...] = ()
    """Runs that came and went: the hour, and the longest in it, as samples."""
    open_index: int = -1
    open_high: float = 0.0
    top: float = MOST
    step: float = 0.0
    """Mean size of the steps from sample to sample, outside of runs."""
    recent: tuple[float, ...] = ()
    """The samples before the run."""
    at_once: bool = False
    """Whether the run began far above them."""
    run: int = 0
    """Samples in a row at the top."""
    below: int = 0
    """Samples in a row well below it, while it is confirmed."""
    began_s: float = 0.0
    last_s: float = -1.0
    spacing_s: float = 0.0
    """Seconds between the last two samples."""
    total: float = 0.0
    stage: str = ""


def advance(state: Saturation, at_s: float, percent: float) -> Saturation:
    """The state after one more sample. Times must not descend."""
    spacing_s = at_s - state.last_s if state.last_s >= 0.0 else 0.0
    broken = state.spacing_s > 0.0 and spacing_s > GAP * max(state.spacing_s, 1.0)
    state = _with_block(state, at_s, percent)
    run, runs, stage, below, total = state.run, state.runs, state.stage, state.below, state.total
    began_s, recent, step, at_once = state.began_s, state.recent, state.step, state.at_once
    if broken and stage != "confirmed":
        run, stage = 0, ""
    if stage == "confirmed":
        below = below + 1 if percent < state.top - END_BELOW else 0
        run, total = run + 1, total + percent
        if below >= END_RUN:
            run, stage, below = 0, "", 0
    elif percent >= state.top:
        if not run:
            began_s, total = at_s, 0.0
            at_once = bool(recent) and percent - median(recent) >= AT_ONCE * state.step
        run, total = run + 1, total + percent
        longest = _longest(runs, at_s)
        known = len(state.high) >= TRUSTED
        wanted = needed(longest, at_once=at_once, known=known)
        stage = "confirmed" if run >= wanted else "suspected" if run > longest and run >= SUSPECTED_RUN else ""
    else:
        if run:
            runs = _with_run(runs, at_s, run)
        elif recent and not broken:
            step += STEP_WEIGHT * (abs(percent - recent[-1]) - step) if step else abs(percent - recent[-1])
        run, stage = 0, ""
        recent = (*recent[1 - BEFORE :], percent)
    return Saturation(
        state.index, state.high, runs, state.open_index, state.open_high, state.top, step, recent, at_once,
        run, below, began_s, at_s, spacing_s, total, stage,
    )  # fmt: skip


def needed(longest: int, *, at_once: bool, known: bool) -> int:
    """Samples in a row that confirm a saturation.

    Args:
        longest: run of the last day that came and went.
        at_once: whether this one began far above the samples before it.
        known: whether runs were looked for long enough that one is strange.
    """
    sudden = at_once or (longest < SUSPECTED_RUN and known)
    wanted = longest + 1 if sudden else max(DRIFTED_RUN, 2 * longest + 1)
    return min(LONGEST_RUN, max(RUN, wanted))


def _longest(runs: tuple[tuple[int, int], ...], at_s: float) -> int:
    since = int(at_s // 3600.0) - 24
    return max((length for hour, length in runs if hour >= since), default=0)


def _with_run(runs: tuple[tuple[int, int], ...], at_s: float, length: int) -> tuple[tuple[int, int], ...]:
    hour = int(at_s // 3600.0)
    kept = tuple(one for one in runs if one[0] >= hour - 24)
    if kept and kept[-1][0] == hour:
        return (*kept[:-1], (hour, max(kept[-1][1], length)))
    return (*kept, (hour, length))


def _with_block(state: Saturation, at_s: float, percent: float) -> Saturation:
    index = int(at_s // BLOCK_S)
    if index == state.open_index:
        return attrs.evolve(state, open_high=percent) if percent > state.open_high else state
    if state.open_index < 0 or state.stage == "confirmed":
        return attrs.evolve(state, open_index=index, open_high=percent)
    first = max(0, len(state.index) + 1 - KEPT)
    while first < len(state.index) and state.index[first] <= state.open_index - KEPT:
        first += 1
    known, highs = (*state.index[first:], state.open_index), (*state.high[first:], state.open_high)
    top = min(MOST, max(LEAST, max(highs) + 1.0)) if len(highs) >= KNOWN else MOST
    return attrs.evolve(state, index=known, high=highs, open_index=index, open_high=percent, top=top)
