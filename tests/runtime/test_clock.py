"""Clocks and timers: the machine's, and one that a test owns."""

from __future__ import annotations

import threading

from lrm_actors.runtime.clock import ManualClock, SystemClock


def test_the_system_clock_calls_back_in_order() -> None:
    """Timers fire by their due time, whatever order they were set in, and a cancelled one does not."""
    clock = SystemClock()
    fired: list[str] = []
    done = threading.Event()

    def late() -> None:
        fired.append("late")
        done.set()

    clock.call_later(0.3, late)  # long enough for a machine that is busy
    clock.call_later(0.001, lambda: fired.append("early"))
    clock.call_later(0.02, lambda: fired.append("never"))()
    assert done.wait(10)
    assert ["early", "late"] == fired
    clock.close()


def test_a_failing_timer_does_not_end_the_others() -> None:
    """An exception in one timer's function leaves the thread alive."""
    clock = SystemClock()
    done = threading.Event()
    clock.call_later(0.0, lambda: 1 / 0)
    clock.call_later(0.01, done.set)
    assert done.wait(10)
    clock.close()


def test_manual_time_moves_only_when_told() -> None:
    """Both clocks advance together, timers fire at their own moment, and a wall jump moves the wall alone."""
    clock = ManualClock(wall_s=1000.0, monotonic_s=10.0)
    seen: list[float] = []
    clock.call_later(5.0, lambda: seen.append(clock.monotonic()))
    clock.call_later(1.0, lambda: clock.call_later(1.0, lambda: seen.append(clock.monotonic())))
    clock.advance(10.0)
    assert [12.0, 15.0] == seen
    clock.jump_wall(-3600)
    now = clock.now()
    assert (20.0, 1000.0 + 10.0 - 3600.0) == (now.monotonic_s, now.wall_s)


def test_closed_clocks_call_nobody() -> None:
    """What is pending at the end never happens."""
    clock = ManualClock()
    seen: list[int] = []
    clock.call_later(1.0, lambda: seen.append(1))
    clock.close()
    clock.advance(2.0)
    assert [] == seen
