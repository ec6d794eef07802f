"""A child process of the demo's agent, whose output a task listens to: how it is ended for good."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import subprocess


async def end(process: subprocess.Process, listener: asyncio.Task[None] | None) -> None:
    """Kill it, and wait until it is gone and everything that it said was heard."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    if listener is not None:
        await listener
    assert process.stdin is not None
    process.stdin.close()
