"""What a browser holds for the agent, as plain JSON: cookies, local and session storage, tabs, and which has the focus.

Talks to the browser over a connection of ours. What a page keeps elsewhere (forms that are half filled in, IndexedDB,
the way back in its history) is not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from lrm_actors.adapters.browser_use.browser_errors import BrowserError, BrowserUnreachable
from lrm_actors.adapters.browser_use.connection import Connection

TAB_TIMEOUT_S = 1.0
MAX_TABS = 100
MAX_ORIGINS = 200
"""Origins that are remembered, those of the open tabs among them."""
MAX_STORAGE_CHARS = 1 << 20
"""Of the local or session storage of one origin; browsers allow five times as much, and nobody wants that in a step."""
WORLD = "lrm"
"""Of the script that looks: a world of its own, where the page cannot have put anything in the way."""

_LOOK = """
(() => {
  const entries = (name) => {
    try {
      const store = window[name], found = [];
      let size = 0;
      for (let i = 0; i < store.length; i++) {
        const key = store.key(i), value = store.getItem(key);
        size += key.length + value.length;
        if (size > LIMIT) return null;
        found.push([key, value]);
      }
      return found;
    } catch (error) { return null; }
  };
  return JSON.stringify({
    origin: location.origin, visible: document.visibilityState === "visible",
    local: entries("localStorage"), session: entries("sessionStorage"),
  });
})()
""".replace("LIMIT", str(MAX_STORAGE_CHARS))


class HasUrl(Protocol):
    """A client that says where it is connected, as ``cdp_use.CDPClient`` does."""

    url: str


async def read_browser(
    cdp: Connection | HasUrl,
    *,
    focus: str | None = None,
    before: Mapping[str, Any] | None = None,
    owned: bool = True,
    tab_timeout_s: float = TAB_TIMEOUT_S,
) -> dict[str, Any]:
    """Read what the browser holds.

    Args:
        cdp: from ``connect()`` of the browser. Of any other client only its address is taken, and a connection made.
        focus: id of the tab that the agent works in; None: the one that the browser shows.
        before: what was read the last time. Tabs keep their order, and origins without an open tab, or that do not
            answer now, what was known of them.
        owned: whether all in it is the agent's; else only cookies for the sites of open tabs are read.
        tab_timeout_s: how long one tab may take.

    Returns: plain JSON. ``cookies``: as the protocol has them; ``origins``: each origin's local storage; ``tabs``: each
        ``id``, ``url``, ``title``, and ``session`` where its page has a session storage; ``focus``: index of the tab
        that has it, or None; ``unread``: origins whose storage could not be read now, because the tab did not answer or
        has too much.

    Raises:
        BrowserSilent, BrowserUnreachable, CdpRefused: the browser itself gives no answer.
    """
    async with connection_of(cdp) as connection:
        answer = await connection.send_raw("Target.getTargets")
        order = {tab["id"]: index for index, tab in enumerate((before or {}).get("tabs", ()))}
        pages = [one for one in answer["targetInfos"] if one["type"] == "page" and not one.get("subtype")]
        pages.sort(key=lambda one: order.get(one["targetId"], len(order)))
        pages = pages[:MAX_TABS]
        seen = await asyncio.gather(*(_look(connection, page["targetId"], tab_timeout_s) for page in pages))
        cookies = (await connection.send_raw("Storage.getCookies"))["cookies"]
    if not owned:
        hosts = {urlsplit(page["url"]).hostname or "" for page in pages}
        cookies = [cookie for cookie in cookies if any(_applies(cookie["domain"], host) for host in hosts)]
    origins, unread = _origins(pages, seen, before or {})
    tabs = [_tab(page, one) for page, one in zip(pages, seen, strict=True)]
    return {
        "cookies": sorted((_cookie(one) for one in cookies), key=lambda one: (one["domain"], one["path"], one["name"])),
        "origins": origins,
        "tabs": tabs,
        "focus": _focused(tabs, seen, focus),
        "unread": unread,
    }


@contextlib.asynccontextmanager
async def connection_of(cdp: Connection | HasUrl) -> AsyncIterator[Connection]:
    """The connection itself, or one of our own to where a client of somebody else's is connected."""
    if isinstance(cdp, Connection):
        yield cdp
    else:
        # A tab that is attached on a connection of browser-use would be taken for one of the agent's.
        headers = getattr(cdp, "additional_headers", None)
        async with await Connection.open(cdp.url, headers=headers) as connection:
            yield connection


async def _look(connection: Connection, target_id: str, timeout_s: float) -> dict[str, Any] | None:
    """What one tab says of itself; None: it does not."""
    try:
        async with asyncio.timeout(timeout_s):
            session = await connection.session_of(target_id)
            tree = await connection.send_raw("Page.getFrameTree", None, session)
            frame = {"frameId": tree["frameTree"]["frame"]["id"], "worldName": WORLD}
            world = await connection.send_raw("Page.createIsolatedWorld", frame, session)
            look = {"expression": _LOOK, "contextId": world["executionContextId"], "returnByValue": True}
            answer = await connection.send_raw("Runtime.evaluate", look, session)
            said: dict[str, Any] = json.loads(answer["result"]["value"])
            return said
    except BrowserUnreachable:
        raise
    except (BrowserError, TimeoutError, LookupError, ValueError):
        return None


def _origins(
    pages: list[dict[str, Any]], seen: list[dict[str, Any] | None], before: Mapping[str, Any]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Each origin's local storage, those of now last; and the origins that kept it to themselves."""
    known: dict[str, dict[str, str]] = dict(before.get("origins", {}))
    now: dict[str, dict[str, str]] = {}
    unread: set[str] = set()
    for page, one in zip(pages, seen, strict=True):
        origin = origin_of(page["url"]) if one is None else one["origin"]
        if not origin.startswith(("http://", "https://")):
            continue
        local = None if one is None else one["local"]
        if isinstance(local, list):
            now[origin] = dict(sorted(local))
        else:
            unread.add(origin)
    unread -= now.keys()
    known = {origin: stored for origin, stored in known.items() if origin not in now}
    room = max(0, MAX_ORIGINS - len(now))
    kept = dict(list(known.items())[-room:]) if room else {}
    return {origin: stored for origin, stored in (kept | now).items() if stored or origin in now}, sorted(unread)


def _tab(page: Mapping[str, Any], seen: Mapping[str, Any] | None) -> dict[str, Any]:
    tab = {"id": page["targetId"], "url": page["url"], "title": page["title"]}
    if seen is not None and isinstance(seen["session"], list) and seen["session"]:
        tab["session"] = dict(sorted(seen["session"]))
    return tab


def _focused(tabs: list[dict[str, Any]], seen: list[dict[str, Any] | None], focus: str | None) -> int | None:
    for index, tab in enumerate(tabs):
        if tab["id"] == focus:
            return index
    return next((index for index, one in enumerate(seen) if one is not None and one["visible"]), None)


def _cookie(cookie: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in cookie.items() if name != "size"}


def _applies(domain: str, host: str) -> bool:
    return host == domain.lstrip(".") or (domain.startswith(".") and host.endswith(domain))


def origin_of(url: str) -> str:
    """Scheme, host and port of an address, as a page's ``location.origin`` has them."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
