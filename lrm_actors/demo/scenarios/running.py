"""The scenarios there are, and how one is run: for real, in a directory that goes when all is well."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import attrs

from lrm_actors.demo.scenarios import (
    browser_crash,
    cpu_overload,
    deadlock,
    disk_full,
    llm_timeout,
    memory_leak,
    modes,
    network,
)
from lrm_actors.demo.scenarios.account import Account
from lrm_actors.demo.scenarios.stage import Missing

Run = Callable[[Path, Callable[[str], None]], Awaitable[Account]]


@attrs.frozen
class Scenario:
    """One row of what can fail."""

    name: str
    fault: str
    """What is broken, for real."""
    recovery: str
    """What the system does about it."""
    run: Run


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("browser-crash", "the browser's process is killed", "restarts it", browser_crash.run),
        Scenario("llm-timeout", "the LLM is silent", "retries a little, then waits behind a breaker", llm_timeout.run),
        Scenario("memory-leak", "a process leaks", "clears caches, then restarts it", memory_leak.run),
        Scenario("cpu-overload", "processes compute without a pause", "does less at a time", cpu_overload.run),
        Scenario("network", "connections are refused", "tries again, later each time", network.run),
        Scenario("deadlock", "a lock is not given back", "restarts who waits for it", deadlock.run),
        Scenario("disk-full", "the disk of the log is full", "deletes old checkpoints", disk_full.run),
        Scenario("modes", "CPU, memory, disk, processes", "goes through every operation mode", modes.run),
    )
}
"""By name."""


def run_scenario(name: str, say: Callable[[str], None], *, directory: Path | None = None) -> Account:
    """Run one.

    Args:
        name: of ``SCENARIOS``.
        say: prints a live line.
        directory: where its log is kept; None: in one that goes when it was recovered from.

    Raises:
        KeyError: there is none of this name.
        OSError: the directory cannot be used.
    """
    scenario = SCENARIOS[name]
    place = Path(tempfile.mkdtemp(prefix="lrm-scenario-")) if directory is None else directory
    account: Account | None = None
    try:
        account = asyncio.run(_run(scenario, place, say))
        return account
    finally:
        if directory is None and (account is None or account.ok):
            shutil.rmtree(place, ignore_errors=True)


async def _run(scenario: Scenario, place: Path, say: Callable[[str], None]) -> Account:
    try:
        return await scenario.run(place, say)
    except Missing as missing:
        if missing.account is None:
            raise
        return missing.account
