"""Each setting does what it says: at start, and when it is assigned while the mode runs."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventstore.opening import open_reader
from lrm_actors.errors import NotRunning, SettingsError
from lrm_actors.hosting import relocation
from lrm_actors.hosting import trimming as hosting
from lrm_actors.hosting.signalling import SIGNAL_DUMP
from lrm_actors.hosting.terminating import TERMINATION
from lrm_actors.mode import LongRunningMode
from lrm_actors.settings import FIELDS
from lrm_actors.words import Words
from tests.hosting.test_trimming import grow
from tests.mode_kit import head, records, settings, soon, wait_for

pytestmark = pytest.mark.usefixtures("sampled")

SHOWN: set[str] = set()
"""Settings whose effect some test below shows, at start and when assigned."""


def shows(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Mark a test as showing the effect of settings."""
    SHOWN.update(names)
    return lambda test: test


def timeout() -> TimeoutError:
    """A failure of some service."""
    return TimeoutError("slow")


def fail(mode: Words, service: str, times: int) -> None:
    """Some failures in a row."""
    for _ in range(times):
        with pytest.raises(TimeoutError), mode.get_circuit_breaker(service):
            raise timeout()


@shows("monitoring_interval")
def test_monitoring_interval_is_the_pause_between_samples(tmp_path: Path) -> None:
    """A day between samples gives the first alone; a short interval, assigned, gives the next ones at once."""
    with LongRunningMode(settings(tmp_path, monitoring_interval=86_400.0)) as mode:
        wait_for(mode, "monitor.configured")
        after = head(mode)
        mode.settings.monitoring_interval = 0.02
        configured = wait_for(mode, "monitor.configured", after=after)
        assert configured.event.config.interval_s == 0.02
        for _ in range(3):
            after = wait_for(mode, "monitor.sampled", after=after).position
    with LongRunningMode(settings(tmp_path / "quick", monitoring_interval=0.02)) as mode:
        after = 0
        for _ in range(3):
            after = wait_for(mode, "monitor.sampled", after=after).position


@shows("checkpoint_interval")
def test_checkpoint_interval_is_the_pause_between_checkpoints(tmp_path: Path) -> None:
    """Short from the start, or assigned: periodic checkpoints follow."""
    mode = LongRunningMode(settings(tmp_path, checkpoint_interval=0.05))
    mode.capture_with(dict)
    with mode:
        taken = wait_for(mode, "checkpointer.taken")
        assert taken.event.checkpoint.kind == "periodic"
        wait_for(mode, "checkpointer.taken", after=taken.position)
    mode = LongRunningMode(settings(tmp_path / "late"))
    mode.capture_with(dict)
    with mode:
        mode.settings.checkpoint_interval = 0.05
        wait_for(mode, "checkpointer.taken")


@shows("max_checkpoints")
def test_max_checkpoints_is_how_many_are_kept(tmp_path: Path) -> None:
    """More than that are pruned as they come; with a lower number, assigned, at once."""
    mode = LongRunningMode(settings(tmp_path, max_checkpoints=3))
    mode.capture_with(dict)
    with mode as blocking:
        taken = [blocking.take_checkpoint() for _ in range(4)]
        assert blocking.checkpointer.list_checkpoints() == taken[:0:-1]
        after = head(mode)
        mode.settings.max_checkpoints = 1
        wait_for(mode, "checkpointer.pruned", after=after)
        assert blocking.take_checkpoint() == blocking.checkpointer.list_checkpoints()[0]
        assert len(blocking.checkpointer.list_checkpoints()) == 1


