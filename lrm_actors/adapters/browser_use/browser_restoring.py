"""How what was read of a browser is put into one: cookies, then storage, once, before any page is loaded, then tabs.

Talks to the browser over a connection of ours. A page's storage is written in an empty page at its address, which
never asks the site; so nothing is left behind that would write it again at a later navigation.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from lrm_actors.adapters.browser_use.browser_errors import BadBrowserState, BrowserError, BrowserUnreachable, CdpRefused
from lrm_actors.adapters.browser_use.browser_reading import HasUrl, connection_of, origin_of
from lrm_actors.adapters.browser_use.connection import Connection

LOAD_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
LOOK_EACH_S = 0.02
LOADS_AT_ONCE = 4
COOKIE_FIELDS = (
    *("name", "value", "domain", "path", "secure", "httpOnly", "sameSite"),
    *("priority", "sourceScheme", "sourcePort", "partitionKey"),
)
NO_PAGE = ("about:", "chrome-error:", "blob:")
"""Addresses that cannot be opened again."""

_EMPTY_PAGE = {
    "responseCode": 200,
    "responseHeaders": [{"name": "Content-Type", "value": "text/html"}],
    "body": base64.b64encode(b'<link rel="icon" href="data:,">').decode(),  # or the site is asked for its icon
}
_WRITE = """
((local, session, replace) => {
  const write = (store, entries) => {
    if (entries === null || (!replace && store.length)) return;
    store.clear();
    for (const key of Object.keys(entries)) store.setItem(key, entries[key]);
  };
  write(localStorage, local);
  write(sessionStorage, session);
  return location.origin;
})
"""


async def restore_browser(
    cdp: Connection | HasUrl,
    state: Mapping[str, Any],
    *,
    owned: bool = True,
    load_timeout_s: float = LOAD_TIMEOUT_S,
) -> dict[str, Any]:
    """Put what ``read_browser`` gave into a browser, in a fixed order: cookies, storage, tabs, focus.

    Args:
        cdp: as for ``read_browser``.
        state: what it returned.
        owned: whether all in the browser is the agent's: then cookies and tabs that are not in the state go away. Else
            only what is missing is added, and nothing that is there is changed.
        load_timeout_s: how long one page may take to load. It is left as it is then.

    Returns: ``tabs``: each ``id`` and ``url``, in the order of the state; ``focus``: id of the one that has it, or
        None; ``failed``: what could not be put back, in words. What ``read_browser`` is to take as ``before`` next is
        ``{**state, "tabs": report["tabs"]}``.

    Raises:
        BadBrowserState: it is not what ``read_browser`` gave; nothing was changed.
        BrowserSilent, BrowserUnreachable, CdpRefused: the browser itself gives no answer.
    """
    _check(state)
    async with connection_of(cdp) as connection:
        putting = _Putting(connection, owned=owned, load_timeout_s=load_timeout_s)
        await putting.cookies(state["cookies"])
        try:
            await putting.pages(state)
        finally:
            await putting.be_quiet()
        return {"tabs": putting.tabs, "focus": putting.focus, "failed": putting.failed}


class _Putting:
    """One restore under way."""

    def __init__(self, connection: Connection, *, owned: bool, load_timeout_s: float) -> None:
        self._connection = connection
        self._owned = owned
        self._load_timeout_s = load_timeout_s
        self._loaded: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        """Of each session, the frames that were loaded, and as which load."""
        self._paused: defaultdict[str, asyncio.Queue[str]] = defaultdict(asyncio.Queue)
        self._news = asyncio.Event()
        self._listening: list[str] = []
        self._closing: set[asyncio.Future[None]] = set()
        self.tabs: list[dict[str, str]] = []
        self.focus: str | None = None
        self.failed: list[str] = []
        connection.on_event("Page", "lifecycleEvent", self._on_lifecycle)
        connection.on_event("Fetch", "requestPaused", self._on_paused)
        connection.on_event("Page", "javascriptDialogOpening", self._on_dialog)

    # --- cookies --------------------------------------------------------------------------------------------------

    async def cookies(self, cookies: list[dict[str, Any]]) -> None:
        """Set them; where all in the browser is the agent's, those that are not among them are gone before."""
        wanted = [_param(cookie) for cookie in cookies]
        if self._owned:
            await self._connection.send_raw("Storage.clearCookies")
        else:
            there = {_key(cookie) for cookie in (await self._connection.send_raw("Storage.getCookies"))["cookies"]}
            wanted = [cookie for cookie in wanted if _key(cookie) not in there]
        try:
            await self._connection.send_raw("Storage.setCookies", {"cookies": wanted})
        except CdpRefused:  # for one that it does not take it takes none, so each by itself
            for cookie in wanted:
                try:
                    await self._connection.send_raw("Storage.setCookies", {"cookies": [cookie]})
                except CdpRefused as error:
                    self.failed.append(f"cookie {cookie['name']!r} of {cookie.get('domain')}: {error.reason}")

    # --- storage and tabs -----------------------------------------------------------------------------------------

    async def pages(self, state: Mapping[str, Any]) -> None:
        """Write the storage of every origin, then open the tabs, then close those of before."""
        old = [one for one in await self._targets() if one["type"] == "page" and not one.get("subtype")]
        wanted = [(index, tab) for index, tab in enumerate(state["tabs"]) if self._is_wanted(tab, old)]
        local = dict(state["origins"])
        made = [(index, tab, await self._new_tab()) for index, tab in wanted]
        # All storage before any page: a page of one tab may write what another tab's reads.
        await self._each(self._fill(target, tab, local.pop(origin_of(tab["url"]), None)) for _, tab, target in made)
        if rest := {origin: stored for origin, stored in local.items() if stored or self._owned}:
            scratch = await self._new_tab()
            for origin, stored in rest.items():
                await self._fill(scratch, {"url": origin}, stored)
            await self._connection.send_raw("Target.closeTarget", {"targetId": scratch})
        # Pages of one site one after the other: they write to the same storage.
        by_origin: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        for _, tab, target in made:
            by_origin[origin_of(tab["url"])].append((target, tab["url"]))
        await self._each(self._load_all(tabs) for tabs in by_origin.values())
        ids = {index: target for index, _, target in made}
        if not self._owned:
            by_url = {one["url"]: one["targetId"] for one in old}
            ids |= {
                i: by_url[tab["url"]] for i, tab in enumerate(state["tabs"]) if tab["url"] in by_url and i not in ids
            }
        self.tabs = [{"id": ids[i], "url": tab["url"]} for i, tab in enumerate(state["tabs"]) if i in ids]
        self.focus = ids.get(state["focus"]) if state["focus"] is not None else None
        if self.focus is not None:
            await self._connection.send_raw("Target.activateTarget", {"targetId": self.focus})
        if self._owned and made:
            await self._close([one["targetId"] for one in old])

    async def _close(self, old: list[str]) -> None:
        """Close the tabs of before, and wait until the browser does not name them any more."""
        for target in old:
            await self._try("tab", "Target.closeTarget", {"targetId": target})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while {one["targetId"] for one in await self._targets()} & set(old):  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_EACH_S)

    async def _targets(self) -> list[dict[str, Any]]:
        targets: list[dict[str, Any]] = (await self._connection.send_raw("Target.getTargets"))["targetInfos"]
        return targets

    def _is_wanted(self, tab: Mapping[str, Any], old: list[dict[str, Any]]) -> bool:
        return self._owned or (not tab["url"].startswith(NO_PAGE) and all(tab["url"] != there["url"] for there in old))

    async def _each(self, work: Any) -> None:
        room = asyncio.Semaphore(LOADS_AT_ONCE)

        async def one(doing: Any) -> None:
            async with room:
                await doing

        await asyncio.gather(*(one(doing) for doing in work))

    async def _new_tab(self) -> str:
        made = await self._connection.send_raw("Target.createTarget", {"url": "about:blank"})
        session = await self._connection.session_of(made["targetId"])
        self._listening.append(session)
        await self._connection.send_raw("Page.enable", None, session)
        await self._connection.send_raw("Page.setLifecycleEventsEnabled", {"enabled": True}, session)
        return str(made["targetId"])

    async def _fill(self, target_id: str, tab: Mapping[str, Any], local: Mapping[str, str] | None) -> None:
        """Write the storage of a tab's origin, in an empty page there."""
        origin, stored = origin_of(tab["url"]), tab.get("session")
        if not origin.startswith(("http://", "https://")) or (local is None and not stored):
            return
        session = await self._connection.session_of(target_id)
        send = self._connection.send_raw
        try:
            async with asyncio.timeout(self._load_timeout_s):
                await send("Network.enable", None, session)
                await send("Network.setBypassServiceWorker", {"bypass": True}, session)
                await send("Fetch.enable", {"patterns": [{"urlPattern": "*", "resourceType": "Document"}]}, session)
                going = asyncio.ensure_future(send("Page.navigate", {"url": f"{origin}/"}, session))
                await send(
                    "Fetch.fulfillRequest", {"requestId": await self._paused[session].get(), **_EMPTY_PAGE}, session
                )
                await going
                values = ", ".join(json.dumps(value) for value in (local, stored or None, self._owned))
                written = await send(
                    "Runtime.evaluate", {"expression": f"{_WRITE}({values})", "returnByValue": True}, session
                )
                if written["result"].get("value") != origin:
                    self.failed.append(
                        f"storage of {origin}: {written.get('exceptionDetails', {}).get('text', 'refused')}"
                    )
                await send("Fetch.disable", None, session)
                await send("Network.setBypassServiceWorker", {"bypass": False}, session)
                await send("Network.disable", None, session)
        except BrowserUnreachable:
            raise
        except (BrowserError, TimeoutError) as error:
            self.failed.append(f"storage of {origin}: {str(error) or 'no answer in time'}")

    async def _load_all(self, tabs: list[tuple[str, str]]) -> None:
        for target, url in tabs:
            await self._load(target, url)

    async def _load(self, target_id: str, url: str) -> None:
        """Open the address, wait until it is loaded, and forget how one got there."""
        if url.startswith(NO_PAGE):
            return
        session = await self._connection.session_of(target_id)
        before = set(self._loaded[session])
        try:
            async with asyncio.timeout(self._load_timeout_s):
                went = await self._connection.send_raw("Page.navigate", {"url": url}, session)
                if went.get("errorText"):
                    self.failed.append(f"tab {url}: {went['errorText']}")
                    return
                while not any(frame == went["frameId"] for frame, _ in self._loaded[session] - before):
                    self._news.clear()
                    await self._news.wait()
        except BrowserUnreachable:
            raise
        except (BrowserError, TimeoutError) as error:
            self.failed.append(f"tab {url}: {str(error) or 'not loaded in time'}")
        await self._try(f"history of {url}", "Page.resetNavigationHistory", None, session)

    async def be_quiet(self) -> None:
        """Have the tabs tell nothing any more: the connection may stay open for days."""
        for session in self._listening:
            with contextlib.suppress(BrowserError):
                detach = {"sessionId": session}
                await self._connection.send_raw("Target.detachFromTarget", detach, timeout_s=CLOSE_TIMEOUT_S)
        for closing in self._closing:
            closing.cancel()

    async def _try(self, what: str, method: str, params: Any, session: str | None = None) -> None:
        try:
            await self._connection.send_raw(method, params, session, timeout_s=self._load_timeout_s)
        except BrowserUnreachable:
            raise
        except BrowserError as error:
            self.failed.append(f"{what}: {error}")

    def _on_lifecycle(self, event: Mapping[str, Any], session: str | None) -> None:
        if event["name"] == "load" and session is not None:
            self._loaded[session].add((event["frameId"], event["loaderId"]))
            self._news.set()

    def _on_paused(self, event: Mapping[str, Any], session: str | None) -> None:
        if session is not None:
            self._paused[session].put_nowait(event["requestId"])

    def _on_dialog(self, event: Mapping[str, Any], session: str | None) -> None:
        """A page that asks something while it is loaded would wait for ever: nobody is there yet who answers."""
        what = f"a dialog of {event.get('url', '')}"
        closing = asyncio.ensure_future(self._try(what, "Page.handleJavaScriptDialog", {"accept": False}, session))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


