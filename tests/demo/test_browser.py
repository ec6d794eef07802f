"""The browser: a real worker process fetching from a real site, and what the agent sees when it is killed or frozen."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import psutil
import pytest

from lrm_actors.demo.browser import Browser, BrowserLost, SiteError, SiteTimeout, SiteUnreachable
from lrm_actors.demo.site import Site

T = TypeVar("T")
PATIENCE_S = 30.0
"""How long anything here may take before the test fails instead of hanging."""


class Beats:
    """Counts heartbeats and lets a test wait for the next one."""

    def __init__(self) -> None:
        self.count = 0
        self._next = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self._next.set()

    async def next(self) -> None:
        self._next.clear()
        await self._next.wait()


@asynccontextmanager
async def started(beats: Callable[[], None] = lambda: None, *, timeout_s: float = 0.6) -> AsyncIterator[Browser]:
    """A browser with a worker that is ready."""
    browser = Browser(timeout_s=timeout_s, heartbeat=beats)
    await browser.restart()
    try:
        yield browser
    finally:
        await browser.close()


def run(story: Awaitable[T]) -> T:
    """Run a story on a loop of its own, bounded."""

    async def bounded() -> T:
        async with asyncio.timeout(PATIENCE_S):
            return await story

    return asyncio.run(bounded())


def pid_of(browser: Browser) -> int:
    """The worker's process id."""
    assert browser._process is not None
    return browser._process.pid


async def exited(browser: Browser) -> None:
    """Wait until the worker is gone."""
    assert browser._process is not None
    await browser._process.wait()


def freeze(process: psutil.Process) -> None:
    """Stop a process, and return when the kernel has."""
    process.suspend()
    while process.status() != psutil.STATUS_STOPPED:
        pass


def test_a_page_is_fetched_and_described() -> None:
    """Status, ETag, title, links with their full address and the visible text come back from the worker."""

    async def story(site: Site) -> None:
        async with started() as browser:
            page = await browser.fetch(f"{site.url}tea.html")

        assert page["status"] == 200
        assert page["headers"]["etag"] == '"r1"'
        assert page["title"] == "Tea"
        assert page["links"] == [
            f"{site.url}{path}" for path in ("tea/assam.html", "tea/sencha.html", "tea/keemun.html", "")
        ]
        assert page["text"].startswith("Tea 3 on this shelf.")

    with Site() as site:
        run(story(site))


def test_failures_of_the_site_are_told_apart() -> None:
    """A hang is a timeout, a status of 500 an error, a closed port unreachable; a missing page is a page."""

    async def story(site: Site) -> None:
        async with started(timeout_s=0.2) as browser:
            site.begin_fault("hang")
            with pytest.raises(SiteTimeout):
                await browser.fetch(site.url)
            site.begin_fault("error")
            with pytest.raises(SiteError) as failed:
                await browser.fetch(site.url)
            assert failed.value.status_code == 500
            site.end_fault()
            assert (await browser.fetch(f"{site.url}missing"))["status"] == 404
            with pytest.raises(SiteUnreachable):
                await browser.fetch("http://127.0.0.1:1/")
            with pytest.raises(ValueError, match="not an http"):
                await browser.fetch("file:///etc/hostname")

    with Site() as site:
        run(story(site))


def test_it_beats_while_the_site_hangs() -> None:
    """Heartbeats go on while a fetch waits: a site that hangs does not look like a browser that does."""

    async def story(site: Site) -> None:
        beats = Beats()
        async with started(beats, timeout_s=20.0) as browser:
            site.begin_fault("hang")
            fetching = asyncio.create_task(browser.fetch(site.url))
            for _ in range(5):
                await beats.next()
            assert not fetching.done()
            site.end_fault()
            with pytest.raises(SiteUnreachable):
                await fetching

    with Site() as site:
        run(story(site))


def test_a_killed_worker_fails_the_fetch_and_shows_its_signal() -> None:
    """SIGKILL in mid-fetch: the fetch ends as BrowserLost, the exit status is -9, and a restart makes it whole."""

    async def story(site: Site) -> None:
        async with started(timeout_s=20.0) as browser:
            assert browser.exit_status() is None
            site.begin_fault("hang")
            fetching = asyncio.create_task(browser.fetch(site.url))
            await asyncio.sleep(0)
            os.kill(pid_of(browser), signal.SIGKILL)
            with pytest.raises(BrowserLost):
                await fetching
            await exited(browser)
            assert browser.exit_status() == -signal.SIGKILL
            with pytest.raises(BrowserLost):
                await browser.fetch(site.url)

            site.end_fault()
            await browser.restart()

            assert browser.exit_status() is None
            assert (await browser.fetch(site.url))["status"] == 200

    with Site() as site:
        run(story(site))


def test_a_frozen_worker_falls_silent_and_is_replaced() -> None:
    """SIGSTOP: no beat and no answer come any more, yet it lives; a restart ends it and its fetch as BrowserLost."""

    async def story(site: Site) -> None:
        beats = Beats()
        async with started(beats) as browser:
            frozen = psutil.Process(pid_of(browser))
            freeze(frozen)
            fetching = asyncio.create_task(browser.fetch(site.url))
            await asyncio.sleep(0)
            assert browser.exit_status() is None
            assert not fetching.done()

            await browser.restart()

            with pytest.raises(BrowserLost):
                await fetching
            assert not frozen.is_running()
            assert (await browser.fetch(site.url))["status"] == 200
            await beats.next()

    with Site() as site:
        run(story(site))


AGENT = """
    import asyncio, sys
    from lrm_actors.demo.browser import Browser
    async def main():
        browser = Browser(timeout_s=0.6, heartbeat=lambda: None)
        await browser.restart()
        print(browser._process.pid, flush=True)
        await asyncio.Event().wait()
    asyncio.run(main())
"""


@pytest.mark.parametrize("frozen", [False, True])
def test_no_worker_outlives_its_agent(*, frozen: bool) -> None:
    """When the agent's process is killed its worker goes too, even one that is stopped at that moment."""
    agent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(AGENT)], stdout=subprocess.PIPE, start_new_session=True
    )
    assert agent.stdout is not None
    worker = psutil.Process(int(agent.stdout.readline()))
    if frozen:
        freeze(worker)

    agent.kill()
    agent.wait()
    agent.stdout.close()

    gone, alive = psutil.wait_procs([worker], timeout=PATIENCE_S)
    assert (gone, alive) == ([worker], [])
