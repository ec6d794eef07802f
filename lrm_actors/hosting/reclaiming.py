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

if TYPE_CHECKING:
    from eventstore.protocol import EventStore
    from lrm_actors.hosting.engine import Engine

CHANGED, LEAKS = "monitor.health_changed", "monitor.trend_confirmed"
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
        self._one = threading.Lock()

    def free_with(self, name: str, function: Callable[[], Any]) -> None:
        """Ask this function, after those given before it; the same name again replaces it.

        Raises:
            SettingsError: the name cannot name anything.
        """
        check_name("name", name)
        self._hooks[name] = function

    def follow(self, store: EventStore) -> None:
        """Have memory given back from now on whenever it is scarce or leaks, as long as the log is open."""
        seen = [store.head]

        def look() -> None:
            with self._one:
                try:
                    for record in store.read(after=seen[0], types=(CHANGED, LEAKS)):
                        seen[0] = record.position
                        for event in record.events:
                            self._consider(event)
                except EventStoreError as error:  # closed, or not to be read now: the next commit comes here again
                    _log.debug("whether memory is scarce cannot be read now: %s", error)

        def on_commit(_: int, types: frozenset[str]) -> None:
            if CHANGED in types or LEAKS in types:
                beside(look)

        store.subscribe(on_commit)

    def _consider(self, event: object) -> None:
        if isinstance(event, TrendConfirmed) and event.trend.kind == MEMORY_LEAK:
            self.give_back()
        if not isinstance(event, monitor.HealthChanged) or not set(OF_MEMORY).intersection(event.signals):
            return
        if is_worse(event.status, event.previous):
            self.reclaim(event.status, event.cause)

    def reclaim(self, status: str, cause: str) -> bool:
        """Ask one after the other until enough is given back; whether it is. Blocks, each for half a minute at most."""
        settings, clock = self._engine.settings, self._engine.clock
        target = max(0.0, settings.memory_threshold_warning - monitor.MonitorConfig().leave_below)
        before = self._look()
        for name, function in self._asked():
            if before is None or not (needed := reclaiming.needed_bytes(before, target)):
                break
            if reclaiming.worth_asking(self._attempts, name, clock.monotonic()):
                before = self._try(name, function, before, needed)
        enough = before is not None and reclaiming.needed_bytes(before, target) == 0
        if status == CRITICAL and not enough:
            self._replace(cause)
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
        error = self._ask(function)
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

    def _ask(self, function: Callable[[], Any]) -> str:
        """Call a function of the host; what went wrong, or nothing."""

        def call() -> None:
            result = function()
            if inspect.isawaitable(result):
                self._engine.bridge.run_async(_awaited(result))
            elif error := getattr(result, "error", ""):  # what the registry says of a component's
                raise RuntimeError(error)

        try:
            start_thread(call, name="lrm-reclaim").result(TIMEOUT_S)
        except Exception as error:  # noqa: BLE001 - the host's function may raise anything, and the next may help
            return f"{type(error).__name__}: {error}"[:500]
        return ""

    def _replace(self, cause: str) -> None:
        """Have the process replaced, if that can help and the host said how."""
        engine, running = self._engine, self._engine.running
        if running is None or not engine.replaceable or engine.exhausted:
            return
        state = running.system.state(monitor.NAME)
        if state.status != CRITICAL or state.last is None or not reclaiming.is_ours(state.last):
            return
        self._tell(modes.ReportRestartAsked(cause))
        replace(engine, f"memory runs out: {cause}", engine.on_exhausted)

    def _tell(self, command: modes.ReportReclaimed | modes.ReportRestartAsked) -> None:
        try:
            self._engine.tell(modes.NAME, command)
        except (AskError, NotRunning) as error:
            _log.error("what was done about memory is not on record: %s", error, extra=self._engine.context.extra())


async def _awaited(result: Any) -> Any:
    return await result
