"""The agent's side of the browser: starts the worker process, asks it for pages, passes its heartbeats on.

Restarting is left to whoever calls ``restart``: this module notices that a worker is gone, fails what was asked of it,
and waits for the next one.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from asyncio import subprocess
from collections.abc import Callable
from typing import Any

from lrm_actors.demo import child

WORKER_MODULE = "lrm_actors.demo.worker"
START_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 30.0
"""How long a worker that beats may owe an answer, beyond its own timeout, before it counts as lost."""
LINE_LIMIT_BYTES = 4 << 20


class BrowserLost(Exception):
    """The worker died, or was replaced, before it answered. Says nothing about the site."""


class SiteTimeout(TimeoutError):
    """A browser that works got no answer from the site in time."""


class SiteUnreachable(ConnectionError):
    """A browser that works could not talk to the site."""


class SiteError(Exception):
    """The site answered that it failed."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"status {status_code}")
        self.status_code = status_code


class Browser:
    """One worker process at a time. Belongs to one event loop."""

    def __init__(self, *, timeout_s: float, heartbeat: Callable[[], None]) -> None:
        self._timeout_s = timeout_s
        self._heartbeat = heartbeat
        self._process: subprocess.Process | None = None
        self._listener: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._pending: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._ids = itertools.count(1)

    @property
    def pid(self) -> int:
        """Of the worker there is.

        Raises:
            BrowserLost: there is none.
        """
        if self._process is None:
            raise BrowserLost("there is no worker")
        return self._process.pid

    def exit_status(self) -> int | None:
        """None while the worker lives; then its exit status, negative for a signal. Callable from any thread."""
        process = self._process
        return None if process is None else process.returncode

    async def restart(self) -> None:
        """End the worker there is, however it is, and start another; returns when that one is ready.

        Raises:
            OSError: it could not be started.
            TimeoutError: it did not get ready in time.
        """
        await self.close()
        command = (sys.executable, "-m", WORKER_MODULE, "--timeout-s", str(self._timeout_s))
        # In a process group of its own: Ctrl-C is the agent's business.
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=LINE_LIMIT_BYTES, process_group=0
        )
        self._listener = asyncio.create_task(self._listen(self._process))
        async with asyncio.timeout(START_TIMEOUT_S):
            await self._ready.wait()

    async def ready(self) -> None:
        """Wait until there is a worker that can be asked."""
        await self._ready.wait()

    async def fetch(self, url: str) -> dict[str, Any]:
        """Fetch one page.

        Returns: what the worker says of it, see ``lrm_actors.demo.worker.fetch``.

        Raises:
            BrowserLost: the worker is gone; ``ready`` waits for the next.
            SiteTimeout, SiteUnreachable: the site did not answer.
            SiteError: the site answered with a status of 500 or more.
            ValueError: the address cannot be fetched at all.
        """
        page = await self._ask({"fetch": url})
        match page.get("error"):
            case None:
                if page["status"] >= 500:
                    raise SiteError(page["status"])
                return page
            case "timeout":
                raise SiteTimeout(page["message"])
            case "connection":
                raise SiteUnreachable(page["message"])
            case _:
                raise ValueError(page["message"])

    async def close(self) -> None:
        """End the worker and wait until it is gone."""
        process, listener = self._process, self._listener
        self._process = self._listener = None
        if process is not None:
            await child.end(process, listener)

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None or not self._ready.is_set():
            raise BrowserLost("there is no worker")
        number = next(self._ids)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._pending[number] = answer
        try:
            process.stdin.write(json.dumps({"id": number, **request}).encode() + b"\n")
            await process.stdin.drain()
            async with asyncio.timeout(self._timeout_s + ANSWER_TIMEOUT_S):
                return await answer
        except (TimeoutError, ConnectionError) as error:
            raise BrowserLost(f"the worker does not answer: {type(error).__name__}") from error
        finally:
            del self._pending[number]

    async def _listen(self, process: subprocess.Process) -> None:
        """Take in what one worker says until it is gone; then fail whatever was asked of it."""
        assert process.stdout is not None
        async for line in process.stdout:
            if not line.endswith(b"\n"):
                break  # it was killed in the middle of a word
            message = json.loads(line)
            if "beat" in message:
                self._heartbeat()
            elif "ready" in message:
                self._ready.set()
            elif (answer := self._pending.get(message["id"])) is not None and not answer.done():
                answer.set_result(message)
        self._ready.clear()
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(BrowserLost("the worker is gone"))
