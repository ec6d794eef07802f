"""What the feature document takes for granted, for its code to run: a model, an agent that runs, and who calls what.

Everything in ``__all__`` is in the namespace of the document's first block.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from lrm_actors.integration import LongRunningIntegration
from tests.hosts.browser_use import hosting
from tests.hosts.browser_use.scripted import ScriptedModel

__all__ = [
    "agent_in", "asyncio", "beside", "initialized", "json", "llm", "recoveries", "run_agent", "your_llm",
    "your_llm_provider",
]  # fmt: skip
LONG_S = 10.0
"""A sleep of this long in a loop is shortened."""


def _two_steps(step: int, url: str, prompt: str) -> list[dict[str, Any]]:
    if step == 1:
        return [{"write_file": {"file_name": "notes.md", "content": "begun"}}]
    return [{"done": {"text": "nothing has changed", "success": True}}]


your_llm = your_llm_provider = llm = ScriptedModel("", script=_two_steps, steps=2)
recoveries: list[bool] = []
"""What each recovery answered."""


def prepare() -> None:
    """In the interpreter of the document: keep browser-use from the network, and note what recoveries answer."""
    hosting.offline(Path.cwd())
    attempt = LongRunningIntegration.attempt_recovery

    async def noted(integration: Any, checkpoint_id: str | None = None) -> bool:
        recoveries.append(await attempt(integration, checkpoint_id))
        return recoveries[-1]

    setattr(LongRunningIntegration, "attempt_recovery", noted)  # noqa: B010 - mypy takes an assignment for a mistake


def agent_in(directory: str) -> Any:
    """An agent whose log is in a directory."""
    adapter: Any = importlib.import_module("lrm_actors.adapters.browser_use")
    settings = adapter.AgentSettings(
        task="Look whether anything has changed",
        llm=llm,
        enable_long_running_mode=True,
        long_running_checkpoint_dir=directory,
        **hosting.QUIET,
    )
    return adapter.Agent(settings)


async def run_agent(directory: str) -> None:
    """Run an agent to its end, so that there is a log with checkpoints in a directory."""
    history = await agent_in(directory).run()
    assert history.is_done(), history


async def initialized(directory: str) -> Any:
    """An agent that was run before, and whose integration is asked now."""
    await run_agent(directory)
    agent = agent_in(directory)
    assert await agent.supervisor.long_running_integration.initialize()
    return agent


async def beside(watch: Callable[[], Awaitable[object]], running: Any) -> None:
    """Run an agent, and beside it what watches it without end; that has to have gone round once at least."""
    rounds: list[float] = []
    sleep = asyncio.sleep

    async def noted(delay: float, result: Any = None) -> Any:
        if delay >= LONG_S and asyncio.current_task() is watching:
            rounds.append(delay)
            delay = 0.05
        return await sleep(delay, result)

    setattr(asyncio, "sleep", noted)  # noqa: B010
    watching = asyncio.ensure_future(watch())
    try:
        await running.run()
        while not rounds and not watching.done():
            await sleep(0.01)
    finally:
        setattr(asyncio, "sleep", sleep)  # noqa: B010
        watching.cancel()
        (ended,) = await asyncio.gather(watching, return_exceptions=True)
    assert rounds, ended
    assert isinstance(ended, asyncio.CancelledError), ended
