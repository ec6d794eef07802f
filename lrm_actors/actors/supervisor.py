"""How the supervisor's effects are carried out: the host's components are restarted here, actors by their system.

Talks to the functions that the host registered, each on a daemon thread of its own, so that one that hangs or raises
anything at all holds up nobody. Never decides: when to restart, and when to stop trying, is the supervisor's.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

import attrs

from eventstore.frozen import frozen
from lrm_actors.actors.sampling.watching import ProcessWatch
from lrm_actors.domain.behavior import Command, Effect
from lrm_actors.domain.children import ACTOR, COMPONENT
from lrm_actors.domain.given import is_exit_status, is_text
from lrm_actors.domain.monitor import Observation
from lrm_actors.domain.supervisor import (
    CachesDone,
    ClearChildCaches,
    RestartChild,
    RestartDone,
    RestartFailed,
    StopChild,
)
from lrm_actors.errors import NoSuchActor, SettingsError
from lrm_actors.runtime.actor import describe
from lrm_actors.runtime.machine import Flag, here

RESTART_TIMEOUT_S = 60.0
SETTLE_S = 0.5
"""Seconds after a restart in which a component is not observed: its restart is still on the way to everybody else."""

logger = logging.getLogger(__name__)

RunAsync = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs a coroutine to its end on whatever loop the host's functions belong to, and waits for it."""


class MonotonicClock(Protocol):
    """The part of the clock that is needed here."""

    def monotonic(self) -> float:
        """Seconds on the monotonic clock."""


@frozen
class ComponentStatistics:
    """One component at one moment."""

    name: str
    heartbeat_age_s: float | None
    """Since its last heartbeat, restart or registration; None: it sends none."""
    restarts: int
    """Completed in this process."""
    restarting: bool
    given_up: str
    """Why it is looked after no more; empty while it is."""


