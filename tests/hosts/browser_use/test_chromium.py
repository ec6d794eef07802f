"""A Chromium of our own is started, noticed when it freezes or dies, replaced, and ended without a trace."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lrm_actors.adapters.browser_use import OwnedChromium, beat, browser_component, launching
from tests.hosts.browser_use.browsers import becomes, end_all, left_of, names_in, open_tab, pages, running

FROZEN_AFTER_S = 1.0


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Of a browser, of which nothing is left after the test."""
    yield tmp_path / "browser"
    end_all(tmp_path)


def permissions(path: Path) -> int:
    """Of a directory, as chmod takes them."""
    return path.stat().st_mode & 0o777


def test_it_is_started_taken_as_it_is_and_ended(directory: Path) -> None:
    """The first call starts it, the next ones find it, and the end leaves its profile and nothing that runs."""

    async def story() -> None:
        browser = OwnedChromium(directory)
        assert not browser.alive()
        assert not await browser.responsive()
        assert await browser.end() == ()
        first, *others = await asyncio.gather(*(browser.ensure() for _ in range(3)))
        assert ("launched", ()) == (first.how, first.reaped)
        assert {("attached", first.cdp_url, first.pid)} == {(one.how, one.cdp_url, one.pid) for one in others}
        assert browser.alive()
        assert await browser.responsive()
        assert (first.pid, None) == (browser.pid(), browser.exit_status())
        assert (0o700, 0o700) == (permissions(directory), permissions(browser.profile))
        await browser.end()
        assert not browser.alive()
        assert not await browser.responsive()
        assert [] == left_of(directory)
        assert {"profile", "browser.lock", "chromium.log"} == names_in(directory)

    running(story)


def test_one_that_was_killed_is_replaced(directory: Path) -> None:
    """Its death shows in its exit status, and the next call starts another on the same profile, lock or no lock."""

    async def story() -> None:
        browser = OwnedChromium(directory)
        first = await browser.ensure()
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        await becomes(lambda: browser.exit_status() == -signal.SIGKILL, "the end of the browser")
        assert not browser.alive()
        assert (browser.profile / "SingletonLock").is_symlink()
        second = await browser.ensure()
        assert ("launched", True) == (second.how, second.pid != first.pid)
        assert await browser.responsive()
        await browser.end()

    running(story)


def test_one_that_is_frozen_is_found_and_replaced(directory: Path) -> None:
    """A stopped browser lives and does not answer; it is ended with all its processes, and another is started."""

    async def story() -> None:
        browser = OwnedChromium(directory, answer_timeout_s=FROZEN_AFTER_S)
        first = await browser.ensure()
        assert first.pid is not None
        os.killpg(first.pid, signal.SIGSTOP)
        assert browser.alive()
        assert not await browser.responsive()
        second = await browser.ensure()
        assert "launched" == second.how
        assert first.pid in second.reaped
        assert not {process.pid for process in left_of(directory)} & set(second.reaped)
        os.killpg(second.pid or 0, signal.SIGSTOP)
        await browser.end()
        assert [] == left_of(directory)

    running(story)


def test_ten_kills_leave_no_process_and_no_directory(directory: Path) -> None:
    """Each is killed as it stands; what is there afterwards is what was there after the first."""

    async def story() -> None:
        browser = OwnedChromium(directory)
        inside: list[set[str]] = []
        for _ in range(10):
            attached = await browser.ensure()
            assert attached.pid is not None
            os.kill(attached.pid, signal.SIGKILL)
            await becomes(lambda: not browser.alive(), "the end of the browser")
            inside.append(names_in(directory))
        await browser.end()
        assert [inside[0]] * 10 == inside
        assert [] == left_of(directory)
        assert {"profile", "browser.lock", "chromium.log"} == names_in(directory)
        print("10 launches and kills: nothing is left")

    running(story)


def test_a_call_that_is_not_wanted_any_more_leaves_nothing(directory: Path) -> None:
    """A start that is cancelled half-way is taken back, and the next one goes as if there had been none."""

    async def story() -> None:
        browser = OwnedChromium(directory)
        starting = asyncio.create_task(browser.ensure())
        await becomes((directory / "browser.json").exists, "the beginning of the start")
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert [] == left_of(directory)
        assert not (directory / "browser.json").exists()
        assert "launched" == (await browser.ensure()).how
        await browser.end()

    running(story)


def test_one_that_was_started_for_nobody_is_ended(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start was cancelled, and went so far before it learned of it that there is a browser."""

    async def story() -> None:
        browser = OwnedChromium(directory)
        launch, done, go_on = launching.launch, threading.Event(), threading.Event()

        def to_the_end(*arguments: Any) -> Any:
            made = launch(*arguments)
            done.set()
            go_on.wait(10)
            return made

        monkeypatch.setattr(launching, "launch", to_the_end)
        starting = asyncio.create_task(browser.ensure())
        await becomes(done.is_set, "a browser")
        starting.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert [] == left_of(directory)
        assert not (directory / "browser.json").exists()

    running(story)


def test_its_component_beats_and_is_restarted(directory: Path) -> None:
    """Heartbeats are its answers: none comes while it is frozen; the component's restart brings it back."""

    async def story() -> None:
        browser = OwnedChromium(directory, answer_timeout_s=FROZEN_AFTER_S)
        component = browser_component(browser, heartbeat_timeout_s=5.0)
        assert component.pid is not None
        assert component.exit_status is not None
        assert (None, None) == (component.pid(), component.exit_status())
        await component.restart()
        beats: list[int | None] = []
        beating = asyncio.create_task(
            beat(browser, lambda _: beats.append(browser.pid()), every_s=0.01, timeout_s=FROZEN_AFTER_S)
        )
        await becomes(lambda: beats, "a heartbeat")
        frozen = component.pid()
        assert frozen is not None
        os.killpg(frozen, signal.SIGSTOP)
        assert not await browser.responsive()
        heard = len(beats)
        await component.restart()
        await becomes(lambda: beats[-1] != frozen, "a heartbeat of the next")
        assert heard == beats.count(frozen)
        beating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await beating
        assert frozen != component.pid()
        await browser.end()

    running(story)


def test_asking_it_fills_no_log(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is asked every few seconds, and nobody wants to read of each connection; those of others are told of."""

    async def story() -> None:
        browser = OwnedChromium(directory)
        await browser.ensure()
        caplog.clear()
        assert await browser.responsive()
        assert [] == caplog.records
        client = importlib.import_module("cdp_use.client").CDPClient(browser.cdp_url)
        await client.start()
        await client.stop()
        assert [f"Connecting to {browser.cdp_url}"] == [record.getMessage().split(" (")[0] for record in caplog.records]
        await browser.end()

    with caplog.at_level(logging.INFO):
        running(story)


def test_what_it_writes_stays_bounded(directory: Path) -> None:
    """A log that has grown long begins anew, and the browser goes on writing at its new end."""

    async def story() -> None:
        browser = OwnedChromium(directory, args=("--enable-logging=stderr", "--log-level=0"))
        await browser.ensure()
        log = directory / "chromium.log"
        with log.open("ab") as stream:
            stream.write(b"x" * (2 << 20))
        assert await browser.responsive()
        assert log.stat().st_size < 1 << 20
        with pages() as site:
            async with await browser.connect() as connection:
                await open_tab(connection, site.url("/a"))
        await browser.end()

    running(story)
