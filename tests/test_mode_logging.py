"""What a mode says through ``logging``: who, at which step, at which position, and how loudly."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrm_actors.mode import LongRunningMode
from lrm_actors.telemetry.logging import log_to
from tests.mode_kit import settings, soon


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Everything the package says, as JSON lines."""
    stream = io.StringIO()
    logger = logging.getLogger("lrm_actors")
    level = logger.level
    handler = log_to(stream, level=logging.DEBUG)
    logger.setLevel(logging.DEBUG)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_lines_carry_agent_step_and_position(tmp_path: Path, sampled: dict[str, float], lines: io.StringIO) -> None:
    """Health at INFO, failures and recoveries at WARNING or ERROR, the rest at DEBUG."""

    async def main() -> None:
        async with LongRunningMode(settings(tmp_path, agent_id="crawler")) as mode:
            mode.register_component("browser", restart=lambda: None)
            async with mode.step("fetch"):
                sampled["memory_percent"] = 99.0
                await soon(mode, "modes.changed")
            crashed = type("TargetClosedError", (Exception,), {})("Target page has been closed")
            await mode.handle_failure(crashed, {"component": "browser"})
            await soon(mode, "analyzer.recovery_finished")
            await mode.recover_from_checkpoint("checkpoint_1_nobody")

    asyncio.run(main())
    said = [json.loads(line) for line in lines.getvalue().splitlines()]
    events = [line for line in said if line["event"] is not None]
    assert {line["agent_id"] for line in events} == {"crawler"}
    positions = [line["position"] for line in events]
    assert positions == sorted(set(positions))
    assert positions == list(range(positions[0], positions[0] + len(positions)))
    levels = {line["event"]: line["level"] for line in events}
    assert levels["monitor.health_changed"] == "INFO"
    assert levels["analyzer.failure_recorded"] == "WARNING"
    assert levels["supervisor.child_restarted"] == "WARNING"
    assert levels["monitor.sampled"] == "DEBUG"
    assert levels["supervisor.process_stopped"] == "INFO"
    (health,) = [line for line in events if line["event"] == "monitor.health_changed"]
    assert health["step"] == 1
    assert health["fields"]["status"] == "critical"
    (own,) = [line for line in said if "checkpoint_1_nobody" in line["message"]]
    assert (own["level"], own["agent_id"], own["step"]) == ("ERROR", "crawler", 1)
    assert own["position"] > 0


def test_the_last_event_is_told_before_the_end(tmp_path: Path, sampled: dict[str, float], lines: io.StringIO) -> None:
    """The stop waits a moment for its own line."""
    for _ in range(5):
        with LongRunningMode(settings(tmp_path)):
            pass
    said = [json.loads(line)["event"] for line in lines.getvalue().splitlines()]
    assert said.count("supervisor.process_stopped") == said.count("supervisor.process_started") == 5
