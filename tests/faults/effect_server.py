"""A real HTTP server in a process of its own, which outlives whoever asks it and tells what really happened there.

``POST /<kind>/<number>`` does something once more and gives a receipt. ``idempotent`` gives the first receipt again to
whoever comes with a key that it has seen; the others do it each time. ``GET /probed?key=...`` tells whether something
was done under a key. ``GET /truth`` tells all of it, and ``POST /forget`` begins anew.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

KINDS = ("idempotent", "probed", "plain")
PAUSE_S = 0.002
"""Between the deed and its reply: a kill may well fall there."""


class Truth:
    """What happened, by the number of what was asked for."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.keys: dict[int, list[str]] = {}
        """Of each request, in their order."""
        self.done: dict[int, list[str]] = {}
        """The receipt of each time that it was done."""
        self.by_key: dict[str, str] = {}
        """The newest receipt under a key."""

    def post(self, kind: str, number: int, key: str) -> str:
        """Do it, or, where that is promised, not again; the receipt."""
        with self.lock:
            self.keys.setdefault(number, []).append(key)
            if kind == "idempotent" and key in self.by_key:
                return self.by_key[key]
            times = self.done.setdefault(number, [])
            times.append(f"{kind} {number} time {len(times) + 1}")
            self.by_key[key] = times[-1]
            return times[-1]

    def forget(self) -> None:
        """Begin anew."""
        with self.lock:
            for known in (self.keys, self.done, self.by_key):
                known.clear()

    def told(self) -> dict[str, Any]:
        """All of it, as JSON data."""
        with self.lock:
            return {"keys": self.keys, "done": self.done}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    truth = Truth()

    def do_POST(self) -> None:
        """Do what is asked for."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/forget":
            self.truth.forget()
            self._answer(200, {})
            return
        _, kind, number = self.path.split("/")
        receipt = self.truth.post(kind, int(number), self.headers["Idempotency-Key"])
        time.sleep(PAUSE_S)
        self._answer(200, {"receipt": receipt})

    def do_GET(self) -> None:
        """Tell what was done."""
        url = urlparse(self.path)
        if url.path == "/truth":
            self._answer(200, self.truth.told())
            return
        key = parse_qs(url.query)["key"][0]
        with self.truth.lock:
            receipt = self.truth.by_key.get(key)
        self._answer(404 if receipt is None else 200, {"receipt": receipt})

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def _answer(self, status: int, data: Any) -> None:
        body = json.dumps(data).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            return  # whoever asked was killed


def main() -> None:
    """Say the port, and serve until the input ends."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        print(server.server_address[1], flush=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()
        os._exit(0)


if __name__ == "__main__":
    main()