@shows("checkpoint_every_steps")
def test_a_checkpoint_is_taken_after_every_so_many_steps(tmp_path: Path) -> None:
    """From the start, or once it is assigned; the step that asked for it is its cause."""
    mode = LongRunningMode(settings(tmp_path, checkpoint_every_steps=2))
    mode.capture_with(dict)
    with mode as blocking:
        for _ in range(2):
            with blocking.step("read"):
                pass
        wait_for(mode, "checkpointer.taken", lambda event: event.checkpoint.reason == "step 2")
        asked = wait_for(mode, "checkpointer.requested", lambda event: event.reason == "step 2")
        (committed,) = [one for one in records(mode, "journal.step_committed") if one.event.step == 2]
        assert committed.position == asked.cause
        mode.settings.checkpoint_every_steps = 3
        wait_for(mode, "checkpointer.configured", lambda event: event.config.every_steps == 3)
        with blocking.step("read"):
            pass
        wait_for(mode, "checkpointer.taken", lambda event: event.checkpoint.reason == "step 3")


@shows("checkpoint_keep_hourly_h", "checkpoint_keep_daily_days")
@pytest.mark.parametrize("name", ["checkpoint_keep_hourly_h", "checkpoint_keep_daily_days"])
def test_one_checkpoint_of_each_hour_or_day_stays_besides(tmp_path: Path, name: str) -> None:
    """The first of this hour, or day, outlives the limit; assigned 0, it goes at once."""
    mode = LongRunningMode(settings(tmp_path, max_checkpoints=1, **{name: 2}))
    mode.capture_with(dict)
    with mode as blocking:
        taken = [blocking.take_checkpoint() for _ in range(4)]
        kept = blocking.checkpointer.list_checkpoints()
        assert {taken[0], taken[-1]} <= set(kept)
        assert len(kept) <= 3  # a third where the hour, or the day, ended meanwhile
        after = head(mode)
        mode.settings.update(**{name: 0})
        wait_for(mode, "checkpointer.pruned", after=after)
        assert [taken[-1]] == blocking.checkpointer.list_checkpoints()


@shows("checkpoint_max_age_days")
def test_checkpoints_go_by_age_and_the_newest_three_do_not(tmp_path: Path) -> None:
    """Whoever has it from the start sees it with the next checkpoint; assigned, it holds at once."""
    for assigned in (False, True):
        mode = LongRunningMode(settings(tmp_path / str(assigned), checkpoint_max_age_days=0.0 if assigned else 1e-9))
        mode.capture_with(dict)
        with mode as blocking:
            taken = [blocking.take_checkpoint() for _ in range(5)]
            if assigned:
                assert taken[::-1] == blocking.checkpointer.list_checkpoints()
                after = head(mode)
                mode.settings.checkpoint_max_age_days = 1e-9
                wait_for(mode, "checkpointer.pruned", after=after)
            assert taken[:1:-1] == blocking.checkpointer.list_checkpoints()


MODES = {"warning": "degraded", "critical": "minimal"}


@shows(*(f"{metric}_threshold_{status}" for metric in ("cpu", "memory") for status in MODES))
@pytest.mark.parametrize("metric", ["cpu", "memory"])
@pytest.mark.parametrize("status", MODES)
@pytest.mark.parametrize("assigned", [False, True], ids=["at start", "assigned"])
def test_a_threshold_is_where_the_health_and_the_mode_change(
    tmp_path: Path, sampled: dict[str, float], metric: str, status: str, *, assigned: bool
) -> None:
    """Warning means degraded, critical means minimal; the cause names the metric and the threshold."""
    sampled[f"{metric}_percent"] = 50.0
    lowered = {f"{metric}_threshold_{status}": 40.0}
    if status == "critical":
        lowered[f"{metric}_threshold_warning"] = 30.0
    with LongRunningMode(settings(tmp_path, **({} if assigned else lowered))) as mode:
        wait_for(mode, "monitor.sampled")
        if assigned:
            assert records(mode, "monitor.health_changed") == []
            mode.settings.update(**lowered)
        changed = wait_for(mode, "monitor.health_changed", lambda event: event.status == status)
        assert "50.0 % >= 40.0 %" in changed.event.cause
        wait_for(mode, "modes.changed", lambda event: event.mode == MODES[status])


