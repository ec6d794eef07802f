"""The classifier on what real libraries raised when it was last recorded; none of them is needed here."""

from __future__ import annotations

import re

import attrs
import pytest

from lrm_actors.domain.classify import NETWORK, UNKNOWN, classify, fingerprint
from tests.hosts.judging import Told, passed_off, tried_again_for_nothing, wrong
from tests.hosts.record import recorded

LEAST_CASES = 150
LEAST_RIGHT = 0.95


@pytest.fixture(scope="module")
def told() -> list[Told]:
    """What was recorded."""
    return recorded()


def test_recorded_errors_are_judged_right(told: list[Told]) -> None:
    """As right as on the real ones: 95 in 100, none tried again for nothing, what nobody can know unknown."""
    misjudged = wrong(classify, told)
    print(f"{len(told) - len(misjudged)} of {len(told)} right; wrong: {misjudged}")
    assert LEAST_CASES <= len({one.name for one in told}) == len(told)
    assert len(misjudged) <= len(told) * (1 - LEAST_RIGHT), misjudged
    assert [] == tried_again_for_nothing(classify, told)
    assert [] == passed_off(classify, told)


def test_what_is_not_known_of_the_class_stays_unknown(told: list[Told]) -> None:
    """Errors of classes that nobody has heard of, which say nothing, are unknown, not network failures."""
    for one in told:
        strange = attrs.evolve(one.facts, class_names=("odd.Strange", "BaseException"), message="odd", component="x",
                               status_code=None, error_code="", os_error="", exit_status=None)  # fmt: skip
        assert UNKNOWN == classify(strange)


def test_fingerprints_tell_situations_apart(told: list[Told]) -> None:
    """Two runs of one failure look alike, whatever its numbers; two kinds never do."""
    kinds = {fingerprint(one.facts, one.category): one.category for one in told}
    for one in told:
        mark = fingerprint(one.facts, one.category)
        assert kinds[mark] == one.category
        again = attrs.evolve(one.facts, message=re.sub(r"\b\d+\b", "71", one.facts.message))
        assert mark == fingerprint(again, one.category), one.name


def test_the_checkers_see_a_careless_judge(told: list[Told]) -> None:
    """The planted bugs: everything is a network failure; what is not known is one."""
    assert wrong(lambda _: NETWORK, told)
    assert tried_again_for_nothing(lambda _: NETWORK, told)
    assert passed_off(lambda facts: NETWORK if classify(facts) == UNKNOWN else classify(facts), told)
