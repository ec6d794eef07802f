"""Processes of the agent compute without a pause; the mode changes, and the agent does less at a time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lrm_actors.demo.scenarios.account import Account
from lrm_actors.demo.scenarios.hog import PROCESSES
from lrm_actors.demo.scenarios.hogs import Hog
from lrm_actors.demo.scenarios.stage import Stage
from lrm_actors.hosting.host import Component

MOST_HOGS = 8
FULL, SLOW, STEADY = 1.0, 0.01, 0.03
"""Share of the time that the agent computes: at first, while the machine is overloaded, and after that."""


class Agent:
    """Computes in several processes, as fast as the operation mode lets it. After an overload it is more careful."""

    def __init__(self, workers: list[Hog]) -> None:
        self._workers = workers
        self._share = 0.0

    async def compute(self, share: float) -> None:
        """Compute for this share of the time."""
        self._share = share
        for worker in self._workers:
            await worker.order(f"share {share}")

    def capture(self) -> Any:
        """Its state."""
        return {"done": sum(worker.done for worker in self._workers)}

    def restore(self, state: Any) -> None:
        """Take up a state: there is nothing to do."""

    def components(self) -> Iterable[Component]:
        """The processes."""
        return [
            Component(f"worker-{number}", restart=worker.restart, exit_status=worker.exit_status)
            for number, worker in enumerate(self._workers, 1)
        ]

    async def gate(self, mode: str) -> None:
        """Told of each operation mode: do less while it is not normal, and only a little more after that."""
        if mode != "normal":
            await self.compute(SLOW)
        elif self._share == SLOW:
            await self.compute(STEADY)


async def run(directory: Path, say: Callable[[str], None]) -> Account:
    """Have more processes than there are CPUs compute without a pause."""
    workers = [Hog("cpu") for _ in range(min(MOST_HOGS, os.cpu_count() or 1))]
    agent = Agent(workers)
    stage = Stage("cpu-overload", directory, say, host=agent)
    try:
        await asyncio.gather(*(worker.restart() for worker in workers))
        async with stage:
            await stage.calm()
            stage.breaking()
            await agent.compute(FULL)
            stage.broke(f"{len(workers) * PROCESSES} processes of the agent compute without a pause")
            noticed = await stage.noticed("monitor.health_changed", lambda event: event.status != "healthy")
            done = sum(worker.done for worker in workers)
            slowed = await stage.did("chosen", "modes.changed", lambda event: event.mode != "normal")
            stage.note(f"the agent is told so, and computes for {SLOW:.0%} of the time")
            well = await stage.did(
                "worked", "modes.changed", lambda event: event.mode == "normal", after=noticed.position
            )
            await stage.until(lambda: sum(worker.done for worker in workers) > done, "the work goes on")
            stage.works(
                f"the work goes on for {STEADY:.0%} of the time: {sum(w.done for w in workers) - done} pieces since"
            )
            stage.told(slowed)
            stage.told(well, of=well.cause)
            return stage.account()
    finally:
        for worker in workers:
            await worker.close()