@shows("circuit_breaker_failure_threshold")
def test_circuit_breaker_failure_threshold_is_how_many_failures_open_a_breaker(tmp_path: Path) -> None:
    """At start for each new breaker; assigned, for those there are."""
    with LongRunningMode(settings(tmp_path, circuit_breaker_failure_threshold=2)) as mode:
        fail(mode, "llm", 2)
        assert mode.get_circuit_breaker("llm").state == "open"
        fail(mode, "browser", 1)
        after = head(mode)
        mode.settings.circuit_breaker_failure_threshold = 4
        wait_for(mode, "breaker.configured", lambda event: event.config.failure_threshold == 4, after=after)
        wait_for_config(mode, "browser", lambda config: config.failure_threshold == 4)
        fail(mode, "browser", 2)
        assert mode.get_circuit_breaker("browser").state == "closed"
        fail(mode, "browser", 1)
        assert mode.get_circuit_breaker("browser").state == "open"


@shows("circuit_breaker_recovery_timeout")
def test_circuit_breaker_recovery_timeout_is_how_long_a_breaker_stays_open(tmp_path: Path) -> None:
    """At start for each new breaker; assigned, for the next opening of those there are."""
    changes = {"circuit_breaker_failure_threshold": 1, "circuit_breaker_recovery_timeout": 3600.0}
    with LongRunningMode(settings(tmp_path, **changes)) as mode:
        fail(mode, "llm", 1)
        opened = wait_for(mode, "breaker.opened")
        assert opened.event.open_until.delay_s == 3600.0
        mode.get_circuit_breaker("browser")
        wait_for(mode, "breaker.configured", after=opened.position)
        mode.settings.circuit_breaker_recovery_timeout = 0.01
        wait_for_config(mode, "browser", lambda config: config.recovery_timeout_s == 0.01)
        fail(mode, "browser", 1)
        opened = wait_for(mode, "breaker.opened", after=opened.position)
        assert opened.event.open_until.delay_s == 0.01


def wait_for_config(mode: Words, service: str, where: Callable[[Any], bool]) -> None:
    """Until the guard has heard what its actor committed."""
    guard = mode.get_circuit_breaker(service)
    heard = threading.Event()
    for _ in range(3000):
        if where(guard._config):
            return
        heard.wait(0.01)
    raise AssertionError(guard._config)


@shows("enable_auto_recovery")
def test_enable_auto_recovery_is_whether_failures_are_acted_on(tmp_path: Path) -> None:
    """Off: classified and reported, what would have been done is said. On, assigned: it is done."""
    crashed = type("TargetClosedError", (Exception,), {})("Target page has been closed")
    with LongRunningMode(settings(tmp_path, enable_auto_recovery=False)) as mode:
        mode.register_component("browser", restart=lambda: None)
        assert mode.handle_failure(crashed, {"component": "browser"}) == "restart_component"
        wait_for(mode, "analyzer.recovery_withheld")
        assert mode.get_health_report()["failures"]["total"] == 1
        mode.settings.enable_auto_recovery = True
        wait_for(mode, "analyzer.configured", lambda event: event.auto_recovery)
        assert records(mode, "supervisor.child_failed") == []
        assert mode.handle_failure(crashed, {"component": "browser"}) == "restart_component"
        wait_for(mode, "supervisor.child_restarted")
        after = head(mode)
        mode.settings.enable_auto_recovery = False
        wait_for(mode, "analyzer.configured", lambda event: not event.auto_recovery, after=after)
        mode.handle_failure(crashed, {"component": "browser"})
        wait_for(mode, "analyzer.recovery_withheld", after=after)


