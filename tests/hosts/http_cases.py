"""What httpx, aiohttp and urllib really raise, from a server on loopback."""

from __future__ import annotations

import asyncio
import importlib
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

from lrm_actors.domain import classify as kinds
from tests.hosts.case import Case, wrapped
from tests.hosts.server import Answer, Server, patience_s, refused_port

ANSWERS: dict[str, Answer] = {
    "http-429": Answer(429, "slow down", {"retry-after": "3"}),
    "http-401": Answer(401, "who are you?"),
    "http-402": Answer(402, "pay"),
    "http-403": Answer(403, "no"),
    "http-404": Answer(404, "gone"),
    "http-413": Answer(413, "too much"),
    "http-418": Answer(418, "teapot"),
    "http-500": Answer(500, "oops"),
    "http-503": Answer(503, "later"),
    "http-504": Answer(504, "late"),
    "http-silent": Answer(then="silent"),
    "http-drop": Answer(then="drop"),
    "http-reset": Answer(then="reset"),
    "http-garbage": Answer(then="garbage"),
    "http-cut": Answer(200, "half of it", then="cut"),
    "http-loop": Answer(302, "", {"location": "/http-loop"}),
    "http-page": Answer(200, "<html>maintenance</html>"),
}
STATUSES = {
    "http-429": kinds.RATE_LIMIT,
    "http-401": kinds.AUTH,
    "http-402": kinds.QUOTA,
    "http-403": kinds.AUTH,
    "http-404": kinds.PAGE_ERROR,
    "http-413": kinds.REQUEST_TOO_LARGE,
    "http-418": kinds.BUG,
    "http-500": kinds.SERVER_ERROR,
    "http-503": kinds.SERVER_ERROR,
    "http-504": kinds.LLM_TIMEOUT,
}
BROKEN = {
    "http-silent": kinds.LLM_TIMEOUT,
    "http-drop": kinds.NETWORK,
    "http-reset": kinds.NETWORK,
    "http-garbage": kinds.NETWORK,
    "http-cut": kinds.NETWORK,
}

Call = Callable[[str], Callable[[], Any]]


def http_cases(server: Server) -> Iterator[Case]:
    """Every case of the three libraries, raw and in a task group."""
    yield from wrapped(_cases("httpx", _httpx, server), how="group")
    yield from wrapped(_cases("aiohttp", _aiohttp, server), how="group")
    yield from _cases("urllib", _urllib, server)


def _cases(library: str, call: Call, server: Server) -> Iterator[Case]:
    for name, category in (STATUSES | BROKEN).items():
        if (library, name) == ("urllib", "http-silent"):
            category = kinds.NETWORK  # noqa: PLW2901 - a socket's timeout
        yield Case(library, name.removeprefix("http-"), "raw", category, call(server.url(name)), "service")
    yield Case(library, "refused", "raw", kinds.NETWORK, call(f"http://127.0.0.1:{refused_port()}/"), "service")
    yield Case(library, "unknown host", "raw", kinds.NETWORK, call("http://nowhere.invalid/"), "service")
    yield Case(library, "unknown scheme", "raw", kinds.AUTH, call("gopher+x://127.0.0.1/"), "service")
    if library == "urllib":
        return
    yield Case(library, "round in circles", "raw", kinds.AUTH, call(server.url("http-loop")), "service")
    if library == "aiohttp":
        yield Case(library, "a page for JSON", "raw", kinds.SERVER_ERROR, call(server.url("http-page")), "service")
        silent = server.url("http-silent")
        yield Case(library, "whole time over", "raw", kinds.LLM_TIMEOUT, _aiohttp(silent, total=True), "llm")


def _httpx(url: str) -> Callable[[], Any]:
    def call() -> None:
        httpx: Any = importlib.import_module("httpx")
        with httpx.Client(timeout=patience_s(url), follow_redirects=True, trust_env=False, verify=False) as client:
            client.get(url).raise_for_status()

    return call


def _aiohttp(url: str, *, total: bool = False) -> Callable[[], Any]:
    async def call() -> None:
        aiohttp: Any = importlib.import_module("aiohttp")
        timeout = aiohttp.ClientTimeout(**{"total" if total else "sock_read": patience_s(url)})
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, raise_for_status=True) as response,
        ):
            await response.json()

    return lambda: asyncio.run(call())


def _urllib(url: str) -> Callable[[], Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call() -> None:
        with opener.open(url, timeout=patience_s(url)) as response:
            response.read()

    return call
