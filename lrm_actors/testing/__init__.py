"""Tools to test actors: any schedule, any fault, any moment of a crash, and the same again from what a failure prints.

Names are loaded when first used, so that importing the package costs next to nothing. What they need comes with the
``testing`` extra.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrm_actors.testing.behavior_kit import BehaviorKit, Restarted, Result
    from lrm_actors.testing.checks import CheckFailed
    from lrm_actors.testing.folds import check_log
    from lrm_actors.testing.simulation.deadlock import SimulationRunsOn, SimulationStuck
    from lrm_actors.testing.simulation.faults import SimulatedCrash
    from lrm_actors.testing.simulation.searching import FailingSchedule, Searched, explore, schedules, search
    from lrm_actors.testing.simulation.simulated import Simulation

_HOME: dict[str, tuple[str, ...]] = {
    "behavior_kit": ("BehaviorKit", "Restarted", "Result"),
    "checks": ("CheckFailed",),
    "folds": ("check_log",),
    "simulation.deadlock": ("SimulationRunsOn", "SimulationStuck"),
    "simulation.faults": ("SimulatedCrash",),
    "simulation.searching": ("FailingSchedule", "Searched", "explore", "schedules", "search"),
    "simulation.simulated": ("Simulation",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [  # noqa: RUF022 - grouped by module, as above
    "BehaviorKit",
    "Restarted",
    "Result",
    "CheckFailed",
    "check_log",
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


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