def _param(cookie: Mapping[str, Any]) -> dict[str, Any]:
    """A cookie as it is set: without what only those that were read have."""
    param = {name: value for name, value in cookie.items() if name in COOKIE_FIELDS}
    if not cookie.get("session", False) and cookie.get("expires", -1) >= 0:
        param["expires"] = cookie["expires"]
    return param


def _key(cookie: Mapping[str, Any]) -> tuple[Any, ...]:
    return (cookie["name"], cookie.get("domain"), cookie.get("path"), str(cookie.get("partitionKey")))


def _check(state: Mapping[str, Any]) -> None:
    def texts(where: str, value: Any) -> None:
        if not isinstance(value, Mapping) or not all(isinstance(one, str) for pair in value.items() for one in pair):
            raise BadBrowserState(where, "texts by their names")

    if not isinstance(state, Mapping):
        raise BadBrowserState("it", "a mapping")
    for field, kind in (("cookies", list), ("origins", Mapping), ("tabs", list)):
        if not isinstance(state.get(field), kind):
            raise BadBrowserState(field, "a mapping" if kind is Mapping else "a list")
    for cookie in state["cookies"]:
        if not isinstance(cookie, Mapping) or not {"name", "value", "domain", "path"} <= cookie.keys():
            raise BadBrowserState("cookies", "mappings with name, value, domain and path")
    for origin, stored in state["origins"].items():
        texts(f"origins[{origin!r}]", stored)
    for index, tab in enumerate(state["tabs"]):
        if not isinstance(tab, Mapping) or not isinstance(tab.get("url"), str):
            raise BadBrowserState(f"tabs[{index}]", "a mapping with a url")
        texts(f"tabs[{index}]['session']", tab.get("session", {}))
    focus = state.get("focus", 0)
    if focus is not None and not (type(focus) is int and 0 <= focus <= len(state["tabs"])):
        raise BadBrowserState("focus", "the index of a tab, or None")
