"""What becomes of the mode where the mode decides on the load: work that is left out makes the overload by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest

from lrm_actors.domain import modes, monitor
from lrm_actors.domain.behavior import Command
from lrm_actors.domain.metrics import Metrics
from lrm_actors.domain.modes import DEGRADED, MINIMAL, NORMAL, ModeChanged
from lrm_actors.domain.monitor import HealthChanged, MonitorConfig, RecordSample
from tests.domain.kit import Run, at

ALONE = 8.0
"""Percent of the CPUs that are in use without any work that may be left out."""
HOUR_S = 3600.0
MOST_AN_HOUR = 17
Share = Callable[[str], float]


def changes(
    loads: Mapping[str, float], *, hours: float = 4.0, share: Share = lambda mode: 1.0
) -> list[tuple[float, str]]:
    """Second and mode of each change, at default settings, where work loads the CPUs whenever the mode lets it run.

    Args:
        loads: percent of the CPUs by criticality.
        hours: how long.
        share: of the work that the agent does, asked at each change of the mode; all of it before the first.
    """
    watching, choosing = Run.of(monitor.spec()), Run.of(modes.spec())
    found: list[tuple[float, str]] = []
    does, now_s = 1.0, 0.0
    while now_s < hours * HOUR_S:
        watching.seconds = choosing.seconds = now_s
        cpu = ALONE + does * sum(load for kind, load in loads.items() if kind in choosing.state.runs)
        sample = RecordSample(Metrics(cpu_percent=min(100.0, cpu), memory_percent=40.0))
        for event in _decided(watching, sample):
            if isinstance(event, HealthChanged):
                told = _decided(choosing, modes.ConsiderHealth(event.status, event.cause))
                for change in (one for one in told if isinstance(one, ModeChanged)):
                    found.append((now_s, change.mode))
                    does = share(change.mode)
                    _decided(watching, monitor.NoteMode(change.mode))
        now_s += monitor.interval_s(watching.state.config, watching.state.mode)
    return found


def _decided(run: Run[Any], command: Command) -> tuple[object, ...]:
    """Decide and fold, without all that the kit checks besides: these are days."""
    decision = run.spec.decide(run.state, command, at(run.seconds))
    for event in decision.events:
        run.state = run.spec.evolve(run.state, event)
    return decision.events


@pytest.mark.parametrize(
    ("loads", "between"),
    [
        ({"sheddable": 90.0}, {NORMAL, DEGRADED}),
        ({"sheddable_plus": 90.0}, {DEGRADED, MINIMAL}),
        ({"sheddable": 45.0, "sheddable_plus": 45.0}, {NORMAL, DEGRADED}),
        ({"critical": 30.0, "sheddable_plus": 66.0}, {DEGRADED, MINIMAL}),
    ],
    ids=["sheddable", "sheddable plus", "both", "with critical work"],
)
def test_two_modes_take_turns_where_work_that_is_left_out_makes_the_load(
    loads: dict[str, float], between: set[str]
) -> None:
    """Between two modes and no more, as slowly as a status is left: the load goes with the work, and comes back."""
    found = changes(loads)
    settled = [change for change in found if change[0] > HOUR_S]
    an_hour = len(settled) / 3.0
    print(f"{an_hour:.1f} changes of mode an hour where {', '.join(loads)} work makes the load, at most {MOST_AN_HOUR}")
    assert between == {mode for _, mode in settled}
    assert 0 < an_hour <= MOST_AN_HOUR
    worse = max(between, key=[NORMAL, DEGRADED, MINIMAL].index)
    stays_s = [then_s - since_s for (since_s, mode), (then_s, _) in pairwise(settled) if mode == worse]
    assert min(stays_s) >= MonitorConfig().leave_dwell_s


@pytest.mark.parametrize("kind", ["sheddable", "sheddable_plus"])
def test_an_agent_that_comes_back_with_less_ends_it(kind: str) -> None:
    """With half of what was too much, each time that the mode got worse: no change any more after a few."""
    does = [1.0]

    def half_each_time(mode: str) -> float:
        if mode == (DEGRADED if kind == "sheddable" else MINIMAL):
            does[0] /= 2
        return does[0]

    found = changes({kind: 90.0}, share=half_each_time)
    assert 2 <= len(found) <= 4
    assert found[-1][0] < HOUR_S


def test_work_that_may_not_be_left_out_makes_no_turns() -> None:
    """The load stays whatever the mode is, and the mode with it; so does one that is bearable without the rest."""
    assert [DEGRADED, MINIMAL] == [mode for _, mode in changes({"critical": 90.0})]
    assert [DEGRADED] == [mode for _, mode in changes({"sheddable_plus": 80.0})]
