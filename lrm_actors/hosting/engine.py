"""One long-running mode but its words: the parts that outlive each of its runs, and what the host gives for them.

Talks to the running system, to the host over its bridge, and to the settings. Its calls block, each within a bound;
none is for an event loop's thread but those that say that they return at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lrm_actors.actors.sampling.sampler import Sampler
from lrm_actors.actors.supervisor import ComponentRegistry
from lrm_actors.domain import supervisor
from lrm_actors.domain.behavior import Spec
from lrm_actors.domain.children import ACTOR, COMPONENT
from lrm_actors.domain.metrics import Metrics
from lrm_actors.domain.rules import RuleTable
from lrm_actors.errors import AskError, NotRunning
from lrm_actors.hosting import configuration
from lrm_actors.hosting.arguments import check_deadline
from lrm_actors.hosting.boundary import StepBoundary
from lrm_actors.hosting.capture_options import CaptureOptions
from lrm_actors.hosting.capturing import Capturing
from lrm_actors.hosting.dumping import dump_of
from lrm_actors.hosting.effects import Effects
from lrm_actors.hosting.exhaustion import terminate
from lrm_actors.hosting.guards import Guards
from lrm_actors.hosting.host import Component, Host, HostBridge, check_component, check_storable
from lrm_actors.hosting.life import STOP_DEADLINE_S, Life
from lrm_actors.hosting.live import LiveSettings
from lrm_actors.hosting.offload import beside, start_thread
from lrm_actors.hosting.reaching import Reaching
from lrm_actors.hosting.reclaiming import Reclaiming
from lrm_actors.hosting.recovery import Recovery
from lrm_actors.hosting.running import SPECS
from lrm_actors.hosting.shedding import Shedding
from lrm_actors.hosting.signalling import SIGNAL_DUMP
from lrm_actors.hosting.sleeping import Sleeping
from lrm_actors.hosting.stepping import Stepping
from lrm_actors.hosting.tasks import Tasks
from lrm_actors.hosting.terminating import TERMINATION
from lrm_actors.hosting.unlogged import UnloggedSystem
from lrm_actors.inspect.giving_up import GivingUp
from lrm_actors.runtime.clock import SystemClock
from lrm_actors.runtime.inspection.rendering import lines_of
from lrm_actors.settings import LongRunningSettings
from lrm_actors.telemetry.logging import LogContext

if TYPE_CHECKING:
    import asyncio


_log = logging.getLogger("lrm_actors.mode")


class Engine(Reaching):
    """Everything of one mode but its words.

    Args:
        settings: observed while the mode is started.
        host: what is served; functions given one by one serve as well.
        predecessor_exit: exit status of the process before this one, if somebody saw it.
    """

    def __init__(self, settings: LongRunningSettings, host: Host | None, predecessor_exit: int | None) -> None:
        clock = SystemClock()
        super().__init__(settings, UnloggedSystem(SPECS, now=clock.now))
        self.clock = clock
        """For what outlives a run of the system: uptime, guards, heartbeats."""
        self.bridge = HostBridge()
        self.boundary = StepBoundary()
        self.registry = ComponentRegistry(self.clock, run_async=self.bridge.run_async)
        self.capturing = Capturing(self.boundary, self.bridge)
        self.stepping = Stepping(
            self.boundary,
            on_begin=self.capturing.goes_on,
            check=self._check_storable,
            run_async=self.bridge.run_async,
            is_in_loop=lambda: self.bridge.is_here,
        )
        self.effects = Effects(self, self.stepping)
        self.sleeping, self.tasks = Sleeping(self, self.stepping), Tasks(self, self.stepping)
        self.guards = Guards(
            self.clock,
            config=lambda: configuration.breaker_config(self.settings),
            tell=self.tell,
            spawn=self._spawn,
            enabled=lambda: self.running is not None or self.settings.enable_long_running_mode,
        )
        self.shedding = Shedding(lambda: self.running, self.bridge)
        self.context = LogContext(settings.agent_id)
        self.exit_code: int | None = None
        self.misplaced = ""
        """What is wrong with where the log lies, while it is."""
        self.exhausted = False
        """More handlers hang than the process can bear: it is to be replaced."""
        self.on_exhausted: Callable[[str], object] = terminate
        """Told why, after the emergency checkpoint."""
        self.replaceable = False
        """Whether the host said how: only then is its process replaced because a recovery was chosen."""
        self.on_call: Callable[[str], object] | None = None
        """Told why a human is needed."""
        self.calls_s: dict[str, float] = {}
        """When somebody was called for which reason."""
        self.rules = RuleTable(())
        """The host's, tried before the built-in ones."""
        self.last_recovery: Recovery | None = None
        self.giving_up = GivingUp()
        self.final_report: dict[str, Any] | None = None
        """Of the last run, taken when it ended."""
        self.up_since_s = self.clock.monotonic()
        self.sampler = Sampler(settings.log_path.parent, memory_budget_mb=settings.memory_budget_mb)
        self.reclaiming = Reclaiming(self, self._memory)
        self.life = Life(self, host, predecessor_exit)
        self.live = LiveSettings(
            settings,
            running=lambda: self.running,
            breakers=self.guards.names,
            acting={
                "checkpoint_dir": lambda old, _: start_thread(lambda: self.life.move(old), name="lrm-move"),
                "enable_long_running_mode": lambda *_: start_thread(self.life.switch, name="lrm-switch"),
                "dump_on_sigusr1": lambda *_: self.show_on_signal(),
                "checkpoint_on_sigterm": lambda *_: self.show_on_signal(),
                "memory_budget_mb": lambda _, new: setattr(self.sampler, "memory_budget_mb", new),
            },
        )
        if host is not None:
            self.capturing.capture_with(host.capture, CaptureOptions.of_host(host))
            self.capturing.restore_with(host.restore, getattr(host, "upcasters", None))
            if (replay := getattr(host, "replay", None)) is not None:
                self.capturing.replay_with(replay)

    @property
    def is_off(self) -> bool:
        """Whether there is nothing that could take time: switched off, and not still on the way there."""
        return self.running is None and not self.settings.enable_long_running_mode

    # --- starting and stopping ----------------------------------------------------------------------------------

    def prepare_signal(self) -> None:
        """Do what ``show_on_signal`` needs and an event loop should not wait for."""
        if self._wants_signal:
            SIGNAL_DUMP.prepare()

    @property
    def _wants_signal(self) -> bool:
        return self.settings.dump_on_sigusr1 and self.settings.enable_long_running_mode

    def show_on_signal(self) -> None:
        """Serve ``SIGUSR1`` and ``SIGTERM`` for this agent, or not, as is set. On the main thread, or in vain."""
        if self._wants_signal:
            SIGNAL_DUMP.add(self)
        else:
            SIGNAL_DUMP.remove(self)
        if self.settings.checkpoint_on_sigterm and self.settings.enable_long_running_mode:
            TERMINATION.add(self)
        else:
            TERMINATION.remove(self)

    def show_no_more(self) -> None:
        """Give the signals back, if this agent was the last to be served. From the main thread, or later."""
        SIGNAL_DUMP.remove(self)
        TERMINATION.remove(self)

    def tree(self) -> str:
        """The actors as text, for whoever looks on. Asks none of them."""
        running = self.running
        if running is None:
            return f"agent {self.settings.agent_id}: the mode is not running"
        return "\n".join(lines_of(dump_of(running)))

    def start(self, loop: asyncio.AbstractEventLoop | None = None, thread: int | None = None) -> None:
        """Own the log and start the actors; nothing happens if they run, or while the mode is switched off.

        Args:
            loop: the host's, None for a host without one.
            thread: the one that it runs on.

        Raises:
            OpenError: the log cannot be owned; see its leaves.
            AskError: the actors did not come up.
        """
        try:
            self.life.start(loop, thread)
        except BaseException:
            self.show_no_more()
            raise

    def stop(self, deadline_s: float = STOP_DEADLINE_S, *, reason: str = "stop") -> None:
        """Take a last checkpoint if there is time, stop the actors and let go of the log. Never takes much longer.

        On the host's loop its thread is held, but for the capture of the state.

        Raises:
            SettingsError: the deadline is no number of seconds from 0 to a day. Nothing is stopped.
        """
        check_deadline(deadline_s)
        try:
            self.bridge.wait_here(lambda: self.life.stop(deadline_s, reason))
        finally:
            self.show_no_more()

    def _memory(self) -> Metrics:
        """Memory as it is now."""
        reader = self.sampler.memory_reader()
        try:
            return reader.look()
        finally:
            reader.close()

    def _check_storable(self, event: str, field: str, value: Any) -> None:
        if self.running is not None:  # switched off, nothing is stored
            check_storable(event, field, value)

    # --- the host's parts ---------------------------------------------------------------------------------------

    def register(self, component: Component) -> None:
        """Look after a component from now on. Returns at once."""
        check_component(component)
        self.registry.register(
            component.name,
            component.restart,
            component.clear_caches,
            component.heartbeat_timeout_s,
            component.exit_status,
            pid=component.pid,
        )
        if self.running is not None:
            self._add_child(f"{COMPONENT}:{component.name}")
        self.live.heartbeat_timeout(component.name, component.heartbeat_timeout_s)

    def _add_child(self, child: str) -> None:
        try:
            self.tell(supervisor.NAME, supervisor.AddChild(child))
        except AskError as error:
            _log.error("%s is not supervised: %s", child, error, extra=self.context.extra())

    def _spawn(self, spec: Spec[Any]) -> None:
        """Start an actor, beside the caller, who may be on an event loop."""
        running = self.running

        def start() -> None:
            if running is not None:
                with suppress(NotRunning):  # a move is under way: the new system starts with it
                    running.system.spawn(spec)
                    self._add_child(f"{ACTOR}:{spec.name}")
                    self.live.tell()  # a setting assigned meanwhile was not for an actor that was not there yet

        if running is not None:
            beside(start)
