"""What a run does about an assignment to the settings, and about a stop at the wrong moment, without a browser."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lrm_actors.adapters.browser_use import compat, slim
from lrm_actors.adapters.browser_use.keeping import HealStopped
from lrm_actors.adapters.browser_use.run import BrowserRun
from lrm_actors.adapters.browser_use.settings import AgentSettings


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AgentSettings:
    """Of a project that has none of its own, and without browser-use."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compat, "agent_parameters", lambda: ("task", "llm", "sensitive_data"))
    return AgentSettings(task="Watch", sensitive_data={"word": "the first one"})


def run_of(settings: AgentSettings, directory: Path, keeper: Any = None) -> BrowserRun:
    """A run that has no browser-use."""
    mode: Any = SimpleNamespace(get_circuit_breaker=lambda service: SimpleNamespace(retry_after_s=0.0))
    return BrowserRun(
        settings, mode, keeper, slim.empty(), directory, fresh=True, forget=True, changed=lambda *_: None
    )  # fmt: skip


def test_a_secret_that_is_assigned_during_a_run_is_hidden_from_then_on(settings: AgentSettings, tmp_path: Path) -> None:
    """At once, since the next step may write it down; and what was a secret before stays one."""
    run = run_of(settings, tmp_path)
    stop = settings.observe(run.assigned)
    settings.sensitive_data = {"word": "the second one"}
    stop()
    assert run.redactor.hide("the first one, the second one") == "<secret>word</secret>, <secret>word</secret>"


@pytest.mark.parametrize("begun", [False, True])
def test_a_run_that_is_stopped_while_it_has_no_browser_ends(
    settings: AgentSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    """Before it has one, or after it was lost: no step is taken any more."""
    steps: list[int] = []
    keeper = SimpleNamespace(halt=lambda: None)
    run = run_of(settings, tmp_path, keeper)
    agent: Any = SimpleNamespace(stopped=False, history="the history")
    agent.stop = lambda: setattr(agent, "stopped", True)

    async def opened(state: Any) -> None:
        if not begun:
            run.stop()

    async def once() -> Any:
        if agent.stopped:
            return "the history"
        steps.append(1)
        assert len(steps) <= begun, "it went on although it was stopped"
        run.stop()
        agent.stopped = False  # another takes its place
        return None

    keeper.open = opened
    monkeypatch.setattr(run, "_built", lambda: agent)
    monkeypatch.setattr(run, "_once", once)
    assert asyncio.run(run.go()) == "the history"
    assert len(steps) == begun


@pytest.mark.parametrize("begun", [False, True])
def test_a_run_that_is_stopped_while_its_browser_is_brought_back_ends(
    settings: AgentSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    """At its start or in the middle of it, with the history so far, and as a stop: the agent did not give up."""
    halted: list[str] = []
    keeper = SimpleNamespace(halt=lambda: halted.append("told"))
    run = run_of(settings, tmp_path, keeper)

    def stopped() -> None:
        run.stop()
        assert ["told"] == halted
        raise HealStopped("the run is to end")

    async def opened(state: Any) -> None:
        if not begun:
            stopped()

    async def heal(state: Any) -> bool:
        stopped()
        return True

    async def ran(on_step_start: Any, **_: Any) -> None:
        await on_step_start(agent)

    async def abandon(error: BaseException) -> None:
        assert isinstance(error, asyncio.CancelledError)

    bus, session = object(), SimpleNamespace(event_bus=object())
    agent: Any = SimpleNamespace(
        history="the history", stop=lambda: None, run=ran, eventbus=bus, browser_session=session
    )  # fmt: skip
    run.mode.operation_mode = "normal"
    keeper.open, keeper.heal = opened, heal
    monkeypatch.setattr(run.hooks, "abandon", abandon)
    monkeypatch.setattr(run, "_built", lambda: agent)
    assert asyncio.run(run.go()) == "the history"
