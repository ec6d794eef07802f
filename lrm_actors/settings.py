"""The settings of one agent: their values, where each came from, and who is told when one changes.

Values are checked when they are given and again on every assignment, so a running mode never sees a wrong one. What
each may be stands in ``fields``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from lrm_actors.errors import SettingsError, UnknownSetting
from lrm_actors.fields import BY_NAME, DAY_S, ENV_PREFIX, FIELDS, Setting

__all__ = [
    "ALIAS_PREFIX",
    "DAY_S",
    "DEFAULT_DIRECTORY",
    "FIELDS",
    "LOG_NAME",
    "LongRunningSettings",
    "Observer",
    "Setting",
]

DEFAULT_DIRECTORY = ".lrm"
"""Where logs are kept when ``checkpoint_dir`` is not set, relative to the working directory."""
LOG_NAME = "lrm.db"
ALIAS_PREFIX = "long_running_"
CONFIG_NAME, PROJECT_NAME = "lrm.toml", "pyproject.toml"
MISSPELT_CUTOFF = 0.85
"""A variable that is this similar to a setting's, and is none, is taken for a misspelling and refused."""

_ORDERED = (
    ("cpu_threshold_warning", "cpu_threshold_critical"),
    ("memory_threshold_warning", "memory_threshold_critical"),
)
"""Pairs of which the first must not be above the second."""

Observer = Callable[[str, Any, Any], object]
"""Called with a field, its old value and its new one."""


@attrs.define(slots=False, init=False)
class LongRunningSettings:
    """The settings of one agent's long-running mode. Give and assign them by name; ``FIELDS`` has the ranges.

    Assigning checks the value first and then tells the observers. Names with the prefix ``long_running_`` are
    understood wherever settings are given.

    Raises:
        SettingsError: a value is not allowed.
        UnknownSetting: there is no setting of a name.
    """

    enable_long_running_mode: bool
    monitoring_interval: float
    checkpoint_interval: float
    checkpoint_dir: str | None
    max_checkpoints: int
    cpu_threshold_warning: float
    cpu_threshold_critical: float
    memory_threshold_warning: float
    memory_threshold_critical: float
    circuit_breaker_failure_threshold: int
    circuit_breaker_recovery_timeout: float
    enable_auto_recovery: bool
    agent_id: str
    memory_budget_mb: float | None
    enable_modes: bool
    dump_on_sigusr1: bool
    max_log_mb: float
    max_log_age_days: float
    failing_components: int
    failing_window_s: float
    checkpoint_every_steps: int
    checkpoint_on_sigterm: bool
    checkpoint_max_age_days: float
    checkpoint_keep_hourly_h: int
    checkpoint_keep_daily_days: int

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            enable_long_running_mode: bool = False,
            monitoring_interval: float = 30.0,
            checkpoint_interval: float = 300.0,
            checkpoint_dir: str | os.PathLike[str] | None = None,
            max_checkpoints: int = 50,
            cpu_threshold_warning: float = 80.0,
            cpu_threshold_critical: float = 95.0,
            memory_threshold_warning: float = 80.0,
            memory_threshold_critical: float = 95.0,
            circuit_breaker_failure_threshold: int = 5,
            circuit_breaker_recovery_timeout: float = 60.0,
            enable_auto_recovery: bool = True,
            agent_id: str = "default",
            memory_budget_mb: float | None = None,
            enable_modes: bool = True,
            dump_on_sigusr1: bool = True,
            max_log_mb: float = 512.0,
            max_log_age_days: float = 90.0,
            failing_components: int = 2,
            failing_window_s: float = 60.0,
            checkpoint_every_steps: int = 0,
            checkpoint_on_sigterm: bool = True,
            checkpoint_max_age_days: float = 0.0,
            checkpoint_keep_hourly_h: int = 0,
            checkpoint_keep_daily_days: int = 0,
            **long_running: Any,
        ) -> None: ...

    else:

        def __init__(self, **arguments: Any) -> None:
            self._begin({name: (value, "argument") for name, value in _named(arguments, "argument").items()})

    @classmethod
    def load(cls, *, config: str | os.PathLike[str] | None = None, **arguments: Any) -> LongRunningSettings:
        """Settings from the arguments, then ``LRM_*`` variables, then ``lrm.toml`` or ``[tool.lrm]``, then defaults.

        Args:
            config: the TOML file, or the directory to look in for ``lrm.toml`` and then ``pyproject.toml``; the
                working directory when it is not given.
            arguments: settings by name.

        Raises:
            SettingsError: a value is not allowed, or the file cannot be read.
            UnknownSetting: there is no setting of a name.
        """
        given = {name: (value, "argument") for name, value in _named(arguments, "argument").items()}
        settings = cls.__new__(cls)
        cls._begin(settings, {**_from_file(config), **_from_environment(os.environ), **given})
        return settings

    def _begin(self, given: Mapping[str, tuple[object, str]]) -> None:
        values = {}
        for setting in FIELDS:
            value, source = given.get(setting.name, (setting.default, "default"))
            values[setting.name] = setting.check(value, source)
        sources = {name: given[name][1] if name in given else "default" for name in values}
        _check_together(values, sources, blamed=given)
        vars(self).update(values, _sources=sources, _observers=(), _lock=threading.RLock())

    def __setattr__(self, name: str, value: object) -> None:
        """Check a value, take it, and tell the observers."""
        self.update(**{name: value})

    def __delattr__(self, name: str) -> None:
        """Refused: every setting always has a value.

        Raises:
            SettingsError: always, if there is such a setting.
        """
        setting = BY_NAME[next(iter(_named({name: None}, "assignment")))]
        raise SettingsError(setting.name, "nothing", setting.allowed, source="assignment")

    def update(self, **changes: Any) -> None:
        """Assign several settings at once: all of them or none.

        Observers are called on this thread, in order, after the values are in place, and no other assignment comes
        between. Every observer is called; the first exception of one is raised at the end.

        Raises:
            SettingsError: a value is not allowed; nothing has changed.
            UnknownSetting: there is no setting of a name; nothing has changed.
        """
        named = _named(changes, "assignment")
        checked = {name: BY_NAME[name].check(value, "assignment") for name, value in named.items()}
        with self._lock:
            before = self.as_dict()
            _check_together({**before, **checked}, dict.fromkeys(before, "assignment"), blamed=checked)
            vars(self).update(checked)
            vars(self)["_sources"] = {**self._sources, **dict.fromkeys(checked, "assignment")}
            self._tell([(name, before[name], value) for name, value in checked.items() if value != before[name]])

    def _tell(self, changed: list[tuple[str, Any, Any]]) -> None:
        failure: Exception | None = None
        for change in changed:
            for (observer,) in self._observers:
                try:
                    observer(*change)
                except Exception as error:  # noqa: BLE001 - one observer's failure is no other's
                    failure = failure or error
        if failure is not None:
            raise failure

    def observe(self, callback: Observer) -> Callable[[], None]:
        """Call ``callback(field, old, new)`` after each assignment that changes a value; returns how to end that."""
        entry = (callback,)  # a tuple of its own, so that one function observing twice can be taken off once
        with self._lock:
            vars(self)["_observers"] = (*self._observers, entry)

        def stop() -> None:
            with self._lock:
                vars(self)["_observers"] = tuple(one for one in self._observers if one is not entry)

        return stop

    def source_of(self, name: str) -> str:
        """Where a value came from: ``default``, ``argument``, ``assignment``, a variable's or a file's name.

        Raises:
            UnknownSetting: there is no setting of this name.
        """
        (known,) = _named({name: None}, "argument")
        return str(self._sources[known])

    def as_dict(self) -> dict[str, Any]:
        """Every setting's value, by name."""
        return {setting.name: vars(self)[setting.name] for setting in FIELDS}

    @property
    def log_path(self) -> Path:
        """The agent's log: ``<checkpoint_dir>/<agent_id>/lrm.db``."""
        return Path(self.checkpoint_dir or DEFAULT_DIRECTORY) / self.agent_id / LOG_NAME

    def __reduce__(self) -> tuple[Callable[..., LongRunningSettings], tuple[dict[str, Any]]]:
        """Copies and pickles hold the values; observers stay with the original."""
        return _rebuilt, (self.as_dict(),)

    if TYPE_CHECKING:  # kept beside the settings, and none themselves
        _sources: dict[str, str]
        _observers: tuple[tuple[Observer], ...]
        _lock: threading.RLock


