"""The pytest plugin: options, fixtures, and the log of the actors in the report of a test that failed with them.

It is loaded with every run of pytest where the package is installed, so it imports nothing until it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from eventstore.protocol import EventReader
    from eventstore.store import SqliteStore
    from lrm_actors.domain.behavior import Spec
    from lrm_actors.runtime.clock import ManualClock
    from lrm_actors.runtime.system import ActorSystem
    from lrm_actors.testing.behavior_kit import BehaviorKit
    from lrm_actors.testing.simulation.simulated import Simulation

_LOGS = pytest.StashKey["list[EventReader]"]()
"""The logs that a test's fixtures gave it."""
_BEFORE = pytest.StashKey[Any]()
"""The options before this run."""
_PROFILES = ("quick", "default", "nightly")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("lrm-actors")
    group.addoption("--lrm-seed", type=int, default=None, help="the seed that the report of a failure names")
    group.addoption(
        "--lrm-profile",
        choices=_PROFILES,
        default=None,
        help="how much RecoveryStateMachine tries: default if not given",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Tell the kit of the options, if there are any."""
    seed, profile = config.getoption("--lrm-seed"), config.getoption("--lrm-profile")
    if seed is not None or profile is not None:
        from lrm_actors.testing import options

        config.stash[_BEFORE] = options.current()
        options.use(options.Options(profile or "default", seed))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the options back: a run may be one of several in a process."""
    if _BEFORE in config.stash:
        from lrm_actors.testing import options

        options.use(config.stash[_BEFORE])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of a test that failed, and how to run it again."""
    report = yield
    logs = item.stash.get(_LOGS, None)
    if logs and report.failed and report.when == "call":
        from lrm_actors.testing.options import current, replay_line
        from lrm_actors.testing.report import table_of

        again = f"Again: {replay_line(current().seed or 0, item.nodeid)}"
        report.sections.append(("the actors", "\n".join([*map(table_of, logs), again])))
    return report


def _remember(request: pytest.FixtureRequest, log: EventReader | _NewestLog) -> None:
    item: Any = request.node
    item.stash.setdefault(_LOGS, []).append(log)


@pytest.fixture
def virtual_clock() -> ManualClock:
    """A clock that stands until the test has it ``advance``; both clocks of the other fixtures."""
    from lrm_actors.runtime.clock import ManualClock

    return ManualClock()


@pytest.fixture
def lrm_store(request: pytest.FixtureRequest, tmp_path: Path, virtual_clock: ManualClock) -> Iterator[SqliteStore]:
    """A new log in a file of its own, closed at the end. A report of a failure shows its last events."""
    from eventstore.opening import open_store

    with open_store(tmp_path / "lrm" / "lrm.db", clock=virtual_clock.now) as store:
        _remember(request, store)
        yield store


@pytest.fixture
def lrm_system(lrm_store: SqliteStore, virtual_clock: ManualClock) -> Iterator[Callable[..., ActorSystem]]:
    """Starts actors over ``lrm_store`` by ``virtual_clock``: ``lrm_system(SPEC, wires=..., handlers=...)``.

    Takes what ``ActorSystem`` takes. They are stopped at the end, and a second call while the first ones run takes
    their streams over.
    """
    from lrm_actors.runtime.system import ActorSystem

    started: list[ActorSystem] = []

    def start(*specs: Spec[Any], **options: Any) -> ActorSystem:
        system = ActorSystem(lrm_store, specs, **{"clock": virtual_clock, **options})
        started.append(system)
        system.start()
        return system

    yield start
    for system in reversed(started):
        system.stop()


@pytest.fixture
def actor_kit(request: pytest.FixtureRequest, virtual_clock: ManualClock) -> Callable[..., BehaviorKit[Any]]:
    """Makes a ``BehaviorKit`` by ``virtual_clock`` and the seed of the run: ``actor_kit(SPEC)``."""
    from lrm_actors.testing.behavior_kit import BehaviorKit
    from lrm_actors.testing.options import current

    def make(spec: Spec[Any], **options: Any) -> BehaviorKit[Any]:
        kit: BehaviorKit[Any] = BehaviorKit(spec, **{"clock": virtual_clock, "seed": current().seed or 0, **options})
        _remember(request, kit.log)
        return kit

    return make


@pytest.fixture
def lrm_simulation(request: pytest.FixtureRequest) -> Iterator[Simulation]:
    """A ``Simulation`` by the seed of the run, entered; needs greenlet."""
    from lrm_actors.testing.options import current
    from lrm_actors.testing.simulation.simulated import Simulation

    with Simulation(current().seed or 0) as simulation:
        _remember(request, _NewestLog(simulation))
        yield simulation


class _NewestLog:
    """The log of a simulation as it is when it is looked at: a simulated kill opens another."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def __getattr__(self, name: str) -> Any:
        return getattr(self._simulation.store, name)
