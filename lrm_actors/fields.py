"""What can be set, and what each setting may be: the table ``FIELDS`` says everything there is to know of each.

Talks to nobody: the values of an agent, and where they came from, are in ``settings``.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from typing import Any

from eventstore.frozen import frozen
from lrm_actors.errors import SettingsError

ENV_PREFIX = "LRM_"
DAY_S = 86_400.0

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_SHOWN = {"bool": "true or false", "path": "a directory", "name": "1 to 100 letters, digits, '.', '_' or '-'"}


@frozen
class Setting:
    """Everything there is to know of one setting."""

    name: str
    type: str
    """``bool``, ``int``, ``float``, ``path`` or ``name``."""
    default: Any
    meaning: str
    least: float = 0.0
    most: float = math.inf
    optional: bool = False
    """None is allowed, and means that it is not set."""

    @property
    def allowed(self) -> str:
        """Its range in words."""
        numbers = f"{'a whole number' if self.type == 'int' else 'a number'} from {self.least:g} to {self.most:g}"
        return _SHOWN.get(self.type, numbers) + (", or None" if self.optional else "")

    @property
    def variable(self) -> str:
        """The environment variable it is read from."""
        return ENV_PREFIX + self.name.upper()

    def check(self, value: object, source: str) -> Any:
        """The value as it is kept.

        Raises:
            SettingsError: it is not allowed.
        """
        if value is None and self.optional:
            return None
        checked = _CHECKS[self.type](self, value)
        if checked is None:
            raise SettingsError(self.name, value, self.allowed, source=source)
        return checked

    def parse(self, text: str) -> object:
        """What a variable's text stands for; the text itself when it stands for nothing of this type."""
        text = text.strip()
        if self.type == "bool":
            return _WORDS.get(text.lower(), text)
        if self.type in {"int", "float"}:
            try:
                return int(text) if self.type == "int" else float(text)
            except ValueError:
                return text
        return text


def _check_bool(setting: Setting, value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _check_number(setting: Setting, value: object) -> float | None:
    kinds = int if setting.type == "int" else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        return None
    if not setting.least <= value <= setting.most:  # NaN is within no range, infinity within none of ours
        return None
    return value if setting.type == "int" else float(value)


def _check_path(setting: Setting, value: object) -> str | None:
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    return path if isinstance(path, str) and path.strip() and "\0" not in path else None


def _check_name(setting: Setting, value: object) -> str | None:
    # It becomes a directory's name, so it must not lead anywhere else.
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        return None
    return value


_CHECKS: dict[str, Callable[[Setting, object], Any]] = {
    "bool": _check_bool,
    "int": _check_number,
    "float": _check_number,
    "path": _check_path,
    "name": _check_name,
}


def _percent(name: str, default: float, meaning: str) -> Setting:
    return Setting(name, "float", default, meaning, 0.0, 100.0)


def _seconds(name: str, default: float, meaning: str) -> Setting:
    return Setting(name, "float", default, meaning, 0.01, DAY_S)


FIELDS = (
    Setting("enable_long_running_mode", "bool", default=False, meaning="Switches the whole mode on."),
    _seconds("monitoring_interval", 30.0, "Seconds between two looks at the resources in normal mode."),
    _seconds("checkpoint_interval", 300.0, "Seconds between two periodic checkpoints in normal mode."),
    Setting("checkpoint_dir", "path", None, "Directory that holds a log for each agent.", optional=True),
    Setting("max_checkpoints", "int", 50, "Periodic and manual checkpoints kept.", 1, 100_000),
    _percent("cpu_threshold_warning", 80.0, "Percent of all CPUs from which health is a warning."),
    _percent("cpu_threshold_critical", 95.0, "Percent of all CPUs from which health is critical."),
    _percent("memory_threshold_warning", 80.0, "Percent of memory from which health is a warning."),
    _percent("memory_threshold_critical", 95.0, "Percent of memory from which health is critical."),
    Setting("circuit_breaker_failure_threshold", "int", 5, "Failures in a row that open a breaker.", 1, 10_000),
    _seconds("circuit_breaker_recovery_timeout", 60.0, "Seconds that a breaker stays open before it is probed."),
    Setting("enable_auto_recovery", "bool", default=True, meaning="Act on failures; off: only classify and report."),
    Setting("agent_id", "name", "default", "Names the agent and its directory; the same after every restart."),
    Setting("memory_budget_mb", "float", None, "Megabytes that the agent may use.", 1.0, 1e9, optional=True),
    Setting("enable_modes", "bool", default=True, meaning="Let health change the operation mode."),
    Setting("dump_on_sigusr1", "bool", default=True, meaning="Print the actors on SIGUSR1, if nobody else handles it."),
    Setting("max_log_mb", "float", 512.0, "Megabytes of log above which its oldest events go.", 1.0, 1e6),
    Setting("max_log_age_days", "float", 90.0, "Days after which events go.", 0.01, 36_500.0),
    Setting("failing_components", "int", 2, "Distinct components failed within the window that mean failing.", 1, 1000),
    _seconds("failing_window_s", 60.0, "Seconds within which they must fail."),
    Setting("checkpoint_every_steps", "int", 0, "Steps between two checkpoints besides; 0 for none.", 0, 100_000),
    Setting("checkpoint_on_sigterm", "bool", default=True, meaning="Save the state on SIGTERM, if nobody handles it."),
    Setting("checkpoint_max_age_days", "float", 0.0, "Days after which checkpoints go; 0 for none.", 0.0, 36_500.0),
    Setting("checkpoint_keep_hourly_h", "int", 0, "Hours for which one checkpoint of each stays besides.", 0, 8_784),
    Setting("checkpoint_keep_daily_days", "int", 0, "Days for which one checkpoint of each stays besides.", 0, 3_660),
)
"""Every setting, in the order of ``LongRunningSettings``."""

BY_NAME = {setting.name: setting for setting in FIELDS}
