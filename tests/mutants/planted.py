"""Every planted bug, and the checks of the public kit that they are put to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tests.mutants import by_behavior, by_machine, by_simulation, by_store
from tests.mutants.planted_actors import ACTORS
from tests.mutants.planted_runtime import RUNTIME
from tests.mutants.planted_store import STORE
from tests.mutants.planting import Planted

BUGS: dict[str, Planted] = {one.name: one for one in (*STORE, *RUNTIME, *ACTORS)}

PARTS: dict[str, dict[str, Callable[[], None]]] = {
    "behavior": {check.__name__: check for check in by_behavior.CHECKS},
    "machine": {check.__name__: check for check in by_machine.CHECKS},
    "simulation": {check.__name__: check for check in by_simulation.CHECKS},
    "suite": {name: partial(by_store.run_suite, name) for name in by_store.suite()},
    "model": {check.__name__: check for check in by_store.CHECKS if check is by_store.lives_beside_a_model},
    "disks": {check.__name__: check for check in by_store.CHECKS if check is not by_store.lives_beside_a_model},
}
"""The parts of the kit: ``BehaviorKit``, ``RecoveryStateMachine``, ``Simulation``, ``StoreConformance``,
``StoreMachine``, and ``FaultVFS`` with ``PowerCut``; of each, the checks made with it."""


def check_of(bug: Planted) -> Callable[[], None]:
    """The check that is said to catch a bug."""
    part, _, name = bug.caught_by.partition("/")
    return PARTS[part][name]
