"""The site that the browser agents of these tests work on, on loopback, in a process of its own that outlives them.

Its pages need a cookie, keep a basket in the browser's local storage and put orders into the server's books. Every
effect is idempotent, and every request is counted: what was done twice is seen, and does no harm. Below ``/control``
stands what only a test asks for: the books, and holding a request up.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

ROOT = Path(__file__).parents[3]
COOKIE = "ticket=ada"
HELD_TIMEOUT_S = 60.0
"""How long a request is held up when nobody releases it."""

SCRIPT = """
async function signIn(user) {
  const answer = await fetch('/login', {method: 'POST', body: user});
  return (await answer.text());
}
function basket() { return JSON.parse(localStorage.getItem('basket') || '[]'); }
async function order(item) {
  const items = basket();
  if (!items.includes(item)) items.push(item);
  localStorage.setItem('basket', JSON.stringify(items));
  const answer = await fetch('/orders/' + item, {method: 'PUT', body: JSON.stringify(items)});
  return (await answer.text()) + '; basket ' + basket().join(',');
}
async function save() {
  const text = document.getElementById('note').value;
  await fetch('/notes/' + encodeURIComponent(text), {method: 'PUT'});
  document.getElementById('said').textContent = 'Saved ' + text;
}
"""

PAGES = {
    "/login": "<h1>Who are you?</h1><p>Sign in to go on.</p>",
    "/account": (
        "<h1>Account of ada</h1><input id=note placeholder=note>"
        "<button id=save type=button onclick='save()'>Save</button><p id=said>Nothing saved</p>"
    ),
    "/shop": "<h1>Shop</h1><p>Apples, pears, plums and quinces.</p>",
}


class Books:
    """What the server knows: what was ordered and noted, and every request that came."""

    def __init__(self) -> None:
        self.lock = threading.Condition()
        self.orders: dict[str, list[str]] = {}
        self.notes: set[str] = set()
        self.signed_in: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.refused = 0
        self.log: list[str] = []
        self.hold: tuple[str, str] | None = None
        """A request to hold up, as ``PUT /orders/apple``, and whether ``before`` or ``after`` it had its effect."""
        self.held = False

    def as_dict(self) -> dict[str, Any]:
        """For the test."""
        with self.lock:
            return {
                "orders": dict(sorted(self.orders.items())),
                "notes": sorted(self.notes),
                "signed_in": sorted(self.signed_in),
                "counts": dict(sorted(self.counts.items())),
                "refused": self.refused,
                "log": list(self.log),
            }

    def wait_if_held(self, request: str, when: str) -> None:
        """Hold this request up if it is to be, once."""
        with self.lock:
            if self.hold != (request, when):
                return
            self.held = True
            self.lock.notify_all()
            self.lock.wait_for(lambda: not self.held, HELD_TIMEOUT_S)
            self.hold, self.held = None, False


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 90.0

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/control/"):
            self._control(path.removeprefix("/control/"))
        elif path in PAGES:
            self._noted(f"GET {path}")
            if path != "/login" and not self._known():
                self._answer(303, "", {"Location": "/login"})
            else:
                body = f"<!doctype html><title>{path[1:].title()}</title><script>{SCRIPT}</script>{PAGES[path]}"
                self._answer(200, body, kind="text/html; charset=utf-8")
        else:
            self._answer(404, "not here")

    def do_POST(self) -> None:
        user = self._body()
        self._noted("POST /login")
        with self.server.books.lock:
            self.server.books.signed_in.add(user)
        cookie = f"ticket={user}; Path=/; HttpOnly; SameSite=Lax; Max-Age=86400"
        self._answer(200, f"signed in as {user}", {"Set-Cookie": cookie})

    def do_PUT(self) -> None:
        body, books, path = self._body(), self.server.books, urlsplit(self.path).path
        request = f"PUT {path}"
        self._noted(request)
        if not self._known():
            with books.lock:
                books.refused += 1
            self._answer(401, "sign in first")
            return
        books.wait_if_held(request, "before")
        name = path.rpartition("/")[2]
        with books.lock:
            if path.startswith("/orders/"):
                books.orders[name] = json.loads(body)
            else:
                books.notes.add(name)
        books.wait_if_held(request, "after")
        self._answer(200, f"ordered {name}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """The books say it."""

    # --- inside ---------------------------------------------------------------------------------------------------

    def _control(self, what: str) -> None:
        books, asked = self.server.books, {key: one[0] for key, one in parse_qs(urlsplit(self.path).query).items()}
        if what == "hold":
            with books.lock:
                books.hold = (asked["request"], asked["when"])
        elif what == "held":
            with books.lock:
                books.lock.wait_for(lambda: books.held, HELD_TIMEOUT_S)
        elif what == "release":
            with books.lock:
                books.hold, books.held = None, False
                books.lock.notify_all()
        self._answer(200, json.dumps({**books.as_dict(), "held": books.held}))

    def _known(self) -> bool:
        return COOKIE in (self.headers.get("Cookie") or "")

    def _body(self) -> str:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()

    def _noted(self, request: str) -> None:
        with self.server.books.lock:
            self.server.books.counts[request] += 1
            self.server.books.log.append(request)

    def _answer(
        self, status: int, body: str, headers: dict[str, str] | None = None, *, kind: str = "text/plain"
    ) -> None:
        data = body.encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # whoever asked was killed
            self.wfile.write(data)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    books: Books

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: a client that is killed in the middle is what this site is for."""


class Site:
    """The test's side of a site that runs in a process of its own; a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hosts.browser_use.site"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().decode().strip()
        """Without a slash at its end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # it ends with its input

    def books(self) -> dict[str, Any]:
        """What the server knows now."""
        return self._ask("state")

    def hold(self, request: str, when: str) -> None:
        """Hold up the next such request, before or after it has its effect."""
        self._ask(f"hold?request={request.replace(' ', '%20')}&when={when}")

    def wait_held(self) -> bool:
        """Wait until that request has come; whether it has."""
        return bool(self._ask("held")["held"])

    def release(self) -> None:
        """Let it go on."""
        self._ask("release")

    def _ask(self, what: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/control/{what}", timeout=HELD_TIMEOUT_S * 1.5) as answer:
            found: dict[str, Any] = json.load(answer)
        return found


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The site in this process; for benchmarks, and for trying it by hand."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.books = Books()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> None:
    """Serve until the input ends."""
    with serving() as url:
        print(url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
