"""The classifier against what the real libraries raise: run with ``--profile hosts`` and the extra ``hosts``."""

from __future__ import annotations

from collections import Counter

import pytest

from lrm_actors.domain.classify import NETWORK, UNKNOWN, FailureFacts, classify
from tests.hosts.browser_cases import chromium
from tests.hosts.case import Case
from tests.hosts.every import every_failure
from tests.hosts.judging import Told, passed_off, tried_again_for_nothing, wrong

LEAST_CASES = 150
LEAST_RIGHT = 0.95
PER_SITUATION = 3


@pytest.fixture(scope="module")
def failures() -> list[tuple[Case, FailureFacts]]:
    """Every case, raised."""
    return list(every_failure())


@pytest.fixture(scope="module")
def told(failures: list[tuple[Case, FailureFacts]]) -> list[Told]:
    """Every case, for the checkers."""
    return [Told(case.name, case.category, facts) for case, facts in failures]


def test_the_cases_are_many_and_distinct(failures: list[tuple[Case, FailureFacts]]) -> None:
    """At least 150 of library, situation and wrapping, and at most three of one situation."""
    names = {(case.library, case.situation, case.wrapping) for case, _ in failures}
    situations = Counter((case.library, case.situation) for case, _ in failures)
    assert LEAST_CASES <= len(names) == len(failures)
    assert max(situations.values()) <= PER_SITUATION
    libraries = dict(Counter(case.library for case, _ in failures))
    print(f"{len(failures)} cases, {len(situations)} situations, {libraries}, chromium: {chromium() or 'none'}")


def test_real_errors_are_judged_right(told: list[Told]) -> None:
    """At least 95 in 100 have the right category; none is retried for nothing; what nobody can know stays unknown."""
    misjudged = wrong(classify, told)
    print(f"{len(told) - len(misjudged)} of {len(told)} right; wrong: {misjudged}")
    assert len(misjudged) <= len(told) * (1 - LEAST_RIGHT), misjudged
    assert [] == tried_again_for_nothing(classify, told)
    assert [] == passed_off(classify, told)


def test_the_checkers_see_a_careless_judge(told: list[Told]) -> None:
    """The planted bugs: everything is a network failure; what is not known is one."""
    assert len(wrong(lambda _: NETWORK, told)) > len(told) / 2
    assert tried_again_for_nothing(lambda _: NETWORK, told)
    assert passed_off(lambda facts: NETWORK if classify(facts) == UNKNOWN else classify(facts), told)
