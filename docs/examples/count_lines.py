"""An agent on asyncio: counts the lines of every module of a package, one step each.

Kill it whenever you like and run it again: it goes on where it was. The second run after a whole one has nothing to do.
"""

from __future__ import annotations

import asyncio
import email
import sys
from pathlib import Path

from lrm_actors import LongRunningMode, LongRunningSettings

PACKAGE = Path(email.__file__).parent


def lines_of(path: Path) -> int:
    """The work of one step."""
    return len(path.read_text().splitlines())


class Agent:
    """Its state is plain data, and changes inside steps only."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.mode = LongRunningMode(LongRunningSettings(enable_long_running_mode=True, agent_id="counter"))
        self.mode.capture_with(lambda: self.counts)
        self.mode.restore_with(self.counts.update)
        self.mode.replay_with(lambda done: self.counts.update(done.result))

    async def run(self) -> int:
        """Go on where the last process was; returns the exit code of this one."""
        async with self.mode:
            await self.mode.recover_from_checkpoint()  # the newest one, and what was committed after it
            known = len(self.counts)
            for path in sorted(PACKAGE.glob("*.py")):
                if path.name not in self.counts:
                    await self.count(path)
            print(f"knew {known} modules, counted {len(self.counts) - known}, {sum(self.counts.values())} lines in all")
        return self.mode.exit_code or 0

    async def count(self, path: Path) -> None:
        """One step: durable with its result when the block ends."""
        async with self.mode.step(f"count {path.name}") as step:
            step.result = {path.name: await asyncio.to_thread(lines_of, path)}
            self.counts.update(step.result)


if __name__ == "__main__":
    sys.exit(asyncio.run(Agent().run()))
