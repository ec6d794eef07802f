"""What an owner that was killed left behind is taken up or ended; what is not ours is never touched."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import psutil
import pytest

from lrm_actors.adapters.browser_use import Attachment, OwnedChromium, RemoteBrowser, marker, processes
from lrm_actors.adapters.browser_use.browser_errors import (
    BrowserInUse,
    BrowserNotFound,
    BrowserNotStarted,
    BrowserUnreachable,
)
from tests.hosts.browser_use.browsers import (
    becomes,
    end_all,
    evaluate,
    foreign,
    killed_owner,
    left_of,
    names_in,
    open_tab,
    pages,
    running,
    start_owner,
)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Of a browser, of which nothing is left after the test."""
    yield tmp_path / "browser"
    end_all(tmp_path)


def test_an_orphan_is_taken_up_with_its_tabs(directory: Path) -> None:
    """Its owner is killed; the next process has the same browser, and in it the page as it was, half typed text too."""

    async def story() -> None:
        with killed_owner(directory) as (how, pid, cdp_url), pages() as site:
            assert "launched" == how
            browser = OwnedChromium(directory)
            first = await browser.ensure()
            assert ("attached", pid, cdp_url, ()) == (first.how, first.pid, first.cdp_url, first.reaped)
            async with await browser.connect() as connection:
                tab = await open_tab(connection, site.url("/a"))
                await evaluate(connection, tab, "window.typed = 'half a word'")
            await browser.release()
            after = OwnedChromium(directory)
            assert ("attached", pid) == ((await after.ensure()).how, pid)
            async with await after.connect() as connection:
                assert "half a word" == await evaluate(connection, tab, "window.typed")
            await after.end()
            assert [] == left_of(directory)

    running(story)


def test_an_orphan_that_is_frozen_or_half_dead_is_ended(directory: Path) -> None:
    """One that is stopped, and children whose main process is gone, are ended with all that belongs to them."""

    async def story() -> None:
        with killed_owner(directory) as (_, pid, _):
            os.killpg(pid, signal.SIGSTOP)
            browser = OwnedChromium(directory, answer_timeout_s=0.5)
            second = await browser.ensure()
            assert ("launched", True) == (second.how, pid in second.reaped)
            await browser.release()
        with killed_owner(directory) as (_, pid, _):
            os.killpg(pid, signal.SIGSTOP)
            everyone = {one.pid for one in left_of(directory)}
            os.kill(pid, signal.SIGKILL)
            await becomes(lambda: pid not in {one.pid for one in left_of(directory)}, "the end of the main process")
            await asyncio.sleep(0.3)  # Where the kernel ends a group that nobody has any more, it has done so.
            orphans = {one.pid for one in left_of(directory)}
            print(f"of the {len(everyone)} processes of a browser, {len(orphans)} are left without their main one")
            browser = OwnedChromium(directory)
            third = await browser.ensure()
            assert orphans <= set(third.reaped)
            assert not everyone & {one.pid for one in left_of(directory)}
            await browser.end()
            assert [] == left_of(directory)

    running(story)


def test_an_owner_that_is_killed_at_any_moment_leaves_nothing_unknown(directory: Path, release: bool) -> None:
    """From its first breath to a browser that answers: the next one finds what there is, and there is one at most."""

    def mains() -> list[int]:
        return [one.pid for one in left_of(directory) if not any("--type=" in word for word in one.cmdline())]

    kills = 100 if release else 6
    found = {"attached": 0, "launched": 0}

    async def story() -> None:
        for number in range(kills):
            owner = start_owner(directory)
            # Beginning where there is a directory, in even steps to beyond where the browser answers.
            await becomes((directory / "browser.lock").exists, "the beginning")
            await asyncio.sleep(0.5 * (number % 20 + 1) / 20 if release else 0.5 * (number + 1) / kills)
            owner.kill()
            owner.communicate()
            browser = OwnedChromium(directory)
            found[(await browser.ensure()).how] += 1
            assert [browser.pid()] == [pid for pid in mains() if "crashpad" not in psutil.Process(pid).name()]
            if number % 2:
                await browser.end()
                assert [] == left_of(directory)
                (directory / "browser.lock").unlink()
            else:
                await browser.release()
        await OwnedChromium(directory).end()
        assert [] == left_of(directory)

    running(story)
    print(f"{kills} owners killed while they started a browser: {found}")


@pytest.mark.parametrize("damage", ["torn", "before the start"])
def test_an_orphan_is_ended_where_the_marker_does_not_tell_of_it(directory: Path, damage: str) -> None:
    """It is known by its command line then, which is enough to end it, and too little to take it up."""

    async def story() -> None:
        with killed_owner(directory) as (_, pid, _):
            file = directory / "browser.json"
            whole = marker.read(file)
            assert whole is not None
            if damage == "torn":
                file.write_bytes(file.read_bytes()[:40])
            else:  # its owner was killed between the start and what it wrote of it
                marker.write(file, marker.Marker("another", whole.profile))
            browser = OwnedChromium(directory)
            second = await browser.ensure()
            assert ("launched", True) == (second.how, pid in second.reaped)
            await browser.end()
            assert [] == left_of(directory)

    running(story)


def test_a_browser_of_the_users_own_is_never_touched(directory: Path, tmp_path: Path) -> None:
    """Not by its pid in the marker, with whatever time of its start, and not by a profile whose name begins alike."""

    async def story() -> None:
        profile = tmp_path / "browser" / "profile-of-the-user"
        with foreign(profile) as user:
            told = marker.Marker(
                "a-launch",
                str(directory / "profile"),
                user.pid,
                processes.started_at(user.pid),
                9,
                "/devtools/browser/x",
            )
            for one in (told, attrs.evolve(told, profile=str(profile)), attrs.evolve(told, started="another boot/1")):
                marker.write(directory / "browser.json", one)
                browser = OwnedChromium(directory)
                attached = await browser.ensure()
                assert ("launched", ()) == (attached.how, attached.reaped)
                assert user.pid != attached.pid
                await browser.end()
                assert user.poll() is None
            assert left_of(profile)

    running(story)