class ComponentRegistry:
    """The host's components: how each is restarted, and how each looks at the moment. Safe from any thread.

    Args:
        clock: where time comes from.
        run_async: runs what coroutine functions return; by default on a loop made for it.
        restart_timeout_s: how long a function of the host may take before it counts as failed.
        settle_s: how long after a restart nothing is said of a component.
    """

    def __init__(
        self,
        clock: MonotonicClock,
        *,
        run_async: RunAsync | None = None,
        restart_timeout_s: float = RESTART_TIMEOUT_S,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._clock = clock
        self._run_async = run_async if run_async is not None else _run_on_own_loop
        self._timeout_s = restart_timeout_s
        self._settle_s = settle_s
        self._lock = threading.Lock()
        self._components: dict[str, _Component] = {}
        self._runs: dict[tuple[str, str], _Run] = {}

    # --- the host's side ----------------------------------------------------------------------------------------

    def register(
        self,
        name: str,
        restart: Callable[[], Any],
        clear_caches: Callable[[], Any] | None = None,
        heartbeat_timeout_s: float | None = None,
        exit_status: Callable[[], int | None] | None = None,
        *,
        pid: Callable[[], int | None] | None = None,
    ) -> None:
        """Look after a component from now on; the same name again replaces it.

        Args:
            name: as in ``component:<name>``.
            restart: brings it back from whatever state it is in, or raises; plain or a coroutine function.
            clear_caches: gives memory back; plain or a coroutine function.
            heartbeat_timeout_s: how long it may say nothing; None: it sends no heartbeats.
            exit_status: None while it lives, then its exit status, negative for a signal. Must answer at once.
            pid: its process, None while it has none. Must answer at once.

        Raises:
            SettingsError: a name that is empty, or a timeout that is not above 0.
        """
        if not name:
            raise SettingsError("name", name, "a name that is not empty")
        if heartbeat_timeout_s is not None and not heartbeat_timeout_s > 0:
            raise SettingsError("heartbeat_timeout_s", heartbeat_timeout_s, "more than 0 seconds, or None")
        component = _Component(name, restart, clear_caches, heartbeat_timeout_s, exit_status, pid)
        component.beat_s = self._clock.monotonic()
        with self._lock:
            self._components[name] = component

    def forget(self, name: str) -> None:
        """Look after it no more. Nothing happens if it is not known."""
        with self._lock:
            self._components.pop(name, None)

    def with_caches(self) -> tuple[str, ...]:
        """Names of those that can clear their caches."""
        with self._lock:
            return tuple(one.name for one in self._components.values() if one.clear_caches is not None)

    def heartbeat(self, name: str) -> None:
        """The component is alive.

        Raises:
            NoSuchActor: nothing of this name was registered.
        """
        component = self._components.get(name) if is_text(name) else None
        if component is None:
            raise NoSuchActor(
                f"no component {name!r} is registered",
                actor=f"{COMPONENT}:{name}",
                hint="call register_component() before its first heartbeat",
            )
        component.beat_s = self._clock.monotonic()
        component.has_beaten = True

    # --- the monitor's side -------------------------------------------------------------------------------------

    def observe(self, now_s: float | None = None) -> tuple[Observation, ...]:
        """How each component looks; without those that are being restarted, just were, or were given up.

        Args:
            now_s: this moment by the monotonic clock, if the caller has it at hand.
        """
        at_s = self._clock.monotonic() if now_s is None else now_s
        with self._lock:
            busy = {name for what, name in self._runs if what == "restart"}
            components = [
                component
                for name, component in self._components.items()
                if name not in busy and not component.given_up and at_s - component.restarted_s >= self._settle_s
            ]
        return tuple(_observe(component, at_s) for component in components)

    def statistics(self) -> dict[str, ComponentStatistics]:
        """Every component by name."""
        now_s = self._clock.monotonic()
        with self._lock:
            busy = {name for what, name in self._runs if what == "restart"}
            return {
                name: ComponentStatistics(
                    name, _age_s(component, now_s), component.restarts, name in busy, component.given_up
                )
                for name, component in self._components.items()
            }

    # --- the supervisor's side ----------------------------------------------------------------------------------

    def restart(self, name: str) -> RestartDone | RestartFailed:
        """Have the host restart it, wait for the end, and say how it went. Never raises.

        A restart that is under way, or that hangs since an earlier try, is waited for instead of begun a second time.
        """
        child, began_s = f"{COMPONENT}:{name}", self._clock.monotonic()
        failure = self._carry_out("restart", name)
        if failure is not None:
            return RestartFailed(child, *failure)
        return RestartDone(child, max(0.0, self._clock.monotonic() - began_s))

    def clear_caches(self, name: str) -> CachesDone:
        """Have the host clear its caches, wait for the end, and say how it went. Never raises."""
        failure = self._carry_out("clear_caches", name)
        return CachesDone(f"{COMPONENT}:{name}", *(failure or ("", "")))

    def give_up(self, name: str, reason: str) -> None:
        """Look after it no more, but keep it in sight of the health report."""
        with self._lock:
            component = self._components.get(name)
            if component is not None:
                component.given_up = reason
        logger.error("component %s: %s", name, reason)

    def _carry_out(self, what: str, name: str) -> tuple[str, str] | None:
        """Call one of the host's functions; the error's class name and text when it failed."""
        with self._lock:
            component = self._components.get(name)
            if component is None:
                return "LookupError", f"no component {name!r} is registered"
            function = component.restart if what == "restart" else component.clear_caches
            if function is None:
                return "NotImplementedError", f"component {name!r} has no way to {what.replace('_', ' ')}"
            run = self._runs.get((what, name))
            begun = run is None
            if run is None:
                run = self._runs[what, name] = _Run()
        if begun:
            try:
                here().start(lambda: self._run(run, what, component, function), f"lrm-{what}-{name}")
            except RuntimeError as error:  # the machine has no thread to give just now
                run.failure = describe(error)
                self._end(run, what, component)
        if not run.done.wait(self._timeout_s):
            return "TimeoutError", f"{what} of {name!r} did not end within {self._timeout_s:g} s"
        return run.failure

    def _run(self, run: _Run, what: str, component: _Component, function: Callable[[], Any]) -> None:
        try:
            self._call(function)
        except BaseException as error:  # noqa: BLE001 - the host's function may raise anything, and it ends here
            run.failure = describe(error)
        finally:
            self._end(run, what, component)

    def _end(self, run: _Run, what: str, component: _Component) -> None:
        now_s = self._clock.monotonic()
        with self._lock:
            if what == "restart" and run.failure is None:
                component.beat_s = component.restarted_s = now_s
                component.restarts += 1
            self._runs.pop((what, component.name), None)
        run.done.set()

    def _call(self, function: Callable[[], Any]) -> None:
        result = function()
        if not inspect.isawaitable(result):
            return
        bounded = _within(result, self._timeout_s)
        try:
            self._run_async(bounded)
        finally:
            # The host's loop may be gone: a coroutine that nobody began would complain when it is collected.
            for coroutine in (bounded, result):
                if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                    coroutine.close()


def supervisor_handlers(
    registry: ComponentRegistry,
    restart_actor: Callable[[str], float],
    stop_actor: Callable[[str, str], None],
) -> Mapping[type[Effect], Callable[[Any], Command | None]]:
    """How the supervisor's effects are carried out. None of the handlers raises.

    Args:
        registry: the host's components.
        restart_actor: restarts an actor in place by its name; gives the seconds it took, or raises.
        stop_actor: closes an actor's mailbox, by its name and for a reason.
    """

    def restart(effect: RestartChild) -> Command:
        kind, _, name = effect.child.partition(":")
        if kind == COMPONENT:
            return registry.restart(name)
        try:
            return RestartDone(effect.child, float(restart_actor(name)))
        except BaseException as error:  # noqa: BLE001 - what went wrong is for the supervisor to decide on
            return RestartFailed(effect.child, *describe(error))

    def stop(effect: StopChild) -> None:
        kind, _, name = effect.child.partition(":")
        if kind != ACTOR:
            registry.give_up(name, effect.reason)
            return
        try:
            stop_actor(name, effect.reason)
        except Exception:
            logger.exception("actor %s was given up and cannot be stopped", name)

    def clear(effect: ClearChildCaches) -> Command:
        return registry.clear_caches(effect.child.partition(":")[2])

    return {RestartChild: restart, StopChild: stop, ClearChildCaches: clear}


@attrs.define(eq=False)
class _Component:
    """A component, and what is known of it. Changed under the registry's lock, but for heartbeats."""

    name: str
    restart: Callable[[], Any]
    clear_caches: Callable[[], Any] | None
    heartbeat_timeout_s: float | None
    exit_status: Callable[[], int | None] | None
    pid: Callable[[], int | None] | None = None
    watch: ProcessWatch = attrs.field(factory=ProcessWatch)
    beat_s: float = 0.0
    has_beaten: bool = False
    restarted_s: float = float("-inf")
    restarts: int = 0
    given_up: str = ""


@attrs.define(eq=False)
class _Run:
    """One call of one of the host's functions."""

    done: Flag = attrs.field(factory=lambda: here().flag())
    failure: tuple[str, str] | None = None


def _age_s(component: _Component, now_s: float) -> float | None:
    if component.heartbeat_timeout_s is None and not component.has_beaten:
        return None
    return max(0.0, now_s - component.beat_s)


def _observe(component: _Component, now_s: float) -> Observation:
    exited, status = False, None
    if component.exit_status is not None:
        try:
            status = component.exit_status()
            exited = status is not None
            if status is not None and not is_exit_status(status):
                logger.warning("exit status of component %s: %.100r is no exit status", component.name, status)
                status = None
        except BaseException as error:  # noqa: BLE001 - a component that cannot be looked at is not well
            logger.warning("exit status of component %s: %s: %s", component.name, *describe(error))
            exited = True
    seen = "" if exited or component.pid is None else _seen_of_process(component, component.pid)
    return Observation(
        component.name,
        _age_s(component, now_s),
        component.heartbeat_timeout_s,
        exited=exited or bool(seen),
        exit_status=status,
        seen=seen,
    )


def _seen_of_process(component: _Component, pid: Callable[[], int | None]) -> str:
    """What is wrong with the process of a component; empty while nothing is."""
    try:
        return component.watch.wrong_with(pid())
    except BaseException as error:  # noqa: BLE001 - a component that cannot be looked at is not well
        name, text = describe(error)
        logger.warning("process of component %s: %s: %s", component.name, name, text)
        return f"its process cannot be looked at: {name}"


async def _within(awaitable: Any, timeout_s: float) -> Any:
    """Await something of the host's on its loop, and cancel it there when it takes too long."""
    import asyncio

    return await asyncio.wait_for(awaitable, timeout_s)


def _run_on_own_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
    import asyncio

    return asyncio.run(coroutine)
