"""The whole system of a long-running mode in a simulation: actors, wiring and handlers, in a world that is a script.

The actors, their wiring, the component registry, the guards, the check of heartbeats and the encoding of checkpoints
are those of a running mode. What they look at is made up: the samples, the components, the state that is captured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from lrm_actors.actors.checkpointer import Captured, checkpoint_handlers, cut
from lrm_actors.actors.checkpoints.leaves import Node
from lrm_actors.actors.monitor import monitor_handlers
from lrm_actors.actors.supervisor import ComponentRegistry, supervisor_handlers
from lrm_actors.domain import journal, supervisor
from lrm_actors.domain.behavior import Command, Effect, Spec
from lrm_actors.domain.checkpointer import CaptureState
from lrm_actors.domain.children import ACTOR, COMPONENT
from lrm_actors.domain.metrics import Metrics
from lrm_actors.hosting import configuration
from lrm_actors.hosting.guards import Guards
from lrm_actors.hosting.running import SPECS
from lrm_actors.runtime.system import ActorSystem
from lrm_actors.runtime.watchdog import OFF, Watch
from lrm_actors.settings import LongRunningSettings
from lrm_actors.testing.simulation.simulated import Simulation
from lrm_actors.wiring import WIRES

if TYPE_CHECKING:
    from lrm_actors.actors.sampling.sampler import Sampler

CALM = Metrics(
    cpu_percent=12.0,
    process_cpu_percent=3.0,
    memory_percent=40.0,
    memory_rss_bytes=300_000_000,
    memory_virtual_bytes=900_000_000,
    disk_free_bytes=50_000_000_000,
    disk_read_bytes=1_000_000,
    disk_write_bytes=1_000_000,
    network_sent_bytes=1_000_000,
    network_received_bytes=1_000_000,
    thread_count=20,
    open_files=40,
)
"""A sample of a machine with nothing to do."""
RESTART_S = 2.0
"""How long a component takes to come back."""
HEARTBEAT_TIMEOUT_S = 120.0


@attrs.define
class SimulatedComponent:
    """A component of the host as the script has it."""

    name: str
    beats: bool = True
    """Whether it sends heartbeats."""
    exit_status: int | None = None
    """Set it, and its process is gone."""
    failing_restarts: int = 0
    """Restarts that will fail."""
    restarts: int = 0
    """Restarts that succeeded."""


class SimulatedAgent:
    """An agent under a long-running mode, whose world is a script.

    Args:
        sim: the simulation.
        settings: the mode's; intervals and thresholds are taken from them.
        heartbeat_check_s: seconds between two looks at the components; the mode itself looks every other second.
        components: their names.
        service: what is called through a circuit breaker.
        specs: the actors but the breakers; those of a running mode, or some of them with a bug in.
        watch: what the watchdog goes by; it looks twice a second, so it is off where none is given.
    """

    def __init__(
        self,
        sim: Simulation,
        *,
        settings: LongRunningSettings | None = None,
        heartbeat_check_s: float = 1.0,
        components: tuple[str, ...] = ("browser", "worker"),
        service: str = "llm",
        specs: Sequence[Spec[Any]] = SPECS,
        watch: Watch = OFF,
    ) -> None:
        self.sim = sim
        self.settings = LongRunningSettings() if settings is None else settings
        self.sample: Metrics = CALM
        """What is sampled; assign it at any time."""
        self.capture_error: Exception | None = None
        """What the host raises when its state is captured."""
        self.components = {name: SimulatedComponent(name) for name in components}
        self.pid = 1
        self._check_s = heartbeat_check_s
        self._specs = specs
        self._watch = watch
        self._service = service
        self.system: ActorSystem
        self.registry: ComponentRegistry
        self.guards: Guards

    def start(self, predecessor_exit: int | None = None) -> None:
        """Start the process, for the first time or after ``Simulation.kill``: what ``LongRunningMode`` does."""
        sim, clock = self.sim, self.sim.clock
        self.registry = ComponentRegistry(clock)
        for component in self.components.values():
            component.exit_status, component.beats = None, True
            self._register(component)
        self.guards = Guards(
            clock,
            config=lambda: configuration.breaker_config(self.settings),
            tell=self._tell,
            spawn=lambda spec: None,
            enabled=lambda: True,
        )
        self.guards.get(self._service)
        streams = [info.name for info in sim.store.streams()]
        self.system = sim.system(
            [*self._specs, *self.guards.specs(streams)],
            wires=WIRES,
            handlers=self._handlers(),
            name="lrm-simulated",
            watch=self._watch,
        )
        children = [f"{ACTOR}:{name}" for name in self.system.shells() if name != supervisor.NAME]
        children += [f"{COMPONENT}:{name}" for name in self.components]
        sim.ask(supervisor.NAME, supervisor.StartSupervising(tuple(children), self.pid, predecessor_exit))
        wanted = configuration.commands(self.settings, check_s=self._check_s, breakers=self.guards.names())
        for name, command in configuration.changed(wanted, self.system.state).items():
            sim.ask(name, command)
        sim.ask(journal.NAME, journal.OpenJournal())

    def step(self, name: str = "step") -> int:
        """One step of the agent, begun and committed; its number."""
        begun = self.sim.ask(journal.NAME, journal.BeginStep(name))
        self.sim.ask(journal.NAME, journal.CommitStep(begun["step"], {"done": name}))
        return int(begun["step"])

    def _register(self, component: SimulatedComponent) -> None:
        def restart() -> None:
            self.sim.sleep(RESTART_S)
            if component.failing_restarts:
                component.failing_restarts -= 1
                msg = "it does not come back"
                raise OSError(msg)
            component.exit_status, component.beats = None, True
            component.restarts += 1

        self.registry.register(
            component.name, restart, None, HEARTBEAT_TIMEOUT_S, exit_status=lambda: component.exit_status
        )

    def _handlers(self) -> Mapping[type[Effect], Callable[[Any], Command | None]]:
        return {
            **supervisor_handlers(
                self.registry,
                self._restart_actor,
                self._stop_actor,
            ),
            **monitor_handlers(_Script(self), self._observe, self.sim.clock.monotonic),
            **checkpoint_handlers(self.sim.store, self._capture),
            **self.guards.handlers(),
        }

    # The system is made after its handlers.

    def _tell(self, to: str, command: Command) -> None:
        self.system.tell(to, command)

    def _restart_actor(self, name: str) -> float:
        return self.system.restart_actor(name)

    def _stop_actor(self, name: str, reason: str) -> None:
        self.system.stop_actor(name, reason)

    def _observe(self) -> Any:
        # A component that is well has sent its heartbeats since the last look.
        for component in self.components.values():
            if component.beats and component.exit_status is None:
                self.registry.heartbeat(component.name)
        return self.registry.observe()

    def _capture(self, _: CaptureState, previous: Node | None) -> Captured:
        if self.capture_error is not None:
            raise self.capture_error
        return cut({"step": self.system.state(journal.NAME).committed}, self.sim.store.head, previous)


if TYPE_CHECKING:
    _Sampling = Sampler
else:
    _Sampling = object


class _Script(_Sampling):
    """Samples what the script says."""

    def __init__(self, agent: SimulatedAgent) -> None:
        self._agent = agent

    def sample(self) -> Metrics | None:
        """What the script says."""
        return self._agent.sample
