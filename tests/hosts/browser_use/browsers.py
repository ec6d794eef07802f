"""What the tests of the browsers themselves share: a small site, an owner that is killed, and what is left of one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil

from lrm_actors.adapters.browser_use import Connection
from tests.hosts.browser_cases import chromium
from tests.runtime.support import eventually

OWNER = """
import asyncio, json, sys, time
from lrm_actors.adapters.browser_use import OwnedChromium

async def own():
    attached = await OwnedChromium(sys.argv[1]).ensure()
    print(json.dumps([attached.how, attached.pid, attached.cdp_url]), flush=True)

asyncio.run(own())
time.sleep(600)
"""
PAGE = """<!doctype html><title>{path}</title><link rel=icon href="data:,"><script>
localStorage.count = 1 + Number(localStorage.count || 41);
sessionStorage.visits = 1 + Number(sessionStorage.visits || 0);
document.title += " count " + localStorage.count + " visits " + sessionStorage.visits;
</script>"""


class Pages:
    """A site whose pages count in the browser's storage, and what was asked of it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked: list[tuple[str, str]] = []
        """Each path, and the cookies that came with it."""

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """Of a page; ``localhost`` is another origin."""
        return f"http://{host}:{self.port}{path}"


@contextmanager
def pages() -> Iterator[Pages]:
    """A site of these pages.

    ``/login`` sets two cookies, ``/logout`` takes one back, ``/hang`` never answers, ``/asks`` has a dialog, and
    ``/frames`` a frame that is there before the page is.
    """
    released, slow = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append((self.path, self.headers.get("Cookie", "")))
            if self.path == "/asks":
                self._answer("<title>asks</title><script>document.title = confirm('Delete all?')</script>")
                return
            if self.path == "/frames":
                self._answer("<title>frames</title><iframe src=/b></iframe><img src=/slow>")
                return
            if self.path == "/slow":
                slow.wait(0.3)
            if self.path == "/hang":
                released.wait(60)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            if self.path == "/login":
                self.send_header("Set-Cookie", "ticket=ada; Path=/; HttpOnly; SameSite=Lax; Max-Age=86400")
                self.send_header("Set-Cookie", "theme=dark; Path=/")
            if self.path == "/logout":
                self.send_header("Set-Cookie", "ticket=; Path=/; Max-Age=0")
            self.end_headers()
            self.wfile.write(PAGE.format(path=self.path).encode())

        def _answer(self, text: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f"<!doctype html><link rel=icon href='data:,'>{text}".encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Pages(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def running(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Tell a story that has an event loop."""
    asyncio.run(story())


async def becomes(condition: Callable[[], Any], what: str) -> Any:
    """``eventually``, beside a loop that goes on."""
    return await asyncio.to_thread(eventually, condition, what)


async def open_tab(connection: Connection, url: str) -> str:
    """A tab with this address, loaded; its id."""
    made = await connection.send_raw("Target.createTarget", {"url": "about:blank"})
    await go(connection, made["targetId"], url)
    return str(made["targetId"])


async def go(connection: Connection, tab: str, url: str) -> str:
    """Navigate a tab, and what its title is when its scripts have run."""
    session = await connection.session_of(tab)
    await connection.send_raw("Page.navigate", {"url": url}, session)
    return str(await evaluate(connection, tab, f"{LOADED}.then(() => document.title)"))


async def evaluate(connection: Connection, tab: str, expression: str) -> Any:
    """What an expression is in a tab."""
    params = {"expression": expression, "returnByValue": True, "awaitPromise": True}
    answer = await connection.send_raw("Runtime.evaluate", params, await connection.session_of(tab))
    return answer["result"].get("value")


LOADED = "new Promise((go) => document.readyState === 'complete' ? go() : addEventListener('load', go))"


def start_owner(directory: Path) -> subprocess.Popen[str]:
    """A process that ensures a browser there, says so, and waits to be killed.

    It has a session of its own: where a test's session is that of the first process of the machine, the kernel
    takes the group of a browser that lost its owner and its main process for abandoned, and ends what is stopped in it.
    """
    command = [sys.executable, "-c", OWNER, str(directory)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


@contextmanager
def killed_owner(directory: Path) -> Iterator[tuple[str, int, str]]:
    """A process that ensured a browser there and was killed; how it had it, its pid and its address."""
    owner = start_owner(directory)
    try:
        assert owner.stdout is not None
        how, pid, cdp_url = json.loads(owner.stdout.readline())
    finally:
        owner.kill()
        owner.wait()
        if owner.stdout is not None:
            owner.stdout.close()
    try:
        yield how, pid, cdp_url
    finally:
        end_all(directory)


def names_in(directory: Path) -> set[str]:
    """What stands in a directory."""
    return {path.name for path in directory.iterdir()}


def left_of(directory: Path) -> list[psutil.Process]:
    """Processes that are still there of browsers that were started in a directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE or "chrom" not in process.name():
                continue
            words = " ".join([*process.cmdline(), *process.environ().values()])
        except psutil.Error:
            continue
        if str(directory) in words:
            found.append(process)
    return found


def end_all(directory: Path) -> None:
    """Leave nothing behind, whatever the test came to."""
    for process in left_of(directory):
        process.kill()
    eventually(lambda: not left_of(directory), "the end of every browser there")


@contextmanager
def foreign(profile: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Chromium of the user's own on a profile, which we did not start."""
    path = chromium()
    assert path is not None
    command = [path, "--headless=new", "--no-sandbox", "--no-first-run", "--remote-debugging-port=0", *more]
    log = subprocess.DEVNULL
    user = subprocess.Popen([*command, f"--user-data-dir={profile}", "about:blank"], stdout=log, stderr=log)
    try:
        # Chromium writes the file in place: it is there before what stands in it is.
        port = profile / "DevToolsActivePort"
        eventually(lambda: port.exists() and "/devtools/" in port.read_text(), "the start of the user's browser")
        yield user
    finally:
        tree = psutil.Process(user.pid).children(recursive=True)
        user.kill()
        user.wait()
        for process in tree:
            if process.is_running():
                process.kill()
        eventually(lambda: not left_of(profile), "the end of the user's browser")
