"""The backoff of restarts and of breakers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm_actors.domain.backoff import delay_s, exponential_s

attempts = st.integers(min_value=-3, max_value=10**9)
seconds = st.floats(min_value=1e-6, max_value=1e6)
shares = st.floats(min_value=0.0, max_value=1.0)
chances = st.floats(min_value=0.0, max_value=1.0, exclude_max=True)


def exceeds_cap(function: Callable[..., float], cap_s: float, jitter: float, chance: float) -> bool:
    """The checker: whether any of the first attempts waits longer than the cap."""
    return any(function(n, 0.1, cap_s, jitter, lambda: chance) > cap_s for n in range(1, 20))


def test_doubles_up_to_the_cap() -> None:
    """Each delay is twice the one before, until the cap."""
    assert [0.1, 0.2, 0.4, 0.8, 1.0, 1.0] == [exponential_s(n, 0.1, 1.0) for n in range(1, 7)]


@given(attempts, seconds, seconds, shares, chances)
def test_never_exceeds_the_cap(attempt: int, initial: float, cap: float, jitter: float, chance: float) -> None:
    """Whatever the attempt, the settings and the luck, nobody waits longer than the cap or less than nothing."""
    assert 0.0 <= delay_s(attempt, initial, cap, jitter, lambda: chance) <= cap


@given(attempts, seconds, seconds, shares, chances)
def test_jitter_takes_at_most_its_share(attempt: int, initial: float, cap: float, jitter: float, chance: float) -> None:
    """Jitter shortens a delay by no more than the share it was given."""
    whole = exponential_s(attempt, initial, cap)
    assert whole * (1.0 - jitter) <= delay_s(attempt, initial, cap, jitter, lambda: chance) <= whole


@given(st.integers(min_value=1, max_value=10**6), seconds, seconds)
def test_never_gets_shorter(attempt: int, initial: float, cap: float) -> None:
    """A later attempt waits at least as long as an earlier one, when chance is left out."""
    assert exponential_s(attempt, initial, cap) <= exponential_s(attempt + 1, initial, cap)


def test_huge_attempts_do_not_overflow() -> None:
    """An attempt counter that has run for years gives the cap, not an OverflowError."""
    assert 30.0 == exponential_s(10**100, 0.1, 30.0)


@pytest.mark.parametrize("chance", [0.5, 0.99])
def test_jitter_on_top_of_the_cap_is_caught(chance: float) -> None:
    """The checker sees the planted bug of adding jitter after capping, and passes the real function."""

    def planted(attempt: int, initial: float, cap: float, jitter: float, random: Callable[[], float]) -> float:
        return exponential_s(attempt, initial, cap) * (1.0 + jitter * random())

    assert exceeds_cap(planted, 30.0, 0.2, chance)
    assert not exceeds_cap(delay_s, 30.0, 0.2, chance)
