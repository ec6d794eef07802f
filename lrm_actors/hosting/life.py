"""The life of a long-running mode: started, stopped, moved to another place, switched on and off.

Talks to the system that runs meanwhile, to what goes along with it, and to the parts of the engine. Its calls block,
each within a bound; none is for an event loop's thread.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventstore.errors import EventStoreError, LogNotWritable, OpenError
from lrm_actors.actors.monitor import monitor_handlers
from lrm_actors.domain import analyzer, checkpointer, journal, monitor, supervisor
from lrm_actors.domain.behavior import Command
from lrm_actors.domain.children import ACTOR, COMPONENT
from lrm_actors.domain.facts import FailureFacts
from lrm_actors.errors import AskError, LrmError, NotRunning
from lrm_actors.hosting import operations, relocation
from lrm_actors.hosting.beating import HEART
from lrm_actors.hosting.carrying_out import carry_out
from lrm_actors.hosting.exhaustion import give_up
from lrm_actors.hosting.gate import keep_told
from lrm_actors.hosting.host import Host
from lrm_actors.hosting.offload import beside
from lrm_actors.hosting.probing import Probing
from lrm_actors.hosting.putting_back import PuttingBack, Step
from lrm_actors.hosting.running import Handlers, Running
from lrm_actors.hosting.trimming import MB, Limits, Trimmer
from lrm_actors.runtime.reports import EXIT_ABANDONED, EXIT_CLEAN, EXIT_ESCALATED
from lrm_actors.settings import DAY_S
from lrm_actors.telemetry.logging import LogContext
from lrm_actors.wiring import LOG

if TYPE_CHECKING:
    import asyncio

    from eventstore.protocol import EventStore
    from lrm_actors.hosting.engine import Engine

STOP_DEADLINE_S = 5.0
MOVE_STEP_WAIT_S = 1.0
"""How long a move waits for the open step, before it holds it where it is."""
SWITCH_OFF_WAIT_S = 3600.0
"""How long switching off waits for the open step."""

_log = logging.getLogger("lrm_actors.mode")


def _after(event: threading.Event, handler: Callable[[Any], Command | None]) -> Callable[[Any], Command | None]:
    """The same handler, not before something has happened. What never happens was a start that failed."""
    return lambda effect: handler(effect) if event.wait(STOP_DEADLINE_S) else None


def _place(path: Path) -> Path:
    """Where a log is, whatever the working directory becomes."""
    try:
        return path.absolute()
    except FileNotFoundError:
        hint = "start in a directory that is there, or give checkpoint_dir as an absolute path"
        raise LogNotWritable(str(path), f"{path} leads nowhere: the working directory is gone", hint=hint) from None


class Life:
    """Begins and ends each run of one mode, and whatever goes along with it.

    Args:
        engine: its parts, which outlive each run.
        host: what is served; None where functions were given one by one.
        predecessor_exit: exit status of the process before this one, if somebody saw it.
    """

    def __init__(self, engine: Engine, host: Host | None, predecessor_exit: int | None) -> None:
        self._engine = engine
        self._host = host
        self._predecessor_exit = HEART.outer.predecessor_exit if predecessor_exit is None else predecessor_exit
        self._probing = Probing(engine.sampler)
        self.lock = threading.Lock()
        """Held by whoever starts, stops, moves or switches."""
        self._putting_back = PuttingBack(engine, self.lock, self._run_again, wait_s=MOVE_STEP_WAIT_S)
        self._configured = threading.Event()
        self._ends = ExitStack()
        self._trimmer: Trimmer | None = None
        self._started = False

    def start(self, loop: asyncio.AbstractEventLoop | None, thread: int | None) -> None:
        """See ``Engine.start``, which takes the signals back where this fails."""
        self._engine.prepare_signal()
        self._engine.show_on_signal()
        with self.lock:
            if self._started:
                return
            self._engine.bridge.bind(loop, thread)
            self._probing.bind(loop)
            self._engine.context = LogContext(self._engine.settings.agent_id)
            if self._host is not None:
                for component in self._host.components():
                    self._engine.register(component)
            if self._engine.settings.enable_long_running_mode:
                self._begin()
            self._ends.callback(self._engine.live.follow())
            self._started = True

    def stop(self, deadline_s: float, reason: str) -> None:
        """See ``Engine.stop``."""
        if not self.lock.acquire(timeout=deadline_s):
            # A start, a move or a stop before this one hangs. The process must be able to end all the same.
            self._engine.exit_code = EXIT_ABANDONED
            return
        try:
            if self._started:
                self._started = False
                self._ends.close()
                self._engine.sleeping.close()
                self._engine.shedding.close()
                self._end(deadline_s, reason)
        finally:
            self.lock.release()

    def _begin(self) -> None:
        path = _place(self._engine.settings.log_path)
        if (newer := relocation.moved_to(path)) is not None:
            _log.warning(
                "%s was moved to %s; this is what it was then", path, newer, extra=self._engine.context.extra()
            )
        self._engine.capturing.opening(path)
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
        self._engine.exit_code = None
        self._engine.up_since_s = self._engine.clock.monotonic()
        self._engine.capturing.begin(path, has_history=self._has_history(running))
        self._run_on(running)

    def _configure(self, running: Running) -> None:
        self._engine.live.ask_all(running)
        self._configured.set()

    def _run_on(self, running: Running) -> None:
        self._engine.running = running
        self._trimmer = Trimmer(running.path, running.store, running.system, self._log_limits)
        self._trimmer.begin()
        self._putting_back.begin(running)
        running.system.on_full = self._on_full
        self._probing.begin(running)
        carry_out(self._engine, running.store)
        self._engine.shedding.follow(running.store)
        self._engine.reclaiming.follow(running.store)
        if self._host is not None:
            keep_told(self._engine.bridge, self._host.gate, running.store, running.system.state("modes").mode)
        self._engine.live.tell()  # what was assigned or registered meanwhile
        HEART.add(self._engine, self._engine.bridge.loop)

    def _on_full(self, reason: str) -> None:
        """The disk is full, and the log lives on what it held back for that."""
        facts = FailureFacts(LOG, ("StorageFull",), reason, observation="storage_full")
        with suppress(AskError, NotRunning):  # it is stopping
            self._engine.tell(analyzer.NAME, analyzer.RecordFailure(facts))
        if self._trimmer is not None:
            self._trimmer.look_soon()

    def _log_limits(self) -> Limits:
        return Limits(self._engine.settings.max_log_mb * MB, self._engine.settings.max_log_age_days * DAY_S)

    def _open(self, path: Path) -> Running:
        self._engine.context = LogContext(self._engine.settings.agent_id)
        self._engine.sampler.checkpoint_dir = path.parent
        self._engine.sampler.memory_budget_mb = self._engine.settings.memory_budget_mb
        return Running(
            path,
            context=self._engine.context,
            registry=self._engine.registry,
            breakers=self._engine.guards.specs,
            handlers=self._handlers,
            on_exhausted=lambda why: give_up(self._engine, why, self._engine.on_exhausted),
        )

    def _handlers(self, store: EventStore) -> Handlers:
        # Nothing is observed before everybody knows the settings: what follows from it would not heed them.
        observing = monitor_handlers(self._engine.sampler, self._engine.registry.observe, worth_telling=self._is_news)
        configured = self._configured = threading.Event()
        return {
            **{effect: _after(configured, handler) for effect, handler in observing.items()},
            **self._engine.capturing.handlers(store),
            **self._engine.guards.handlers(),
        }

    def _is_news(self, seen: monitor.RecordObservations) -> bool:
        running = self._engine.running
        if running is None:
            return True  # it is only just starting
        return monitor.changes(running.system.state(monitor.NAME), seen, self._engine.clock.now())

    def _children(self, running: Running) -> tuple[str, ...]:
        actors = (f"{ACTOR}:{name}" for name in running.system.shells() if name != supervisor.NAME)
        components = (f"{COMPONENT}:{name}" for name in self._engine.registry.statistics())
        return (*actors, *components)

    def _has_history(self, running: Running) -> bool:
        """Whether there is something that the host's state does not contain before it has been restored."""
        state = running.system.state
        return bool(state(journal.NAME).committed or state(checkpointer.NAME).kept)

    def _end(self, deadline_s: float, reason: str, *, last_checkpoint: bool = True) -> None:
        running = self._engine.running
        if running is None:
            self._engine.exit_code = EXIT_CLEAN
            return
        end_s = self._engine.clock.monotonic() + deadline_s
        self._look_no_more()
        try:
            if last_checkpoint:
                operations.last_checkpoint(self._engine, deadline_s / 3)
            stopping = supervisor.StopSupervising(clean=True, reason=reason)
            running.system.ask_blocking(supervisor.NAME, stopping, timeout_s=max(0.05, deadline_s / 5))
            self._engine.final_report = operations.health_report(self._engine)
        except (AskError, EventStoreError, OSError) as error:
            _log.error("the end could not be put on record: %s", error, extra=self._engine.context.extra())
        finally:  # also where somebody interrupts it: nobody else could ever own the log as long as this process lives
            self._engine.running = None
            code = running.close(max(0.1, end_s - self._engine.clock.monotonic()))
            self._engine.boundary.end_of_run()
            HEART.remove(self._engine)
            beside(self._engine.sampler.close)  # not here: a sample may hang, and holds it
            self._engine.exit_code = EXIT_ESCALATED if self._engine.exhausted else code

    # --- moving and switching -----------------------------------------------------------------------------------

    def move(self, old: str | None) -> None:
        """Go on in the place that the settings name now. What cannot be moved stays where it is, and that is said."""
        with self.lock:
            running, target = self._engine.running, _place(self._engine.settings.log_path)
            if running is None or target == running.path:
                return
            place = running.path
            try:
                relocation.check_place(target)
                self._engine.moved.clear()
                # An open step is held before its commit, and goes on in the new place.
                with self._engine.boundary.hold(wait_s=MOVE_STEP_WAIT_S, even_inside=True):
                    place = self._reopen(running, target)
            except (LrmError, EventStoreError, OSError) as error:
                _log.error("the log does not move: %s", error, extra=self._engine.context.extra())
            finally:
                self._engine.moved.set()
            if place != target:
                self._engine.settings.update(checkpoint_dir=old)

    def _reopen(self, running: Running, target: Path) -> Path:
        """End one run and begin the next on a copy of its log, or on the log itself if no copy can be made."""
        place = running.path
        self._look_no_more()
        running.close(STOP_DEADLINE_S)
        try:
            relocation.copy_log(running.path, target)
            place = target
        except OpenError as error:
            _log.error("the log stays at %s: %s", place, error, extra=self._engine.context.extra())
        try:
            following = self._open(place)
        except BaseException:
            self._engine.running = None  # nothing runs; whoever asks is told so
            raise
        if place == target:
            relocation.leave_note(running.path, target)
            self._engine.capturing.moved(target)
        self._configure(following)
        self._run_on(following)
        return place

    def _run_again(self, running: Running, once_quiet: Step, once_closed: Step) -> Running:
        """End one run and begin the next in the same place; in between, what is to be done to the log."""
        self._look_no_more()
        running.close(STOP_DEADLINE_S, between=once_quiet)
        try:
            once_closed()
            following = self._open(running.path)
        except BaseException:
            self._engine.running = None  # nothing runs; whoever asks is told so
            raise
        self._configure(following)
        self._run_on(following)
        return following

    def _look_no_more(self) -> None:
        if self._trimmer is not None:
            self._trimmer.end()
        self._putting_back.end()
        self._probing.end()

    def switch(self) -> None:
        """Run if the mode is switched on, and not if it is off."""
        with ExitStack() as held:
            if not self._engine.settings.enable_long_running_mode:
                # The open step belongs to the log in which it began.
                held.enter_context(self._engine.boundary.hold(wait_s=SWITCH_OFF_WAIT_S, even_inside=True))
            held.enter_context(self.lock)
            enabled = self._engine.settings.enable_long_running_mode
            if self._started and enabled and self._engine.running is None:
                try:
                    self._begin()
                except (LrmError, EventStoreError) as error:
                    _log.error("the mode cannot be switched on: %s", error, extra=self._engine.context.extra())
            elif self._started and not enabled and self._engine.running is not None:
                self._end(STOP_DEADLINE_S, "switched off", last_checkpoint=False)