def _rebuilt(values: dict[str, Any]) -> LongRunningSettings:
    return LongRunningSettings(**values)


def _named(given: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The same, by the settings' own names.

    Raises:
        UnknownSetting: there is no setting of a name.
        SettingsError: one is given twice, by its name and by its alias.
    """
    named: dict[str, Any] = {}
    for name, value in given.items():
        known = name if name in BY_NAME else name.removeprefix(ALIAS_PREFIX)
        if known not in BY_NAME:
            raise UnknownSetting(name, _similar(known), source=source)
        if known in named:
            raise SettingsError(known, value, f"given once, not also as {ALIAS_PREFIX}{known}", source=source)
        named[known] = value
    return named


def _similar(name: str, cutoff: float = 0.6) -> str | None:
    import difflib

    return next(iter(difflib.get_close_matches(name, BY_NAME, n=1, cutoff=cutoff)), None)


def _check_together(values: Mapping[str, Any], sources: Mapping[str, str], *, blamed: Mapping[str, object]) -> None:
    """Check what must hold between settings; the one that was given is at fault rather than the one that was not."""
    for low, high in _ORDERED:
        if values[low] <= values[high]:
            continue
        if high in blamed and low not in blamed:
            raise SettingsError(high, values[high], f"at least {low} ({values[low]:g})", source=sources[high])
        raise SettingsError(low, values[low], f"at most {high} ({values[high]:g})", source=sources[low])


def _from_environment(environment: Mapping[str, str]) -> dict[str, tuple[object, str]]:
    found: dict[str, tuple[object, str]] = {}
    for variable, text in sorted(environment.items()):
        if not variable.startswith(ENV_PREFIX) or not text.strip():  # an empty variable is as good as none
            continue
        name = variable.removeprefix(ENV_PREFIX).lower()
        known = name if name in BY_NAME else name.removeprefix(ALIAS_PREFIX)
        if known in BY_NAME:
            found[known] = (BY_NAME[known].parse(text), variable)
        elif (meant := _similar(known, MISSPELT_CUTOFF)) is not None:
            raise UnknownSetting(variable, BY_NAME[meant].variable, source="environment")
    return found


def _from_file(config: str | os.PathLike[str] | None) -> dict[str, tuple[object, str]]:
    place = Path.cwd() if config is None else Path(config)
    if not place.is_dir():
        return _read(place)
    for name in (CONFIG_NAME, PROJECT_NAME):
        if (place / name).is_file() and (found := _read(place / name)):
            return found
    return {}


def _read(path: Path) -> dict[str, tuple[object, str]]:
    import tomllib

    try:
        table: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError("config", str(path), f"a TOML file that can be read ({error})", source="file") from error
    if path.name == PROJECT_NAME:
        for key in ("tool", "lrm"):
            table = table.get(key, {}) if isinstance(table, dict) else table
    if not isinstance(table, dict):
        raise SettingsError("tool.lrm", table, "a table", source=str(path))
    return {name: (value, str(path)) for name, value in _named(table, str(path)).items()}
