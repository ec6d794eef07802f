"""The agent's side of a hog: starts its process, gives it orders, and counts what it gets done."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio import subprocess
from collections.abc import Callable

from lrm_actors.demo import child

MODULE = "lrm_actors.demo.scenarios.hog"
START_TIMEOUT_S = 30.0


class Hog:
    """One process at a time. Belongs to one event loop.

    Args:
        kind: ``memory`` or ``cpu``.
        heard: called for each piece of work.
    """

    def __init__(self, kind: str, heard: Callable[[], object] = lambda: None) -> None:
        self._kind, self._heard = kind, heard
        self._process: subprocess.Process | None = None
        self._listener: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self.done = 0
        """Pieces of work."""

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    def exit_status(self) -> int | None:
        """None while it lives."""
        return None if self._process is None else self._process.returncode

    async def restart(self) -> None:
        """End the process there is, and start another; returns when that one is ready.

        Raises:
            TimeoutError: it did not get ready in time.
        """
        await self.close()
        self._ready.clear()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", MODULE, self._kind, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
        )
        self._listener = asyncio.create_task(self._listen(self._process))
        async with asyncio.timeout(START_TIMEOUT_S):
            await self._ready.wait()

    async def order(self, text: str) -> None:
        """Tell it what to do; one that is gone hears nothing."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(ConnectionError):
                self._process.stdin.write(text.encode() + b"\n")
                await self._process.stdin.drain()

    async def close(self) -> None:
        """End the process, and wait until it is gone."""
        process, listener = self._process, self._listener
        self._process = self._listener = None
        if process is not None:
            await child.end(process, listener)

    async def _listen(self, process: subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            if line == b"ready\n":
                self._ready.set()
            else:
                self.done += 1
                self._heard()
