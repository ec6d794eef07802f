"""Deadlines that outlive a process."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st

from eventstore.records import Instant
from lrm_actors.domain.deadlines import deadline, elapsed_s

START = Instant(wall_s=1_000_000.0, monotonic_s=500.0, boot_id="first")
jumps = st.floats(min_value=-1e7, max_value=1e7)
delays = st.floats(min_value=0.0, max_value=1e5)


def later(seconds: float, *, wall_jump: float = 0.0, boot_id: str = "first") -> Instant:
    """The moment ``seconds`` after the start, on a wall clock that was also stepped."""
    return Instant(START.wall_s + seconds + wall_jump, START.monotonic_s + seconds, boot_id)


@given(jumps)
def test_a_stepped_wall_clock_changes_nothing_on_the_same_boot(jump: float) -> None:
    """On the boot it was set on, only the monotonic clock counts."""
    assert 40.0 == deadline(START, 60.0).remaining_s(later(20.0, wall_jump=jump))


def test_after_a_reboot_the_wall_clock_tells_the_rest() -> None:
    """The monotonic clock began anew, so what is left is told by the wall clock."""
    rebooted = Instant(START.wall_s + 45.0, 3.0, "second")
    assert 15.0 == deadline(START, 60.0).remaining_s(rebooted)


@given(delays, jumps, st.floats(min_value=0.0, max_value=1e6))
def test_the_remainder_is_between_nothing_and_the_delay(delay: float, jump: float, monotonic: float) -> None:
    """However far the wall clock jumped across a reboot, no wait becomes longer than it ever was, nor negative."""
    left = deadline(START, delay).remaining_s(Instant(START.wall_s + jump, monotonic, "second"))
    assert 0.0 <= left <= delay


@given(jumps)
def test_elapsed_time_is_never_negative(jump: float) -> None:
    """A wall clock stepped back across a reboot gives zero, not a negative duration."""
    assert 0.0 <= elapsed_s(START, Instant(START.wall_s + jump, 1.0, "second"))


def test_elapsed_time_is_monotonic_on_one_boot() -> None:
    """On one boot a stepped wall clock does not change a duration."""
    assert 7.0 == elapsed_s(START, later(7.0, wall_jump=-3600.0))


def test_a_deadline_that_trusts_the_wall_clock_is_caught() -> None:
    """The planted bug of asking the wall clock on the same boot shows as soon as the clock is stepped."""
    planted = attrs.evolve(deadline(START, 60.0), boot_id="forgotten")
    assert 40.0 != planted.remaining_s(later(20.0, wall_jump=-3600.0))
