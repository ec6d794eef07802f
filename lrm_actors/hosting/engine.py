"""The life of a long-running mode: started, stopped, moved, switched on and off, told of each setting that changes.

Talks to the running system, to the host over its bridge, and to the settings. Its calls block, each within a bound;
none is for an event loop's thread but those that say that they return at once.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventstore.errors import EventStoreError, OpenError
from lrm_actors.actors.monitor import monitor_handlers
from lrm_actors.actors.sampling.sampler import Sampler
from lrm_actors.actors.supervisor import ComponentRegistry
from lrm_actors.domain import analyzer, checkpointer, journal, monitor, supervisor
from lrm_actors.domain.behavior import Command, Spec
from lrm_actors.domain.children import ACTOR, COMPONENT
from lrm_actors.domain.facts import FailureFacts
from lrm_actors.domain.metrics import Metrics
from lrm_actors.domain.rules import RuleTable
from lrm_actors.errors import ActorStopped, AskError, LrmError, NotRunning
from lrm_actors.hosting import configuration, operations, relocation
from lrm_actors.hosting.arguments import check_deadline
from lrm_actors.hosting.beating import HEART
from lrm_actors.hosting.boundary import StepBoundary
from lrm_actors.hosting.capture_options import CaptureOptions
from lrm_actors.hosting.capturing import Capturing
from lrm_actors.hosting.carrying_out import carry_out
from lrm_actors.hosting.dumping import dump_of
from lrm_actors.hosting.effects import Effects
from lrm_actors.hosting.exhaustion import give_up, terminate
from lrm_actors.hosting.gate import keep_told
from lrm_actors.hosting.guards import Guards
from lrm_actors.hosting.host import Component, Host, HostBridge, check_component, check_storable
from lrm_actors.hosting.live import LiveSettings
from lrm_actors.hosting.offload import beside, off_loop, start_thread
from lrm_actors.hosting.probing import Probing
from lrm_actors.hosting.reclaiming import Reclaiming
from lrm_actors.hosting.recovery import Recovery
from lrm_actors.hosting.running import SPECS, Handlers, Running
from lrm_actors.hosting.shedding import Shedding
from lrm_actors.hosting.signalling import SIGNAL_DUMP
from lrm_actors.hosting.sleeping import Sleeping
from lrm_actors.hosting.stepping import Stepping
from lrm_actors.hosting.tasks import Tasks
from lrm_actors.hosting.terminating import TERMINATION
from lrm_actors.hosting.trimming import MB, Limits, Trimmer
from lrm_actors.hosting.unlogged import UnloggedSystem
from lrm_actors.runtime.clock import SystemClock
from lrm_actors.runtime.inspection.rendering import lines_of
from lrm_actors.runtime.reports import EXIT_ABANDONED, EXIT_CLEAN, EXIT_ESCALATED
from lrm_actors.settings import DAY_S, LongRunningSettings
from lrm_actors.telemetry.logging import LogContext
from lrm_actors.wiring import LOG

if TYPE_CHECKING:
    import asyncio

    from eventstore.protocol import EventStore

STOP_DEADLINE_S = 5.0
MOVE_WAIT_S = 60.0
"""How long a call waits for a move of the log under way."""
MOVE_STEP_WAIT_S = 1.0
"""How long a move waits for the open step, before it holds it where it is."""
SWITCH_OFF_WAIT_S = 3600.0
"""How long switching off waits for the open step."""

_log = logging.getLogger("lrm_actors.mode")


def _after(event: threading.Event, handler: Callable[[Any], Command | None]) -> Callable[[Any], Command | None]:
    """The same handler, not before something has happened. What never happens was a start that failed."""
    return lambda effect: handler(effect) if event.wait(STOP_DEADLINE_S) else None


class Engine:
    """Everything of one mode but its words.

    Args:
        settings: observed while the mode is started.
        host: what is served; functions given one by one serve as well.
        predecessor_exit: exit status of the process before this one, if somebody saw it.
    """

    def __init__(self, settings: LongRunningSettings, host: Host | None, predecessor_exit: int | None) -> None:
        self.settings = settings
        self.clock = SystemClock()
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
        self.unlogged = UnloggedSystem(SPECS, now=self.clock.now)
        self.running: Running | None = None
        self.exit_code: int | None = None
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
        self.final_report: dict[str, Any] | None = None
        """Of the last run, taken when it ended."""
        self.up_since_s = self.clock.monotonic()
        self._host = host
        self._predecessor_exit = HEART.outer.predecessor_exit if predecessor_exit is None else predecessor_exit
        self._sampler = Sampler(settings.log_path.parent, memory_budget_mb=settings.memory_budget_mb)
        self._probing = Probing(self._sampler)
        self.reclaiming = Reclaiming(self, self._memory)
        self._life = threading.Lock()
        self._live = LiveSettings(
            settings,
            running=lambda: self.running,
            breakers=self.guards.names,
            acting={
                "checkpoint_dir": lambda old, _: start_thread(lambda: self._move(old), name="lrm-move"),
                "enable_long_running_mode": lambda *_: start_thread(self._switch, name="lrm-switch"),
                "dump_on_sigusr1": lambda *_: self.show_on_signal(),
                "checkpoint_on_sigterm": lambda *_: self.show_on_signal(),
                "memory_budget_mb": lambda _, new: setattr(self._sampler, "memory_budget_mb", new),
            },
        )
        self._configured = threading.Event()
        self._ends = ExitStack()
        self._trimmer: Trimmer | None = None
        self._started = False
        self._moved = threading.Event()
        self._moved.set()
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
            self._start(loop, thread)
        except BaseException:
            self.show_no_more()
            raise

    def _start(self, loop: asyncio.AbstractEventLoop | None, thread: int | None) -> None:
        self.prepare_signal()
        self.show_on_signal()
        with self._life:
            if self._started:
                return
            self.bridge.bind(loop, thread)
            self._probing.bind(loop)
            self.context = LogContext(self.settings.agent_id)
            if self._host is not None:
                for component in self._host.components():
                    self.register(component)
            if self.settings.enable_long_running_mode:
                self._begin()
            self._ends.callback(self._live.follow())
            self._started = True

    def stop(self, deadline_s: float = STOP_DEADLINE_S, *, reason: str = "stop") -> None:
        """Take a last checkpoint if there is time, stop the actors and let go of the log. Never takes much longer.

        Raises:
            SettingsError: the deadline is no number of seconds from 0 to a day. Nothing is stopped.
        """
        check_deadline(deadline_s)
        try:
            self._stop(deadline_s, reason)
        finally:
            self.show_no_more()

    def _stop(self, deadline_s: float, reason: str) -> None:
        if not self._life.acquire(timeout=deadline_s):
            # A start, a move or a stop before this one hangs. The process must be able to end all the same.
            self.exit_code = EXIT_ABANDONED
            return
        try:
            if self._started:
                self._started = False
                self._ends.close()
                self.sleeping.close()
                self.shedding.close()
                self._end(deadline_s, reason)
        finally:
            self._life.release()

    def _begin(self) -> None:
        path = self.settings.log_path.absolute()
        if (newer := relocation.moved_to(path)) is not None:
            _log.warning("%s was moved to %s; this is what it was then", path, newer, extra=self.context.extra())
        self.capturing.opening(path)
        running = self._open(path)
        try:
            running.system.ask_blocking(
                supervisor.NAME,
                supervisor.StartSupervising(
                    self._children(running), os.getpid(), self._predecessor_exit, HEART.outer.log, HEART.outer.position
                ),
            )
            self._configure(running)
            running.system.ask_blocking(journal.NAME, journal.OpenJournal())
        except BaseException:
            running.close(STOP_DEADLINE_S)
            raise
        self._predecessor_exit = None
        self.exit_code = None
        self.up_since_s = self.clock.monotonic()
        self.capturing.begin(path, has_history=self._has_history(running))
        self._run_on(running)

    def _configure(self, running: Running) -> None:
        self._live.ask_all(running)
        self._configured.set()

    def _run_on(self, running: Running) -> None:
        self.running = running
        self._trimmer = Trimmer(running.path, running.store, running.system, self._log_limits)
        self._trimmer.begin()
        running.system.on_full = self._on_full
        self._probing.begin(running)
        carry_out(self, running.store)
        self.shedding.follow(running.store)
        self.reclaiming.follow(running.store)
        if self._host is not None:
            keep_told(self.bridge, self._host.gate, running.store, running.system.state("modes").mode)
        self._live.tell()  # what was assigned or registered meanwhile
        HEART.add(self, self.bridge.loop)

    def _on_full(self, reason: str) -> None:
        """The disk is full, and the log lives on what it held back for that."""
        facts = FailureFacts(LOG, ("StorageFull",), reason, observation="storage_full")
        with suppress(AskError, NotRunning):  # it is stopping
            self.tell(analyzer.NAME, analyzer.RecordFailure(facts))
        if self._trimmer is not None:
            self._trimmer.look_soon()

    def _log_limits(self) -> Limits:
        return Limits(self.settings.max_log_mb * MB, self.settings.max_log_age_days * DAY_S)

    def _open(self, path: Path) -> Running:
        self.context = LogContext(self.settings.agent_id)
        self._sampler.checkpoint_dir = path.parent
        self._sampler.memory_budget_mb = self.settings.memory_budget_mb
        return Running(
            path,
            context=self.context,
            registry=self.registry,
            breakers=self.guards.specs,
            handlers=self._handlers,
            on_exhausted=lambda why: give_up(self, why, self.on_exhausted),
        )

    def _handlers(self, store: EventStore) -> Handlers:
        # Nothing is observed before everybody knows the settings: what follows from it would not heed them.
        observing = monitor_handlers(self._sampler, self.registry.observe, worth_telling=self._is_news)
        configured = self._configured = threading.Event()
        return {
            **{effect: _after(configured, handler) for effect, handler in observing.items()},
            **self.capturing.handlers(store),
            **self.guards.handlers(),
        }

    def _memory(self) -> Metrics:
        """Memory as it is now."""
        reader = self._sampler.memory_reader()
        try:
            return reader.look()
        finally:
            reader.close()

    def _is_news(self, seen: monitor.RecordObservations) -> bool:
        running = self.running
        if running is None:
            return True  # it is only just starting
        return monitor.changes(running.system.state(monitor.NAME), seen, self.clock.now())

    def _children(self, running: Running) -> tuple[str, ...]:
        actors = (f"{ACTOR}:{name}" for name in running.system.shells() if name != supervisor.NAME)
        components = (f"{COMPONENT}:{name}" for name in self.registry.statistics())
        return (*actors, *components)

    def _has_history(self, running: Running) -> bool:
        """Whether there is something that the host's state does not contain before it has been restored."""
        state = running.system.state
        return bool(state(journal.NAME).committed or state(checkpointer.NAME).kept)

    def _end(self, deadline_s: float, reason: str, *, last_checkpoint: bool = True) -> None:
        running = self.running
        if running is None:
            self.exit_code = EXIT_CLEAN
            return
        end_s = self.clock.monotonic() + deadline_s
        if self._trimmer is not None:
            self._trimmer.end()
        self._probing.end()
        if last_checkpoint:
            operations.last_checkpoint(self, deadline_s / 3)
        try:
            stopping = supervisor.StopSupervising(clean=True, reason=reason)
            running.system.ask_blocking(supervisor.NAME, stopping, timeout_s=max(0.05, deadline_s / 5))
            self.final_report = operations.health_report(self)
        except (AskError, EventStoreError) as error:
            _log.error("the end could not be put on record: %s", error, extra=self.context.extra())
        self.running = None
        code = running.close(max(0.1, end_s - self.clock.monotonic()))
        HEART.remove(self)
        self.exit_code = EXIT_ESCALATED if self.exhausted else code

    def _check_storable(self, event: str, field: str, value: Any) -> None:
        if self.running is not None:  # switched off, nothing is stored
            check_storable(event, field, value)

    # --- asking -------------------------------------------------------------------------------------------------

    def state(self, name: str) -> Any:
        """The published state of an actor. Returns at once."""
        return self._system().state(name)

    def tell(self, to: str, command: Command) -> None:
        """Send a command and do not wait. Returns at once.

        Raises:
            NotRunning, ActorStopped, MailboxFull, NoSuchActor: it was not accepted.
        """
        if self.running is None:
            raise NotRunning("the mode is not running")
        self.running.system.tell(to, command)

    def ask_blocking(self, to: str, command: Command, *, timeout_s: float = 5.0) -> Any:
        """Send a command and wait for its reply; a move of the log under way is waited for.

        Whoever asks here does not know the command's id, and cannot ask again by it: the reply need not be kept.
        """
        try:
            return self._system().ask_blocking(to, command, timeout_s=timeout_s, keep_reply=False)
        except (NotRunning, ActorStopped):
            if self._moved.is_set() or not self._moved.wait(MOVE_WAIT_S):
                raise
            return self._system().ask_blocking(to, command, timeout_s=timeout_s, keep_reply=False)

    def store(self) -> EventStore:
        """The log that is owned.

        Raises:
            NotRunning: none is.
        """
        if self.running is None:
            raise NotRunning("the mode is not running")
        return self.running.store

    async def ask(self, to: str, command: Command, *, timeout_s: float = 5.0) -> Any:
        """Send a command and await its reply; a move of the log under way is awaited."""
        try:
            return await self._system().ask(to, command, timeout_s=timeout_s, keep_reply=False)
        except (NotRunning, ActorStopped):
            if self._moved.is_set() or not await off_loop(lambda: self._moved.wait(MOVE_WAIT_S)):
                raise
            return await self._system().ask(to, command, timeout_s=timeout_s, keep_reply=False)

    def note(self, to: str, command: Command) -> None:
        """Send a command and do not wait; decide on it at once while the mode is switched off.

        Raises:
            NotRunning, ActorStopped, MailboxFull: it was not accepted.
        """
        system = self._system()
        if system is self.unlogged:
            self.unlogged.note(to, command)
        else:
            system.tell(to, command)

    def _system(self) -> Any:
        """What answers: the running actors, or the same decisions without a log while the mode is switched off."""
        running = self.running
        if running is not None:
            return running.system
        if not self.settings.enable_long_running_mode:
            return self.unlogged
        raise NotRunning("the mode is not running")

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
        self._live.heartbeat_timeout(component.name, component.heartbeat_timeout_s)

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
                    self._live.tell()  # a setting assigned meanwhile was not for an actor that was not there yet

        if running is not None:
            beside(start)

    # --- moving and switching -----------------------------------------------------------------------------------

    def _move(self, old: str | None) -> None:
        """Go on in the place that the settings name now. What cannot be moved stays where it is, and that is said."""
        with self._life:
            running, target = self.running, self.settings.log_path.absolute()
            if running is None or target == running.path:
                return
            place = running.path
            try:
                relocation.check_place(target)
                self._moved.clear()
                # An open step is held before its commit, and goes on in the new place.
                with self.boundary.hold(wait_s=MOVE_STEP_WAIT_S, even_inside=True):
                    place = self._reopen(running, target)
            except (LrmError, EventStoreError, OSError) as error:
                _log.error("the log does not move: %s", error, extra=self.context.extra())
            finally:
                self._moved.set()
            if place != target:
                self.settings.update(checkpoint_dir=old)

    def _reopen(self, running: Running, target: Path) -> Path:
        """End one run and begin the next on a copy of its log, or on the log itself if no copy can be made."""
        place = running.path
        if self._trimmer is not None:
            self._trimmer.end()
        self._probing.end()
        running.close(STOP_DEADLINE_S)
        try:
            relocation.copy_log(running.path, target)
            place = target
        except OpenError as error:
            _log.error("the log stays at %s: %s", place, error, extra=self.context.extra())
        try:
            following = self._open(place)
        except BaseException:
            self.running = None  # nothing runs; whoever asks is told so
            raise
        if place == target:
            relocation.leave_note(running.path, target)
            self.capturing.moved(target)
        self._configure(following)
        self._run_on(following)
        return place

    def _switch(self) -> None:
        """Run if the mode is switched on, and not if it is off."""
        with ExitStack() as held:
            if not self.settings.enable_long_running_mode:
                # The open step belongs to the log in which it began.
                held.enter_context(self.boundary.hold(wait_s=SWITCH_OFF_WAIT_S, even_inside=True))
            held.enter_context(self._life)
            enabled = self.settings.enable_long_running_mode
            if self._started and enabled and self.running is None:
                try:
                    self._begin()
                except (LrmError, EventStoreError) as error:
                    _log.error("the mode cannot be switched on: %s", error, extra=self.context.extra())
            elif self._started and not enabled and self.running is not None:
                self._end(STOP_DEADLINE_S, "switched off", last_checkpoint=False)
