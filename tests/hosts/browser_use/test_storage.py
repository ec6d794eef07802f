"""What a browser held for the agent is in the next one as it was: cookies, storage, tabs and focus."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lrm_actors.adapters.browser_use import Connection, OwnedChromium, read_browser, restore_browser
from lrm_actors.adapters.browser_use.browser_errors import BadBrowserState, BrowserError
from tests.hosts.browser_use.browsers import Pages, end_all, evaluate, go, open_tab, pages, running

EMPTY: dict[str, Any] = {"cookies": [], "origins": {}, "tabs": [], "focus": None}


@pytest.fixture
def site() -> Iterator[Pages]:
    """A site that counts in the browser's storage."""
    with pages() as one:
        yield one


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[OwnedChromium]:
    """One, of which nothing is left after the test."""
    yield OwnedChromium(tmp_path / "browser")
    end_all(tmp_path)


async def anew(browser: OwnedChromium) -> Connection:
    """Another browser on another profile, and a connection to it."""
    await browser.end()
    browser.profile.rename(browser.directory / "old")
    await browser.ensure()
    return await browser.connect()


async def counts(connection: Connection, tab: str, site: Pages) -> list[str]:
    """What a restored tab counts, and then at two more navigations."""
    now = str(await evaluate(connection, tab, "document.title"))
    return [now, *[await go(connection, tab, site.url(path)) for path in ("/b", "/a")]]


def test_one_who_writes_it_at_every_navigation_is_caught(browser: OwnedChromium, site: Pages) -> None:
    """The planted bug is the usual way: a script that each new page runs, and that is never taken away."""

    async def story() -> None:
        await browser.ensure()
        async with await browser.connect() as connection:
            tab = await open_tab(connection, "about:blank")
            session = await connection.session_of(tab)
            script = {"source": "try { localStorage.count = '42' } catch (error) {}"}
            await connection.send_raw("Page.enable", None, session)
            await connection.send_raw("Page.addScriptToEvaluateOnNewDocument", script, session)
            await go(connection, tab, site.url("/a"))
            assert [43, 43, 43] == [int(title.split()[2]) for title in await counts(connection, tab, site)]
        await browser.end()

    running(story)


def test_it_goes_on_counting_in_the_next_browser(browser: OwnedChromium, site: Pages) -> None:
    """Local storage is there before the first script runs, and later navigations write on: 42, then 43, 44, 45."""

    async def story() -> None:
        await browser.ensure()
        async with await browser.connect() as connection:
            await open_tab(connection, site.url("/a"))
            before = await read_browser(connection)
        assert {"count": "42"} == before["origins"][site.url("")]
        async with await anew(browser) as connection:
            asked = len(site.asked)
            report = await restore_browser(connection, before)
            assert [("/a", "")] == site.asked[asked:]
            tab = next(one["id"] for one in report["tabs"] if one["url"] == site.url("/a"))
            counted = await counts(connection, tab, site)
            assert ["/a count 43 visits 2", "/b count 44 visits 3", "/a count 45 visits 4"] == counted
            other = await open_tab(connection, site.url("/c"))
            assert "/c count 46 visits 1" == await evaluate(connection, other, "document.title")
            assert [] == report["failed"]
            session = await connection.session_of(tab)
            history = await connection.send_raw("Page.getNavigationHistory", None, session)
            assert [site.url(path) for path in ("/a", "/b", "/a")] == [one["url"] for one in history["entries"]]
        await browser.end()

    running(story)


def test_one_who_was_logged_in_is_and_one_who_was_logged_out_is_not(browser: OwnedChromium, site: Pages) -> None:
    """Cookies come back as they were, the browser's own kind included, and those that are not among them go away."""

    async def story() -> None:
        await browser.ensure()
        async with await browser.connect() as connection:
            tab = await open_tab(connection, site.url("/login"))
            logged_in = await read_browser(connection)
            assert {"ticket": True, "theme": False} == {one["name"]: one["httpOnly"] for one in logged_in["cookies"]}
            await go(connection, tab, site.url("/logout"))
            logged_out = await read_browser(connection)
            assert ["theme"] == [one["name"] for one in logged_out["cookies"]]
            await go(connection, tab, site.url("/login"))
            await restore_browser(connection, logged_out)
            assert "theme=dark" == site.asked[-1][1]
            assert logged_out["cookies"] == (await read_browser(connection))["cookies"]
        elsewhere = {**logged_in, "tabs": [{"url": site.url("/a")}], "focus": 0}
        async with await anew(browser) as connection:
            await restore_browser(connection, elsewhere)
            assert {"ticket=ada", "theme=dark"} == set(site.asked[-1][1].split("; "))
            assert logged_in["cookies"] == (await read_browser(connection))["cookies"]
        await browser.end()

    running(story)


