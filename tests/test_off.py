"""A mode that is switched off: the host runs as if it were not there."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from lrm_actors.errors import StepOrder
from lrm_actors.integration import LongRunningIntegration
from lrm_actors.mode import LongRunningMode
from lrm_actors.report import missing_keys
from lrm_actors.settings import LongRunningSettings


def off(directory: Path) -> LongRunningSettings:
    """The defaults: switched off."""
    return LongRunningSettings(checkpoint_dir=directory)


async def everything(mode: LongRunningMode) -> None:
    """Every word there is."""
    assert not mode.running
    mode.capture_with(dict)
    mode.restore_with(lambda state: None)
    mode.register_component("browser", restart=lambda: None)
    mode.heartbeat("browser")

    async def fetch(key: str) -> str:
        return key

    for number in (1, 2):
        async with mode.step("fetch") as step:
            assert step.number == number
            keys = [await mode.effect("fetch", fetch) for _ in range(2)]
            assert 2 == len(set(keys))
            step.result = {"pages": number}
    guard = mode.get_circuit_breaker("llm")
    for _ in range(20):
        with pytest.raises(TimeoutError):
            async with guard:
                raise TimeoutError("slow")
    assert await guard.call(lambda: "through") == "through"
    assert guard.state == "closed"
    assert guard.failure_count == 0
    assert await mode.handle_failure(ConnectionError("gone"), {"component": "site"}) == "retry_with_backoff"
    assert await mode.take_checkpoint() == ""
    assert await mode.recover_from_checkpoint() is False
    assert await mode.checkpointer.list_checkpoints() == []
    assert mode.last_recovery is None
    assert mode.operation_mode == "normal"
    assert mode.should_run("screenshots", "sheddable")
    report = await mode.get_health_report()
    assert missing_keys(report) == []
    assert report["enabled"] is False
    assert report["steps"]["committed"] == 2
    assert report["failures"]["total"] == 1
    assert list(report["components"]) == ["browser"]
    assert set(report["resource_metrics"].values()) == {0.0}


def test_nothing_is_written_and_nothing_started(tmp_path: Path) -> None:
    """No file, no directory, no thread; every word answers, and everything passes through."""
    threads = set(threading.enumerate())

    async def main() -> None:
        async with LongRunningMode(off(tmp_path / "agents")) as mode:
            await everything(mode)
            assert set(threading.enumerate()) <= threads
        assert mode.exit_code == 0

    asyncio.run(main())
    assert not tmp_path.joinpath("agents").exists()


def test_a_step_that_fails_is_the_hosts_own_business(tmp_path: Path) -> None:
    """Errors pass through as they are, and the number is given again."""

    async def main() -> None:
        async with LongRunningMode(off(tmp_path)) as mode:
            with pytest.raises(KeyError):
                async with mode.step("fetch"):
                    raise KeyError("x")
            async with mode.step("fetch") as step:
                assert (step.number, step.attempt) == (1, 2)
                with pytest.raises(StepOrder):
                    await mode.step("inside").__aenter__()

    asyncio.run(main())


def test_the_blocking_form_passes_everything_through_as_well(tmp_path: Path) -> None:
    """The same without a loop."""
    with LongRunningMode(off(tmp_path / "agents")) as mode:
        with mode.step("fetch") as step:
            step.result = 1
        assert mode.take_checkpoint() == ""
        assert mode.recover_from_checkpoint() is False
        assert mode.handle_failure(MemoryError()) == "clear_caches"
        assert missing_keys(mode.get_health_report()) == []
    assert not tmp_path.joinpath("agents").exists()


def test_the_integration_answers_that_it_is_off(tmp_path: Path) -> None:
    """No mode to talk to, and every method still answers."""

    async def main() -> None:
        integration = LongRunningIntegration(off(tmp_path / "agents"))
        assert missing_keys(await integration.get_health_status()) == []
        assert await integration.initialize() is False
        assert integration.long_running_mode is None
        await integration.start_monitoring()
        assert await integration.handle_component_failure("site", ConnectionError("gone")) == "retry_with_backoff"
        assert await integration.create_emergency_checkpoint("just because") is None
        assert await integration.attempt_recovery() is False
        assert (await integration.get_health_status())["enabled"] is False
        await integration.stop_monitoring()

    asyncio.run(main())
    assert not tmp_path.joinpath("agents").exists()
