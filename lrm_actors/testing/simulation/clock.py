"""The simulated clock: it stands while anybody can go on, and then jumps to what is due next."""

from __future__ import annotations

from collections.abc import Callable

from eventstore.records import Instant
from lrm_actors.runtime.clock import Cancel, Schedule

WALL_S, MONOTONIC_S = 1_700_000_000.0, 1_000.0
"""Where both clocks of a simulation begin."""


class VirtualClock:
    """A ``Clock`` that the scheduler moves.

    Args:
        boot_id: names the boot that the monotonic time counts from.
    """

    def __init__(self, boot_id: str = "simulated-1") -> None:
        self.wall_ahead_s = WALL_S - MONOTONIC_S
        self._now_s = MONOTONIC_S
        self._boot_id = boot_id
        self._schedule = Schedule()
        self._waits: set[int] = set()
        """What of it ends somebody's waiting."""

    # --- a system's side ------------------------------------------------------------------------------------------

    def now(self) -> Instant:
        """The moment it stands at."""
        now_s = self._now_s
        return Instant(now_s + self.wall_ahead_s, now_s, self._boot_id)

    def monotonic(self) -> float:
        """Where the monotonic clock stands."""
        return self._now_s

    def call_later(self, delay_s: float, function: Callable[[], object]) -> Cancel:
        """Call ``function`` once it is due and the schedule says so."""
        number = self._schedule.add(self._now_s + max(0.0, delay_s), function)
        return lambda: self._schedule.cancel(number)

    def close(self) -> None:
        """Drop what has not happened yet. Those who wait still stop waiting at their deadlines."""
        self._schedule.keep(self._waits)

    # --- the scheduler's side -------------------------------------------------------------------------------------

    def wait_over(self, timeout_s: float, function: Callable[[], object]) -> int:
        """Call ``function`` when somebody has waited this long."""
        number = self._schedule.add(self._now_s + max(0.0, timeout_s), function)
        self._waits.add(number)
        return number

    def cancel(self, number: int) -> None:
        """Nobody waits any more."""
        self._waits.discard(number)
        self._schedule.cancel(number)

    def is_due(self) -> bool:
        """Whether something is due at this moment."""
        due_s = self._schedule.next_due_s()
        return due_s is not None and due_s <= self._now_s

    def next_due_s(self) -> float | None:
        """When the next thing is due."""
        return self._schedule.next_due_s()

    def fire(self) -> None:
        """Let the first thing happen that is due."""
        function = self._schedule.pop_due(self._now_s)
        if function is not None:
            function()

    def begin_again(self, boot_id: str | None) -> None:
        """Nothing is to happen any more; with ``boot_id``, the machine has just come up."""
        self._schedule.clear()
        self._waits.clear()
        if boot_id is not None:
            self.wall_ahead_s += self._now_s - MONOTONIC_S
            self._now_s, self._boot_id = MONOTONIC_S, boot_id

    def move_to(self, monotonic_s: float) -> None:
        """Let both clocks run on to this monotonic time, with nothing happening on the way."""
        self._now_s = max(self._now_s, monotonic_s)
