"""Tools to test actors: any schedule, any fault, any moment of a crash, and the same again from what a failure prints.

Names are loaded when first used, so that importing the package costs next to nothing. What they need comes with the
``testing`` extra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.lazy import lazy

if TYPE_CHECKING:
    from lrm_actors.testing.behavior_kit import BehaviorKit, Restarted, Result
    from lrm_actors.testing.checks import CheckFailed
    from lrm_actors.testing.folds import check_log
    from lrm_actors.testing.recovery_machine import RecoveryStateMachine
    from lrm_actors.testing.simulation.agent import SimulatedAgent
    from lrm_actors.testing.simulation.deadlock import SimulationRunsOn, SimulationStuck
    from lrm_actors.testing.simulation.faults import SimulatedCrash
    from lrm_actors.testing.simulation.searching import FailingSchedule, Searched, explore, schedules, search
    from lrm_actors.testing.simulation.simulated import Simulation

_HOME: dict[str, tuple[str, ...]] = {
    "behavior_kit": ("BehaviorKit", "Restarted", "Result"),
    "checks": ("CheckFailed",),
    "folds": ("check_log",),
    "recovery_machine": ("RecoveryStateMachine",),
    "simulation.agent": ("SimulatedAgent",),
    "simulation.deadlock": ("SimulationRunsOn", "SimulationStuck"),
    "simulation.faults": ("SimulatedCrash",),
    "simulation.searching": ("FailingSchedule", "Searched", "explore", "schedules", "search"),
    "simulation.simulated": ("Simulation",),
}

__all__ = [  # noqa: RUF022 - grouped by module, as above
    "BehaviorKit",
    "Restarted",
    "Result",
    "CheckFailed",
    "check_log",
    "RecoveryStateMachine",
    "SimulatedAgent",
    "SimulationRunsOn",
    "SimulationStuck",
    "SimulatedCrash",
    "FailingSchedule",
    "Searched",
    "explore",
    "schedules",
    "search",
    "Simulation",
]


__getattr__, __dir__ = lazy(globals(), _HOME)
