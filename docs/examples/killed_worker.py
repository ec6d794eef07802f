"""A worker process of the agent is killed; the system sees it, restarts it, and can say why."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from eventstore import EventReader
from lrm_actors import LongRunningMode, LongRunningSettings
from lrm_actors.inspect.chains import why


class Worker:
    """Stands for a browser, or anything else that is a process of its own."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def restart(self) -> None:
        """Bring it back, from whatever state it is in."""
        self.stop()
        self.process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    def exit_status(self) -> int | None:
        """None while it lives."""
        return self.process.poll() if self.process is not None else None

    def stop(self) -> None:
        """Let go of it."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()


def wait_for_restart(log: EventReader, after: int) -> int:
    """Follow the log until the worker was restarted; returns the position."""
    return next(record.position for record in log.tail(after=after) if record.type == "supervisor.child_restarted")


async def main() -> int:
    """Kill the worker and read in the log what came of it."""
    worker = Worker()
    mode = LongRunningMode(LongRunningSettings(enable_long_running_mode=True, agent_id="crawler"))
    async with mode:
        worker.restart()
        mode.register_component("worker", restart=worker.restart, exit_status=worker.exit_status)
        log = mode.reader()
        head = log.head
        assert worker.process is not None
        worker.process.kill()
        position = await asyncio.to_thread(wait_for_restart, log, head)
        for link in why(log, str(position)).links:
            print(link.record.type)
    worker.stop()
    return mode.exit_code or 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
