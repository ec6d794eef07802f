"""Two agents in one process, each with a log, a state and a health of its own: one finds pages, the other reads them.

The reader's browser is killed on the way. It is restarted, the finder never hears of it, and nobody loses a step. Run
it twice: both go on where they were.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

from lrm_actors import LongRunningMode, LongRunningSettings

PAGES = ["news", "prices", "weather"]


class Agent:
    """What both have: a list of what is done, kept by a mode of its own."""

    def __init__(self, name: str) -> None:
        self.done: list[Any] = []
        self.mode = LongRunningMode(LongRunningSettings(enable_long_running_mode=True, agent_id=name))
        self.mode.capture_with(lambda: self.done)
        self.mode.restore_with(self.done.extend)
        self.mode.replay_with(lambda step: self.done.append(step.result))

    async def do(self, name: str, result: Any) -> None:
        """One step."""
        async with self.mode.step(name) as step:
            step.result = result
            self.done.append(result)


class Browser:
    """Stands for a browser: a process of its own."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        self.is_back = threading.Event()

    def restart(self) -> None:
        """Bring it back, from whatever state it is in."""
        self.stop()
        self.process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        self.is_back.set()

    def exit_status(self) -> int | None:
        """None while it lives."""
        return self.process.poll()

    def stop(self) -> None:
        """Let go of it."""
        self.process.kill()
        self.process.communicate()


async def find(finder: Agent, found: asyncio.Queue[str]) -> None:
    """Find a page after the other, and hand each over."""
    for page in finder.done:
        found.put_nowait(page)
    for page in PAGES[len(finder.done) :]:
        await finder.do(f"find {page}", page)
        found.put_nowait(page)


async def read(reader: Agent, found: asyncio.Queue[str], browser: Browser) -> None:
    """Read what was found, each page once."""
    for _ in PAGES:
        page = await found.get()
        if page in reader.done:
            continue
        await reader.do(f"read {page}", page)
        if page == "news":
            browser.process.kill()
            await asyncio.to_thread(browser.is_back.wait, 30)
            print("the reader's browser was killed, and is back")


async def main() -> int:
    """Run both on one loop."""
    finder, reader, browser = Agent("finder"), Agent("reader"), Browser()
    found: asyncio.Queue[str] = asyncio.Queue()
    async with finder.mode, reader.mode:
        await finder.mode.recover_from_checkpoint()
        await reader.mode.recover_from_checkpoint()
        print(f"the finder knew {len(finder.done)} pages, the reader {len(reader.done)}")
        reader.mode.register_component("browser", restart=browser.restart, exit_status=browser.exit_status)
        await asyncio.gather(find(finder, found), read(reader, found, browser))
        for agent in (finder, reader):
            report = await agent.mode.get_health_report()
            print(f"{report['agent_id']}: {report['steps']['committed']} steps are done")
    browser.stop()
    return finder.mode.exit_code or reader.mode.exit_code or 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