def test_a_program_that_only_names_our_profile_is_never_touched(directory: Path) -> None:
    """An agent that is given the profile on its command line is no browser."""

    async def story() -> None:
        browser = OwnedChromium(directory)
        assert () == (await browser.ensure()).reaped
        await browser.end()

    script = "import sys, time; print(flush=True); time.sleep(600)"
    words = [f"--user-data-dir={directory / 'profile'}", "--lrm", "chromium"]
    with subprocess.Popen([sys.executable, "-c", script, *words], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        running(story)
        assert other.poll() is None
        other.kill()


def test_a_profile_that_somebody_else_has_is_left_to_him(directory: Path) -> None:
    """A browser on our profile that we did not start is named and left alone; so is one of another agent."""

    async def story() -> None:
        with foreign(directory / "profile") as user:
            whole = {process.pid for process in left_of(directory)}
            with pytest.raises(BrowserInUse, match=f"process {user.pid}") as refused:
                await OwnedChromium(directory).ensure()
            assert user.pid == refused.value.pid
            with pytest.raises(BrowserInUse):
                await OwnedChromium(directory).end()
            assert user.poll() is None
            assert whole <= {process.pid for process in left_of(directory)}
        browser = OwnedChromium(directory)
        await browser.ensure()
        with pytest.raises(BrowserInUse, match="another agent"):
            await OwnedChromium(directory).ensure()
        with pytest.raises(BrowserInUse, match="another agent"):
            await OwnedChromium(directory).end()
        assert await browser.responsive()
        await browser.end()

    running(story)


def test_a_lock_of_a_dead_browser_on_another_computer_holds_nobody(directory: Path) -> None:
    """As in a container that was replaced: the profile stayed, the name of the host did not."""

    async def story() -> None:
        (directory / "profile").mkdir(parents=True)
        (directory / "profile" / "SingletonLock").symlink_to("another-host-17")
        browser = OwnedChromium(directory)
        assert "launched" == (await browser.ensure()).how
        await browser.end()

    running(story)


def test_a_copy_of_a_directory_is_no_claim_on_its_browser(directory: Path, tmp_path: Path) -> None:
    """Where a directory was copied for a second agent, that one starts a browser of its own."""

    async def story() -> None:
        browser = OwnedChromium(directory)
        first = await browser.ensure()
        (tmp_path / "copy").mkdir()
        shutil.copy(directory / "browser.json", tmp_path / "copy" / "browser.json")
        copy = OwnedChromium(tmp_path / "copy")
        second = await copy.ensure()
        assert ("launched", ()) == (second.how, second.reaped)
        await copy.end()
        assert await browser.responsive()
        assert first.pid == browser.pid()
        await browser.end()

    running(story)


def test_a_browser_that_cannot_be_started_says_why(directory: Path, tmp_path: Path) -> None:
    """With its last words, and nothing of it is left."""

    async def story() -> None:
        broken = tmp_path / "broken"
        broken.write_text("#!/bin/sh\necho no libraries here >&2\nexit 127\n")
        broken.chmod(0o755)
        with pytest.raises(BrowserNotStarted, match="status 127; it said: no libraries here") as refused:
            await OwnedChromium(directory, executable=broken).ensure()
        assert (127, "no libraries here") == (refused.value.exit_status, refused.value.said)
        broken.write_text("#!/bin/sh\nsleep 600\n")
        with pytest.raises(BrowserNotStarted, match="not ready within"):
            await OwnedChromium(directory, executable=broken, start_timeout_s=0.3).ensure()
        broken.write_text("#!/bin/sh\necho 'No usable sandbox!' >&2\nexit 1\n")
        with pytest.raises(BrowserNotStarted) as refused:
            await OwnedChromium(directory, executable=broken).ensure()
        assert "--no-sandbox" in refused.value.hint
        broken.write_text("#!/bin/sh\necho 'Missing X server or $DISPLAY' >&2\nexit 1\n")
        with pytest.raises(BrowserNotStarted) as refused:
            await OwnedChromium(directory, executable=broken, headless=False).ensure()
        assert "headless" in refused.value.hint
        with pytest.raises(BrowserNotFound):
            await OwnedChromium(directory, executable=tmp_path / "nothing").ensure()
        assert {"profile", "browser.lock", "chromium.log"} == names_in(directory)

    running(story)


def test_a_remote_browser_is_neither_started_nor_ended(directory: Path) -> None:
    """Its twin attaches to one that is there, whatever way its address is given, and says when there is none."""

    async def story() -> None:
        with foreign(directory / "profile") as user:
            port, path = (directory / "profile" / "DevToolsActivePort").read_text().split("\n")
            for address in (f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}{path}"):
                remote = RemoteBrowser(address)
                assert not remote.alive()
                assert Attachment(address, None, "attached") == await remote.ensure()
                assert remote.alive()
                async with await remote.connect() as connection:
                    assert "product" in await connection.send_raw("Browser.getVersion")
                await remote.end()
                await remote.release()
                assert user.poll() is None
        assert not await remote.responsive()
        assert not remote.alive()
        with pytest.raises(BrowserUnreachable):
            await remote.ensure()
        with pytest.raises(BrowserUnreachable) as refused:
            await RemoteBrowser("wss://ada:secret@127.0.0.1:1/?token=secret", answer_timeout_s=1.0).ensure()
        assert "secret" not in str(refused.value)

    running(story)
