"""What looks after an agent: the seven methods of its integration, and what the mode asks of it.

Talks to the agent and to the long-running mode.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lrm_actors.integration import Component, LongRunningIntegration

if TYPE_CHECKING:
    from lrm_actors.adapters.browser_use.agent import Agent

STATE_VERSION = 1

_log = logging.getLogger("lrm_actors.adapters.browser_use")


class Supervisor:
    """What looks after an agent."""

    def __init__(self, integration: AgentIntegration) -> None:
        self.long_running_integration = integration
        """Its seven methods; always there, whether the mode is switched on or not."""


class AgentIntegration(LongRunningIntegration):
    """``LongRunningIntegration`` of a browser agent, whose recovery also works while the agent runs."""

    def __init__(self, agent: Agent) -> None:
        super().__init__(agent.settings.long_running, _Host(agent))
        self._agent = agent

    async def attempt_recovery(self, checkpoint_id: str | None = None) -> bool:
        """Have the agent go on from a checkpoint: with the next ``run()``, or from the next step on if it runs.

        Args:
            checkpoint_id: None, or the newest one: the steps committed after it are done and stay so. An older one:
                what came after it is done anew.
        """
        mode = self.long_running_mode
        if mode is None:
            return False
        newest = (await mode.checkpointer.list_checkpoints())[:1]
        restored = await super().attempt_recovery(checkpoint_id)
        self._agent.select(mode.last_recovery, with_steps=checkpoint_id is None or [checkpoint_id] == newest)
        return restored


class _Host:
    """What the mode asks of the agent."""

    state_version = STATE_VERSION

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def capture(self) -> dict[str, Any]:
        return self._agent.slim_state

    def restore(self, state: Any) -> None:
        self._agent.restored(state)

    def components(self) -> Iterable[Component]:
        return ()

    def gate(self, mode: str) -> None:
        _log.info("operation mode: %s", mode)
