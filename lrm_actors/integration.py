"""The seven methods for hosts that have agent classes of their own: the mode behind one small, forgiving object."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any

from eventstore.errors import EventStoreError
from lrm_actors.actors.analyzer import text_of
from lrm_actors.domain.checkpointer import EMERGENCY
from lrm_actors.errors import LrmError
from lrm_actors.hosting.host import Component, Host
from lrm_actors.mode import LongRunningMode
from lrm_actors.settings import LongRunningSettings

__all__ = ["Component", "Host", "LongRunningIntegration"]

_log = logging.getLogger("lrm_actors.integration")


class LongRunningIntegration:
    """Ties a host to its long-running mode. ``async with integration as mode`` starts and stops it.

    With the mode switched off every method answers, and nothing is done.

    Args:
        settings: as for ``LongRunningMode``.
        host: an object with ``capture``, ``restore``, ``components`` and ``gate``, and ``replay`` where it has steps.
        predecessor_exit: as for ``LongRunningMode``.
    """

    def __init__(
        self,
        settings: LongRunningSettings | None = None,
        host: Host | None = None,
        *,
        predecessor_exit: int | None = None,
    ) -> None:
        self._mode = LongRunningMode(settings, host, predecessor_exit=predecessor_exit)
        self._initialized = False

    @property
    def long_running_mode(self) -> LongRunningMode | None:
        """The mode; None before ``initialize`` and while it is switched off."""
        return self._mode if self._initialized and self._mode.settings.enable_long_running_mode else None

    @property
    def running(self) -> bool:
        """Whether the log is owned and the actors are up."""
        return self._mode.running

    @property
    def mode(self) -> LongRunningMode:
        """The mode, always: for the host's own loop, ``async with integration.mode.step(name)``.

        While it is switched off, steps and effects are carried out and nothing is kept, so no case is needed for that.
        """
        return self._mode

    async def __aenter__(self) -> LongRunningMode:
        """``initialize``, for ``async with integration as mode``."""
        await self.initialize()
        return self._mode

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._mode.__aexit__(kind, error, trace)

    async def initialize(self) -> bool:
        """Open the log, so that checkpoints can be listed and recovered. Whether the mode is switched on.

        Raises:
            OpenError: the log cannot be owned; its leaves say why and what to do.
        """
        await self._mode.start_monitoring()
        self._initialized = True
        return self._mode.settings.enable_long_running_mode

    async def start_monitoring(self) -> None:
        """Begin to look after the host, if ``initialize`` has not begun already."""
        await self.initialize()

    async def stop_monitoring(self) -> None:
        """Stop looking after the host, in order. Idempotent."""
        await self._mode.stop_monitoring()

    async def handle_component_failure(self, component: str, error: BaseException) -> str:
        """Put a component's failure on record and have it recovered from. Returns the strategy."""
        return await self._mode.handle_failure(error, {"component": component})

    async def create_emergency_checkpoint(self, reason: str) -> str | None:
        """Save the host's state at once. Returns the checkpoint's id; None when there is none: the log says why.

        Args:
            reason: kept with it, the first 500 characters of it; what is no text is told as one.
        """
        try:
            return await self._mode.take_checkpoint(text_of(reason), kind=EMERGENCY) or None
        except (LrmError, EventStoreError, TimeoutError) as error:
            _log.error("no emergency checkpoint: %s", error)
            return None

    async def attempt_recovery(self, checkpoint_id: str | None = None) -> bool:
        """Restore the host from a checkpoint, the best there is by default. Whether it was restored.

        A host with a method ``replay(step)`` takes up the steps committed since, also where there is no checkpoint.
        """
        return await self._mode.recover_from_checkpoint(checkpoint_id)

    async def get_health_status(self) -> dict[str, Any]:
        """The health report, with every key whatever the state of the mode."""
        return await self._mode.get_health_report()
