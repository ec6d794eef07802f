"""Has the host give memory back when it runs out, one thing after the other, and looks at what that really freed.

Talks to the host's functions, to the component registry, and to the engine; reads from the log when memory is scarce,
on a thread beside everything else. If nothing was enough and memory is critical, the process is replaced, if the host
said how: an orderly end with a checkpoint is better than the kernel's.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from eventstore.errors import EventStoreError
from lrm_actors.domain import modes, monitor, reclaiming
from lrm_actors.domain.health import CRITICAL, is_worse
from lrm_actors.domain.metrics import Metrics
from lrm_actors.domain.reclaiming import Attempt
from lrm_actors.domain.signals import OF_MEMORY
from lrm_actors.domain.trends.telling import TrendConfirmed
from lrm_actors.domain.trends.trend import MEMORY_LEAK
from lrm_actors.errors import AskError, NotRunning
from lrm_actors.hosting.exhaustion import replace
from lrm_actors.hosting.host import check_name
from lrm_actors.hosting.offload import beside, start_thread
from lrm_actors.hosting.published import until_published

if TYPE_CHECKING:
    from eventstore.protocol import EventStore
    from lrm_actors.hosting.engine import Engine

CHANGED, LEAKS = "monitor.health_changed", "monitor.trend_confirmed"
SAMPLED, PRESSURE = "monitor.sampled", "monitor.pressure_seen"
MEMORY, STALL = "memory", "memory_stall"
"""The signals that say how much is left, and how much is waited for it."""
AGAIN_S = 10.0
"""Least time until all are asked again because memory is critical as before, however often it is sampled."""
TIMEOUT_S = 30.0
"""How long one function of the host may take to give memory back, before the next is asked."""

_log = logging.getLogger("lrm_actors.mode")


class Reclaiming:
    """What can give memory back, in the order in which it is asked.

    Args:
        engine: of the mode.
        look: reads memory now.
    """

    def __init__(self, engine: Engine, look: Callable[[], Metrics | None]) -> None:
        self._engine, self._look = engine, look
        self._hooks: dict[str, Callable[[], Any]] = {}
        self._attempts: dict[str, Attempt] = {}
        self._asked_at_s = float("-inf")
        self._under_way: dict[str, Future[None]] = {}
        """What was asked last of each, which may hang yet."""
        self._lock = threading.Lock()
        self._looking = self._news = False
        """Whether a thread looks, and whether there is something that it has not looked at."""

    def free_with(self, name: str, function: Callable[[], Any]) -> None:
        """Ask this function, after those given before it; the same name again replaces it.

        Raises:
            SettingsError: the name cannot name anything.
        """
        self._hooks[check_name("name", name)] = function

    def follow(self, store: EventStore) -> None:
        """Have memory given back from now on whenever it is scarce or leaks, as long as the log is open."""
        seen = [store.head]

        def look() -> None:
            while self._begin_looking():
                try:
                    self._look_at(store, seen)
                except EventStoreError as error:  # closed, or not to be read now: the next commit comes here again
                    _log.debug("whether memory is scarce cannot be read now: %s", error)
                except BaseException:  # noqa: BLE001 - the next change may be one that something can be done about
                    _log.exception("nothing could be done about memory", extra=self._engine.context.extra())

        def on_commit(_: int, types: frozenset[str]) -> None:
            if types.isdisjoint((CHANGED, LEAKS, PRESSURE)) and not (SAMPLED in types and self._is_critical()):
                return
            with self._lock:
                self._news, looking, self._looking = True, self._looking, True
            if not looking:
                beside(look)

        store.subscribe(on_commit)

    def _begin_looking(self) -> bool:
        """Whether there is something to look at."""
        with self._lock:
            news, self._news = self._news, False
            self._looking = news
            return news

    def _look_at(self, store: EventStore, seen: list[int]) -> None:
        """Whatever came since; and memory, where it is critical and nothing came, because the health gets no worse."""
        until_published(self._engine.running, store, monitor.NAME)
        nothing_new = True
        for record in store.read(after=seen[0], types=(CHANGED, LEAKS), removed="skip"):
            seen[0], nothing_new = record.position, False
            for event in record.events:
                self._consider(event)
        if nothing_new:
            self.reclaim_again()

    def _consider(self, event: object) -> None:
        if isinstance(event, TrendConfirmed) and event.trend.kind == MEMORY_LEAK:
            self.give_back()
        if not isinstance(event, monitor.HealthChanged) or not set(OF_MEMORY).intersection(event.signals):
            return
        if not is_worse(event.previous, event.status):  # worse, or a limit that is reached while it was as bad
            self.reclaim(event.status, event.cause)

    def _is_critical(self) -> bool:
        running = self._engine.running
        return running is not None and running.system.state(monitor.NAME).levels.get(MEMORY) == CRITICAL

    def reclaim_again(self) -> None:
        """Where memory was critical before: what was given back was taken again, or it was so when the process began.

        Nothing is put on record of a health that stays as it is, or is failing, and the kernel waits for neither.
        """
        if self._engine.clock.monotonic() - self._asked_at_s < AGAIN_S:
            return
        memory = self._look() if self._is_critical() else None
        percent = None if memory is None else memory.memory_percent
        if percent is not None and percent >= self._engine.settings.memory_threshold_critical:
            self.reclaim(CRITICAL, f"memory {percent:.1f} %")

    def reclaim(self, status: str, cause: str) -> bool:
        """Ask one after the other until enough is given back; whether it is. Blocks, each for half a minute at most."""
        settings, clock = self._engine.settings, self._engine.clock
        target = max(0.0, settings.memory_threshold_warning - monitor.MonitorConfig().leave_below)
        self._asked_at_s = clock.monotonic()
        before = self._look()
        for name, function in self._asked():
            if before is None or not (needed := reclaiming.needed_bytes(before, target)):
                break
            if reclaiming.worth_asking(self._attempts, name, clock.monotonic()):
                before = self._try(name, function, before, needed)
        enough = before is not None and reclaiming.needed_bytes(before, target) == 0
        if not enough and not is_worse(CRITICAL, status):
            self._replace(cause, before)
        return enough

    def give_back(self) -> None:
        """Ask each once, however much is left: memory leaks, and what can be given back may be what leaks."""
        before = self._look()
        for name, function in self._asked():
            if before is None:
                return
            if reclaiming.worth_asking(self._attempts, name, self._engine.clock.monotonic()):
                before = self._try(name, function, before, 0)

    def _try(self, name: str, function: Callable[[], Any], before: Metrics, needed: int) -> Metrics | None:
        """Ask one, and put on record what that really freed; memory afterwards."""
        clock = self._engine.clock
        began_s = clock.monotonic()
        error = self._ask(name, function)
        after = self._look()
        freed = 0 if after is None else reclaiming.freed_bytes(before, after)
        self._attempts[name] = Attempt(clock.monotonic(), freed)
        took_s = clock.monotonic() - began_s
        self._tell(modes.ReportReclaimed(name, freed, max(0, needed - freed), took_s, error))
        return after

    def _asked(self) -> list[tuple[str, Callable[[], Any]]]:
        registry = self._engine.registry
        caches = [
            (f"caches of {name}", lambda name=name: registry.clear_caches(name)) for name in registry.with_caches()
        ]
        return [*self._hooks.items(), *caches]

    def _ask(self, name: str, function: Callable[[], Any]) -> str:
        """Call a function of the host; what went wrong, or nothing."""
        last = self._under_way.get(name)
        if last is not None and not last.done():
            return "it is still at it since it was asked before"  # one that hangs takes one thread, and not one a time

        def call() -> None:
            result = function()
            if inspect.isawaitable(result):
                self._engine.bridge.run_async(_awaited(result))
            elif error := getattr(result, "error", ""):  # what the registry says of a component's
                raise RuntimeError(error)

        try:
            outcome = self._under_way[name] = start_thread(call, name="lrm-reclaim")
            outcome.result(TIMEOUT_S)
        except BaseException as error:  # noqa: BLE001 - the host's function may raise anything, and the next may help
            return f"{type(error).__name__}: {error}"[:500]
        return ""

    def _replace(self, cause: str, memory: Metrics | None) -> None:
        """Have the process replaced, if memory is critical yet, that can help, and the host said how."""
        engine, running = self._engine, self._engine.running
        if running is None or not engine.replaceable or engine.exhausted:
            return
        state = running.system.state(monitor.NAME)
        if is_worse(CRITICAL, state.status) or state.last is None or not reclaiming.is_ours(state.last):
            return
        left_at = engine.settings.memory_threshold_critical - state.config.leave_below
        percent = None if memory is None else memory.memory_percent
        if percent is not None and percent < left_at and state.levels.get(STALL) != CRITICAL:
            return  # not enough was given back, but the danger is over
        self._tell(modes.ReportRestartAsked(cause))
        replace(engine, f"memory runs out: {cause}", engine.on_exhausted)

    def _tell(self, command: modes.ReportReclaimed | modes.ReportRestartAsked) -> None:
        try:
            self._engine.tell(modes.NAME, command)
        except (AskError, NotRunning) as error:
            _log.error("what was done about memory is not on record: %s", error, extra=self._engine.context.extra())


async def _awaited(result: Any) -> Any:
    return await result
