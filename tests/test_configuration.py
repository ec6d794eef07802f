"""Settings to commands: each setting reaches the actor that it concerns, and only a difference is told."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from lrm_actors.domain import analyzer, breaker, checkpointer, modes, monitor
from lrm_actors.hosting import configuration
from lrm_actors.settings import LongRunningSettings


def test_each_setting_reaches_its_actor() -> None:
    """Every number stands where it belongs."""
    settings = LongRunningSettings(
        monitoring_interval=1.0,
        checkpoint_interval=2.0,
        max_checkpoints=3,
        cpu_threshold_warning=4.0,
        cpu_threshold_critical=5.0,
        memory_threshold_warning=6.0,
        memory_threshold_critical=7.0,
        circuit_breaker_failure_threshold=8,
        circuit_breaker_recovery_timeout=9.0,
        enable_auto_recovery=False,
        enable_modes=False,
        failing_components=10,
        failing_window_s=11.0,
        checkpoint_max_age_days=12.0,
        checkpoint_keep_hourly_h=13,
        checkpoint_keep_daily_days=14,
        checkpoint_every_steps=15,
    )

    assert configuration.commands(settings, check_s=0.5, breakers=("breaker/llm",)) == {
        "monitor": monitor.Configure(
            monitor.MonitorConfig(
                interval_s=1.0,
                cpu_warning=4.0,
                cpu_critical=5.0,
                memory_warning=6.0,
                memory_critical=7.0,
                failing_components=10,
                failing_window_s=11.0,
                heartbeat_check_s=0.5,
            )
        ),
        "analyzer": analyzer.Configure(auto_recovery=False),
        "checkpointer": checkpointer.Configure(
            checkpointer.CheckpointerConfig(
                interval_s=2.0,
                max_checkpoints=3,
                max_age_s=12 * 86_400.0,
                keep_hourly_h=13,
                keep_daily_days=14,
                every_steps=15,
            )
        ),
        "modes": modes.Configure(enabled=False),
        "breaker/llm": breaker.Configure(breaker.BreakerConfig(failure_threshold=8, recovery_timeout_s=9.0)),
    }


def test_a_recovery_timeout_above_the_cap_raises_the_cap() -> None:
    """What the user asked for is never shortened."""
    config = configuration.breaker_config(LongRunningSettings(circuit_breaker_recovery_timeout=3600.0))

    assert config.recovery_timeout_s == config.recovery_timeout_max_s == 3600.0


def test_nothing_is_told_that_is_known() -> None:
    """The defaults of the settings are those of the actors, so a first start with them says next to nothing."""
    specs: dict[str, Any] = {module.NAME: module.spec().initial for module in (monitor, analyzer, checkpointer, modes)}
    specs["breaker/llm"] = breaker.spec("llm").initial
    wanted = configuration.commands(LongRunningSettings(), check_s=2.0, breakers=("breaker/llm",))

    assert configuration.changed(wanted, specs.__getitem__) == {}


@pytest.mark.parametrize(
    ("field", "value", "actor"),
    [
        ("monitoring_interval", 1.0, "monitor"),
        ("enable_auto_recovery", False, "analyzer"),
        ("max_checkpoints", 7, "checkpointer"),
        ("enable_modes", False, "modes"),
        ("circuit_breaker_failure_threshold", 9, "breaker/llm"),
    ],
)
def test_a_difference_is_told_to_its_actor_alone(field: str, value: object, actor: str) -> None:
    """One assignment, one command."""
    states: dict[str, Any] = {module.NAME: module.spec().initial for module in (monitor, analyzer, checkpointer, modes)}
    states["breaker/llm"] = attrs.evolve(breaker.spec("llm").initial, configured=True)
    settings = LongRunningSettings()
    setattr(settings, field, value)
    wanted = configuration.commands(settings, check_s=2.0, breakers=("breaker/llm",))

    assert list(configuration.changed(wanted, states.__getitem__)) == [actor]


def test_components_are_looked_at_often_enough_for_the_shortest_timeout() -> None:
    """Four looks within a timeout, at least every other second, and never without a pause."""
    assert configuration.heartbeat_check_s({}) == 2.0
    assert configuration.heartbeat_check_s({"browser": 60.0}) == 2.0
    assert configuration.heartbeat_check_s({"browser": 60.0, "worker": 0.8}) == 0.2
    assert configuration.heartbeat_check_s({"worker": 0.001}) == configuration.HEARTBEAT_CHECK_LEAST_S
