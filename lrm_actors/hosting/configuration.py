"""What each setting means to which actor: the ``Configure`` commands, and which of them would change something.

Pure. Used at start, against the state that an actor had when the log was last written, and on every assignment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lrm_actors.domain import analyzer, breaker, checkpointer, modes, monitor
from lrm_actors.domain.behavior import Command
from lrm_actors.settings import DAY_S, LongRunningSettings

HEARTBEAT_CHECK_S = 2.0
"""Longest pause between two looks at the components. Each wakes three threads: of all that a calm agent does, most."""
HEARTBEAT_CHECK_SHARE = 0.25
"""A component is looked at this often within its own heartbeat timeout, or a short timeout would be noticed late."""
HEARTBEAT_CHECK_LEAST_S = 0.02


def heartbeat_check_s(timeouts_s: Mapping[str, float]) -> float:
    """Seconds between two looks at components with these heartbeat timeouts."""
    shortest_s = min(timeouts_s.values(), default=HEARTBEAT_CHECK_S / HEARTBEAT_CHECK_SHARE)
    return max(HEARTBEAT_CHECK_LEAST_S, min(HEARTBEAT_CHECK_S, shortest_s * HEARTBEAT_CHECK_SHARE))


def breaker_config(settings: LongRunningSettings) -> breaker.BreakerConfig:
    """Configuration of every circuit breaker."""
    timeout_s = settings.circuit_breaker_recovery_timeout
    return breaker.BreakerConfig(
        failure_threshold=settings.circuit_breaker_failure_threshold,
        recovery_timeout_s=timeout_s,
        recovery_timeout_max_s=max(timeout_s, breaker.BreakerConfig().recovery_timeout_max_s),
    )


def commands(settings: LongRunningSettings, *, check_s: float, breakers: tuple[str, ...] = ()) -> dict[str, Command]:
    """The ``Configure`` command of each actor that has settings.

    Args:
        settings: the settings to apply.
        check_s: seconds between two looks at the components.
        breakers: names of the breaker actors there are.
    """
    wanted: dict[str, Command] = {
        "monitor": monitor.Configure(
            monitor.MonitorConfig(
                interval_s=settings.monitoring_interval,
                cpu_warning=settings.cpu_threshold_warning,
                cpu_critical=settings.cpu_threshold_critical,
                memory_warning=settings.memory_threshold_warning,
                memory_critical=settings.memory_threshold_critical,
                failing_components=settings.failing_components,
                failing_window_s=settings.failing_window_s,
                heartbeat_check_s=check_s,
            )
        ),
        "analyzer": analyzer.Configure(auto_recovery=settings.enable_auto_recovery),
        "checkpointer": checkpointer.Configure(
            checkpointer.CheckpointerConfig(
                interval_s=settings.checkpoint_interval,
                max_checkpoints=settings.max_checkpoints,
                max_age_s=settings.checkpoint_max_age_days * DAY_S,
                keep_hourly_h=settings.checkpoint_keep_hourly_h,
                keep_daily_days=settings.checkpoint_keep_daily_days,
                every_steps=settings.checkpoint_every_steps,
            )
        ),
        "modes": modes.Configure(enabled=settings.enable_modes),
    }
    config = breaker_config(settings)
    return wanted | {name: breaker.Configure(config) for name in breakers}


def changed(wanted: Mapping[str, Command], state_of: Callable[[str], Any]) -> dict[str, Command]:
    """Those commands that would change something, given each actor's state."""
    return {name: command for name, command in wanted.items() if not _known(command, state_of(name))}


def _known(command: Command, state: Any) -> bool:
    match command:
        case analyzer.Configure(auto_recovery):
            return bool(state.auto_recovery == auto_recovery)
        case modes.Configure(enabled):
            return bool(state.enabled == enabled)
        case breaker.Configure(config):
            return bool(state.config == config or (state.config.own and not config.own))
        case monitor.Configure(config) | checkpointer.Configure(config):
            return bool(state.config == config)
    return False
