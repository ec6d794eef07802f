"""A process of the agent leaks until memory is short: dropping caches does not help, so it is restarted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil

from lrm_actors.demo.scenarios.account import Account
from lrm_actors.demo.scenarios.hogs import Hog
from lrm_actors.demo.scenarios.stage import Missing, Stage
from lrm_actors.hosting.host import Component

TAB = "tab"
MIB = 1024 * 1024
LEAK_BYTES = 1 * MIB
"""For each tick of 20 ms."""
SHARE_BEFORE = 0.6
"""Of its budget, what the agent uses before the leak."""
LEAST_ROOM_MB = 48.0
LOOK_S = 0.6
"""How long the agent gives a recovery before it looks again."""


class MemoryShort(MemoryError):
    """There is hardly any memory left, and this part of the agent holds most of it."""


class Agent:
    """Has one tab. When it is told that memory is short, it says which of its parts is the largest."""

    def __init__(self, tab: Hog) -> None:
        self._tab = tab
        self.short = asyncio.Event()

    def capture(self) -> Any:
        """Its state."""
        return {"tab": "front page"}

    def restore(self, state: Any) -> None:
        """Take up a state: there is nothing to do."""

    def components(self) -> Iterable[Component]:
        """The tab."""
        return [
            Component(
                TAB,
                restart=self._tab.restart,
                clear_caches=lambda: self._tab.order("drop"),
                exit_status=self._tab.exit_status,
            )
        ]

    def gate(self, mode: str) -> None:
        """Told of each operation mode."""
        if mode == "normal":
            self.short.clear()
        else:
            self.short.set()


async def run(directory: Path, say: Callable[[str], None]) -> Account:
    """Have a tab leak."""
    tab = Hog("memory")
    agent = Agent(tab)
    stage = Stage("memory-leak", directory, say, host=agent)
    try:
        await tab.restart()
        async with stage:
            first = await stage.seen("monitor.sampled", lambda event: event.metrics.memory_rss_bytes is not None)
            used_mb = first.event.metrics.memory_rss_bytes / MIB
            budget_mb = max(used_mb / SHARE_BEFORE, used_mb + LEAST_ROOM_MB)
            stage.mode.settings.memory_budget_mb = budget_mb
            stage.breaking()
            await tab.order(f"leak {LEAK_BYTES}")
            stage.broke(
                f"the tab (pid {tab.pid}) leaks {LEAK_BYTES / MIB:.0f} MiB every 20 ms; the agent uses {used_mb:.0f}"
                f" MiB of a budget of {budget_mb:.0f}"
            )
            reporting = asyncio.create_task(_report(stage, agent, tab))
            try:
                short = await stage.noticed("monitor.health_changed", lambda event: event.status != "healthy")
                await stage.did("note", "modes.memory_reclaimed")
                await stage.noticed("analyzer.failure_recorded", lambda event: event.component == TAB)
                await stage.chosen("clear_caches", TAB)
                await stage.did("note", "analyzer.recovery_judged", lambda event: event.strategy == "clear_caches")
                chosen = await stage.chosen("restart_component", TAB)
                restarted = await stage.did(
                    "worked", "supervisor.child_restarted", lambda event: event.child == f"component:{TAB}"
                )
                well = await stage.did(
                    "worked", "modes.changed", lambda event: event.mode == "normal", after=chosen.position
                )
            finally:
                reporting.cancel()
                await asyncio.gather(reporting, return_exceptions=True)
            stage.works(f"the new tab (pid {tab.pid}) holds {_held_mb(tab):.0f} MiB")
            stage.told(restarted, of=chosen.cause)
            mode_changed = await stage.seen("modes.changed", after=short.position)
            stage.told(mode_changed, of=short.position)
            stage.told(well, of=well.cause)
            return stage.account()
    finally:
        await tab.close()


async def _report(stage: Stage, agent: Agent, tab: Hog) -> None:
    """While memory is short, say which part of the agent holds most, and give what is chosen the time to work."""
    while True:
        await agent.short.wait()
        held_mb = _held_mb(tab)
        budget_mb = stage.mode.settings.memory_budget_mb
        error = MemoryShort(f"memory is short: the tab holds {held_mb:.0f} MiB of {budget_mb:.0f}")
        strategy = await stage.mode.handle_failure(error, {"component": TAB})
        if strategy == "restart_component":
            return  # the rest is the system's
        await asyncio.sleep(LOOK_S)


def _held_mb(tab: Hog) -> float:
    try:
        return float(psutil.Process(tab.pid).memory_info().rss) / MIB
    except psutil.Error as error:
        raise Missing(f"the tab is gone: {error}") from error
