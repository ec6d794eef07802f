"""Days of a whole agent in a simulation, with one fault a day, and what the log must say of each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from eventstore.errors import OutcomeUnknown
from eventstore.records import Record
from lrm_actors.domain import children, health, journal, modes, monitor, supervisor
from lrm_actors.domain.behavior import Command, Spec
from lrm_actors.domain.metrics import METRICS, Metrics
from lrm_actors.errors import AskError
from lrm_actors.hosting.running import SPECS
from lrm_actors.testing import Simulation
from lrm_actors.testing.simulation.agent import CALM, SimulatedAgent

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
HEARTBEAT_CHECK_S = 60.0
"""Seconds between two looks at the components, half of what they may be silent. The mode looks far more often."""
LAST = 20
"""Events before a fault that are looked at: how long nothing came after them."""

Inject = Callable[[SimulatedAgent, int], None]
Explains = Callable[[Sequence[Record], int], bool]


@attrs.frozen
class Fault:
    """What goes wrong on a day, and how the log explains it."""

    name: str
    inject: Inject
    """Given the agent and the number of the day."""
    explained: Explains
    """Given the last few events before the fault and those to the day's end, and the number of the day."""


@attrs.define
class Days:
    """What came of it."""

    days: int = 0
    turns: int = 0
    """Steps of the scheduler."""
    events: int = 0
    samples: int = 0
    restarts: int = 0
    """Of actors and components."""
    processes: int = 0
    steps: int = 0
    unexplained: list[str] = attrs.Factory(list)
    """Faults of which the log says nothing."""
    faults: list[str] = attrs.Factory(list)


ACTORS = ("analyzer", "checkpointer", "modes", "monitor", "journal", "breaker/llm", "supervisor")


