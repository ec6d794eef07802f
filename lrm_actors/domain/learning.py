"""What became of earlier recoveries: which are on trial, which did not help, which did, and what follows from it.

Pure; everything here is part of the analyzer's state, and bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import attrs

from eventstore.frozen import frozen
from lrm_actors.domain.deadlines import Deadline
from lrm_actors.domain.remedies import FIRM, LEARNED, MILD, Rung, ladder_for

HELPED, DID_NOT_HELP, SUPERSEDED = "helped", "did_not_help", "superseded"
"""Outcomes of a recovery; the last: another kind of failure came before it could be said."""
PROBATION_S = 120.0
"""Seconds without the same failure after which a recovery has helped."""
FORGET_S = 900.0
"""Seconds after which what did not help is tried anew."""
MAX_TRIALS = 32
"""Components on trial at a time, and those of which it is known what did not help. The oldest are forgotten."""
MAX_EXPERIENCES = 64
"""Fingerprints and categories of which it is known what helped."""
ENOUGH = 2
"""Times that something must have helped before it is taken out of turn."""

V = TypeVar("V")


@frozen
class Trial:
    """A recovery whose outcome is not known yet."""

    category: str
    fingerprint: str
    strategy: str
    at_s: float
    until: Deadline
    under_way: bool = False
    """Its end has not been reported; failures until then say nothing about it."""


@frozen
class Spent:
    """How often which strategy did not help one component against one category, without having helped since."""

    last_s: float
    boot_id: str
    times: dict[str, int] = attrs.Factory(dict)


@frozen
class Score:
    """What became of one strategy."""

    helped: int = 0
    tried: int = 0
    in_a_row: int = 0
    """Times that it did not help since it last did."""


Scores = dict[str, Score]


def scored(scores: Scores, strategy: str, outcome: str) -> Scores:
    """With one more outcome."""
    if outcome == SUPERSEDED:
        return scores
    score, ok = scores.get(strategy, Score()), outcome == HELPED
    return {**scores, strategy: Score(score.helped + ok, score.tried + 1, 0 if ok else score.in_a_row + 1)}


def newest(entries: Mapping[str, V], key: str, value: V, limit: int) -> dict[str, V]:
    """With this entry as the newest; the oldest go beyond the limit."""
    kept = {name: one for name, one in entries.items() if name != key}
    kept[key] = value
    return dict(list(kept.items())[-limit:])


def spent_in_a_row(category: str, in_a_row: int, component: str = "") -> dict[str, int]:
    """What failures in a row have used up: the mild rungs at the foot of the ladder, one after the other."""
    used: dict[str, int] = {}
    left = in_a_row - 1
    for rung in ladder_for(category, component):
        if rung.strategy not in MILD or left <= 0:
            break
        used[rung.strategy] = min(left, rung.tries)
        left -= rung.tries
    return used


def rung_for(
    category: str, spent: Mapping[str, int], by_print: Scores, by_category: Scores, component: str = ""
) -> tuple[Rung, str]:
    """The rung to try, and what earlier attempts say for it.

    It is the lowest that is not used up, unless that never helped, twice at least, and a higher one did, twice at
    least and more often than not. What is known of the fingerprint goes before what is known of the category.

    Args:
        category: of the failure.
        spent: how often which strategy did not help of late.
        by_print: what became of strategies against failures that look alike.
        by_category: the same, against failures of the category.
        component: that failed.
    """
    ladder = ladder_for(category, component)
    left = [rung for rung in ladder if spent.get(rung.strategy, 0) < rung.tries] or [ladder[-1]]
    first = left[0]
    for scores, what in ((by_print, "this"), (by_category, f"a {category}")):
        mine = scores.get(first.strategy, Score())
        for rung in left[1:]:
            other = scores.get(rung.strategy, Score())
            useless = mine.helped == 0 and mine.tried >= ENOUGH
            proven = other.helped >= ENOUGH and other.helped * 2 > other.tried
            if rung.strategy in LEARNED and first.strategy in LEARNED and useless and proven:
                return rung, f"{_told(rung.strategy, other)} fixed {what}, {_told(first.strategy, mine)} did"
        if mine.tried:
            return first, f"{_told(first.strategy, mine)} fixed {what}"
    return first, ""


def begins_under_way(strategy: str) -> bool:
    """Whether somebody will report the end of it."""
    return strategy in FIRM


def _told(strategy: str, score: Score) -> str:
    return f"{score.helped} of {score.tried} {strategy}"
