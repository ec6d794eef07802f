"""The restarts that nobody decides on: at once the first time, later each time after it, and anew after calm."""

from __future__ import annotations

from typing import Any

import pytest

from lrm_actors.runtime.clock import ManualClock
from lrm_actors.runtime.control import Restart
from lrm_actors.runtime.root_restarts import RESTART_CALM_S, RESTART_MAX_S, RootRestarts

STEP_S = 0.01


class Noted:
    """A system that notes when it is to restart whom."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.began_s = self.clock.monotonic()
        self.restarts: list[tuple[str, float]] = []

    def command(self, name: str, control: Any) -> None:
        """Note it."""
        assert isinstance(control, Restart)
        self.restarts.append((name, round(self.clock.monotonic() - self.began_s, 6)))

    def pauses(self, restarts: RootRestarts, times: int) -> tuple[float, ...]:
        """How long each of so many failures in a row waits for its restart."""
        found = []
        for _ in range(times):
            count, failed_s = len(self.restarts), self.clock.monotonic()
            restarts.restart("a")
            while len(self.restarts) == count:
                self.clock.advance(STEP_S)
            found.append(self.clock.monotonic() - failed_s)
        return tuple(found)


def about(*pauses: float) -> Any:
    """These, to the step that they are seen by."""
    return pytest.approx(pauses, abs=2 * STEP_S)


def test_the_first_restart_comes_at_once_and_each_after_it_later() -> None:
    """Twice as late each time, and never later than the limit."""
    system = Noted()
    pauses = system.pauses(RootRestarts(system), 9)
    assert about(0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, RESTART_MAX_S, RESTART_MAX_S) == pauses


def test_each_actor_has_a_row_of_its_own() -> None:
    """Another actor's failures do not hold it back."""
    system = Noted()
    restarts = RootRestarts(system)
    system.pauses(restarts, 4)
    before_s = round(system.clock.monotonic() - system.began_s, 6)
    restarts.restart("b")
    assert ("b", before_s) == system.restarts[-1]


def test_after_calm_a_row_begins_anew() -> None:
    """A failure a day is no storm."""
    system = Noted()
    restarts = RootRestarts(system)
    assert about(0.0, 0.1) == system.pauses(restarts, 2)
    system.clock.advance(RESTART_CALM_S + 1.0)
    assert about(0.0, 0.1) == system.pauses(restarts, 2)
