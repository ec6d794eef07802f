"""Of the fifteen things that an earlier implementation got wrong, those that a browser agent shows: on the adapter's.

The numbers are those of ``tests/defects``, where the others are, and where the models of the old behaviour come from.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import attrs
import pytest

from lrm_actors.report import missing_keys
from tests.defects.old import OldBreaker, OldBreakers, OldMode
from tests.defects.test_fifteen_defects import found_wanting
from tests.hosts.browser_use import hosting, judging
from tests.hosts.browser_use.outage import GateClock
from tests.hosts.browser_use.scripted import ScriptedModel

STEPS, THRESHOLD = 4, 2


def notes(step: int, url: str, prompt: str) -> list[dict[str, Any]]:
    """Steps that need no page."""
    if step < STEPS:
        return [{"write_file": {"file_name": "notes.md", "content": f"note {step}", "append": step > 1}}]
    return [{"done": {"text": "all is noted", "success": True}}]


class Unreachable(ScriptedModel):
    """A model that cannot be reached the first few times."""

    failures_left = THRESHOLD

    async def ainvoke(self, messages: list[Any], output_format: Any = None, **more: Any) -> Any:
        """Fail, or answer."""
        if self.failures_left:
            self.failures_left -= 1
            raise ConnectionError("the model cannot be reached")
        return await super().ainvoke(messages, output_format, **more)


@attrs.frozen
class Lived:
    """What an agent left that was stopped in the middle, and what the next one had of it."""

    directory: Path
    events: list[Any]
    before: Any
    after: Any
    health: dict[str, Any]
    """Before anything ran."""


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """Nothing but ``run()`` is called: once until it was stopped after the second step, once to the end."""
    directory = tmp_path_factory.mktemp("lived")
    hosting.offline(directory)
    options = {
        "long_running_monitoring_interval": 0.05,
        "long_running_checkpoint_interval": 0.05,
        "long_running_circuit_breaker_failure_threshold": THRESHOLD,
        "long_running_circuit_breaker_recovery_timeout": 0.01,
    }

    async def live(*, stop: bool) -> tuple[Any, dict[str, Any]]:
        model = Unreachable("", script=notes, steps=STEPS)
        agent = hosting.lasting_agent(directory, model, **options)
        agent.clock = GateClock()
        health = await agent.supervisor.long_running_integration.get_health_status()

        async def end(inner: Any) -> None:
            if stop and inner.state.n_steps == 3:
                agent.stop()

        await agent.run(on_step_end=end)
        state = {"n_steps": agent.state.n_steps, "history": hosting.history_of(agent.history)}
        return {**state, "memory": hosting.memory_of(agent), "files": hosting.files_of(agent)}, health

    before, health = asyncio.run(live(stop=True))
    after, _ = asyncio.run(live(stop=False))
    return Lived(directory, judging.events_of(directory / "checkpoints/default/lrm.db"), before, after, health)


def test_01_the_run_of_an_agent_is_watched_without_a_second_call(lived: Lived, tmp_path: Path) -> None:
    """Samples and periodic checkpoints are in the log though nobody called ``start_monitoring``."""

    def check(seen: tuple[int, int]) -> None:
        samples, checkpoints = seen
        assert samples
        assert checkpoints

    taken = [record.event.checkpoint for record in lived.events if record.type == "checkpointer.taken"]
    samples = sum(record.type == "monitor.sampled" for record in lived.events)
    check((samples, sum(one.kind == "periodic" for one in taken)))
    old = OldMode(tmp_path / "old")
    old.initialize()
    found_wanting(check, (len(old.samples), old.checkpoints_taken))


def test_02_the_model_is_asked_through_its_breaker(lived: Lived) -> None:
    """Failures of the model open it, and its probe closes it again."""

    def check(kinds: list[str]) -> None:
        assert "breaker.opened" in kinds
        assert "breaker.closed" in kinds

    check([record.type for record in lived.events if record.stream == "breaker/llm"])
    OldBreaker(lambda: 0.0)  # made, and asked by nobody
    found_wanting(check, [])


def test_03_the_next_process_has_all_that_the_agent_had(lived: Lived, tmp_path: Path) -> None:
    """Its steps, its history, its memory and its files: the second run begins with the third step."""

    def check(state: Any) -> None:
        assert state["n_steps"] == STEPS + 1
        assert [item["model_output"]["next_goal"] for item in state["history"]] == [
            f"step {number}" for number in range(1, STEPS + 1)
        ]
        assert state["history"][:2] == lived.before["history"]

    check(lived.after)
    assert lived.after["memory"][: len(lived.before["memory"])] == lived.before["memory"]
    assert lived.after["files"]["notes.md"].split("\n")[: STEPS - 1] == [f"note {n}" for n in range(1, STEPS)]
    old = OldMode(tmp_path / "old")
    old.take({"task": "t", "goal": "g", **lived.before})
    found_wanting(check, old.recover())


def test_04_the_log_is_where_the_settings_say(lived: Lived, tmp_path: Path) -> None:
    """And the next agent with the same settings finds it there."""

    def check(seen: tuple[bool, int]) -> None:
        assert seen == (True, 2)

    starts = sum(record.type == "supervisor.process_started" for record in lived.events)
    check(((lived.directory / "checkpoints/default/lrm.db").is_file(), starts))
    old = OldMode(tmp_path / "old", "a1")
    found_wanting(
        check, ((tmp_path / "old").exists(), 1 + len(OldMode(tmp_path / "old", "b7").listed() or old.listed()))
    )


def test_05_the_breaker_has_the_threshold_of_the_settings(lived: Lived) -> None:
    """So many failures in a row opened it."""

    def check(failures: int) -> None:
        assert failures == THRESHOLD

    opened = next(record.event for record in lived.events if record.type == "breaker.opened")
    check(int(opened.reason.split()[0]))
    found_wanting(check, OldBreakers(lambda: 0.0, threshold=THRESHOLD).get("llm").threshold)


def test_13_no_step_is_in_the_history_that_the_model_did_not_decide_on(lived: Lived, tmp_path: Path) -> None:
    """Nothing is made up for a step that failed or hung."""

    def check(history: list[Any]) -> None:
        assert all(item.get("model_output") for item in history)

    check(lived.after["history"])
    history = list(lived.after["history"])
    OldMode(tmp_path / "old").force_step_progression(history)
    found_wanting(check, history)


def test_15_health_has_every_key_before_the_first_run(lived: Lived, tmp_path: Path) -> None:
    """And settings for a day can be made without a task and without a model."""

    def check(health: dict[str, Any]) -> None:
        assert missing_keys(health) == []

    check(lived.health)
    settings = hosting.settings_of(max_steps=20_000, memory_budget_mb=1000.0, enable_long_running_mode=True)
    assert (settings.task, settings.llm, settings.max_steps) == (None, None, 20_000)
    found_wanting(check, OldMode(tmp_path / "old").get_health_status(enabled=False))