@shows("enable_modes")
def test_enable_modes_is_whether_health_changes_the_mode(tmp_path: Path, sampled: dict[str, float]) -> None:
    """Off: the health is told, the mode stays normal and nothing is shed. On, assigned: it follows at once."""
    sampled["memory_percent"] = 99.0
    with LongRunningMode(settings(tmp_path, enable_modes=False)) as mode:
        wait_for(mode, "modes.health_considered", lambda event: event.status == "critical")
        assert mode.operation_mode == "normal"
        assert mode.should_run("screenshots", "sheddable")
        mode.settings.enable_modes = True
        changed = wait_for(mode, "modes.changed")
        assert changed.event.mode == "minimal"
        wait_for(mode, "checkpointer.mode_noted")
        assert not mode.should_run("screenshots", "sheddable")
        mode.settings.enable_modes = False
        wait_for(mode, "modes.changed", lambda event: event.mode == "normal", after=changed.position)


@shows("dump_on_sigusr1")
def test_dump_on_sigusr1_is_whether_the_signal_is_taken(tmp_path: Path) -> None:
    """Off: what the signal does is as it was. On, assigned: it prints the actors. After the mode it is as it was."""
    before = signal.getsignal(signal.SIGUSR1)
    with LongRunningMode(settings(tmp_path, dump_on_sigusr1=False)) as mode:
        assert signal.getsignal(signal.SIGUSR1) is before
        mode.settings.dump_on_sigusr1 = True
        assert signal.getsignal(signal.SIGUSR1) == SIGNAL_DUMP._handle
        mode.settings.dump_on_sigusr1 = False
        assert signal.getsignal(signal.SIGUSR1) is before
        mode.settings.dump_on_sigusr1 = True
    assert signal.getsignal(signal.SIGUSR1) is before


@shows("checkpoint_on_sigterm")
def test_checkpoint_on_sigterm_is_whether_the_signal_is_taken(tmp_path: Path) -> None:
    """Off: what the signal does is as it was. On, assigned: it saves the state. After the mode it is as it was."""
    before = signal.getsignal(signal.SIGTERM)
    with LongRunningMode(settings(tmp_path, checkpoint_on_sigterm=False)) as mode:
        assert signal.getsignal(signal.SIGTERM) is before
        mode.settings.checkpoint_on_sigterm = True
        assert signal.getsignal(signal.SIGTERM) == TERMINATION._handle
        mode.settings.checkpoint_on_sigterm = False
        assert signal.getsignal(signal.SIGTERM) is before
        mode.settings.checkpoint_on_sigterm = True
    assert signal.getsignal(signal.SIGTERM) is before


@shows("failing_components", "failing_window_s")
def test_failing_is_so_many_components_within_the_window(tmp_path: Path) -> None:
    """Three at start; two, assigned; and in a window that is over they do not count together."""
    gate = threading.Event()
    crashed = type("TargetClosedError", (Exception,), {})("Target page has been closed")
    with LongRunningMode(settings(tmp_path, failing_components=3, failing_window_s=600.0)) as mode:
        for name in ("one", "two", "three"):
            mode.register_component(name, restart=lambda: gate.wait(30))
            if name != "three":
                mode.handle_failure(crashed, {"component": name})
        wait_for(mode, "monitor.component_failure_noted", lambda event: event.component == "two")
        assert records(mode, "monitor.health_changed") == []
        mode.settings.failing_components = 2
        changed = wait_for(mode, "monitor.health_changed", lambda event: event.status == "failing")
        assert "2 components failed within 600 s: one, two" in changed.event.cause
        mode.settings.failing_window_s = 0.01
        wait_for(mode, "monitor.health_changed", lambda event: event.status != "failing", after=changed.position)
        gate.set()