def test_tabs_and_focus_come_back(browser: OwnedChromium, site: Pages) -> None:
    """Each with its address, in their order, the one that was worked in selected, and no tab besides."""

    async def story() -> None:
        await browser.ensure()
        async with await browser.connect() as connection:
            first = await open_tab(connection, site.url("/a"))
            await open_tab(connection, site.url("/b", "localhost"))
            await connection.send_raw("Target.activateTarget", {"targetId": first})
            before = await read_browser(connection)
            assert site.url("/a") == before["tabs"][before["focus"]]["url"]
            chosen = next(one["id"] for one in before["tabs"] if one["url"] == site.url("/b", "localhost"))
            told = await read_browser(connection, focus=chosen, before=before)
            assert [one["url"] for one in before["tabs"]] == [one["url"] for one in told["tabs"]]
            assert chosen == told["tabs"][told["focus"]]["id"]
        async with await anew(browser) as connection:
            report = await restore_browser(connection, told)
            assert [one["url"] for one in told["tabs"]] == [one["url"] for one in report["tabs"]]
            after = await read_browser(connection, before={**told, "tabs": report["tabs"]})
            assert [one["url"] for one in told["tabs"]] == [one["url"] for one in after["tabs"]]
            assert (told["focus"], report["focus"]) == (after["focus"], after["tabs"][after["focus"]]["id"])
            assert await evaluate(connection, report["focus"], "document.visibilityState === 'visible'")
            # Once more over what is there: the same tabs, and none twice.
            await restore_browser(connection, after)
            assert sorted(one["url"] for one in after["tabs"]) == sorted(
                one["url"] for one in (await read_browser(connection))["tabs"]
            )
        await browser.end()

    running(story)


def test_what_is_not_open_any_more_is_remembered(browser: OwnedChromium, site: Pages) -> None:
    """The storage of an origin whose tab was closed is carried along, and written where no tab is opened for it."""

    async def story() -> None:
        await browser.ensure()
        async with await browser.connect() as connection:
            tab = await open_tab(connection, site.url("/a", "localhost"))
            before = await read_browser(connection)
            await go(connection, tab, site.url("/a"))
            now = await read_browser(connection, before=before)
        assert {site.url("", "localhost"): {"count": "42"}, site.url(""): {"count": "42"}} == now["origins"]
        async with await anew(browser) as connection:
            asked = len(site.asked)
            await restore_browser(connection, now)
            assert ["/a"] == [path for path, _ in site.asked[asked:]]
            other = await open_tab(connection, site.url("/b", "localhost"))
            assert "/b count 43 visits 1" == await evaluate(connection, other, "document.title")
        await browser.end()

    running(story)


def test_a_tab_that_does_not_answer_holds_nothing_up(browser: OwnedChromium, site: Pages) -> None:
    """A page that is busy for ever, or has far too much, is named, and what was known of it before is kept."""

    async def story() -> None:
        await browser.ensure()
        async with await browser.connect() as connection:
            busy = await open_tab(connection, site.url("/a"))
            await open_tab(connection, site.url("/b", "localhost"))
            before = await read_browser(connection)
            spin = {"expression": "setTimeout(() => { for (;;); }, 0)"}
            await connection.send_raw("Runtime.evaluate", spin, await connection.session_of(busy))
            now = await read_browser(connection, before=before, tab_timeout_s=0.3)
            assert [site.url("")] == now["unread"]
            assert before["origins"] == now["origins"]
            assert sorted(one["url"] for one in before["tabs"]) == sorted(one["url"] for one in now["tabs"])
            await connection.send_raw("Target.closeTarget", {"targetId": busy})
            much = await open_tab(connection, site.url("/c", "localhost"))
            await evaluate(connection, much, "localStorage.much = 'x'.repeat(2 << 20)")
            now = await read_browser(connection, before=before)
            assert site.url("", "localhost") in now["unread"]
            assert before["origins"] == now["origins"]
        await browser.end()

    running(story)


