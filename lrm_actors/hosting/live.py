"""Settings that hold at once: each assignment becomes a command to the actors that it concerns.

Talks to the running system by telling. Called on the host's threads, its event loop's among them: nothing here waits.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from lrm_actors.domain.behavior import Command
from lrm_actors.errors import AskError, LrmError, SettingsError
from lrm_actors.hosting import configuration
from lrm_actors.hosting.running import Running
from lrm_actors.settings import LongRunningSettings

_log = logging.getLogger("lrm_actors.mode")


class LiveSettings:
    """Follows the settings of one mode.

    Args:
        settings: those.
        running: gives the system that runs now, if any.
        breakers: gives the names of the breaker actors.
        acting: what else is done on the assignment of a setting, given its old and its new value.
    """

    def __init__(
        self,
        settings: LongRunningSettings,
        *,
        running: Callable[[], Running | None],
        breakers: Callable[[], tuple[str, ...]],
        acting: Mapping[str, Callable[[Any, Any], object]],
    ) -> None:
        self._settings = settings
        self._running = running
        self._breakers = breakers
        self._acting = acting
        self._telling = threading.Lock()
        self._told: dict[str, Command] = {}
        self._heartbeat_timeouts_s: dict[str, float] = {}

    def follow(self) -> Callable[[], None]:
        """Begin to follow; returns what ends it."""
        return self._settings.observe(self._on_assignment)

    def heartbeat_timeout(self, component: str, timeout_s: float | None) -> None:
        """Have the monitor look often enough for this component."""
        with self._telling:
            self._heartbeat_timeouts_s.pop(component, None)
            if timeout_s is not None:
                self._heartbeat_timeouts_s[component] = timeout_s
        self.tell()

    def ask_all(self, running: Running) -> None:
        """Have each actor know its settings before this returns; each difference is put on record.

        Raises:
            AskError: one could not be told.
        """
        wanted = self._wanted(running)
        for name, command in configuration.changed(wanted, running.system.state).items():
            running.system.ask_blocking(name, command)
        with self._telling:
            self._told = wanted

    def tell(self) -> None:
        """Tell each actor of those settings that it was not told yet. Returns at once."""
        running = self._running()
        if running is None:
            return
        with self._telling:
            for name, command in self._wanted(running).items():
                if self._told.get(name) == command:
                    continue
                try:
                    running.system.tell(name, command)
                except AskError as error:
                    _log.error("%s does not hear of its settings: %s", name, error)
                except LrmError as error:
                    _log.debug("%s hears of its settings later: %s", name, error)
                else:
                    self._told[name] = command

    def _wanted(self, running: Running) -> dict[str, Command]:
        there = running.system.shells()
        return configuration.commands(
            self._settings,
            check_s=configuration.heartbeat_check_s(self._heartbeat_timeouts_s),
            breakers=tuple(name for name in self._breakers() if name in there),
        )

    def _on_assignment(self, field: str, old: Any, new: Any) -> None:
        running = self._running()
        if field == "agent_id" and running is not None:
            if new == running.agent_id:
                return  # put back, below
            self._settings.update(agent_id=old)
            raise SettingsError(field, new, f"{old!r} while the mode runs", source="assignment")
        act = self._acting.get(field)
        if act is not None:
            act(old, new)
        else:
            self.tell()
