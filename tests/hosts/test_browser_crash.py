"""The browser that is killed is a real Chromium: the scenario of the demo, with another browser."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import tempfile
import urllib.parse
import urllib.request
from asyncio import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lrm_actors.demo.scenarios import browser_crash
from tests.hosts.browser_cases import ARGUMENTS, chromium

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
START_S, ANSWER_S, BEAT_S = 60.0, 10.0, 0.2
LISTENING = re.compile(rb"DevTools listening on ws://127\.0\.0\.1:(\d+)/")


class Chromium:
    """A Chromium, spoken to by its debugging port; each answer of it is a heartbeat."""

    def __init__(self, path: str, heartbeat: Callable[[], None]) -> None:
        self._path = path
        self._heartbeat = heartbeat
        self._process: subprocess.Process | None = None
        self._port = 0
        self._profile = ""
        self._tasks: list[asyncio.Task[None]] = []
        self.pids: list[int] = []

    @property
    def pid(self) -> int:
        """Of its main process."""
        return self.pids[-1]

    def exit_status(self) -> int | None:
        """None while it lives."""
        return None if self._process is None else self._process.returncode

    async def restart(self) -> None:
        """End the one there is, and start another with an empty profile."""
        await self.close()
        self._profile = tempfile.mkdtemp(prefix="lrm-chromium-")
        port, profile = "--remote-debugging-port=0", f"--user-data-dir={self._profile}"
        self._process = await asyncio.create_subprocess_exec(
            self._path, *ARGUMENTS, port, profile, "about:blank", stderr=subprocess.PIPE, process_group=0
        )
        self.pids.append(self._process.pid)
        assert self._process.stderr is not None
        async with asyncio.timeout(START_S):
            while (found := LISTENING.search(await self._process.stderr.readline())) is None:
                pass
        self._port = int(found[1])
        self._tasks = [asyncio.create_task(self._beat()), asyncio.create_task(_drain(self._process.stderr))]

    async def fetch(self, url: str) -> dict[str, Any]:
        """Open a page and read its title."""
        opened = await self._ask("PUT", f"new?{urllib.parse.quote(url, safe='')}")
        async with asyncio.timeout(START_S):
            while True:
                page = next(one for one in await self._ask("GET", "list") if one["id"] == opened["id"])
                if page["title"] and not page["title"].startswith(("127.0.0.1", "about:")):
                    return {"title": page["title"]}
                await asyncio.sleep(0.05)

    async def close(self) -> None:
        """End it with all its processes."""
        process, self._process = self._process, None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    async def _ask(self, method: str, what: str) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/json/{what}", method=method)

        def answer() -> Any:
            with OPENER.open(request, timeout=ANSWER_S) as response:
                return json.load(response)

        return await asyncio.to_thread(answer)

    async def _beat(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                await self._ask("GET", "version")
                self._heartbeat()
            await asyncio.sleep(BEAT_S)


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.readline():
        pass


def test_a_killed_chromium_is_replaced(tmp_path: Path) -> None:
    """Its main process is killed between two pages; another one is started, and the page is opened there."""
    path = chromium()
    if path is None:
        pytest.skip("there is no Chromium here")
    made: list[Chromium] = []

    def make(heartbeat: Callable[[], None]) -> Chromium:
        made.append(Chromium(path, heartbeat))
        return made[0]

    account = asyncio.run(browser_crash.run(tmp_path, lambda _: None, make))
    assert account.ok, (account.trouble, account.entries)
    assert 2 == len(set(made[0].pids))
    assert "exit by signal 9 (SIGKILL)" == account.story[0].began
    print("; ".join(f"{entry.what} after {entry.after_s:.1f} s" for entry in account.entries), account.entries[-1].text)
