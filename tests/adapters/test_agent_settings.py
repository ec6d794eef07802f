from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lrm_actors.adapters.browser_use import compat
from lrm_actors.adapters.browser_use.agent import Agent
from lrm_actors.adapters.browser_use.run_errors import HostNotUsable
from lrm_actors.adapters.browser_use.settings import OWN, AgentSettings
from lrm_actors.errors import SettingsError, UnknownSetting

TWELVE: dict[str, Any] = {
    "enable_long_running_mode": False,
    "long_running_monitoring_interval": 30.0,
    "long_running_checkpoint_interval": 300.0,
    "long_running_checkpoint_dir": None,
    "long_running_max_checkpoints": 50,
    "long_running_cpu_threshold_warning": 80.0,
    "long_running_cpu_threshold_critical": 95.0,
    "long_running_memory_threshold_warning": 80.0,
    "long_running_memory_threshold_critical": 95.0,
    "long_running_circuit_breaker_failure_threshold": 5,
    "long_running_circuit_breaker_recovery_timeout": 60.0,
    "long_running_enable_auto_recovery": True,
}


class Model:
    """What is asked."""

    async def ainvoke(self, messages: Any, output_format: Any = None) -> Any:
        """Never called."""


@pytest.fixture(autouse=True)
def theirs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """browser-use's own arguments, without browser-use; and no settings of this project's directory."""
    monkeypatch.chdir(tmp_path)
    names = ("task", "llm", "use_vision", "max_failures", "sensitive_data", "injected_agent_state")
    monkeypatch.setattr(compat, "agent_parameters", lambda: names)


@pytest.mark.parametrize("name", TWELVE)
def test_each_of_the_twelve_has_its_default_and_can_be_assigned(name: str) -> None:
    """By the name with the prefix, and by the one without."""
    settings = AgentSettings()
    assert getattr(settings, name) == TWELVE[name]
    value: Any = {"enable_long_running_mode": True, "long_running_checkpoint_dir": "./here"}.get(name, 90)
    value = False if name.endswith("auto_recovery") else value
    setattr(settings, name, value)
    assert getattr(settings, name) == value
    assert getattr(settings.long_running, name.removeprefix("long_running_")) == value


def test_everything_goes_together_in_one_call() -> None:
    """The mode's, the adapter's and browser-use's own."""
    settings = AgentSettings(
        task="Watch", llm=Model(), enable_long_running_mode=True, long_running_checkpoint_dir="./x", max_steps=10_000,
        max_failures=10, enable_modes=True, memory_budget_mb=500.0, agent_id="shop", use_vision=False,
    )  # fmt: skip
    assert (settings.task, settings.max_steps, settings.agent_id) == ("Watch", 10_000, "shop")
    assert settings.agent_arguments() == {"use_vision": False, "max_failures": 10, "max_history_items": None}
    assert settings.sensitive_data is None
    assert "500" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("max_step", "max_steps"), ("use_visions", "use_vision"), ("long_running_checkpoint_dirs", "checkpoint_dir")],
)
def test_a_name_that_is_none_is_refused_with_what_it_resembles(name: str, meant: str) -> None:
    """In the call and on assignment; nothing is taken up silently."""
    with pytest.raises(UnknownSetting) as refused:
        AgentSettings(**dict[str, Any]({name: 1}))
    assert meant in refused.value.hint
    settings = AgentSettings()
    with pytest.raises(UnknownSetting):
        setattr(settings, name, 1)
    with pytest.raises(AttributeError):
        getattr(settings, name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_steps", 0), ("max_steps", True), ("max_failures", "5"), ("max_history_items", 5), ("on_doubt", "hope"),
        ("headless", 1), ("browser_args", "--x"), ("llm_outage_limit_s", float("inf")), ("task", ""),
        ("long_running_cpu_threshold_warning", 101.0), ("browser_attempts", 0), ("screenshots_kept", -1),
        ("llm", "gpt-5"), ("llm", object()), ("cdp_url", "127.0.0.1:9222"), ("cdp_url", 9222),
    ],
)  # fmt: skip
def test_a_value_that_is_not_allowed_is_refused(name: str, value: Any) -> None:
    """With the name and what would be allowed, and without a trace."""
    settings = AgentSettings()
    before = settings.as_dict()
    with pytest.raises(SettingsError):
        AgentSettings(**{name: value})
    with pytest.raises(SettingsError):
        setattr(settings, name, value)
    assert settings.as_dict() == before


def test_an_address_that_is_refused_is_not_shown() -> None:
    """It may hold what lets one in."""
    with pytest.raises(SettingsError) as refused:
        AgentSettings(cdp_url="browser.example.org?token=secret")
    assert "secret" not in f"{refused.value}{refused.value.hint}"


def test_an_agent_takes_settings_or_their_names_and_not_both() -> None:
    """Nothing that is given is dropped without a word."""
    assert Agent(task="Watch", max_steps=3).settings.max_steps == 3
    with pytest.raises(TypeError, match="max_steps"):
        Agent(AgentSettings(task="Watch"), max_steps=3)
    wrong: Any = "Watch"
    with pytest.raises(TypeError, match="str"):
        Agent(wrong)


def test_what_the_adapter_gives_itself_cannot_be_given() -> None:
    """Two states would be one too many."""
    with pytest.raises(SettingsError, match="injected_agent_state"):
        AgentSettings(injected_agent_state=object())


def test_whoever_runs_by_the_settings_is_told_of_each_assignment() -> None:
    """With the old value and the new one."""
    settings, told = AgentSettings(max_history_items=10), []
    stop = settings.observe(lambda *change: told.append(change))
    settings.max_history_items = 50
    settings.use_vision = False
    stop()
    settings.max_failures = 3
    assert told == [("max_history_items", 10, 50), ("use_vision", None, False)]


def test_every_default_is_allowed() -> None:
    """Giving each of them is the same as giving none."""
    defaults = {one.name: one.default for one in OWN}
    assert AgentSettings(**defaults).as_dict() == AgentSettings().as_dict()


@pytest.mark.parametrize(("version", "usable"), [("0.13.14", True), ("0.12.0", False), ("1.0.0", False)])
def test_only_versions_that_are_known_are_used(monkeypatch: pytest.MonkeyPatch, version: str, usable: bool) -> None:
    """Another one says so at once, and how to get one that is."""
    monkeypatch.setattr("importlib.metadata.version", lambda name: version)
    if usable:
        compat.check_version()
        return
    with pytest.raises(HostNotUsable) as refused:
        compat.check_version()
    assert version in str(refused.value)
    assert "lrm-actors[browser-use]" in refused.value.hint