@shows("memory_budget_mb")
def test_memory_budget_mb_is_what_the_memory_is_measured_against(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A budget of one megabyte is used up by any process; a large one, assigned, is not."""
    from lrm_actors.actors.sampling.sampler import Sampler

    monkeypatch.setattr("lrm_actors.hosting.engine.Sampler", Sampler)
    with LongRunningMode(settings(tmp_path, memory_budget_mb=1.0)) as mode:
        used = wait_for(mode, "monitor.sampled", lambda event: event.metrics.memory_percent == 100.0)
        mode.settings.memory_budget_mb = 1e9
        wait_for(mode, "monitor.sampled", lambda event: event.metrics.memory_percent < 100.0, after=used.position)
        after = head(mode)
        mode.settings.memory_budget_mb = 1.0
        wait_for(mode, "monitor.sampled", lambda event: event.metrics.memory_percent == 100.0, after=after)


@shows("agent_id")
def test_agent_id_names_the_directory_and_cannot_be_assigned_while_running(tmp_path: Path) -> None:
    """Another id would be another agent's log. The value stays as it was; stopped, it can be changed."""
    mode = LongRunningMode(settings(tmp_path, agent_id="first"))
    with mode:
        assert tmp_path.joinpath("first", "lrm.db").exists()
        with pytest.raises(SettingsError) as refused:
            mode.settings.agent_id = "second"
        assert refused.value.field == "agent_id"
        assert mode.settings.agent_id == "first"
    mode.settings.agent_id = "second"
    with mode as blocking:
        assert tmp_path.joinpath("second", "lrm.db").exists()
        assert blocking.get_health_report()["agent_id"] == "second"


@shows("checkpoint_dir")
def test_checkpoint_dir_is_where_the_log_is_and_moves_when_assigned(tmp_path: Path) -> None:
    """Everything is in the new place and the agent goes on there; the old log is left as it was, with a note."""

    async def main() -> None:
        mode = LongRunningMode(settings(tmp_path / "old"))
        mode.capture_with(lambda: {"n": 1})
        async with mode:
            guard = mode.get_circuit_breaker("llm")
            async with mode.step("one"):
                pass
            taken = await mode.take_checkpoint()
            async with mode.step("two"):
                mode.settings.checkpoint_dir = str(tmp_path / "new")
                await soon(mode, "journal.step_begun", lambda event: event.step == 2)
            async with mode.step("three"):
                pass
            await moved(mode, tmp_path / "new")
            report = await mode.get_health_report()
            assert report["log"]["path"] == str(tmp_path / "new" / "default" / "lrm.db")
            assert report["steps"]["committed"] == 3
            assert await mode.checkpointer.list_checkpoints() == [taken]
            assert mode.get_circuit_breaker("llm") is guard
            assert [record.event.start for record in records(mode, "supervisor.process_started")] == [1]
            assert records(mode, "journal.step_in_doubt") == []
            assert await mode.handle_failure(ConnectionError("gone"), {}) == "retry_with_backoff"
        assert mode.exit_code == 0
        old = tmp_path / "old" / "default" / "lrm.db"
        assert relocation.moved_to(old) == str(tmp_path / "new" / "default" / "lrm.db")
        reader = open_reader(old)
        assert reader.verify().ok
        reader.close()
        again = LongRunningMode(settings(tmp_path / "new"))
        async with again:
            assert await again.recover_from_checkpoint() is True
            assert again.last_recovery is not None
            assert again.last_recovery.state == {"n": 1}

    asyncio.run(main())


async def moved(mode: LongRunningMode, directory: Path) -> None:
    """Until the log is in this directory and the mode runs there."""
    for _ in range(3000):
        running = mode._engine.running
        if running is not None and running.path.is_relative_to(directory) and mode._engine.moved.is_set():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(mode.settings.log_path)


def test_a_place_that_holds_a_log_is_not_overwritten(tmp_path: Path) -> None:
    """The agent stays where it is, the setting says so again, and both logs are as they were."""

    async def main() -> None:
        async with LongRunningMode(settings(tmp_path / "other")) as other, other.step("theirs"):
            pass
        mode = LongRunningMode(settings(tmp_path / "mine"))
        async with mode:
            mode.settings.checkpoint_dir = str(tmp_path / "other")
            for _ in range(3000):
                if mode.settings.checkpoint_dir == str(tmp_path / "mine"):
                    break
                await asyncio.sleep(0.01)
            assert mode.settings.checkpoint_dir == str(tmp_path / "mine")
            async with mode.step("mine"):
                pass
        async with LongRunningMode(settings(tmp_path / "other")) as other:
            assert [record.event.name for record in records(other, "journal.step_committed")] == ["theirs"]

    asyncio.run(main())


@shows("enable_long_running_mode")
def test_enable_long_running_mode_switches_everything_off_and_on(tmp_path: Path) -> None:
    """Assigned off: the log is let go in order and everything passes through. Assigned on: it goes on in the log."""

    async def main() -> None:
        mode = LongRunningMode(settings(tmp_path, circuit_breaker_failure_threshold=1))
        async with mode:
            async with mode.step("one"):
                mode.settings.enable_long_running_mode = False
            await until(lambda: not mode.running)
            assert [record.event.reason for record in records(mode, "supervisor.process_stopped")] == ["switched off"]
            async with mode.step("unlogged") as step:
                assert step.number == 1
            guard = mode.get_circuit_breaker("llm")
            with pytest.raises(TimeoutError), guard:
                raise timeout()
            with guard:
                pass
            assert (await mode.get_health_report())["enabled"] is False
            mode.settings.enable_long_running_mode = True
            await until(lambda: mode.running)
            async with mode.step("two") as step:
                assert step.number == 2
            with pytest.raises(TimeoutError), guard:
                raise timeout()
            assert guard.state == "open"
        assert mode.exit_code == 0

    asyncio.run(main())


async def until(true: Callable[[], bool]) -> None:
    """Until something holds that no log tells of."""
    for _ in range(3000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError


def test_settings_changed_while_stopped_hold_from_the_next_start(tmp_path: Path) -> None:
    """Each difference from what the log remembers is put on record at start, and nothing else."""
    mode = LongRunningMode(settings(tmp_path))
    with mode:
        pass
    before = len(records(mode, "modes.configured", "monitor.configured", "checkpointer.configured"))
    with mode:
        pass
    assert len(records(mode, "modes.configured", "monitor.configured", "checkpointer.configured")) == before
    mode.settings.enable_modes = False
    with mode:
        assert [record.event.enabled for record in records(mode, "modes.configured")] == [False]


def test_a_mode_that_is_stopped_does_not_follow_its_settings(tmp_path: Path) -> None:
    """After the stop an assignment is only an assignment."""
    mode = LongRunningMode(settings(tmp_path))
    with mode:
        pass
    mode.settings.enable_modes = False
    mode.settings.agent_id = "other"
    with pytest.raises(NotRunning):
        asyncio.run(mode.recover_from_checkpoint())


@shows("max_log_mb", "max_log_age_days")
@pytest.mark.parametrize(("setting", "least", "unit"), [("max_log_mb", 1.0, "MB"), ("max_log_age_days", 1.0, "DAY_S")])
@pytest.mark.parametrize("assigned", [False, True], ids=["at start", "assigned"])
def test_the_limits_of_the_log_are_when_old_events_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, least: float, unit: str, *, assigned: bool
) -> None:
    """Above its size or its age; what the unit is makes no difference here, and so it is next to nothing."""
    monkeypatch.setattr(hosting, "FIRST_LOOK_S", 0.01)
    monkeypatch.setattr(hosting, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(hosting, "AGE_EVERY_S", 0.0)
    monkeypatch.setattr(hosting, "KEPT_AT_LEAST", 10)
    monkeypatch.setattr(f"lrm_actors.hosting.life.{unit}", 1e-9)
    with LongRunningMode(settings(tmp_path, **({} if assigned else {setting: least}))) as mode:
        assert not assigned or not records(mode, "log.trimmed")
        grow(mode)
        if assigned:
            setattr(mode.settings, setting, least)
        wait_for(mode, "log.trimmed")


def test_the_effect_of_every_setting_is_shown_here() -> None:
    """A setting without a test that sees the behaviour change does not exist."""
    assert {setting.name for setting in FIELDS} == SHOWN
