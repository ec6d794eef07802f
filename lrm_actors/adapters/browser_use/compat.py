"""Everything that depends on which browser-use is installed: its import, its version, and what of it is not public.

Talks to browser-use. The only module that imports it, and the only one that may touch a name of it with an underscore.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import os
import shutil
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from lrm_actors.adapters.browser_use.run_errors import HostNotUsable

FIRST, BELOW = (0, 13), (1,)
"""The versions that this was written for and tested with."""
OFFLINE = {
    "ANONYMIZED_TELEMETRY": "false",
    "BROWSER_USE_CLOUD_SYNC": "false",
    "BROWSER_USE_VERSION_CHECK": "false",
    "BROWSER_USE_CLOUD_HINTS": "false",
    "BROWSER_USE_DISABLE_EXTENSIONS": "1",
}
"""What keeps browser-use from reaching for the network by itself; set unless you set it. Read when it is imported."""


@cache
def load() -> ModuleType:
    """browser-use, imported now if it was not.

    Raises:
        HostNotUsable: it is not installed, or of a version that this adapter does not know.
    """
    check_version()
    for name, value in OFFLINE.items():
        os.environ.setdefault(name, value)
    module = importlib.import_module("browser_use")
    # At each import a directory is made for a profile that hardly anybody uses. Whoever does makes it again.
    default = getattr(importlib.import_module("browser_use.browser.session"), "DEFAULT_BROWSER_PROFILE", None)
    if (made := getattr(default, "downloads_path", None)) is not None:
        with contextlib.suppress(OSError):
            Path(made).rmdir()
    return module


def check_version() -> None:
    """See that a version is installed that this adapter knows.

    Raises:
        HostNotUsable: none is.
    """
    try:
        version = metadata.version("browser-use")
    except metadata.PackageNotFoundError:
        raise HostNotUsable("browser-use", "it is not installed") from None
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if not FIRST <= numbers < BELOW:
        raise HostNotUsable("browser-use", f"version {version} is not one of >=0.13,<1")


def part(module: str, name: str) -> Any:
    """A name of one of browser-use's modules: ``part("agent.views", "AgentState")``."""
    load()
    return getattr(importlib.import_module(f"browser_use.{module}"), name)


@cache
def agent_parameters() -> tuple[str, ...]:
    """The arguments of browser-use's own agent, without ``self``."""
    parameters = inspect.signature(load().Agent.__init__).parameters.values()
    return tuple(one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD and one.name != "self")


def keep_screenshots_in(agent: Any, directory: Path) -> None:
    """Have the pictures of each step in this directory, and not in a new one below the temporary directory."""
    made = Path(agent.agent_directory)
    agent.agent_directory = directory
    agent.screenshot_service = part("screenshots.service", "ScreenshotService")(directory)
    shutil.rmtree(made, ignore_errors=True)  # made by the constructor just now, and empty


def picture_of(agent: Any, step: int) -> Path:
    """Where the picture of a step is, if there is one."""
    return Path(agent.screenshot_service.screenshots_dir) / f"step_{step}.png"


async def drop_connection(session: Any) -> None:
    """End a session's connection to a browser that is gone, so that nothing waits for it any longer."""
    try:
        async with asyncio.timeout(5.0):
            await session.reset()
    except TimeoutError:
        return


async def let_go(session: Any) -> None:
    """Stop what a session that nobody uses any more has begun: attempts to connect again, and its bus of events.

    A bus that runs when the event loop is to end holds it up for ever: it takes no notice of being cancelled. One that
    was stopped is started again by whatever is told on it.
    """
    with contextlib.suppress(Exception):
        async with asyncio.timeout(5.0):
            await session.reset()
            await session.event_bus.stop(clear=True, timeout=0)


def free_name(agent: Any) -> None:
    """An agent was made and is never run: its bus of events, which never began, is not to hold the name of the next."""
    with contextlib.suppress(Exception):
        for bus in (agent.eventbus, agent.browser_session.event_bus):
            type(bus).all_instances.discard(bus)
