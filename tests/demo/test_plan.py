"""The fault plan: all of it follows from the seed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm_actors.demo.plan import INSIDE_S, KILLS_INSIDE, Kind, make_plan

STEPS = 36


@given(seed=st.integers())
def test_the_same_seed_gives_the_same_plan(seed: int) -> None:
    """Made twice, the list is the same, offsets included."""
    assert make_plan(seed, STEPS) == make_plan(seed, STEPS)


def test_seeds_differ() -> None:
    """Another seed is another plan, in order and in place."""
    assert len({make_plan(seed, STEPS) for seed in range(20)}) == 20


@given(seed=st.integers())
def test_every_plan_has_enough_of_each_kind(seed: int) -> None:
    """Four kills of the agent, two faults of the worker and two of the site, whatever the seed."""
    kinds = Counter(planned.kind for planned in make_plan(seed, STEPS))

    assert kinds == {
        Kind.KILL_AGENT: 4,
        Kind.KILL_WORKER: 1,
        Kind.FREEZE_WORKER: 1,
        Kind.SITE_HANGS: 1,
        Kind.SITE_FAILS: 1,
    }


@given(seed=st.integers(), steps=st.integers(21, 200))
def test_faults_are_spread_over_the_run(seed: int, steps: int) -> None:
    """No two in one step, in order, none in the first step or the last, and numbered from 1."""
    plan = make_plan(seed, steps)
    at = [planned.step for planned in plan]

    assert at == sorted(set(at))
    assert at[0] >= 2
    assert at[-1] <= steps - 4
    assert [planned.number for planned in plan] == list(range(1, len(plan) + 1))


@given(seed=st.integers())
def test_the_first_kills_fall_inside_a_step(seed: int) -> None:
    """While the page is being fetched, so that a step is in doubt afterwards."""
    kills = [planned for planned in make_plan(seed, STEPS) if planned.kind is Kind.KILL_AGENT]

    assert all(INSIDE_S[0] <= kill.offset_s <= INSIDE_S[1] for kill in kills[:KILLS_INSIDE])


@given(seed=st.integers())
def test_a_site_that_is_not_ours_is_left_alone(seed: int) -> None:
    """Without site faults only our own processes are harmed, and fewer steps suffice."""
    plan = make_plan(seed, 11, site_faults=False)

    assert not [planned for planned in plan if planned.kind.of_site]
    assert len(plan) == 6


def test_too_few_steps_are_refused() -> None:
    """Faults that could not be told apart are not planned."""
    with pytest.raises(ValueError, match="8 faults need at least 21 steps, got 20"):
        make_plan(1, 20)
