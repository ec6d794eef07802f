"""The peer of the benchmark of effects: steps of DBOS on its SQLite, plain and asynchronous, as it documents them.

One workflow of many steps; what beginning and ending the workflow costs is not counted.
"""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any

PEERS = ("dbos",)
RESULT = "0123456789"
"""What each effect and each step gives: ten bytes."""


def available() -> bool:
    """Whether it is installed: it comes with the ``bench`` extra."""
    return importlib.util.find_spec("dbos") is not None


class Dbos:
    """One launched instance with a workflow of each kind. There can be but one in a process."""

    def __init__(self, directory: Path) -> None:
        from dbos import DBOS

        directory.mkdir(parents=True)
        config: Any = {
            "name": "bench",
            "system_database_url": f"sqlite:///{directory / 'peer.sqlite'}",
            "log_level": "ERROR",
            "run_admin_server": False,
        }
        self._dbos: Any = DBOS
        DBOS(config=config)

        step = self._dbos.step()(_step)
        step_async = self._dbos.step()(_step_async)

        def workflow(steps: int) -> float:
            began = time.perf_counter()
            for number in range(steps):
                step(number)
            return (time.perf_counter() - began) / steps

        async def workflow_async(steps: int) -> float:
            began = time.perf_counter()
            for number in range(steps):
                await step_async(number)
            return (time.perf_counter() - began) / steps

        self._workflow: Any = self._dbos.workflow()(workflow)
        self._workflow_async: Any = self._dbos.workflow()(workflow_async)
        DBOS.launch()

    def step_s(self, steps: int) -> float:
        """Seconds per step of a plain workflow."""
        return float(self._workflow(steps))

    async def step_async_s(self, steps: int) -> float:
        """Seconds per step of an asynchronous one."""
        return float(await self._workflow_async(steps))

    def close(self) -> None:
        """Let go of its file and its threads."""
        self._dbos.destroy(destroy_registry=True)


def _step(_number: int) -> str:
    return RESULT


async def _step_async(_number: int) -> str:
    return RESULT
