"""What playwright and cdp-use really raise: from a real Chromium where there is one, else only what needs none."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from lrm_actors.domain import classify as kinds
from tests.hosts.case import Case, wrapped
from tests.hosts.server import Answer, Server, refused_port

ANSWERS: dict[str, Answer] = {
    "page": Answer(200, "<html><title>a page</title><body><p>text</p></body></html>"),
    "page-silent": Answer(then="silent"),
    "page-drop": Answer(then="drop"),
    "page-reset": Answer(then="reset"),
}
ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
TIMEOUT_MS = 400
PATIENCE_MS = 15_000


def chromium() -> str | None:
    """Where a Chromium is, if there is one."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return os.environ.get("LRM_TEST_CHROMIUM") or next((path for name in names if (path := shutil.which(name))), None)


def without_browser_cases() -> Iterator[Case]:
    """What playwright and cdp-use raise where there is no browser."""
    sync_api: Any = importlib.import_module("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        found = (
            Case("playwright", name, "raw", category, partial(fail, playwright), "browser")
            for name, category, fail in (
                ("no executable", kinds.AUTH, _no_executable),
                ("nobody to connect to", kinds.BROWSER_CRASH, _nobody),
                ("ends at once", kinds.BROWSER_CRASH, _ends_at_once),
            )
        )
        yield from wrapped(found, how="browser")
    yield from wrapped(
        [Case("cdp-use", "nobody to connect to", "raw", kinds.BROWSER_CRASH, _cdp_refused, "cdp")], how="browser"
    )


def browser_cases(server: Server, path: str) -> Iterator[Case]:
    """What they raise with a real Chromium. One browser serves all pages, so take the cases in order."""
    sync_api: Any = importlib.import_module("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS, timeout=PATIENCE_MS)
        found = (
            Case("playwright", name, "raw", category, _on_page(browser, server.url("page"), act), "browser")
            for name, (category, act) in _pages(server).items()
        )
        yield from wrapped(found, how="browser")
        browser.close()
        killed = Case("playwright", "killed browser", "raw", kinds.BROWSER_CRASH, _killed(path, playwright), "browser")
        yield from wrapped([killed], how="browser")
    with _running(path) as (process, address):
        protocol = (
            Case("cdp-use", name, "raw", category, _cdp(address, what, process), "browser")
            for name, category, what in (
                ("no such method", kinds.BUG, "method"),
                ("no such target", kinds.BROWSER_CRASH, "target"),
                ("no such session", kinds.BROWSER_CRASH, "session"),
                ("killed browser", kinds.BROWSER_CRASH, "killed"),
            )
        )
        yield from wrapped(protocol, how="browser")


def _pages(server: Server) -> dict[str, tuple[str, Callable[[Any], Any]]]:
    refused = f"http://127.0.0.1:{refused_port()}/"
    return {
        "refused": (kinds.NETWORK, lambda tab: tab.goto(refused)),
        "unknown host": (kinds.NETWORK, lambda tab: tab.goto("http://nowhere.invalid/")),
        "empty response": (kinds.NETWORK, lambda tab: tab.goto(server.url("page-drop"))),
        "connection reset": (kinds.NETWORK, lambda tab: tab.goto(server.url("page-reset"))),
        "unsafe port": (kinds.PAGE_ERROR, lambda tab: tab.goto("http://127.0.0.1:1/")),
        "invalid address": (kinds.PAGE_ERROR, lambda tab: tab.goto("no address")),
        "slow page": (kinds.BROWSER_TIMEOUT, lambda tab: tab.goto(server.url("page-silent"), timeout=TIMEOUT_MS)),
        "missing element": (kinds.BROWSER_TIMEOUT, lambda tab: tab.click("#nowhere", timeout=TIMEOUT_MS)),
        "script error": (kinds.PAGE_ERROR, lambda tab: tab.evaluate("nowhere.at.all")),
        "closed page": (kinds.BROWSER_CRASH, _closed_page),
        "crashed page": (kinds.BROWSER_CRASH, _crashed_page),
        "closed browser": (kinds.BROWSER_CRASH, _closed_browser),
    }


# --- playwright ---------------------------------------------------------------------------------------------------


def _no_executable(playwright: Any) -> None:
    playwright.chromium.launch(executable_path="/nowhere/at/all/chromium", timeout=PATIENCE_MS)


def _ends_at_once(playwright: Any) -> None:
    playwright.chromium.launch(executable_path="/bin/true", timeout=PATIENCE_MS)


def _nobody(playwright: Any) -> None:
    playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{refused_port()}", timeout=PATIENCE_MS)


def _on_page(browser: Any, page: str, act: Callable[[Any], Any]) -> Callable[[], Any]:
    def call() -> None:
        tab = browser.new_page()
        tab.goto(page, timeout=PATIENCE_MS)
        act(tab)

    return call


def _closed_page(tab: Any) -> None:
    tab.close()
    tab.evaluate("1")


def _closed_browser(tab: Any) -> None:
    tab.context.browser.close()
    tab.goto("about:blank")


def _crashed_page(tab: Any) -> None:
    with contextlib.suppress(Exception):
        tab.goto("chrome://crash", timeout=TIMEOUT_MS)
    tab.set_default_timeout(PATIENCE_MS)
    tab.goto("about:blank")


def _killed(path: str, playwright: Any) -> Callable[[], Any]:
    def call() -> None:
        with _running(path) as (process, address):
            tab = playwright.chromium.connect_over_cdp(address, timeout=PATIENCE_MS).contexts[0].new_page()
            _kill(process)
            tab.goto("about:blank")

    return call


@contextlib.contextmanager
def _running(path: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A Chromium in a process group of its own, and the address of its protocol."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        process = subprocess.Popen(
            [path, *ARGUMENTS, "--remote-debugging-port=0", f"--user-data-dir={directory}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            assert process.stderr is not None
            lines = (line.decode(errors="replace") for line in process.stderr)
            yield process, next(line.split()[-1] for line in lines if "DevTools listening on" in line)
        finally:
            _kill(process)
            if process.stderr is not None:
                process.stderr.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


# --- cdp-use ------------------------------------------------------------------------------------------------------


def _client(address: str) -> Any:
    return importlib.import_module("cdp_use.client").CDPClient(address)


def _cdp_refused() -> None:
    async def call() -> None:
        async with _client(f"ws://127.0.0.1:{refused_port()}/devtools/browser/x"):
            pass

    asyncio.run(call())


def _cdp(address: str, what: str, process: subprocess.Popen[bytes]) -> Callable[[], Any]:
    return lambda: asyncio.run(_ask(address, what, process))


async def _ask(address: str, what: str, process: subprocess.Popen[bytes]) -> None:
    async with _client(address) as client:
        match what:
            case "method":
                await client.send_raw("Nothing.atAll", {})
            case "target":
                await client.send_raw("Target.attachToTarget", {"targetId": "nowhere", "flatten": True})
            case "session":
                await client.send_raw("Page.enable", {}, session_id="nowhere")
            case "killed":
                _kill(process)
                await client.send_raw("Target.getTargets", {})