def _crash(agent: SimulatedAgent, day: int) -> None:
    name = ACTORS[day // len(FAULTS) % len(ACTORS)]
    agent.sim.crash(name)
    _poke(agent, name)


def _hang(agent: SimulatedAgent, _: int) -> None:
    agent.sim.hang("monitor", 600.0)


def _poke(agent: SimulatedAgent, name: str) -> None:
    """Send an actor something that means nothing to it, so that its next message comes today."""
    agent.system.tell(name, _Nothing())


class _Nothing(Command):
    """A command that nobody knows."""


def _exit(agent: SimulatedAgent, _: int) -> None:
    agent.components["browser"].exit_status = -9


def _silence(agent: SimulatedAgent, _: int) -> None:
    agent.components["worker"].beats = False


def _failing_restart(agent: SimulatedAgent, _: int) -> None:
    agent.components["browser"].failing_restarts = 2
    agent.components["browser"].exit_status = 1


def _full(agent: SimulatedAgent, _: int) -> None:
    agent.sim.disk_full = True
    agent.sim.run(600.0)
    agent.sim.disk_full = False


def _unknown(agent: SimulatedAgent, day: int) -> None:
    agent.sim.fail_next_append(OutcomeUnknown("fsync failed"), stored=day % 2 == 0)


def _kill(agent: SimulatedAgent, day: int) -> None:
    agent.sim.kill(reboot=day % 2 == 0)
    agent.sim.suspend(60.0)
    agent.pid += 1
    agent.start(predecessor_exit=-9)


def _jump(agent: SimulatedAgent, _: int) -> None:
    agent.sim.jump_wall(-HOUR_S)


def _suspend(agent: SimulatedAgent, _: int) -> None:
    agent.sim.suspend(2 * HOUR_S)


def _memory(agent: SimulatedAgent, _: int) -> None:
    agent.sample = attrs.evolve(CALM, memory_percent=97.0)
    agent.sim.run(1200.0)
    agent.sample = CALM


def _blind(agent: SimulatedAgent, _: int) -> None:
    agent.sample = Metrics(unknown=dict.fromkeys(METRICS, "not to be read"))
    agent.sim.run(900.0)
    agent.sample = CALM


def _no_capture(agent: SimulatedAgent, _: int) -> None:
    agent.capture_error = RuntimeError("the host is in the middle of something")
    agent.sim.run(HOUR_S)
    agent.capture_error = None


def _breaker(agent: SimulatedAgent, _: int) -> None:
    guard = agent.guards.get("llm")
    for _ in range(20):
        try:
            with guard:
                raise ConnectionError
        except Exception:  # noqa: BLE001 - the service is down, and later the breaker open
            pass
    agent.sim.run(HOUR_S)
    with guard:
        pass


def _any(records: Sequence[Record], *names: str) -> bool:
    return set(names) <= {record.type for record in records}


def _restarted(child: Callable[[int], str], *more: str) -> Explains:
    def explained(records: Sequence[Record], day: int) -> bool:
        done = {event.child for one in records for event in one.events if isinstance(event, supervisor.ChildRestarted)}
        return child(day) in done and _any(records, *more)

    return explained


def _crashed(records: Sequence[Record], day: int) -> bool:
    if (
        ACTORS[day // len(FAULTS) % len(ACTORS)] == supervisor.NAME
    ):  # restarted by the guardian, which decides without the log
        return True
    return _restarted(lambda day: f"actor:{ACTORS[day // len(FAULTS) % len(ACTORS)]}", "supervisor.child_failed")(
        records, day
    )


def _gap(least_s: float) -> Explains:
    """The samples stand as far apart as nothing could be written, or nobody ran."""

    def explained(records: Sequence[Record], _: int) -> bool:
        times = [record.recorded_at.monotonic_s for record in records if record.type == "monitor.sampled"]
        return max((b - a for a, b in itertools.pairwise(times)), default=0.0) >= least_s

    return explained


def _goes_on(records: Sequence[Record], day: int) -> bool:
    """It was settled between two samples."""
    return _any(records, "monitor.sampled") and not _gap(100.0)(records, day)


def _stepped_back(records: Sequence[Record], _: int) -> bool:
    walls = [record.recorded_at.wall_s for record in records]
    return any(b < a for a, b in itertools.pairwise(walls))


def _types(*names: str) -> Explains:
    return lambda records, _: _any(records, *names)


def _browser(_: int) -> str:
    return "component:browser"


FAULTS: tuple[Fault, ...] = (
    Fault("an actor crashes", _crash, _crashed),
    Fault("a process exits", _exit, _restarted(_browser, "monitor.component_exited")),
    Fault("the disk is full", _full, _gap(500.0)),
    Fault("kill -9", _kill, _types("supervisor.process_exit_observed", "supervisor.process_started")),
    Fault("heartbeats stop", _silence, _restarted(lambda _: "component:worker", "monitor.heartbeat_missed")),
    Fault("memory runs out", _memory, _types("monitor.health_changed", "modes.changed")),
    Fault("an append has no known outcome", _unknown, _goes_on),
    Fault("the wall clock steps back", _jump, _stepped_back),
    Fault("the process is suspended", _suspend, _gap(7000.0)),
    Fault("a restart fails twice", _failing_restart, _restarted(_browser, "monitor.component_exited")),
    Fault("nothing can be sampled", _blind, _types("monitor.health_changed")),
    Fault("the host gives no state", _no_capture, _types("checkpointer.failed")),
    Fault("a service is down", _breaker, _types("breaker.opened", "breaker.closed")),
    Fault("a handler hangs", _hang, _gap(500.0)),
)


def live(
    days: int,
    *,
    seed: int = 0,
    day_s: float = DAY_S,
    specs: Sequence[Spec[Any]] = SPECS,
    progress: Callable[[str], None] = lambda _: None,
) -> Days:
    """Let an agent live for so many days, a fault on each.

    Args:
        days: how many.
        seed: of the simulation.
        day_s: seconds of a day, at least; it lasts until the fault is over, and an hour.
        specs: the actors but the breakers.
        progress: is told of each fault.

    Raises:
        AssertionError: something that must always hold does not.
    """
    found = Days()
    with Simulation(seed) as sim:
        agent = SimulatedAgent(sim, heartbeat_check_s=HEARTBEAT_CHECK_S, specs=specs)
        agent.start()
        for day in range(days):
            fault = FAULTS[day % len(FAULTS)]
            progress(fault.name)
            _one_day(agent, fault, day, day_s, found)
        found.turns, found.events = sim.scheduler.steps, sim.store.head
    return found


def _one_day(agent: SimulatedAgent, fault: Fault, day: int, day_s: float, found: Days) -> None:
    sim = agent.sim
    end_wall_s = sim.clock.now().wall_s + day_s
    _steps(agent, 6, found)
    before = sim.store.head
    fault.inject(agent, day)
    sim.run(600.0)
    _steps(agent, 6, found)
    sim.run(max(HOUR_S, end_wall_s - sim.clock.now().wall_s))
    records = list(sim.store.read(after=before))
    last = list(sim.store.read(after=max(0, before - LAST), up_to=before))
    found.days += 1
    found.faults.append(fault.name)
    if not fault.explained([*last, *records], day):
        found.unexplained.append(f"day {day}: {fault.name}")
    found.restarts += sum(record.type == "supervisor.child_restarted" for record in records)
    found.processes += sum(record.type == "supervisor.process_started" for record in records)
    found.samples += sum(record.type == "monitor.sampled" for record in records)
    check_well(agent, records)


def _steps(agent: SimulatedAgent, count: int, found: Days) -> None:
    for _ in range(count):
        try:
            agent.step()
        except AskError:  # a fault is under way: the agent tries again later
            continue
        finally:
            agent.sim.run(600.0)
        found.steps += 1


def check_well(agent: SimulatedAgent, records: Sequence[Record]) -> None:
    """See that everything is well again at a day's end, and that nothing was restarted more than it had to be.

    Raises:
        AssertionError: it is not.
    """
    state = agent.system.state
    agent.sim.check()
    assert state(monitor.NAME).status == health.HEALTHY, state(monitor.NAME).cause
    assert state(modes.NAME).mode == modes.NORMAL
    assert not state(monitor.NAME).down
    for name in agent.system.shells():
        assert agent.system.phase(name) == "running", f"{name} is {agent.system.phase(name)}"
    for name, child in state(supervisor.NAME).children.items():
        assert child.status == children.RUNNING, f"{name} is {child.status}"
    restarted = sum(record.type == "supervisor.child_restarted" for record in records)
    assert restarted <= 2, f"{restarted} restarts for one fault"
    assert state(journal.NAME).in_doubt is None
