"""How the supervisor looks after a browser: by its process, and by heartbeats that are its answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from lrm_actors.adapters.browser_use.chromium import OwnedChromium
from lrm_actors.adapters.browser_use.remote import RemoteBrowser
from lrm_actors.integration import Component

NAME = "browser"


def browser_component(
    browser: OwnedChromium | RemoteBrowser,
    *,
    name: str = NAME,
    restart: Callable[[], Any] | None = None,
    heartbeat_timeout_s: float | None = None,
) -> Component:
    """The browser as a component of a host.

    Args:
        browser: to be looked after.
        name: as ``heartbeat`` and ``handle_failure`` name it.
        restart: brings it back; None: ``browser.ensure``. Give one that also restores what was in it.
        heartbeat_timeout_s: how long it may not answer; then something must beat, see ``beat``. None: only the end of
            its process is noticed.
    """
    return Component(
        name,
        restart=browser.ensure if restart is None else restart,
        heartbeat_timeout_s=heartbeat_timeout_s,
        exit_status=browser.exit_status,
        pid=browser.pid if browser.owned else None,
    )


async def beat(
    browser: OwnedChromium | RemoteBrowser,
    heartbeat: Callable[[str], object],
    *,
    name: str = NAME,
    every_s: float = 2.0,
    timeout_s: float = 2.0,
) -> None:
    """Pass each answer of the browser on as a heartbeat, until it is cancelled.

    Args:
        browser: to be asked.
        heartbeat: ``mode.heartbeat``.
        name: of its component.
        every_s: seconds between two questions, above 0.
        timeout_s: how long an answer may take, above 0.
    """
    while True:
        if await browser.responsive(timeout_s):
            heartbeat(name)
        await asyncio.sleep(every_s)
