"""Real parts of a host that really die: noticed, restarted, and what the agent does meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventstore.records import Record
from lrm_actors.errors import SettingsError
from lrm_actors.mode import Component, LongRunningMode
from tests.mode_kit import head, records, settings, soon, wait_for

pytestmark = pytest.mark.usefixtures("sampled")

BEATING = """
import sys, time
while True:
    sys.stdout.write("beat\\n")
    sys.stdout.flush()
    time.sleep(0.02)
"""


class Worker:
    """A component in a process of its own, whose heartbeats come over a pipe."""

    def __init__(self, mode: LongRunningMode, name: str = "browser") -> None:
        self._mode = mode
        self._name = name
        self.starts = 0
        self.process: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None
        self.start()

    def start(self) -> None:
        self.stop()
        process = subprocess.Popen([sys.executable, "-c", BEATING], stdout=subprocess.PIPE, text=True)
        self.process = process
        self.starts += 1
        self._listener = threading.Thread(target=self._listen, args=(process,), daemon=True)
        self._listener.start()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for _ in process.stdout:
            self._mode.heartbeat(self._name)

    def exit_status(self) -> int | None:
        return None if self.process is None else self.process.poll()

    def send(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            assert self._listener is not None
            self._listener.join()
            self.process.stdout.close()


@pytest.fixture
def mode(tmp_path: Path) -> LongRunningMode:
    """A mode that is not started."""
    return LongRunningMode(settings(tmp_path))


@pytest.fixture
def worker(mode: LongRunningMode) -> Iterator[Worker]:
    """A supervised worker process."""
    mode.register_component("browser", restart=lambda: None, heartbeat_timeout_s=30.0)
    worker = Worker(mode)
    mode.register_component("browser", restart=worker.start, exit_status=worker.exit_status, heartbeat_timeout_s=0.6)
    yield worker
    worker.stop()


def chain(mode: LongRunningMode, record: Record) -> list[str]:
    """Types along the causes of a record, back to the observation it began with."""
    reader = mode.reader()
    try:
        types = [record.type]
        while record.cause is not None:
            record = reader.get(record.cause)
            types.append(record.type)
        return types
    finally:
        reader.close()


def test_a_killed_component_is_noticed_by_its_exit_and_restarted(mode: LongRunningMode, worker: Worker) -> None:
    """The log explains the restart by the signal that killed the process, step by step."""
    with mode as blocking:
        worker.send(signal.SIGKILL)
        restarted = wait_for(mode, "supervisor.child_restarted")
        assert worker.starts == 2
        assert worker.exit_status() is None
        (exited,) = records(mode, "monitor.component_exited")
        assert (exited.event.component, exited.event.exit_status) == ("browser", -signal.SIGKILL)
        assert chain(mode, restarted) == [
            "supervisor.child_restarted",
            "supervisor.restart_started",
            "supervisor.restart_scheduled",
            "supervisor.child_failed",
            "analyzer.recovery_chosen",
            "analyzer.failure_recorded",
            "monitor.component_exited",
        ]
        wait_for(mode, "analyzer.recovery_finished")
        report = blocking.get_health_report()
        assert report["components"]["browser"]["restarts"] == 1
        assert report["failures"]["total"] == 1


def test_a_frozen_component_is_noticed_by_its_silence_and_restarted(mode: LongRunningMode, worker: Worker) -> None:
    """A process that is stopped and not dead is restarted too."""
    with mode:
        worker.send(signal.SIGSTOP)
        restarted = wait_for(mode, "supervisor.child_restarted")
        assert worker.starts == 2
        assert chain(mode, restarted)[-1] == "monitor.heartbeat_missed"
        (missed,) = records(mode, "monitor.heartbeat_missed")
        assert missed.event.age_s > missed.event.timeout_s == 0.6


def test_with_auto_recovery_off_nothing_is_acted_on(mode: LongRunningMode, worker: Worker) -> None:
    """The failure is classified and reported, what would have been done is said, and the worker stays dead."""
    mode.settings.enable_auto_recovery = False
    with mode as blocking:
        worker.send(signal.SIGKILL)
        withheld = wait_for(mode, "analyzer.recovery_withheld")
        assert withheld.event.strategy == "restart_component"
        assert blocking.handle_failure(MemoryError(), {"component": "browser"}) == "clear_caches"
        assert worker.starts == 1
        assert records(mode, "supervisor.child_failed", "supervisor.restart_scheduled") == []
        report = blocking.get_health_report()
        assert report["failures"]["total"] == 2
        assert report["components"]["browser"]["down"] == "component_exited"


def test_a_component_that_says_it_failed_is_restarted_on_the_hosts_loop(mode: LongRunningMode) -> None:
    """Coroutine functions of the host run where its other coroutines do."""

    async def main() -> None:
        threads: list[int] = []

        async def restart() -> None:
            threads.append(threading.get_ident())

        async with mode:
            mode.register_component("browser", restart=restart)
            crashed = type("TargetClosedError", (Exception,), {})
            strategy = await mode.handle_failure(crashed("Target page has been closed"), {"component": "browser"})
            assert strategy == "restart_component"
            await soon(mode, "supervisor.child_restarted")
        assert threads == [threading.get_ident()]

    asyncio.run(main())


def test_memory_that_ran_out_has_the_caches_cleared_and_the_state_saved(mode: LongRunningMode) -> None:
    """The component gives memory back, and an emergency checkpoint is taken, for the process may be next."""

    async def main() -> None:
        cleared: list[str] = []
        mode.capture_with(lambda: {"pages": 3})
        async with mode:
            mode.register_component("browser", restart=lambda: None, clear_caches=lambda: cleared.append("browser"))
            assert await mode.handle_failure(MemoryError(), {"component": "browser"}) == "clear_caches"
            await soon(mode, "supervisor.caches_cleared")
            taken = await soon(mode, "checkpointer.taken")
            assert taken.event.checkpoint.kind == "emergency"
            assert "MemoryError" in str(taken.event.hints) or "memory" in str(taken.event.hints)
        assert cleared == ["browser"]

    asyncio.run(main())


def test_two_components_that_fail_make_it_failing_until_they_are_restarted(mode: LongRunningMode) -> None:
    """Two distinct components within the window: recovery mode; when both are back, normal again."""

    async def main() -> None:
        gate = threading.Event()
        async with mode:
            for name in ("browser", "worker"):
                mode.register_component(name, restart=lambda: gate.wait(30))
            error = type("TargetClosedError", (Exception,), {})("Target page has been closed")
            await mode.handle_failure(error, {"component": "browser"})
            await mode.handle_failure(error, {"component": "browser"})
            assert mode.operation_mode == "normal"
            await mode.handle_failure(error, {"component": "worker"})
            changed = await soon(mode, "modes.changed")
            assert changed.event.mode == "recovery"
            assert "browser, worker" in changed.event.cause
            await soon(mode, "monitor.mode_noted")
            assert not mode.should_run("screenshots", "sheddable")
            gate.set()
            await soon(mode, "modes.changed", lambda event: event.mode == "normal", after=changed.position)

    asyncio.run(main())


def test_a_component_that_cannot_be_restarted_is_given_up_in_the_end(mode: LongRunningMode) -> None:
    """Restarts are bounded; the report says what became of it."""
    calls: list[int] = []

    def restart() -> None:
        calls.append(len(calls))
        raise OSError("no such browser")

    with mode as blocking:
        mode.register_component("browser", restart=restart)
        error = type("TargetClosedError", (Exception,), {})("Target page has been closed")
        blocking.handle_failure(error, {"component": "browser"})
        wait_for(mode, "supervisor.child_given_up")
        wait_for(mode, "analyzer.recovery_finished", lambda event: not event.ok)
        assert blocking.get_health_report()["components"]["browser"]["status"] == "given_up"
    assert calls == list(range(5))


def test_a_component_that_is_registered_late_is_looked_after_as_well(mode: LongRunningMode) -> None:
    """Also with a timeout that is shorter than the pause between two looks was so far."""
    with mode:
        after = head(mode)
        mode.register_component("worker", restart=lambda: None, heartbeat_timeout_s=0.1)
        configured = wait_for(mode, "monitor.configured", after=after)
        assert configured.event.config.heartbeat_check_s < 0.1
        missed = wait_for(mode, "monitor.heartbeat_missed")
        assert missed.event.component == "worker"
        wait_for(mode, "supervisor.child_restarted")


class ExampleHost:
    """A host as one object."""

    def __init__(self) -> None:
        self.state: Any = {"pages": 1}
        self.gates: list[str] = []
        self.told = threading.Event()

    def capture(self) -> Any:
        return self.state

    async def restore(self, state: Any) -> None:
        self.state = state

    def components(self) -> list[Component]:
        return [Component("browser", restart=lambda: None)]

    async def gate(self, mode: str) -> None:
        self.gates.append(mode)
        if len(self.gates) == 2:
            self.told.set()


def test_a_host_as_one_object_gives_everything_at_once(tmp_path: Path, sampled: dict[str, float]) -> None:
    """Captured, restored, supervised, and told of each operation mode."""

    async def main() -> None:
        host = ExampleHost()
        async with LongRunningMode(settings(tmp_path), host) as mode:
            assert list((await mode.get_health_report())["components"]) == ["browser"]
            await mode.take_checkpoint()
            host.state = None
            assert await mode.recover_from_checkpoint() is True
            assert host.state == {"pages": 1}
            sampled["memory_percent"] = 90.0
            await soon(mode, "modes.changed")
            await asyncio.get_running_loop().run_in_executor(None, host.told.wait, 30)
            assert host.gates == ["normal", "degraded"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("field", "wrong"), [("restart", None), ("pid", 4711), ("exit_status", -9), ("clear_caches", "all")]
)
def test_what_a_function_gives_is_not_taken_for_the_function(tmp_path: Path, field: str, wrong: Any) -> None:
    """A pid in place of the function that tells it would be taken for a component that is down, again and again."""
    mode = LongRunningMode(settings(tmp_path))
    with pytest.raises(SettingsError, match=f"{field} = .* must be a function, and not what it gives"):
        mode.register_component("browser", **{"restart": print, field: wrong})


def test_words_without_a_function_or_a_name_are_refused_where_they_are_said(tmp_path: Path) -> None:
    """Not later, when memory has run out or the mode has changed."""
    mode: Any = LongRunningMode(settings(tmp_path))
    with pytest.raises(SettingsError, match="function = None"):
        mode.free_memory_with("page cache", None)
    with pytest.raises(SettingsError, match="function = 7"):
        mode.defer("tidy up", 7)
    with pytest.raises(SettingsError, match=r"write @mode\.sheddable\('name'\) above the function"):
        mode.sheddable(print)
    with pytest.raises(SettingsError, match="name = ''"):
        mode.sheddable("")
    for wrong in ("10", True, float("nan")):
        with pytest.raises(SettingsError, match="for_s"):
            mode.pin_mode("minimal", for_s=wrong)
