"""The browser's process is killed in the middle of the work; the system starts another, and the work goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from lrm_actors.demo.browser import Browser
from lrm_actors.demo.scenarios.account import Account
from lrm_actors.demo.scenarios.stage import Stage
from lrm_actors.demo.site import Site

BROWSER = "browser"
HEARTBEAT_TIMEOUT_S = 5.0
TIMEOUT_S = 10.0


class AnyBrowser(Protocol):
    """A browser in a process of its own."""

    def exit_status(self) -> int | None:
        """None while it lives; then its exit status, negative for a signal."""

    async def restart(self) -> None:
        """End the process there is, and start another; returns when it can be used."""

    async def fetch(self, url: str) -> dict[str, Any]:
        """What is on a page: its ``title``, among others."""

    async def close(self) -> None:
        """End the process."""

    @property
    def pid(self) -> int:
        """Of its process."""


Made = Callable[[Callable[[], None]], AnyBrowser]
"""Makes a browser, given what is to be called as its heartbeat."""


def built_in(heartbeat: Callable[[], None]) -> AnyBrowser:
    """The demo's own browser: a worker process that fetches pages."""
    return Browser(timeout_s=TIMEOUT_S, heartbeat=heartbeat)


async def run(directory: Path, say: Callable[[str], None], make: Made = built_in) -> Account:
    """Kill the browser between two pages."""
    stage = Stage("browser-crash", directory, say)
    mode = stage.mode
    browser = make(lambda: mode.heartbeat(BROWSER))
    mode.register_component(
        BROWSER, restart=browser.restart, heartbeat_timeout_s=HEARTBEAT_TIMEOUT_S, exit_status=browser.exit_status
    )
    with Site() as site:
        try:
            await browser.restart()
            async with stage:
                async with mode.step("visit the front page") as step:
                    step.result = {"title": (await browser.fetch(site.url))["title"]}
                stage.breaking()
                os.kill(browser.pid, signal.SIGKILL)
                stage.broke(f"the browser was killed (SIGKILL, pid {browser.pid}) after its first page")
                await stage.noticed("monitor.component_exited", lambda event: event.component == BROWSER)
                await stage.chosen("restart_component", BROWSER)
                restarted = await stage.did(
                    "worked", "supervisor.child_restarted", lambda event: event.child == f"component:{BROWSER}"
                )
                async with mode.step("visit the front page again") as step:
                    step.result = {"title": (await browser.fetch(site.url))["title"]}
                stage.works(f"a page was fetched again, by pid {browser.pid}: {step.result['title']!r}")
                stage.told(restarted)
                return stage.account()
        finally:
            await browser.close()
