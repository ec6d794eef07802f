"""The seven methods of the feature document, as a host with agent classes of its own uses them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from lrm_actors.integration import Component, Host, LongRunningIntegration
from lrm_actors.report import missing_keys
from tests.mode_kit import records, settings, soon

pytestmark = pytest.mark.usefixtures("sampled")


class ExampleAgent:
    """An agent with the four methods of a host."""

    def __init__(self) -> None:
        self.pages = 0
        self.restarts = 0
        self.mode = ""

    def capture(self) -> Any:
        return {"pages": self.pages}

    def restore(self, state: Any) -> None:
        self.pages = state["pages"]

    def components(self) -> list[Component]:
        return [Component("browser", restart=self._restart)]

    def gate(self, mode: str) -> None:
        self.mode = mode

    def _restart(self) -> None:
        self.restarts += 1


def test_the_seven_methods(tmp_path: Path) -> None:
    """From the start to the stop, in the order in which the document shows them."""

    async def main() -> None:
        agent = ExampleAgent()
        assert isinstance(agent, Host)
        integration = LongRunningIntegration(settings(tmp_path), agent)
        assert integration.long_running_mode is None
        assert await integration.initialize() is True
        mode = integration.long_running_mode
        assert mode is not None
        await integration.start_monitoring()
        agent.pages = 3
        crashed = type("TargetClosedError", (Exception,), {})("Target page has been closed")
        assert await integration.handle_component_failure("browser", crashed) == "restart_component"
        await soon(mode, "supervisor.child_restarted")
        assert agent.restarts == 1
        taken = await integration.create_emergency_checkpoint("the disk smokes")
        assert taken is not None
        assert taken in await mode.checkpointer.list_checkpoints()  # beside those before and after the restart
        agent.pages = 0
        assert await integration.attempt_recovery(taken) is True
        assert agent.pages == 3
        status = await integration.get_health_status()
        assert missing_keys(status) == []
        assert isinstance(status["resource_metrics"]["cpu_percent"], float | int)
        await integration.stop_monitoring()
        await integration.stop_monitoring()
        assert mode.exit_code == 0

    asyncio.run(main())


def test_a_checkpoint_is_recovered_before_the_agent_runs(tmp_path: Path) -> None:
    """Initialize, list, recover: then the agent goes on."""

    async def main() -> None:
        first = LongRunningIntegration(settings(tmp_path), ExampleAgent())
        await first.initialize()
        await first.create_emergency_checkpoint("before the end")
        await first.stop_monitoring()

        agent = ExampleAgent()
        second = LongRunningIntegration(settings(tmp_path), agent)
        await second.initialize()
        assert second.long_running_mode is not None
        checkpoints = await second.long_running_mode.checkpointer.list_checkpoints()
        assert await second.attempt_recovery(checkpoints[-1]) is True
        assert await second.attempt_recovery("checkpoint_1_nobody") is False
        assert second.long_running_mode.last_recovery is None
        await second.stop_monitoring()

    asyncio.run(main())


def test_an_emergency_checkpoint_that_cannot_be_taken_is_none(tmp_path: Path) -> None:
    """In an emergency nobody needs another exception; the log says why."""

    class Broken(ExampleAgent):
        def capture(self) -> Any:
            raise OSError("no")

    async def main() -> None:
        integration = LongRunningIntegration(settings(tmp_path), Broken())
        assert await integration.create_emergency_checkpoint("too early") is None
        await integration.initialize()
        assert await integration.create_emergency_checkpoint("broken") is None
        assert integration.long_running_mode is not None
        assert [record.event.error for record in records(integration.long_running_mode, "checkpointer.failed")] == [
            "OSError"
        ]
        await integration.stop_monitoring()

    asyncio.run(main())
