"""What a run does about an assignment to the settings, without a browser."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lrm_actors.adapters.browser_use import compat, slim
from lrm_actors.adapters.browser_use.run import BrowserRun
from lrm_actors.adapters.browser_use.settings import AgentSettings


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AgentSettings:
    """Of a project that has none of its own, and without browser-use."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compat, "agent_parameters", lambda: ("task", "llm", "sensitive_data"))
    return AgentSettings(task="Watch", sensitive_data={"word": "the first one"})


def test_a_secret_that_is_assigned_during_a_run_is_hidden_from_then_on(settings: AgentSettings, tmp_path: Path) -> None:
    """At once, since the next step may write it down; and what was a secret before stays one."""
    mode: Any = SimpleNamespace(get_circuit_breaker=lambda service: SimpleNamespace(retry_after_s=0.0))
    keeper: Any = None
    run = BrowserRun(
        settings, mode, keeper, slim.empty(), tmp_path, fresh=True, forget=False, changed=lambda *_: None
    )  # fmt: skip
    stop = settings.observe(run.assigned)
    settings.sensitive_data = {"word": "the second one"}
    stop()
    assert run.redactor.hide("the first one, the second one") == "<secret>word</secret>, <secret>word</secret>"