def test_what_cannot_be_put_back_is_said(browser: OwnedChromium, site: Pages) -> None:
    """A page that never loads, an address that nobody has, a cookie that the browser refuses: the rest is there."""

    async def story() -> None:
        await browser.ensure()
        cookie = {"name": "a", "value": "1", "domain": "127.0.0.1", "path": "/"}
        state = {
            "cookies": [cookie, {**cookie, "name": "bad", "domain": ""}],
            "origins": {site.url(""): {"count": "7"}, "http://nobody.invalid": {"a": "b"}},
            "tabs": [{"url": site.url(path)} for path in ("/hang", "/a")] + [{"url": "http://127.0.0.1:9/"}],
            "focus": 1,
        }
        async with await browser.connect() as connection:
            report = await restore_browser(connection, state, load_timeout_s=1.0)
            title = await evaluate(connection, report["focus"], "document.title")
        assert "/a count 8 visits 1" == title
        assert "a=1" == dict(site.asked)["/a"]
        assert 3 == len(report["failed"]), report["failed"]
        assert ["cookie 'bad'", f"tab {site.url('/hang')}", "tab http://127.0.0.1:9/"] == sorted(
            line.split(": ")[0].split(" of ")[0] for line in report["failed"]
        )
        assert 3 == len(report["tabs"])
        await browser.end()

    running(story)


def test_a_page_is_there_when_it_is_whole_and_has_asked_nobody(browser: OwnedChromium, site: Pages) -> None:
    """A frame that is loaded is not yet the page, and a dialog at its beginning is closed, with no for an answer."""

    async def story() -> None:
        await browser.ensure()
        state = {**EMPTY, "tabs": [{"url": site.url("/frames")}, {"url": site.url("/asks", "localhost")}]}
        async with await browser.connect() as connection:
            report = await restore_browser(connection, state)
            assert [] == report["failed"]
            frames, asks = (tab["id"] for tab in report["tabs"])
            assert "complete" == await evaluate(connection, frames, "document.readyState")
            assert "false" == await evaluate(connection, asks, "document.title")
        await browser.end()

    running(story)


def test_in_a_browser_that_is_not_ours_nothing_is_taken_away(browser: OwnedChromium, site: Pages) -> None:
    """What is missing is added; tabs, cookies and storage that are there stay as they are."""

    async def story() -> None:
        await browser.ensure()
        async with await browser.connect() as connection:
            theirs = await open_tab(connection, site.url("/login"))
            host = {"domain": "127.0.0.1", "path": "/"}
            state = {
                "cookies": [{"name": "theme", "value": "light", **host}, {"name": "mine", "value": "1", **host}],
                "origins": {site.url(""): {"count": "900"}, site.url("", "localhost"): {"count": "7"}},
                "tabs": [{"url": site.url("/login")}, {"url": site.url("/b", "localhost")}],
                "focus": 1,
            }
            report = await restore_browser(connection, state, owned=False)
            assert theirs == report["tabs"][0]["id"]
            now = await read_browser(connection, before={**state, "tabs": report["tabs"]})
            assert {"ticket": "ada", "theme": "dark", "mine": "1"} == {
                one["name"]: one["value"] for one in now["cookies"]
            }
            assert {site.url(""): {"count": "42"}, site.url("", "localhost"): {"count": "8"}} == now["origins"]
            assert theirs in {one["id"] for one in now["tabs"]}
            assert report["focus"] == now["tabs"][now["focus"]]["id"]
            await go(connection, theirs, "about:blank")
            assert [] == (await read_browser(connection, owned=False))["cookies"]
        await browser.end()

    running(story)


@pytest.mark.parametrize(
    "wrong",
    [
        {"cookies": {}},
        {"cookies": [{"name": "a"}]},
        {"origins": {"http://a": {"b": 1}}},
        {"tabs": [{"title": "no address"}]},
        {"tabs": [{"url": "about:blank", "session": {"a": None}}]},
        {"focus": 3},
        {"focus": "0"},
    ],
    ids=["cookies", "cookie", "storage", "tab", "session", "focus", "kind of focus"],
)
def test_what_is_no_state_is_refused_before_anything_is_changed(wrong: dict[str, Any]) -> None:
    """With what is wrong with it."""

    class Nobody:
        url = "ws://127.0.0.1:9/"

    with pytest.raises(BadBrowserState, match=next(iter(wrong))):
        asyncio.run(restore_browser(Nobody(), {**copy.deepcopy(EMPTY), **wrong}))


def test_a_client_of_somebody_elses_is_not_spoken_through(browser: OwnedChromium, site: Pages) -> None:
    """Only its address is taken: no session of ours appears among those it knows. What is read is the same."""

    async def story() -> None:
        await browser.ensure()

        class Client:
            url = browser.cdp_url

        async with await browser.connect() as connection:
            await open_tab(connection, site.url("/login"))
            state = await read_browser(Client())
            again = await read_browser(connection)
            for tab in (*state["tabs"], *again["tabs"]):
                tab.pop("title")  # an empty page has none at first
            assert state == again == json.loads(json.dumps(state))
            report = await restore_browser(Client(), state)
            assert len(state["tabs"]) == len(report["tabs"])
        await browser.end()
        with pytest.raises(BrowserError):
            await read_browser(Client())

    running(story)
