"""The checkers of a classifier: what it got wrong, and what of that would have been tried again for nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs

from lrm_actors.domain.analyzer import RETRY_WITH_BACKOFF, choose
from lrm_actors.domain.classify import UNKNOWN, FailureFacts

Judge = Callable[[FailureFacts], str]


@attrs.frozen
class Told:
    """One failure, what it is, and what is known of it."""

    name: str
    category: str
    facts: FailureFacts


def wrong(judge: Judge, told: Iterable[Told]) -> list[str]:
    """What was given another category than it should have."""
    return [
        f"{one.name}: {given} and not {one.category}" for one in told if (given := judge(one.facts)) != one.category
    ]


def tried_again_for_nothing(judge: Judge, told: Iterable[Told]) -> list[str]:
    """What would be tried again although trying again cannot help."""
    return [one.name for one in told if not _retried(one.category, one.facts) and _retried(judge(one.facts), one.facts)]


def passed_off(judge: Judge, told: Iterable[Told]) -> list[str]:
    """What nobody can know, and was given a name all the same."""
    return [one.name for one in told if one.category == UNKNOWN and judge(one.facts) != UNKNOWN]


def _retried(category: str, facts: FailureFacts) -> bool:
    return choose(category, facts)[0] == RETRY_WITH_BACKOFF
