"""The host's components: registered, observed, restarted, given up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from lrm_actors.actors.supervisor import ComponentRegistry, supervisor_handlers
from lrm_actors.domain.behavior import Command
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
from lrm_actors.runtime.clock import ManualClock

PATIENCE_S = 20.0
BROWSER = "component:browser"


class Rig:
    """A registry on a clock of its own, with one component whose functions a test chooses."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock()
        self.registry = ComponentRegistry(self.clock, **{"restart_timeout_s": PATIENCE_S, "settle_s": 0.5, **settings})
        self.restarted_actors: list[str] = []
        self.stopped: list[tuple[str, str]] = []
        self.handlers = supervisor_handlers(self.registry, self.restart_actor, self.stop_actor)

    def restart_actor(self, name: str) -> float:
        """As the system does."""
        self.restarted_actors.append(name)
        return 0.25

    def stop_actor(self, name: str, reason: str) -> None:
        """As the system does."""
        self.stopped.append((name, reason))

    def carry_out(self, effect: Any) -> Command | None:
        """Have the handler of an effect carry it out."""
        return self.handlers[type(effect)](effect)


def raising(error: BaseException) -> Callable[[], None]:
    """A function of the host that raises."""

    def function() -> None:
        raise error

    return function


class TestRegistering:
    """What may be registered."""

    @pytest.mark.parametrize("timeout_s", [0.0, -1.0, float("nan")])
    def test_a_timeout_must_be_positive(self, timeout_s: float) -> None:
        """A heartbeat timeout that nothing could keep is refused by name."""
        with pytest.raises(SettingsError) as refused:
            Rig().registry.register("browser", print, heartbeat_timeout_s=timeout_s)
        assert "heartbeat_timeout_s" == refused.value.field

    def test_a_name_must_not_be_empty(self) -> None:
        """A component needs a name."""
        with pytest.raises(SettingsError):
            Rig().registry.register("", print)

    def test_heartbeats_of_nobody(self) -> None:
        """A heartbeat under a name that was never registered is an error that says what to do, not silence."""
        with pytest.raises(NoSuchActor, match="no component 'browsr'") as refused:
            Rig().registry.heartbeat("browsr")
        assert "register_component" in refused.value.hint

    def test_forgotten(self) -> None:
        """A component that was forgotten is neither observed nor restarted."""
        rig = Rig()
        rig.registry.register("browser", print)
        rig.registry.forget("browser")
        rig.registry.forget("browser")
        assert () == rig.registry.observe()
        assert isinstance(rig.registry.restart("browser"), RestartFailed)


class TestObserving:
    """How a component looks."""

    def test_heartbeats_age(self) -> None:
        """The age of a heartbeat runs from registration, and from each heartbeat on."""
        rig = Rig()
        rig.registry.register("browser", print, heartbeat_timeout_s=5.0)
        rig.clock.advance(3.0)
        assert (Observation("browser", 3.0, 5.0),) == rig.registry.observe()
        rig.registry.heartbeat("browser")
        rig.clock.advance(1.0)
        assert (Observation("browser", 1.0, 5.0),) == rig.registry.observe(rig.clock.monotonic())

    def test_without_heartbeats(self) -> None:
        """A component that promised no heartbeats has no age to judge it by, until it sends one."""
        rig = Rig()
        rig.registry.register("browser", print)
        rig.clock.advance(3.0)
        assert (Observation("browser", None, None),) == rig.registry.observe()
        rig.registry.heartbeat("browser")
        assert (Observation("browser", 0.0, None),) == rig.registry.observe()

    @pytest.mark.parametrize(("status", "exited"), [(None, False), (0, True), (-9, True)])
    def test_exits(self, status: int | None, exited: bool) -> None:
        """A component whose process ended is observed with its exit status, 0 included."""
        rig = Rig()
        rig.registry.register("browser", print, exit_status=lambda: status)
        (seen,) = rig.registry.observe()
        assert (exited, status) == (seen.exited, seen.exit_status)

    @pytest.mark.parametrize("given", ["5", 10**400, b"x", -1.5, True, object()])
    def test_what_is_no_exit_status_is_not_passed_on(self, given: Any) -> None:
        """The component has exited, and nobody knows how: no actor could store what it gave."""
        rig = Rig()
        rig.registry.register("browser", print, exit_status=lambda: given)
        (seen,) = rig.registry.observe()
        assert (True, None) == (seen.exited, seen.exit_status)

    @pytest.mark.parametrize("error", [AttributeError("no process"), SystemExit(1)])
    def test_what_cannot_be_looked_at_is_not_well(self, error: BaseException) -> None:
        """A component whose state cannot be told counts as gone, and the others are observed all the same."""
        rig = Rig()
        rig.registry.register("browser", print, exit_status=raising(error))
        rig.registry.register("llm", print)
        assert [("browser", True), ("llm", False)] == [(seen.component, seen.exited) for seen in rig.registry.observe()]


