"""How each host runs the scripted agent: browser-use as it comes, and the agent of the adapter."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from tests.hosts.browser_use.scripted import STEPS, TASK, ScriptedModel

OFFLINE = {
    "ANONYMIZED_TELEMETRY": "false",
    "BROWSER_USE_CLOUD_SYNC": "false",
    "BROWSER_USE_VERSION_CHECK": "false",
    "BROWSER_USE_CLOUD_HINTS": "false",
    "BROWSER_USE_DISABLE_EXTENSIONS": "1",
    "BROWSER_USE_SETUP_LOGGING": "false",
}
"""browser-use reaches for the network unless it is told not to, before it is imported."""
QUIET = {"use_vision": False, "use_judge": False, "calculate_cost": False}
"""Of an agent's arguments: what would ask a model besides, or fetch something."""


def offline(directory: Path) -> None:
    """Keep browser-use from the network, and its files in one place."""
    os.environ.update(
        OFFLINE, BROWSER_USE_CONFIG_DIR=str(directory / "config"), XDG_CACHE_HOME=str(directory / "cache")
    )


def stock_agent(directory: Path, model: ScriptedModel, **options: Any) -> Any:
    """browser-use as it comes."""
    browser_use: Any = importlib.import_module("browser_use")
    profile = browser_use.BrowserProfile(
        headless=True, chromium_sandbox=False, enable_default_extensions=False, user_data_dir=directory / "profile"
    )
    chosen = {**QUIET, "enable_signal_handler": False, **options}
    return browser_use.Agent(task=TASK, llm=model, browser_profile=profile, directly_open_url=False, **chosen)


def lasting_agent(directory: Path, model: ScriptedModel, **options: Any) -> Any:
    """The adapter's, with its log below the directory."""
    adapter: Any = importlib.import_module("lrm_actors.adapters.browser_use")
    settings = adapter.AgentSettings(
        task=TASK,
        llm=model,
        enable_long_running_mode=True,
        long_running_checkpoint_dir=str(directory / "checkpoints"),
        **{"max_steps": 4 * STEPS, **QUIET, **options},
    )
    return adapter.Agent(settings)


def history_of(history: Any) -> list[dict[str, Any]]:
    """A run's history as JSON data, without what the prompts were."""
    items: list[dict[str, Any]] = [item.model_dump(mode="json") for item in history.history]
    for item in items:
        item.pop("state_message", None)
    return items


def memory_of(agent: Any) -> list[str]:
    """What the agent remembers of its steps, as its model is shown it."""
    return [item.to_string() for item in agent.state.message_manager_state.agent_history_items]


def files_of(agent: Any) -> dict[str, str]:
    """The agent's own files, by their content."""
    state = agent.state.file_system_state
    return {} if state is None else {name: file["data"]["content"] for name, file in sorted(state.files.items())}


def settings_of(**options: Any) -> Any:
    """Settings of the adapter's."""
    adapter: Any = importlib.import_module("lrm_actors.adapters.browser_use")
    return adapter.AgentSettings(**options)