class TestRestarting:
    """The host's restart functions."""

    def test_a_plain_function(self) -> None:
        """The restart is the host's function; its success resets the heartbeat, and gives others time to hear of it."""
        rig = Rig()
        rig.registry.register("browser", lambda: rig.clock.advance(2.0), heartbeat_timeout_s=5.0)
        rig.clock.advance(60.0)
        assert RestartDone(BROWSER, 2.0) == rig.carry_out(RestartChild(BROWSER, 1))
        assert () == rig.registry.observe()
        rig.clock.advance(0.5)
        assert (Observation("browser", 0.5, 5.0),) == rig.registry.observe()
        assert 1 == rig.registry.statistics()["browser"].restarts

    def test_a_coroutine_function_on_the_hosts_loop(self) -> None:
        """What a coroutine function returns is run by the bridge to the host's loop that was given."""
        ran: list[str] = []

        def run_async(coroutine: Coroutine[Any, Any, Any]) -> Any:
            ran.append("bridge")
            return asyncio.run(coroutine)

        async def restart() -> None:
            await asyncio.sleep(0)
            ran.append("restart")

        rig = Rig(run_async=run_async)
        rig.registry.register("browser", restart)
        assert isinstance(rig.registry.restart("browser"), RestartDone)
        assert ["bridge", "restart"] == ran

    def test_a_coroutine_function_without_a_loop(self) -> None:
        """A host without a loop may have coroutine functions too."""
        ran: list[str] = []

        async def restart() -> None:
            ran.append("restart")

        rig = Rig()
        rig.registry.register("browser", restart)
        assert isinstance(rig.registry.restart("browser"), RestartDone)
        assert ["restart"] == ran

    def test_a_bridge_that_is_gone(self) -> None:
        """A host's loop that was closed makes the restart fail, without a coroutine left behind."""

        def run_async(coroutine: Coroutine[Any, Any, Any]) -> Any:
            raise RuntimeError("the loop is closed")

        async def restart() -> None:
            """Never begun."""

        rig = Rig(run_async=run_async)
        rig.registry.register("browser", restart)
        assert RestartFailed(BROWSER, "RuntimeError", "the loop is closed") == rig.registry.restart("browser")

    @pytest.mark.parametrize(
        "error",
        [OSError("no display"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()],
    )
    @pytest.mark.parametrize("as_coroutine", [False, True])
    def test_whatever_it_raises_is_a_failed_restart(self, error: BaseException, as_coroutine: bool) -> None:
        """No error of the host's function, not even one that would end a process, goes further than its restart."""

        async def restart() -> None:
            raise error

        def run_async(coroutine: Coroutine[Any, Any, Any]) -> Any:
            # As a loop in another thread would hand it over: the error alone, and not what it does to that loop.
            try:
                coroutine.send(None)
            except StopIteration as done:
                return done.value
            raise TimeoutError

        rig = Rig(run_async=run_async)
        rig.registry.register("browser", restart if as_coroutine else raising(error))
        failed = rig.carry_out(RestartChild(BROWSER, 1))
        assert isinstance(failed, RestartFailed)
        if not as_coroutine:
            assert (type(error).__name__, str(error)) == (failed.error, failed.message)

    def test_one_that_hangs(self) -> None:
        """A restart that does not end in time has failed; the next try waits for it instead of beginning a second."""
        go, calls = threading.Event(), []

        def restart() -> None:
            calls.append(threading.get_ident())
            assert go.wait(PATIENCE_S)

        rig = Rig(restart_timeout_s=0.01)
        rig.registry.register("browser", restart)
        for _ in range(3):
            failed = rig.registry.restart("browser")
            assert isinstance(failed, RestartFailed)
            assert ("TimeoutError", "restart of 'browser' did not end within 0.01 s") == (failed.error, failed.message)
        assert 1 == len(calls)
        assert rig.registry.statistics()["browser"].restarting
        assert () == rig.registry.observe()
        go.set()

    def test_two_at_once_are_one(self) -> None:
        """Asked again while it is under way, whoever asks hears how the one restart went."""
        begun, go = threading.Event(), threading.Event()
        results: list[Command] = []

        def restart() -> None:
            begun.set()
            assert go.wait(PATIENCE_S)

        rig = Rig()
        rig.registry.register("browser", restart)
        threads = [threading.Thread(target=lambda: results.append(rig.registry.restart("browser"))) for _ in range(2)]
        threads[0].start()
        assert begun.wait(PATIENCE_S)
        threads[1].start()
        go.set()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert [RestartDone, RestartDone] == [type(result) for result in results]

    def test_nobody(self) -> None:
        """A component that is not registered cannot be restarted, which is said and not raised."""
        assert RestartFailed("component:x", "LookupError", "no component 'x' is registered") == Rig().registry.restart(
            "x"
        )

    def test_actors(self) -> None:
        """Actors are restarted and stopped by their system."""
        rig = Rig()
        assert RestartDone("actor:monitor", 0.25) == rig.carry_out(RestartChild("actor:monitor", 1))
        assert rig.carry_out(StopChild("actor:breaker/llm", "too often")) is None
        assert (["monitor"], [("breaker/llm", "too often")]) == (rig.restarted_actors, rig.stopped)

    def test_actors_that_cannot_be(self) -> None:
        """An actor that does not come back is a failed restart; one that cannot be stopped is logged."""

        def fail(name: str, *_: str) -> Any:
            raise NoSuchActor(f"there is no actor {name!r}", actor=name)

        handlers = supervisor_handlers(Rig().registry, fail, fail)
        failed = handlers[RestartChild](RestartChild("actor:x", 1))
        assert RestartFailed("actor:x", "NoSuchActor", "there is no actor 'x'") == failed
        assert handlers[StopChild](StopChild("actor:x", "too often")) is None


class TestGivingUp:
    """Components that stay down."""

    def test_not_observed_any_more(self) -> None:
        """A component that was given up is no news every second, but stands in the statistics with the reason."""
        rig = Rig()
        rig.registry.register("browser", print, exit_status=lambda: 1)
        rig.carry_out(StopChild(BROWSER, "gave up after 5 restarts"))
        assert () == rig.registry.observe()
        assert "gave up after 5 restarts" == rig.registry.statistics()["browser"].given_up

    def test_back_when_registered_again(self) -> None:
        """Registered again it is looked after again."""
        rig = Rig()
        rig.registry.register("browser", print)
        rig.carry_out(StopChild(BROWSER, "gave up"))
        rig.registry.register("browser", print)
        assert 1 == len(rig.registry.observe())


class TestCaches:
    """Giving memory back."""

    def test_cleared(self) -> None:
        """The host's function is called, and its success reported."""
        cleared: list[int] = []
        rig = Rig()
        rig.registry.register("browser", print, clear_caches=lambda: cleared.append(1))
        assert CachesDone(BROWSER) == rig.carry_out(ClearChildCaches(BROWSER))
        assert [1] == cleared
        assert 0 == rig.registry.statistics()["browser"].restarts

    def test_no_way_to(self) -> None:
        """A component without caches to clear says so, and one that fails to says why."""
        rig = Rig()
        rig.registry.register("browser", print)
        rig.registry.register("llm", print, clear_caches=raising(OSError("busy")))
        assert "NotImplementedError" == rig.registry.clear_caches("browser").error
        assert CachesDone("component:llm", "OSError", "busy") == rig.registry.clear_caches("llm")


def test_a_machine_without_a_thread_to_spare_fails_this_restart_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A restart that cannot begin is a failed one; nothing waits for it, and the component is observed as before."""
    restarted: list[str] = []
    registry = ComponentRegistry(ManualClock(), settle_s=0.0)
    registry.register("browser", lambda: restarted.append("browser"))

    def no_thread(_thread: threading.Thread) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        assert RestartFailed("component:browser", "RuntimeError", "can't start new thread") == registry.restart(
            "browser"
        )
    assert ["browser"] == [one.component for one in registry.observe()]
    assert isinstance(registry.restart("browser"), RestartDone)
    assert ["browser"] == restarted
